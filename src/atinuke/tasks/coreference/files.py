"""Where the files of a split lie: in the folder given, or in those that a data set comes in."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from atinuke.data.archives import without_compression
from atinuke.durable import printable
from atinuke.errors import SourceError


def folders_of(data: Path, below: Sequence[str], fetch: str) -> list[Path]:
    """`data` and those of the folders `below` it that are there. SourceError where `data` is no folder."""
    if not os.path.isdir(data):
        what = "is a file" if os.path.isfile(data) else "does not exist"
        raise SourceError(f"{printable(data)} {what}; expected a folder. {fetch}")
    return [data, *(data / name for name in below if os.path.isdir(data / name))]


def files_in(folder: Path) -> list[Path]:
    """The files in a folder, sorted by name, hidden ones left out."""
    try:
        return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError as error:
        raise SourceError(f"{printable(folder)} cannot be read: {error.strerror}; expected a folder.") from error


def ending_in(paths: Iterable[Path], *endings: str) -> list[Path]:
    """Those whose names end so, compressed or not."""
    return [path for path in paths if without_compression(path.name).endswith(endings)]


def only_file(data: Path, below: Sequence[str], name: str, fetch: str) -> Path:
    """The one file `name`, plain or compressed. SourceError where there is none, or two in one folder."""
    for folder in folders_of(data, below, fetch):
        found = [path for path in files_in(folder) if without_compression(path.name) == name]
        if len(found) > 1:
            names = f"{printable(found[0].name)} and {printable(found[1].name)}"
            raise SourceError(f"{printable(folder)} has {names}; expected one of them. Remove the other.")
        if found:
            return found[0]
    raise SourceError(f"{printable(data)} has no file {name}, plain or compressed. {fetch}")
