"""Files of rows → their rows, each with the number of its line: plain lines, delimited cells, JSON objects.

Pairs and tables are read through here. A file is held in memory whole: such data is made by hand, or nearly so, and
short beside running text. Encodings and compression are those of any other text (`decoding.py`, `archives.py`).
"""

import csv
import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from atinuke.config import one_line
from atinuke.data.archives import (
    archive_kind,
    compression_of,
    iter_members,
    iter_pieces,
    open_text,
    require_zstandard,
    without_compression,
)
from atinuke.data.decoding import decode, judge
from atinuke.data.documents import Unusable, shown
from atinuke.data.finding import find_files
from atinuke.errors import SourceError

NAMED_PLACES = 20
"""So many places are remembered for each reason; all are counted."""

LONGEST_CELL = 2**31 - 1
"""The most that Python's csv takes as its limit everywhere."""
_one_limit = threading.Lock()

DELIMITERS = {".tsv": "\t", ".tab": "\t", ".csv": ","}


@dataclass
class RowNotes:
    """What was passed over, by reason, and what else the user should know of the reading."""

    counts: dict[str, int] = field(default_factory=dict)
    places: dict[str, list[str]] = field(default_factory=dict)  # of each reason, the first NAMED_PLACES
    remarks: list[str] = field(default_factory=list)

    @property
    def skipped(self) -> int:
        """How many rows were passed over, for whatever reason."""
        return sum(self.counts.values())

    def skip(self, reason: str, place: str) -> None:
        """Count a row that is not used; `place` is "file:line" or what else finds it."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        named = self.places.setdefault(reason, [])
        if len(named) < NAMED_PLACES:
            named.append(place)

    def describe(self, noun: str, named: int = 3) -> list[str]:
        """Sentences for people, one line each; `noun` is what rows are called: "pairs". Not markup: print them raw."""
        lines = list(self.remarks)
        for reason, count in self.counts.items():
            places = ", ".join(self.places[reason][:named]) + (", …" if count > named else "")
            lines.append(f"Skipped {count:,} {noun.removesuffix('s') if count == 1 else noun}: {reason} ({places}).")
        return lines

    def facts(self) -> tuple[tuple[str, int, tuple[str, ...]], ...]:
        """(reason, count, first places) of each reason, for an index file."""
        return tuple((reason, count, tuple(self.places[reason])) for reason, count in self.counts.items())


@dataclass(frozen=True)
class TextFile:
    """One file of rows, decoded. `name` is safe to show; `ending` is in lower case, compression left out."""

    name: str
    ending: str
    text: str


@dataclass(frozen=True)
class Row:
    """Cells of one row, and the line on which it begins, from 1."""

    line: int
    cells: list[str]


def read_file(spec: str, notes: RowNotes) -> TextFile:
    """The text of the one file that `spec` names. SourceError when it is missing, no text, empty, or several files."""
    found = find_files(spec).files
    name = shown(spec)
    if len(found) > 1:
        raise SourceError(f"SOURCE {name} is {len(found):,} files; rows are read from one file each: name them.")
    plain = without_compression(spec) if compression_of(spec) else spec
    if archive_kind(spec) or archive_kind(plain):
        raise SourceError(f"SOURCE {name} is an archive; rows are read from plain or compressed files: unpack it.")
    if compression_of(spec) == "zstd":
        require_zstandard()
    try:
        (member,) = iter_members(found[0].path, spec)
        with open_text(member) as stream:
            data = b"".join(iter_pieces(stream))
        encoding = judge([data])
        text = "".join(decode([data], encoding))
    except Unusable as reason:
        raise SourceError(f"SOURCE {name} cannot be used: {reason}. Give another file.") from reason
    if not text or text.isspace():
        raise SourceError(f"SOURCE {name} is empty; expected one row on each line.")
    if encoding.note:
        notes.remarks.append(f"{name} was not UTF-8: read as {encoding.note}.")
    dot = plain.rfind(".")
    return TextFile(name, plain[dot:].lower() if dot >= 0 else "", text)


def iter_lines(text: str) -> Iterator[str]:
    r"""The lines without their ends. Only `\n` and `\r\n` end a line: U+2028 or U+0085 may stand inside a sentence."""
    lines = text.split("\n")
    if not lines[-1]:
        del lines[-1]  # what follows the last line's end is no line
    return (line.removesuffix("\r") for line in lines)


def iter_cells(text: str, delimiter: str) -> Iterator[Row]:
    """The rows of delimited text; blank lines are none.

    A text that holds to the rules of quoting from beginning to end (RFC 4180: a cell that begins with a quote sign
    ends with one, and those inside are doubled) is unquoted, and such a cell may hold delimiters and new lines. In
    any other, quote signs are letters like any other, and each line is a row: so are many lists of sentences made.
    """
    rows = _quoted_rows(text, delimiter)
    if rows is None:
        rows = [Row(number, line.split(delimiter)) for number, line in enumerate(iter_lines(text), start=1)]
    return (row for row in rows if any(cell.strip() for cell in row.cells))


def iter_objects(file: TextFile, notes: RowNotes) -> Iterator[tuple[int, dict[str, Any]]]:
    """(line number, JSON object) of each line; a line that is none is skipped, a blank one is no line."""
    for number, line in enumerate(iter_lines(file.text), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            notes.skip("not JSON", f"{file.name}:{number}: {shown(one_line(error))}")
            continue
        if isinstance(value, dict):
            yield number, value
        else:
            notes.skip("not a JSON object", f"{file.name}:{number}")


def _quoted_rows(text: str, delimiter: str) -> list[Row] | None:
    """None where the quoting is broken somewhere."""
    if '"' not in text:
        return None  # the plain way does as well, and faster
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: list[Row] = []
    begins = 1
    try:
        with _cells_as_long_as(text):
            for cells in reader:
                rows.append(Row(begins, cells))
                begins = reader.line_num + 1
    except csv.Error:
        return None
    return rows


@contextmanager
def _cells_as_long_as(text: str) -> Iterator[None]:
    """Python's csv takes a cell of more than 131,072 characters for an error; its limit is one for the whole process,
    so that it is raised for one reader at a time, and put back."""
    with _one_limit:
        before = csv.field_size_limit()
        csv.field_size_limit(max(before, min(len(text), LONGEST_CELL)))
        try:
            yield
        finally:
            csv.field_size_limit(before)
