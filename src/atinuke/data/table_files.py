"""Files of numbers in columns → a table: which cells are numbers, which column is asked for, and what it holds."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NoReturn, Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from atinuke.config import nearest
from atinuke.data.documents import shown
from atinuke.data.rows import Row, RowNotes, TextFile, iter_cells, read_file
from atinuke.data.sources import Sources
from atinuke.errors import SourceError

Task: TypeAlias = Literal["classification", "regression"]
Labels: TypeAlias = NDArray[np.int64] | NDArray[np.float32]

MOST_NUMBERED_CLASSES = 20
"""Whole numbers of at most so many kinds are taken for names of classes."""
NAMED_CLASSES = 3
"""So many are named of the classes that were not trained on."""
LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Table:
    """Rows of numbers, and what is to be found from each."""

    columns: tuple[str, ...]
    numbers: NDArray[np.float32]
    """(N, n): one row each, in the order of `columns`."""
    labels: Labels
    """(N,): ids of classes (int64), or numbers (float32)."""
    classes: tuple[str, ...]
    """Name of each id; none for numbers."""
    label: str
    """Name of the column that the labels stood in."""
    name: str
    specs: tuple[str, ...]
    notes: RowNotes
    """What was passed over, and why."""

    @property
    def task(self) -> Task:
        """What is asked: to choose a class, or to give a number."""
        return "classification" if self.classes else "regression"

    @classmethod
    def without_rows(cls, columns: Sequence[str], label: str, classes: Sequence[str]) -> Self:
        """What others are to be like, where the rows themselves are not at hand."""
        numbers = np.empty((0, len(columns)), dtype=np.float32)
        labels = np.empty(0, dtype=np.int64) if classes else np.empty(0, dtype=np.float32)
        return cls(tuple(columns), numbers, labels, tuple(classes), label, "no rows", (), RowNotes())

    def __len__(self) -> int:
        return len(self.numbers)

    def taking(self, rows: NDArray[np.bool_]) -> "Table":
        """The table of these rows alone."""
        return replace(self, numbers=self.numbers[rows], labels=self.labels[rows])


@dataclass(frozen=True)
class _Cells:
    """Rows as they were written, with their places; all have a cell for each column."""

    columns: tuple[str, ...]
    rows: list[tuple[str, list[str]]]
    origin: str


def read_table(
    specs: Sequence[str] | str,
    label: str | None = None,
    task: Task | None = None,
    *,
    like: Table | None = None,
    keep_unknown: bool = False,
) -> Table:
    """The table in some files with equal headers, each plain or compressed: .tsv by tabs, others by `,`, `;` or tab,
    whichever the header has most of. The first row of a file names its columns.

    `label` names the column that is to be found from the others; none: the last. `task` none: classification, unless
    all labels are numbers and not just whole numbers of at most MOST_NUMBERED_CLASSES kinds. `like`: the table that
    this one is to be scored beside, whose columns, classes and task hold here too; a row of another class is skipped,
    or with `keep_unknown` kept, its class behind those of `like`.

    A row with a missing cell, or with one that is no finite number, is skipped. A column without any number is left
    out, and that is said. SourceError when the label column is missing or nothing is left.
    """
    specs = (specs,) if isinstance(specs, str) else tuple(specs)
    if not specs:
        raise SourceError("--examples names no table; expected a .csv or .tsv file with a header.")
    notes = RowNotes()
    cells = _cells_of_all(specs, notes)
    place = _find_label(cells, label if like is None else like.label)
    columns = _choose_columns(cells, place, like, notes)
    task, classes = _choose_task(cells, place, task, like, keep_unknown)
    ids = {name: id for id, name in enumerate(classes)}
    numbers: list[list[float]] = []
    labels: list[float] = []
    for where, row in cells.rows:
        values = [_number(row[column]) for column in columns]
        answer = _number(row[place]) if task == "regression" else ids.get(row[place].strip())
        if None in values:
            column = cells.columns[columns[values.index(None)]]
            empty = not row[columns[values.index(None)]].strip()
            notes.skip(f"{'missing' if empty else 'not a number'} in column {shown(column)}", where)
        elif answer is None:
            what = "missing" if not row[place].strip() else "not a number" if task == "regression" else "unknown class"
            notes.skip(f"{what} in column {shown(cells.columns[place])}", where)
        else:
            numbers.append([value for value in values if value is not None])
            labels.append(answer)
    if not numbers:
        _refuse_empty(cells, notes)
    if like is not None and classes:
        _remark_unknown([classes[int(id)] for id in labels if id >= len(like.classes)], notes)
    table = Table(
        columns=tuple(cells.columns[column] for column in columns),
        numbers=np.array(numbers, dtype=np.float32).reshape(len(numbers), len(columns)),
        labels=np.array(labels, dtype=np.int64) if classes else np.array(labels, dtype=np.float32),
        classes=classes,
        label=cells.columns[place],
        name=Sources([specs[0]]).name,
        specs=specs,
        notes=notes,
    )
    return _without_lost_classes(table) if like is None else table


def read_rows(spec: str, columns: Sequence[str]) -> tuple[NDArray[np.float32], list[str], RowNotes]:
    """Rows to be answered: the numbers (N, n) of `columns` in a file that may have others, and each row's place.

    A row with a missing cell, or with one that is no finite number, is skipped. SourceError for a missing column.
    """
    notes = RowNotes()
    cells = _cells_of(read_file(spec, notes), notes)
    missing = [column for column in columns if column not in cells.columns]
    if missing:
        there = ", ".join(map(shown, cells.columns))
        raise SourceError(
            f"{cells.origin} has no column {shown(missing[0])}, which was trained on; it has {there}. Add it."
        )
    places = [cells.columns.index(column) for column in columns]
    numbers, names = [], []
    for where, row in cells.rows:
        values = [_number(row[place]) for place in places]
        if None in values:
            column = shown(columns[values.index(None)])
            notes.skip(f"missing or not a number in column {column}", where)
        else:
            numbers.append(values)
            names.append(where)
    if not numbers:
        _refuse_empty(cells, notes)
    return np.array(numbers, dtype=np.float32), names, notes


def _cells_of_all(specs: Sequence[str], notes: RowNotes) -> _Cells:
    """The rows of files with equal headers, one after the other; of two columns at least."""
    parts = [_cells_of(read_file(spec, notes), notes) for spec in specs]
    cells = parts[0]
    if len(cells.columns) < 2:
        name = shown(cells.columns[0])
        raise SourceError(
            f"{cells.origin} has one column, {name}; expected two at least: numbers, and what is to be found."
        )
    for other in parts[1:]:
        if other.columns != cells.columns:
            raise SourceError(f"{other.origin} has other columns than {cells.origin}; tables of one run have the same.")
        cells.rows.extend(other.rows)
    return cells


def _cells_of(file: TextFile, notes: RowNotes) -> _Cells:
    header_line = file.text.lstrip().partition("\n")[0]
    delimiter = "\t" if file.ending in (".tsv", ".tab") else max(",;\t", key=header_line.count)
    written = list(iter_cells(file.text, delimiter))
    if not written:
        raise SourceError(f"{file.name} has only blank cells; expected a first row that names the columns.")
    header, *rows = written
    columns = tuple(cell.strip().strip("\ufeff") or f"column {n}" for n, cell in enumerate(header.cells, start=1))
    if all(_number(column) is not None for column in columns):
        raise SourceError(f"{file.name} begins with numbers; expected a first row that names the columns. Add one.")
    twice = [column for column, count in Counter(columns).items() if count > 1]
    if twice:
        raise SourceError(f"{file.name} has two columns of the name {shown(twice[0])}; give each its own.")
    return _Cells(columns, _whole_rows(file, rows, len(columns), notes), file.name)


def _whole_rows(file: TextFile, rows: list[Row], width: int, notes: RowNotes) -> list[tuple[str, list[str]]]:
    kept: list[tuple[str, list[str]]] = []
    for row in rows:
        if len(row.cells) == width:
            kept.append((f"{file.name}:{row.line}", row.cells))
        else:
            notes.skip("another number of cells than the header has", f"{file.name}:{row.line}")
    return kept


def _find_label(cells: _Cells, label: str | None) -> int:
    if label is None:
        return len(cells.columns) - 1
    if label not in cells.columns:
        there = ", ".join(map(shown, cells.columns))
        raise SourceError(
            f"{cells.origin} has no column {shown(label)}; its columns are {there}.{nearest(label, cells.columns)} "
            "Name the one that is to be found with --set data.label=NAME."
        )
    return cells.columns.index(label)


def _choose_columns(cells: _Cells, label: int, like: Table | None, notes: RowNotes) -> list[int]:
    """Places of the columns that hold numbers."""
    if like is not None:
        missing = [column for column in like.columns if column not in cells.columns]
        if missing:
            raise SourceError(f"{cells.origin} has no column {shown(missing[0])}, which was trained on. Add it.")
        return [cells.columns.index(column) for column in like.columns]
    others = [place for place in range(len(cells.columns)) if place != label]
    kept = [place for place in others if any(_number(row[place]) is not None for _, row in cells.rows)]
    if cells.rows and not kept:
        named = ", ".join(shown(cells.columns[place]) for place in others)
        raise SourceError(f"{cells.origin} has no numbers in its columns {named}. Give a table of numbers.")
    for place in others:
        if cells.rows and place not in kept:
            notes.remarks.append(f"Left out column {shown(cells.columns[place])}: it holds no number.")
    return kept


def _choose_task(
    cells: _Cells, label: int, task: Task | None, like: Table | None, keep_unknown: bool
) -> tuple[Task, tuple[str, ...]]:
    """What is asked, and the names of the classes."""
    names = {row[label].strip() for _, row in cells.rows} - {""}
    if like is not None:
        others = sorted(names - set(like.classes)) if like.classes and keep_unknown else ()
        return like.task, (*like.classes, *others)
    numbers = [_number(name) for name in names]
    are_numbers = None not in numbers
    if task is None:
        are_whole = are_numbers and all(number is not None and number.is_integer() for number in numbers)
        few = len(names) <= MOST_NUMBERED_CLASSES
        task = "regression" if are_numbers and not (are_whole and few) else "classification"
    if task == "regression":
        return task, ()
    in_order = sorted(names, key=lambda name: (_number(name) or 0.0, name)) if are_numbers else sorted(names)
    return task, tuple(in_order)


def _number(cell: str) -> float | None:
    """The finite number in a cell, if float32 can hold it; None otherwise. Python's own 1_000 is not one."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if math.isfinite(value) and abs(value) <= LARGEST and "_" not in cell else None


