"""The learning rate over progress, and the clocks, on a clock that the test turns."""

from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.train.schedule import Clock, StepPace, TimePace, TokenPace, rate_factor


@dataclass
class At:
    """How far training has come."""

    step: int = 0
    tokens: int = 0


class Hands:
    """A clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


def test_the_rate_goes_up_stays_and_ends_at_zero() -> None:
    at = [round(rate_factor(progress, 0.1, 0.5), 3) for progress in (0.0, 0.05, 0.1, 0.5, 0.75, 1.0)]
    assert at == [0.01, 0.5, 1.0, 1.0, 0.5, 0.0]


@given(st.floats(0, 1), st.floats(0, 0.5), st.floats(0.01, 1))
def test_the_rate_stays_between_zero_and_its_peak(progress: float, warmup: float, decay: float) -> None:
    assert 0.0 <= rate_factor(progress, warmup, decay) <= 1.0


def test_the_clock_counts_what_was_used_before() -> None:
    hands = Hands()
    clock = Clock(2.5, hands)
    hands.now_s += 4
    assert clock.elapsed_s() == pytest.approx(6.5)
    clock.add_earlier(10)
    assert clock.elapsed_s() == pytest.approx(16.5)


def drive(steps_s: list[float], deadline_s: float = 10.0) -> list[float]:
    """The progress before each step, until no further one fits."""
    hands = Hands()
    pace = TimePace(Clock(0.0, hands), began_s=0.0, deadline_s=lambda: deadline_s)
    seen = []
    for step_s in [*steps_s, 0.0]:
        seen.append(pace.progress(At()))
        if seen[-1] >= 1:
            break
        hands.now_s += step_s
    return seen


def test_time_pace_is_linear_and_leaves_room_for_the_last_step() -> None:
    # steps of 1.5 s: the seventh would end at 10.5
    assert drive([1.5] * 20) == pytest.approx([0.0, 0.15, 0.3, 0.45, 0.6, 0.75, 1.0])


def test_a_slow_first_step_and_a_slow_save_do_not_end_a_run_early() -> None:
    compiled = drive([6.0] + [0.1] * 100)
    assert len(compiled) > 35 and compiled[-1] == 1.0
    with_a_save = drive([0.1] * 40 + [3.0] + [0.1] * 100)
    assert len(with_a_save) > 65


def test_a_deadline_that_moves_is_followed() -> None:
    hands, deadline = Hands(), [10.0]
    pace = TimePace(Clock(0.0, hands), began_s=0.0, deadline_s=lambda: deadline[0])
    hands.now_s += 4
    assert pace.progress(At()) == pytest.approx(0.4)
    deadline[0] = 8.0
    assert pace.progress(At()) == pytest.approx(0.5)


def test_token_pace_knows_no_clock() -> None:
    pace = TokenPace(Clock(0.0, Hands()), 400)
    assert [pace.progress(At(tokens=tokens)) for tokens in (0, 100, 400)] == [0.0, 0.25, 1.0]


def test_by_steps_progress_is_the_part_of_the_steps_taken() -> None:
    pace = StepPace(Clock(0.0, Hands()), 8)
    assert [pace.progress(At(step=step)) for step in (0, 2, 8)] == [0.0, 0.25, 1.0]
