"""Rows of tasks as batches: each once an epoch, padded, the same for the same seed."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from atinuke.data.batches.batch import IGNORE
from atinuke.errors import SourceError
from atinuke.tasks.rows import NO_MARK, TaskBatches, TaskRows, batch_of
from atinuke.tasks.task import Row


def row(number: int, length: int = 4) -> Row:
    ids = np.full(length, number, dtype=np.int64)
    marks = (np.arange(length % 3 + 1, dtype=np.int64),)
    return Row(ids, np.zeros_like(ids), number, marks, (np.array(number % 2), np.arange(length, dtype=np.int64)))


@given(st.integers(1, 70), st.integers(1, 9), st.integers(0, 5))
def test_every_row_is_in_one_batch_of_an_epoch(count: int, size: int, seed: int) -> None:
    rows = [row(number, 1 + number % 7) for number in range(count)]
    batches = TaskBatches({"a": TaskRows(rows, size)}, seed=seed)
    for epoch in range(2):
        start = epoch * batches.batches_per_epoch
        seen = [
            int(each[0])
            for place in range(batches.batches_per_epoch)
            for each in batches.batch(start + place).inputs[0]
        ]
        assert sorted(seen) == list(range(count))


def test_tasks_are_mixed_and_no_batch_holds_two() -> None:
    tasks = {"a": TaskRows([row(n) for n in range(20)], 4), "b": TaskRows([row(100 + n) for n in range(10)], 2)}
    batches = TaskBatches(tasks, seed=0)
    names = [batches.batch(place).inputs[3] for place in range(batches.batches_per_epoch)]
    assert names.count("a") == names.count("b") == 5
    assert names != sorted(names)
    for place in range(10):
        batch = batches.batch(place)
        assert ((batch.inputs[0][:, 0] >= 100) == (batch.inputs[3] == "b")).all()


def test_the_windows_of_a_document_stay_together() -> None:
    rows = [row(number // 3) for number in range(9)]
    batches = TaskBatches({"a": TaskRows(rows, 32, group=True)}, seed=1)
    assert batches.batches_per_epoch == 3
    for place in range(3):
        assert len(set(batches.batch(place).inputs[0][:, 0].tolist())) == 1
        assert batches.batch(place).row_count == 3


def test_short_rows_are_filled_up_with_what_does_not_count() -> None:
    tokens, segments, is_token, name, marks = batch_of([row(3, 2), row(4, 4)], "a").inputs
    assert tokens.tolist() == [[3, 3, 0, 0], [4, 4, 4, 4]]
    assert is_token.tolist() == [[True, True, False, False], [True] * 4]
    assert segments.sum() == 0 and name == "a"
    assert marks.tolist() == [[0, 1, 2], [0, 1, NO_MARK]]
    label, tags = batch_of([row(3, 2), row(4, 4)], "a").targets
    assert label.tolist() == [1, 0]
    assert tags.tolist() == [[0, 1, IGNORE, IGNORE], [0, 1, 2, 3]]


def test_numbers_with_fractions_are_filled_up_with_nan() -> None:
    ids = np.zeros(1, dtype=np.int64)
    rows = [Row(ids, ids, 0, targets=(np.ones(length, dtype=np.float32),)) for length in (1, 2)]
    (numbers,) = batch_of(rows, "a").targets
    assert torch.isnan(numbers).tolist() == [[False, True], [False, False]]


def test_a_position_gives_the_same_batch_every_time() -> None:
    given = {"a": TaskRows([row(n, 1 + n % 5) for n in range(30)], 4)}
    one, other = TaskBatches(given, seed=3), TaskBatches(given, seed=3)
    order = [one.batch(place) for place in range(20)]
    for place in reversed(range(20)):
        assert torch.equal(order[place].inputs[0], other.batch(place).inputs[0])


def test_a_task_without_rows_is_refused() -> None:
    with pytest.raises(SourceError, match="no row of a"):
        TaskBatches({"a": TaskRows([], 4)}, seed=0)
