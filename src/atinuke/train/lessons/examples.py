"""Examples: after a picture, a sound or a text comes its answer, in one network and one sequence."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import nn

from atinuke.config import printable, validate
from atinuke.data.batches.batch import IGNORE, Batch
from atinuke.data.batches.examples import CYCLE, ExampleBatches, held_out_batches
from atinuke.data.example_set import ExampleRows, ExampleSet, Ragged, write_examples
from atinuke.data.example_sources import Kind, first_of_each_kind
from atinuke.data.examples import Examples, ExampleSplit, PictureShape, read_examples, split_examples
from atinuke.durable import read_json, to_json, write_atomic
from atinuke.errors import ConfigError
from atinuke.generate.answering import Answers
from atinuke.models.config import PictureConfig, SoundConfig, saved_network
from atinuke.models.decoder import Decoder
from atinuke.run_folder import RunFolder
from atinuke.tokenizers.tokenizer import Tokenizer
from atinuke.tokenizers.training import train_tokenizer
from atinuke.train.config import ModelChoice, TrainConfig
from atinuke.train.inheriting import with_inherited_width
from atinuke.train.lessons.lesson import Autocast, Lesson, Workbench, mean_nats, plan_path, used_up
from atinuke.train.objectives import Objective, next_token, smoothed
from atinuke.train.planning.choices import choose_dtype
from atinuke.train.planning.shapes import LONGEST, next_multiple
from atinuke.train.predecessor import with_predecessor
from atinuke.train.progress import Display

ROWS_AT_ONCE = 250
"""Held-out examples that are answered together."""
ESTIMATED_BATCHES = 4
MOST_SOUND_S = 10.0
"""What is heard of a longer sound, where model.sound.max_s does not say: each few frames are a position."""
KNOWN_LABELS = 1000
"""So many labels are remembered in summary.json; all of them are in data/."""
SAMPLES = 8


@dataclass(frozen=True)
class Material:
    """What was read."""

    examples: Examples
    held_out: Examples | None
    split: ExampleSplit


@dataclass(frozen=True)
class ExampleLesson(Lesson):
    """Answer: a picture, a sound or a text, then its label."""

    examples: ExampleSet

    task: ClassVar[str] = "examples"

    @classmethod
    def read(cls, cfg: TrainConfig, display: Display) -> Material:
        """Reads all examples into memory and holds some out."""
        display.phase("reading")
        with_inherited_width(cfg)  # says at once what is wrong with the run that it names
        cfg, _ = with_predecessor(cfg)
        _check_kind(cfg)
        asked, sound = cfg.model.picture, cfg.model.sound
        shape = None if asked is None else PictureShape(asked.height, asked.width, asked.channels)
        examples = read_examples(
            cfg.data.examples,
            picture=shape,
            sample_rate_hz=None if sound is None else sound.sample_rate_hz,
            max_s=MOST_SOUND_S if sound is None else sound.max_s,
        )
        for line in examples.describe():
            display.say(line)
        held_out = None
        if cfg.data.held_out:
            held_out = read_examples(
                cfg.data.held_out,
                picture=examples.picture or shape,
                sample_rate_hz=examples.sample_rate_hz,
                max_s=MOST_SOUND_S if sound is None else sound.max_s,
            )
            for line in held_out.describe():
                display.say(f"Held out: {line}")
        return Material(examples, held_out, split_examples(examples, held_out, seed=0))

    @classmethod
    def prepare(cls, cfg: TrainConfig, material: Material, folder: RunFolder, bench: Workbench) -> Self:
        """Trains a tokenizer on what is written, chooses sizes, writes the examples into the run folder."""
        display = bench.display
        display.phase("tokenizer")
        cfg, inherited = with_predecessor(cfg)
        written = list(material.split.texts())
        vocab_size = cfg.tokenizer.vocab_size
        if vocab_size is None and cfg.tokenizer.kind != "char":
            vocab_size = 512 if sum(map(len, written)) < 1_000_000 else 4096
        tokenizer = inherited or train_tokenizer(
            cfg.tokenizer.kind, written, vocab_size, sample_bytes=cfg.tokenizer.sample_bytes
        )
        display.phase("encoding")
        max_tokens = cfg.model.context or min(LONGEST_ROW, cfg.model.max_len or LONGEST_ROW)
        examples = write_examples(
            material.split,
            material.examples,
            tokenizer,
            folder.data,
            held_out=material.held_out,
            max_tokens=max_tokens,
        )
        if examples.index.shortened or examples.index.too_long:
            display.say(
                f"{examples.index.shortened:,} texts were cut to {max_tokens} tokens, "
                f"{examples.index.too_long:,} examples left out for their length."
            )
        display.phase("planning")
        cfg = _resolve(with_inherited_width(cfg), tokenizer, material.examples, examples, bench)
        if cfg.budget.time_s is not None and bench.clock.elapsed_s() > 0.9 * cfg.budget.time_s:
            raise used_up(cfg, bench.clock)
        facts: dict[str, Any] = {}
        write_atomic(plan_path(folder), to_json(facts))
        return cls(cfg, saved_network(cfg.model_dump()), tokenizer, facts, examples)

    @classmethod
    def take_up(cls, cfg: TrainConfig, folder: RunFolder, display: Display) -> Self:
        """Opens what was encoded."""
        network, tokenizer = saved_network(cfg.model_dump()), Tokenizer.load(folder.tokenizer)
        if folder.data.exists():
            examples = ExampleSet.open(folder.data)
        else:
            material = cls.read(cfg, display)
            examples = write_examples(
                material.split,
                material.examples,
                tokenizer,
                folder.data,
                held_out=material.held_out,
                max_tokens=cfg.model.context,
            )
        return cls(cfg, network, tokenizer, read_json(plan_path(folder)), examples)

    @property
    def fingerprint(self) -> str:
        return self.examples.fingerprint

    @property
    def keeps_best(self) -> bool:
        """What is held out may be the final test, by which nothing may be chosen."""
        return False

    @property
    def objective(self) -> Objective:
        return smoothed(self.config.objective.label_smoothing or 0.0)

    def batches(self, device: torch.device) -> ExampleBatches:
        assert self.config.batch_seqs is not None
        return ExampleBatches(
            self.examples,
            batch_rows=self.config.batch_seqs,
            seed=self.config.seed,
            augment=True,
            how=self.config.augment,
            device=device,
        )

    def estimator(self, device: torch.device, autocast: Autocast) -> Callable[[nn.Module], float]:
        places = [
            (kind, start)
            for kind, rows in self.examples.held_out.items()
            for start in range(0, len(rows), ROWS_AT_ONCE)
        ]
        few = places[:: max(1, len(places) // ESTIMATED_BATCHES)]
        return mean_nats([_held_out_batch(self.examples, *place, device) for place in few], next_token, autocast)

    def summary(self, tokens: int) -> dict[str, Any]:
        assert self.tokenizer is not None
        index = self.examples.index
        return {
            "sources": [*self.config.data.examples],
            "tokenizer": {
                "kind": self.tokenizer.kind,
                "vocab_size": self.tokenizer.vocab_size,
                "loss_note": self.tokenizer.loss_note,
            },
            "data": self.examples.facts,
            "labels": self.examples.labels[:KNOWN_LABELS],
            "train_bytes": None,
            "epochs": round(tokens / self._targets_per_row() / sum(index.train_rows.values()), 3),
            "batch_rows": self.config.batch_seqs,
        }

    def _targets_per_row(self) -> float:
        """Targets of an example, an answer and its end, on average over those that are seen in a cycle of batches."""
        lengths = self.examples.answers.lengths + 1
        targets = seen = 0.0
        for kind, passes in self.batches(torch.device("cpu")).epochs(CYCLE).items():
            labels = self.examples.train[kind].labels
            targets += passes * float(lengths[labels].sum())
            seen += passes * len(labels)
        return targets / seen

    def score(self, model: nn.Module, display: Display) -> dict[str, Any]:
        assert isinstance(model, Decoder) and self.tokenizer is not None
        display.phase("scoring")
        device = next(model.parameters()).device
        return score_examples(model, self.examples, self.tokenizer, self.examples.labels, device)

    @staticmethod
    def say(summary: dict[str, Any]) -> str:
        score = summary["score"]
        samples = "".join(f"\n   {s['prompt']}: {s['text']} (should be {s['reference']})" for s in summary["samples"])
        wrong = f"\n── answered wrongly ──{samples}\n" if samples else ""
        parts = ", ".join(
            f"{kind} {100 * figures['right'] / figures['total']:.2f} % of {figures['total']:,}"
            for kind, figures in summary["accuracy_by_kind"].items()
        )
        return f"{wrong}\nAccuracy {score['value']:.2f} % on held-out examples: {parts}."


def score_examples(
    model: Decoder, examples: ExampleSet, tokenizer: Tokenizer, labels: Sequence[str], device: torch.device
) -> dict[str, Any]:
    """How many held-out examples get their own label, of all `labels`, as the answer; in all and by kind.

    That is the likeliest label, or of very many labels the one that is written (`Answers.are_compared`). An example
    whose label is not among them cannot be right.
    """
    answers = Answers([[int(id) for id in ids] for ids in tokenizer.encode_batch(labels)], tokenizer.end_id)
    number_of = {label: number for number, label in enumerate(labels)}
    numbers = np.array([number_of.get(label, -1) for label in examples.labels])
    counts: dict[str, dict[str, int]] = {}
    wrong: list[dict[str, str]] = []
    for held in held_out_batches(examples, batch_rows=ROWS_AT_ONCE, device=device):
        tokens, _, _, prefix, _ = held.batch.inputs
        starts = (held.batch.targets != IGNORE).int().argmax(dim=1)
        chosen = answers.choose(model, tokens, starts, prefix, vocab_size=tokenizer.vocab_size)
        found = np.array([number for number, _ in chosen])
        named = examples.held_out[held.kind].labels[held.rows]
        truth = numbers[named]
        figures = counts.setdefault(held.kind, {"right": 0, "total": 0})
        is_right = (found == truth) & (found >= 0)
        figures["right"] += int(is_right.sum())
        figures["total"] += len(truth)
        for row in np.flatnonzero(~is_right)[: SAMPLES - len(wrong)]:
            example, right = f"held-out {held.kind} {int(held.rows[row]) + 1}", examples.labels[named[row]]
            number, ids = chosen[row]
            text = labels[number] if number >= 0 else tokenizer.decode(ids)
            wrong.append({"prompt": example, "text": text, "reference": right})
    right, total = (sum(figures[key] for figures in counts.values()) for key in ("right", "total"))
    note = f"{right:,} of {total:,} held-out examples"
    if not answers.are_compared:
        note += f"; as there are {len(labels):,} labels, right is what was written exactly"
    return {
        "score": {"name": "accuracy", "value": 100 * right / total, "is_better": "higher", "note": note},
        "accuracy_by_kind": counts,
        "samples": wrong,
    }


def _check_kind(cfg: TrainConfig) -> None:
    """ConfigError for a network that cannot answer such examples, before any is decoded."""
    kind = cfg.model.kind
    if kind in ("bert", "seq2seq", "rnn-seq2seq"):
        raise ConfigError(f"model is {kind}; examples need a network that continues text, as atinuke is.")
    if kind == "atinuke":
        return
    first = first_of_each_kind([*cfg.data.examples, *cfg.data.held_out])
    if signal := first.get("picture") or first.get("sound"):
        raise ConfigError(
            f"model is {kind}; pictures and sounds are read by atinuke, and {printable(signal)} is one. "
            "Leave --model out."
        )


def _held_out_batch(examples: ExampleSet, kind: Kind, start: int, device: torch.device) -> Batch:
    """One batch of `held_out_batches`, made by itself."""
    rows, end = examples.held_out[kind], start + ROWS_AT_ONCE
    content = _part(rows.content, start, end) if isinstance(rows.content, Ragged) else rows.content
    if isinstance(content, np.ndarray):
        content = content[start:end]
    part = ExampleRows(content, _part(rows.prompts, start, end), rows.labels[start:end])
    return next(
        held_out_batches(replace(examples, held_out={kind: part}), batch_rows=ROWS_AT_ONCE, device=device)
    ).batch


def _part(rows: Ragged, start: int, end: int) -> Ragged:
    before = int(rows.ends[start - 1]) if start else 0
    ends = rows.ends[start:end]
    return Ragged(rows.values[before : int(ends[-1])], ends - before)


def _choose_batch(examples: ExampleSet) -> int:
    """256 rows where there are 60,000 (MNIST), 64 where there are 1,800 (spoken digits), at least 200 steps a pass."""
    rows = sum(examples.index.train_rows.values())
    return max(8, min(256, 2 ** round(math.log2(max(rows, 8) / 30))))


LONGEST_ROW = 512
"""Tokens of a row, where model.context does not say."""
ASKED_TOKENS = 256
"""A network that reads texts or questions takes so many at least, however short those of its training were."""


def _choose_sizes(model: ModelChoice, examples: ExampleSet) -> dict[str, Any]:
    """Sizes that were found on MNIST and spoken digits (docs/lab.md); context and max_len are those of the rows."""
    width = model.model_dim or 128
    shared = (n for n in (4, 3, 2, 1) if (model.key_dim or width) % n == 0 and n % (model.kv_head_count or 1) == 0)
    heads = model.head_count or next(shared, model.kv_head_count or 1)
    prompts = [rows.prompts.lengths.max() for part in (examples.train, examples.held_out) for rows in part.values()]
    longest = int(max(prompts))
    context = max(8, examples.index.longest_row, ASKED_TOKENS if longest else 0)
    context = model.context or min(context, model.max_len or context)
    # every label may be asked for behind the longest prompt; each place that gpt has learned costs a row
    needed = max(context, longest + 1 + int(examples.answers.lengths.max()))
    return {
        "model_dim": width,
        "key_dim": model.key_dim or next_multiple(width, heads),
        "hidden_dim": model.hidden_dim or 2 * width,
        "head_count": heads,
        "layer_count": model.layer_count or 2,
        "dropout": 0.1 if model.dropout is None else model.dropout,
        "context": context,
        "max_len": model.max_len or (needed if model.kind == "gpt" else max(needed, LONGEST)),
    }


def _resolve(
    cfg: TrainConfig, tokenizer: Tokenizer, read: Examples, examples: ExampleSet, bench: Workbench
) -> TrainConfig:
    """Every open choice made; the rates, too, are those of MNIST and spoken digits."""
    model, optim = cfg.model, cfg.optim
    picture, sound = model.picture, model.sound
    if picture is None and read.picture is not None:
        height, width, channels = read.picture
        assert channels in (1, 3)
        picture = PictureConfig(height=height, width=width, channels=channels)
    if sound is None and read.sample_rate_hz is not None:
        sound = SoundConfig(sample_rate_hz=read.sample_rate_hz, max_s=read.longest_sound_s)
    sizes = {**_choose_sizes(model, examples), "picture": picture, "sound": sound}
    resolved = validate(ModelChoice, model.model_dump() | sizes)  # says what of the sizes that were set does not fit
    return cfg.model_copy(
        update={
            "model": resolved,
            "tokenizer": cfg.tokenizer.model_copy(update={"vocab_size": tokenizer.vocab_size}),
            "batch_seqs": cfg.batch_seqs or _choose_batch(examples),
            "optim": optim.model_copy(
                update={
                    "kind": optim.kind or "muon",
                    "lr": optim.lr or 3e-3,
                    "matrix_lr": optim.matrix_lr or 0.02,
                    "beta2": optim.beta2 or 0.99,
                }
            ),
            "dtype": choose_dtype(cfg, bench.device, bench.machine),
            "compile": False if cfg.compile is None else cfg.compile,
        }
    )
