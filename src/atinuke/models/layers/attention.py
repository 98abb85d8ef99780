"""Multi-head self-attention: the readable equation, the fast kernel, and the module that projects and caches."""

from collections.abc import Callable
from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from atinuke.models.layers.cache import LayerCache
from atinuke.models.layers.norm import PlainLayerNorm
from atinuke.models.layers.positions import Positions

AttentionFn = Callable[[Tensor, Tensor, Tensor], Tensor]


def causal_mask(length: int, total: int, device: torch.device | None = None) -> Bool[Tensor, "T S"]:
    """True where a query may attend: the last `length` of `total` positions, each to itself and what came before."""
    return torch.ones(length, total, dtype=torch.bool, device=device).tril(total - length)


def reference_attention(
    query: Float[Tensor, "B H T E"], key: Float[Tensor, "B H S E"], value: Float[Tensor, "B H S E"]
) -> Float[Tensor, "B H T E"]:
    """Causal scaled dot-product attention as it is written: Vaswani et al. 2017, eq. 1.

    The queries are the last T of the S positions.
    """
    scores = torch.einsum("bhte,bhse->bhts", query, key) / query.shape[-1] ** 0.5
    may_attend = causal_mask(query.shape[2], key.shape[2], query.device)
    weights = scores.masked_fill(~may_attend, -torch.inf).softmax(dim=-1)
    return torch.einsum("bhts,bhse->bhte", weights, value)


def sdpa_attention(
    query: Float[Tensor, "B H T E"], key: Float[Tensor, "B H S E"], value: Float[Tensor, "B H S E"]
) -> Float[Tensor, "B H T E"]:
    """The same through torch's fused kernel."""
    length, total = query.shape[2], key.shape[2]
    if length == total:
        return F.scaled_dot_product_attention(query, key, value, is_causal=True)
    if length == 1:  # the newest token sees everything: no mask to build
        return F.scaled_dot_product_attention(query, key, value)
    mask = causal_mask(length, total, query.device)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=mask)


def batched_attention(
    query: Float[Tensor, "B H T E"], key: Float[Tensor, "B H S E"], value: Float[Tensor, "B H S E"]
) -> Float[Tensor, "B H T E"]:
    """The same as two batched matrix products with all weights held: O(T·S) memory."""
    batch, heads, length, width = query.shape
    total = key.shape[2]
    scores = torch.baddbmm(
        _added_mask(length, total, query.dtype, query.device),
        query.reshape(batch * heads, length, width),
        key.reshape(batch * heads, total, width).transpose(1, 2),
        alpha=width**-0.5,
    )
    gathered = torch.bmm(scores.softmax(dim=-1), value.reshape(batch * heads, total, width))
    return gathered.view(batch, heads, length, width)


def fast_attention(
    query: Float[Tensor, "B H T E"], key: Float[Tensor, "B H S E"], value: Float[Tensor, "B H S E"]
) -> Float[Tensor, "B H T E"]:
    """Whichever is faster here: torch's fused kernel, but not for bfloat16 on a CPU.

    There, forward and backward of the fused kernel took 5.6 ms against 1.5 ms at (8, 4, 128, 32): docs/lab.md.
    """
    is_slow_fused = query.dtype == torch.bfloat16 and query.device.type == "cpu"
    return (batched_attention if is_slow_fused else sdpa_attention)(query, key, value)


BACKENDS: dict[str, AttentionFn] = {
    "reference": reference_attention,
    "sdpa": sdpa_attention,
    "batched": batched_attention,
    "fast": fast_attention,
}


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # kept for later calls, and training cannot use a tensor of inference mode
def _added_mask(length: int, total: int, dtype: torch.dtype, device: torch.device) -> Float[Tensor, "T S"]:
    may_attend = causal_mask(length, total, device)
    return torch.zeros(length, total, dtype=dtype, device=device).masked_fill_(~may_attend, -torch.inf)


class CausalSelfAttention(nn.Module):
    """H of Figure 2, arXiv:2401.16736: queries, keys and values from one fused projection, then one output projection.

    `key_dim` is the total width of the queries, and of the keys, and of the values, over all heads. `positions`
    are this layer's P_l. With `qk_norm`, queries and keys are normalised before they meet (Henry et al. 2020,
    arXiv:2010.04245): their products stay bounded at learning rates that would otherwise diverge.
    """

    def __init__(
        self, model_dim: int, key_dim: int, head_count: int, positions: Positions, *, qk_norm: bool = False
    ) -> None:
        super().__init__()
        self.head_count = head_count
        self.head_dim = key_dim // head_count
        self.positions = positions
        self.query_key_norm: nn.Module = PlainLayerNorm() if qk_norm else nn.Identity()
        self.project_qkv = nn.Linear(model_dim, 3 * key_dim, bias=False)
        self.project_out = nn.Linear(key_dim, model_dim, bias=False)
        self.attend = BACKENDS["fast"]

    def forward(self, x: Float[Tensor, "B T D"], cache: LayerCache | None = None) -> Float[Tensor, "B T D"]:
        """What each position gathers from itself and the positions before it."""
        batch, length, _ = x.shape
        start = cache.length if cache is not None else 0
        qkv = self.project_qkv(self.positions.add(x, start)).view(batch, length, 3, self.head_count, self.head_dim)
        query, key, value = qkv.permute(2, 0, 3, 1, 4)  # 3 × (B, H, T, E)
        query = self.positions.turn(self.query_key_norm(query), start)
        key = self.positions.turn(self.query_key_norm(key), start)
        if cache is not None:
            key, value = cache.extend(key, value)
        gathered = self.attend(query, key, value)
        return self.project_out(gathered.transpose(1, 2).reshape(batch, length, -1))

    def new_cache(self, batch: int, capacity: int) -> LayerCache:
        """An empty cache for `batch` sequences of at most `capacity` tokens."""
        return LayerCache(batch, self.head_count, self.head_dim, capacity, self.project_qkv.weight)
