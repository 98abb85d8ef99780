"""The ladder fits the time, climbs in both directions, and says what is missing where it cannot."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atinuke.errors import ConfigError
from atinuke.scale.ladder import FEWEST_STEPS, SPENT_PART, Ladder, Size, Terms, fit_last, plan_ladder

SHAPES = [(64, 2), (96, 3), (128, 4), (192, 4), (256, 5), (320, 6), (448, 6), (512, 8)]


def sizes(gflops: float, *, overhead_s: float = 3.0, count: int = len(SHAPES)) -> list[Size]:
    """What a machine of so much would do, with a fixed price of 20 µs for each token."""
    found = []
    for rung, (width, layers) in enumerate(SHAPES[:count]):
        parameters = 12 * layers * width**2
        speed = 1 / (2e-5 + 6 * parameters / (gflops * 1e9))
        found.append(Size(rung, width, layers, parameters, speed, overhead_s))
    return found


def terms(seeds: int = 1) -> Terms:
    return Terms(seeds, 3.0, lambda tokens: 1024 if tokens < 1e6 else 2048)


def planned(time_s: float, *, gflops: float = 50.0, seeds: int = 1, spent_s: float = 10.0) -> Ladder:
    return plan_ladder(sizes(gflops), terms(seeds), time_s=time_s, spent_s=spent_s)


@given(time_s=st.floats(300, 1e6), gflops=st.floats(20, 1e5), seeds=st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_all_of_it_fits_the_time_and_can_carry_a_law(time_s: float, gflops: float, seeds: int) -> None:
    try:
        ladder = planned(time_s, gflops=gflops, seeds=seeds)
    except ConfigError:
        return
    *fitted, held_out = ladder.steps
    assert ladder.seconds(seeds) <= SPENT_PART * (time_s - 10.0) * (1 + 1e-9)
    assert held_out.is_held_out and not any(step.is_held_out for step in fitted)
    by_size = {step.size.parameters: [s.tokens for s in fitted if s.size == step.size] for step in fitted}
    assert len(by_size) >= 3
    assert all(len(set(lengths)) >= 2 for lengths in by_size.values())
    assert held_out.size.parameters > max(by_size)
    assert held_out.tokens >= max(step.tokens for step in fitted)
    for step in ladder.steps:
        batch = terms().batch_tokens(step.tokens)
        assert step.tokens % batch == 0 and step.tokens >= FEWEST_STEPS * batch


def test_small_work_comes_first() -> None:
    *fitted, _ = planned(3600).steps
    work = [step.size.parameters * step.tokens for step in fitted]
    assert work == sorted(work)


def test_more_time_buys_more_runs_and_larger_ones() -> None:
    short, long = planned(420), planned(20_000)
    assert len(long.steps) > len(short.steps)
    assert long.steps[-1].size.parameters > short.steps[-1].size.parameters


def test_two_hours_on_two_cores_take_five_sizes_and_three_lengths() -> None:
    ladder = planned(7200)
    assert len(ladder.steps) == 16
    assert ladder.seconds(1) > 0.85 * 7200


@pytest.mark.parametrize("seeds", [1, 3])
def test_too_little_time_is_refused_with_the_least_that_would_do(seeds: int) -> None:
    with pytest.raises(ConfigError, match=r"--time 30s is too short: 10 s go into .*3 sizes on 2 lengths") as caught:
        planned(30, seeds=seeds)
    message = str(caught.value)
    assert ("or fewer seeds" in message) == (seeds > 1)
    found = re.search(r"Give --time (\d+)s or more", message)
    assert found is not None
    least_s = int(found[1])
    assert len(planned(least_s, seeds=seeds).steps) == 7
    with pytest.raises(ConfigError):
        planned(least_s - 3, seeds=seeds)


def test_the_last_run_takes_what_time_is_left() -> None:
    ladder = planned(3600)
    last = ladder.steps[-1]
    half_more = fit_last(ladder, terms(), last.size.overhead_s + 1.5 * last.tokens / last.size.tokens_per_s)
    assert half_more.steps[:-1] == ladder.steps[:-1]
    assert half_more.steps[-1].tokens == pytest.approx(1.5 * last.tokens, rel=1e-2)


@pytest.mark.parametrize(("left_s", "part"), [(-100.0, 0.5), (1e9, 2.0)])
def test_but_neither_much_more_nor_much_less_than_planned(left_s: float, part: float) -> None:
    ladder = planned(3600)
    tokens = fit_last(ladder, terms(), left_s).steps[-1].tokens
    assert tokens == pytest.approx(part * ladder.steps[-1].tokens, rel=1e-2)
    assert tokens % terms().batch_tokens(tokens) == 0


def test_a_number_of_tokens_that_asks_for_a_larger_batch_is_whole_in_that_one() -> None:
    assert terms().whole_steps(999_999.0) == 1_001_472  # 977 steps of 1,024 would be 1,000,448, which asks for 2,048
