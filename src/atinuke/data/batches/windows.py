"""Token shards → batches. A batch is a pure function of (seed, position), so resuming is exact.

In epoch e, windows of context + 1 tokens start at offset_e + i·context and are visited in a seeded order. The
tokens are read as a ring: the window that would run over the end goes on at the beginning. So every token is a target
exactly once per epoch, but for a remainder shorter than one context; another one each epoch, as offset_e moves.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from atinuke.data.batches.batch import Batch
from atinuke.errors import SourceError

KEPT_EPOCHS = 2  # a batch can reach over an edge between epochs


class Tokens(Protocol):
    """What is needed of `TokenShards`."""

    @property
    def total_tokens(self) -> int: ...
    def at(self, places: NDArray[np.int64], /) -> NDArray[np.int64]: ...


@dataclass(frozen=True)
class _Epoch:
    offset: int
    order: NDArray[np.uint32]


class WindowBatches:
    """All batches of a run, by the number of windows consumed before each."""

    def __init__(self, shards: Tokens, *, context: int, batch_seqs: int, seed: int, device: torch.device | str = "cpu"):
        if shards.total_tokens < context + 1:
            raise SourceError(
                f"The training text has {shards.total_tokens:,} tokens; one window of context {context:,} needs "
                f"{context + 1:,}. Give more text, or a shorter context."
            )
        self._shards = shards
        self._context = context
        self.batch_seqs = batch_seqs
        self._seed = seed
        self._device = torch.device(device)
        self._epochs: dict[int, _Epoch] = {}
        self._steps = np.arange(context + 1)
        self.windows_per_epoch = shards.total_tokens // context

    def batch(self, position: int) -> Batch:
        """The `batch_seqs` windows from `position` on."""
        places = self._starts(position)[:, None] + self._steps  # (B, T + 1)
        block = self._shards.at(places % self._shards.total_tokens)
        tokens = torch.from_numpy(np.ascontiguousarray(block[:, :-1]))
        targets = torch.from_numpy(np.ascontiguousarray(block[:, 1:]))
        return Batch((tokens,), targets, position, position + self.batch_seqs, targets.numel()).to(self._device)

    def _starts(self, position: int) -> NDArray[np.int64]:
        windows = np.arange(position, position + self.batch_seqs)
        numbers, places = np.divmod(windows, self.windows_per_epoch)
        starts = np.empty(self.batch_seqs, dtype=np.int64)
        for number in range(int(numbers[0]), int(numbers[-1]) + 1):
            epoch = self._epoch(number)
            is_here = numbers == number
            starts[is_here] = epoch.offset + epoch.order[places[is_here]].astype(np.int64) * self._context
        return starts

    def _epoch(self, number: int) -> _Epoch:
        if number not in self._epochs:
            # Random bits and a stable sort: numpy promises the bits of Philox for ever, but not `permutation`.
            bits = np.random.Philox(key=np.array([self._seed % 2**64, number], dtype=np.uint64))
            offset = int(bits.random_raw()) % self._context
            order = np.argsort(bits.random_raw(self.windows_per_epoch), kind="stable").astype(np.uint32)
            self._epochs[number] = _Epoch(offset, order)
            while len(self._epochs) > KEPT_EPOCHS:
                del self._epochs[next(iter(self._epochs))]
        return self._epochs[number]
