"""What `atinuke train` would do, without doing it: sources read, tokenizer trained, steps timed, nothing written."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from atinuke.errors import ConfigError
from atinuke.machine import (
    available_memory_bytes,
    keep_freed_memory,
    probe_machine,
    process_started_s,
    resolve_device,
)
from atinuke.models import build_model
from atinuke.models.config import ModelConfig, saved_network
from atinuke.train.config import TrainConfig
from atinuke.train.lessons import lesson_for
from atinuke.train.lessons.lesson import Workbench
from atinuke.train.lessons.text import TextLesson
from atinuke.train.planning.forecast import Forecast
from atinuke.train.planning.memory import MemoryParts, run_disk_bytes, training_memory_bytes
from atinuke.train.progress import Display
from atinuke.train.schedule import Clock


@dataclass(frozen=True)
class Preview:
    """A plan, and what it would take."""

    config: TrainConfig
    """Resolved: no open choices."""
    network: ModelConfig
    parameters: int
    expected_tokens: int
    expected_epochs: float
    train_bytes: int
    forecast: Forecast | None
    """Bits per byte on held-out text; None where our law says nothing of such a network."""
    memory: MemoryParts
    memory_available_bytes: float
    disk_bytes: float
    disk_free_bytes: float
    facts: dict[str, Any]
    """As in the `plan` of summary.json."""


def preview(cfg: TrainConfig, display: Display) -> Preview:
    """Plans a run on texts. ConfigError for pairs and examples, whose sizes are fixed recipes so far."""
    kind = lesson_for(cfg)
    if not issubclass(kind, TextLesson):
        raise ConfigError(
            f"atinuke plan is for SOURCE texts, and this run learns from {kind.task}, whose sizes are fixed recipes; "
            "see them with atinuke train --dry-run."
        )
    keep_freed_memory()  # as training does, and steps are timed as they will be
    device = resolve_device(cfg.device)
    machine = probe_machine(device, cfg.out.parent if cfg.out is not None else Path())
    # the run that is planned would begin with this process, and have to start as this one did
    bench = Workbench(device, machine, Clock(process_started_s()), display)
    _, scanned = kind.read(cfg, display)
    survey = kind.survey(cfg, scanned, bench)
    plan = survey.plan
    network = saved_network(plan.config.model_dump())
    with torch.device("meta"):
        parameters = sum(parameter.numel() for parameter in build_model(network).parameters())
    assert plan.config.batch_seqs is not None
    memory = training_memory_bytes(
        network, plan.config.batch_seqs, dtype=plan.config.dtype, optimizer=plan.config.optim.kind or "muon"
    )
    return Preview(
        config=plan.config,
        network=network,
        parameters=parameters,
        expected_tokens=plan.expected_tokens,
        expected_epochs=plan.expected_tokens / survey.text.train_tokens,
        train_bytes=survey.text.train_bytes,
        forecast=plan.forecast,
        memory=memory,
        memory_available_bytes=available_memory_bytes(device),
        disk_bytes=run_disk_bytes(network, min(plan.expected_tokens, survey.text.train_tokens)),
        disk_free_bytes=machine.disk_free_gib * 2**30,
        facts=plan.facts,
    )
