"""Dropout (Srivastava et al. 2014), fast on a CPU, and the two places inside a layer where small data needs it.

Vaswani et al. 2017, §5.4, drop only what a sublayer gives; their own code, and torch's, drop attention weights and
hidden activations as well.
"""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from atinuke.models.layers.attention import Mask, causal_mask, fast_attention

LEVELS = 256


class Dropout(nn.Dropout):
    """`torch.nn.Dropout`; on a CPU one random byte decides for each number, which takes a fourth of torch's time.

    So there the share is a multiple of 1/256: 0.1 becomes 26/256. What is kept is divided by exactly the kept share.
    """

    def forward(self, x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        """x with a part of its numbers at zero while training, the others larger by as much."""
        dropped = round(self.p * LEVELS)
        if not self.training or x.device.type != "cpu" or not 0 < dropped < LEVELS:
            return super().forward(x)
        return _DropBytes.apply(x, dropped)  # type: ignore[no-untyped-call]


class _DropBytes(torch.autograd.Function):
    """Zero where a random byte is below `dropped`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, dropped: int) -> Tensor:
        words = torch.randint(-(2**63), 2**63 - 1, ((x.numel() + 7) // 8,))  # eight bytes each
        keep = words.view(torch.uint8)[: x.numel()].view(x.shape) >= dropped
        factors = keep.to(x.dtype).mul_(LEVELS / (LEVELS - dropped))
        ctx.save_for_backward(factors)
        return x * factors

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (factors,) = ctx.saved_tensors
        return gradient * factors, None


class DropWeights(nn.Module):
    """An `AttentionFn` that forgets a part of the attention weights while training, and is the fast one otherwise.

    Keys and values have as many heads as queries.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.dropout = Dropout(share)

    def forward(
        self,
        query: Float[Tensor, "B H T E"],
        key: Float[Tensor, "B H S E"],
        value: Float[Tensor, "B H S E"],
        mask: Mask = "causal",
    ) -> Float[Tensor, "B H T E"]:
        """dropout(softmax(q kᵀ / √E)) v."""
        if not self.training:
            return fast_attention(query, key, value, mask)
        if isinstance(mask, str):
            mask = causal_mask(query.shape[2], key.shape[2], query.device) if mask == "causal" else mask
        scores = query * query.shape[-1] ** -0.5 @ key.transpose(-1, -2)
        if isinstance(mask, Tensor):
            # the lowest number, not −∞: a row of −∞ has no softmax, and its gradient would be NaN
            scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
        weights = self.dropout(scores.softmax(dim=-1))
        return weights @ value


class DropAfter(nn.Module):
    """An activation of which a part is forgotten while training."""

    def __init__(self, activation: Callable[[Tensor], Tensor], share: float) -> None:
        super().__init__()
        self.activation = activation
        self.dropout = Dropout(share)

    def forward(self, x: Float[Tensor, "*batch F"]) -> Float[Tensor, "*batch F"]:
        """dropout(activation(x))."""
        return self.dropout(self.activation(x))
