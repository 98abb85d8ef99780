"""Rows of one or several tasks → batches of rows of like length. A pure function of (seed, position).

In each epoch the rows of a task come in a seeded order, are sorted by length in stretches of `SORTED_BATCHES` batches,
and cut into batches of one task each, which come in a seeded order, those of all tasks mixed. So each row is in exactly
one batch of an epoch, and tasks are seen in proportion to their rows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atinuke.data.batches.batch import IGNORE, Batch
from atinuke.errors import SourceError
from atinuke.tasks.task import Row

SORTED_BATCHES = 50
KEPT_EPOCHS = 2
NO_MARK = -1


@dataclass(frozen=True)
class TaskRows:
    """The rows of a task, and how many make a batch."""

    rows: Sequence[Row]
    batch_rows: int
    group: bool = False
    """Whether the rows of one example make a batch of their own."""


class TaskBatches:
    """All batches of a run, by the number of batches consumed before each.

    The network is called with (tokens (B, T), segments (B, T), is_token (B, T), name of the task, *marks); `targets` is
    a tuple of tensors, as the rows have them. What a step counts is the tokens read.
    """

    def __init__(self, tasks: Mapping[str, TaskRows], *, seed: int, device: torch.device | str = "cpu"):
        for name, given in tasks.items():
            if not given.rows:
                raise SourceError(f"There is no row of {name} to learn from; expected one example at least.")
        self._tasks = dict(tasks)
        self._seed = seed
        self._device = torch.device(device)
        self._groups = {name: _groups(given.rows) for name, given in tasks.items() if given.group}
        self._epochs: dict[int, list[tuple[str, NDArray[np.int64]]]] = {}
        self.batches_per_epoch = len(self._epoch(0))

    def epochs(self, position: int) -> float:
        """How often all rows have been seen before `position`."""
        return position / self.batches_per_epoch

    def batch(self, position: int) -> Batch:
        """The batch after `position` others."""
        number, place = divmod(position, self.batches_per_epoch)
        name, numbers = self._epoch(number)[place]
        rows = [self._tasks[name].rows[number] for number in numbers]
        return batch_of(rows, name, position).to(self._device)

    def _epoch(self, number: int) -> list[tuple[str, NDArray[np.int64]]]:
        if number not in self._epochs:
            # Random bits and a stable sort: numpy promises the bits of Philox for ever, but not `permutation`.
            bits = np.random.Philox(key=np.array([self._seed % 2**64, number], dtype=np.uint64))
            batches = [(name, chosen) for name in self._tasks for chosen in self._batches(name, bits)]
            order = np.argsort(bits.random_raw(len(batches)), kind="stable")
            self._epochs[number] = [batches[place] for place in order]
            while len(self._epochs) > KEPT_EPOCHS:
                del self._epochs[next(iter(self._epochs))]
        return self._epochs[number]

    def _batches(self, name: str, bits: np.random.Philox) -> list[NDArray[np.int64]]:
        given = self._tasks[name]
        if given.group:
            return self._groups[name]
        order = np.argsort(bits.random_raw(len(given.rows)), kind="stable")
        lengths = np.array([len(given.rows[number]) for number in order])
        batches = []
        stretch = SORTED_BATCHES * given.batch_rows
        for start in range(0, len(order), stretch):
            part = slice(start, start + stretch)
            by_length = order[part][np.argsort(lengths[part], kind="stable")]
            batches += [by_length[at : at + given.batch_rows] for at in range(0, len(by_length), given.batch_rows)]
        return batches


def batch_of(rows: Sequence[Row], name: str, position: int = 0) -> Batch:
    """One batch of rows of the task `name`, padded to the longest."""
    tokens = _stacked([row.ids for row in rows], 0)
    segments = _stacked([row.segments for row in rows], 0)
    lengths = torch.tensor([len(row) for row in rows])
    is_token = torch.arange(tokens.shape[1]) < lengths[:, None]
    marks = [_stacked(list(each), NO_MARK) for each in zip(*(row.marks for row in rows), strict=True)]
    targets = tuple(_stacked(list(each), IGNORE) for each in zip(*(row.targets for row in rows), strict=True))
    inputs = (tokens, segments, is_token, name, *marks)
    return Batch(inputs, targets, position, position + 1, int(lengths.sum()))


def _groups(rows: Sequence[Row]) -> list[NDArray[np.int64]]:
    """The numbers of the rows of each example, in the order of the rows."""
    found: dict[int, list[int]] = {}
    for number, row in enumerate(rows):
        found.setdefault(row.example, []).append(number)
    return [np.array(numbers, dtype=np.int64) for numbers in found.values()]


def _stacked(arrays: Sequence[NDArray[Any]], fill: int) -> Tensor:
    """(B, …): padded along the first axis; nan instead of `fill` among numbers with fractions."""
    first = arrays[0]
    if first.ndim == 0:
        return torch.from_numpy(np.stack(arrays))
    longest = max(len(array) for array in arrays)
    value = np.nan if first.dtype.kind == "f" else fill
    stacked = np.full((len(arrays), longest, *first.shape[1:]), value, dtype=first.dtype)
    for number, array in enumerate(arrays):
        stacked[number, : len(array)] = array
    return torch.from_numpy(stacked)
