"""What the planner chooses by rule: vocabulary, precision, context, batch, rates, and what holds against repetition."""

import math
from dataclasses import astuple, dataclass

import torch

from atinuke.errors import ConfigError
from atinuke.machine import Machine, has_bfloat16
from atinuke.models.config import ModelKind
from atinuke.train.config import OptimizerConfig, TrainConfig
from atinuke.train.planning.text_facts import TextFacts


@dataclass(frozen=True)
class Rates:
    """Peak learning rates at model_dim 128 with 1,024 tokens per step, by what they are for."""

    matrix_lr: float
    lr: float
    embedding_lr: float


NEW_TEXT_RATES = Rates(matrix_lr=0.03, lr=0.012, embedding_lr=0.048)
"""Of the default network: searched on novels, where no text came twice (docs/lab.md). Its token table starts with a
spread of 1, far above that of the others, and so takes larger steps."""
RATES = Rates(matrix_lr=0.02, lr=0.003, embedding_lr=0.003)
"""Of every other network; and of the default where text is passed over a few times."""
REPEATED_RATES = Rates(matrix_lr=0.014, lr=0.002, embedding_lr=0.002)
"""Of the default network where text is passed over often, which higher rates overfit sooner."""
PASSES = (2.0, 2.6, 6.0)
"""Passes over the text up to which it counts as new; that are a few; and that are many."""
REFERENCE_BATCH_TOKENS = 1024
LARGEST_SCALE = 2.0
"""Rates grow with the root of the batch, up to this."""
REMEMBERED_TOKENS = 100_000
"""What the second moment of AdamW remembers, whatever the batch (Marek et al. 2025, arXiv:2507.07101); docs/lab.md."""


def choose_vocabulary(cfg: TrainConfig, train_bytes: int, machine: Machine) -> int | None:
    """How many ids: more where there is more compute and more text. None for characters, which need no number.

    A large vocabulary shortens the sequence and costs time in the read-out; the thresholds are rough.
    """
    if cfg.tokenizer.vocab_size is not None or cfg.tokenizer.kind == "char":
        return cfg.tokenizer.vocab_size
    if cfg.budget.time_s is not None:
        flops = 0.3 * max(machine.fp32_gflops, machine.bf16_gflops) * 1e9 * cfg.budget.time_s
    else:
        flops = 6.0 * 1e6 * wanted_tokens(cfg)
    by_compute = (
        512 if flops < 1e12 else 1024 if flops < 4e13 else 2048 if flops < 4e14 else 4096 if flops < 4e15 else 8192
    )
    if flops >= 4e17:
        by_compute = 16384
    # a piece should be seen often enough to be learned: some 500 bytes of text for each id
    by_text = 2 ** int(math.log2(max(train_bytes / 500, 512)))
    return max(512, min(by_compute, by_text))


def choose_dtype(cfg: TrainConfig, device: torch.device, machine: Machine) -> str:
    """bfloat16 where it was measured faster (CPU) or is native (a GPU); float32 otherwise."""
    if cfg.dtype != "auto":
        return cfg.dtype
    if device.type == "cpu":
        # without a clock nothing is measured, so that the same command gives the same model whatever else runs
        return "bfloat16" if machine.bf16_pays and cfg.budget.time_s is not None else "float32"
    return "bfloat16" if has_bfloat16(device) else "float32"


def choose_context(cfg: TrainConfig, text: TextFacts) -> int:
    """Tokens per window: longer where there is time to learn what is far away."""
    if cfg.model.context is not None:
        return cfg.model.context
    if cfg.budget.time_s is not None:
        wanted = 128 if cfg.budget.time_s <= 900 else 256
    else:
        wanted = 128 if wanted_tokens(cfg) < 1e7 else 256
    # a text of a few lines still gets a handful of windows
    room = max(text.train_tokens // 8, 2)
    return min(wanted, cfg.model.max_len or wanted, 2 ** int(math.log2(room)))


def choose_batch_seqs(tokens: float, context: int, text: TextFacts) -> int:
    """About 0.58·D^0.571 tokens per step (Step Law, arXiv:2503.04715), a fifth less for more steps in a short run."""
    batch_tokens = min(0.8 * 0.58 * tokens**0.571, 524_288)
    return max(1, min(round(max(batch_tokens, 512) / context), text.train_tokens // (context + 1) or 1))


def choose_dropout(epochs: float) -> float:
    """None while text is new; more, the more often it is repeated."""
    return 0.0 if epochs < 8 else 0.1 if epochs < 25 else 0.2


def choose_pair_dropout(epochs: float) -> float:
    """None while text is new; half of the pairs where it is repeated."""
    return 0.5 * _part(epochs, *PASSES[:2])


def choose_rates(asked: OptimizerConfig, model: ModelKind, batch_tokens: int, epochs: float) -> OptimizerConfig:
    """`asked` with its open rates, for steps of so many tokens and so many passes over the text."""
    scale = min(math.sqrt(batch_tokens / REFERENCE_BATCH_TOKENS), LARGEST_SCALE)
    kind = asked.kind or "muon"
    adamw = 1.0 if kind == "muon" else 0.5  # alone, it gives its rate to the matrices too, which take less
    rates = _rates_after(epochs) if model == "atinuke" and kind == "muon" else RATES
    # below 1 for a batch of a few tokens too
    beta2 = min(max(round(1 - batch_tokens / REMEMBERED_TOKENS, 4), 0.9), 0.9999)
    return asked.model_copy(
        update={
            "kind": kind,
            "lr": asked.lr or round(rates.lr * adamw * scale, 6),
            "embedding_lr": asked.embedding_lr or (None if asked.lr else round(rates.embedding_lr * adamw * scale, 6)),
            "matrix_lr": asked.matrix_lr or round(rates.matrix_lr * scale, 6),
            "beta2": beta2 if asked.beta2 is None else asked.beta2,
        }
    )


def _rates_after(epochs: float) -> Rates:
    """Of the default network: lower the oftener text is repeated, geometrically between the three."""
    new, few, many = PASSES
    if epochs < few:
        return _between(NEW_TEXT_RATES, RATES, _part(epochs, new, few))
    return _between(RATES, REPEATED_RATES, _part(epochs, few, many))


def _between(high: Rates, low: Rates, part: float) -> Rates:
    pairs = zip(astuple(high), astuple(low), strict=True)
    return Rates(*(above ** (1 - part) * below**part for above, below in pairs))


def _part(epochs: float, low: float, high: float) -> float:
    """0 up to `low`, 1 from `high` on."""
    return min(1.0, max(0.0, (epochs - low) / (high - low)))


def wanted_tokens(cfg: TrainConfig, batch_tokens: int = REFERENCE_BATCH_TOKENS) -> int:
    """What a budget of tokens or steps amounts to."""
    if cfg.budget.tokens is not None:
        return cfg.budget.tokens
    if cfg.budget.steps is not None:
        return cfg.budget.steps * batch_tokens
    raise ConfigError("budget needs one of time_s, steps or tokens; none is set. Give --time 2m, for example.")
