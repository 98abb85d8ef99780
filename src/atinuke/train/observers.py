"""What looks on while training: the metrics file, the display, and the checkpoints."""

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from atinuke.run_folder import MetricsWriter
from atinuke.train.loop import StepMetrics, TrainState
from atinuke.train.progress import Display


class MetricsObserver:
    """One row of metrics.jsonl per step; every tenth from step 100,000 on, every hundredth from a million on."""

    def __init__(self, writer: MetricsWriter) -> None:
        self._writer = writer

    def after_step(self, state: TrainState, metrics: StepMetrics) -> None:
        """Writes the row. By step, not by time, so that a resumed run writes the same ones; scored steps always."""
        is_scored = state.last_val is not None and state.last_val[0] == metrics.step
        if metrics.step % 10 ** max(0, len(str(metrics.step)) - 5) and not is_scored:
            return
        row: dict[str, Any] = {
            "step": metrics.step,
            "tokens": metrics.tokens,
            "elapsed_s": round(metrics.elapsed_s, 4),
            "loss": metrics.loss,
            "lr": metrics.lr,
            "tokens_per_s": round(metrics.tokens_per_s, 1),
            "grad_norm": metrics.grad_norm,
        }
        if metrics.micro_batch_seqs is not None:
            row["micro_batch_seqs"] = metrics.micro_batch_seqs
        if is_scored and state.last_val is not None:
            row["val_loss"] = state.last_val[1]
        self._writer.append(row)

    def at_end(self, state: TrainState) -> None:
        """Every row is on its way to disk already."""


class DisplayObserver:
    """Shows the newest numbers; the loss is smoothed, or it would only flicker."""

    def __init__(self, display: Display, bytes_per_token: float | None) -> None:
        """`bytes_per_token`: UTF-8 bytes behind one target; None where bits per byte mean nothing."""
        self._display = display
        self._bits_per_nat = 1.0 / math.log(2) / bytes_per_token if bytes_per_token else None
        self._loss: float | None = None
        self._tokens_per_s: float | None = None

    def after_step(self, state: TrainState, metrics: StepMetrics) -> None:
        """Updates the display."""
        self._loss = metrics.loss if self._loss is None else 0.95 * self._loss + 0.05 * metrics.loss
        speed = metrics.tokens_per_s
        self._tokens_per_s = speed if self._tokens_per_s is None else 0.95 * self._tokens_per_s + 0.05 * speed
        self._display.update(
            step=metrics.step,
            loss=self._loss,
            bits_per_byte=None if self._bits_per_nat is None else self._loss * self._bits_per_nat,
            lr=metrics.lr,
            tokens_per_s=self._tokens_per_s,
        )

    def at_end(self, state: TrainState) -> None:
        """Nothing more to show."""


class Saver(Protocol):
    """`Checkpoints`, or those that several processes write together."""

    def save(
        self,
        step: int,
        tensors: Mapping[str, Mapping[str, Tensor]],
        state: Mapping[str, Any],
        *,
        score: float | None = None,
    ) -> Path:
        """Writes a checkpoint, or begins to; returns the newest that is in place."""

    def wait(self) -> None:
        """Returns when the last checkpoint is in place."""


class CheckpointObserver:
    """Saves when `is_due` says so, and at the end; each save is scored on the same few held-out windows.

    It comes before the metrics observer, so that the row of a step holds the score of that step.
    """

    def __init__(
        self,
        checkpoints: Saver,
        capture: Callable[[TrainState], tuple[Mapping[str, Mapping[str, Tensor]], Mapping[str, Any]]],
        is_due: Callable[[StepMetrics], bool],
        estimate_val_loss: Callable[[], float],
        is_finished: Callable[[TrainState], bool],
    ) -> None:
        self._checkpoints = checkpoints
        self._capture = capture
        self._is_due = is_due
        self._estimate_val_loss = estimate_val_loss
        self._is_finished = is_finished
        self._saved_step = -1
        self.slowest_save_s = 0.0
        """How long the slowest save took, its score included."""

    def after_step(self, state: TrainState, metrics: StepMetrics) -> None:
        """Saves when it is time."""
        if self._is_due(metrics):
            self.save(state, with_score=True)

    def at_end(self, state: TrainState) -> None:
        """Saves once more. A run that was only interrupted is not scored: it has no time for that."""
        if self._saved_step != state.step:
            self.save(state, with_score=self._is_finished(state))
        self._checkpoints.wait()

    def save(self, state: TrainState, *, with_score: bool, wait: bool = False) -> None:
        """Writes one checkpoint; `wait` until it is in place, where it is written beside training."""
        started_s = time.perf_counter()
        score = None
        if with_score:
            score = self._estimate_val_loss()
            state.last_val = (state.step, score)
        tensors, facts = self._capture(state)
        saved = self._checkpoints.save(state.step, tensors, facts, score=score)
        if wait:
            self._checkpoints.wait()
        self._saved_step = state.step
        state.last_good_checkpoint = saved.name
        self.slowest_save_s = max(self.slowest_save_s, time.perf_counter() - started_s)
