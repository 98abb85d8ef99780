"""The plan held against a run that the test makes up."""

from typing import Any

import torch
from torch import nn

from atinuke.train.config import TrainConfig
from atinuke.train.loop import StepMetrics, TrainState
from atinuke.train.planning.text_facts import TextFacts
from atinuke.train.planning.watching import FORECAST_AT, SETTLED, WATCHED_STEPS, PlanWatcher
from atinuke.train.progress import Quiet

TEXT = TextFacts(train_bytes=10**8, bytes_per_token=3.0)
CONTEXT, BATCH = 128, 16
PLANNED_SPEED = 40_000.0


class Heard(Quiet):
    """A display that keeps what is said."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def say(self, text: str) -> None:
        self.lines.append(text)


class Course:
    """A run of `steps` steps that a watcher looks on."""

    def __init__(self, steps: int = 1000, **settings: Any) -> None:
        self.steps = steps
        asked = {"budget": {"time_s": 600}, "batch_seqs": BATCH, "model": {"context": CONTEXT}, "optim": {"lr": 0.003}}
        cfg = TrainConfig.model_validate(asked | settings)
        self.facts: dict[str, Any] = {"expected_tokens_per_s": PLANNED_SPEED}
        self.display = Heard()
        self.batches: list[int] = []
        self.watcher = PlanWatcher(cfg, TEXT, 10**6, self.facts, self.display, self.batches.append)
        optimizer = torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=0.003)
        optimizer.param_groups[0]["peak_lr"] = 0.003
        self.state = TrainState(nn.Linear(1, 1), [optimizer])
        self.tokens, self.elapsed_s = 0, 300.0  # of which none was training: reading, planning

    def compiles(self, end: float) -> None:
        """One first step that lasts until this progress."""
        batch = BATCH * CONTEXT
        seconds = end * self.steps * batch / PLANNED_SPEED
        self.tokens += batch
        self.elapsed_s += seconds
        metrics = StepMetrics(1, self.tokens, self.elapsed_s, 8.0, 0.003, batch / seconds, 1.0, batch, 0.0)
        self.watcher.after_step(self.state, metrics)

    def go(self, begin: float, end: float, speed: float, loss: float = 4.0) -> None:
        """Steps from one progress to another, at so many tokens a second."""
        for number in range(round(self.steps * begin), round(self.steps * end)):
            batch = (self.batches or [BATCH])[-1] * CONTEXT
            self.tokens += batch
            self.elapsed_s += batch / speed
            metrics = StepMetrics(
                number + 1, self.tokens, self.elapsed_s, loss, 0.003, speed, 1.0, batch, number / self.steps
            )
            self.watcher.after_step(self.state, metrics)


def test_a_run_as_fast_as_planned_is_left_alone() -> None:
    course = Course()
    course.go(0, 1, PLANNED_SPEED * 0.8)
    assert not course.batches and "planned_again" not in course.facts


def test_a_machine_that_slows_to_a_tenth_gets_smaller_steps_and_is_told_so() -> None:
    course = Course()
    course.go(0, 0.1, PLANNED_SPEED)
    course.go(0.1, 0.3, PLANNED_SPEED / 10)
    assert course.batches and course.batches[-1] < BATCH
    assert any("10.0 times as slow as planned" in line for line in course.display.lines)
    assert course.facts["planned_again"][0]["batch_tokens"] == course.batches[0] * CONTEXT


def test_a_compiled_run_keeps_its_steps_which_are_compiled_for_one_size() -> None:
    course = Course(compile=True)
    course.go(0, 0.1, PLANNED_SPEED)
    course.go(0.1, 0.3, PLANNED_SPEED / 10)
    assert not course.batches
    assert any("10.0 times as slow as planned" in line for line in course.display.lines)


def test_the_rates_follow_the_root_of_the_batch() -> None:
    course = Course()
    course.go(0, 0.1, PLANNED_SPEED)
    course.go(0.1, 0.3, PLANNED_SPEED / 10)
    peak = course.state.optimizers[0].param_groups[0]["peak_lr"]
    assert peak < 0.003


def test_a_faster_machine_gets_larger_steps() -> None:
    course = Course(steps=10_000)
    course.go(0, 0.3, PLANNED_SPEED * 10)
    assert course.batches and course.batches[-1] > BATCH


def test_one_slow_step_changes_nothing() -> None:
    course = Course()
    course.go(0, 0.1, PLANNED_SPEED)
    course.go(0.1, 0.1 + 0.001 * (WATCHED_STEPS // 2 - 1), PLANNED_SPEED / 50)
    course.go(0.2, 0.4, PLANNED_SPEED)
    assert not course.batches


def test_late_in_a_run_the_batch_stays() -> None:
    course = Course()
    course.go(0, SETTLED, PLANNED_SPEED)
    course.go(SETTLED, 1, PLANNED_SPEED / 10)
    assert not course.batches


def test_the_forecast_is_made_once_and_lower_losses_foretell_fewer_bits() -> None:
    forecasts = []
    for loss in (4.0, 4.4):
        course = Course()
        course.go(0, 0.2, PLANNED_SPEED, loss=loss)
        assert sum("Forecast" in line for line in course.display.lines) == 1
        forecasts.append(course.facts["forecast_at_5_percent"]["val_bpb"])
    assert forecasts[0] < forecasts[1]


def test_a_run_that_compiled_for_long_is_foretold_when_it_has_seen_enough() -> None:
    course = Course()
    course.compiles(0.049)
    course.go(0.05, 0.07, PLANNED_SPEED, loss=8.0)
    assert "forecast_at_5_percent" not in course.facts
    course.go(0.07, 0.09, PLANNED_SPEED)
    assert course.facts["forecast_at_5_percent"]["val_bpb"] < 2.5


def test_a_run_that_is_taken_up_later_is_not_foretold_from_its_middle() -> None:
    course = Course()
    course.tokens = 300 * BATCH * CONTEXT
    course.go(0.3, 0.4, PLANNED_SPEED)
    assert "forecast_at_5_percent" not in course.facts


def test_there_is_no_forecast_before_its_time() -> None:
    course = Course()
    course.go(0, FORECAST_AT, PLANNED_SPEED)
    assert "forecast_at_5_percent" not in course.facts
