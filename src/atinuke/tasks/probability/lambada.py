"""LAMBADA: the last word of a passage that people guess only when they have read all of it.

Paperno et al. 2016, arXiv:1606.06031. Accuracy: the word's tokens are each the likeliest after what comes before.
Perplexity: e to the mean nats of the last word. As lm-eval and the GPT-2 paper have it, the last word is what follows
the last space, and no stop words are filtered.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any, ClassVar

from atinuke.data.archives import without_compression
from atinuke.data.rows import RowNotes
from atinuke.errors import ConfigError, SourceError
from atinuke.tasks.probability.files import files_of, iter_objects, iter_texts, text_of
from atinuke.tasks.probability.task import ProbabilityTask, Scorer
from atinuke.tasks.task import Scores, Spot


@dataclass(frozen=True)
class Passage:
    """A passage in two parts."""

    spot: Spot
    context: str
    word: str
    """With the space before it."""


class Lambada(ProbabilityTask):
    """OpenAI's form, {"text": …} on each line, or a passage on each line."""

    name: ClassVar[str] = "lambada"
    title: ClassVar[str] = "LAMBADA"
    items: ClassVar[str] = "passages"
    metrics: ClassVar[tuple[str, ...]] = ("accuracy", "perplexity")
    splits: ClassVar[tuple[str, ...]] = ("dev", "test")
    scored: ClassVar[tuple[str, ...]] = ("test",)
    fetch: ClassVar[str] = (
        "Fetch lambada_test.jsonl of OpenAI's release, or lambada_test_plain_text.txt of the authors', into --data."
    )

    @classmethod
    def read(cls, data: Path, split: str, notes: RowNotes) -> list[Passage]:
        """The passages of the files whose names hold the split (dev: development); of one file all."""
        if split not in cls.splits:
            raise ConfigError(f"LAMBADA has no split {split}; expected dev or test.")
        paths = files_of(data, (".jsonl", ".txt"), "lambada_test.jsonl or lambada_test_plain_text.txt")
        if data.is_dir():
            paths = [path for path in paths if (split if split == "test" else "dev") in path.name.lower()]
            if not paths:
                raise SourceError(f"{data} has no file of the split {split}; expected lambada_{split}.jsonl or .txt.")
        passages = []
        for name, text in iter_texts(paths[0]):
            if without_compression(paths[0].name).endswith(".jsonl"):
                rows = [(spot, text_of(spot, value, "text")) for spot, value in iter_objects(name, text)]
            else:
                rows = [(Spot(name, n), line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
            passages += [_passage(spot, row) for spot, row in rows]
        if not passages:
            raise SourceError(f"{paths[0]} holds no passage; expected one on each line.")
        return passages

    @classmethod
    def score(
        cls, scorer: Scorer, examples: Sequence[Passage], say: Callable[[str], None]
    ) -> tuple[Scores, list[dict[str, Any]]]:
        """Accuracy in per cent, and perplexity of the last words."""
        if scorer.kind != "log-likelihood":
            raise ConfigError(
                "LAMBADA asks what follows; expected a run that continues text: atinuke, gpt, llama, rnn."
            )
        found = scorer.nats([(passage.context, passage.word) for passage in examples])
        nats = mean(each.nats for each in found)
        values = {
            "accuracy": 100 * mean(each.is_greedy for each in found),
            "perplexity": math.exp(nats) if nats < 700 else math.inf,
        }
        answers = [
            {"word": passage.word.strip(), "nats": each.nats, "is_greedy": each.is_greedy}
            for passage, each in zip(examples, found, strict=True)
        ]
        return Scores("accuracy", values, {"passages": len(examples)}), answers


def _passage(spot: Spot, text: str) -> Passage:
    context, space, word = text.strip().rpartition(" ")
    if not context:
        raise SourceError(f"{spot} is a passage of one word; expected several, whose last one is to be found.")
    return Passage(spot, context, space + word)
