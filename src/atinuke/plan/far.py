"""A run on cards that are not here: told in lines, or as JSON, with the command that would start it."""

import json
import shlex
from dataclasses import asdict

from atinuke.plan.layout import Layout
from atinuke.plan.memory import CONTEXT_BYTES
from atinuke.plan.search import Candidate, ClusterPlan, best_batch_tokens
from atinuke.plan.words import count, duration, listed, size
from atinuke.series.tables import aligned

SHOWN = 5
NOTE = (
    "A calculation, not a measurement: published runs were up to a quarter faster than it says, and a tenth slower\n"
    "(docs/scale.md). Restarts, evaluation and checkpoints are not in the time."
)


def as_json(plan: ClusterPlan) -> str:
    """Everything that is known, in one object."""
    best = plan.best
    told = {
        "network": {**asdict(plan.shape), "parameters": plan.shape.parameters},
        "gpu": asdict(plan.gpu),
        "layout": {**asdict(best.layout), "groups": best.layout.groups, "batch_tokens": best.layout.batch_tokens},
        "memory_bytes_per_gpu": {
            **asdict(best.memory),
            "total": best.memory.total + CONTEXT_BYTES,
            "available": plan.gpu.memory_bytes,
        },
        "step": {**asdict(best.step), "total": best.step.total},
        "tokens": plan.tokens,
        "steps": plan.steps,
        "tokens_per_s_per_gpu": best.tokens_per_s,
        "mfu": plan.mfu,
        "days": plan.time_s / 86_400,
        "gpu_hours": plan.time_s * best.layout.gpus / 3600,
        "checkpoint_bytes": plan.checkpoint_bytes,
        "others": [
            {"layout": asdict(other.layout), "tokens_per_s_per_gpu": other.tokens_per_s} for other in plan.others
        ],
        "command": shlex.join(command(plan)),
    }
    return json.dumps(told, indent=2)


def as_text(plan: ClusterPlan) -> str:
    """A line for each fact, the layouts that were weighed, and the command."""
    rows = [*_network(plan), *_layout(plan), *_needs(plan), *_times(plan)]
    parts = [listed(rows)]
    if plan.others:
        parts.append(_others(plan))
    parts.append("On every node:\n" + _wrapped(command(plan)))
    return "\n\n".join([*parts, NOTE])


def command(plan: ClusterPlan) -> list[str]:
    """What starts it on each node; NODES, HOST and SOURCE are the reader's to fill in."""
    layout, shape = plan.best.layout, plan.shape
    here = min(layout.gpus, plan.gpu.per_node)
    nodes = layout.gpus // here
    words = ["torchrun", "--nproc-per-node", str(here)]
    if nodes > 1:
        words += ["--nnodes", str(nodes), "--rdzv-backend", "c10d", "--rdzv-endpoint", "HOST:29400", "--rdzv-id", "1"]
    kind = "llama" if shape.is_gated else "gpt"
    settings = {
        "model.model_dim": shape.model_dim,
        "model.hidden_dim": shape.hidden_dim,
        "model.head_count": shape.head_count,
        "model.layer_count": shape.layer_count,
        "model.context": layout.context,
        "batch_seqs": layout.batch_tokens // layout.context,
        "parallel.kind": layout.sharing,
        "parallel.tensor": layout.tensor,
        "parallel.recompute": str(layout.recompute == "full").lower(),
        "parallel.micro_batch_seqs": layout.micro_batch_seqs,
        "optim.kind": "adamw",
        "dtype": "bfloat16",
        "compile": "true",
    }
    if shape.kv_head_count != shape.head_count:
        settings["model.kv_head_count"] = shape.kv_head_count
    words += ["-m", "atinuke", "train", "SOURCE", "--model", kind, "--vocab-size", str(shape.vocab_size)]
    words += ["--tokens", f"{plan.tokens:.0f}"]
    return [*words, *(word for key, value in settings.items() for word in ("--set", f"{key}={value}"))]


def _network(plan: ClusterPlan) -> list[tuple[str, str]]:
    shape = plan.shape
    heads = f"{shape.head_count} heads" + (
        f" ({shape.kv_head_count} of keys and values)" if shape.kv_head_count != shape.head_count else ""
    )
    wide = f"{shape.model_dim:,} wide, {shape.hidden_dim:,} inside, {shape.layer_count} layers, {heads}"
    return [
        ("Cards", f"{plan.best.layout.gpus:,} × {plan.gpu.name}"),
        ("Network", f"{count(shape.parameters)} parameters: {wide}, {shape.vocab_size:,} ids"),
    ]


