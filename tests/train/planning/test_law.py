"""The scaling law: published constants give the published answers, and its optimum is where a search finds it."""

import math
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.train.planning.law import DEFAULT, Law

# Hoffmann et al. 2022, arXiv:2203.15556: digits that eq. 10 rounds, from the paper's source (Besiroglu et al. 2024, §2)
HOFFMANN = Law(e=1.69337368, a=406.401018, alpha=0.33917084, b=410.722827, beta=0.2849083)
# Besiroglu et al. 2024, arXiv:2404.10102, table 1
BESIROGLU = Law(e=1.8172, a=482.01, alpha=0.3478, b=2085.43, beta=0.3658)

laws = st.builds(
    Law,
    e=st.floats(0.1, 2),
    a=st.floats(1, 1000),
    alpha=st.floats(0.1, 0.9),
    b=st.floats(1, 1000),
    beta=st.floats(0.1, 0.9),
)
sizes = st.floats(1e3, 1e11)
lengths = st.floats(1e4, 1e13)


@pytest.mark.parametrize(
    ("parameters", "flops", "tokens"),
    [
        (400e6, 2.21e19, 9.2e9),
        (1e9, 1.62e20, 27.1e9),
        (10e9, 2.46e22, 410.1e9),
        (67e9, 1.71e24, 4.1e12),
        (280e9, 3.52e25, 20.1e12),
        (520e9, 1.36e26, 43.5e12),
    ],
)
def test_the_third_approach_of_hoffmann_et_al_gives_their_table_a3(
    parameters: float, flops: float, tokens: float
) -> None:
    found_parameters, found_tokens = HOFFMANN.compute_optimal(flops, 6.0)
    # rounded to two digits, and its operations are not quite 6·N·D: up to 5 % less
    assert found_parameters == pytest.approx(parameters, rel=0.06)
    assert found_tokens == pytest.approx(tokens, rel=0.11)


@pytest.mark.parametrize(("law", "exponent"), [(HOFFMANN, 0.46), (BESIROGLU, 0.51)])
def test_size_grows_with_compute_as_published(law: Law, exponent: float) -> None:
    small, large = (law.compute_optimal(flops, 6.0)[0] for flops in (1e20, 1e24))
    assert math.log(large / small) / math.log(1e4) == pytest.approx(exponent, abs=0.005)


def test_the_replication_trains_chinchilla_on_twenty_tokens_per_parameter() -> None:
    parameters, tokens = BESIROGLU.compute_optimal(5.76e23, 6.0)
    assert 15 < tokens / parameters < 25
    assert BESIROGLU.loss(70e9, 1.4e12) == pytest.approx(1.8172 + 482.01 / 70e9**0.3478 + 2085.43 / 1.4e12**0.3658)


@given(law=laws, log_flops=st.floats(10, 24), bytes_per_token=st.floats(1, 6))
def test_the_closed_form_is_where_a_search_finds_the_minimum(
    law: Law, log_flops: float, bytes_per_token: float
) -> None:
    flops, price = 10**log_flops, 6.0 / bytes_per_token
    parameters, seen_bytes = law.compute_optimal(flops, price)
    assert price * parameters * seen_bytes == pytest.approx(flops)
    best = law.loss(parameters, seen_bytes)
    for factor in (0.5, 0.97, 1.03, 2.0):
        assert law.loss(parameters * factor, seen_bytes / factor) > best * (1 - 1e-12)
    if 1 < parameters < 1e15:
        searched = law.best_size(lambda size: flops / price / size)
        assert searched == pytest.approx(parameters, rel=1e-2)
        assert law.loss(searched, flops / price / searched) == pytest.approx(best, rel=1e-9)


