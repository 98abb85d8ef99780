"""Rows of a table → batches, a pure function of (seed, position): each epoch in its own seeded order."""

import numpy as np
import torch
from numpy.typing import NDArray

from atinuke.data.batches.batch import Batch
from atinuke.data.tables import Table

KEPT_EPOCHS = 2  # a batch can reach over an edge between epochs


class TableBatches:
    """All batches of a run, by the number of rows consumed before each.

    The network is called with (numbers (B, n) float32,); `targets` (B,) are ids of classes (int64) or numbers
    (float32). A batch never holds more rows than the table has.
    """

    def __init__(self, table: Table, *, batch_rows: int, seed: int, device: torch.device | str = "cpu"):
        self._table = table
        self._seed = seed
        self._device = torch.device(device)
        self._orders: dict[int, NDArray[np.int64]] = {}
        self.batch_rows = min(batch_rows, len(table))

    def epochs(self, position: int) -> float:
        """How often all rows have been seen before `position`."""
        return position / len(self._table)

    def batch(self, position: int) -> Batch:
        """The `batch_rows` rows from `position` on."""
        numbers, places = np.divmod(np.arange(position, position + self.batch_rows), len(self._table))
        epochs = range(int(numbers[0]), int(numbers[-1]) + 1)
        rows = np.concatenate([self._order(number)[places[numbers == number]] for number in epochs])
        inputs, targets = torch.from_numpy(self._table.numbers[rows]), torch.from_numpy(self._table.labels[rows])
        return Batch((inputs,), targets, position, position + self.batch_rows, len(rows)).to(self._device)

    def _order(self, number: int) -> NDArray[np.int64]:
        if number not in self._orders:
            # Random bits and a stable sort: numpy promises the bits of Philox for ever, but not `permutation`.
            bits = np.random.Philox(key=np.array([self._seed % 2**64, number], dtype=np.uint64))
            self._orders[number] = np.argsort(bits.random_raw(len(self._table)), kind="stable")
            while len(self._orders) > KEPT_EPOCHS:
                del self._orders[next(iter(self._orders))]
        return self._orders[number]