def _layout(plan: ClusterPlan) -> list[tuple[str, str]]:
    layout = plan.best.layout
    windows = layout.batch_tokens // layout.context
    batch = f"{count(layout.batch_tokens)} tokens: {windows:,} windows of {layout.context:,}"
    each = f"{layout.micro_batch_seqs} at once"
    if layout.micro_batches > 1:
        each += f", {layout.micro_batches} times a step"
    rows = [("Layout", layout_words(layout)), ("Batch", f"{batch}; in each group {each}")]
    times_best = layout.batch_tokens / best_batch_tokens(plan.tokens)
    if times_best > 2 and windows == layout.gpus:
        rows.append(("", f"so that each card has one; {times_best:.0f} times what learns most from each token"))
    if layout.tensor > 1 and windows < layout.gpus:
        rows.append(
            ("", f"a batch of {windows:,} windows does not give each of {layout.gpus:,} cards its own; a larger")
        )
        rows.append(("", "one (--batch-tokens) or fewer cards would use them better"))
    return rows


def layout_words(layout: Layout) -> str:
    """How the work is shared out, in a phrase."""
    if layout.gpus == 1:
        words = "one card with everything"
    elif layout.sharing == "ddp":
        words = f"DDP: {layout.groups:,} replicas"
    else:
        words = f"FSDP over {layout.groups:,}"
    if layout.tensor > 1:
        words += f" groups × tensor parallelism over {layout.tensor}"
    return words + (", blocks recomputed" if layout.recompute == "full" else "")


def _needs(plan: ClusterPlan) -> list[tuple[str, str]]:
    memory, step, layout = plan.best.memory, plan.best.step, plan.best.layout
    parts = (
        f"state {size(memory.state)}, gathered weights {size(memory.whole)}, activations {size(memory.activations)}, "
        f"logits {size(memory.logits)}"
    )
    total = f"{size(memory.total + CONTEXT_BYTES)} of {size(plan.gpu.memory_bytes)} on each card"
    rows = [("Memory", total), ("", parts)]
    if layout.gpus > 1:
        within = f", {step.tensor_bytes / 1e9:,.1f} GB within them" if layout.tensor > 1 else ""
        rows.append(("Exchange", f"{step.data_bytes / 1e9:,.1f} GB between groups{within}, per card and step"))
    return rows


def _times(plan: ClusterPlan) -> list[tuple[str, str]]:
    best, step = plan.best, plan.best.step
    share = {
        "products": step.products,
        "the card's memory": step.traffic + step.update,
        "tensor exchange": step.tensor_exchange,
        "data exchange": step.data_exchange,
    }
    told = ", ".join(f"{name} {part / step.total:.0%}" for name, part in share.items() if part / step.total >= 0.005)
    return [
        ("Step", f"{step.total:.2f} s: {told}"),
        ("Speed", f"{best.tokens_per_s:,.0f} tokens/s on each card; {plan.mfu:.0%} of its peak (MFU)"),
        ("Training", f"{count(plan.tokens)} tokens in {plan.steps:,} steps"),
        ("Time", f"{duration(plan.time_s)}; {plan.time_s * best.layout.gpus / 3600:,.0f} GPU-hours"),
        ("Checkpoint", f"{size(plan.checkpoint_bytes)} each"),
    ]


def _others(plan: ClusterPlan) -> str:
    head = ["layout", "windows at once", "GiB per card", "tokens/s per card"]

    def cells(candidate: Candidate) -> list[str]:
        gib = (candidate.memory.total + CONTEXT_BYTES) / 2**30
        rows = candidate.layout.micro_batch_seqs
        return [layout_words(candidate.layout), f"{rows}", f"{gib:.1f}", f"{candidate.tokens_per_s:,.0f}"]

    weighed = [plan.best, *plan.others[:SHOWN]]
    return "\n".join(aligned([head, *(cells(candidate) for candidate in weighed)], left=(0,)))


def _wrapped(words: list[str]) -> str:
    """Lines of a shell, joined by backslashes."""
    lines, line = [], "  "
    for word in words:
        if len(line) + len(word) > 100 and word.startswith("-"):
            lines.append(line.rstrip())
            line = "    "
        line += shlex.quote(word) + " "
    return " \\\n".join([*lines, line.rstrip()])
