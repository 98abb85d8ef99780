"""What is read off the runs: laws of made-up runs whose law is known."""

import math
from dataclasses import replace

import numpy as np
import pytest

from atinuke.scale.laws import TRAINED_PART, Speed, find_laws, lower_edge
from atinuke.scale.results import Row, Scaling
from atinuke.train.planning.law import Law
from atinuke.train.planning.text_facts import TextFacts

LAW = Law(e=1.0, a=12.0, alpha=0.3, b=100.0, beta=0.33)
TEXT = TextFacts(train_bytes=10**9, bytes_per_token=2.5)


def row(parameters: int, tokens: int, *, is_held_out: bool = False, noise: float = 0.0) -> Row:
    """A finished run whose loss is the law's."""
    loss = LAW.loss(parameters, tokens * TEXT.bytes_per_token, TEXT.train_bytes) * math.exp(noise)
    figures = {"val_bpb": loss, "train_tokens": tokens, "tokens_per_s": 1 / (2e-5 + 1e-10 * parameters), "epochs": 0.1}
    name = f"{parameters}-{tokens}"
    return Row(name, 64, 2, parameters, tokens, 0, is_held_out, "finished", None, 10.0, figures)


def scaling(noise: float = 0.0) -> Scaling:
    random = np.random.default_rng(0)
    rows = [
        row(parameters, int(length * math.sqrt(parameters / 1e5)), noise=noise * random.standard_normal())
        for parameters in (100_000, 200_000, 400_000, 800_000)
        for length in (400_000, 800_000, 1_600_000)
    ]
    return Scaling((*rows, row(1_600_000, 8_000_000, is_held_out=True)), TEXT, "atinuke scale", 600.0, 5.0, {}, {})


def test_the_law_is_found_and_the_larger_run_is_not_used_for_it() -> None:
    found = scaling()
    laws = find_laws(found)
    assert laws.fit is not None and laws.check is not None
    assert laws.fit.law.alpha == pytest.approx(LAW.alpha, rel=1e-3)
    assert laws.check.relative_error == pytest.approx(0.0, abs=1e-5)
    spoiled = replace(found.rows[-1], figures={**found.rows[-1].figures, "val_bpb": 9.0})
    again = find_laws(found.with_row(spoiled))
    assert again.fit == laws.fit and again.powers == laws.powers
    assert again.check is not None
    assert not again.check.is_inside
    assert again.check.relative_error == pytest.approx(laws.check.predicted / 9 - 1)


def test_the_best_size_of_a_budget_is_the_one_that_a_search_over_this_machine_finds() -> None:
    laws = find_laws(scaling())
    for best, seconds in zip(laws.best, (600, 3600, 36_000, 86_400), strict=True):
        candidates = np.geomspace(1e4, 1e9, 4000)
        seen = TRAINED_PART * seconds / (2e-5 + 1e-10 * candidates) * TEXT.bytes_per_token
        losses = [LAW.loss(size, length, TEXT.train_bytes) for size, length in zip(candidates, seen, strict=True)]
        assert best.parameters == pytest.approx(candidates[np.argmin(losses)], rel=0.02)
        assert best.bits_per_byte == pytest.approx(min(losses), rel=1e-4)
        assert best.epochs == pytest.approx(best.seen_bytes / TEXT.train_bytes)
    assert [best.is_far for best in laws.best] == [False, False, False, True]


def test_noise_widens_every_interval() -> None:
    laws = find_laws(scaling(noise=0.005))
    assert laws.fit is not None and laws.check is not None
    for low, high in (*laws.fit.intervals.values(), *(best.interval for best in laws.best), laws.check.interval):
        assert low < high
    assert laws.check.is_inside


def test_before_six_runs_are_done_the_reason_stands_instead() -> None:
    found = scaling()
    few = replace(found, rows=(*found.rows[:4], *(replace(each, figures={}) for each in found.rows[4:])))
    laws = find_laws(few)
    assert laws.fit is None and laws.check is None and laws.best == ()
    assert laws.reason.startswith("A scaling law needs 6 runs or more") and "4 (sizes: 2, lengths: 4)" in laws.reason
    assert laws.to_json()["law"] is None


@pytest.mark.parametrize(
    ("x", "losses", "edge"),
    [
        ([1, 2, 3], [3.0, 2.0, 1.0], [0, 1, 2]),
        ([1, 2, 3], [3.0, 3.5, 1.0], [0, 2]),
        ([3, 1, 1, 2], [1.0, 3.0, 2.0, 2.5], [2, 0]),
        ([], [], []),
    ],
)
def test_the_lower_edge_is_what_nothing_smaller_came_up_to(
    x: list[float], losses: list[float], edge: list[int]
) -> None:
    assert lower_edge(x, losses) == edge


def test_a_power_law_that_the_runs_follow_is_found() -> None:
    """Networks that are never too small: what is left is L(D) alone."""
    found = scaling()
    rows = tuple(
        replace(each, figures={**each.figures, "val_bpb": 30 * (each.tokens * 2.5) ** -0.15}) for each in found.rows
    )
    power = find_laws(replace(found, rows=rows)).powers["D"]
    assert not isinstance(power, str)
    assert power.exponent == pytest.approx(0.15)


def test_networks_that_seem_to_cost_nothing_are_not_taken_at_their_word() -> None:
    """A machine that was busy while the small ones were trained."""
    found = scaling()
    rows = tuple(replace(each, figures={**each.figures, "tokens_per_s": each.parameters / 100}) for each in found.rows)
    busy = replace(found, rows=rows)
    speed = Speed.of(busy.finished)
    assert speed.per_parameter_s == pytest.approx(0.2 * (100 / 1.6e6) / 1.6e6)
    for best in find_laws(busy).best:
        assert best.parameters <= 30 * 1_600_000 * (1 + 1e-9)


def test_speed_is_a_fixed_price_and_one_for_each_parameter() -> None:
    speed = Speed.of(scaling().finished)
    assert (speed.fixed_s, speed.per_parameter_s) == (pytest.approx(2e-5), pytest.approx(1e-10))
    assert speed.tokens_in(10.0, 1e6) == pytest.approx(10 / (2e-5 + 1e-4))
