"""Semantic role labelling as a task: predicates given, or found by the network too.

A network is asked for each predicate of a sentence: which tag has each word? Where predicates are to be found, it is
also asked once without a predicate: which words are predicates? Then predictions take two passes: the first answers
both for the predicates that the data gives, the second for those that were found and not given. What a network says of
a predicate depends on the sentence and the predicate alone, so that nothing is asked twice, and one run has the score
of both settings.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

from numpy.typing import NDArray

from atinuke.data.documents import shown
from atinuke.data.rows import RowNotes
from atinuke.durable import make_folder, printable, write_atomic
from atinuke.errors import ConfigError, SourceError
from atinuke.tasks.roles.brackets import Span
from atinuke.tasks.roles.props import read_props, write_props
from atinuke.tasks.roles.reading import read_conll05, read_conll12, read_ewt
from atinuke.tasks.roles.rows import NOWHERE, Place, rows_of
from atinuke.tasks.roles.scoring import predicate_count, table_of, tally
from atinuke.tasks.roles.sentence import PREDICATE, Proposition, Propositions, Sentence, prediction_of, said_of
from atinuke.tasks.roles.tags import Tags
from atinuke.tasks.task import Row, Scores, Task
from atinuke.tokenizers.reading import Reader

if TYPE_CHECKING:
    from torch import Tensor, nn

GIVEN = ("f1", "precision", "recall", "perfect_propositions")
FOUND = ("end_to_end_f1", "end_to_end_precision", "end_to_end_recall", "predicate_f1")

PREDICTED_FILE = "predicted.props"
"""Of the predicates that are given."""
FOUND_FILE = "end-to-end.props"
"""Of those that were found."""
KEY_FILE = "key.props"
"""The truth in the same format, so that srl-eval.pl can be asked: srl-eval.pl key.props predicted.props."""
TABLE_FILE = "table.txt"


class RoleLabelling(Task[Sentence]):
    """What all corpora and both settings share: `read` is the corpus's."""

    items: ClassVar[str] = "sentences"
    metrics: ClassVar[tuple[str, ...]] = GIVEN
    passes: ClassVar[float] = 6.0

    def __init__(self, labels: Sequence[str]) -> None:
        self.tags = Tags(labels)

    @classmethod
    def learn(cls, examples: Sequence[Sentence]) -> Self:
        """The labels of all spans, V among them."""
        labels = {span.label for sentence in examples for each in sentence.propositions for span in each.spans}
        if not labels - {PREDICATE}:
            where = examples[0].spot.file if examples else "The training data"
            raise SourceError(f"{where} has no argument of any predicate to learn from; expected some.")
        return cls(sorted(labels))

    @property
    def facts(self) -> dict[str, Any]:
        return {"labels": list(self.tags.labels)}

    @classmethod
    def from_facts(cls, facts: Mapping[str, Any]) -> Self:
        return cls([str(label) for label in facts["labels"]])

    def check(self, examples: Sequence[Sentence]) -> None:
        """SourceError where no role at all was learned: A0 is ARG0 elsewhere. A rare one that training data lacks is no
        error, as the official scorer counts its arguments as missed; `score` counts them apart."""
        spans = [
            (sentence, span)
            for sentence in examples
            for each in sentence.propositions
            for span in each.spans
            if span.label != PREDICATE
        ]
        if spans and not any(span.label in self.tags for _, span in spans):
            sentence, span = spans[0]
            known = ", ".join(label for label in self.tags.labels if label != PREDICATE)
            raise SourceError(
                f"{sentence.spot} has the role {shown(span.label)}, and no role of its split was learned; those that "
                f"were are {shown(known)}. Give data with the same roles."
            )

    def rows(self, number: int, example: Sentence, reader: Reader, max_tokens: int, *, with_targets: bool) -> list[Row]:
        """One for each predicate, and where predicates are to be found the sentence without any: maybe none at all."""
        return rows_of(
            number,
            example,
            self.tags,
            reader,
            max_tokens,
            finds_predicates=self.needs_two_passes,
            with_targets=with_targets,
        )

    def head(self, width: int, dropout: float) -> "nn.Module":
        """A `RoleHead`: logits (B, n, tags)."""
        from atinuke.tasks.roles.head import RoleHead

        return RoleHead(width, self.tags.count, dropout)

    def loss(self, output: Any, targets: tuple["Tensor", ...]) -> "Tensor":
        """Mean nats per word, of both kinds of rows alike."""
        import torch.nn.functional as F

        from atinuke.data.batches.batch import IGNORE

        return F.cross_entropy(output.float().flatten(0, 1), targets[0].flatten(), ignore_index=IGNORE)

    # --- Predictions ---

    def decode(
        self, examples: Sequence[Sentence], rows: Sequence[Row], outputs: Sequence[tuple[NDArray[Any], ...]]
    ) -> list[Any]:
        """The best tags of each row as spans. Words that a row had to leave out have none."""
        said: list[dict[int, tuple[Span, ...]]] = [{} for _ in examples]
        found: list[list[int]] = [[] for _ in examples]
        cut_words = [0] * len(examples)
        for row, output in zip(rows, outputs, strict=True):
            place = Place(*row.place)
            scores = output[0][: place.end - place.start]
            if place.predicate == NOWHERE:
                found[row.example] += [place.start + word for word in self.tags.to_predicates(scores)]
                continue
            path = self.tags.best_path(scores, place.predicate - place.start)
            said[row.example][place.predicate] = tuple(
                Span(place.start + start, place.start + end, label) for start, end, label in self.tags.to_spans(path)
            )
            cut_words[row.example] += len(examples[row.example].words) - len(scores)
        if not self.needs_two_passes:
            return [prediction_of(*each) for each in zip(said, [None] * len(said), cut_words, strict=True)]
        return [prediction_of(*each) for each in zip(said, found, cut_words, strict=True)]

    def second_pass(self, examples: Sequence[Sentence], predictions: Sequence[Any]) -> list[Sentence]:
        """For each of `examples` the same sentence with the predicates that were found and not given; often none."""
        asked = []
        for sentence, prediction in zip(examples, predictions, strict=True):
            new = sorted(set(prediction["predicates"]) - sentence.spans.keys())
            propositions = tuple(Proposition(predicate, "", "", ()) for predicate in new)
            asked.append(replace(sentence, propositions=propositions, is_searched=False))
        return asked

    def join_passes(
        self, examples: Sequence[Sentence], first: Sequence[Any], asked: Sequence[Sentence], second: Sequence[Any]
    ) -> list[Any]:
        """The propositions of both passes, and the predicates that the first one found."""
        return [
            prediction_of(
                {**said_of(before), **said_of(after)},
                before["predicates"],
                before["cut_words"] + after["cut_words"],
            )
            for before, after in zip(first, second, strict=True)
        ]

    # --- Scores ---

    def score(self, examples: Sequence[Sentence], predictions: Sequence[Any]) -> Scores:
        """As srl-eval.pl has it; end to end, if predicates were found, first."""
        keys: list[Propositions] = [sentence.spans for sentence in examples]
        said = [said_of(prediction) for prediction in predictions]
        counted = tally(keys, said)
        figures = (counted.overall.f1, counted.overall.precision, counted.overall.recall, counted.perfect_propositions)
        values = dict(zip(GIVEN, figures, strict=True))
        if self.needs_two_passes:
            found = _found(said, predictions)
            overall = tally(keys, found, finds_predicates=True).overall
            predicates = predicate_count(keys, found)
            figures = (overall.f1, overall.precision, overall.recall, predicates.f1)
            values = {**dict(zip(FOUND, figures, strict=True)), **values}
        counts = {
            "sentences": len(examples),
            "propositions": counted.propositions,
            "arguments": counted.overall.correct + counted.overall.missed,
            "arguments_of_roles_not_learned": self._not_learned(examples),
            "cut_words": sum(prediction["cut_words"] for prediction in predictions),
        }
        if counted.without_key:
            counts["propositions_without_key"] = counted.without_key
        return Scores(self.metrics[0], values, counts)

    def _not_learned(self, examples: Sequence[Sentence]) -> int:
        spans = (span for sentence in examples for each in sentence.propositions for span in each.spans)
        return sum(span.label not in self.tags for span in spans)

    def write_predictions(self, path: Path, examples: Sequence[Sentence], predictions: Sequence[Any]) -> list[Path]:
        """Columns of CoNLL-2005 for srl-eval.pl, the key in the same format, and the table of all labels."""
        make_folder(path)
        keys: list[Propositions] = [sentence.spans for sentence in examples]
        said = [said_of(prediction) for prediction in predictions]
        given: list[Propositions] = [
            {predicate: spans for predicate, spans in each.items() if predicate in key}
            for key, each in zip(keys, said, strict=True)
        ]
        texts = {
            PREDICTED_FILE: write_props(examples, given),
            KEY_FILE: write_props(examples, keys),
            TABLE_FILE: table_of(tally(keys, given)),
        }
        if self.needs_two_passes:
            found = _found(said, predictions)
            texts[FOUND_FILE] = write_props(examples, found)
            texts[TABLE_FILE] += "\nEnd to end\n\n" + table_of(tally(keys, found, finds_predicates=True))
        for name, text in texts.items():
            write_atomic(path / name, text)
        return [path / name for name in texts]

    def read_predictions(self, path: Path, examples: Sequence[Sentence], notes: RowNotes) -> list[Any]:
        """From a folder that `write_predictions` filled, or from one file: columns of CoNLL-2005.

        Where predicates are to be found, those of the one file are, and no lemma is compared.
        """
        if not self.needs_two_passes:
            file = path / PREDICTED_FILE if path.is_dir() else path
            return [prediction_of(said) for said in read_props(file, examples, notes)]
        file = path / FOUND_FILE if path.is_dir() else path
        found = read_props(file, examples, notes, compares_lemmas=False)
        given: Sequence[Propositions] = [{} for _ in found]
        if path.is_dir():
            given = read_props(path / PREDICTED_FILE, examples, notes)
        return [prediction_of({**ours, **each}, each) for ours, each in zip(given, found, strict=True)]

    @classmethod
    def read(cls, data: Path, split: str, notes: RowNotes) -> list[Sentence]:
        """As the corpus has them."""
        if split not in cls.splits:
            raise ConfigError(f"{cls.title} has no split {printable(split)}; expected {', '.join(cls.splits)}.")
        return cls.read_files(data, split, notes)

    @staticmethod
    @abstractmethod
    def read_files(data: Path, split: str, notes: RowNotes) -> list[Sentence]:
        """The sentences of the files of a split."""


