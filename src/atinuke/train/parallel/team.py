"""What several processes do together in a step: each computes the gradient of its rows, and all update alike."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from atinuke.train.parallel.ranks import Ranks


class RankTeam:
    """The steps of one process among several.

    torch's DDP and FSDP2 take the mean of the gradients of all processes; the loss of each is the part that its rows
    have in the whole, so it is multiplied by their number first.
    """

    def __init__(
        self,
        ranks: Ranks,
        seed: int,
        clip: Callable[[list[Tensor], float | None], Tensor],
        hold: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        """`hold`: within it, gradients add up here and are not sent to the others yet."""
        self._ranks = ranks
        self._seed = seed
        self._hold = hold
        self.clip = clip

    def begin_step(self, step: int) -> None:
        """Dropout follows from seed, step and rows alone, so that a run that goes on draws what it would have drawn."""
        torch.manual_seed(((self._seed * 1_000_003 + step) * 65_537 + self._ranks.data_rank) % 2**63)

    def part(self, *, is_last: bool) -> AbstractContextManager[None]:
        """Gradients are sent with the last part."""
        return nullcontext() if is_last else self._hold()

    def backward(self, loss: Tensor) -> None:
        """Adds to the gradients of the step."""
        (loss * self._ranks.data_size).backward()  # type: ignore[no-untyped-call]

    def sum(self, loss: Tensor) -> Tensor:
        """Processes that share matrices have the same rows, which count once."""
        return self._ranks.sum(loss.clone()) / self._ranks.tensor
