"""What a task by probability is: texts, and what follows from how likely a network finds them. No torch here."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from atinuke.data.rows import RowNotes
from atinuke.tasks.task import Described, Scores


@dataclass(frozen=True)
class Likelihood:
    """How a network finds a continuation."""

    nats: float
    """−ln of its probability after its context; of an encoder, the sum over tokens hidden one by one."""
    is_greedy: bool
    """Whether each of its tokens was the likeliest."""
    tokens: int


@dataclass(frozen=True)
class TextLikelihood:
    """How a network finds a whole text, in windows."""

    nats: float
    tokens: int
    bytes: int


class Scorer(Protocol):
    """A network that is asked."""

    @property
    def kind(self) -> str:
        """What its numbers are: "log-likelihood", or "pseudo-log-likelihood" of an encoder."""

    def nats(self, texts: Sequence[tuple[str, str]]) -> list[Likelihood]:
        """Of each (context, continuation)."""

    def whole(self, texts: Sequence[str]) -> list[TextLikelihood]:
        """Of each text, as long as it may be: the protocol of bits per byte."""


class ProbabilityTask(Described, ABC):
    """A task without a head."""

    @classmethod
    @abstractmethod
    def read(cls, data: Path, split: str, notes: RowNotes) -> list[Any]:
        """The examples of a split from `data`. SourceError names file and line."""

    @classmethod
    @abstractmethod
    def score(
        cls, scorer: Scorer, examples: Sequence[Any], say: Callable[[str], None]
    ) -> tuple[Scores, list[dict[str, Any]]]:
        """The figures, and what was found for each example."""