def _found(said: Sequence[Propositions], predictions: Sequence[Any]) -> list[Propositions]:
    """Of what is said, the propositions of predicates that were found."""
    return [
        {predicate: each[predicate] for predicate in prediction["predicates"]}
        for each, prediction in zip(said, predictions, strict=True)
    ]


# --- Corpora ---


class Roles(RoleLabelling):
    """PropBank on the English Web Treebank: an open stand-in for the licensed corpora."""

    name: ClassVar[str] = "roles"
    title: ClassVar[str] = "PropBank-EWT"
    fetch: ClassVar[str] = (
        "Fetch data/google/ewt of github.com/propbank/propbank-release and the text of UniversalDependencies/"
        "UD_English-EWT, fill its words into the .gold_skel files, and put train.gold_conll, dev.gold_conll and "
        "test.gold_conll (cells between tabs, plain or compressed) into --data."
    )
    read_files = staticmethod(read_ewt)


class Roles05(RoleLabelling):
    """The shared task of CoNLL-2005, on the Wall Street Journal and, to test on other prose, on Brown."""

    name: ClassVar[str] = "roles-conll05"
    title: ClassVar[str] = "CoNLL-2005 SRL"
    splits: ClassVar[tuple[str, ...]] = ("train", "dev", "test", "test-brown")
    paper: ClassVar[float | None] = 82.5
    fetch: ClassVar[str] = (
        "Get the Penn Treebank (LDC99T42) from the LDC and the shared task's release from www.cs.upc.edu/~srlconll, "
        "make its words, and give the folder with train/words/*.words and train/props/*.props, and devel, test.wsj and "
        "test.brown likewise (plain or compressed), as --data."
    )
    read_files = staticmethod(read_conll05)


