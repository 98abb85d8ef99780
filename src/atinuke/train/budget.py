"""The planner: what is left open in a `TrainConfig` is chosen for this machine, this text and this budget.

Simple on purpose: a ladder of shapes, a short measurement of how fast this machine trains the likely ones, and a
published law for what size and text buy. Every choice can be set by hand instead.
"""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch

from atinuke.errors import ConfigError
from atinuke.machine import Machine
from atinuke.models.config import ModelConfig, saved_network
from atinuke.train.config import ModelChoice, TrainConfig

# (model_dim, layer_count): each rung about twice the matrix parameters of the one before.
LADDER = ((64, 2), (96, 3), (128, 4), (192, 4), (256, 5), (320, 6), (448, 6), (512, 8), (768, 10), (1024, 14))
FIRST_RUNG = 2
"""Where the search begins, and what a short run without a clock gets."""
MEASURED_RUNGS = 3
LONGEST = 50_000
"""max_len of networks whose positions cost nothing."""
HEAD_DIM = 32
"""Width of one head below model_dim 512; twice that from there on."""

# L(N, D) = E + A·N^-α + B·D^-β, Hoffmann et al. 2022, arXiv:2203.15556, eq. 10; nats per token on other text than
# yours, so only the order of two choices is taken from it.
LAW_E, LAW_A, LAW_ALPHA, LAW_B, LAW_BETA = 1.69, 406.4, 0.34, 410.7, 0.28
# Text that is repeated counts for less: D' = U·(1 + R*·(1 − e^(−(epochs − 1) / R*))), Muennighoff et al. 2023,
# arXiv:2305.16264, eq. 5.
REPEAT_R = 15.4

# Peak rates at model_dim 128 with 1,024 tokens per step: starting values, not searched yet.
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

    A large vocabulary shortens the sequence and costs time in the read-out; the thresholds are rough.
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
        # without a clock nothing is measured, so that the same command gives the same model whatever else runs
        return "bfloat16" if machine.bf16_pays and cfg.budget.time_s is not None else "float32"
    return "bfloat16" if device.type == "cuda" and torch.cuda.is_bf16_supported() else "float32"


def choose_compile(cfg: TrainConfig, device: torch.device, machine: Machine) -> bool:
    """Compiling takes its time before the first step; only a long budget on a GPU is sure to have it back."""
    if cfg.compile is not None:
        return cfg.compile
    if cfg.model.kind == "bert":
        return False  # another number of masked tokens in each batch would compile it anew each time
    can_compile = machine.compiler is not None and machine.has_python_headers
    return can_compile and device.type == "cuda" and (cfg.budget.time_s or 0.0) >= 300.0


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


def _wanted_tokens(cfg: TrainConfig, batch_tokens: int = REFERENCE_BATCH_TOKENS) -> int:
    if cfg.budget.tokens is not None:
        return cfg.budget.tokens
    if cfg.budget.steps is not None:
        return cfg.budget.steps * batch_tokens
    raise ConfigError("budget needs one of time_s, steps or tokens; none is set. Give --time 2m, for example.")


def _rung_for_tokens(tokens: int) -> int:
    """Without a clock nothing is measured, so that the same command gives the same network everywhere."""
    return FIRST_RUNG + (tokens > 3e6) + (tokens > 1e7) + (tokens > 4e7) + (tokens > 2e8)


