"""Pairs: texts and their translations, for an encoder and a decoder, or one decoder that reads both in a row.

encoder-decoder   source ──► encoder ──► memory ──► decoder ──► target <end>
decoder-only      source <end> target <end>         targets count, the source does not
"""

import math
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import torch
from torch import nn

from atinuke.config import one_line, validate
from atinuke.data.batches.batch import BatchSource
from atinuke.data.batches.pairs import PairBatches
from atinuke.data.pairs import EncodedPairs, Layout, PairCorpus, Pairs, read_pairs, split_pairs, write_pairs
from atinuke.durable import read_json, to_json, write_atomic
from atinuke.errors import ConfigError, MissingExtraError
from atinuke.generate.translating import Translator
from atinuke.models.config import ModelConfig, saved_network
from atinuke.run_folder import RunFolder, printable
from atinuke.tokenizers.tokenizer import Tokenizer
from atinuke.tokenizers.training import train_tokenizer
from atinuke.train.config import ModelChoice, TrainConfig
from atinuke.train.inheriting import with_inherited_width
from atinuke.train.lessons.lesson import Autocast, Lesson, Workbench, mean_nats, plan_path, used_up
from atinuke.train.objectives import Objective, next_token, smoothed
from atinuke.train.planning.choices import choose_dtype
from atinuke.train.planning.shapes import next_multiple
from atinuke.train.predecessor import with_predecessor
from atinuke.train.progress import Display
from atinuke.train.translation_scores import translation_scores

ESTIMATED_BATCHES, ESTIMATED_TOKENS = 4, 1024
SCORED_PAIRS = 1000
"""Held-out pairs that are translated at the end, at most."""
SAMPLES = 5
LABEL_SMOOTHING = 0.1


