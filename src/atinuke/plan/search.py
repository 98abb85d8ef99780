"""Which layout is fastest among those that fit: tensor degree, recomputation, rows at once, replicas or parts."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NoReturn

from atinuke.errors import ConfigError
from atinuke.plan.config import ClusterConfig
from atinuke.plan.hardware import GPUS, Gpu
from atinuke.plan.layout import Layout
from atinuke.plan.memory import CONTEXT_BYTES, CardMemory, memory_of
from atinuke.plan.shape import Shape, shape_for
from atinuke.plan.step import Step, step_of, utilisation

TOKENS_PER_PARAMETER = 20
"""What trains best for its arithmetic (Hoffmann et al. 2022, arXiv:2203.15556)."""
SMALLEST_BATCH, LARGEST_BATCH = 0.75, 1.25
"""Of the batch that was asked for, what a layout may make of it where numbers do not divide."""
ROWS = (1, 2, 4, 8, 16, 32)
DAY_S = 86_400.0


@dataclass(frozen=True)
class Candidate:
    """A layout, what it takes and how fast it is."""

    layout: Layout
    memory: CardMemory
    step: Step

    @property
    def tokens_per_s(self) -> float:
        """Per card."""
        return self.layout.batch_tokens / self.layout.gpus / self.step.total


@dataclass(frozen=True)
class ClusterPlan:
    """What was chosen, and what it comes to."""

    shape: Shape
    gpu: Gpu
    tokens: float
    best: Candidate
    others: tuple[Candidate, ...]
    """The fastest of each other tensor degree and recomputation."""

    @property
    def time_s(self) -> float:
        """From first step to last."""
        return self.tokens / (self.best.tokens_per_s * self.best.layout.gpus)

    @property
    def steps(self) -> int:
        """How many updates."""
        return math.ceil(self.tokens / self.best.layout.batch_tokens)

    @property
    def mfu(self) -> float:
        """Part of the peak."""
        return utilisation(self.shape, self.best.layout, self.gpu, self.best.tokens_per_s)

    @property
    def checkpoint_bytes(self) -> float:
        """Weights and moments, in float32."""
        return 12.0 * self.shape.parameters


def plan_cluster(cfg: ClusterConfig) -> ClusterPlan:
    """The fastest layout. ConfigError, with numbers, where none fits."""
    gpu, shape = GPUS[cfg.gpu], _shape(cfg)
    _check_gpus(cfg, gpu)
    tokens = cfg.tokens or TOKENS_PER_PARAMETER * shape.parameters
    batch_tokens = cfg.batch_tokens or _batch_tokens(tokens, cfg)
    found = [
        Candidate(layout, memory_of(shape, layout), step_of(shape, layout, gpu))
        for layout in _layouts(cfg, shape, batch_tokens)
    ]
    if not found:
        _refuse_batch(cfg, shape, batch_tokens)
    fitting = [candidate for candidate in found if candidate.memory.total + CONTEXT_BYTES <= gpu.memory_bytes]
    if not fitting:
        _refuse_memory(cfg, shape, gpu, min(found, key=lambda candidate: candidate.memory.total))
    fitting.sort(key=lambda candidate: -candidate.tokens_per_s)
    kinds: dict[tuple[int, str, str], Candidate] = {}
    for candidate in fitting:
        layout = candidate.layout
        kinds.setdefault((layout.tensor, layout.recompute, layout.sharing), candidate)
    best, *others = kinds.values()
    if cfg.tokens is None and cfg.time_s is not None:
        tokens = cfg.time_s * best.tokens_per_s * cfg.gpus
    plan = ClusterPlan(shape, gpu, tokens, best, tuple(others))
    if cfg.time_s is not None and plan.time_s > cfg.time_s * 1.001:
        _refuse_time(cfg, plan)
    return plan


def _shape(cfg: ClusterConfig) -> Shape:
    is_gated = cfg.model == "llama"
    if cfg.params is not None:
        return shape_for(cfg.params, cfg.vocab_size, is_gated=is_gated)
    assert cfg.model_dim is not None and cfg.layer_count is not None
    return Shape.of_width(cfg.layer_count, cfg.model_dim, cfg.vocab_size, is_gated=is_gated)


def _check_gpus(cfg: ClusterConfig, gpu: Gpu) -> None:
    if cfg.gpus > gpu.per_node and cfg.gpus % gpu.per_node:
        below = cfg.gpus // gpu.per_node * gpu.per_node
        raise ConfigError(
            f"--gpus is {cfg.gpus}; more than {gpu.per_node} come in nodes of {gpu.per_node}. "
            f"Try {below} or {below + gpu.per_node}."
        )
    if cfg.tensor is not None and (cfg.gpus % cfg.tensor or cfg.tensor > gpu.per_node):
        raise ConfigError(
            f"--tensor is {cfg.tensor}; it must divide --gpus, which is {cfg.gpus}, and stay within a node of "
            f"{gpu.per_node}."
        )


def best_batch_tokens(tokens: float) -> float:
    """0.58·D^0.571 tokens per step: what learns most from a text (Step Law, arXiv:2503.04715)."""
    return float(0.58 * tokens**0.571)


def _batch_tokens(tokens: float, cfg: ClusterConfig) -> int:
    """What learns most, to the next power of two, but a window for each card."""
    fewest = cfg.gpus // (cfg.tensor or 1) * cfg.context
    return max(2 ** round(math.log2(best_batch_tokens(tokens))), fewest)


def _layouts(cfg: ClusterConfig, shape: Shape, batch_tokens: int) -> Iterator[Layout]:
    """All that make about this batch of whole windows."""
    windows = max(1, batch_tokens // cfg.context)
    for tensor in (cfg.tensor,) if cfg.tensor else (1, 2, 4, 8):
        if cfg.gpus % tensor or shape.kv_head_count % tensor or shape.hidden_dim % tensor:
            continue
        groups = cfg.gpus // tensor
        for rows in (cfg.micro_batch_seqs,) if cfg.micro_batch_seqs else ROWS:
            micro_batches = max(1, round(windows / (groups * rows)))
            if not SMALLEST_BATCH <= micro_batches * groups * rows / windows <= LARGEST_BATCH:
                continue
            for recompute in (cfg.recompute,) if cfg.recompute is not None else (False, True):
                for sharing in _sharings(cfg, tensor):
                    yield Layout(
                        gpus=cfg.gpus,
                        tensor=tensor,
                        micro_batch_seqs=rows,
                        micro_batches=micro_batches,
                        context=cfg.context,
                        recompute="full" if recompute else "none",
                        sharing=sharing,
                    )


def _sharings(cfg: ClusterConfig, tensor: int) -> tuple[Literal["fsdp", "ddp"], ...]:
    if cfg.gpus == 1:
        return ("ddp",)  # there is nobody to share with
    if tensor > 1:
        return ("fsdp",)  # tensor parallelism comes with it
    return (cfg.sharing,) if cfg.sharing else ("fsdp", "ddp")


def _refuse_batch(cfg: ClusterConfig, shape: Shape, batch_tokens: int) -> NoReturn:
    tensor = cfg.tensor or max(t for t in (1, 2, 4, 8) if shape.kv_head_count % t == 0 and cfg.gpus % t == 0)
    least = cfg.gpus // tensor * cfg.context * (cfg.micro_batch_seqs or 1)
    if cfg.tensor is not None and (shape.kv_head_count % cfg.tensor or shape.hidden_dim % cfg.tensor):
        raise ConfigError(
            f"--tensor is {cfg.tensor}, and the network has {shape.kv_head_count} heads of keys and {shape.hidden_dim} "
            "hidden units; it must divide both."
        )
    raise ConfigError(
        f"{cfg.gpus} cards need at least {least:,} tokens per step (a window of {cfg.context:,} for each "
        f"{'card' if tensor == 1 else f'{tensor} cards'}), and a step has {batch_tokens:,}. Give --batch-tokens "
        f"{least}, a shorter --context or fewer --gpus."
    )


def _refuse_memory(cfg: ClusterConfig, shape: Shape, gpu: Gpu, least: Candidate) -> NoReturn:
    layout, memory = least.layout, least.memory
    parts = {
        "weights and optimizer": memory.state,
        "weights gathered for a while": memory.whole,
        "activations": memory.activations,
        "logits": memory.logits,
    }
    told = ", ".join(f"{name} {size / 2**30:.1f}" for name, size in parts.items())
    largest = max(parts, key=lambda name: parts[name])
    mend = {
        "weights and optimizer": "Take more --gpus, or a card with more memory.",
        "weights gathered for a while": "Take a higher --tensor, or a card with more memory.",
        "activations": "Give a shorter --context, or --set recompute=true.",
        "logits": "Give a shorter --context or a smaller --vocab-size.",
    }[largest]
    raise ConfigError(
        f"{shape.parameters / 1e9:.2f} billion parameters on {cfg.gpus} × {gpu.name} take at least "
        f"{(memory.total + CONTEXT_BYTES) / 2**30:.1f} GiB on each card (tensor {layout.tensor}, {layout.sharing}, "
        f"recompute {layout.recompute}, {layout.micro_batch_seqs} window: {told}), and it has "
        f"{gpu.memory_bytes / 2**30:.1f}. {mend}"
    )


def _refuse_time(cfg: ClusterConfig, plan: ClusterPlan) -> NoReturn:
    assert cfg.time_s is not None
    seen = cfg.time_s * plan.best.tokens_per_s * cfg.gpus
    raise ConfigError(
        f"{plan.tokens:,.0f} tokens take {plan.time_s / DAY_S:,.1f} days on {cfg.gpus} × {plan.gpu.name}, and --time "
        f"is {cfg.time_s / DAY_S:,.1f}. In that time it sees {seen:,.0f}; or take about "
        f"{math.ceil(cfg.gpus * plan.time_s / cfg.time_s / plan.gpu.per_node) * plan.gpu.per_node:,} cards."
    )
