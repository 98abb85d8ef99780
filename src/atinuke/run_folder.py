"""What a run folder holds, and who may write to it.

    config.json        resolved settings          metrics.jsonl      one row per logged step
    tokenizer.json     text to ids and back       summary.json       what came of it
    model.safetensors  the weights                environment.json   versions and machine
    state/             checkpoints                report.html        curves, samples, plan
    data/              shards, validation.jsonl   README.md          model card
    tasks.json         what tasks learned         scores/            predictions and scores of tasks
    reader.json        how a network from elsewhere frames its text, beside its own tokenizer.json
    checksums.json     sha256 and length of the files that a program reads back

No torch here, so that the command line can read a run without it. How files are written safely: durable.py.
"""

import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from atinuke.durable import (
    CHECKSUMS,
    JSON,
    clean_leftovers,
    encode,
    make_folder,
    printable,
    read_json,
    reading,
    sha256_file,
    sync_folder,
    to_json,
    verify_folder,
    write_atomic,
    write_checksums,
    write_file_atomic,
    write_folder_atomic,
    writing,
)
from atinuke.errors import DamagedFileError, RunFolderError

if sys.platform != "win32":
    import fcntl

__all__ = [
    "JSON",
    "MetricsWriter",
    "RunFolder",
    "printable",
    "read_json",
    "sha256_file",
    "to_json",
    "verify_folder",
    "write_atomic",
    "write_file_atomic",
    "write_folder_atomic",
]


class RunFolder:
    """One run on the disk: where each part lies, and readers that name the file when something is wrong with it."""

    # What a program reads back. People may edit the report and the card, and metrics.jsonl grows.
    SEALED = (
        *("config.json", "tokenizer.json", "model.safetensors", "summary.json", "environment.json"),
        *("tasks.json", "reader.json"),
    )

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.tokenizer = self.path / "tokenizer.json"
        self.model = self.path / "model.safetensors"
        self.state = self.path / "state"
        self.metrics = self.path / "metrics.jsonl"
        self.summary = self.path / "summary.json"
        self.environment = self.path / "environment.json"
        self.report = self.path / "report.html"
        self.card = self.path / "README.md"
        self.data = self.path / "data"
        self.tasks = self.path / "tasks.json"
        self.reader = self.path / "reader.json"
        self.scores = self.path / "scores"
        self.checksums = self.path / CHECKSUMS

    def own_paths(self) -> tuple[Path, ...]:
        """Everything that a run writes here, whether it stands or not; the seal first, so that it goes first."""
        parts = (self.checksums, self.config, self.tokenizer, self.model, self.state, self.metrics, self.summary)
        return (*parts, self.environment, self.report, self.card, self.data, self.tasks, self.reader, self.scores)

    def create(self) -> None:
        """Makes the folder, with its parents; one that is already there is left as it is."""
        make_folder(self.path)

    def require(self) -> Self:
        """Itself, if it is a run folder; otherwise a RunFolderError that says what is missing."""
        if not self.path.is_dir():
            what = "is a file" if self.path.exists() else "does not exist"
            raise RunFolderError(f"{printable(self.path)} {what}; expected a run folder, as atinuke train makes it.")
        if not self.config.is_file():
            raise RunFolderError(
                f"{printable(self.path)} is not a run folder: it has no config.json. "
                "Give the folder that atinuke train named when it ended."
            )
        return self

    def read_config(self) -> dict[str, Any]:
        """config.json: everything that the run was told, with what the planner chose."""
        return read_json(self.config)

    def read_summary(self) -> dict[str, Any]:
        """summary.json."""
        return read_json(self.summary)

    def read_environment(self) -> dict[str, Any]:
        """environment.json."""
        return read_json(self.environment)

    def iter_metrics(self) -> Iterator[dict[str, Any]]:
        """The rows of metrics.jsonl, without a half-written last one; none where nothing was logged yet."""
        return (row for row, _ in _iter_rows(self.metrics))

    def seal(self) -> None:
        """Writes checksums.json over the files of `SEALED` that stand; call `unseal` before one of them changes."""
        write_checksums(self.path, [name for name in self.SEALED if (self.path / name).is_file()])

    def unseal(self) -> None:
        """Takes checksums.json away, so that a kill between a change and the next `seal` does not look like damage."""
        with writing(self.checksums):
            if self.checksums.exists():
                self.checksums.unlink()
                sync_folder(self.path)

    def verify(self, *names: str) -> bool:
        """True when the sealed files (or those named) are what was written; False when there is no seal to go by.

        DamagedFileError names the first that differs.
        """
        if not self.checksums.exists():
            return False
        try:
            verify_folder(self.path, names)
        except DamagedFileError as error:
            accept = f"Restore it from a copy, or delete {printable(self.checksums)} to take the files as they are."
            raise DamagedFileError(f"{error} {accept}") from error
        return True

    @contextmanager
    def claim(self) -> Iterator[None]:
        """Keeps others from claiming this folder, until the end of the block or the death of this process.

        What killed writes left here is cleaned away. Where the system locks no folders (Windows, some network
        disks), nobody is kept out.
        """
        handle = self._lock() if sys.platform != "win32" else None
        try:
            clean_leftovers(self.path)
            yield
        finally:
            if handle is not None:
                os.close(handle)

    def _lock(self) -> int:
        with writing(self.path):
            handle = os.open(self.path, os.O_RDONLY)
        try:
            if sys.platform != "win32":
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(handle)
            raise RunFolderError(
                f"{printable(self.path)} is being written by another process; "
                "wait until it has ended, or give another folder with --out."
            ) from error
        except OSError:
            pass  # this disk has no locks
        return handle