@dataclass(frozen=True)
class PairLesson(Lesson):
    """Translate: after each source comes its target."""

    corpus: PairCorpus

    task: ClassVar[str] = "translation"

    @classmethod
    def read(cls, cfg: TrainConfig, display: Display) -> tuple[Pairs, Pairs]:
        """Reads the pairs through and holds some out."""
        display.phase("reading")
        if cfg.model.kind in ("bert", "perceptron"):
            raise ConfigError(
                f"model is {cfg.model.kind}; pairs need seq2seq, rnn, or a network that continues text (atinuke, gpt, "
                "llama). Give --model seq2seq."
            )
        if cfg.batch_seqs is not None:
            raise ConfigError(
                f"batch_seqs is {cfg.batch_seqs}; pairs come by their target tokens. Give --set batch_tokens=2048, "
                "for example."
            )
        with_inherited_width(cfg)  # says at once what is wrong with the run that it names
        begun, _ = with_predecessor(cfg)
        if begun.init is not None and begun.model.kind in ("bert", "perceptron", "rnn"):
            raise ConfigError(
                f"init: {printable(begun.init)} holds a {begun.model.kind} network, which does not translate; expected "
                "a run of seq2seq, rnn-seq2seq, or a network that continues text (atinuke, gpt, llama)."
            )
        pairs = read_pairs(cfg.data.pairs)
        held_out = read_pairs(cfg.data.held_out) if cfg.data.held_out else None
        for noted in (pairs, held_out):
            for remark in noted.notes.remarks if noted is not None else ():
                display.say(remark)
        return split_pairs(pairs, held_out)

    @classmethod
    def prepare(cls, cfg: TrainConfig, material: tuple[Pairs, Pairs], folder: RunFolder, bench: Workbench) -> Self:
        """Trains one tokenizer for both languages, chooses sizes by the amount of text, writes the pairs as ids."""
        pairs, held_out = material
        display = bench.display
        display.phase("tokenizer")
        size = sum(len(text.encode()) for text in pairs.texts())
        cfg, inherited = with_predecessor(cfg)
        vocab_size = cfg.tokenizer.vocab_size
        if vocab_size is None and cfg.tokenizer.kind != "char":
            vocab_size = _choose_vocabulary(size)
        tokenizer = inherited or train_tokenizer(
            cfg.tokenizer.kind, pairs.texts(), vocab_size, sample_bytes=cfg.tokenizer.sample_bytes
        )
        if tokenizer.loss_note:
            display.say(tokenizer.loss_note)

        display.phase("planning")
        cfg = _resolve(with_inherited_width(cfg), tokenizer, size, len(pairs), bench)
        if cfg.budget.time_s is not None and bench.clock.elapsed_s() > 0.9 * cfg.budget.time_s:
            raise used_up(cfg, bench.clock)
        network = saved_network(cfg.model_dump())

        display.phase("encoding")
        corpus = _encode(pairs, held_out, tokenizer, folder, network)
        for notes in (corpus.index.skipped, corpus.index.held_out_skipped):
            for reason, count, places in notes:
                display.say(f"Skipped {count:,} pairs: {reason} ({', '.join(places[:3])}).")
        facts = {
            "bytes_per_token": round(
                size / max(corpus.index.train_source_tokens + corpus.index.train_target_tokens, 1), 3
            )
        }
        write_atomic(plan_path(folder), to_json(facts))
        return cls(cfg, network, tokenizer, facts, corpus)

    @classmethod
    def take_up(cls, cfg: TrainConfig, folder: RunFolder, display: Display) -> Self:
        """Opens what was encoded."""
        network, tokenizer = saved_network(cfg.model_dump()), Tokenizer.load(folder.tokenizer)
        if folder.data.exists():
            corpus = PairCorpus.open(folder.data)
        else:
            corpus = _encode(*cls.read(cfg, display), tokenizer, folder, network)
        return cls(cfg, network, tokenizer, read_json(plan_path(folder)), corpus)

    @property
    def fingerprint(self) -> str:
        return self.corpus.fingerprint

    @property
    def keeps_best(self) -> bool:
        """Not where what is held out was given: that may be the final test, by which nothing may be chosen."""
        return not self.config.data.held_out

    @property
    def objective(self) -> Objective:
        smoothing = self.config.objective.label_smoothing
        return smoothed(LABEL_SMOOTHING if smoothing is None else smoothing)

    def batches(self, device: torch.device) -> BatchSource:
        return self._batches(self.corpus.train, self.config.batch_tokens or 0, self.config.seed, device)

    def estimator(self, device: torch.device, autocast: Autocast) -> Callable[[nn.Module], float]:
        held_out = self._batches(self.corpus.held_out, ESTIMATED_TOKENS, 0, device)
        count = min(ESTIMATED_BATCHES, held_out.batches_per_epoch)
        return mean_nats([held_out.batch(number) for number in range(count)], next_token, autocast)

    def summary(self, tokens: int) -> dict[str, Any]:
        assert self.tokenizer is not None
        facts = self.corpus.facts
        return {
            "sources": [*self.config.data.pairs],
            "tokenizer": {
                "kind": self.tokenizer.kind,
                "vocab_size": self.tokenizer.vocab_size,
                "bytes_per_token": self.facts["bytes_per_token"],
                "loss_note": self.tokenizer.loss_note,
            },
            "bytes_per_token": self.facts["bytes_per_token"],
            "data": facts,
            "train_bytes": facts["train_bytes"],
            "epochs": round(tokens / (facts["train_target_tokens"] + facts["train_pairs"]), 3),
            "batch_tokens": self.config.batch_tokens,
        }

    def score(self, model: nn.Module, display: Display) -> dict[str, Any]:
        assert self.tokenizer is not None
        display.phase("scoring")
        pairs = self.corpus.held_out_texts[:SCORED_PAIRS]
        translator = Translator(model, self.tokenizer, self.network.context)
        sources, cut = translator.cut([source for source, _ in pairs])
        if cut:
            display.say(f"{cut:,} held-out sources are longer than this network takes and were cut.")
        found = list(translator.translate(sources))
        nats = self.estimator(next(model.parameters()).device, nullcontext)(model)
        figures: dict[str, Any] = {"val_nats_per_token": nats, "cut": cut}
        try:
            scores = translation_scores(found, [target for _, target in pairs])
            shortened = f" ({cut:,} sources cut)" if cut else ""
            note = f"{len(pairs):,} held-out pairs{shortened}, beam {translator.beam}; {scores['bleu_signature']}"
            figures["score"] = {"name": "BLEU", "value": scores["bleu"], "is_better": "higher", "note": note}
            figures |= scores
        except MissingExtraError as error:
            note = f"mean over held-out tokens; {one_line(error)}"
            figures["score"] = {"name": "nats per token", "value": nats, "is_better": "lower", "note": note}
        samples = zip(sources[:SAMPLES], found[:SAMPLES], pairs[:SAMPLES], strict=True)
        figures["samples"] = [
            {"prompt": source, "text": text, "reference": reference} for source, text, (_, reference) in samples
        ]
        return figures

    @staticmethod
    def say(summary: dict[str, Any]) -> str:
        samples = "".join(
            f"\n── source ──── {sample['prompt']}\n   written      {sample['text']}"
            f"\n   reference    {sample['reference']}"
            for sample in summary["samples"]
        )
        score = summary["score"]
        chrf = f", chrF {summary['chrf']:.1f} ({summary['chrf_signature']})" if "chrf" in summary else ""
        return f"{samples}\n\n{score['name']} {score['value']:.2f}{chrf}. {score['note']}"

    def _batches(self, pairs: EncodedPairs, batch_tokens: int, seed: int, device: torch.device) -> PairBatches:
        assert self.tokenizer is not None
        end_id = self.tokenizer.end_id
        return PairBatches(
            pairs,
            batch_tokens=batch_tokens,
            seed=seed,
            start_id=end_id,
            end_id=end_id,
            layout=layout_of(self.network.kind),
            device=device,
        )


