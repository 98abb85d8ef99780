"""The one training loop: a batch, an objective, an update, and observers that look on.

state, batches, objective ──► optimizer_step ──► StepMetrics ──► observers (metrics, display, checkpoints)
"""

import math
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import FrameType
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from atinuke.data.batches.batch import Batch, BatchSource
from atinuke.errors import NonFiniteLossError
from atinuke.train.micro_batches import MicroBatches
from atinuke.train.optimizers import scale_learning_rates
from atinuke.train.team import Alone, Team


@dataclass
class TrainState:
    """Everything that changes while training, and so everything that a checkpoint holds."""

    model: nn.Module
    optimizers: list[Optimizer]
    step: int = 0
    tokens: int = 0
    position: int = 0
    """Where in the data the next batch begins."""
    last_val: tuple[int, float] | None = None
    """The newest estimate on held-out windows: step, and nats per target."""
    last_good_checkpoint: str = "none yet"


@dataclass(frozen=True)
class StepMetrics:
    """One row of metrics.jsonl."""

    step: int
    tokens: int
    elapsed_s: float
    loss: float
    """Nats per target, mean over the step."""
    lr: float
    tokens_per_s: float
    grad_norm: float
    targets: int
    """Targets of this step."""
    progress: float
    """The part of the budget that is used, 0 to 1."""
    micro_batch_seqs: int | None = None
    """Rows that were computed at once, where a step was cut into parts."""


class Progress(Protocol):
    """How far a run is: any pace of schedule.py, or one that several processes agree on."""

    def elapsed_s(self) -> float:
        """Seconds used so far."""

    def progress(self, state: TrainState) -> float:
        """The part of the budget that is used; 1 when no further step follows."""


class Observer(Protocol):
    """Looks on after each step, and once at the end, however it came."""

    def after_step(self, state: TrainState, metrics: StepMetrics) -> None:
        """Called when the update of `metrics.step` is done."""

    def at_end(self, state: TrainState) -> None:
        """Called when no further step follows: finished, or asked to stop."""


class StopRequest:
    """Becomes true when Ctrl-C or SIGTERM arrives while `is_patient`; otherwise, and the second time, breaks off."""

    def __init__(self) -> None:
        self.signal_name = ""
        self.is_patient = False

    def __bool__(self) -> bool:
        return bool(self.signal_name)

    @contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """Handles the signals while the block runs. Outside the main thread signals stay with their owner."""
        before: dict[int, object] = {}
        try:
            for number in (signal.SIGINT, signal.SIGTERM):
                before[number] = signal.signal(number, self._note)
        except ValueError:  # not the main thread
            before = {}
        try:
            yield self
        finally:
            for handled, handler in before.items():
                signal.signal(handled, handler)  # type: ignore[arg-type]

    def _note(self, number: int, frame: FrameType | None) -> None:
        is_second = bool(self.signal_name)
        self.signal_name = signal.Signals(number).name
        if is_second or not self.is_patient:
            raise KeyboardInterrupt


@dataclass
class StepRules:
    """How one update is made."""

    loss: Callable[[Batch], Tensor]
    """The loss of a batch, or what a part of one adds to it."""
    rate_factor: Callable[[float], float]
    clip_norm: float | None = None
    micro_batches: MicroBatches = field(default_factory=MicroBatches)
    team: Team = field(default_factory=Alone)


def fit(
    state: TrainState,
    batches: BatchSource,
    rules: StepRules,
    pace: Progress,
    observers: Sequence[Observer],
    should_stop: Callable[[], bool] = lambda: False,
) -> None:
    """Trains until the budget is used or `should_stop`, telling the observers after each step."""
    state.model.train()
    previous_s = pace.elapsed_s()
    while (progress := pace.progress(state)) < 1.0 and not should_stop():
        batch = batches.batch(state.position)
        factor = rules.rate_factor(progress)
        loss, grad_norm = optimizer_step(state, batch, rules, factor)
        now_s = pace.elapsed_s()
        state.step += 1
        state.tokens += batch.target_count
        state.position = batch.next_position
        metrics = StepMetrics(
            step=state.step,
            tokens=state.tokens,
            elapsed_s=now_s,
            loss=loss,
            lr=state.optimizers[0].param_groups[0]["lr"],
            tokens_per_s=batch.target_count / max(now_s - previous_s, 1e-9),
            grad_norm=grad_norm,
            targets=batch.target_count,
            progress=progress,
            micro_batch_seqs=rules.micro_batches.at_most,
        )
        previous_s = now_s
        for observer in observers:
            observer.after_step(state, metrics)
    for observer in observers:
        observer.at_end(state)


def optimizer_step(state: TrainState, batch: Batch, rules: StepRules, rate_factor: float) -> tuple[float, float]:
    """One update; the loss in nats per target and the norm of the gradient before clipping.

    A loss or gradient that is not finite raises before any weight is touched.
    """
    rules.team.begin_step(state.step)
    loss = _accumulate_gradients(state, batch, rules)
    gradients = [parameter.grad for parameter in state.model.parameters() if parameter.grad is not None]
    grad_norm = rules.team.clip(gradients, rules.clip_norm)
    nats, norm = torch.stack((loss, grad_norm.to(loss))).tolist()  # one wait for a device that computes on its own
    _refuse_non_finite("loss", nats, state, batch)
    _refuse_non_finite("gradient norm", norm, state, batch)
    scale_learning_rates(state.optimizers, rate_factor)
    for optimizer in state.optimizers:
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return nats, norm


def _accumulate_gradients(state: TrainState, batch: Batch, rules: StepRules) -> Tensor:
    """The loss of the whole batch, its gradient being summed over micro-batches that memory has room for."""
    while True:
        parts = rules.micro_batches.of(batch)
        losses = []
        try:
            for number, part in enumerate(parts, start=1):
                with rules.team.part(is_last=number == len(parts)):
                    loss = rules.loss(part)
                    rules.team.backward(loss)
                losses.append(loss.detach())
            return rules.team.sum(sum(losses[1:], start=losses[0]))
        except (MemoryError, RuntimeError) as error:
            rules.micro_batches.halve(error, batch)
        for optimizer in state.optimizers:
            optimizer.zero_grad(set_to_none=True)


def _refuse_non_finite(what: str, value: float, state: TrainState, batch: Batch) -> None:
    if math.isfinite(value):
        return
    raise NonFiniteLossError(
        f"the {what} became {value} at step {state.step + 1} "
        f"(places {batch.position} to {batch.next_position - 1} of the data); nothing was updated from it. "
        f"Last good checkpoint: {state.last_good_checkpoint}. "
        "Lower optim.matrix_lr and optim.lr, set optim.clip_norm=1, or use --set dtype=float32."
    )
