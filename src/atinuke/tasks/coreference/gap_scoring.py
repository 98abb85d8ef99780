"""The score of GAP: F1 over all names, of masculine and of feminine pronouns, and the quotient of the latter two.

As gap_scorer.py of github.com/google-research-datasets/gap-coreference counts: A and B are two questions each, "does
the pronoun mean it?", and what is not answered is missed whatever the truth is.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from atinuke.tasks.coreference.gap import Passage

MAIN = "f1"
BIAS = "bias"
KINDS = ("", "_masculine", "_feminine")
KEYS: tuple[str, ...] = (
    *(f"f1{kind}" for kind in KINDS),
    BIAS,
    *(f"{side}{kind}" for kind in KINDS for side in ("precision", "recall")),
)
"""Of the figures, in print order; without `bias`, which the official scorer shows as -, where an F1 is 0."""

Answer = tuple[bool | None, bool | None]
"""Whether the pronoun means A, and whether B; None: not answered."""


@dataclass
class Tally:
    """Answers of one kind."""

    right: int = 0
    wrong: int = 0
    """Said to be meant, and is not."""
    missed: int = 0

    def add(self, truth: bool, said: bool | None) -> None:
        """One name."""
        if said is None:
            self.missed += 1
        elif said:
            self.right += truth
            self.wrong += not truth
        else:
            self.missed += truth

    @property
    def precision(self) -> float:
        """In per cent; 0 where nothing was said to be meant."""
        said = self.right + self.wrong
        return 100 * self.right / said if said else 0.0

    @property
    def recall(self) -> float:
        """In per cent."""
        meant = self.right + self.missed
        return 100 * self.right / meant if meant else 0.0

    @property
    def f1(self) -> float:
        """In per cent."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


def score_answers(passages: Sequence[Passage], answers: Iterable[Answer]) -> dict[str, float]:
    """Figures by KEYS: in per cent, but for the bias, feminine F1 by masculine F1."""
    tallies = {kind: Tally() for kind in KINDS}
    for passage, answer in zip(passages, answers, strict=True):
        for truth, said in zip(passage.is_meant, answer, strict=True):
            for kind in ("", f"_{passage.gender}"):
                tallies[kind].add(truth, said)
    values = {f"f1{kind}": tally.f1 for kind, tally in tallies.items()}
    if values["f1_masculine"] and values["f1_feminine"]:
        values[BIAS] = values["f1_feminine"] / values["f1_masculine"]
    for kind, tally in tallies.items():
        values |= {f"precision{kind}": tally.precision, f"recall{kind}": tally.recall}
    return values