@given(law=laws, parameters=sizes, seen_bytes=lengths, factor=st.floats(1.01, 100))
def test_more_of_anything_never_hurts(law: Law, parameters: float, seen_bytes: float, factor: float) -> None:
    here = law.loss(parameters, seen_bytes)
    assert law.e < here
    assert law.loss(parameters * factor, seen_bytes) < here
    assert law.loss(parameters, seen_bytes * factor) <= here
    unique = seen_bytes / 3
    assert law.loss(parameters, seen_bytes * factor, unique) <= law.loss(parameters, seen_bytes, unique)


@given(law=laws, parameters=sizes, seen_bytes=lengths, scale=st.floats(0.01, 100))
def test_in_other_units_it_is_the_same_law(law: Law, parameters: float, seen_bytes: float, scale: float) -> None:
    in_tokens = Law(law.e, law.a, law.alpha, law.b / scale**law.beta, law.beta)
    assert in_tokens.loss(parameters, seen_bytes / scale) == pytest.approx(law.loss(parameters, seen_bytes))


class TestRepeatedText:
    def test_one_pass_counts_in_full(self) -> None:
        assert DEFAULT.effective_bytes(1e6, 1e6) == DEFAULT.effective_bytes(1e6) == 1e6
        assert DEFAULT.loss(1e6, 5e5, 1e6) == DEFAULT.loss(1e6, 5e5)

    def test_up_to_four_passes_are_nearly_as_good_as_new_text(self) -> None:
        """Muennighoff et al., abstract: with four epochs the loss hardly changes."""
        assert 3.6 < DEFAULT.effective_bytes(4.0, 1.0) < 4

    def test_after_r_star_repetitions_one_more_is_worth_a_part_of_e(self) -> None:
        at = 1 + DEFAULT.repeat_r
        gained = DEFAULT.effective_bytes(at + 0.01, 1.0) - DEFAULT.effective_bytes(at, 1.0)
        assert gained / 0.01 == pytest.approx(1 / math.e, rel=1e-3)
        # §3.1: by then, all that was repeated has been worth 1 − 1/e of new text
        assert (DEFAULT.effective_bytes(at, 1.0) - 1) / DEFAULT.repeat_r == pytest.approx(1 - 1 / math.e)

    def test_for_ever_is_worth_sixteen_passes(self) -> None:
        assert DEFAULT.effective_bytes(1e9, 1.0) == pytest.approx(1 + DEFAULT.repeat_r)

    @given(law=laws, seen=st.floats(1, 1e4), unique=st.floats(1, 1e4))
    def test_repeating_is_never_better_than_new_text(self, law: Law, seen: float, unique: float) -> None:
        assert law.effective_bytes(seen, unique) <= seen * (1 + 1e-12)
        assert law.loss(1e6, seen, unique) >= law.loss(1e6, seen) * (1 - 1e-12)

    @given(unique=st.floats(1e5, 1e9))
    def test_little_text_calls_for_a_larger_network_than_the_closed_form(self, unique: float) -> None:
        """The same work on fewer bytes: parameters are what is left to buy (Muennighoff et al., figure 1)."""
        flops = 1e18
        parameters, seen_bytes = DEFAULT.compute_optimal(flops, 1.5)
        best = DEFAULT.best_size(lambda size: flops / 1.5 / size, unique_bytes=unique)
        if seen_bytes <= unique:
            assert best == pytest.approx(parameters, rel=1e-2)
        else:
            assert best > parameters * 0.99


def test_a_fixed_price_of_each_byte_calls_for_a_larger_network() -> None:
    cheap = DEFAULT.best_size(lambda size: 1e12 / size)
    dear = DEFAULT.best_size(lambda size: 1e12 / (size + 3e5))
    assert dear > cheap


def test_the_range_of_sizes_is_kept() -> None:
    assert DEFAULT.best_size(lambda size: 1e15 / size, largest=1e5) == pytest.approx(1e5)
    assert DEFAULT.best_size(lambda size: 1e8 / size, smallest=1e6) == pytest.approx(1e6)


def test_the_planner_can_use_it_without_scipy() -> None:
    code = "import sys, atinuke.train.planning.law; assert not {'scipy', 'torch'} & set(sys.modules), sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
