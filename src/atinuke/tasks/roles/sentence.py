"""A sentence with its propositions: what all three formats are read into, and what is said of one in a prediction."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from atinuke.tasks.roles.brackets import Span
from atinuke.tasks.task import Spot

PREDICATE = "V"
"""The label that a predicate has in its own column."""

Propositions = Mapping[int, tuple[Span, ...]]
"""The spans of each predicate of a sentence, by the number of its word."""


@dataclass(frozen=True)
class Proposition:
    """A predicate and what belongs to it."""

    predicate: int
    """Number of its word, from 0."""
    lemma: str
    """"" where none is known."""
    sense: str
    """The PropBank roleset or its number, as the file has it; "" where there is none."""
    spans: tuple[Span, ...]
    """In the order of their words, the predicate's own V among them. None overlaps another."""


@dataclass(frozen=True)
class Sentence:
    """One example: a sentence, whatever number of predicates it has."""

    words: tuple[str, ...]
    propositions: tuple[Proposition, ...]
    """In the order of their predicates."""
    spot: Spot
    """Where it begins."""
    is_searched: bool = True
    """Whether its predicates are looked for, where the task looks for them: not again in a second pass."""

    @property
    def spans(self) -> Propositions:
        """The spans of each predicate."""
        return {each.predicate: each.spans for each in self.propositions}


def prediction_of(
    propositions: Propositions, predicates: Iterable[int] | None = None, cut_words: int = 0
) -> dict[str, Any]:
    """What is said of a sentence, as JSON.

    {"propositions": [{"predicate": 4, "arguments": [[0, 3, "A1"], [4, 5, "V"]]}], "predicates": [4], "cut_words": 0}

    "predicates" are those that were found, without being told; absent where none were looked for. "cut_words" counts
    the words that the network did not see, summed over the predicates.
    """
    said: dict[str, Any] = {
        "propositions": [
            {"predicate": predicate, "arguments": [list(span) for span in spans]}
            for predicate, spans in sorted(propositions.items())
        ],
        "cut_words": cut_words,
    }
    if predicates is not None:
        said["predicates"] = sorted(predicates)
    return said


def said_of(prediction: Mapping[str, Any]) -> dict[int, tuple[Span, ...]]:
    """The propositions of a prediction."""
    return {
        each["predicate"]: tuple(Span(start, end, label) for start, end, label in each["arguments"])
        for each in prediction["propositions"]
    }
