"""Multi-head self-attention: the readable equation, the fast kernels, and the module that projects and caches."""

from collections.abc import Callable
from functools import lru_cache
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from atinuke.models.layers.cache import LayerCache
from atinuke.models.layers.norm import PlainLayerNorm
from atinuke.models.layers.positions import Positions, RotaryPositions
from atinuke.models.layers.turned_heads import turned_heads

Mask = Literal["causal", "full"] | Bool[Tensor, "..."]
"""Who sees whom. "causal": the queries are the last T of the S positions, and each sees itself and what came before.
"full": all see all. A tensor: broadcastable to (B, H, T, S), True where a query may attend. A query that may attend
nowhere (padding, for instance) gathers zeros."""

AttentionFn = Callable[[Tensor, Tensor, Tensor, Mask], Tensor]
"""(query, key, value, mask) → what each query gathers. Keys and values may have fewer heads than queries: K, a divisor
of H. Consecutive groups of H/K query heads then share one (Ainslie et al. 2023, arXiv:2305.13245)."""


def causal_mask(length: int, total: int, device: torch.device | None = None) -> Bool[Tensor, "T S"]:
    """True where a query may attend: the last `length` of `total` positions, each to itself and what came before."""
    return torch.ones(length, total, dtype=torch.bool, device=device).tril(total - length)


def reference_attention(
    query: Float[Tensor, "B H T E"],
    key: Float[Tensor, "B K S E"],
    value: Float[Tensor, "B K S E"],
    mask: Mask = "causal",
) -> Float[Tensor, "B H T E"]:
    """Scaled dot-product attention as it is written: Vaswani et al. 2017, eq. 1."""
    group = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(group, dim=1), value.repeat_interleave(group, dim=1)
    scores = torch.einsum("bhte,bhse->bhts", query, key) / query.shape[-1] ** 0.5
    may_attend = _written_out(mask, query.shape[2], key.shape[2], query.device)
    # the lowest number, not −∞: a row of −∞ has no softmax, and its gradient would be NaN
    weights = scores.masked_fill(~may_attend, torch.finfo(scores.dtype).min).softmax(dim=-1) * may_attend
    return torch.einsum("bhts,bhse->bhte", weights, value)


def sdpa_attention(
    query: Float[Tensor, "B H T E"],
    key: Float[Tensor, "B K S E"],
    value: Float[Tensor, "B K S E"],
    mask: Mask = "causal",
) -> Float[Tensor, "B H T E"]:
    """The same through torch's fused kernel."""
    length, total, is_grouped = query.shape[2], key.shape[2], query.shape[1] != key.shape[1]
    if isinstance(mask, Tensor):
        return F.scaled_dot_product_attention(query, key, value, attn_mask=mask, enable_gqa=is_grouped)
    if length == 1:  # the newest token sees everything: no mask to build, and a group's queries can stand in its place
        grouped = query.reshape(query.shape[0], key.shape[1], -1, query.shape[3])
        return F.scaled_dot_product_attention(grouped, key, value).view(query.shape)
    if mask == "full" or length == total:
        is_causal = mask == "causal"
        return F.scaled_dot_product_attention(query, key, value, is_causal=is_causal, enable_gqa=is_grouped)
    may_attend = causal_mask(length, total, query.device)
    return F.scaled_dot_product_attention(query, key, value, attn_mask=may_attend, enable_gqa=is_grouped)


def batched_attention(
    query: Float[Tensor, "B H T E"],
    key: Float[Tensor, "B K S E"],
    value: Float[Tensor, "B K S E"],
    mask: Mask = "causal",
) -> Float[Tensor, "B H T E"]:
    """The same as two batched matrix products with all weights held: O(T·S) memory.

    The queries of a group stand below each other, so that no key and no value is repeated.
    """
    batch, heads, length, width = query.shape
    kv_heads, total = key.shape[1:3]
    products, group = batch * kv_heads, heads // kv_heads
    queries = query.reshape(products, group * length, width)
    keys = key.reshape(products, total, width).transpose(1, 2)
    values = value.reshape(products, total, width)
    if mask == "causal":
        added = _added_mask(length, total, group, query.dtype, query.device)
        weights = torch.baddbmm(added, queries, keys, alpha=width**-0.5).softmax(dim=-1)
    elif mask == "full":
        weights = torch.bmm(queries * width**-0.5, keys).softmax(dim=-1)
    else:
        scores = torch.bmm(queries * width**-0.5, keys).view(batch, heads, length, total)
        weights = scores.masked_fill(~mask, torch.finfo(scores.dtype).min).softmax(dim=-1).view(products, -1, total)
    gathered = torch.bmm(weights, values).view(batch, heads, length, width)
    return gathered.masked_fill(~mask.any(dim=-1, keepdim=True), 0.0) if isinstance(mask, Tensor) else gathered


