"""Sampling: equal to transformers' processors, fair to the distribution, and strict about its rules."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from atinuke.errors import AtinukeError, ConfigError
from atinuke.generate.sampling import SamplingRules, choose, draw, penalise, warp

few_values = st.sampled_from([-2.0, -1.0, 0.0, 0.5, 1.0, 3.0])  # so that ties are common
any_values = st.floats(-30, 30, width=32, allow_subnormal=False)  # training switches subnormal numbers off
logits_of_any_kind = st.one_of(
    st_numpy.arrays("float32", st.integers(1, 40), elements=elements) for elements in (few_values, any_values)
).map(torch.from_numpy)
rules_of_any_kind = st.builds(
    SamplingRules,
    temperature=st.sampled_from([0.05, 0.3, 0.8, 1.0, 1.7]),
    top_k=st.one_of(st.none(), st.integers(1, 50)),
    top_p=st.one_of(st.none(), st.floats(0.01, 1.0)),
)


def theirs(rules: SamplingRules) -> LogitsProcessorList:
    """transformers' processors for the same rules, in our order."""
    steps = LogitsProcessorList()
    if rules.top_k is not None:
        steps.append(TopKLogitsWarper(rules.top_k))
    steps.append(TemperatureLogitsWarper(rules.temperature))
    if rules.top_p is not None and rules.top_p < 1:
        steps.append(TopPLogitsWarper(rules.top_p))
    return steps


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@given(logits_of_any_kind, rules_of_any_kind)
@settings(max_examples=300, deadline=None)
def test_warped_logits_equal_those_of_transformers(logits: Tensor, rules: SamplingRules) -> None:
    ours = warp(logits, rules)
    expected = theirs(rules)(torch.zeros(1, 0, dtype=torch.int64), logits[None].clone())[0]
    torch.testing.assert_close(ours, expected, rtol=0, atol=0)


@given(logits_of_any_kind, st.lists(st.integers(0, 39), min_size=1, max_size=60), st.floats(0.125, 5, width=32))
@settings(max_examples=200, deadline=None)
def test_penalised_logits_equal_those_of_transformers(logits: Tensor, history: list[int], penalty: float) -> None:
    history = [token % len(logits) for token in history]
    expected = RepetitionPenaltyLogitsProcessor(penalty)(torch.tensor([history]), logits[None].clone())[0]
    torch.testing.assert_close(penalise(logits, penalty, set(history)), expected, rtol=0, atol=0)


def test_a_penalty_above_one_makes_what_was_there_less_likely_whatever_its_sign() -> None:
    logits = torch.tensor([2.0, -2.0, 1.0])
    assert penalise(logits, 2.0, {0, 1}).tolist() == [1.0, -4.0, 1.0]
    assert logits.tolist() == [2.0, -2.0, 1.0], "the network's own logits stay as they are"


def test_top_k_keeps_every_token_that_ties_with_the_last_one_kept() -> None:
    kept = warp(torch.tensor([1.0, 3.0, 1.0, 0.0]), SamplingRules(temperature=1, top_k=2)).isfinite()
    assert kept.tolist() == [True, True, True, False]


def test_top_p_keeps_the_likeliest_that_together_hold_p() -> None:
    logits = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
    kept = warp(logits, SamplingRules(temperature=1, top_p=0.7)).isfinite()
    assert kept.tolist() == [True, True, False, False]


@given(logits_of_any_kind)
@settings(max_examples=100, deadline=None)
def test_temperature_zero_takes_the_likeliest_token(logits: Tensor) -> None:
    for temperature in (0, 1e-30):
        chosen = choose(logits, SamplingRules(temperature=temperature), (), generator())
        assert logits[chosen] == logits.max()


@given(logits_of_any_kind, rules_of_any_kind, st.integers(0, 2**32 - 1))
@settings(max_examples=200, deadline=None)
def test_only_tokens_that_the_rules_keep_are_drawn_and_the_same_ones_for_the_same_seed(
    logits: Tensor, rules: SamplingRules, seed: int
) -> None:
    first, again = (choose(logits, rules, (), generator(seed)) for _ in range(2))
    assert first == again
    assert warp(logits, rules)[first].isfinite()


def test_tokens_come_as_often_as_their_probability_says() -> None:
    probabilities = torch.tensor([0.5, 0.0, 0.3, 0.2])
    source, count = generator(1), 4000
    drawn = torch.tensor([draw(probabilities.log(), source) for _ in range(count)]).bincount(minlength=4)
    assert drawn[1] == 0
    expected = probabilities * count
    spread = (expected * (1 - probabilities)).sqrt()
    assert ((drawn - expected).abs() <= 4 * spread).all(), f"{drawn.tolist()} is not within four standard deviations"


def test_the_penalty_reaches_the_choice() -> None:
    logits = torch.tensor([1.0, 0.9])
    greedy = SamplingRules(temperature=0, repetition_penalty=2.0)
    assert choose(logits, greedy, (), generator()) == 0
    assert choose(logits, greedy, {0}, generator()) == 1


def test_half_precision_logits_are_sampled_as_their_float32_values() -> None:
    logits = torch.randn(50, generator=generator()).bfloat16()
    rules = SamplingRules(top_p=0.9)
    for seed in range(20):
        assert choose(logits, rules, (), generator(seed)) == choose(logits.float(), rules, (), generator(seed))


def test_logits_that_are_not_numbers_are_our_own_fault() -> None:
    with pytest.raises(ValueError, match="NaN or infinity") as caught:
        choose(torch.tensor([1.0, math.nan]), SamplingRules(), (), generator())
    assert not isinstance(caught.value, AtinukeError)


@pytest.mark.parametrize(
    ("rule", "value"),
    [
        ("temperature", -0.1),
        ("temperature", math.nan),
        ("temperature", math.inf),
        ("temperature", "hot"),
        ("temperature", None),
        ("top_k", 0),
        ("top_k", 2.5),
        ("top_k", True),
        ("top_p", 0.0),
        ("top_p", 1.01),
        ("top_p", -1),
        ("repetition_penalty", 0),
        ("repetition_penalty", -2.0),
        ("repetition_penalty", math.inf),
    ],
)
def test_a_rule_out_of_its_range_is_refused_in_one_line_that_names_it(rule: str, value: object) -> None:
    with pytest.raises(ConfigError) as caught:
        SamplingRules(**{rule: value})  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.startswith(f"{rule} is {value!r}; expected ")
    assert "\n" not in message


@pytest.mark.parametrize("rules", [SamplingRules(0), SamplingRules(2, 1, 1.0, 0.5), SamplingRules(top_p=1)], ids=str)
def test_rules_at_the_edge_of_their_range_are_taken(rules: SamplingRules) -> None:
    assert 0 <= choose(torch.randn(7), rules, {1}, generator()) < 7
