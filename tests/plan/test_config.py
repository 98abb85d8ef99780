"""What was typed becomes a plan for this machine, or for others; numbers as people write them."""

from typing import Any

import pytest

from atinuke.errors import ConfigError
from atinuke.plan.config import PlanConfig, parse_count, plan_settings

NAMES = {
    "train.data.sources": "SOURCE",
    "train.budget.time_s": "--time",
    "train.budget.tokens": "--tokens",
    "cluster.gpus": "--gpus",
    "cluster.params": "--params",
}


def settings(assignments: tuple[str, ...] = (), **flags: Any) -> PlanConfig:
    return plan_settings({key.replace("__", "."): value for key, value in flags.items()}, NAMES, assignments)


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("7b", 7e9),
        ("1.5m", 1_500_000),
        ("350M", 350_000_000),
        ("4_000", 4000),
        ("131072", 131_072),
        ("2t", 2e12),
        ("1k", 1000),
    ],
)
def test_counts_are_read_as_people_write_them(text: str, number: float) -> None:
    assert parse_count(text) == number
    assert isinstance(parse_count(text), int)


@pytest.mark.parametrize("text", ["", "b", "7 b", "7bb", "-7b", "seven", "1e9", "7.b", "nan"])
def test_what_is_no_count_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="a number such as 7b"):
        parse_count(text)


def test_a_source_is_planned_here_with_the_settings_of_train() -> None:
    cfg = settings(("optim.lr=2e-3",), train__data__sources=["a.txt"], train__budget__time_s="1h")
    assert cfg.cluster is None
    assert (cfg.train.data.sources, cfg.train.budget.time_s, cfg.train.optim.lr) == (("a.txt",), 3600.0, 2e-3)
    assert settings().train.budget.time_s == 120.0


def test_cards_are_planned_with_settings_of_their_own() -> None:
    flags = {"cluster__gpus": "1024", "cluster__params": "7b", "train__budget__tokens": "140b", "as_json": True}
    cfg = settings(("recompute=true",), **flags)
    assert cfg.as_json and cfg.cluster is not None
    assert (cfg.cluster.gpus, cfg.cluster.params, cfg.cluster.tokens, cfg.cluster.recompute) == (1024, 7e9, 140e9, True)
    timed = settings(cluster__gpus="8", cluster__params="1b", train__budget__time_s="30d").cluster
    assert timed is not None and timed.time_s == 30 * 86_400


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"cluster__params": "7b"}, "--params is for cards that are not here; say how many"),
        ({"cluster__gpus": "8", "cluster__params": "7b", "train__data__sources": ["x"]}, "SOURCE is for a plan on"),
        ({"cluster__gpus": "8", "cluster__params": "seven"}, "--params is 'seven'; expected"),
        ({"cluster__gpus": "0", "cluster__params": "7b"}, "--gpus is '0'; expected"),
        ({"cluster__gpus": "8", "cluster__params": "7b", "train__budget__time_s": "soon"}, "--time is 'soon'"),
    ],
)  # fmt: skip
def test_refusals_name_the_flag(flags: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        settings(**flags)


def test_an_unknown_setting_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="Did you mean recompute"):
        settings(("recompte=true",), cluster__gpus="8", cluster__params="1b")
