"""The score of CoNLL-2005: precision, recall and F1 of arguments, as srl-eval.pl counts them.

- An argument is right when its label and all its words are. V, the predicate itself, does not count.
- C-A1 goes on with the last A1 before it; both are one argument of two pieces, right only if all its pieces are.
  Without an A1 before it, it is an A1 of its own. R-A1 is a label like any other.
- A proposition is perfect when nothing of it is missed or in excess.
- Where predicates are given, one that the key does not have is passed over, as there. Where the system finds them
  itself, its arguments are in excess, as He et al. 2017 ("Deep Semantic Role Labeling") count. Either way one that is
  lacking has all its arguments missed.

Rules: the script of Carreras & Màrquez 2005, "Introduction to the CoNLL-2005 Shared Task", §3.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from atinuke.tasks.roles.brackets import Span
from atinuke.tasks.roles.sentence import PREDICATE, Propositions

CONTINUED = "C-"
WIDTH = 60

Argument = tuple[str, tuple[tuple[int, int], ...]]
"""A label, and its pieces in the order of their words."""


@dataclass
class Count:
    """Arguments that are right, said without being there, and there without being said."""

    correct: int = 0
    excess: int = 0
    missed: int = 0

    @property
    def precision(self) -> float:
        """Per cent; 0 where nothing was said."""
        return _percent(self.correct, self.correct + self.excess)

    @property
    def recall(self) -> float:
        """Per cent; 0 where nothing is there."""
        return _percent(self.correct, self.correct + self.missed)

    @property
    def f1(self) -> float:
        """Harmonic mean of both."""
        both = self.precision + self.recall
        return 2 * self.precision * self.recall / both if both else 0.0


@dataclass
class Tally:
    """What was counted over a split."""

    sentences: int = 0
    propositions: int = 0
    perfect: int = 0
    without_key: int = 0
    """Propositions that the key does not have."""
    overall: Count = field(default_factory=Count)
    by_label: dict[str, Count] = field(default_factory=dict)
    """V among them, which is no part of `overall`."""

    @property
    def perfect_propositions(self) -> float:
        """Per cent."""
        return _percent(self.perfect, self.propositions)

    def add(self, key: frozenset[Argument], said: frozenset[Argument]) -> bool:
        """Counts the arguments of one predicate; whether nothing was missed or in excess."""
        is_perfect = True
        for argument in key | said:
            label = argument[0]
            counts = [self.by_label.setdefault(label, Count())]
            if label != PREDICATE:
                counts.append(self.overall)
                is_perfect &= argument in key and argument in said
            for count in counts:
                count.correct += argument in key and argument in said
                count.excess += argument not in key
                count.missed += argument not in said
        return is_perfect


def arguments_of(spans: Iterable[Span]) -> frozenset[Argument]:
    """The arguments of a predicate, continued ones joined."""
    found: list[tuple[str, list[tuple[int, int]]]] = []
    last: dict[str, list[tuple[int, int]]] = {}
    for start, end, label in sorted(spans):
        base = label.removeprefix(CONTINUED)
        if base != label and base in last:
            last[base].append((start, end))
            continue
        last[base] = [(start, end)]
        found.append((base, last[base]))
    return frozenset((label, tuple(pieces)) for label, pieces in found)


def tally(keys: Sequence[Propositions], said: Sequence[Propositions], *, finds_predicates: bool = False) -> Tally:
    """Counts over sentences; `keys` and `said` have one entry for each, in the same order."""
    counted = Tally(sentences=len(keys))
    for key, ours in zip(keys, said, strict=True):
        for predicate, spans in key.items():
            counted.propositions += 1
            counted.perfect += counted.add(arguments_of(spans), arguments_of(ours.get(predicate, ())))
        for predicate in ours.keys() - key.keys():
            counted.without_key += 1
            if finds_predicates:
                counted.add(frozenset(), arguments_of(ours[predicate]))
    return counted


def predicate_count(keys: Sequence[Propositions], said: Sequence[Propositions]) -> Count:
    """How well predicates themselves were found."""
    counted = Count()
    for key, ours in zip(keys, said, strict=True):
        counted.correct += len(key.keys() & ours.keys())
        counted.excess += len(ours.keys() - key.keys())
        counted.missed += len(key.keys() - ours.keys())
    return counted


def table_of(counted: Tally) -> str:
    """The figures of every label, laid out as srl-eval.pl prints them."""
    labels = sorted(counted.by_label)
    rule = "-" * WIDTH
    lines = [
        f"Number of Sentences    :      {counted.sentences:6d}",
        f"Number of Propositions :      {counted.propositions:6d}",
        f"Percentage of perfect props : {counted.perfect_propositions:6.2f}",
        "",
        f"{'':>10}   {'corr.':>6}  {'excess':>6}  {'missed':>6}   {'prec.':>6}  {'rec.':>6}  {'F1':>6}",
        rule,
        _line("Overall", counted.overall),
        "-" * 10,
        *(_line(label, counted.by_label[label]) for label in labels if label != PREDICATE),
        rule,
        *(_line(label, counted.by_label[label]) for label in labels if label == PREDICATE),
        rule,
    ]
    return "\n".join(lines) + "\n"


def _line(label: str, count: Count) -> str:
    figures = f"{count.precision:6.2f}  {count.recall:6.2f}  {count.f1:6.2f}"
    return f"{label:>10}   {count.correct:6d}  {count.excess:6d}  {count.missed:6d}   {figures}"


def _percent(part: int, whole: int) -> float:
    return 100 * part / whole if whole else 0.0
