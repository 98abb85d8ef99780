"""Which runs benchmarks/race.py makes, in which order, and how many steps it gives a peer. No peer runs here."""

import argparse
import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
COMMON = {"text": "book", "budget_s": 120.0, "caches": "cold"}


@pytest.fixture
def race(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    monkeypatch.delitem(sys.modules, "race", raising=False)
    return importlib.import_module("race")


@pytest.fixture
def contest(race: ModuleType, tmp_path: Path) -> Any:
    return sys.modules["peers.contest"].Contest(
        corpus=tmp_path,
        source=tmp_path / "book.txt",
        validation_bytes=10,
        seconds=100.0,
        peers=tmp_path,
        python=sys.executable,
        warm_caches=False,
    )


def asked(**changed: Any) -> argparse.Namespace:
    told = {"settings": "all", "seeds": [5, 6], "racers": ["atinuke", "hf"], "time": 120.0, "only": None, "set": []}
    return argparse.Namespace(**(told | changed))


def run_all(race: ModuleType, results: Any, scores: dict[str, float]) -> list[tuple[str, str, int]]:
    """Goes through the plan as the race does, with scores by name of the settings; what came, in order."""
    came = []
    for entry, seed in race.planned(asked(), results, COMMON):
        identity = {**COMMON, "racer": entry.racer, "kind": entry.kind, "name": entry.name, "seed": seed}
        score = scores.get(entry.name)
        results.put(identity, {"error": "no"} if score is None else {"bpb": score, "own_bpb": score})
        came.append((entry.racer, entry.name, seed))
    return came


def test_only_the_best_of_the_tuned_settings_goes_on_after_the_first_seed(race: ModuleType, tmp_path: Path) -> None:
    results = race.Results(tmp_path / "results.json")
    scores = {"planned": 2.0, "default": 3.0, "narrow": 2.4, "bfloat16": 2.3, "wide": 2.5}
    first = [("atinuke", "planned", 5), *(("hf", name, 5) for name in ("default", "narrow", "bfloat16", "wide"))]
    second = [("atinuke", "planned", 6), ("hf", "default", 6), ("hf", "bfloat16", 6)]
    assert run_all(race, results, scores) == first + second


def test_a_setting_that_failed_does_not_go_on_and_the_race_does(race: ModuleType, tmp_path: Path) -> None:
    results = race.Results(tmp_path / "results.json")
    came = run_all(race, results, {"planned": 2.0, "wide": 2.5})
    assert came[-3:] == [("atinuke", "planned", 6), ("hf", "default", 6), ("hf", "wide", 6)]


def test_what_failed_is_replaced_and_what_finished_is_kept(race: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    identity = {**COMMON, "racer": "hf", "kind": "tuned", "name": "wide", "seed": 5}
    race.Results(path).put(identity, {"error": "no"})
    results = race.Results(path)
    assert results.runs(**identity) == []
    results.put(identity, {"bpb": 2.5})
    again = race.Results(path)
    assert [row["bpb"] for row in again.runs(**identity)] == [2.5]
    assert len(again.told["runs"]) == 1


def test_the_steps_fill_the_budget(race: ModuleType, contest: Any) -> None:
    [entry] = sys.modules["peers.contest"].entries("hf", ("shipped",), 100.0)
    calibration = {"ready_s": 10.0, "step_s": 0.5, "warm_steps": 3}
    # 98.5 % of 100 s, less 1 s for saving and 10 s until the third step: 175 steps of 0.5 s
    assert contest.steps_after(entry, calibration, []) == 178
    assert contest.steps_after(entry, calibration, [{"asked_steps": 178, "wall_s": 98.0}]) == 178
    assert contest.steps_after(entry, calibration, [{"asked_steps": 178, "wall_s": 110.0}]) == 155


def test_a_peer_that_is_not_ready_in_time_is_told_so(race: ModuleType, contest: Any) -> None:
    module = sys.modules["peers.contest"]
    [entry] = module.entries("litgpt", ("shipped",), 100.0)
    with pytest.raises(module.RacerError, match="warm after 99 s"):
        contest.steps_after(entry, {"ready_s": 99.0, "step_s": 0.5, "warm_steps": 3}, [])


@pytest.mark.parametrize("peer", ["hf", "litgpt", "x-transformers"])
@pytest.mark.parametrize("seconds", [60.0, 600.0, 3600.0])
def test_every_peer_has_settings_as_shipped_and_three_by_hand(race: ModuleType, peer: str, seconds: float) -> None:
    entries = sys.modules["peers.contest"].entries
    assert len(entries(peer, ("shipped",), seconds)) == 1
    tuned = entries(peer, ("tuned",), seconds)
    assert len(tuned) == 3
    assert len({repr(sorted(entry.settings.items())) for entry in tuned}) == 3


def test_a_failed_racer_is_a_row_with_its_error(race: ModuleType, contest: Any, tmp_path: Path) -> None:
    results = race.Results(tmp_path / "results.json")
    [entry] = sys.modules["peers.contest"].entries("atinuke", (), 100.0, our_settings=("no.such=1",))
    row = race.race_once(contest, entry, 0, results, COMMON)
    assert "RacerError" in row["error"]
    assert any("failed" in line for line in race.table(results))


def test_times_are_written_as_for_atinuke_train(race: ModuleType) -> None:
    assert [race.seconds_of(text) for text in ("90s", "2m", "1h30m")] == [90, 120, 5400]
