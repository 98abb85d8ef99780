"""The one form of a batch: what the network is called with, and what it should have said."""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
from itertools import pairwise
from typing import Any, Protocol

import torch
from torch import Tensor

IGNORE = -100
"""The target of a position that does not count."""


@dataclass(frozen=True)
class Batch:
    """Rows to learn from in one step: `network(*inputs)` is to be judged by `targets`."""

    inputs: tuple[Any, ...]
    """Tensors, None, words, or dataclasses of those."""
    targets: Any
    """A tensor or a tuple of tensors; a position that does not count holds `IGNORE`."""
    position: int
    """Where in the data this batch begins."""
    next_position: int
    """Where the next one begins."""
    target_count: int
    """What a step adds to the tokens seen: the targets that count; where few of the tokens read are targets, as with
    masks, all that are read."""
    places_input: int | None = None
    """Which input holds places among the B·T instead of rows; the first of several targets then stands at them."""
    shares: tuple[float, ...] = ()
    """Of a part: how much of the targets of the whole batch it holds, for each kind of target; () for a whole one."""
    most_rows: int | None = None
    """Of a part: rows of the largest beside it, so that all who hold one can go on in equally many steps."""

    @property
    def row_count(self) -> int:
        """Sequences, pairs or examples."""
        return len(self.inputs[0])

    def parts(self, count: int) -> list["Batch"]:
        """The rows in `count` parts of like size, in their order; positions and `target_count` stay the whole's.

        The loss of the whole is the sum of the parts' losses, each kind of target times its share. A part for which no
        row is left holds the first one, with a share of nothing.
        """
        edges = [self.row_count * number // count for number in range(count + 1)]
        whole = _target_counts(self.targets)
        shares = self.shares or (1.0,) * len(whole)
        most_rows = -(-self.row_count // count)
        parts = []
        for start, stop in pairwise(edges):
            inputs, targets = self._rows(start, stop) if start < stop else self._rows(0, 1)
            held = _target_counts(targets) if start < stop else (0,) * len(whole)
            parted = tuple(
                share * own / every if every else 0.0 for share, own, every in zip(shares, held, whole, strict=True)
            )
            parts.append(replace(self, inputs=inputs, targets=targets, shares=parted, most_rows=most_rows))
        return parts

    def _rows(self, start: int, stop: int) -> tuple[tuple[Any, ...], Any]:
        """Inputs and targets of some of the rows."""

        def cut(tensor: Tensor) -> Tensor:
            return tensor[start:stop]

        if self.places_input is None:
            return _each_tensor(self.inputs, cut), _each_tensor(self.targets, cut)
        places, length = self.inputs[self.places_input], self.inputs[0].shape[1]
        is_here = (places >= start * length) & (places < stop * length)
        inputs = [_each_tensor(each, cut) for each in self.inputs]
        inputs[self.places_input] = places[is_here] - start * length
        if isinstance(self.targets, tuple):
            at_places, *others = self.targets
            return tuple(inputs), (at_places[is_here], *(cut(each) for each in others))
        return tuple(inputs), cut(self.targets)

    def to(self, device: torch.device) -> "Batch":
        """The same on `device`."""
        if device.type == "cpu":
            return self
        move = _mover(device)
        return replace(self, inputs=_each_tensor(self.inputs, move), targets=_each_tensor(self.targets, move))


def _target_counts(targets: Any) -> tuple[int, ...]:
    """How many count, of each kind of target."""
    kinds = targets if isinstance(targets, tuple) else (targets,)
    return tuple(each.numel() if each.is_floating_point() else int((each != IGNORE).sum()) for each in kinds)


class BatchSource(Protocol):
    """All batches of a run."""

    def batch(self, position: int) -> Batch:
        """The batch that begins at `position`, always the same one."""


def _mover(device: torch.device) -> Callable[[Tensor], Tensor]:
    def move(tensor: Tensor) -> Tensor:
        if device.type == "cuda":
            tensor = tensor.pin_memory()  # or the copy would wait for the device in spite of non_blocking
        return tensor.to(device, non_blocking=True)

    return move


def _each_tensor(value: Any, move: Callable[[Tensor], Tensor]) -> Any:
    if isinstance(value, Tensor):
        return move(value)
    if isinstance(value, tuple):
        return tuple(_each_tensor(each, move) for each in value)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{field.name: _each_tensor(getattr(value, field.name), move) for field in fields(value)})
    return value
