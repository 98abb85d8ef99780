"""A task on texts: pooled to one vector each, or each pair as one row, and answered with a label or a number."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from numpy.typing import NDArray

from atinuke.data.rows import RowNotes
from atinuke.errors import ConfigError
from atinuke.tasks.sentences.answers import Answers, Labels, Ratings, published
from atinuke.tasks.sentences.described import Dataset, Submission
from atinuke.tasks.sentences.predictions import read_submission, write_submission
from atinuke.tasks.sentences.texts import Answer, TextExample, read_split
from atinuke.tasks.task import NoAnswersError, Row, Scores, Task
from atinuke.tokenizers.reading import Ids, Reader

if TYPE_CHECKING:
    from torch import Tensor, nn


class SentenceTask(Task[TextExample]):
    """What all such tasks share; they differ in the files they read and in the answers they know."""

    submission: ClassVar[Submission]
    is_pair: bool = False
    """Whether two texts are compared."""

    def __init__(self, answers: Answers) -> None:
        self.answers = answers

    @property
    def facts(self) -> dict[str, Any]:
        return self.answers.facts

    def check(self, examples: Sequence[TextExample]) -> None:
        self.answers.check(examples)

    def rows(
        self, number: int, example: TextExample, reader: Reader, max_tokens: int, *, with_targets: bool
    ) -> list[Row]:
        """One row. What is too long is cut: of a pair the longer text first, token by token."""
        texts = [example.first] if example.second is None else [example.first, example.second]
        parts = [reader.pieces(text).ids for text in texts]
        room = max_tokens - reader.frame_cost(len(parts))
        if room < len(parts):
            raise ConfigError(
                f"Rows of {max_tokens} tokens have no room for {self.items}; expected {max_tokens + len(parts) - room} "
                "at least. Allow longer ones."
            )
        frame = reader.frame(*cut_to_fit(parts, room))
        targets: tuple[NDArray[Any], ...] = ()
        if with_targets and example.answer is not None:
            targets = (self.answers.target(example.answer),)
        marks = (frame.segments,) if self.is_pair else ()
        return [Row(frame.ids, frame.segments, number, marks, targets)]

    def head(self, width: int, dropout: float) -> "nn.Module":
        from atinuke.tasks.heads import PairHead, PooledHead

        return (PairHead if self.is_pair else PooledHead)(width, self.answers.outputs, dropout)

    def loss(self, output: Any, targets: tuple["Tensor", ...]) -> "Tensor":
        return self.answers.loss(output, targets[0])

    def decode(
        self, examples: Sequence[TextExample], rows: Sequence[Row], outputs: Sequence[tuple[NDArray[Any], ...]]
    ) -> list[Any]:
        """A label or a number for each example."""
        said = {row.example: self.answers.said(output[0]) for row, output in zip(rows, outputs, strict=True)}
        return [said[number] for number in range(len(examples))]

    def score(self, examples: Sequence[TextExample], predictions: Sequence[Any]) -> Scores:
        """Over the examples whose answers are published. NoAnswersError where none are, as in GLUE's test splits."""
        self.check(examples)
        gold: list[Answer] = []
        found: list[Answer] = []
        for example, prediction in zip(examples, predictions, strict=True):
            if example.answer is not None:
                gold.append(example.answer)
                found.append(prediction)
        if not gold:
            where = f"{examples[0].spot.file} has" if examples else "There are"
            raise NoAnswersError(
                f"{where} no answers of {self.title} to score with. Hand the predictions in where they are kept, or "
                "score another split."
            )
        counts = {"examples": len(gold)}
        if len(gold) < len(examples):
            counts["without answer"] = len(examples) - len(gold)
        return Scores(self.metrics[0], self.answers.figures(self.metrics, gold, found), counts)

    def write_predictions(self, path: Path, examples: Sequence[TextExample], predictions: Sequence[Any]) -> list[Path]:
        return write_submission(self.submission, path, examples, predictions)

    def read_predictions(self, path: Path, examples: Sequence[TextExample], notes: RowNotes) -> list[Any]:
        return read_submission(self.submission, path, examples, self.answers.parse, notes)


def task_of(dataset: Dataset) -> type[SentenceTask]:
    """The task of a described data set."""

    class DescribedTask(SentenceTask):
        name = dataset.name
        title = dataset.title
        items = dataset.items
        metrics = dataset.metrics
        fetch = dataset.fetch
        splits = tuple(dataset.files)
        scored = dataset.scored
        paper = dataset.paper
        passes = dataset.passes
        submission = dataset.submission
        is_pair = dataset.is_pair
        borrows = dataset.borrows

        @classmethod
        def read(cls, data: Path, split: str, notes: RowNotes) -> list[TextExample]:
            return read_split(dataset, data, split, notes)

        @classmethod
        def learn(cls, examples: Sequence[TextExample]) -> Self:
            """Labels are the official ones, whichever of them are in the examples."""
            if dataset.scale is not None:
                return cls(Ratings.seen_in(examples, dataset.scale))
            published(examples)
            return cls(Labels(dataset.labels))

        @classmethod
        def from_facts(cls, facts: Mapping[str, Any]) -> Self:
            if dataset.scale is not None:
                return cls(Ratings.from_facts(facts, dataset.scale))
            labels = Labels.from_facts(facts)
            if labels.labels != dataset.labels:
                raise ConfigError(
                    f"{dataset.title} is answered with {', '.join(dataset.labels)}; the tuned run learned "
                    f"{labels.named}. Choose a run that was tuned for {dataset.borrows or cls.name}."
                )
            return cls(labels)

    DescribedTask.__name__ = DescribedTask.__qualname__ = "".join(filter(str.isalnum, dataset.title))
    DescribedTask.__doc__ = f"{dataset.title}: {dataset.items}."
    return DescribedTask


def cut_to_fit(parts: Sequence[Ids], room: int) -> list[Ids]:
    """One or two parts, cut at their ends to `room` tokens together.

    The same as taking one token at a time from the longer, and from the second where they are equally long.
    """
    lengths = [len(part) for part in parts]
    over = max(0, sum(lengths) - room)
    if len(parts) == 1:
        return [parts[0][: lengths[0] - over]]
    first, second = lengths
    from_longer = min(over, abs(first - second))
    rest = over - from_longer
    first -= (from_longer if first > second else 0) + rest // 2
    second -= (from_longer if second > lengths[0] else 0) + rest - rest // 2
    return [parts[0][:first], parts[1][:second]]
