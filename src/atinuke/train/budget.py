"""The planner: what is left open in a `TrainConfig` is chosen for this machine, this text and this budget.

Simple on purpose: a ladder of shapes, a short measurement of how fast this machine trains the likely ones, and a
published law for what size and text buy. Every choice can be set by hand instead.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from atinuke.errors import ConfigError
from atinuke.machine import Machine
from atinuke.models.config import ModelConfig
from atinuke.train.config import ModelChoice, TrainConfig

# (model_dim, layer_count): each rung about twice the matrix parameters of the one before.
LADDER = ((64, 2), (96, 3), (128, 4), (192, 4), (256, 5), (320, 6), (448, 6), (512, 8), (768, 10), (1024, 14))
STEPS_RUNG = 2
HEAD_DIM = 32
"""Width of one head below model_dim 512; twice that from there on."""

# L(N, D) = E + A·N^-α + B·D^-β, Hoffmann et al. 2022, arXiv:2203.15556, eq. 10; nats per token on other text than
# yours, so only the order of two choices is taken from it.
LAW_E, LAW_A, LAW_ALPHA, LAW_B, LAW_BETA = 1.69, 406.4, 0.34, 410.7, 0.28
# Text that is repeated counts for less: D' = U·(1 + R*·(1 − e^(−(epochs − 1) / R*))), Muennighoff et al. 2023,
# arXiv:2305.16264, eq. 5.
REPEAT_R = 15.4

# Peak rates found at model_dim 128 with 1,024 tokens per step: docs/lab.md.
MATRIX_LR, LR, REFERENCE_BATCH_TOKENS = 0.02, 0.003, 1024


@dataclass(frozen=True)
class TextFacts:
    """What the planner knows about the text."""

    train_bytes: int
    bytes_per_token: float

    @property
    def train_tokens(self) -> int:
        """Tokens in one pass over the training text."""
        return max(1, int(self.train_bytes / self.bytes_per_token))


@dataclass(frozen=True)
class Plan:
    """A configuration without open choices, and what led to it (numbers and short sentences for the report)."""

    config: TrainConfig
    expected_tokens: int
    facts: dict[str, Any] = field(default_factory=dict)


def choose_vocabulary(cfg: TrainConfig, train_bytes: int, machine: Machine) -> int | None:
    """How many ids: more where there is more compute and more text. None for characters, which need no number.

    A large vocabulary shortens the sequence and costs time in the read-out; the thresholds are those of
    docs/lab.md for CPU minutes and the usual ones above that.
    """
    if cfg.tokenizer.vocab_size is not None or cfg.tokenizer.kind == "char":
        return cfg.tokenizer.vocab_size
    if cfg.budget.time_s is not None:
        flops = 0.3 * max(machine.fp32_gflops, machine.bf16_gflops) * 1e9 * cfg.budget.time_s
    else:
        flops = 6.0 * 1e6 * _wanted_tokens(cfg)
    by_compute = (
        512 if flops < 1e12 else 1024 if flops < 4e13 else 2048 if flops < 4e14 else 4096 if flops < 4e15 else 8192
    )
    if flops >= 4e17:
        by_compute = 16384
    # a piece should be seen often enough to be learned: some 500 bytes of text for each id
    by_text = 2 ** int(math.log2(max(train_bytes / 500, 512)))
    return max(512, min(by_compute, by_text))


def choose_dtype(cfg: TrainConfig, device: torch.device, machine: Machine) -> str:
    """bfloat16 where it was measured faster (CPU) or is native (CUDA); float32 otherwise."""
    if cfg.dtype != "auto":
        return cfg.dtype
    if device.type == "cpu":
        return "bfloat16" if machine.bf16_pays else "float32"
    return "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"


def make_plan(
    cfg: TrainConfig,
    vocab_size: int,
    text: TextFacts,
    *,
    time_left_s: float | None,
    step_seconds: Callable[[ModelConfig, int], float],
) -> Plan:
    """Chooses sizes, batch and rates. `step_seconds(network, batch_seqs)` measures one step on this machine."""
    context = cfg.model.context or _choose_context(cfg, text)
    considered: list[dict[str, Any]] = []
    if time_left_s is None:
        tokens = _wanted_tokens(cfg)
        rung = _rung_for_tokens(tokens)
        choice = _resolve(cfg.model, rung, context, tokens, text)
    else:
        choice, tokens, considered = _search(cfg, vocab_size, context, text, time_left_s, step_seconds)
    batch_seqs = cfg.batch_seqs or _choose_batch_seqs(tokens, context, text)
    tokens = _wanted_tokens(cfg, batch_seqs * context) if time_left_s is None else tokens
    epochs = tokens / text.train_tokens
    scale = math.sqrt(batch_seqs * context / REFERENCE_BATCH_TOKENS)
    kind = cfg.optim.kind or "muon"
    optim = cfg.optim.model_copy(
        update={
            "kind": kind,
            "lr": cfg.optim.lr or round((LR if kind == "muon" else LR / 2) * min(scale, 2.0), 6),
            "matrix_lr": cfg.optim.matrix_lr or round(MATRIX_LR * min(scale, 2.0), 6),
            # the second moment remembers about 20,000 tokens, whatever the batch (arXiv:2507.07101)
            "beta2": cfg.optim.beta2 or round(max(0.9, 1 - batch_seqs * context / 20_000), 4),
        }
    )
    max_bytes = cfg.data.max_bytes or int(1.25 * tokens * text.bytes_per_token) + 1_000_000
    resolved = cfg.model_copy(
        update={
            "model": choice,
            "batch_seqs": batch_seqs,
            "optim": optim,
            "tokenizer": cfg.tokenizer.model_copy(update={"vocab_size": vocab_size}),
            "data": cfg.data.model_copy(update={"max_bytes": max_bytes}),
        }
    )
    facts = {
        "expected_tokens": tokens,
        "expected_epochs": round(epochs, 2),
        "bytes_per_token": round(text.bytes_per_token, 3),
        "considered": considered,
    }
    return Plan(resolved, tokens, facts)


def measure_step_s(build: Callable[[], Callable[[], object]], *, at_most_s: float) -> float:
    """Seconds of one training step: the fastest of a few after two to warm up, for about `at_most_s` in all."""
    step = build()
    started_s = time.perf_counter()
    times: list[float] = []
    while len(times) < 4 or (time.perf_counter() - started_s < at_most_s and len(times) < 12):
        before_s = time.perf_counter()
        step()
        times.append(time.perf_counter() - before_s)
        if len(times) >= 2 and time.perf_counter() - started_s > 3 * at_most_s:
            break
    return min(times[1:])


def matrix_parameters(model: nn.Module) -> int:
    """Parameters of the block matrices: the N of the scaling law."""
    return sum(parameter.numel() for parameter in model.get_submodule("blocks").parameters() if parameter.ndim == 2)


def _wanted_tokens(cfg: TrainConfig, batch_tokens: int = REFERENCE_BATCH_TOKENS) -> int:
    if cfg.budget.tokens is not None:
        return cfg.budget.tokens
    if cfg.budget.steps is not None:
        return cfg.budget.steps * batch_tokens
    raise ConfigError("budget needs one of time_s, steps or tokens; none is set. Give --time 2m, for example.")


def _rung_for_tokens(tokens: int) -> int:
    """Without a clock nothing is measured, so that the same command gives the same network everywhere."""
    return STEPS_RUNG + (tokens > 3e6) + (tokens > 1e7) + (tokens > 4e7) + (tokens > 2e8)


def _choose_context(cfg: TrainConfig, text: TextFacts) -> int:
    if cfg.budget.time_s is not None:
        wanted = 128 if cfg.budget.time_s <= 900 else 256
    else:
        wanted = 128 if _wanted_tokens(cfg) < 1e7 else 256
    # a text of a few lines still gets a handful of windows
    room = text.train_tokens // 8
    return min(wanted, max(8, 2 ** int(math.log2(max(room, 8)))))


def _choose_batch_seqs(tokens: float, context: int, text: TextFacts) -> int:
    """About 0.58·D^0.571 tokens per step (Step Law, arXiv:2503.04715), less below a million tokens."""
    batch_tokens = min(0.58 * tokens**0.571, 524_288) * 0.63
    return max(1, min(round(max(batch_tokens, 512) / context), text.train_tokens // (context + 1) or 1))


def _resolve(model: ModelChoice, rung: int, context: int, tokens: float, text: TextFacts) -> ModelChoice:
    """`model` with its open sizes taken from a rung of the ladder."""
    model_dim = model.model_dim or LADDER[rung][0]
    head_dim = HEAD_DIM if model_dim < 512 else 2 * HEAD_DIM
    key_dim = model.key_dim or (model_dim if model.head_count is None else _next_multiple(model_dim, model.head_count))
    head_count = model.head_count or next(n for n in range(max(1, key_dim // head_dim), 0, -1) if key_dim % n == 0)
    epochs = tokens / text.train_tokens
    return ModelChoice(
        kind=model.kind,
        model_dim=model_dim,
        key_dim=key_dim,
        hidden_dim=model.hidden_dim or 4 * model_dim,
        head_count=head_count,
        layer_count=model.layer_count or LADDER[rung][1],
        dropout=model.dropout if model.dropout is not None else (0.0 if epochs < 8 else 0.1 if epochs < 25 else 0.2),
        context=context,
        max_len=model.max_len,
    )


def _next_multiple(number: int, of: int) -> int:
    return math.ceil(number / of) * of


def _forecast_nats(parameters: float, tokens: float, unique_tokens: float) -> float:
    epochs = tokens / unique_tokens
    if epochs > 1:
        tokens = unique_tokens * (1 + REPEAT_R * (1 - math.exp(-(epochs - 1) / REPEAT_R)))
    return LAW_E + LAW_A * parameters**-LAW_ALPHA + LAW_B * tokens**-LAW_BETA


def _search(
    cfg: TrainConfig,
    vocab_size: int,
    context: int,
    text: TextFacts,
    time_left_s: float,
    step_seconds: Callable[[ModelConfig, int], float],
) -> tuple[ModelChoice, int, list[dict[str, Any]]]:
    """Climbs the ladder while the law says that the larger network ends lower."""
    considered: list[dict[str, Any]] = []
    best: tuple[float, ModelChoice, int] | None = None
    measured: set[tuple[int | None, int | None]] = set()
    started_s = time.perf_counter()
    tokens = 10_000.0 * time_left_s
    for rung in range(len(LADDER)):
        choice = _resolve(cfg.model, rung, context, tokens, text)
        if (choice.model_dim, choice.layer_count) in measured:
            continue
        measured.add((choice.model_dim, choice.layer_count))
        network = ModelConfig.model_validate({**choice.model_dump(), "vocab_size": vocab_size})
        batch_seqs = cfg.batch_seqs or _choose_batch_seqs(tokens, context, text)
        step_s = step_seconds(network, batch_seqs)
        tokens = batch_seqs * context / step_s * time_left_s
        choice = _resolve(cfg.model, rung, context, tokens, text)
        size = 4 * network.model_dim * network.key_dim * network.layer_count  # Q, K, V and output
        size += 2 * network.model_dim * network.hidden_dim * network.layer_count
        nats = _forecast_nats(size, tokens, text.train_tokens)
        considered.append(
            {
                "model_dim": network.model_dim,
                "layer_count": network.layer_count,
                "matrix_parameters": size,
                "tokens_per_s": round(batch_seqs * context / step_s),
                "law_nats": round(nats, 3),
            }
        )
        if best is None or nats < best[0]:
            best = (nats, choice, int(tokens))
        elif nats > best[0] * 1.01:
            break
        if time.perf_counter() - started_s > 0.04 * time_left_s:
            break
    assert best is not None
    return best[1], best[2], considered