def _remark_unknown(names: list[str], notes: RowNotes) -> None:
    if names:
        first = [shown(name) for name in dict.fromkeys(names)]
        named = ", ".join(first[:NAMED_CLASSES]) + (", …" if len(first) > NAMED_CLASSES else "")
        rows = "1 row is" if len(names) == 1 else f"{len(names):,} rows are"
        notes.remarks.append(f"{rows} of a class that was not trained on: {named}.")


def _refuse_empty(cells: _Cells, notes: RowNotes) -> NoReturn:
    reasons = "; ".join(f"{reason}: {count:,}" for reason, count in notes.counts.items())
    raise SourceError(
        f"{cells.origin} gives no row to learn from ({reasons or 'no rows below the header'}). Give rows of numbers."
    )


def _without_lost_classes(table: Table) -> Table:
    """The table without classes all of whose rows were skipped. SourceError when fewer than two are left."""
    if not table.classes:
        return table
    used = np.unique(table.labels).astype(np.int64)
    if len(used) < 2:
        name = shown(table.classes[used[0]])
        raise SourceError(
            f"Column {shown(table.label)} holds one class only, {name}; expected two at least. "
            "Give rows of another class, or name another column with --set data.label=NAME."
        )
    names = tuple(table.classes[id] for id in used)
    return replace(table, classes=names, labels=np.searchsorted(used, table.labels).astype(np.int64))
