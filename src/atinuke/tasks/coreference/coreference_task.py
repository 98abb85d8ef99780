"""Coreference as a task: a document of words → clusters of mentions, found end to end.

A prediction is a list of clusters, each a list of [first word, last word], words counted through the document.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from numpy.typing import NDArray

from atinuke.data.rows import RowNotes
from atinuke.durable import printable
from atinuke.errors import ConfigError, SourceError
from atinuke.tasks.coreference.assignment import require_scipy
from atinuke.tasks.coreference.documents import Document, Mention, of_prediction, to_prediction
from atinuke.tasks.coreference.litbank import read_litbank
from atinuke.tasks.coreference.ontonotes import read_ontonotes
from atinuke.tasks.coreference.scoring import KEYS, MAIN, score_clusters
from atinuke.tasks.coreference.spans import MAX_WIDTH, clusters_of
from atinuke.tasks.coreference.submission import read_response, write_response
from atinuke.tasks.coreference.windows import rows_of
from atinuke.tasks.task import Row, Scores, Task
from atinuke.tokenizers.reading import Reader

if TYPE_CHECKING:
    from torch import Tensor, nn

ANNOTATED_SINGLETONS = 0.1
"""Where a larger share of clusters has one mention only, such are annotated, and predicted. LitBank: 0.73."""


class CoreferenceResolution(Task[Document]):
    """What both corpora share: `read` is the corpus's."""

    items: ClassVar[str] = "documents"
    metrics: ClassVar[tuple[str, ...]] = KEYS
    passes: ClassVar[float] = 20.0
    group: ClassVar[bool] = True

    def __init__(self, keeps_singletons: bool) -> None:
        self.keeps_singletons = keeps_singletons

    @classmethod
    def learn(cls, examples: Sequence[Document]) -> Self:
        """Whether clusters of one mention are annotated."""
        sizes = [len(cluster) for document in examples for cluster in document.clusters]
        if not sizes:
            where = examples[0].spot.file if examples else "The training data"
            raise SourceError(f"{where} has no mention to learn from; expected brackets like (12) in the last column.")
        return cls(sizes.count(1) > ANNOTATED_SINGLETONS * len(sizes))

    @property
    def facts(self) -> dict[str, Any]:
        return {"keeps_singletons": self.keeps_singletons}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        return cls(bool(facts["keeps_singletons"]))

    def check(self, examples: Sequence[Document]) -> None:
        """Clusters are no labels: none can be unknown."""

    def rows(self, number: int, example: Document, reader: Reader, max_tokens: int, *, with_targets: bool) -> list[Row]:
        """The windows of a document; of a long one, a stretch of them is trained on."""
        return rows_of(number, example, reader, max_tokens, with_targets=with_targets)

    def head(self, width: int, dropout: float) -> "nn.Module":
        """A `RankingHead`."""
        from atinuke.tasks.coreference.ranking import RankingHead

        return RankingHead(width, dropout)

    def loss(self, output: Any, targets: tuple["Tensor", ...]) -> "Tensor":
        """Mean nats per kept span."""
        from atinuke.tasks.coreference.ranking import ranking_loss

        return ranking_loss(output, targets, judges_mentions=self.keeps_singletons)

    def decode(
        self, examples: Sequence[Document], rows: Sequence[Row], outputs: Sequence[tuple[NDArray[Any], ...]]
    ) -> list[Any]:
        """Each span with its best antecedent, as clusters; the output of a document is that of its first row."""
        found: list[Any] = [[] for _ in examples]
        for row, output in zip(rows, outputs, strict=True):
            if not output:
                continue
            firsts, lasts, mention_scores, antecedents, scores, _ = output
            begin = row.place[0]
            spans: list[Mention] = [
                (begin + first, begin + last) for first, last in zip(firsts.tolist(), lasts.tolist(), strict=True)
            ]
            found[row.example] = to_prediction(
                clusters_of(spans, mention_scores, antecedents, scores, keeps_singletons=self.keeps_singletons)
            )
        return found

    def score(self, examples: Sequence[Document], predictions: Sequence[Any]) -> Scores:
        """As scorer.pl v8.01 has it, and LEA."""
        pairs = [(each.clusters, of_prediction(said)) for each, said in zip(examples, predictions, strict=True)]
        values, repeated = score_clusters(pairs)
        mentions = [mention for document in examples for cluster in document.clusters for mention in cluster]
        counts = {
            "documents": len(examples),
            "words": sum(document.word_count for document in examples),
            "mentions": len(mentions),
            f"mentions of more than {MAX_WIDTH} words": sum(last - first >= MAX_WIDTH for first, last in mentions),
            "predicted mentions": sum(len(cluster) for _, said in pairs for cluster in said),
        }
        return Scores(MAIN, values, counts | ({"counted once though predicted twice": repeated} if repeated else {}))

    def write_predictions(self, path: Path, examples: Sequence[Document], predictions: Sequence[Any]) -> list[Path]:
        """Response and key in the CoNLL format, for scorer.pl."""
        return write_response(path, examples, predictions)

    def read_predictions(self, path: Path, examples: Sequence[Document], notes: RowNotes) -> list[Any]:
        """From anybody's file in the CoNLL format, or the folder that `write_predictions` filled."""
        return read_response(path, examples, notes)

    @classmethod
    def _prepare(cls, split: str) -> None:
        """What must be right before anything is read."""
        if split not in cls.splits:
            raise ConfigError(f"{cls.title} has no split {printable(split)}; expected {', '.join(cls.splits)}.")
        require_scipy()


class Coreference(CoreferenceResolution):
    """OntoNotes 5 in the splits of CoNLL-2012, English."""

    name: ClassVar[str] = "coreference"
    title: ClassVar[str] = "CoNLL-2012 coreference"
    paper: ClassVar[float | None] = 68.0
    fetch: ClassVar[str] = (
        "Get OntoNotes 5 (LDC2013T19) from the LDC and the skeletons of CoNLL-2012 from conll.cemantix.org, fill the "
        "words in with the scripts there, and give the folder with train/…/english/…/*.v4_gold_conll, and development "
        "and test likewise (or train.english.v4_gold_conll …), as --data."
    )

    @classmethod
    def read(cls, data: Path, split: str, notes: RowNotes) -> list[Document]:
        """All `*gold_conll` of the split."""
        cls._prepare(split)
        return read_ontonotes(data, split, cls.fetch, notes)


class LitBankCoreference(CoreferenceResolution):
    """LitBank: an open stand-in for OntoNotes, of long stretches of fiction, singletons annotated."""

    name: ClassVar[str] = "coreference-litbank"
    title: ClassVar[str] = "LitBank coreference"
    fetch: ClassVar[str] = (
        "Fetch coref/conll of github.com/dbamman/litbank, and give the folder with its .conll files, or with an "
        "archive litbank….tar.gz of them, as --data."
    )

    @classmethod
    def read(cls, data: Path, split: str, notes: RowNotes) -> list[Document]:
        """The documents of the first published fold."""
        cls._prepare(split)
        return read_litbank(data, split, cls.fetch, notes)
