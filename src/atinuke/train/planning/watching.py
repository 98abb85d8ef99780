"""The plan held against the run: a forecast from its first losses, and other steps when the speed changes."""

import math
import statistics
from collections import deque
from collections.abc import Callable
from typing import Any

from atinuke.train.config import TrainConfig
from atinuke.train.loop import StepMetrics, TrainState
from atinuke.train.planning.choices import choose_batch_seqs, choose_rates
from atinuke.train.planning.forecast import FORECAST_AT, foretell_from_losses
from atinuke.train.planning.text_facts import TextFacts
from atinuke.train.progress import Display

TOLD_PART = (0.03, 0.1)
"""Of the tokens in all: with fewer behind it, as where compiling took long, a run has not shown where it goes; and what
is taken up again after more has shown its first losses to another process."""
WATCHED_STEPS = 40
"""The speed is the middle one of so many steps."""
CHANGED = 2.0
"""How much faster or slower the machine must have become before the steps are planned again."""
SETTLED = 0.6
"""From here on the batch stays: the rates fall, and a change has no time to pay."""


class PlanWatcher:
    """An observer. It changes nothing but the number of windows in a step, and the peak rates with it."""

    def __init__(
        self,
        cfg: TrainConfig,
        text: TextFacts,
        parameters: int,
        facts: dict[str, Any],
        display: Display,
        set_batch_seqs: Callable[[int], None],
    ) -> None:
        """`facts`: the plan's, which what is seen here is added to. `parameters`: N of the law."""
        assert cfg.batch_seqs and cfg.model.context
        self._cfg, self._text, self._parameters = cfg, text, parameters
        self._context, self._batch_seqs = cfg.model.context, cfg.batch_seqs
        self._facts, self._display, self._set_batch_seqs = facts, display, set_batch_seqs
        self._speeds: deque[float] = deque(maxlen=WATCHED_STEPS)
        self._losses: list[float] = []
        self._first: tuple[float, float] | None = None  # progress and clock at the first step that was looked at
        self._planned_speed: float | None = facts.get("expected_tokens_per_s")

    def after_step(self, state: TrainState, metrics: StepMetrics) -> None:
        """Looks at the loss until the forecast is made, and at the speed until the rates fall for good."""
        self._speeds.append(metrics.tokens_per_s)
        if self._first is None:
            self._first = metrics.progress, _began_s(metrics)
        if "forecast_at_5_percent" not in self._facts and metrics.progress < SETTLED:
            self._losses.append(metrics.loss)
            if metrics.progress >= FORECAST_AT and len(self._losses) > 1:
                self._foretell(metrics, self._tokens_in_all(metrics))
        if metrics.progress < SETTLED and len(self._speeds) == WATCHED_STEPS:
            self._plan_again(state, metrics)

    def at_end(self, state: TrainState) -> None:
        """Nothing is left to plan."""

    def _foretell(self, metrics: StepMetrics, tokens: float) -> None:
        part, ids = metrics.tokens / tokens, self._cfg.tokenizer.vocab_size
        if not TOLD_PART[0] <= part <= TOLD_PART[1]:
            return
        latest = self._losses[len(self._losses) * 3 // 5 :]
        seen = statistics.fmean(latest) / math.log(2) / self._text.bytes_per_token
        forecast = foretell_from_losses(self._parameters, round(tokens), self._text, seen, part=part, vocab_size=ids)
        self._losses.clear()
        self._facts["forecast_at_5_percent"] = {
            "val_bpb": round(forecast.middle, 4),
            "from": round(forecast.low, 4),
            "to": round(forecast.high, 4),
        }
        self._display.say(
            f"Forecast after {100 * metrics.progress:.0f} % of the run: {forecast.middle:.3f} bits per byte in the end "
            f"({forecast.low:.3f} to {forecast.high:.3f})."
        )

    def _plan_again(self, state: TrainState, metrics: StepMetrics) -> None:
        speed = statistics.median(self._speeds)
        if self._planned_speed is None:
            self._planned_speed = speed
        changed = speed / self._planned_speed
        if 1 / CHANGED < changed < CHANGED:
            return
        tokens = self._tokens_in_all(metrics)
        batch_seqs = self._cfg.batch_seqs or 1
        planned = choose_batch_seqs(tokens, self._context, self._text)
        # other shapes would be compiled anew, at the price of a minute
        if not self._cfg.compile and (planned < self._batch_seqs) == (changed < 1) and planned != self._batch_seqs:
            batch_seqs = planned
        self._display.say(
            f"The machine is {_times(changed)} as planned; "
            + (
                f"steps of {batch_seqs * self._context:,} tokens from here on, "
                f"instead of {self._batch_seqs * self._context:,}."
                if batch_seqs != self._batch_seqs
                else f"about {tokens:,.0f} tokens in all."
            )
        )
        self._facts.setdefault("planned_again", []).append(
            {
                "step": metrics.step,
                "tokens_per_s": round(speed, 1),
                "expected_tokens": round(tokens),
                "batch_tokens": batch_seqs * self._context,
            }
        )
        self._planned_speed = speed
        if batch_seqs != self._batch_seqs:
            self._use(state, batch_seqs)

    def _tokens_in_all(self, metrics: StepMetrics) -> float:
        """At the speed of the latest steps; the first may have been compiling."""
        assert self._first is not None
        progress, began_s = self._first
        used_s = _began_s(metrics) - began_s
        left_s = used_s * (1 - metrics.progress) / (metrics.progress - progress)
        return metrics.tokens + statistics.median(self._speeds) * left_s

    def _use(self, state: TrainState, batch_seqs: int) -> None:
        asked, kind = _open_rates(self._cfg), self._cfg.model.kind
        before, after = (choose_rates(asked, kind, n * self._context, 0.0) for n in (self._batch_seqs, batch_seqs))
        assert before.lr and after.lr
        for optimizer in state.optimizers:
            for group in optimizer.param_groups:
                group["peak_lr"] *= after.lr / before.lr
        self._set_batch_seqs(batch_seqs)
        self._batch_seqs = batch_seqs
        self._speeds.clear()


def _began_s(metrics: StepMetrics) -> float:
    """The clock when the step began, which is when its progress was asked for."""
    return metrics.elapsed_s - metrics.targets / metrics.tokens_per_s


def _open_rates(cfg: TrainConfig) -> Any:
    return cfg.optim.model_copy(update={"lr": None, "matrix_lr": None, "embedding_lr": None})


def _times(changed: float) -> str:
    return f"{changed:.1f} times as fast" if changed > 1 else f"{1 / changed:.1f} times as slow"
