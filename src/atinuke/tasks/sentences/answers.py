"""What a text is answered with: one of some labels, or a number. What a task knows of its answers, it knows here.

Only the losses need torch, and import it.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from numpy.typing import NDArray

from atinuke.data.documents import shown
from atinuke.errors import ConfigError, SourceError
from atinuke.tasks.sentences.metrics import OF_CLASSES, OF_NUMBERS
from atinuke.tasks.sentences.texts import Answer, TextExample, number_in
from atinuke.tasks.task import Spot

if TYPE_CHECKING:
    from torch import Tensor

MOST_NAMED = 12
DECIMALS = 6
"""Of predicted numbers: what is written is what was scored."""


class Answers(ABC):
    """How answers become targets, and what a head says becomes an answer."""

    @property
    @abstractmethod
    def outputs(self) -> int:
        """Numbers that the head gives for each text."""

    @property
    @abstractmethod
    def facts(self) -> dict[str, Any]:
        """As JSON has it."""

    @abstractmethod
    def check(self, examples: Sequence[TextExample]) -> None:
        """SourceError, with its place, for an answer that cannot be given."""

    @abstractmethod
    def target(self, answer: Answer) -> NDArray[Any]:
        """() for the loss."""

    @abstractmethod
    def loss(self, output: "Tensor", target: "Tensor") -> "Tensor":
        """Of outputs (B, outputs) and targets (B,)."""

    @abstractmethod
    def said(self, output: NDArray[Any]) -> Answer:
        """The answer that the head gives with (outputs,)."""

    @abstractmethod
    def parse(self, cell: str, spot: Spot) -> Answer:
        """The answer in a cell of somebody's predictions."""

    @abstractmethod
    def figures(self, metrics: Sequence[str], gold: Sequence[Answer], found: Sequence[Answer]) -> dict[str, float]:
        """Key → value, in the order of `metrics`."""


@dataclass(frozen=True)
class Labels(Answers):
    """One of some labels; their order gives the ids."""

    labels: tuple[str, ...]
    are_all: bool = True
    """Whether there can be no others; where they come from training data, somebody's predictions may have more."""

    @classmethod
    def seen_in(cls, examples: Sequence[TextExample]) -> Self:
        """The labels of training examples: numbers by size, others by alphabet. Two at least."""
        answers = published(examples)
        labels = {str(answer) for answer in answers}
        if len(labels) < 2:
            raise SourceError(
                f"{examples[0].spot.file} has one label only, {shown(next(iter(labels)))}; expected two at least. "
                "Give texts of another label too."
            )
        numbers = {label: number_in(label) for label in labels}
        are_numbers = None not in numbers.values()
        in_order = sorted(labels, key=lambda label: (numbers[label] or 0.0 if are_numbers else 0.0, label))
        return cls(tuple(in_order), are_all=False)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], *, are_all: bool = True) -> Self:
        """The labels as they were learned; ConfigError for anything else."""
        labels = facts.get("labels")
        if not isinstance(labels, list) or len(labels) < 2 or not all(isinstance(label, str) for label in labels):
            raise ConfigError(f"The tuned run names no labels (found {shown(repr(labels))}); tune it again.")
        return cls(tuple(labels), are_all)

    @property
    def outputs(self) -> int:
        return len(self.labels)

    @property
    def facts(self) -> dict[str, Any]:
        return {"labels": list(self.labels)}

    @property
    def named(self) -> str:
        """The labels, for people."""
        return ", ".join(map(shown, self.labels[:MOST_NAMED])) + (", …" if len(self.labels) > MOST_NAMED else "")

    def check(self, examples: Sequence[TextExample]) -> None:
        known = set(self.labels)
        for example in examples:
            if example.answer is not None and example.answer not in known:
                raise SourceError(
                    f"{example.spot} has the label {shown(str(example.answer))!r}, which was not in the training data; "
                    f"learned were {self.named}. Mend it, or train on examples of it."
                )

    def target(self, answer: Answer) -> NDArray[Any]:
        return np.array(self.labels.index(str(answer)), dtype=np.int64)

    def loss(self, output: "Tensor", target: "Tensor") -> "Tensor":
        """Mean nats per text: −ln of the softmax probability of the right label."""
        import torch.nn.functional as F

        from atinuke.data.batches.batch import IGNORE

        return F.cross_entropy(output.float(), target, ignore_index=IGNORE)

    def said(self, output: NDArray[Any]) -> Answer:
        return self.labels[int(np.argmax(output))]

    def parse(self, cell: str, spot: Spot) -> Answer:
        if not cell or (self.are_all and cell not in self.labels):
            raise SourceError(f"{spot} predicts {shown(cell)!r}; expected a label: {self.named}.")
        return cell

    def figures(self, metrics: Sequence[str], gold: Sequence[Answer], found: Sequence[Answer]) -> dict[str, float]:
        ids: dict[Answer, int] = {label: id for id, label in enumerate(self.labels)}
        gold_ids = np.array([ids[answer] for answer in gold], dtype=np.int64)
        # a predicted label that was never learned is wrong, and a class of its own
        found_ids = np.array([ids.setdefault(answer, len(ids)) for answer in found], dtype=np.int64)
        return {key: OF_CLASSES[key](gold_ids, found_ids) for key in metrics}