def _encode(pairs: Pairs, held_out: Pairs, tokenizer: Tokenizer, folder: RunFolder, network: ModelConfig) -> PairCorpus:
    layout = layout_of(network.kind)
    return write_pairs(pairs, held_out, tokenizer, folder.data, max_len=network.context, layout=layout)


def layout_of(kind: str) -> Layout:
    """How a network of this kind reads pairs."""
    return "encoder-decoder" if kind in ("seq2seq", "rnn-seq2seq") else "decoder-only"


def _choose_vocabulary(size: int) -> int:
    """A piece should be seen often enough to be learned: 4,000 ids at 4 MB of text, as on Multi30k; docs/lab.md."""
    return int(min(16_000, max(512, 4000 * math.sqrt(size / 4e6))))


def _choose_heads(key_dim: int, kv_head_count: int) -> int:
    """At most four that share `key_dim`, and that the heads of keys and values divide; else as many as of those."""
    fits = (n for n in (4, 3, 2, 1) if key_dim % n == 0 and n % kv_head_count == 0)
    return next(fits, kv_head_count)


def _resolve(cfg: TrainConfig, tokenizer: Tokenizer, size: int, pairs: int, bench: Workbench) -> TrainConfig:
    """Sizes and rates that were found on Multi30k, German to English (docs/lab.md)."""
    model, optim = cfg.model, cfg.optim
    kind = "rnn-seq2seq" if model.kind == "rnn" else model.kind
    width = model.model_dim or (256 if size > 1e6 else 128)
    heads = model.head_count or _choose_heads(model.key_dim or width, model.kv_head_count or 1)
    context = model.context or min(256, model.max_len or 256)
    sizes = {
        "kind": kind,
        "model_dim": width,
        "key_dim": model.key_dim or next_multiple(width, heads),
        "hidden_dim": model.hidden_dim or (width if kind == "rnn-seq2seq" else 2 * width),
        "head_count": heads,
        "layer_count": model.layer_count or (1 if kind == "rnn-seq2seq" else 3),
        "dropout": 0.2 if model.dropout is None else model.dropout,
        "context": context,
        # each place that gpt has learned costs a row, and source and target share the context
        "max_len": model.max_len or (context if kind == "gpt" else max(context, 1024)),
    }
    resolved = validate(ModelChoice, model.model_dump() | sizes)  # says what of the sizes that were set does not fit
    return cfg.model_copy(
        update={
            "model": resolved,
            "tokenizer": cfg.tokenizer.model_copy(update={"vocab_size": tokenizer.vocab_size}),
            "batch_tokens": cfg.batch_tokens or 2048,
            "optim": optim.model_copy(
                update={
                    "kind": optim.kind or "muon",
                    "lr": optim.lr or 3e-3,
                    "matrix_lr": optim.matrix_lr or 0.02,
                    "beta2": optim.beta2 or 0.98,
                }
            ),
            "dtype": choose_dtype(cfg, bench.device, bench.machine),
            "compile": False if cfg.compile is None else cfg.compile,
        }
    )
