"""A run on this machine as it is planned: told in lines, or as JSON; refused where the disk is too small."""

import json
from typing import TYPE_CHECKING, Any

from atinuke.errors import ConfigError
from atinuke.plan.words import count, duration, listed, size
from atinuke.series.tables import aligned
from atinuke.train.config import TrainConfig
from atinuke.train.progress import Display

if TYPE_CHECKING:
    from atinuke.train.planning.preview import Preview

COLUMNS = {
    "model_dim": "width",
    "layer_count": "layers",
    "matrix_parameters": "in matrices",
    "batch_tokens": "tokens per step",
    "tokens_per_s": "tokens/s",
    "law_bpb": "foretold bits per byte",
}


def plan_here(cfg: TrainConfig, display: Display) -> "Preview":
    """What `atinuke train` would do. ConfigError where it would not have the room."""
    from atinuke.train.planning.preview import preview

    with display:
        plan = preview(cfg, display)
    if plan.disk_bytes > plan.disk_free_bytes:
        raise ConfigError(
            f"The run would take {size(plan.disk_bytes)} of the disk, and {size(plan.disk_free_bytes)} are free. Free "
            "some, give another --out to atinuke train, or keep less with checkpoint.keep=1."
        )
    return plan


def as_json(plan: "Preview") -> str:
    """Everything that is known, in one object."""
    parts, forecast = plan.memory, plan.forecast
    told: dict[str, Any] = {
        "config": plan.config.model_dump(mode="json"),
        "parameters": plan.parameters,
        "expected_tokens": plan.expected_tokens,
        "expected_epochs": plan.expected_epochs,
        "train_bytes": plan.train_bytes,
        "forecast_bpb": forecast and {"middle": forecast.middle, "low": forecast.low, "high": forecast.high},
        "memory_bytes": {
            **{name: getattr(parts, name) for name in ("weights", "gradients", "optimizer", "activations", "logits")},
            "total": parts.total,
            "process": parts.process,
            "available": plan.memory_available_bytes,
        },
        "disk_bytes": {"needed": plan.disk_bytes, "free": plan.disk_free_bytes},
        "facts": plan.facts,
    }
    return json.dumps(told, indent=2, ensure_ascii=False, default=str)


def as_text(plan: "Preview") -> str:
    """A line for each choice and each need, then the sizes that were tried."""
    rows = [*_choices(plan), *_needs(plan)]
    considered = plan.facts.get("considered")
    return listed(rows) + (f"\n\n{_considered(considered)}" if considered else "")


def _choices(plan: "Preview") -> list[tuple[str, str]]:
    cfg, network = plan.config, plan.network
    assert cfg.batch_seqs is not None
    optim = cfg.optim
    rates = f"{optim.lr:g}" if optim.kind == "adamw" else f"{optim.matrix_lr:g}, and AdamW {optim.lr:g}"
    speed = plan.facts.get("expected_tokens_per_s")
    rows = [
        ("Time", duration(cfg.budget.time_s) if cfg.budget.time_s is not None else "as long as the steps take"),
        ("Vocabulary", f"{network.vocab_size:,} ids, {cfg.tokenizer.kind}"),
        ("Network", f"{network.kind}: {_widths(plan)}, {network.layer_count} layers, {network.head_count} heads"),
        ("Parameters", f"{plan.parameters:,}"),
        ("Context", f"{network.context:,} tokens; dropout {network.dropout:g}"),
        ("Batch", f"{cfg.batch_seqs:,} windows, {cfg.batch_seqs * network.context:,} tokens"),
        ("Rates", f"{(optim.kind or 'muon').replace('muon', 'Muon').replace('adamw', 'AdamW')} {rates}"),
        ("Precision", f"{cfg.dtype}, {'compiled' if cfg.compile else 'not compiled'}"),
        (
            "Tokens",
            f"{count(plan.expected_tokens)}, {plan.expected_epochs:.3g} times the text"
            + (f", {speed:,.0f} per second" if speed else ""),
        ),
    ]
    if plan.forecast is not None:
        forecast = plan.forecast
        rows.append(("Forecast", f"{forecast.middle:.2f} bits per byte ({forecast.low:.2f} to {forecast.high:.2f})"))
    return rows


def _widths(plan: "Preview") -> str:
    network = plan.network
    return f"{network.model_dim} wide, {network.hidden_dim} inside"


def _needs(plan: "Preview") -> list[tuple[str, str]]:
    parts, available = plan.memory, plan.memory_available_bytes
    held = {
        "weights": parts.weights,
        "gradients": parts.gradients,
        "optimizer": parts.optimizer,
        "activations": parts.activations,
        "logits": parts.logits,
    }
    told = ", ".join(f"{name} {size(number)}" for name, number in held.items())
    memory = f"{size(parts.process)} of {size(available)} available"
    if parts.process > available:
        memory += "; more than there is, so a step is made in parts that fit"
    return [
        ("Memory", memory),
        ("", told),
        ("Disk", f"{size(plan.disk_bytes)} of {size(plan.disk_free_bytes)} free"),
    ]


def _considered(considered: list[dict[str, Any]]) -> str:
    names = [name for name in COLUMNS if all(name in row for row in considered)]
    cells = [[f"{row[name]:,}" for name in names] for row in considered]
    return "Considered:\n" + "\n".join(aligned([[COLUMNS[name] for name in names], *cells], left=()))
