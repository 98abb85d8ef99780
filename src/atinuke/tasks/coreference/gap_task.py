"""GAP as a task: a pronoun and two names are marked in a text; which of them does it mean?

The names are given, where the authors would have systems find them ("gold-two-mention" in later work), so that scores
compare with those of systems that were told them as well.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from atinuke.data.rows import RowNotes
from atinuke.durable import printable
from atinuke.errors import ConfigError
from atinuke.tasks.coreference.gap import Passage, read_passages
from atinuke.tasks.coreference.gap_rows import A, B, row_of
from atinuke.tasks.coreference.gap_scoring import KEYS, MAIN, Answer, score_answers
from atinuke.tasks.coreference.gap_submission import read_answers, write_answers
from atinuke.tasks.task import Row, Scores, Task
from atinuke.tokenizers.reading import Reader

if TYPE_CHECKING:
    from torch import Tensor, nn


class Gap(Task[Passage]):
    """A prediction is [does it mean A?, does it mean B?]; null for what a file does not answer."""

    name: ClassVar[str] = "gap"
    title: ClassVar[str] = "GAP"
    items: ClassVar[str] = "passages"
    metrics: ClassVar[tuple[str, ...]] = KEYS
    passes: ClassVar[float] = 10.0
    batch_rows: ClassVar[int] = 16
    fetch: ClassVar[str] = (
        "Fetch gap-development.tsv, gap-validation.tsv and gap-test.tsv of "
        "github.com/google-research-datasets/gap-coreference into one folder, plain or compressed."
    )

    @classmethod
    def read(cls, data: Path, split: str, notes: RowNotes) -> list[Passage]:
        """train is what the authors call development, dev their validation."""
        if split not in cls.splits:
            raise ConfigError(f"{cls.title} has no split {printable(split)}; expected {', '.join(cls.splits)}.")
        return read_passages(data, split, cls.fetch, notes)

    @classmethod
    def learn(cls, examples: Sequence[Passage]) -> Self:
        """There is nothing to be known beforehand."""
        return cls()

    @property
    def facts(self) -> dict[str, Any]:
        return {}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        return cls()

    def check(self, examples: Sequence[Passage]) -> None:
        """There are no labels that could be unknown."""

    def rows(self, number: int, example: Passage, reader: Reader, max_tokens: int, *, with_targets: bool) -> list[Row]:
        """One row for each passage."""
        return [row_of(number, example, reader, max_tokens, with_targets=with_targets)]

    def head(self, width: int, dropout: float) -> "nn.Module":
        """A `GapHead`."""
        from atinuke.tasks.coreference.gap_head import GapHead

        return GapHead(width, dropout)

    def loss(self, output: Any, targets: tuple["Tensor", ...]) -> "Tensor":
        """Mean nats per passage."""
        import torch.nn.functional as F

        return F.cross_entropy(output.float(), targets[0])

    def decode(
        self, examples: Sequence[Passage], rows: Sequence[Row], outputs: Sequence[tuple[NDArray[Any], ...]]
    ) -> list[Any]:
        """The likeliest of A, B and neither."""
        found: list[Any] = [[False, False] for _ in examples]
        for row, (logits,) in zip(rows, outputs, strict=True):
            best = int(np.argmax(logits))
            found[row.example] = [best == A, best == B]
        return found

    def score(self, examples: Sequence[Passage], predictions: Sequence[Any]) -> Scores:
        """As the official scorer counts."""
        answers = [_answer(prediction) for prediction in predictions]
        counts = {
            "passages": len(examples),
            "masculine": sum(example.gender == "masculine" for example in examples),
            "feminine": sum(example.gender == "feminine" for example in examples),
        }
        missing = answers.count((None, None))
        return Scores(
            MAIN, score_answers(examples, answers), counts | ({"without an answer": missing} if missing else {})
        )

    def write_predictions(self, path: Path, examples: Sequence[Passage], predictions: Sequence[Any]) -> list[Path]:
        """answers.tsv, for gap_scorer.py."""
        return write_answers(path, examples, [_answer(prediction) for prediction in predictions])

    def read_predictions(self, path: Path, examples: Sequence[Passage], notes: RowNotes) -> list[Any]:
        """From anybody's file, or the folder that `write_predictions` filled."""
        return [list(answer) for answer in read_answers(path, examples, notes)]


def _answer(prediction: Any) -> Answer:
    first, second = prediction
    return first, second
