"""BLiMP: of two sentences that differ in one place, does the network find the grammatical one likelier?

Warstadt et al. 2020, arXiv:1912.00582. 67 paradigms of 1,000 pairs; a pair counts where the good sentence is strictly
likelier as a whole, without any correction for its length. The score is the mean over paradigms, which have equally
many pairs; fields and phenomena ("linguistics_term") are means of theirs.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, ClassVar

from atinuke.data.rows import RowNotes
from atinuke.errors import ConfigError, SourceError
from atinuke.tasks.probability.files import files_of, iter_objects, iter_texts, text_of
from atinuke.tasks.probability.task import ProbabilityTask, Scorer
from atinuke.tasks.task import Scores, Spot


@dataclass(frozen=True)
class Pair:
    """A minimal pair."""

    spot: Spot
    good: str
    bad: str
    paradigm: str
    phenomenon: str
    field: str


class Blimp(ProbabilityTask):
    """All paradigms that are there."""

    name: ClassVar[str] = "blimp"
    title: ClassVar[str] = "BLiMP"
    items: ClassVar[str] = "pairs"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy",)
    splits: ClassVar[tuple[str, ...]] = ("all",)
    scored: ClassVar[tuple[str, ...]] = ("all",)
    fetch: ClassVar[str] = "Fetch data/*.jsonl of github.com/alexwarstadt/blimp into --data, or an archive of them."

    @classmethod
    def read(cls, data: Path, split: str, notes: RowNotes) -> list[Pair]:
        """The pairs of all files with both sentences; there is one split, "all"."""
        if split not in cls.splits:
            raise ConfigError(f"BLiMP has no split {split}; it is one set: all.")
        endings = (".jsonl", ".tar.gz", ".tgz", ".tar", ".zip")
        paths = files_of(data, endings, "the .jsonl files of BLiMP, or an archive of them")
        pairs = [pair for path in paths for name, text in iter_texts(path) for pair in _pairs(name, text)]
        if not pairs:
            raise SourceError(f"{paths[0]} holds no pair of sentences; expected the .jsonl files of BLiMP.")
        return pairs

    @classmethod
    def score(
        cls, scorer: Scorer, examples: Sequence[Pair], say: Callable[[str], None]
    ) -> tuple[Scores, list[dict[str, Any]]]:
        """Accuracy by paradigm, and its means. Each answer has both sentences' nats."""
        sentences = [("", text) for pair in examples for text in (pair.good, pair.bad)]
        nats = [each.nats for each in scorer.nats(sentences)]
        answers: list[dict[str, Any]] = []
        right: dict[tuple[str, str, str], list[bool]] = {}
        for pair, good, bad in zip(examples, nats[::2], nats[1::2], strict=True):
            right.setdefault((pair.field, pair.phenomenon, pair.paradigm), []).append(good < bad)
            answers.append({"good": pair.good, "bad": pair.bad, "paradigm": pair.paradigm, "nats": [good, bad]})
        by_paradigm = {key: 100 * mean(each) for key, each in right.items()}
        values = {"accuracy": mean(by_paradigm.values())}
        for place, name in ((0, "field"), (1, "phenomenon"), (2, "paradigm")):
            for group in sorted({key[place] for key in by_paradigm}):
                values[f"{name}: {group}"] = mean(value for key, value in by_paradigm.items() if key[place] == group)
        say(f"Sentences are compared by {scorer.kind}.")
        return Scores("accuracy", values, {"pairs": len(examples), "paradigms": len(by_paradigm)}), answers


def _pairs(name: str, text: str) -> list[Pair]:
    """The pairs of a file; none where its objects are of another kind, such as a table of others' results."""
    pairs: list[Pair] = []
    for spot, value in iter_objects(name, text):
        if not pairs and "sentence_good" not in value and "sentence_bad" not in value:
            return []
        good, bad = text_of(spot, value, "sentence_good"), text_of(spot, value, "sentence_bad")
        paradigm, phenomenon, field = (str(value.get(key, "")) for key in ("UID", "linguistics_term", "field"))
        pairs.append(Pair(spot, good, bad, paradigm or spot.file, phenomenon or "not said", field or "not said"))
    return pairs
