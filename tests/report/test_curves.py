"""Thinning keeps what a reader would see; smoothing neither lags nor invents."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.report.curves import MOST_POINTS, curve_data, loss_picture, smooth, thin
from atinuke.report.record import COLUMNS, Columns


def metrics(count: int, **columns: np.ndarray) -> Columns:
    steps = np.arange(1.0, count + 1)
    base = {"step": steps, "tokens": 768 * steps, "elapsed_s": 0.05 * steps, "loss": 2 + 3 / steps}
    return {name: columns.get(name, base.get(name, np.full(count, np.nan))) for name in COLUMNS}


@given(values=st.lists(st.floats(-5, 5) | st.just(math.nan), max_size=300), most=st.integers(4, 50))
def test_thinning_keeps_the_ends_and_the_extremes_within_the_number_allowed(values: list[float], most: int) -> None:
    found = np.array(values)
    kept = thin(found, most)
    assert len(kept) <= max(most, 2)
    assert np.all(np.diff(kept) > 0)
    if values:
        assert {0, len(values) - 1} <= set(kept.tolist())
    if np.isfinite(found).any():
        assert np.nanmax(found[kept]) == np.nanmax(found)
        assert np.nanmin(found[kept]) == np.nanmin(found)


def test_a_single_spike_in_a_long_run_survives_the_thinning() -> None:
    loss = np.full(100_000, 2.0)
    loss[51_234], loss[77_777] = 9.0, 0.5
    drawn = curve_data(metrics(len(loss), loss=loss))["loss"]
    assert len(drawn["loss"]) <= MOST_POINTS
    assert (max(drawn["loss"]), min(drawn["loss"])) == (9.0, 0.5)
    assert drawn["step"][drawn["loss"].index(9.0)] == 51_235


def test_every_validation_estimate_of_a_usual_run_is_kept() -> None:
    estimates = np.full(10_000, np.nan)
    estimates[999::1000] = np.arange(10.0) + 1
    drawn = curve_data(metrics(10_000, val_loss=estimates))["loss"]
    assert [value for value in drawn["val_loss"] if value is not None] == list(range(1, 11))
    assert len(drawn["loss"]) == len(drawn["step"]) == len(drawn["val_loss"]) <= MOST_POINTS


def test_a_curve_that_was_not_measured_is_left_out_and_gaps_are_none() -> None:
    loss = np.array([3.0, math.nan, math.inf, 2.0])
    data = curve_data(metrics(4, loss=loss))
    assert set(data) == {"loss"}
    assert data["loss"]["loss"] == [3, None, None, 2]
    assert curve_data(metrics(0)) == {}


def test_smoothing_leaves_a_level_line_alone_and_passes_over_gaps() -> None:
    values = np.full(500, 2.5)
    values[100:103] = math.nan
    assert smooth(values) == pytest.approx(np.full(500, 2.5))
    assert np.isnan(smooth(np.array([math.nan]))).all()


def test_smoothing_does_not_lag_behind_a_slope() -> None:
    slope = np.arange(1000.0)
    assert smooth(slope)[100:900] == pytest.approx(slope[100:900])


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=200))
def test_a_smoothed_value_lies_between_the_least_and_the_greatest(values: list[float]) -> None:
    found = smooth(np.array(values))
    assert found.min() >= min(values) - 1e-9
    assert found.max() <= max(values) + 1e-9


def test_the_still_picture_spans_the_run_and_marks_each_estimate() -> None:
    estimates = np.full(50, np.nan)
    estimates[[10, 49]] = 2.2
    picture = loss_picture(metrics(50, val_loss=estimates))
    assert picture.count("<circle") == 2
    assert picture.count("<polyline") == 1
    assert 'aria-label="Loss in nats per token, from 5.00 to 2.06"' in picture


@pytest.mark.parametrize("count", [0, 1])
def test_a_run_of_one_step_has_no_picture_and_says_so(count: int) -> None:
    assert "Too few steps" in loss_picture(metrics(count))
