"""How steps are timed for the planner: of long ones a part, and never more rows than memory has room for."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from atinuke.data.batches.batch import Batch
from atinuke.machine import Machine, probe_machine
from atinuke.models import ModelConfig
from atinuke.testing import tiny_network
from atinuke.train.config import TrainConfig
from atinuke.train.lessons.text import TextLesson
from atinuke.train.planning import timing
from atinuke.train.planning.memory import MEMORY_PART, least_memory_bytes, rows_with_room, training_memory_bytes
from atinuke.train.planning.timing import measure_step_s, step_timer

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def machine() -> Machine:
    return probe_machine("cpu")


def rows_timed(machine: Machine, batch_seqs: int) -> set[int]:
    """How many rows the steps had that were made."""
    made: set[int] = set()

    def random_batch(network: ModelConfig, rows: int) -> Batch:
        made.add(rows)
        return TextLesson.random_batch(network, rows)

    timer = step_timer(TrainConfig(), TextLesson.asked, random_batch, CPU, machine)
    assert timer(tiny_network(), batch_seqs) > 0
    return made


def test_a_short_step_is_timed_whole(machine: Machine) -> None:
    assert rows_timed(machine, 6) == {6}


def test_of_a_long_step_a_part_is_timed_and_twice_that_part(machine: Machine) -> None:
    slow = replace(machine, fp32_gflops=0.0, bf16_gflops=0.0)  # counts as one
    few, twice = sorted(rows_timed(slow, 10**9))
    assert twice == 2 * few < 10**6


def test_what_is_not_timed_follows_in_proportion(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = replace(machine, fp32_gflops=0.0, bf16_gflops=0.0)
    answers = iter([3.0, 5.0])  # 1 s for the update, 2 s for so many rows
    monkeypatch.setattr(timing, "measure_step_s", lambda step, at_most_s: next(answers))
    rows: list[int] = []

    def random_batch(network: ModelConfig, count: int) -> Batch:
        rows.append(count)
        return TextLesson.random_batch(network, 1)

    few = 10**9
    timer = step_timer(TrainConfig(), TextLesson.asked, random_batch, CPU, slow)
    seconds = timer(tiny_network(), few)
    assert seconds == pytest.approx(1 + 2 * few / rows[0])


def test_memory_limits_the_rows_that_are_timed(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    network = tiny_network()
    room = training_memory_bytes(network, 64, dtype="float32", optimizer="muon", accumulates=True).process
    monkeypatch.setattr(timing, "available_memory_bytes", lambda device: room / MEMORY_PART)
    assert max(rows_timed(machine, 100_000)) <= 128  # twice 64, in two parts


@given(st.integers(1, 5000), st.floats(1e8, 1e10))
def test_rows_that_fit_are_all_or_what_halving_leaves(rows: int, memory_bytes: float) -> None:
    network, cfg = tiny_network(), TrainConfig()
    few = rows_with_room(network, cfg, rows, memory_bytes)
    assert 1 <= few <= rows
    asked = {"dtype": "float32", "optimizer": "muon"}
    needed = training_memory_bytes(network, few, **asked, accumulates=few < rows).process  # type: ignore[arg-type]
    assert few == 1 or needed <= MEMORY_PART * memory_bytes
    if memory_bytes > 1e10 / 2 and rows < 1000:
        assert few == rows
    assert least_memory_bytes(network, cfg) <= needed


def test_the_middle_step_counts_and_the_first_two_do_not() -> None:
    calls: list[int] = []
    assert measure_step_s(lambda: calls.append(1), at_most_s=0.01) < 0.01
    assert 4 <= len(calls) <= 12
