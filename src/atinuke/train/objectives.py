"""What a network is trained to do: an objective turns logits and targets into one number."""

from collections.abc import Callable

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

IGNORE = -100
"""The target of a position that does not count."""

Objective = Callable[[Tensor, Tensor], Tensor]


def next_token(logits: Float[Tensor, "B T V"], targets: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
    """Mean nats per target. Float32 throughout: bfloat16 sums lose the tail of a large vocabulary."""
    return F.cross_entropy(logits.float().flatten(0, 1), targets.flatten(), ignore_index=IGNORE)
