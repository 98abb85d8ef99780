"""Tasks whose answer is a text: a translation, a summary."""

from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any, ClassVar

from atinuke.data.translations import read_pairs
from atinuke.errors import MissingExtraError, SourceError
from atinuke.tasks.answered.pair_files import find_pair_files
from atinuke.tasks.answered.task import Answer, AnsweredTask
from atinuke.tasks.task import Scores
from atinuke.train.config import DataConfig

if TYPE_CHECKING:
    from atinuke.generate.loading import TrainedRun

ROUGES = ("rouge1", "rouge2", "rougeLsum")


class _Written(AnsweredTask):
    """Source in, target out, with beam search."""

    how = "atinuke train --model seq2seq --pairs SOURCE TARGET"
    sides: ClassVar[tuple[str, str] | None] = None

    @classmethod
    def lesson(cls, data: Path) -> DataConfig:
        """The training split; the development split is watched, where there is one."""
        train = find_pair_files(data, "train", cls.sides)
        try:
            held_out = find_pair_files(data, "dev", cls.sides)
        except SourceError:
            held_out = ()
        return DataConfig(pairs=train, held_out=held_out)

    @classmethod
    def score(
        cls, trained: "TrainedRun", data: Path, split: str, say: Callable[[str], None]
    ) -> tuple[Scores, int, list[Answer]]:
        """Of all pairs of the split."""
        from atinuke.generate.translating import Translator

        cls.figures([""], [""], lambda line: None)  # says that its library is missing before hours of writing
        translator = Translator.of_run(trained)
        read = read_pairs(find_pair_files(data, split, cls.sides))
        for line in read.notes.describe(cls.items):
            say(line)
        sources, cut = translator.cut([source for source, _ in read.pairs])
        written = list(translator.translate(sources))
        references = [target for _, target in read.pairs]
        values = cls.figures(written, references, say)
        answers = [
            {"source": source, "written": text, "reference": reference}
            for source, text, reference in zip(sources, written, references, strict=True)
        ]
        counts = {"pairs": len(answers)} | ({"sources cut": cut} if cut else {})
        return Scores(cls.metrics[0], values, counts), len(answers), answers

    @staticmethod
    @abstractmethod
    def figures(written: Sequence[str], references: Sequence[str], say: Callable[[str], None]) -> dict[str, float]:
        """The official figures."""


class Translation(_Written):
    """Any folder of texts and their translations."""

    name = "translation"
    title = "Translation"
    items = "pairs"
    metrics = ("bleu", "chrf")
    fetch = (
        "Fetch pairs such as Multi30k into a folder with train.de, train.en, val.de, val.en, and say the direction: "
        "--data FOLDER:de-en. Or train.tsv and dev.tsv with source and target."
    )

    @staticmethod
    def figures(written: Sequence[str], references: Sequence[str], say: Callable[[str], None]) -> dict[str, float]:
        """BLEU and chrF2 by sacrebleu."""
        from atinuke.train.translation_scores import translation_scores

        found = translation_scores(written, references)
        say(f"{found['bleu_signature']}; {found['chrf_signature']}")
        return {"bleu": found["bleu"], "chrf": found["chrf"]}


class Summarization(_Written):
    """Any folder of texts and their summaries."""

    name = "summarization"
    title = "Summarization"
    items = "texts"
    metrics = ("rougeLsum", "rouge1", "rouge2")
    sides = ("source", "target")
    fetch = (
        "Fetch texts with summaries, such as CNN/DailyMail, into a folder with train.source, train.target, val.source, "
        'val.target, a text on each line; or train.jsonl and dev.jsonl with "source" and "target".'
    )

    @staticmethod
    def figures(written: Sequence[str], references: Sequence[str], say: Callable[[str], None]) -> dict[str, float]:
        """Mean F1 of ROUGE (Lin 2004) by rouge-score, words cut to their stems, in per cent."""
        scorer = _rouge()
        found = [scorer.score(reference, text) for text, reference in zip(written, references, strict=True)]
        say("rouge-score, stemmed; mean F1 over texts")
        return {name: 100 * mean(each[name].fmeasure for each in found) for name in reversed(ROUGES)}


def _rouge() -> Any:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError as error:
        raise MissingExtraError.for_extra("Scoring summaries", "summarize") from error
    return RougeScorer(ROUGES, use_stemmer=True)