def fast_attention(
    query: Float[Tensor, "B H T E"],
    key: Float[Tensor, "B K S E"],
    value: Float[Tensor, "B K S E"],
    mask: Mask = "causal",
) -> Float[Tensor, "B H T E"]:
    """Whichever is faster here: torch's fused kernel, but not for bfloat16 on a CPU.

    There, forward and backward of the fused kernel took 5.6 ms against 1.5 ms at (8, 4, 128, 32): docs/lab.md.
    """
    is_slow_fused = query.dtype == torch.bfloat16 and query.device.type == "cpu"
    return (batched_attention if is_slow_fused else sdpa_attention)(query, key, value, mask)


BACKENDS: dict[str, AttentionFn] = {
    "reference": reference_attention,
    "sdpa": sdpa_attention,
    "batched": batched_attention,
    "fast": fast_attention,
}


def _written_out(mask: Mask, length: int, total: int, device: torch.device) -> Bool[Tensor, "..."]:
    if isinstance(mask, Tensor):
        return mask
    if mask == "causal":
        return causal_mask(length, total, device)
    return torch.ones(length, total, dtype=torch.bool, device=device)


@lru_cache(maxsize=8)
@torch.inference_mode(False)  # kept for later calls, and training cannot use a tensor of inference mode
def _added_mask(
    length: int, total: int, group: int, dtype: torch.dtype, device: torch.device
) -> Float[Tensor, "group_T S"]:
    may_attend = causal_mask(length, total, device).repeat(group, 1)
    return torch.zeros(may_attend.shape, dtype=dtype, device=device).masked_fill_(~may_attend, -torch.inf)


class SelfAttention(nn.Module):
    """H of Figure 2, arXiv:2401.16736: queries, keys and values from one fused projection, then one output projection.

    `key_dim` is the total width of the queries over all heads; the keys, and the values, have `kv_head_count` heads
    (by default all) of the same width. The rows of `project_qkv` are all queries, then all keys, then all values;
    within each, one head after another. `positions` are this layer's P_l. With `qk_norm`, queries and keys are
    normalised before they meet (Henry et al. 2020, arXiv:2010.04245): their products stay bounded at learning rates
    that would otherwise diverge.
    """

    def __init__(
        self,
        model_dim: int,
        key_dim: int,
        head_count: int,
        positions: Positions,
        *,
        kv_head_count: int | None = None,
        bias: bool = False,
        qk_norm: bool = False,
    ) -> None:
        super().__init__()
        self.head_count = head_count
        self.kv_head_count = kv_head_count if kv_head_count is not None else head_count
        if head_count % self.kv_head_count:
            raise ValueError(
                f"head_count is {head_count} and kv_head_count is {kv_head_count}; every head of keys and values must "
                f"serve the same number of query heads. Use a divisor of {head_count}."
            )
        self.head_dim = key_dim // head_count
        self.positions = positions
        self.query_key_norm: nn.Module = PlainLayerNorm() if qk_norm else nn.Identity()
        rows = (head_count + 2 * self.kv_head_count) * self.head_dim
        self.project_qkv = nn.Linear(model_dim, rows, bias=bias)
        self.project_out = nn.Linear(key_dim, model_dim, bias=bias)
        self.attend = BACKENDS["fast"]
        self._turns_at_once = (
            qk_norm
            and isinstance(positions, RotaryPositions)
            and self.kv_head_count == head_count
            and self.head_dim % 2 == 0
        )

    def forward(
        self, x: Float[Tensor, "B T D"], cache: LayerCache | None = None, mask: Mask = "causal"
    ) -> Float[Tensor, "B T D"]:
        """What each position gathers from those that it may see; with a cache, S counts what the cache holds too."""
        batch, length, _ = x.shape
        start = cache.length if cache is not None else 0
        projected = self.project_qkv(self.positions.add(x, start))
        if cache is None and self._is_faster_at_once(projected):
            assert isinstance(self.positions, RotaryPositions)
            query, key, value = turned_heads(
                projected, self.head_count, *self.positions.whole_tables(length, projected)
            )
        else:
            heads = projected.view(batch, length, -1, self.head_dim).transpose(1, 2)
            query, key, value = heads.split_with_sizes([self.head_count, self.kv_head_count, self.kv_head_count], dim=1)
            query = self.positions.turn(self.query_key_norm(query), start)
            key = self.positions.turn(self.query_key_norm(key), start)
        if cache is not None:
            key, value = cache.extend(key, value)
        gathered = self.attend(query, key, value, mask)
        return self.project_out(gathered.transpose(1, 2).reshape(batch, length, -1))

    def _is_faster_at_once(self, projected: Tensor) -> bool:
        """Whether heads are better made by one function than by the lines that say what it does.

        That is where their gradient is wanted on a CPU; a compiler puts the lines together by itself.
        """
        is_training = projected.requires_grad and projected.device.type == "cpu"
        return self._turns_at_once and is_training and not torch.compiler.is_compiling()

    def new_cache(self, batch: int, capacity: int) -> LayerCache:
        """An empty cache for `batch` sequences of at most `capacity` tokens."""
        return LayerCache(batch, self.kv_head_count, self.head_dim, capacity, self.project_qkv.weight)
