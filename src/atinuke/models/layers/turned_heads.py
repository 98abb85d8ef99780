"""Heads for training on a CPU: queries, keys and values out of one projection, ready to meet, in one function.

The readable twin is what `SelfAttention` does otherwise: split, normalise, turn. There each step is a pass over memory
with a gradient of its own, and a third of a narrow network's time beside its matrix products; here the gradient is
written out and put together in place (docs/lab.md, Speed).
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd.function import once_differentiable

from atinuke.models.layers.norm import EPSILON

Three = tuple[Tensor, Tensor, Tensor]


def turned_heads(
    projected: Float[Tensor, "B T three_HE"],
    head_count: int,
    cosine: Float[Tensor, "T E"],
    sine: Float[Tensor, "T E"],
) -> Three:
    """Queries and keys, each normalised over its head and turned, and values; all (B, H, T, E).

    `cosine` and `sine` have a column for each component, those of the first half of `sine` being negative.
    """
    heads: Three = _TurnedHeads.apply(  # type: ignore[no-untyped-call]
        projected, head_count, cosine, sine
    )
    return heads


class _TurnedHeads(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, projected: Tensor, head_count: int, cosine: Tensor, sine: Tensor) -> Three:
        batch, length, _ = projected.shape
        heads = projected.view(batch, length, 3, head_count, -1).permute(2, 0, 3, 1, 4).contiguous()  # (3, B, H, T, E)
        both, value = heads[:2], heads[2]
        normalised, mean, scale = torch.native_layer_norm(both, (both.shape[-1],), None, None, EPSILON)
        ctx.save_for_backward(both, mean, scale, cosine, sine)
        turned = _turn(normalised, cosine, sine)
        return turned[0], turned[1], value

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, to_query: Tensor, to_key: Tensor, to_value: Tensor) -> tuple[Tensor, None, None, None]:
        both, mean, scale, cosine, sine = ctx.saved_tensors
        to_both = _turn(torch.stack((to_query, to_key)), cosine, -sine)  # back by the same angles
        to_both = torch.ops.aten.native_layer_norm_backward(
            to_both, both, (both.shape[-1],), mean, scale, None, None, (True, False, False)
        )[0]
        _, batch, heads, length, width = both.shape
        gradient = both.new_empty(batch, length, 3, heads, width)
        gradient[:, :, :2] = to_both.permute(1, 3, 0, 2, 4)
        gradient[:, :, 2] = to_value.transpose(1, 2)
        return gradient.flatten(2), None, None, None


def _turn(x: Float[Tensor, "*heads T E"], cosine: Float[Tensor, "T E"], sine: Float[Tensor, "T E"]) -> Tensor:
    """x · cosine + (its halves exchanged) · sine: whole rows at once, where halves would be strided."""
    first, second = x.chunk(2, dim=-1)
    return torch.cat((second, first), dim=-1).mul_(sine).addcmul_(x, cosine)
