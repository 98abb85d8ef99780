"""SOURCEs as the user names them → documents, in the same order every time, with notes on what was passed over.

A SOURCE is a file, a folder, a glob (`**` too), `-`, .gz .bz2 .xz .zst, .zip .tar .tar.gz …, or .jsonl; any other
file is text. None at all is the running Python's own standard library. Reading streams: memory does not grow with
the size of the files.
"""

import atexit
import hashlib
import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import IO

from atinuke.data.archives import COMPRESSIONS, compression_of, require_zstandard
from atinuke.data.documents import Document, SourceNotes, shown
from atinuke.data.finding import (
    STANDARD_LIBRARY,
    Found,
    FoundFile,
    find_files,
    find_standard_library,
    identify,
    without_repeats,
)
from atinuke.data.reading import Verdicts, read_documents
from atinuke.errors import SourceError

__all__ = ["Document", "SourceNotes", "Sources"]

STANDARD_INPUT = "-"
_SPOOLED: dict[tuple[str, Hashable], FoundFile] = {}  # by name and pipe: what this process read to the end
_TELLS_NOTHING = {"input", "text", "texts", "data", "train", "corpus", "index", "all", "raw", "file", "document"}
MAX_SLUG_CHARS = 40


class Sources:
    """All documents of some SOURCEs; iterate as often as needed.

    Making one finds the files; SourceError then for what is missing, empty or cannot be opened. A single SOURCE that
    turns out unusable is a SourceError of the first pass; some unusable files among others are a note.

    `max_bytes`: when the files together are longer on the disk, those with the smallest hash of their relative name
    are read, as many as fit (and one at least); which ones does not depend on where the folder lies.
    """

    def __init__(self, specs: Sequence[str] = (), *, max_bytes: int | None = None):
        self.specs = (specs,) if isinstance(specs, str) else tuple(os.fspath(spec) for spec in specs)
        self.notes = SourceNotes()
        """Of the latest full pass; empty before the first."""
        found = _find_all(self.specs)
        self._found = len(found.files)
        self._problems = found.problems
        self._files = _subset(found.files, max_bytes)
        self._verdicts: Verdicts = {}
        self._refuse_hopeless()
        if any(compression_of(file.name) == "zstd" or file.name.lower().endswith(".tzst") for file in self._files):
            require_zstandard()

    @property
    def name(self) -> str:
        """A short name for what this is, fit for a folder: "tinyshakespeare", "stdlib", "novels-and-2-more"."""
        return short_name(self.specs)

    def __iter__(self) -> Iterator[Document]:
        notes = SourceNotes(files_found=self._found, files_chosen=len(self._files))
        for name, reason in self._problems:
            notes.skip(shown(name), reason)
        for file in self._files:
            _refuse_changed(file)
            yield from read_documents(file, notes, self._verdicts)
        self.notes = notes
        if not notes.documents:
            raise SourceError(self._nothing_usable(notes.named_files))

    def _refuse_hopeless(self) -> None:
        """SourceError when it is clear before reading that no file can give text."""
        reasons: list[tuple[str, str]] = []
        for file in self._files:
            try:
                with open(file.path, "rb"):
                    reason = "" if file.size else "empty"
            except OSError as error:
                reason = f"unreadable: {error.strerror}"
            if not reason:
                return
            reasons.append((shown(file.name), reason))
        raise SourceError(self._nothing_usable(reasons))

    def _nothing_usable(self, reasons: Sequence[tuple[str, str]]) -> str:
        asked = ", ".join(shown(spec) for spec in self.specs[:3]) or STANDARD_LIBRARY
        asked += f" and {len(self.specs) - 3} more" if len(self.specs) > 3 else ""
        if len(reasons) == 1 and reasons[0][0] == asked:
            return f"SOURCE {asked} gives no text: {reasons[0][1]}. Give a file or folder with text in it."
        listed = "; ".join(f"{name}: {reason}" for name, reason in reasons[:3])
        listed += "; …" if len(reasons) > 3 else ""
        return f"SOURCE {asked} gives no text ({listed}). Give files with text in them."


