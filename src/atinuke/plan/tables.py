"""The tables of docs/scale.md: cards, what to choose on how many of them, and the model beside published runs."""

from collections.abc import Callable

from atinuke.plan.config import ClusterConfig
from atinuke.plan.far import layout_words
from atinuke.plan.hardware import GPUS
from atinuke.plan.memory import CONTEXT_BYTES
from atinuke.plan.published import Run, runs
from atinuke.plan.search import plan_cluster
from atinuke.plan.words import count, duration
from atinuke.series.tables import aligned

EXAMPLES = (
    {"gpus": 1, "params": "350m", "context": 2048},
    {"gpus": 8, "params": "1b", "context": 4096},
    {"gpus": 8, "params": "7b", "context": 4096},
    {"gpus": 64, "params": "7b", "context": 8192},
    {"gpus": 256, "params": "70b", "context": 8192, "batch_tokens": "4m"},
    {"gpus": 1024, "params": "7b", "context": 8192},
    {"gpus": 1024, "params": "7b", "context": 8192, "batch_tokens": "8m"},
    {"gpus": 1024, "params": "70b", "context": 8192, "batch_tokens": "8m"},
)


def cards() -> str:
    """What is known of each card."""
    head = ["`--gpu`", "card", "memory", "bfloat16", "its memory", "within a node", "between nodes", "source"]
    lines = [
        [
            f"`{name}`",
            gpu.name,
            f"{gpu.memory_bytes / 1e9:.0f} GB",
            f"{gpu.flops / 1e12:,.0f} TFLOP/s",
            f"{gpu.memory_bytes_per_s / 1e12:.1f} TB/s",
            f"{gpu.link_bytes_per_s / 1e9:.0f} GB/s",
            f"{gpu.network_bytes_per_s / 1e9:.0f} GB/s",
            gpu.source,
        ]
        for name, gpu in GPUS.items()
    ]
    return "\n".join(aligned([head, *lines], left=(0, 1, -1)))


def choices() -> str:
    """What `atinuke plan` says on H100s, for 20 tokens to each parameter."""
    head = ["cards", "network", "layout", "tokens per step", "GiB per card", "MFU", "time", "GPU-hours"]
    lines = []
    for example in EXAMPLES:
        plan = plan_cluster(ClusterConfig.model_validate(example))
        layout = plan.best.layout
        lines.append(
            [
                f"{layout.gpus:,}",
                f"{count(plan.shape.parameters)}",
                layout_words(layout),
                count(layout.batch_tokens),
                f"{(plan.best.memory.total + CONTEXT_BYTES) / 2**30:.0f}",
                f"{plan.mfu:.0%}",
                duration(plan.time_s),
                f"{plan.time_s * layout.gpus / 3600:,.0f}",
            ]
        )
    return "\n".join(aligned([head, *lines], left=(1, 2)))


def speeds() -> str:
    """Tokens per second and card, published and foretold."""
    return _beside("tokens/s per card", lambda run: (run.tokens_per_s, run.foretold_tokens_per_s), "{:,.0f}")


def memories() -> str:
    """GiB on the fullest card, published and foretold."""
    return _beside("GiB per card", lambda run: (run.memory_gib, run.foretold_memory_gib), "{:.1f}")


def _beside(unit: str, numbers: Callable[[Run], tuple[float | None, float]], form: str) -> str:
    lines = [["source", "run", f"{unit}, published", "model", "ratio"]]
    for run in runs():
        published, foretold = numbers(run)
        if published is not None:
            name = f"{run.name} (calibrates)" if run.calibrates and published == run.tokens_per_s else run.name
            figures = [form.format(published), form.format(foretold), f"{foretold / published:.2f}"]
            lines.append([run.source, name, *figures])
    return "\n".join(aligned(lines, left=(0, 1)))
