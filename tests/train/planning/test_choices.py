"""What the planner chooses by rule."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from atinuke.machine import Machine, probe_machine
from atinuke.train.config import OptimizerConfig, TrainConfig
from atinuke.train.planning.choices import (
    NEW_TEXT_RATES,
    RATES,
    REPEATED_RATES,
    choose_batch_seqs,
    choose_context,
    choose_dtype,
    choose_pair_dropout,
    choose_rates,
    choose_vocabulary,
)
from atinuke.train.planning.text_facts import TextFacts

OPEN = OptimizerConfig()
BOOK = TextFacts(train_bytes=10**9, bytes_per_token=3.0)


@pytest.fixture(scope="module")
def machine() -> Machine:
    return probe_machine("cpu")


def test_new_text_is_learned_at_high_rates_and_repeated_text_at_low_ones() -> None:
    new, repeated = (choose_rates(OPEN, "atinuke", 1024, epochs) for epochs in (0.3, 20.0))
    assert (new.lr, new.matrix_lr, new.embedding_lr) == (
        NEW_TEXT_RATES.lr,
        NEW_TEXT_RATES.matrix_lr,
        NEW_TEXT_RATES.embedding_lr,
    )
    assert (repeated.lr, repeated.matrix_lr, repeated.embedding_lr) == (
        REPEATED_RATES.lr,
        REPEATED_RATES.matrix_lr,
        REPEATED_RATES.embedding_lr,
    )


@given(st.lists(st.floats(0, 30), min_size=2, max_size=6))
def test_more_passes_never_raise_a_rate_and_never_leave_fewer_pairs_out(passes: list[float]) -> None:
    rates = [choose_rates(OPEN, "atinuke", 1024, epochs).lr or 0 for epochs in sorted(passes)]
    assert rates == sorted(rates, reverse=True)
    left_out = [choose_pair_dropout(epochs) for epochs in sorted(passes)]
    assert left_out == sorted(left_out) and 0 <= left_out[0] and left_out[-1] <= 0.5


def test_pairs_of_new_text_are_all_used() -> None:
    assert choose_pair_dropout(0.9) == 0.0 and choose_pair_dropout(20.0) == 0.5


def test_rates_grow_with_the_root_of_the_batch() -> None:
    one, four = (choose_rates(OPEN, "gpt", tokens, 0.0) for tokens in (512, 2048))
    assert one.lr and four.lr and four.lr / one.lr == pytest.approx(2.0, rel=1e-3)


def test_other_networks_keep_their_rates_however_new_the_text() -> None:
    assert choose_rates(OPEN, "llama", 1024, 0.1).lr == RATES.lr


def test_a_rate_that_is_set_stays_and_the_token_table_follows_it() -> None:
    chosen = choose_rates(OptimizerConfig(lr=0.5), "atinuke", 4096, 0.0)
    assert chosen.lr == 0.5 and chosen.embedding_lr is None  # none: as lr
    assert choose_rates(OptimizerConfig(beta2=0.0), "atinuke", 4096, 0.0).beta2 == 0.0


@given(st.integers(1, 10**7))
def test_the_second_moment_forgets_after_batches_of_any_size(batch_tokens: int) -> None:
    beta2 = choose_rates(OptimizerConfig(), "atinuke", batch_tokens, 0.0).beta2
    assert beta2 is not None and 0.9 <= beta2 < 1


def test_a_batch_grows_more_slowly_than_the_text_and_never_beyond_it() -> None:
    sizes = [choose_batch_seqs(tokens, 128, BOOK) for tokens in (1e5, 1e6, 1e7, 1e8)]
    assert sizes == sorted(sizes) and sizes[-1] / sizes[1] < 100
    assert choose_batch_seqs(1e9, 128, TextFacts(3 * 129 * 5, 3.0)) == 5


def test_a_text_of_a_few_lines_still_gives_a_handful_of_windows() -> None:
    cfg = TrainConfig.model_validate({"budget": {"time_s": 60}})
    assert choose_context(cfg, TextFacts(train_bytes=600, bytes_per_token=3.0)) <= 25


def test_more_time_never_buys_fewer_ids(machine: Machine) -> None:
    sizes = [
        choose_vocabulary(TrainConfig.model_validate({"budget": {"time_s": s}}), 10**9, machine) or 0
        for s in (1, 60, 600, 86_400)
    ]
    assert sizes == sorted(sizes)


def test_a_small_text_gets_few_ids(machine: Machine) -> None:
    cfg = TrainConfig.model_validate({"budget": {"time_s": 86_400}})
    assert choose_vocabulary(cfg, 20_000, machine) == 512


def test_runs_by_steps_stay_in_float32_on_a_processor(machine: Machine) -> None:
    cfg = TrainConfig.model_validate({"budget": {"steps": 5}})
    assert choose_dtype(cfg, torch.device("cpu"), machine) == "float32"
