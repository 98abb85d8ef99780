"""A network made ready to train on one device: precision, compilation, optimizers, and the step."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, Self

import torch
from torch import nn

from atinuke.data.batches.batch import Batch
from atinuke.errors import ConfigError
from atinuke.machine import Machine
from atinuke.train.config import TrainConfig
from atinuke.train.loop import StepRules, TrainState, optimizer_step
from atinuke.train.objectives import Objective
from atinuke.train.optimizers import build_optimizers
from atinuke.train.schedule import rate_factor


@dataclass(frozen=True)
class Engine:
    """The state that a step changes and the rules by which it does."""

    state: TrainState
    rules: StepRules
    autocast: Callable[[], AbstractContextManager[object]]

    @classmethod
    def build(
        cls, model: nn.Module, cfg: TrainConfig, objective: Objective, device: torch.device, machine: Machine
    ) -> Self:
        """`cfg` is resolved: no open choices."""
        model = model.to(device)
        optim = cfg.optim
        if optim.kind is None or optim.lr is None or optim.matrix_lr is None or optim.beta2 is None:
            # the planner times steps before it has chosen rates; any rates take the same time
            optim = optim.model_copy(
                update={"kind": optim.kind or "muon", "lr": 1e-3, "matrix_lr": 1e-3, "beta2": 0.95}
            )
        assert optim.kind and optim.lr and optim.matrix_lr and optim.beta2 is not None
        optimizers = build_optimizers(
            model,
            optim.kind,
            lr=optim.lr,
            matrix_lr=optim.matrix_lr,
            betas=(optim.beta1, optim.beta2),
            momentum=optim.momentum,
            weight_decay=optim.weight_decay,
            polar_dtype=torch.bfloat16 if cfg.dtype == "bfloat16" else torch.float32,
        )
        autocast = autocast_for(device, cfg.dtype)
        rules = StepRules(
            forward=_compiled(model, machine) if cfg.compile else model,
            objective=objective,
            rate_factor=partial(
                rate_factor,
                warmup_fraction=cfg.schedule.warmup_fraction,
                decay_fraction=cfg.schedule.decay_fraction,
            ),
            clip_norm=optim.clip_norm,
            autocast=autocast,
        )
        return cls(TrainState(model, optimizers), rules, autocast)

    def step_on(self, batch: Batch) -> float:
        """One update, counted nowhere: for timing."""
        return optimizer_step(self.state, batch, self.rules, 1.0)[0]


def autocast_for(device: torch.device, dtype: str) -> Callable[[], AbstractContextManager[object]]:
    """Matrix products in bfloat16 where asked for; weights, norms and sums stay in float32."""
    if dtype == "bfloat16":
        return lambda: torch.autocast(device.type, torch.bfloat16)
    return nullcontext


def _compiled(model: nn.Module, machine: Machine) -> Callable[..., Any]:
    if machine.compiler is None:
        raise ConfigError("compile is true; torch.compile needs a C++ compiler and none was found. Leave it out.")
    return torch.compile(model, dynamic=False)
