"""Batches of pairs: what the network sees and what it should say, in each layout."""

from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor

from atinuke.data.batches.batch import IGNORE, Batch
from atinuke.data.batches.pairs import Encoded, Layout, PairBatches
from atinuke.errors import SourceError

END, START = 0, 1


class InMemory:
    """Pairs of given lengths; every token is a different one, from 2 on, so that each is known again."""

    def __init__(self, lengths: list[tuple[int, int]]):
        flat = np.cumsum([0, *(length for pair in lengths for length in pair)])
        self.source_starts, self.target_starts = flat[:-1:2], flat[1::2]
        self.source_lengths, self.target_lengths = np.diff(flat)[::2], np.diff(flat)[1::2]
        self.total = int(flat[-1])

    def __len__(self) -> int:
        return len(self.source_starts)

    def at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        assert places.size == 0 or (0 <= places.min() and places.max() < self.total)
        return places + 2

    def rows(self) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
        spans = zip(self.source_starts, self.source_lengths, self.target_starts, self.target_lengths, strict=True)
        return [(tuple(range(a + 2, a + 2 + n)), tuple(range(b + 2, b + 2 + m))) for a, n, b, m in spans]


LENGTHS = st.lists(st.tuples(st.integers(1, 12), st.integers(1, 12)), min_size=1, max_size=40)
LAYOUTS: tuple[Layout, ...] = ("encoder-decoder", "decoder-only")


def source_of(pairs: Encoded, layout: Layout = "encoder-decoder", batch_tokens: int = 30, seed: int = 0) -> PairBatches:
    return PairBatches(pairs, batch_tokens=batch_tokens, seed=seed, start_id=START, end_id=END, layout=layout)


