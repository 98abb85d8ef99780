"""What a data set is, in words that the reader understands: its files, their columns, its labels and its figures."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal


@dataclass(frozen=True)
class Layout:
    """How the rows of a file are written."""

    first: str
    """Column of the text, or of the first of two."""
    second: str | None = None
    answer: str = "label"
    """Column of the label or the number."""
    id: str = "index"
    """Column that names a row in predictions; where a file has none, rows are counted from 0."""
    columns: tuple[str, ...] | None = None
    """Names of the columns of a file whose first line does not name them."""
    kind: Literal["tsv", "json"] = "tsv"
    """Cells between tabs without quoting, or one JSON object on each line."""
    spelling: Mapping[str, str] = field(default_factory=dict)
    """What stands in the file → the official label, where they differ."""
    only: tuple[str, str] | None = None
    """(column, value): other rows belong to another split."""
    may_lack: tuple[str, ...] = ()
    """Last columns before which a row may end."""
    skip_broken: bool = False
    """Rows with another number of cells are passed over: the published file has some."""


@dataclass(frozen=True)
class DataFile:
    """A file that a split may come as, plain or compressed."""

    name: str
    layout: Layout
    continued: str | None = None
    """File whose rows follow."""
    needs_answers: bool = True
    """Whether the column of answers has to be there."""
    remark: str = ""
    """What the user should know when this file is taken."""

    @property
    def names(self) -> tuple[str, ...]:
        """One or two."""
        return (self.name,) if self.continued is None else (self.name, self.continued)


@dataclass(frozen=True)
class Submission:
    """The file that predictions are handed in as: cells between tabs under a header."""

    name: str
    columns: tuple[str, ...] = ("index", "prediction")
    """The first holds what names the row."""
    answer: str = "prediction"
    """The column that is filled; others hold NA."""
    by_split: Mapping[str, str] = field(default_factory=dict)
    """Names of files of splits that have their own."""

    def file_name(self, split: str) -> str:
        """Of the predictions for `split`."""
        return self.by_split.get(split, self.name)


@dataclass(frozen=True)
class Dataset:
    """A published data set: sentences or pairs, each with a label or a number."""

    name: str
    title: str
    items: str
    fetch: str
    folders: tuple[str, ...]
    """Names of the folder that it comes in; its files may also lie in the folder given."""
    files: Mapping[str, tuple[DataFile, ...]]
    """Split → the files that it may come as; the first that is there is read."""
    metrics: tuple[str, ...]
    submission: Submission
    labels: tuple[str, ...] = ()
    """Official names, whose order gives the ids; none where the answer is a number."""
    scale: tuple[float, float] | None = None
    """Least and largest number, where the answer is one."""
    no_gold: str | None = None
    """What stands for a label where annotators agreed on none; such rows are passed over."""
    scored: tuple[str, ...] = ("dev",)
    borrows: str | None = None
    """Task with the same labels, whose head answers this one, which has no training data."""
    paper: float | None = None
    passes: float = 5.0

    @property
    def is_pair(self) -> bool:
        """Whether its rows hold two texts."""
        return any(file.layout.second is not None for several in self.files.values() for file in several)