def short_name(specs: Sequence[str]) -> str:
    """What `Sources.name` is for these specs, without looking whether they are there."""
    if not specs:
        return "stdlib"
    first = _slug(specs[0])
    return first if len(specs) == 1 else f"{first}-and-{len(specs) - 1}-more"


def _find_all(specs: Sequence[str]) -> Found:
    if not specs:
        return find_standard_library()
    if len(specs) == 1:
        return _find(specs[0])
    files: list[FoundFile] = []
    problems: list[tuple[str, str]] = []
    for spec in specs:
        found = _find(spec)
        files += found.files
        problems += found.problems
    kept = {file.path for file in without_repeats(files)}
    ordered = list({file.path: file for file in files if file.path in kept}.values())
    return Found(ordered, problems)


def _find(spec: str) -> Found:
    if spec == STANDARD_INPUT:
        if sys.stdin is None:
            raise SourceError("SOURCE - is standard input, which this process does not have; give a file.")
        return Found([_spooled(spec, sys.stdin, lambda: nullcontext(sys.stdin.buffer))], [])
    try:
        status = os.stat(spec)
    except (OSError, ValueError):
        return find_files(spec)
    if not stat.S_ISFIFO(status.st_mode):
        return find_files(spec)
    return Found([_spooled(spec, (status.st_dev, status.st_ino), lambda: open(spec, "rb"))], [])


def _spooled(name: str, pipe: Hashable, open_pipe: Callable[[], AbstractContextManager[IO[bytes]]]) -> FoundFile:
    """What `pipe` still holds as a temporary file, which goes when this process ends. Each pipe is read once."""
    if (name, pipe) not in _SPOOLED:
        try:
            handle, path = tempfile.mkstemp(prefix="atinuke-stdin-")
            atexit.register(Path(path).unlink, missing_ok=True)
            with open_pipe() as stream, open(handle, "wb") as file:
                shutil.copyfileobj(stream, file)
            status = os.stat(path)
        except OSError as error:
            raise SourceError(
                f"SOURCE {shown(name)} cannot be kept in {tempfile.gettempdir()}: {error.strerror}. "
                "Free some space there, set TMPDIR to another folder, or give a file."
            ) from error
        _SPOOLED[name, pipe] = FoundFile(path, name, name, status.st_size, status.st_mtime_ns, identify(status))
    return _SPOOLED[name, pipe]


def _subset(files: list[FoundFile], max_bytes: int | None) -> list[FoundFile]:
    """The files of the smallest hashes that fit together into `max_bytes`, or the shortest; in their own order."""
    if max_bytes is None or sum(file.size for file in files) <= max_bytes:
        return files
    chosen: set[str] = set()
    left = max_bytes
    for file in sorted(files, key=lambda file: hashlib.blake2b(os.fsencode(file.key)).digest()):
        if 0 < file.size <= left:
            chosen.add(file.path)
            left -= file.size
    if not chosen:
        chosen.add(min(files, key=lambda file: (not file.size, file.size, file.key)).path)
    return [file for file in files if file.path in chosen]


def _refuse_changed(file: FoundFile) -> None:
    """Two passes over sources that differ between them would mix held-out and training text."""
    try:
        status = os.stat(file.path)
        has_changed = (status.st_size, status.st_mtime_ns) != (file.size, file.modified_ns)
        reason = "it was written to"
    except OSError as error:
        has_changed, reason = True, error.strerror or "it is gone"
    if has_changed:
        raise SourceError(f"SOURCE {shown(file.name)} changed since reading began ({reason}); run the command again.")


def _slug(spec: str) -> str:
    """The part of a SOURCE that tells it apart, in lower case, words joined with hyphens."""
    if spec == STANDARD_INPUT:
        return "stdin"
    path = Path(os.path.abspath(spec))
    names = [part for part in (path, *path.parents) if not any(char in part.name for char in "*?[")]
    for candidate in names[:2]:
        name = candidate.name
        for ending in (*COMPRESSIONS, ".tar"):
            name = name[: -len(ending)] if name.lower().endswith(ending) else name
        slug = re.sub(r"[\W_]+", "-", Path(name).stem.lower()).strip("-")[:MAX_SLUG_CHARS].strip("-")
        if slug and slug not in _TELLS_NOTHING:
            return slug
    return "text"