def told(batch: Batch) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(source, target) of each row of an encoder-decoder batch, by its masks."""
    source, is_source, _ = batch.inputs
    assert isinstance(batch.targets, Tensor)
    found = []
    for row in range(len(source)):
        target = [token for token in batch.targets[row].tolist() if token != IGNORE]
        assert target.pop() == END
        found.append((tuple(source[row][is_source[row]].tolist()), tuple(target)))
    return found


def test_one_batch_written_out() -> None:
    batch = source_of(InMemory([(2, 1), (3, 2)])).batch(0)
    source, is_source, target_in = batch.inputs
    assert source.tolist() == [[2, 3, 0], [5, 6, 7]]
    assert is_source.tolist() == [[True, True, False], [True, True, True]]
    assert target_in.tolist() == [[1, 4, 0], [1, 8, 9]]
    assert batch.targets.tolist() == [[4, 0, IGNORE], [8, 9, 0]]
    assert (batch.position, batch.next_position, batch.target_count) == (0, 1, 5)


def test_one_batch_of_a_decoder_written_out() -> None:
    batch = source_of(InMemory([(2, 1), (1, 4)]), "decoder-only").batch(0)
    (tokens,) = batch.inputs
    assert tokens.tolist() == [[2, 3, 0, 4, 0, 0], [5, 0, 6, 7, 8, 9]]
    assert batch.targets.tolist() == [[IGNORE, IGNORE, 4, 0, IGNORE, IGNORE], [IGNORE, 6, 7, 8, 9, 0]]
    assert batch.target_count == 7


@given(LENGTHS, st.integers(1, 60), st.integers(0, 4), st.integers(0, 2**63))
def test_in_each_epoch_every_pair_is_in_exactly_one_batch(
    lengths: list[tuple[int, int]], batch_tokens: int, epoch: int, seed: int
) -> None:
    pairs = InMemory(lengths)
    source = source_of(pairs, batch_tokens=batch_tokens, seed=seed)
    first = epoch * source.batches_per_epoch
    batches = [source.batch(first + number) for number in range(source.batches_per_epoch)]
    assert Counter(row for batch in batches for row in told(batch)) == Counter(pairs.rows())
    assert source.epochs(first) == epoch


@given(LENGTHS, st.integers(1, 60), st.integers(0, 200))
def test_a_decoder_sees_the_same_pairs_in_one_sequence(
    lengths: list[tuple[int, int]], batch_tokens: int, position: int
) -> None:
    pairs = InMemory(lengths)
    batch = source_of(pairs, "decoder-only", batch_tokens).batch(position)
    (tokens,) = batch.inputs
    for row, target in zip(tokens.tolist(), batch.targets.tolist(), strict=True):
        place = row.index(END)
        wanted = [token for token in target if token != IGNORE]
        assert (tuple(row[:place]), tuple(wanted[:-1])) in pairs.rows()
        assert wanted[-1] == END
        # Each target is the token that comes next, and the first is asked for where the separator stands.
        assert target[:place] == [IGNORE] * place
        assert target[place : place + len(wanted)] == wanted
        assert row[place + 1 : place + len(wanted)] == wanted[:-1]
        assert set(row[place + len(wanted) :]) <= {END}


@given(LENGTHS, st.sampled_from(LAYOUTS), st.integers(1, 60), st.integers(0, 200))
def test_targets_are_counted_and_shaped_as_the_network_will_answer(
    lengths: list[tuple[int, int]], layout: Layout, batch_tokens: int, position: int
) -> None:
    batch = source_of(InMemory(lengths), layout, batch_tokens).batch(position)
    assert batch.inputs[-1].shape == batch.targets.shape
    assert batch.target_count == int((batch.targets != IGNORE).sum())
    assert all(tensor.is_contiguous() for tensor in (*batch.inputs, batch.targets))
    assert {batch.inputs[0].dtype, batch.inputs[-1].dtype, batch.targets.dtype} == {torch.int64}
    assert (batch.targets[:, -1] != IGNORE).any(), "no row needs the last column"


@given(LENGTHS, st.sampled_from(LAYOUTS), st.integers(0, 300), st.integers(0, 3))
def test_a_batch_depends_on_seed_and_position_alone(
    lengths: list[tuple[int, int]], layout: Layout, position: int, seed: int
) -> None:
    pairs = InMemory(lengths)
    fresh, used = source_of(pairs, layout, seed=seed), source_of(pairs, layout, seed=seed)
    for other in (90, 0, 777, position + 1):
        used.batch(other)
    expected, found = fresh.batch(position), used.batch(position)
    assert torch.equal(expected.targets, found.targets)
    assert all(torch.equal(one, other) for one, other in zip(expected.inputs, found.inputs, strict=True))


def lognormal(count: int = 3000) -> InMemory:
    """Lengths as of Multi30k: 13 tokens, give or take, and both sides alike."""
    random = np.random.default_rng(0)
    sources = np.clip(random.lognormal(2.5, 0.35, count), 3, 60).astype(int)
    targets = np.clip(sources + random.integers(-3, 4, count), 2, 60)
    return InMemory(list(zip(sources.tolist(), targets.tolist(), strict=True)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_batches_are_of_like_size_and_hold_little_padding(layout: Layout) -> None:
    source = source_of(lognormal(), layout, batch_tokens=1000)
    batches = [source.batch(number) for number in range(source.batches_per_epoch)]
    counts = [batch.target_count for batch in batches]
    assert 850 <= min(counts) and max(counts) <= 1100
    places = sum(tensor.numel() for batch in batches for tensor in batch.inputs if tensor.dtype == torch.int64)
    tokens = sum(len(a) + len(b) + 1 for a, b in lognormal().rows())
    assert tokens / places > 0.85


def test_pairs_meet_others_in_every_epoch_and_with_every_seed() -> None:
    pairs = lognormal(600)
    source = source_of(pairs, batch_tokens=500)
    per_epoch = source.batches_per_epoch

    def company(source: PairBatches, epoch: int) -> list[frozenset[object]]:
        return [frozenset(told(source.batch(epoch * per_epoch + number))) for number in range(per_epoch)]

    epochs = [company(source, epoch) for epoch in range(3)]
    assert len({batch for epoch in epochs for batch in epoch}) == 3 * per_epoch
    assert company(source_of(pairs, batch_tokens=500, seed=1), 0) != epochs[0]


def test_the_order_is_the_same_on_every_machine() -> None:
    # Written down from the first run: a change would break the resuming of runs that others have on their disks.
    source = source_of(InMemory([(number % 7 + 1, number % 5 + 1) for number in range(30)]), batch_tokens=25, seed=3)
    assert [source.batch(number).inputs[0][0, 0].item() for number in range(6)] == [66, 98, 200, 4, 171, 8]


def test_sources_far_longer_than_their_targets_do_not_make_giant_batches() -> None:
    batch = source_of(InMemory([(1000, 1)] * 100), batch_tokens=1000).batch(0)
    assert batch.inputs[0].shape[0] <= 3


def test_no_pairs_are_refused() -> None:
    with pytest.raises(SourceError, match="no pairs"):
        source_of(InMemory([]))
