"""Batches of rows: every row once per epoch, always the same for a seed and a position."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from atinuke.data.batches.tables import TableBatches
from atinuke.data.rows import RowNotes
from atinuke.data.tables import Labels, Table


def table_of(rows: int, labels: Labels | None = None) -> Table:
    """Row n holds n and −n, and its label is n."""
    numbers = np.arange(rows, dtype=np.float32)[:, None] * np.array([1, -1], dtype=np.float32)
    ids: Labels = np.arange(rows, dtype=np.int64) if labels is None else labels
    classes = tuple(map(str, range(rows))) if ids.dtype == np.int64 else ()
    return Table(("x", "y"), numbers, ids, classes, "label", "memory", ("memory",), RowNotes())


@given(st.integers(1, 50), st.integers(1, 60), st.integers(0, 4), st.integers(0, 2**63))
def test_in_each_epoch_every_row_comes_once_with_its_own_label(rows: int, batch: int, epoch: int, seed: int) -> None:
    source = TableBatches(table_of(rows), batch_rows=1, seed=seed)
    batches = [source.batch(epoch * rows + number) for number in range(rows)]
    assert sorted(int(batch.targets) for batch in batches) == list(range(rows))
    wide = TableBatches(table_of(rows), batch_rows=batch, seed=seed).batch(epoch * rows)
    (numbers,) = wide.inputs
    assert torch.equal(numbers[:, 0].long(), wide.targets) and torch.equal(numbers[:, 1], -numbers[:, 0])
    assert wide.target_count == len(numbers) == min(batch, rows) == wide.next_position - wide.position
    assert wide.targets.tolist() == [int(one.targets) for one in batches[: len(numbers)]]
    assert source.epochs(epoch * rows) == epoch


def test_a_batch_depends_on_seed_and_position_alone() -> None:
    source = TableBatches(table_of(20), batch_rows=6, seed=1)
    expected = source.batch(17)  # over the edge of an epoch
    for other in (0, 99, 500):
        source.batch(other)
    assert torch.equal(source.batch(17).targets, expected.targets)
    assert not torch.equal(TableBatches(table_of(20), batch_rows=6, seed=2).batch(17).targets, expected.targets)


def test_the_order_is_the_same_on_every_machine() -> None:
    # Written down from the first run: a change would break the resuming of runs that others have on their disks.
    assert TableBatches(table_of(8), batch_rows=8, seed=3).batch(8).targets.tolist() == [7, 3, 5, 6, 4, 0, 2, 1]


@pytest.mark.parametrize(("labels", "kind"), [(None, torch.int64), (np.ones(4, dtype=np.float32), torch.float32)])
def test_targets_are_ids_or_numbers(labels: Labels | None, kind: torch.dtype) -> None:
    batch = TableBatches(table_of(4, labels), batch_rows=2, seed=0).batch(0)
    assert (batch.targets.dtype, batch.inputs[0].dtype) == (kind, torch.float32)
