"""SQuAD as tasks: a paragraph and a question → the words that answer, or in 2.0 none."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from numpy.typing import NDArray

from atinuke.data.rows import RowNotes
from atinuke.tasks.squad.reading import SPLITS, Question, read_questions
from atinuke.tasks.squad.scoring import score_answers, score_with_no_answers
from atinuke.tasks.squad.spans import Found, find_answer
from atinuke.tasks.squad.submission import read_answers, write_answers
from atinuke.tasks.squad.windows import windows
from atinuke.tasks.task import Row, Scores, Task
from atinuke.tokenizers.reading import Reader

if TYPE_CHECKING:
    from torch import Tensor, nn

NO_ANSWER_MARGIN = 0.0
"""There is no answer where its score is better by more than this than that of the best text."""


@dataclass(frozen=True)
class Squad(Task[Question]):
    """SQuAD 1.1: every question has an answer. A prediction is {"text": …}, or None where a file has none."""

    is_masked: bool = True
    """Whether an answer can only be of the context, in training too; not in BertForQuestionAnswering, so that losses
    are compared with this off."""

    name: ClassVar[str] = "squad"
    title: ClassVar[str] = "SQuAD 1.1"
    items: ClassVar[str] = "questions"
    splits: ClassVar[tuple[str, ...]] = SPLITS
    metrics: ClassVar[tuple[str, ...]] = ("f1", "exact_match")
    paper: ClassVar[float | None] = 85.0
    fetch: ClassVar[str] = (
        "Fetch train-v1.1.json and dev-v1.1.json of SQuAD 1.1 (rajpurkar.github.io/SQuAD-explorer) into one folder, "
        "plain or compressed."
    )
    max_tokens: ClassVar[int | None] = 384
    version: ClassVar[str] = "1.1"

    @classmethod
    def read(cls, data: Path, split: str, notes: RowNotes) -> list[Question]:
        """`read_questions` of this version."""
        return read_questions(data, split, cls.version, notes)

    @classmethod
    def learn(cls, examples: Sequence[Question]) -> Self:
        """There is nothing to be known beforehand."""
        return cls()

    @property
    def facts(self) -> dict[str, Any]:
        """How the head was trained."""
        return {"is_masked": self.is_masked}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        """With the head as it was trained."""
        return cls(is_masked=bool(facts.get("is_masked", True)))

    def check(self, examples: Sequence[Question]) -> None:
        """Answers are no labels: none can be unknown."""

    def rows(self, number: int, example: Question, reader: Reader, max_tokens: int, *, with_targets: bool) -> list[Row]:
        """Windows over the paragraph, each after the question."""
        return windows(number, example, reader, max_tokens, with_targets=with_targets)

    def head(self, width: int, dropout: float) -> "nn.Module":
        """Start and end logits (B, T, 2)."""
        from atinuke.tasks.squad.head import SpanHead

        return SpanHead(width, dropout, self.is_masked)

    def loss(self, output: Any, targets: tuple["Tensor", ...]) -> "Tensor":
        """Mean nats of starts and of ends, halved."""
        from atinuke.tasks.squad.head import span_loss

        starts, ends = targets
        return span_loss(output, (starts, ends))

    def decode(
        self, examples: Sequence[Question], rows: Sequence[Row], outputs: Sequence[tuple[NDArray[Any], ...]]
    ) -> list[Any]:
        """The best span over the windows of each question, as the text of its paragraph."""
        of_example: list[list[int]] = [[] for _ in examples]
        for place, row in enumerate(rows):
            of_example[row.example].append(place)
        return [
            self._prediction(
                find_answer(example.context, [rows[place] for place in own], [outputs[place][0] for place in own])
            )
            for example, own in zip(examples, of_example, strict=True)
        ]

    def _prediction(self, found: Found) -> dict[str, Any]:
        return {"text": found.text}

    def score(self, examples: Sequence[Question], predictions: Sequence[Any]) -> Scores:
        """Exact match and F1 as evaluate-v1.1 has them."""
        return Scores("f1", score_answers(_golds(examples), _texts(predictions)), _counts(examples, predictions))

    def write_predictions(self, path: Path, examples: Sequence[Question], predictions: Sequence[Any]) -> list[Path]:
        """predictions.json."""
        return write_answers(path, examples, predictions)

    def read_predictions(self, path: Path, examples: Sequence[Question], notes: RowNotes) -> list[Any]:
        """What `write_predictions` wrote, or others handed in: the folder, or the file itself."""
        return read_answers(path, examples, self.version, notes)


@dataclass(frozen=True)
class Squad2(Squad):
    """SQuAD 2.0: questions with and without an answer.

    A prediction is {"text": …, "na": …}: "" for no answer, and by how much the score of no answer is better than that
    of the best text. The text is dropped where that is above 0, so the best figures of our own predictions are of
    thresholds up to 0; na_prob.json holds these differences, which are no probabilities, and the official scorer reads
    it as it is.
    """

    name: ClassVar[str] = "squad2"
    title: ClassVar[str] = "SQuAD 2.0"
    metrics: ClassVar[tuple[str, ...]] = (
        *("f1", "exact", "HasAns_f1", "HasAns_exact", "NoAns_f1", "NoAns_exact"),
        *("best_f1", "best_f1_thresh", "best_exact", "best_exact_thresh"),
    )
    """Those of a kind of question that a split does not have are left out, and the best where no numbers are given."""
    paper: ClassVar[float | None] = None
    fetch: ClassVar[str] = (
        "Fetch train-v2.0.json and dev-v2.0.json of SQuAD 2.0 (rajpurkar.github.io/SQuAD-explorer) into one folder, "
        "plain or compressed."
    )
    version: ClassVar[str] = "2.0"

    def _prediction(self, found: Found) -> dict[str, Any]:
        difference = found.no_answer - found.score
        return {"text": "" if difference > NO_ANSWER_MARGIN else found.text, "na": difference}

    def score(self, examples: Sequence[Question], predictions: Sequence[Any]) -> Scores:
        """Exact match and F1 as evaluate-v2.0 has them, of all questions and of both kinds."""
        has_numbers = all(each is not None and "na" in each for each in predictions)
        numbers = [each["na"] for each in predictions] if has_numbers else None
        order = sorted(range(len(predictions)), key=lambda number: (predictions[number] or {}).get("order", number))
        values = score_with_no_answers(_golds(examples), _texts(predictions), numbers, order)
        counts = _counts(examples, predictions)
        counts["HasAns_total"] = sum(bool(example.answers) for example in examples)
        counts["NoAns_total"] = len(examples) - counts["HasAns_total"]
        return Scores("f1", values, counts)


def _golds(examples: Sequence[Question]) -> list[list[str]]:
    return [[answer.text for answer in example.answers] for example in examples]


def _texts(predictions: Sequence[Any]) -> list[str | None]:
    return [None if each is None else each["text"] for each in predictions]


def _counts(examples: Sequence[Question], predictions: Sequence[Any]) -> dict[str, int]:
    missing = sum(each is None for each in predictions)
    return {"questions": len(examples)} | ({"without a prediction": missing} if missing else {})
