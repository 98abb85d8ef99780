"""The planner, on machines and texts that the test makes up."""

import itertools
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atinuke.errors import ConfigError
from atinuke.models import ModelConfig
from atinuke.models.config import saved_network
from atinuke.train.config import TrainConfig
from atinuke.train.planning.memory import least_memory_bytes
from atinuke.train.planning.plan import Plan, make_plan
from atinuke.train.planning.shapes import FIRST_RUNG, LADDER, matrix_parameters, network_on
from atinuke.train.planning.text_facts import TextFacts

BOOK = TextFacts(train_bytes=1_000_000, bytes_per_token=3.0)


def machine_of(gflops: float) -> "object":
    """step_seconds of a machine that does `gflops` on matrices and takes 5 ms for the rest."""

    def step_seconds(network: ModelConfig, batch_seqs: int) -> float:
        size = 12 * network.layer_count * network.model_dim**2 + network.vocab_size * network.model_dim
        return 0.005 + 6 * size * batch_seqs * network.context / (gflops * 1e9)

    return step_seconds


def plan(
    tree: dict[str, object], text: TextFacts = BOOK, time_left_s: float | None = 110.0, gflops: float = 80
) -> Plan:
    cfg = TrainConfig.model_validate({"budget": {"time_s": 120}, **tree})
    return make_plan(cfg, 1024, text, time_left_s=time_left_s, step_seconds=machine_of(gflops))  # type: ignore[arg-type]


def test_nothing_is_left_open() -> None:
    resolved = plan({}).config
    network = saved_network(resolved.model_dump())
    assert network.model_dim and resolved.batch_seqs and resolved.optim.lr and resolved.optim.matrix_lr
    assert resolved.optim.kind and resolved.optim.beta2 is not None and resolved.data.max_bytes


def test_more_time_never_buys_a_smaller_network() -> None:
    sizes = []
    for time_s in (20, 120, 600, 3600, 36_000):
        text = TextFacts(train_bytes=10**9, bytes_per_token=3.0)
        chosen = plan({"budget": {"time_s": time_s}}, text, time_left_s=0.9 * time_s).config.model
        assert chosen.model_dim and chosen.layer_count
        sizes.append(chosen.layer_count * chosen.model_dim**2)
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1]


def test_two_minutes_on_two_cores_give_the_shape_that_was_best_by_hand() -> None:
    chosen = plan({}).config.model
    assert (chosen.model_dim, chosen.layer_count) in {(96, 3), (128, 4)}


@pytest.mark.parametrize("time_left_s", [30, 60, 600, 3600])
def test_a_network_is_timed_with_about_the_batch_that_it_gets(time_left_s: float) -> None:
    timed: dict[int, int] = {}

    def step_seconds(network: ModelConfig, batch_seqs: int) -> float:
        timed[network.model_dim] = batch_seqs
        return machine_of(40)(network, batch_seqs)  # type: ignore[operator]

    novels = replace(BOOK, train_bytes=78_000_000)
    cfg = TrainConfig.model_validate({"budget": {"time_s": time_left_s}})
    planned = make_plan(cfg, 1024, novels, time_left_s=time_left_s, step_seconds=step_seconds).config
    assert planned.model.model_dim is not None
    assert planned.batch_seqs == pytest.approx(timed[planned.model.model_dim], rel=0.3)


