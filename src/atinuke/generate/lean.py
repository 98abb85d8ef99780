"""The fast twin of `Block.forward` for one token of one text, where overhead is most of what a small network costs.

At model_dim 128 a module call or a kernel launch takes as long as its arithmetic. Here each layer is one flat list of
calls on vectors: about twenty instead of sixty, and no module in between. What the network computes is written in
`models/layers/`; the tests hold the two together. Blocks of any other make-up are left to their own forward.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from atinuke.models.decoder import Decoder
from atinuke.models.layers.attention import SelfAttention
from atinuke.models.layers.block import Block
from atinuke.models.layers.cache import LayerCache
from atinuke.models.layers.dropout import Dropout
from atinuke.models.layers.feedforward import FeedForward, GatedFeedForward
from atinuke.models.layers.norm import PlainLayerNorm, RMSNorm
from atinuke.models.layers.positions import AddedPositions, NoPositions, RotaryPositions
from atinuke.models.layers.shift import TokenShift

KNOWN: tuple[type[nn.Module], ...] = (Block, SelfAttention, AddedPositions, RotaryPositions, NoPositions)
KNOWN += (FeedForward, GatedFeedForward, PlainLayerNorm, RMSNorm, TokenShift)
KNOWN_OF_TORCH = (nn.ModuleList, nn.Linear, nn.LayerNorm, nn.Identity, Dropout)

Vector = Tensor
VectorFn = Callable[[Vector], Vector]
BlockStep = Callable[[Vector, LayerCache], Vector]
Turns = dict[int, tuple[Tensor, Tensor]]
"""By the identity of a layer's positions: cosine and signed sine of each place."""


@torch.inference_mode()
def lean_steps(model: Decoder, capacity: int) -> list[BlockStep] | None:
    """For each block a function that takes the residual stream of the next token (D) through it.

    For places below `capacity`, with dropout off. None where the blocks have parts that are not known here exactly,
    or the network has hooks, which would not be called.
    """
    if any(module._forward_hooks or module._forward_pre_hooks for module in model.modules()):
        return None
    if any(type(module) not in KNOWN + KNOWN_OF_TORCH for module in model.blocks.modules()):
        return None
    if any(not isinstance(block, Block) or block.norm_place != "pre" for block in model.blocks):
        return None
    if any(type(module) is RotaryPositions and not _turns_whole_heads(module, model) for module in model.modules()):
        return None
    turns: Turns = {}
    return [_block_step(block, capacity, turns) for block in model.blocks if isinstance(block, Block)]


def _turns_whole_heads(positions: RotaryPositions, model: Decoder) -> bool:
    """Whether no component stays as it is, as the last of an odd head does."""
    users = (block.attention for block in model.blocks if isinstance(block, Block))
    return all(user.head_dim == 2 * positions.pair_count for user in users if user.positions is positions)


def _block_step(block: Block, capacity: int, turns: Turns) -> BlockStep:
    first_norm, second_norm = _norm_step(block.attention_norm), _norm_step(block.feed_forward_norm)
    attend = _attention_step(block.attention, capacity, turns)
    think, outward = _hidden_step(block.feed_forward), _affine_onto(block.feed_forward.project_out)
    shift = _shift_step(block.shift)

    def step(x: Float[Tensor, " D"], cache: LayerCache) -> Float[Tensor, " D"]:
        x = attend(x, first_norm(x), cache)
        return outward(x, think(shift(second_norm(x), cache)))

    return step


def _shift_step(shift: TokenShift | None) -> Callable[[Vector, LayerCache], Vector]:
    if shift is None:
        return lambda x, cache: x
    weights = shift.weight.detach()

    def step(x: Vector, cache: LayerCache) -> Vector:
        before = cache.swap_last(x.view(1, 1, -1))
        return x if before is None else torch.addcmul(x, before.view(-1), weights)

    return step


def _hidden_step(feed_forward: FeedForward | GatedFeedForward) -> VectorFn:
    """x (D) → what the feed-forward holds inside (F)."""
    inward, activation = _affine(feed_forward.project_in), feed_forward.activation
    if isinstance(feed_forward, FeedForward):
        return lambda x: activation(inward(x))
    gate = _affine(feed_forward.project_gate)
    return lambda x: activation(gate(x)).mul_(inward(x))