class Roles12(RoleLabelling):
    """OntoNotes 5 in the splits of CoNLL-2012."""

    name: ClassVar[str] = "roles-conll12"
    title: ClassVar[str] = "CoNLL-2012 SRL"
    paper: ClassVar[float | None] = 82.5
    fetch: ClassVar[str] = (
        "Get OntoNotes 5 (LDC2013T19) from the LDC and the skeletons of CoNLL-2012 from conll.cemantix.org, fill the "
        "words in with the scripts there, and give the folder with train/…/english/…/*.v4_gold_conll, and development "
        "and test likewise (or train.english.v4_gold_conll …), as --data."
    )
    read_files = staticmethod(read_conll12)


# --- The same, with predicates to be found ---


class RolesEndToEnd(Roles):
    """PropBank-EWT, predicates found by the network."""

    name: ClassVar[str] = "roles-end-to-end"
    title: ClassVar[str] = "PropBank-EWT, end to end"
    metrics: ClassVar[tuple[str, ...]] = FOUND + GIVEN
    needs_two_passes: ClassVar[bool] = True


class Roles05EndToEnd(Roles05):
    """CoNLL-2005, predicates found by the network."""

    name: ClassVar[str] = "roles-conll05-end-to-end"
    title: ClassVar[str] = "CoNLL-2005 SRL, end to end"
    metrics: ClassVar[tuple[str, ...]] = FOUND + GIVEN
    needs_two_passes: ClassVar[bool] = True
    paper: ClassVar[float | None] = None


class Roles12EndToEnd(Roles12):
    """OntoNotes, predicates found by the network."""

    name: ClassVar[str] = "roles-conll12-end-to-end"
    title: ClassVar[str] = "CoNLL-2012 SRL, end to end"
    metrics: ClassVar[tuple[str, ...]] = FOUND + GIVEN
    needs_two_passes: ClassVar[bool] = True
    paper: ClassVar[float | None] = None
