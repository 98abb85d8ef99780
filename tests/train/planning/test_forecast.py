"""What is foretold, held to the grid that the constants were fitted on."""

import json
import math
from pathlib import Path
from typing import Any

import pytest

from atinuke.train.planning.forecast import FIRST_OVER_LAST, foretell, foretell_from_losses
from atinuke.train.planning.law import DEFAULT
from atinuke.train.planning.text_facts import TextFacts

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
GRID: dict[str, Any] = json.loads(sorted(RESULTS.glob("*-planner_grid/results.json"))[-1].read_text(encoding="utf-8"))
NOVELS = [row for row in GRID["rows"] if row["text"] == "novels"]
REPEATED = [row for row in GRID["rows"] if row["text"] == "shakespeare"]


def text_of(row: dict[str, Any]) -> TextFacts:
    return TextFacts(row["unique_bytes"], row["bytes_per_token"], row["difficulty"], row["held_out_ratio"])


def test_the_constants_in_the_source_are_those_of_the_committed_grid() -> None:
    law = {name: getattr(DEFAULT, name) for name in ("e", "a", "alpha", "b", "beta", "repeat_r", "gamma")}
    assert law == pytest.approx(GRID["law"], rel=1e-4)
    assert pytest.approx(GRID["first_over_last"], rel=1e-4) == FIRST_OVER_LAST


@pytest.mark.parametrize("row", NOVELS, ids=lambda row: f"{row['model_dim']}-{row['tokens']}")
def test_the_law_gives_the_grid_back_within_one_part_in_a_hundred(row: dict[str, Any]) -> None:
    forecast = foretell(row["parameters"], row["tokens"], text_of(row))
    assert forecast.middle == pytest.approx(row["val_bpb"], rel=0.01)
    assert forecast.low < row["val_bpb"] < forecast.high


def test_what_is_foretold_at_five_per_cent_lies_near_what_came() -> None:
    near = []
    for row in NOVELS:
        seen = row["losses"]["0.05"] / math.log(2) / row["bytes_per_token"]
        forecast = foretell_from_losses(row["parameters"], row["tokens"], text_of(row), seen)
        near.append(abs(forecast.middle / row["val_bpb"] - 1) < 0.015)
    assert sum(near) >= 0.9 * len(near)


@pytest.mark.parametrize("row", REPEATED, ids=lambda row: f"{row['model_dim']}-{row['tokens']}")
def test_what_is_foretold_of_repeated_text_lies_in_its_interval(row: dict[str, Any]) -> None:
    seen = row["losses"]["0.05"] / math.log(2) / row["bytes_per_token"]
    forecast = foretell_from_losses(row["parameters"], row["tokens"], text_of(row), seen)
    assert forecast.low < row["val_bpb"] < forecast.high


def test_a_harder_text_than_its_first_losses_said_of_novels_ends_higher_by_as_much() -> None:
    text = TextFacts(10**9, 3.0)
    easy, hard = (foretell_from_losses(10**6, 10**6, text, seen).middle for seen in (2.5, 2.75))
    assert hard / easy == pytest.approx(1.1)


def test_repeated_text_ends_above_the_law_and_is_less_certain() -> None:
    new, repeated = (foretell(10**6, 10**7, TextFacts(size, 3.0)) for size in (10**9, 3 * 10**6))
    assert repeated.middle > new.middle
    once, often = (foretell_from_losses(10**6, 10**7, TextFacts(size, 3.0), 2.5) for size in (10**9, 3 * 10**6))
    assert often.high / often.middle > once.high / once.middle
