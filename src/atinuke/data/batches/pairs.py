"""Encoded pairs → batches of pairs of like length, padded to the longest. A pure function of (seed, position).

All pairs in the order of their lengths are cut once into batches of about as many target tokens. In each epoch that
order is disturbed by up to `NOISE_TOKENS`, so that a pair meets others, and the batches come in a seeded order. Thus
every epoch has the same number of batches and every pair is in exactly one of them. On the sentences of Multi30k
(German to English) nine in ten places hold a token, the others being padding.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from atinuke.data.batches.batch import IGNORE, Batch
from atinuke.data.pairs import Layout
from atinuke.errors import SourceError

__all__ = ["Encoded", "Layout", "PairBatches"]

NOISE_TOKENS = 2
KEPT_EPOCHS = 2


class Encoded(Protocol):
    """What is needed of `EncodedPairs`."""

    source_starts: NDArray[np.int64]
    target_starts: NDArray[np.int64]
    source_lengths: NDArray[np.int64]
    target_lengths: NDArray[np.int64]

    def __len__(self) -> int: ...
    def at(self, places: NDArray[np.int64], /) -> NDArray[np.int64]: ...


@dataclass(frozen=True)
class _Epoch:
    pairs: NDArray[np.int64]  # by (disturbed) length
    batches: NDArray[np.int64]  # the order in which the batches come


class PairBatches:
    """All batches of a run, by the number of batches consumed before each.

    encoder-decoder: the network is called with (source (B, S), is_source (B, S), target (B, T)), where the target
    begins with `start_id`; `targets` (B, T) are the same one place on, and end with `end_id`.

    decoder-only: it is called with (tokens (B, T),), each row being source, `end_id`, target; only what follows the
    `end_id` counts in `targets`: the target and its own `end_id`.
    """

    def __init__(
        self,
        pairs: Encoded,
        *,
        batch_tokens: int,
        seed: int,
        start_id: int,
        end_id: int,
        layout: Layout = "encoder-decoder",
        device: torch.device | str = "cpu",
    ):
        if not len(pairs):
            raise SourceError("There are no pairs to make batches of. Give some that fit the network's max_len.")
        self._pairs = pairs
        self._seed = seed
        self._start_id = start_id
        self._end_id = end_id
        self._layout = layout
        self._device = torch.device(device)
        self._epochs: dict[int, _Epoch] = {}
        self._lengths = (
            np.maximum(pairs.source_lengths, pairs.target_lengths)
            if layout == "encoder-decoder"
            else pairs.source_lengths + pairs.target_lengths
        )
        self._edges = self._cut(batch_tokens)
        self.batches_per_epoch = len(self._edges) - 1

    def epochs(self, position: int) -> float:
        """How often all pairs have been seen before `position`."""
        return position / self.batches_per_epoch

    def batch(self, position: int) -> Batch:
        """The batch after `position` others."""
        number, place = divmod(position, self.batches_per_epoch)
        epoch = self._epoch(number)
        slot = epoch.batches[place]
        rows = epoch.pairs[self._edges[slot] : self._edges[slot + 1]]
        make = self._apart if self._layout == "encoder-decoder" else self._joined
        inputs, targets = make(rows)
        count = int(self._pairs.target_lengths[rows].sum()) + len(rows)
        return Batch(inputs, targets, position, position + 1, count).to(self._device)

    def _cut(self, batch_tokens: int) -> NDArray[np.int64]:
        """Where, in the order of lengths, one batch ends and the next begins: about `batch_tokens` targets each."""
        # Targets count; but sources of many times their length would make a batch that no memory holds.
        costs = np.maximum(self._pairs.target_lengths + 1, self._pairs.source_lengths // 2)
        used = np.cumsum(costs[np.argsort(self._lengths, kind="stable")])
        batches = -(-int(used[-1]) // batch_tokens)
        numbers = (used - 1) * batches // used[-1]
        # unique: a pair that is longer than a batch leaves the next one empty.
        return np.unique(np.searchsorted(numbers, np.arange(batches + 1))).astype(np.int64)

    def _epoch(self, number: int) -> _Epoch:
        if number not in self._epochs:
            # Random bits and a stable sort: numpy promises the bits of Philox for ever, but not `permutation`.
            bits = np.random.Philox(key=np.array([self._seed % 2**64, number], dtype=np.uint64))
            noise = (bits.random_raw(len(self._pairs)) >> np.uint64(32)).astype(np.int64) * NOISE_TOKENS
            pairs = np.argsort((self._lengths << 32) + noise, kind="stable")  # length + noise, in 2^-32 of a token
            batches = np.argsort(bits.random_raw(self.batches_per_epoch), kind="stable")
            self._epochs[number] = _Epoch(pairs, batches)
            while len(self._epochs) > KEPT_EPOCHS:
                del self._epochs[next(iter(self._epochs))]
        return self._epochs[number]

    def _padded(
        self, starts: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """(tokens, is_token) of runs of tokens, in rows as long as the longest; padding holds `end_id`."""
        steps = np.arange(lengths.max(initial=0))
        is_token = steps < lengths[:, None]  # (B, T)
        tokens = np.full(is_token.shape, self._end_id, dtype=np.int64)
        tokens[is_token] = self._pairs.at((starts[:, None] + steps)[is_token])
        return tokens, is_token

    def _apart(self, rows: NDArray[np.int64]) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        pairs = self._pairs
        source, is_source = self._padded(pairs.source_starts[rows], pairs.source_lengths[rows])
        target, is_target = self._padded(pairs.target_starts[rows], pairs.target_lengths[rows])
        start = np.full((len(rows), 1), self._start_id, dtype=np.int64)
        targets = np.where(is_target, target, IGNORE)
        targets = np.concatenate([targets, np.full((len(rows), 1), IGNORE, dtype=np.int64)], axis=1)
        targets[np.arange(len(rows)), pairs.target_lengths[rows]] = self._end_id
        inputs = (source, is_source, np.concatenate([start, target], axis=1))
        return tuple(map(torch.from_numpy, inputs)), torch.from_numpy(targets)

    def _joined(self, rows: NDArray[np.int64]) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        pairs = self._pairs
        sources, targets = pairs.source_lengths[rows, None], pairs.target_lengths[rows, None]
        steps = np.arange(int((sources + targets).max()) + 2)
        after = steps - sources - 1  # of each place, how far into the target it is; −1: the separator
        is_source, is_target = steps < sources, (after >= 0) & (after < targets)
        line = np.full(is_source.shape, self._end_id, dtype=np.int64)
        line[is_source] = pairs.at((pairs.source_starts[rows, None] + steps)[is_source])
        line[is_target] = pairs.at((pairs.target_starts[rows, None] + after)[is_target])
        counts = (after >= 0) & (after <= targets)
        wanted = np.where(counts, line, IGNORE)
        tokens, ahead = np.ascontiguousarray(line[:, :-1]), np.ascontiguousarray(wanted[:, 1:])
        return (torch.from_numpy(tokens),), torch.from_numpy(ahead)