def test_where_one_network_alone_can_be_timed_the_others_are_foretold_from_it(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.count(0.0, 100.0)
    monkeypatch.setattr("atinuke.train.planning.plan.time.perf_counter", lambda: next(clock))
    novels = replace(BOOK, train_bytes=78_000_000)
    planned = plan({"budget": {"time_s": 60}}, novels, time_left_s=50, gflops=10)
    assert planned.config.model.model_dim == 64
    assert planned.config.batch_seqs and planned.config.model.context
    assert [each["model_dim"] for each in planned.facts["considered"]] == [64, 128]
    assert planned.facts["considered"][0]["batch_tokens"] == planned.config.batch_seqs * planned.config.model.context
    assert planned.facts["expected_tokens_per_s"] > 2 * planned.facts["considered"][1]["tokens_per_s"]


def test_what_is_set_by_hand_stays() -> None:
    asked = {
        "model": {"model_dim": 48, "layer_count": 5, "head_count": 3, "hidden_dim": 77, "context": 32, "dropout": 0.3},
        "batch_seqs": 5,
        "optim": {"lr": 0.5, "matrix_lr": 0.25, "kind": "adamw", "beta2": 0.7},
    }
    resolved = plan(asked).config
    assert resolved.model.model_dump(include={"model_dim", "layer_count", "head_count", "hidden_dim", "context"}) == {
        "model_dim": 48,
        "layer_count": 5,
        "head_count": 3,
        "hidden_dim": 77,
        "context": 32,
    }
    assert resolved.model.dropout == 0.3 and resolved.batch_seqs == 5
    assert (resolved.optim.lr, resolved.optim.matrix_lr, resolved.optim.kind, resolved.optim.beta2) == (
        0.5,
        0.25,
        "adamw",
        0.7,
    )


@given(
    heads=st.none() | st.integers(1, 12),
    width=st.none() | st.integers(1, 300),
    key_dim=st.none() | st.integers(1, 300),
    train_bytes=st.integers(20, 10**10),
    time_left_s=st.none() | st.floats(2, 10**5),
)
@settings(max_examples=150, deadline=None)
def test_every_plan_is_a_network_that_can_be_built(
    heads: int | None, width: int | None, key_dim: int | None, train_bytes: int, time_left_s: float | None
) -> None:
    tree: dict[str, object] = {"model": {"head_count": heads, "model_dim": width, "key_dim": key_dim}}
    tree["budget"] = {"tokens": 100_000} if time_left_s is None else {"time_s": time_left_s}
    try:
        TrainConfig.model_validate(tree)
    except ValueError:
        return  # contradictory sizes are refused before there is a plan
    text = TextFacts(train_bytes=train_bytes, bytes_per_token=2.5)
    resolved = plan(tree, text, time_left_s).config
    network = saved_network(resolved.model_dump())
    assert network.key_dim % network.head_count == 0
    assert resolved.batch_seqs is not None and resolved.batch_seqs >= 1
    if text.train_tokens >= 64:
        assert network.context < text.train_tokens


def test_steps_and_tokens_give_the_same_network_on_every_machine() -> None:
    for budget in ({"steps": 500}, {"tokens": 5_000_000}):
        slow, fast = (plan({"budget": budget}, time_left_s=None, gflops=g).config for g in (1, 10_000))
        assert slow == fast


def test_many_passes_over_a_small_text_bring_dropout() -> None:
    small = TextFacts(train_bytes=50_000, bytes_per_token=3.0)
    assert plan({}, small).config.model.dropout
    assert plan({}, TextFacts(10**9, 3.0)).config.model.dropout == 0


def test_no_budget_at_all_is_said() -> None:
    with pytest.raises(ConfigError, match="time_s, steps or tokens"):
        make_plan(TrainConfig(), 1024, BOOK, time_left_s=None, step_seconds=machine_of(80))  # type: ignore[arg-type]


def test_the_ladder_climbs() -> None:
    sizes = [layers * dim**2 for dim, layers in LADDER]
    assert sizes == sorted(sizes) and len(set(sizes)) == len(sizes)


def test_a_network_that_the_memory_has_no_room_for_is_not_chosen() -> None:
    cfg = TrainConfig.model_validate({"budget": {"time_s": 36_000}})
    text = TextFacts(train_bytes=10**9, bytes_per_token=3.0)
    roomy, tight = (
        make_plan(cfg, 1024, text, time_left_s=30_000, step_seconds=machine_of(1000), memory_bytes=gib * 2**30)  # type: ignore[arg-type]
        for gib in (64, 0.5)
    )
    sizes = [matrix_parameters(saved_network(each.config.model_dump())) for each in (roomy, tight)]
    assert sizes[1] < sizes[0]


def test_what_cannot_fit_is_refused_with_numbers() -> None:
    cfg = TrainConfig.model_validate({"budget": {"time_s": 120}, "model": {"model_dim": 4096, "layer_count": 24}})
    with pytest.raises(ConfigError, match=r"GiB, and 1\.00 GiB are free"):
        make_plan(cfg, 1024, BOOK, time_left_s=110, step_seconds=machine_of(80), memory_bytes=2**30)  # type: ignore[arg-type]


def test_it_is_refused_before_anything_of_its_size_is_built() -> None:
    cfg = TrainConfig.model_validate({"budget": {"time_s": 120}, "model": {"model_dim": 200_000}})

    def build(network: ModelConfig, batch_seqs: int) -> float:
        raise AssertionError("this would take the memory")

    with pytest.raises(ConfigError, match="model_dim 200000"):
        make_plan(cfg, 1024, BOOK, time_left_s=110, step_seconds=build, memory_bytes=2**34)


def test_what_the_first_measurement_has_no_room_for_is_not_measured() -> None:
    built: list[ModelConfig] = []

    def step_seconds(network: ModelConfig, batch_seqs: int) -> float:
        built.append(network)
        return 0.01

    cfg = TrainConfig.model_validate({"budget": {"time_s": 120}})
    smallest, first = (least_memory_bytes(network_on(cfg, rung, 128, 50_000), cfg) for rung in (0, FIRST_RUNG))
    memory_bytes = (smallest + first) / 2
    make_plan(cfg, 50_000, BOOK, time_left_s=110, step_seconds=step_seconds, memory_bytes=memory_bytes)
    assert {network.model_dim for network in built} == {LADDER[0][0]}


def test_a_forecast_falls_with_time_and_lies_in_its_interval() -> None:
    text = TextFacts(train_bytes=10**9, bytes_per_token=3.0)
    forecasts = [plan({"budget": {"time_s": s}}, text, time_left_s=0.9 * s).forecast for s in (30, 300, 3000)]
    assert all(each is not None and each.low < each.middle < each.high for each in forecasts)
    middles = [each.middle for each in forecasts if each is not None]
    assert middles == sorted(middles, reverse=True)


def test_easier_text_is_foretold_fewer_bits() -> None:
    prose, code = (plan({}, TextFacts(10**6, 3.0, difficulty)).forecast for difficulty in (1.0, 0.65))
    assert prose is not None and code is not None and code.middle == pytest.approx(0.65 * prose.middle, rel=0.01)


def test_nothing_is_foretold_of_networks_that_the_law_was_not_fitted_on() -> None:
    assert plan({"model": {"kind": "rnn"}}).forecast is None


@pytest.mark.parametrize("kv_heads", [1, 2, 3, 4, 8])
def test_heads_of_keys_and_values_find_a_number_of_heads_that_they_divide(kv_heads: int) -> None:
    resolved = plan({"model": {"kind": "llama", "kv_head_count": kv_heads, "model_dim": 96}}).config
    assert saved_network(resolved.model_dump()).head_count % kv_heads == 0
