"""Files of a described data set → its examples: finding the files, and what each row says."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from math import isfinite
from pathlib import Path

from atinuke.data.archives import COMPRESSIONS
from atinuke.data.documents import shown
from atinuke.data.rows import RowNotes
from atinuke.durable import printable
from atinuke.errors import ConfigError, SourceError
from atinuke.tasks.sentences.described import DataFile, Dataset, Layout
from atinuke.tasks.task import Spot
from atinuke.tasks.tsv import read_json_lines, read_tsv

COMPRESSED = ("", *COMPRESSIONS)
"""What may follow the name of a file."""

Answer = str | float
"""A label, or a number."""


@dataclass(frozen=True)
class TextExample:
    """A text or a pair of texts, and what is right of it."""

    id: str
    """Names it in predictions: what the data set calls it, or the number of its row."""
    first: str
    second: str | None
    answer: Answer | None
    """None where it is not published."""
    split: str
    spot: Spot


def read_split(dataset: Dataset, data: Path, split: str, notes: RowNotes) -> list[TextExample]:
    """The examples of a split, in file order. SourceError names the line that is not as published."""
    file, paths = find_split(dataset, data, split)
    if file.remark:
        notes.remarks.append(f"{printable(paths[0])}: {file.remark}")
    numbers = count()
    examples = [example for path in paths for example in _read_file(dataset, file, path, split, numbers, notes)]
    if not examples:
        passed_over = "; ".join(f"{reason}: {number:,}" for reason, number in notes.counts.items())
        raise SourceError(
            f"{printable(paths[0])} has no examples of {dataset.title} ({passed_over or 'no rows below its header'}); "
            "expected one on each line."
        )
    return examples


def find_split(dataset: Dataset, data: Path, split: str) -> tuple[DataFile, list[Path]]:
    """The files that a split is read from: those described first, of those that are there."""
    if split not in dataset.files:
        others = ", ".join(dataset.files)
        hint = f" A network that was tuned for {dataset.borrows} answers it." if dataset.borrows is not None else ""
        raise ConfigError(f"{dataset.title} has no split {shown(split)}; it has {others}.{hint}")
    if not os.path.isdir(data):
        what = "is a file" if os.path.isfile(data) else "does not exist"
        raise SourceError(f"{printable(data)} {what}; expected the folder with the files of {dataset.title}.")
    folders = [data, *(data / name for name in dataset.folders), *(data / "glue" / name for name in dataset.folders)]
    for file in dataset.files[split]:
        for folder in folders:
            found = [present(folder / name) for name in file.names]
            paths = [path for path in found if path is not None]
            if len(paths) == len(found):
                return file, paths
            if paths:
                missing = file.names[found.index(None)]
                raise SourceError(f"{printable(paths[0])} is half of the split {split}; add {missing} beside it.")
    names = ", ".join(" + ".join(file.names) for file in dataset.files[split])
    raise SourceError(
        f"{printable(data)} has no {split} split of {dataset.title}: looked for {names} there and in "
        f"{', '.join(dataset.folders)}. {dataset.fetch}"
    )


def present(path: Path) -> Path | None:
    """The file at `path`, or the same compressed."""
    for ending in COMPRESSED:
        candidate = path.with_name(path.name + ending)
        if os.path.isfile(candidate):
            return candidate
    return None


def in_one_line(text: str) -> str:
    """The text with single spaces for all white space: names of rows and labels stand between tabs."""
    return " ".join(text.split())


def number_in(cell: str) -> float | None:
    """The finite number in a cell; Python's own 1_000 is not one."""
    try:
        value = float(cell)
    except ValueError:
        return None
    return value if isfinite(value) and "_" not in cell else None


def _read_file(
    dataset: Dataset, file: DataFile, path: Path, split: str, numbers: Iterator[int], notes: RowNotes
) -> list[TextExample]:
    layout = file.layout
    if layout.kind == "json":
        table = read_json_lines(path, notes)
    else:
        table = read_tsv(path, notes, layout.columns, may_lack=layout.may_lack, skip_broken=layout.skip_broken)
    table.require(layout.first, *((layout.second,) if layout.second is not None else ()))
    if file.needs_answers:
        table.require(layout.answer)
    if layout.only is not None:
        table.require(layout.only[0])
    has_id, has_answer = layout.id in table.columns, layout.answer in table.columns
    examples = []
    for row in table.rows:
        if layout.only is not None and row[layout.only[0]].strip() != layout.only[1]:
            continue
        number = next(numbers)
        answer = row[layout.answer].strip() if has_answer else None
        if answer is not None and answer == dataset.no_gold:
            notes.skip("annotators agreed on no label", str(row.spot))
            continue
        examples.append(
            TextExample(
                id=in_one_line(row[layout.id]) if has_id else str(number),
                first=row[layout.first].strip(),
                second=row[layout.second].strip() if layout.second is not None else None,
                answer=_answer(answer, dataset, layout, row.spot) if answer is not None else None,
                split=split,
                spot=row.spot,
            )
        )
    return examples


def _answer(cell: str, dataset: Dataset, layout: Layout, spot: Spot) -> Answer:
    if dataset.scale is None:
        label = layout.spelling.get(cell, cell)
        if label in dataset.labels:
            return label
        expected = f"a label of {dataset.title}: {', '.join(dataset.labels)}"
    else:
        least, most = dataset.scale
        number = number_in(cell)
        if number is not None and least <= number <= most:
            return number
        expected = f"a number from {least:g} to {most:g}"
    raise SourceError(f"{spot} has {shown(cell)!r} in column {shown(layout.answer)}; expected {expected}.")
