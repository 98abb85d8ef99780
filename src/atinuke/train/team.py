"""What the processes of a run do together in a step. Here: the one that is alone; several are in parallel/team.py."""

from contextlib import AbstractContextManager, nullcontext
from typing import Protocol

import torch
from torch import Tensor


class Team(Protocol):
    """The processes that make a step, each with its part of the rows."""

    def begin_step(self, step: int) -> None:
        """Called before each step."""

    def part(self, *, is_last: bool) -> AbstractContextManager[None]:
        """Around forward and backward of each micro-batch of this process."""

    def backward(self, loss: Tensor) -> None:
        """Adds the gradient of a part to that of the step."""

    def sum(self, loss: Tensor) -> Tensor:
        """The loss of the step, from what the parts of this process add to it."""

    def clip(self, gradients: list[Tensor], clip_norm: float | None) -> Tensor:
        """The norm of all gradients together; those are scaled down to `clip_norm` where it is above."""


class Alone:
    """One process with all rows."""

    def begin_step(self, step: int) -> None:
        """Nothing to prepare."""

    def part(self, *, is_last: bool) -> AbstractContextManager[None]:
        """Gradients add up by themselves."""
        return nullcontext()

    def backward(self, loss: Tensor) -> None:
        """Adds to `grad` of every parameter."""
        loss.backward()  # type: ignore[no-untyped-call]

    def sum(self, loss: Tensor) -> Tensor:
        """It is all here."""
        return loss

    def clip(self, gradients: list[Tensor], clip_norm: float | None) -> Tensor:
        """By torch's own functions, in place."""
        norm = torch.nn.utils.get_total_norm(gradients)
        if clip_norm is not None:
            torch._foreach_mul_(gradients, (clip_norm / (norm + 1e-6)).clamp(max=1.0))
        return norm
