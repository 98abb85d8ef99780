"""`atinuke evaluate`: a run and texts → bits per byte and perplexities."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from atinuke.data.corpus import Corpus
from atinuke.data.sources import Sources
from atinuke.errors import RunFolderError
from atinuke.evaluate.answers import score_examples
from atinuke.evaluate.config import EvaluateConfig
from atinuke.evaluate.pairs import score_pairs
from atinuke.generate.loading import TrainedRun, find_run, load_trained, read_network
from atinuke.run_folder import printable
from atinuke.train.lessons.text_scores import score_held_out
from atinuke.train.masked_scoring import pseudo_bits_per_byte
from atinuke.train.scoring import Score, bits_per_byte

HELD_OUT = "held-out text"


@dataclass(frozen=True)
class ScoredText:
    """One row: a text, as it was named, and its score."""

    name: str
    score: Score

    def to_json(self) -> str:
        """One JSON object; null stands for an infinite perplexity, which JSON cannot hold."""
        numbers = {
            "bytes": self.score.bytes,
            "tokens": self.score.tokens,
            "words": self.score.words,
            "nats": self.score.nats,
            "bits_per_byte": self.score.bits_per_byte,
            "token_perplexity": self.score.token_perplexity,
            "word_perplexity": self.score.word_perplexity,
        }
        return json.dumps({"text": self.name} | {key: n if math.isfinite(n) else None for key, n in numbers.items()})


def run(cfg: EvaluateConfig) -> str:
    """What `atinuke evaluate` prints: bits per byte of texts, BLEU and chrF of pairs, or the accuracy on examples."""
    if cfg.tasks:
        from atinuke.evaluate.tasks import score_tasks

        return score_tasks(cfg)
    assert cfg.run is not None
    if cfg.table:
        from atinuke.evaluate.table import table as tasks_table

        return tasks_table(cfg.run, as_json=cfg.as_json)
    if cfg.lm_eval:
        from atinuke.evaluate.lm_eval import run_lm_eval

        return run_lm_eval(cfg.run, cfg.lm_eval, include=cfg.include, device=cfg.device, as_json=cfg.as_json)
    folder = find_run(cfg.run)
    learned = folder.read_config().get("data", {})
    if cfg.pairs or (not cfg.kinds and learned.get("pairs")):
        return score_pairs(load_trained(folder.path, cfg.device), cfg)
    if cfg.examples or (not cfg.kinds and learned.get("examples")):
        return score_examples(load_trained(folder.path, cfg.device), cfg)
    if read_network(folder).kind == "bert":
        return score_masked(load_trained(folder.path, cfg.device), cfg)
    rows = score_texts(cfg)
    return "\n".join(row.to_json() for row in rows) if cfg.as_json else table(rows)


def score_texts(cfg: EvaluateConfig) -> list[ScoredText]:
    """The score of each of `cfg.texts`, or of the run's own held-out text, which gives its summary's val_bpb again.

    The documents of one SOURCE are scored together; each begins after a document separator.
    """
    sources = [(spec, Sources([spec])) for spec in cfg.texts]  # first: a missing file should not wait for the model
    assert cfg.run is not None
    trained = load_trained(cfg.run, cfg.device)
    if not sources:
        return [ScoredText(HELD_OUT, _score_held_out(trained))]
    return [ScoredText(printable(spec), _score_source(trained, source, cfg.batch_seqs)) for spec, source in sources]


def score_masked(trained: TrainedRun, cfg: EvaluateConfig) -> str:
    """Pseudo-bits per byte of each of `cfg.texts`, or of the held-out text, as lines or JSON."""
    assert trained.network.mask_id is not None
    sources = [(printable(spec), list(_whole_texts(Sources([spec])))) for spec in cfg.texts]
    two_segments = bool(trained.folder.read_config()["objective"]["next_sentence"])
    lines = []
    for name, texts in sources or [(HELD_OUT, _held_out(trained).validation)]:
        found = pseudo_bits_per_byte(
            trained.model,
            trained.tokenizer,
            texts,
            trained.context,
            trained.network.mask_id,
            two_segments=two_segments,
            batch_seqs=cfg.batch_seqs,
        )
        facts = {"text": name, "pseudo_bits_per_byte": found.bits_per_byte, "note": found.note}
        line = f"{name}: {found.bits_per_byte:.4f} pseudo-bits per byte ({found.note})"
        lines.append(json.dumps(facts) if cfg.as_json else line)
    return "\n".join(lines)


def table(rows: Sequence[ScoredText]) -> str:
    """The scores as lines of aligned columns."""
    titles = ("text", "bytes", "tokens", "bits per byte", "perplexity per token", "per word")
    cells = [titles, *(_cells(row) for row in rows)]
    widths = [max(len(line[column]) for line in cells) for column in range(len(titles))]
    return "\n".join(
        "  ".join(
            text.ljust(width) if column == 0 else text.rjust(width)
            for column, (text, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in cells
    )


def _cells(row: ScoredText) -> tuple[str, ...]:
    score = row.score
    return (
        row.name,
        f"{score.bytes:,}",
        f"{score.tokens:,}",
        f"{score.bits_per_byte:.4f}",
        f"{score.token_perplexity:,.2f}",
        f"{score.word_perplexity:,.2f}",
    )


def _held_out(trained: TrainedRun) -> Corpus:
    if not trained.folder.data.is_dir():
        raise RunFolderError(
            f"{printable(trained.folder.data)} is missing, and with it the text that this run held out; "
            "name a TEXT to score."
        )
    return Corpus.open(trained.folder.data)


def _score_held_out(trained: TrainedRun) -> Score:
    return score_held_out(trained.decoder, trained.tokenizer, _held_out(trained), trained.context)


def _score_source(trained: TrainedRun, source: Sources, batch_seqs: int | None) -> Score:
    return bits_per_byte(
        trained.decoder, trained.tokenizer, _whole_texts(source), trained.context, batch_seqs=batch_seqs
    )


def _whole_texts(source: Sources) -> Iterator[str]:
    """Each document in one piece: a long one comes in parts, and a window may reach over their border."""
    parts: list[str] = []
    for document in source:
        parts.append(document.text)
        if document.is_last:
            yield "".join(parts)
            parts = []
