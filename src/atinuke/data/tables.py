"""Tables of numbers, each row with a class or a number to be found from it: a part held out, and kept in a run.

index.json                               columns, classes, where the rows came from and which were skipped
train/numbers.npy  train/labels.npy      (N, n) float32; (N,) int64 ids of classes, or float32
held_out/…                               the same            checksums.json   sha256 of all the others
"""

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from atinuke.config import Settings, one_line, validate
from atinuke.data.picking import hash64
from atinuke.data.rows import RowNotes
from atinuke.data.table_files import Labels, Table, Task, read_table
from atinuke.durable import CHECKSUMS, printable, read_json, verify_folder, write_folder_atomic
from atinuke.errors import ConfigError, DamagedFileError, RunFolderError, SourceError

__all__ = ["Labels", "Table", "TableSet", "Task", "read_table", "split_table", "write_table"]

HELD_OUT_FRACTION = 0.1


# --- Holding out ---


def split_table(table: Table, held_out: Table | None = None) -> tuple[Table, Table]:
    """What is trained on, and what is held out to score with; no row is in both.

    `held_out`, when given, stays whole, and rows that it shares with `table` go from training. Otherwise the rows with
    the smallest BLAKE2b hashes are held out, a tenth of them; equal rows fall on the same side, reading order has no
    say, and of each class at least one row stays to be trained on.
    """
    keys = _keys(table)
    if held_out is not None:
        known = set(_keys(held_out))
        is_new = np.array([key not in known for key in keys])
        if not is_new.any():
            raise SourceError(f"All {len(table):,} rows are held out too, so none is left to train on. Give others.")
        notes = deepcopy(table.notes)
        for number, is_kept in enumerate(is_new, start=1):
            if not is_kept:
                notes.skip("also among the held-out rows", f"row {number}")
        return replace(table.taking(is_new), notes=notes), held_out
    by_key: dict[bytes, list[int]] = {}
    for number, key in enumerate(keys):
        by_key.setdefault(key, []).append(number)
    left = Counter(table.labels.tolist()) if table.classes else Counter({None: len(table)})
    most = max(1, round(HELD_OUT_FRACTION * len(table)))
    is_held_out = np.zeros(len(table), dtype=bool)
    for key in sorted(by_key, key=lambda key: (hash64(key), key)):
        rows = by_key[key]
        kind = int(table.labels[rows[0]]) if table.classes else None
        if is_held_out.sum() + len(rows) <= most and left[kind] > len(rows):
            is_held_out[rows] = True
            left[kind] -= len(rows)
    if not is_held_out.any():
        raise SourceError(
            f"The table has {len(table):,} rows, of which none can be spared to score with. Give more, or others to "
            "score with (--held-out)."
        )
    return table.taking(~is_held_out), replace(table.taking(is_held_out), notes=RowNotes())


def _keys(table: Table) -> list[bytes]:
    """The content of each row; a class by its name, as ids differ between tables."""
    labels: list[str] = [table.classes[int(id)] for id in table.labels] if table.classes else []
    answers = [name.encode() for name in labels] if labels else [label.tobytes() for label in table.labels]
    rows = np.ascontiguousarray(table.numbers + 0.0, dtype="<f4")  # + 0: no negative zero
    return [row.tobytes() + answer for row, answer in zip(rows, answers, strict=True)]


# --- The run's copy ---


class TableIndex(Settings):
    """index.json: what the columns are, where the rows came from and what became of them."""

    sources: tuple[str, ...]
    held_out_sources: tuple[str, ...]
    columns: tuple[str, ...]
    label: str
    classes: tuple[str, ...]
    train_rows: int
    held_out_rows: int
    skipped: tuple[tuple[str, int, tuple[str, ...]], ...]
    held_out_skipped: tuple[tuple[str, int, tuple[str, ...]], ...]


@dataclass(frozen=True)
class TableSet:
    """The table of a run, in its two parts."""

    train: Table
    held_out: Table
    index: TableIndex
    fingerprint: str
    """Changes with any byte of the table."""

    @property
    def facts(self) -> dict[str, Any]:
        """The index as JSON."""
        return self.index.model_dump(mode="json")

    @classmethod
    def open(cls, folder: Path) -> "TableSet":
        """The table in `folder`. DamagedFileError names a file that is missing or not what was written."""
        if not folder.is_dir():
            raise RunFolderError(f"{printable(folder)} does not exist; expected the table of a run.")
        try:
            verify_folder(folder)
            index = validate(TableIndex, read_json(folder / "index.json"))
            train = _load(folder / "train", index, index.sources, index.train_rows)
            held_out = _load(folder / "held_out", index, index.held_out_sources, index.held_out_rows)
            return cls(train, held_out, index, str(read_json(folder / CHECKSUMS)["sha256"]))
        except (DamagedFileError, ConfigError) as error:
            raise DamagedFileError(
                f"{one_line(error)}. Delete {printable(folder)} and run the same command again: it is built anew."
            ) from error


def write_table(train: Table, held_out: Table, folder: Path) -> TableSet:
    """Keep both parts in `folder`, whole or not at all."""

    def fill(temporary: Path) -> None:
        for name, table in (("train", train), ("held_out", held_out)):
            (temporary / name).mkdir()
            np.save(temporary / name / "numbers.npy", table.numbers, allow_pickle=False)
            np.save(temporary / name / "labels.npy", table.labels, allow_pickle=False)
        index = TableIndex(
            sources=tuple(map(printable, train.specs)),
            held_out_sources=tuple(map(printable, held_out.specs)),
            columns=train.columns,
            label=train.label,
            classes=train.classes,
            train_rows=len(train),
            held_out_rows=len(held_out),
            skipped=train.notes.facts(),
            held_out_skipped=held_out.notes.facts(),
        )
        (temporary / "index.json").write_text(index.to_json(), encoding="utf-8")

    write_folder_atomic(folder, fill)
    return TableSet.open(folder)


def _load(folder: Path, index: TableIndex, specs: tuple[str, ...], rows: int) -> Table:
    arrays = []
    label_type = np.int64 if index.classes else np.float32
    for name, shape, kind in (
        ("numbers", (rows, len(index.columns)), np.float32),
        ("labels", (rows,), label_type),
    ):
        path = folder / f"{name}.npy"
        try:
            array = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DamagedFileError(f"{printable(path)} is damaged: {one_line(error)}.") from error
        if not isinstance(array, np.ndarray) or array.shape != shape or array.dtype != kind:
            raise DamagedFileError(f"{printable(path)} is damaged: it does not fit index.json.")
        arrays.append(array)
    name = folder.parent.name
    return Table(index.columns, arrays[0], arrays[1], index.classes, index.label, name, specs, RowNotes())