class MetricsWriter:
    """Appends rows to metrics.jsonl: one JSON object per line, each at once in the hands of the system.

    A half-written last line, which a kill or a power cut leaves, is cut off when the file is opened.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        whole = max((end for _, end in _iter_rows(path)), default=0)
        with writing(path):
            self._file = open(path, "ab+", buffering=0)
            self._file.truncate(whole)
            self._file.seek(max(whole - 1, 0))
            if whole and self._file.read(1) != b"\n":  # the row is whole, only its line is not
                self._file.write(b"\n")

    def append(self, row: Mapping[str, JSON]) -> None:
        """Adds one row, whole or not at all."""
        line = memoryview(encode(to_json(row, indent=None) + "\n"))
        with writing(self.path, "The rows before this one are unchanged."):
            end = self._file.seek(0, os.SEEK_END)
            try:
                while line:  # a disk that fills up takes a part of the line before it refuses
                    line = line[self._file.write(line) or 0 :]
            except OSError:
                with suppress(OSError):
                    self._file.truncate(end)
                raise

    def truncate_after(self, step: int) -> None:
        """Drops the rows past `step`, atomically: a resumed run writes them anew."""
        kept = (row for row, _ in _iter_rows(self.path) if not _is_past(row, step))
        write_file_atomic(self.path, lambda temporary: _write_rows(temporary, kept))
        with writing(self.path):
            self._file.close()
            self._file = open(self.path, "ab+", buffering=0)

    def sync(self) -> None:
        """Forces the rows to the disk. Before a checkpoint, so that a power cut leaves no gap behind it."""
        with writing(self.path):
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Ends the writing; a second call does nothing."""
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()


def _iter_rows(path: Path) -> Iterator[tuple[dict[str, Any], int]]:
    """Rows of a .jsonl file, each with the offset of its end. What cannot be read is let pass only at the very end."""
    if not path.exists():
        return
    end, bad_line = 0, 0
    with reading(path), open(path, "rb") as lines:
        for number, line in enumerate(lines, start=1):
            end += len(line)
            row = _parse(line)
            if row is None:
                bad_line = bad_line or number
            elif bad_line:
                raise DamagedFileError(
                    f"{printable(path)} is damaged at line {bad_line}. Training needs nothing from it: "
                    "delete that line, or the file, and run the same command again."
                )
            else:
                yield row, end


def _is_past(row: Mapping[str, Any], step: int) -> bool:
    at = row.get("step")
    return isinstance(at, int | float) and at > step


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        row = json.loads(line.decode("utf-8"))
    except (ValueError, RecursionError):
        return None
    return row if isinstance(row, dict) else None


def _write_rows(path: Path, rows: Iterator[Mapping[str, JSON]]) -> None:
    with open(path, "xb") as file:
        file.writelines(encode(to_json(row, indent=None) + "\n") for row in rows)
