"""Tables of text: the cells of each row by the names of their columns, and the line on which it stood.

Three ways of writing one: cells between tabs without any quoting (GLUE and its kin), cells that may be quoted
(anybody's .csv), and one JSON object on each line. What is malformed ends with one line that names the place.
"""

import json
import os
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from atinuke.config import nearest, one_line
from atinuke.data.documents import shown
from atinuke.data.rows import Row, RowNotes, TextFile, iter_cells, iter_lines, read_file
from atinuke.errors import SourceError
from atinuke.tasks.task import Spot

MOST_NAMED = 12
"""So many columns are named of those that a table has."""


@dataclass(frozen=True)
class TextRow:
    """One row, as it was written: nothing is trimmed."""

    spot: Spot
    cells: Mapping[str, str]

    def __getitem__(self, column: str) -> str:
        """The cell in `column`; SourceError where this row has none."""
        if column not in self.cells:
            raise SourceError(f"{self.spot} has no text in {shown(column)}. Add it, or leave the row out.")
        return self.cells[column]


@dataclass(frozen=True)
class TextTable:
    """The rows of one file."""

    name: str
    """Of the file, safe to show."""
    columns: tuple[str, ...]
    rows: Iterator[TextRow]
    """Once, in file order; SourceError on the way names what is malformed."""

    def require(self, *columns: str) -> None:
        """SourceError, naming the columns there are, when one of these is missing."""
        for column in columns:
            if column not in self.columns:
                there = ", ".join(map(shown, self.columns[:MOST_NAMED]))
                more = ", …" if len(self.columns) > MOST_NAMED else ""
                raise SourceError(
                    f"{self.name} has no column {shown(column)}; its columns are {there}{more}."
                    f"{nearest(column, self.columns)} Expected the file as it was published."
                )


def read_tsv(
    path: str | Path,
    notes: RowNotes,
    columns: Sequence[str] | None = None,
    *,
    may_lack: Collection[str] = (),
    skip_broken: bool = False,
) -> TextTable:
    """Cells between tabs, one row on each line; a quote sign is a letter like any other. Blank lines are no rows.

    `columns` names them where the first line does not. A row may end before the last columns if they are among
    `may_lack`. One with another number of cells is a SourceError, or with `skip_broken` passed over and counted.
    """
    file = read_file(os.fspath(path), notes)
    lines = ((number, line) for number, line in enumerate(iter_lines(file.text), start=1) if line.strip())
    rows = (Row(number, line.split("\t")) for number, line in lines)
    names = tuple(columns) if columns is not None else _header(next(rows).cells, file)
    return TextTable(file.name, names, _whole_rows(file, names, rows, "tabs", may_lack, notes if skip_broken else None))


def read_csv(path: str | Path, notes: RowNotes) -> TextTable:
    """Cells that may be quoted as RFC 4180 has it, the first row naming the columns: .tsv and .tab by tabs, others by
    `,`, `;` or tab, whichever the header has most of."""
    file = read_file(os.fspath(path), notes)
    header_line = file.text.lstrip().partition("\n")[0]
    delimiter = "\t" if file.ending in (".tsv", ".tab") else max(",;\t", key=header_line.count)
    rows = iter_cells(file.text, delimiter)
    header = next(rows, None)
    if header is None:
        raise SourceError(f"{file.name} has only blank cells; expected a first row that names the columns.")
    names = _header(header.cells, file)
    return TextTable(file.name, names, _whole_rows(file, names, rows, "tabs" if delimiter == "\t" else delimiter))


def read_json_lines(path: str | Path, notes: RowNotes) -> TextTable:
    """One JSON object on each line; the columns are the keys of the first. A number or a truth value counts as the text
    that it is written as; null, lists and objects are no cells. Blank lines are no rows."""
    file = read_file(os.fspath(path), notes)
    objects = _objects(file)
    first = next(objects)  # read_file gives no blank text
    rows = (TextRow(spot, _cells(value, spot)) for spot, value in chain([first], objects))
    return TextTable(file.name, tuple(first[1]), rows)


def _header(cells: Sequence[str], file: TextFile) -> tuple[str, ...]:
    names = tuple(cell.strip().strip("\ufeff").strip() for cell in cells)
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise SourceError(
            f"{file.name} has {names.count(twice[0])} columns of the name {shown(twice[0]) or '(none)'}; "
            "expected a first row that gives each its own."
        )
    return names


def _whole_rows(
    file: TextFile,
    columns: tuple[str, ...],
    rows: Iterator[Row],
    delimiter: str,
    may_lack: Collection[str] = (),
    notes: RowNotes | None = None,
) -> Iterator[TextRow]:
    """`notes`: count the others there; none: refuse them."""
    fewest = len(columns)
    while fewest and columns[fewest - 1] in may_lack:
        fewest -= 1
    for row in rows:
        spot = Spot(file.name, row.line)
        if fewest <= len(row.cells) <= len(columns):
            yield TextRow(spot, dict(zip(columns, row.cells, strict=False)))
        elif notes is not None:
            notes.skip("another number of cells than there are columns", str(spot))
        else:
            raise SourceError(
                f"{spot} has {_counted(len(row.cells))} between {delimiter}; expected {len(columns)}, one for each "
                "column. Mend the line, or leave it out."
            )


def _counted(cells: int) -> str:
    return "1 cell" if cells == 1 else f"{cells:,} cells"


def _objects(file: TextFile) -> Iterator[tuple[Spot, dict[str, Any]]]:
    for number, line in enumerate(iter_lines(file.text), start=1):
        if not line.strip():
            continue
        spot = Spot(file.name, number)
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SourceError(
                f"{spot} is not JSON: {shown(one_line(error))}. Expected one object on each line."
            ) from error
        if not isinstance(value, dict):
            raise SourceError(f"{spot} holds a JSON {type(value).__name__}; expected one object on each line.")
        yield spot, value


def _cells(value: Mapping[str, Any], spot: Spot) -> dict[str, str]:
    cells: dict[str, str] = {}
    for key, cell in value.items():
        if not isinstance(cell, str | int | float):
            continue
        text = str(cell).lower() if isinstance(cell, bool) else str(cell)
        if any("\ud800" <= sign <= "\udfff" for sign in text):
            raise SourceError(f"{spot} has half of a surrogate pair in {shown(key)}, which is no character. Mend it.")
        cells[key] = text
    return cells
