"""What a task is: its data as published, a head on a network, and its official score.

    files ─ read ─► examples ─ rows ─► Batch ─► network ─► head ─ decode ─► predictions ─ score ─► Scores
                       └── learn: labels, widths …

No torch here: reading and scoring need none.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from atinuke.data.rows import RowNotes
from atinuke.errors import SourceError
from atinuke.tokenizers.reading import Reader

if TYPE_CHECKING:
    from torch import Tensor, nn

E = TypeVar("E")
"""An example: a frozen dataclass of the task's own."""


@dataclass(frozen=True)
class Spot:
    """Where an example stood in its file."""

    file: str
    """As shown to users."""
    line: int = 0
    """From 1; 0 where the format has no lines."""

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


@dataclass(frozen=True)
class Row:
    """One row for the network, made of one example or of a part of it."""

    ids: NDArray[np.int64]
    """(T,): framed, special ids included."""
    segments: NDArray[np.int64]
    """(T,): 0 or 1."""
    example: int
    """Number of the example in its split."""
    marks: tuple[NDArray[np.int64], ...] = ()
    """Further inputs of the head, each (T,) or (n,); in a batch padded with −1 along the first axis."""
    targets: tuple[NDArray[Any], ...] = ()
    """Each a scalar, (T,) or (n, …), int64 or float32; padded with IGNORE or nan; () where nothing is known."""
    place: tuple[int, ...] = ()
    """What the task needs to find its way back; the network is not given it."""

    def __len__(self) -> int:
        return len(self.ids)


class NoAnswersError(SourceError):
    """A split whose answers are kept elsewhere: there are predictions, and nothing to score them with."""


@dataclass(frozen=True)
class Scores:
    """Figures of a split, as the official scorer prints them."""

    main: str
    """Key of the figure that stands for the task."""
    values: dict[str, float]
    """In print order."""
    counts: dict[str, int] = field(default_factory=dict)
    """Examples, and whatever was counted on the way."""

    @property
    def value(self) -> float:
        """The figure that stands for the task."""
        return self.values[self.main]


class Described:
    """What is said of a task, with a head or without one."""

    name: ClassVar[str]
    """On the command line: squad."""
    title: ClassVar[str]
    """In tables: SQuAD 1.1."""
    items: ClassVar[str]
    """What examples are called, in the plural."""
    metrics: ClassVar[tuple[str, ...]]
    """Keys of the figures, the main one first."""
    fetch: ClassVar[str]
    """What to fetch where data is missing, and how its files must lie."""
    splits: ClassVar[tuple[str, ...]] = ("train", "dev", "test")
    scored: ClassVar[tuple[str, ...]] = ("dev",)
    """Splits that are scored when a run is done."""
    paper: ClassVar[float | None] = None
    """The value in arXiv:2401.16736, Table 1, where it has one."""


class Task(Described, ABC, Generic[E]):
    """A task with a head. Made by `learn` from training examples, or by `from_facts` from a tuned run."""

    passes: ClassVar[float] = 5.0
    """How often the training data is seen where --time does not end it before."""
    batch_rows: ClassVar[int] = 32
    group: ClassVar[bool] = False
    """Whether all rows of one example make one batch: the windows of a document."""
    max_tokens: ClassVar[int | None] = None
    """Longest row; None: the network's context."""
    borrows: ClassVar[str | None] = None
    """Name of a task whose head answers this one, which has no training data of its own."""
    needs_two_passes: ClassVar[bool] = False
    """Whether predictions come from examples that a first pass made (`second_pass`)."""

    @classmethod
    @abstractmethod
    def read(cls, data: Path, split: str, notes: RowNotes) -> list[E]:
        """The examples of a split from the folder `data`, in file order. SourceError names file and line."""

    @classmethod
    @abstractmethod
    def learn(cls, examples: Sequence[E]) -> Self:
        """What has to be known from the training examples."""

    @property
    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """What `from_facts` makes it of again, as JSON has it."""

    @classmethod
    @abstractmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """The task as it was learned."""

    @abstractmethod
    def check(self, examples: Sequence[E]) -> None:
        """SourceError, with its file and line, for a label that was not learned."""

    @abstractmethod
    def rows(self, number: int, example: E, reader: Reader, max_tokens: int, *, with_targets: bool) -> list[Row]:
        """The rows of example `number`; one that is too long gives several, or is cut."""

    @abstractmethod
    def head(self, width: int, dropout: float) -> "nn.Module":
        """(hidden (B, T, width), is_token (B, T), *marks) → a tensor, or a tuple of tensors."""

    @abstractmethod
    def loss(self, output: Any, targets: tuple["Tensor", ...]) -> "Tensor":
        """Mean over what counts, in float32. IGNORE and nan do not count."""

    @abstractmethod
    def decode(
        self, examples: Sequence[E], rows: Sequence[Row], outputs: Sequence[tuple[NDArray[Any], ...]]
    ) -> list[Any]:
        """One prediction for each example, in order; `outputs` are what the head gave for each of the rows."""

    def second_pass(self, examples: Sequence[E], predictions: Sequence[Any]) -> list[E]:
        """Examples that the first predictions ask for, where the task needs two passes."""
        raise NotImplementedError

    def join_passes(
        self, examples: Sequence[E], first: Sequence[Any], asked: Sequence[E], second: Sequence[Any]
    ) -> list[Any]:
        """One prediction for each of `examples`, from those of both passes."""
        raise NotImplementedError

    @abstractmethod
    def score(self, examples: Sequence[E], predictions: Sequence[Any]) -> Scores:
        """By the official rules."""

    @abstractmethod
    def write_predictions(self, path: Path, examples: Sequence[E], predictions: Sequence[Any]) -> list[Path]:
        """The files of the official submission format, in the folder `path`."""

    @abstractmethod
    def read_predictions(self, path: Path, examples: Sequence[E], notes: RowNotes) -> list[Any]:
        """The same back. SourceError for malformed lines, and for ids that the official scorer does not tolerate."""