def _choose_context(cfg: TrainConfig, text: TextFacts) -> int:
    if cfg.budget.time_s is not None:
        wanted = 128 if cfg.budget.time_s <= 900 else 256
    else:
        wanted = 128 if _wanted_tokens(cfg) < 1e7 else 256
    # a text of a few lines still gets a handful of windows
    room = max(text.train_tokens // 8, 2)
    return min(wanted, cfg.model.max_len or wanted, 2 ** int(math.log2(room)))


def _choose_batch_seqs(tokens: float, context: int, text: TextFacts) -> int:
    """About 0.58·D^0.571 tokens per step (Step Law, arXiv:2503.04715), less below a million tokens."""
    batch_tokens = min(0.58 * tokens**0.571, 524_288) * 0.63
    return max(1, min(round(max(batch_tokens, 512) / context), text.train_tokens // (context + 1) or 1))


def _resolve(model: ModelChoice, rung: int, context: int, tokens: float, text: TextFacts) -> ModelChoice:
    """`model` with its open sizes taken from a rung of the ladder."""
    model_dim = model.model_dim or LADDER[rung][0]
    head_dim = HEAD_DIM if model_dim < 512 else 2 * HEAD_DIM
    key_dim = model.key_dim or (model_dim if model.head_count is None else next_multiple(model_dim, model.head_count))
    head_count = model.head_count or next(n for n in range(max(1, key_dim // head_dim), 0, -1) if key_dim % n == 0)
    epochs = tokens / text.train_tokens
    has_table = model.kind in ("gpt", "bert")  # of learned positions: each costs a row
    return model.model_copy(
        update={
            "model_dim": model_dim,
            "key_dim": key_dim,
            "hidden_dim": model.hidden_dim or _hidden_dim(model, model_dim),
            "head_count": head_count,
            "layer_count": model.layer_count or _layer_count(model, rung),
            "dropout": model.dropout
            if model.dropout is not None
            else (0.0 if epochs < 8 else 0.1 if epochs < 25 else 0.2),
            "context": context,
            "max_len": model.max_len or (context if has_table else max(context, LONGEST)),
        }
    )


def _hidden_dim(model: ModelChoice, model_dim: int) -> int:
    """Four times the width; a gated feed-forward has three matrices, so two thirds of that; a recurrent state twice."""
    if model.kind == "llama":
        return max(8, round(8 * model_dim / 3 / 8) * 8)
    return 2 * model_dim if model.kind in ("rnn", "rnn-seq2seq") else 4 * model_dim


def _layer_count(model: ModelChoice, rung: int) -> int:
    """Recurrent networks and perceptrons gain from width before depth."""
    return min(LADDER[rung][1], 2) if model.kind in ("rnn", "rnn-seq2seq", "perceptron") else LADDER[rung][1]


def next_multiple(number: int, of: int) -> int:
    """`number`, or the next one above it that `of` divides: a width that so many heads can share."""
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
    """The rung that the law puts lowest; what one was measured to do foretells the others, which is then checked."""
    measured: dict[int, _Candidate] = {}
    rung, work_per_s = FIRST_RUNG, 0.0
    started_s = time.perf_counter()
    while rung not in measured:
        tokens = measured[_nearest(rung, measured)].tokens if measured else int(10_000 * time_left_s)
        batch_seqs = cfg.batch_seqs or _choose_batch_seqs(tokens, context, text)
        network = _network(cfg, rung, context, tokens, text, vocab_size)
        tokens_per_s = batch_seqs * context / step_seconds(network, batch_seqs)
        measured[rung] = _Candidate(rung, network, tokens_per_s, int(tokens_per_s * time_left_s))
        work_per_s = max(work_per_s, tokens_per_s * _work_per_token(network))
        if len(measured) == MEASURED_RUNGS or time.perf_counter() - started_s > 0.03 * time_left_s:
            break
        foretold = {
            other: _Candidate(other, shape, speed, int(speed * time_left_s))
            for other in range(len(LADDER))
            for shape in [_network(cfg, other, context, tokens, text, vocab_size)]
            for speed in [work_per_s / _work_per_token(shape)]
        }
        rung = min((foretold | measured).values(), key=lambda candidate: candidate.forecast(text)).rung
    best = min(measured.values(), key=lambda candidate: candidate.forecast(text))
    considered = [
        {
            "model_dim": candidate.network.model_dim,
            "layer_count": candidate.network.layer_count,
            "matrix_parameters": _matrix_parameters(candidate.network),
            "tokens_per_s": round(candidate.tokens_per_s),
            "law_nats": round(candidate.forecast(text), 3),
        }
        for candidate in measured.values()
    ]
    return _resolve(cfg.model, best.rung, context, best.tokens, text), best.tokens, considered


@dataclass(frozen=True)
class _Candidate:
    """A rung, and how much text it would see in the time that is left."""

    rung: int
    network: ModelConfig
    tokens_per_s: float
    tokens: int

    def forecast(self, text: TextFacts) -> float:
        """Nats per token by the law."""
        return _forecast_nats(_matrix_parameters(self.network), max(self.tokens, 1), text.train_tokens)


def _network(cfg: TrainConfig, rung: int, context: int, tokens: int, text: TextFacts, vocab_size: int) -> ModelConfig:
    choice = _resolve(cfg.model, rung, context, tokens, text)
    return saved_network({"model": choice.model_dump(), "tokenizer": {"vocab_size": vocab_size}})


def _nearest(rung: int, rungs: Iterable[int]) -> int:
    return min(rungs, key=lambda other: abs(other - rung))


def _matrix_parameters(network: ModelConfig) -> int:
    """Parameters of the block matrices: the N of the scaling law."""
    width, hidden, layers = network.model_dim, network.hidden_dim, network.layer_count
    if network.kind == "perceptron":
        seen = {"learned": width, "one-hot": network.vocab_size, "integer": 1}[network.token_input]
        return network.window * seen * hidden + (layers - 1) * hidden * hidden
    if network.kind == "rnn":
        gates = 4 if network.cell == "lstm" else 3
        return gates * hidden * (width + hidden + (layers - 1) * 2 * hidden)
    # queries, keys, values and output; then the feed-forward, gated or not
    return layers * (4 * width * network.key_dim + (3 if network.kind == "llama" else 2) * width * hidden)


def _work_per_token(network: ModelConfig) -> float:
    """Multiplications of the matrices, the read-out and the attention, and the fixed price of a layer.

    Small networks are not paid by arithmetic alone: what a layer of a narrow network costs beside it was about as
    much as its matrices at model_dim 128, so it counts as a width of that much more.
    """
    read_out = network.model_dim * network.vocab_size
    if network.kind in ("perceptron", "rnn"):
        return _matrix_parameters(network) + read_out
    width = network.model_dim + 128
    layers = network.layer_count * width * (4 * network.key_dim + 2 * network.hidden_dim + 2 * network.context)
    return layers + read_out
