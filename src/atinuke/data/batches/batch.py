"""The one form of a batch: what the network is called with, and what it should have said."""

from collections.abc import Callable
from dataclasses import dataclass, fields, is_dataclass, replace
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

    def to(self, device: torch.device) -> "Batch":
        """The same on `device`."""
        if device.type == "cpu":
            return self
        move = _mover(device)
        return replace(self, inputs=_each_tensor(self.inputs, move), targets=_each_tensor(self.targets, move))


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