def _attention_step(
    attention: SelfAttention, capacity: int, turns: Turns
) -> Callable[[Vector, Vector, LayerCache], Vector]:
    """(residual, attention's input, cache) → residual with what the attention gathered."""
    heads, kv_heads, width = attention.head_count, attention.kv_head_count, attention.head_dim
    turned, both = heads + kv_heads, [heads, kv_heads]
    place_in, turn = _positions_step(attention, capacity, turns)
    norm = _norm_step(attention.query_key_norm)
    inward, attend, outward = _affine(attention.project_qkv), attention.attend, _affine_onto(attention.project_out)

    def step(x: Vector, h: Vector, cache: LayerCache) -> Vector:
        place = cache.length
        qkv = inward(place_in(h, place)).view(-1, width)
        query, key = turn(norm(qkv[:turned]), place).view(1, turned, 1, width).split_with_sizes(both, dim=1)
        keys, values = cache.extend(key, qkv[turned:].view(1, kv_heads, 1, width))
        return outward(x, attend(query, keys, values, "causal").view(-1))

    return step


def _positions_step(
    attention: SelfAttention, capacity: int, turns: Turns
) -> tuple[Callable[[Vector, int], Vector], Callable[[Tensor, int], Tensor]]:
    """What the positions do to the attention's input at a place, and to its queries and keys (H + K, E)."""
    positions, weights = attention.positions, attention.project_qkv.weight
    if isinstance(positions, NoPositions):
        return lambda h, place: h, lambda x, place: x
    if isinstance(positions, AddedPositions):
        positions(capacity - 1, 1)  # makes the table long enough, or says that it cannot be
        table, scale = positions.table.to(weights.dtype), positions.scale.detach()
        return lambda h, place: torch.addcmul(h, table[place], scale), lambda x, place: x
    assert isinstance(positions, RotaryPositions)
    if id(positions) not in turns:  # layers may share them
        turns[id(positions)] = _turning_tables(positions, capacity, weights)
    cosine, sine = turns[id(positions)]
    half = positions.pair_count
    return lambda h, place: h, lambda x, place: torch.addcmul(x * cosine[place], x.roll(half, 1), sine[place])


def _turning_tables(positions: RotaryPositions, capacity: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """Two tables (capacity, E), such that x·cosine + roll(x, E/2)·sine is x turned.

    They are read off `turn` itself: what it makes of ones in the first half of E, and of ones in the second.
    """
    half = positions.pair_count
    ones, zeros = like.new_ones(1, 1, capacity, half), like.new_zeros(1, 1, capacity, half)
    first = positions.turn(torch.cat([ones, zeros], dim=-1), 0)[0, 0]  # cosine, sine
    second = positions.turn(torch.cat([zeros, ones], dim=-1), 0)[0, 0]  # −sine, cosine
    cosine = torch.cat([first[:, :half], second[:, half:]], dim=-1)
    return cosine, torch.cat([second[:, :half], first[:, half:]], dim=-1)


def _norm_step(norm: nn.Module) -> VectorFn:
    if isinstance(norm, nn.Identity):
        return lambda x: x
    if isinstance(norm, nn.LayerNorm):
        shape, weight, bias, eps = norm.normalized_shape, norm.weight.detach(), norm.bias.detach(), norm.eps
        return lambda x: F.layer_norm(x, shape, weight, bias, eps)
    if isinstance(norm, RMSNorm):
        return norm.forward
    return lambda x: F.layer_norm(x, x.shape[-1:])


def _affine(linear: nn.Linear) -> VectorFn:
    """x → W x + b."""
    weights = linear.weight.detach()
    if linear.bias is None:
        return lambda x: torch.mv(weights, x)
    bias = linear.bias.detach()
    return lambda x: torch.addmv(bias, weights, x)


def _affine_onto(linear: nn.Linear) -> Callable[[Vector, Vector], Vector]:
    """(residual, x) → residual + W x + b."""
    weights = linear.weight.detach()
    if linear.bias is None:
        return lambda residual, x: torch.addmv(residual, weights, x)
    bias = linear.bias.detach()
    return lambda residual, x: torch.addmv(residual + bias, weights, x)
