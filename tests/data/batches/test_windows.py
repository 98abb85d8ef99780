from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from atinuke.data.batches.windows import WindowBatches
from atinuke.data.shards import ShardWriter, TokenShards
from atinuke.errors import SourceError


class Counting:
    """Tokens whose ids are their places."""

    def __init__(self, total_tokens: int):
        self.total_tokens = total_tokens

    def at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        assert 0 <= places.min() and places.max() < self.total_tokens
        return places.astype(np.int64)


def batches(total: int, context: int = 8, batch_seqs: int = 3, seed: int = 0) -> WindowBatches:
    return WindowBatches(Counting(total), context=context, batch_seqs=batch_seqs, seed=seed)


SIZES = st.integers(1, 40).flatmap(lambda context: st.tuples(st.just(context), st.integers(context + 1, 600)))


@given(SIZES, st.integers(0, 5), st.integers(0, 2**63))
def test_in_each_epoch_every_token_is_a_target_once_but_for_less_than_a_context(
    sizes: tuple[int, int], epoch: int, seed: int
) -> None:
    context, total = sizes
    source = batches(total, context, batch_seqs=1, seed=seed)
    windows = source.windows_per_epoch
    targets = torch.cat([source.batch(epoch * windows + number).targets.flatten() for number in range(windows)])
    counts = np.bincount(targets.numpy(), minlength=total)
    assert counts.max() == 1
    assert (counts == 0).sum() == total - windows * context < context + 1


@given(SIZES, st.integers(1, 7), st.integers(0, 10**6))
def test_each_target_is_the_token_that_follows_in_the_text(
    sizes: tuple[int, int], batch_seqs: int, position: int
) -> None:
    context, total = sizes
    batch = batches(total, context, batch_seqs).batch(position)
    assert batch.inputs[0].shape == batch.targets.shape == (batch_seqs, context)
    assert batch.inputs[0].dtype == batch.targets.dtype == torch.int64
    assert torch.equal(batch.targets, (batch.inputs[0] + 1) % total)
    assert torch.equal(batch.inputs[0][:, 1:], batch.targets[:, :-1])
    assert batch.position == position
    assert batch.inputs[0].is_contiguous() and batch.targets.is_contiguous()


@given(st.integers(0, 500), st.integers(1, 9), st.integers(0, 3))
def test_a_batch_depends_on_seed_and_position_alone(position: int, batch_seqs: int, seed: int) -> None:
    through = batches(200, batch_seqs=1, seed=seed)
    rows = torch.cat([through.batch(place).inputs[0] for place in range(position, position + batch_seqs)])
    at_once = batches(200, batch_seqs=batch_seqs, seed=seed)
    for other in (90, 0, 777):  # whatever was asked for before
        at_once.batch(other)
    assert torch.equal(at_once.batch(position).inputs[0], rows)


def test_seeds_and_epochs_differ_in_order_and_in_where_windows_begin() -> None:
    first = batches(1001, context=10, batch_seqs=100)
    epochs = [first.batch(100 * epoch).inputs[0][:, 0] for epoch in range(12)]
    assert len({tuple(epoch.tolist()) for epoch in epochs}) == 12
    assert len({int(epoch[0]) % 10 for epoch in epochs}) > 3
    other = batches(1001, context=10, batch_seqs=100, seed=1).batch(0).inputs[0][:, 0]
    assert not torch.equal(other, epochs[0])


def test_the_order_is_the_same_on_every_machine() -> None:
    # Written down from the first run: a change would break the resuming of runs that others have on their disks.
    assert batches(100).batch(0).inputs[0][:, 0].tolist() == [11, 83, 67]


def test_windows_are_visited_in_no_order_that_can_be_seen() -> None:
    starts = batches(80_001, batch_seqs=10_000).batch(0).inputs[0][:, 0].numpy()
    assert abs(np.corrcoef(starts, np.arange(10_000))[0, 1]) < 0.05


def test_text_shorter_than_a_window_is_an_error_with_the_numbers() -> None:
    with pytest.raises(SourceError, match="has 1,000 tokens; one window of context 1,000 needs 1,001"):
        batches(1000, context=1000)
    assert batches(1001, context=1000).batch(0).inputs[0].shape == (3, 1000)


@pytest.mark.parametrize("shard_tokens", [10, 1000])
def test_batches_from_the_disk_are_those_of_the_same_tokens_in_memory(shard_tokens: int, tmp_path: Path) -> None:
    with ShardWriter(tmp_path, 1000, shard_tokens=shard_tokens) as writer:
        writer.add(np.arange(333))
        writer.close()
    shards = TokenShards(tmp_path)
    on_disk = WindowBatches(shards, context=16, batch_seqs=5, seed=3, device="cpu")
    in_memory = batches(333, context=16, batch_seqs=5, seed=3)
    for position in (0, 7, 19, 1000):
        assert torch.equal(on_disk.batch(position).inputs[0], in_memory.batch(position).inputs[0])


def test_tensors_go_to_the_device_that_was_asked_for() -> None:
    source = WindowBatches(Counting(100), context=8, batch_seqs=2, seed=0, device=torch.device("meta"))
    assert source.batch(0).inputs[0].device.type == "meta"