@dataclass(frozen=True)
class Ratings(Answers):
    """A number on a scale. The head learns it in multiples of the training numbers' spread from their mean."""

    mean: float
    spread: float
    least: float
    most: float

    @classmethod
    def seen_in(cls, examples: Sequence[TextExample], scale: tuple[float, float]) -> Self:
        """Mean and spread of the numbers of training examples."""
        numbers = np.array([float(answer) for answer in published(examples)])
        return cls(float(numbers.mean()), float(numbers.std()) or 1.0, *scale)

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any], scale: tuple[float, float]) -> Self:
        """As it was learned; ConfigError for anything else."""
        mean, spread = facts.get("mean"), facts.get("spread")
        if not isinstance(mean, int | float) or not isinstance(spread, int | float) or not spread > 0:
            raise ConfigError(f"The tuned run has no mean and spread (found {mean!r} and {spread!r}); tune it again.")
        return cls(float(mean), float(spread), *scale)

    @property
    def outputs(self) -> int:
        return 1

    @property
    def facts(self) -> dict[str, Any]:
        return {"mean": self.mean, "spread": self.spread}

    def check(self, examples: Sequence[TextExample]) -> None:
        for example in examples:
            if isinstance(example.answer, str):
                raise SourceError(f"{example.spot} has the label {shown(example.answer)!r}; expected a number.")

    def target(self, answer: Answer) -> NDArray[Any]:
        return np.array((float(answer) - self.mean) / self.spread, dtype=np.float32)

    def loss(self, output: "Tensor", target: "Tensor") -> "Tensor":
        """Mean squared error, in squares of the spread."""
        errors = output.float().squeeze(-1) - target.nan_to_num()
        is_known = ~target.isnan()
        return (errors.square() * is_known).sum() / is_known.sum().clamp(min=1)

    def said(self, output: NDArray[Any]) -> Answer:
        """On the scale: what lies beyond it is its end."""
        number = float(output[0]) * self.spread + self.mean
        return round(min(max(number, self.least), self.most), DECIMALS)

    def parse(self, cell: str, spot: Spot) -> Answer:
        number = number_in(cell)
        if number is None:
            raise SourceError(
                f"{spot} predicts {shown(cell)!r}; expected a number from {self.least:g} to {self.most:g}."
            )
        return number

    def figures(self, metrics: Sequence[str], gold: Sequence[Answer], found: Sequence[Answer]) -> dict[str, float]:
        gold_numbers = np.array([float(answer) for answer in gold])
        found_numbers = np.array([float(answer) for answer in found])
        return {key: OF_NUMBERS[key](gold_numbers, found_numbers) for key in metrics}


def published(examples: Sequence[TextExample]) -> list[Answer]:
    """The answers of training examples; SourceError where there are none."""
    answers = [example.answer for example in examples if example.answer is not None]
    if not answers:
        where = f"{examples[0].spot.file} has no answers" if examples else "There are no examples"
        raise SourceError(f"{where} to learn from; expected a split with labels.")
    return answers
