"""Blocks against torch's own layer with copied weights, norms before and after."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from atinuke.models.layers.attention import SelfAttention, causal_mask
from atinuke.models.layers.block import Block, NormPlace
from atinuke.models.layers.feedforward import FeedForward
from atinuke.models.layers.positions import NoPositions

NAMES = {
    "attention.project_qkv.weight": "self_attn.in_proj_weight",
    "attention.project_qkv.bias": "self_attn.in_proj_bias",
    "attention.project_out.weight": "self_attn.out_proj.weight",
    "attention.project_out.bias": "self_attn.out_proj.bias",
    "feed_forward.project_in.weight": "linear1.weight",
    "feed_forward.project_in.bias": "linear1.bias",
    "feed_forward.project_out.weight": "linear2.weight",
    "feed_forward.project_out.bias": "linear2.bias",
    "attention_norm.weight": "norm1.weight",
    "attention_norm.bias": "norm1.bias",
    "feed_forward_norm.weight": "norm2.weight",
    "feed_forward_norm.bias": "norm2.bias",
}


def couple(norm_place: NormPlace) -> tuple[Block, nn.TransformerEncoderLayer]:
    """Our block and torch's layer, with the same random weights."""
    torch.manual_seed(0)
    ours = Block(
        attention=SelfAttention(12, 12, 3, NoPositions(), bias=True),
        feed_forward=FeedForward(12, 20, activation="gelu"),
        norms=(nn.LayerNorm(12), nn.LayerNorm(12)),
        dropout=0.0,
        norm_place=norm_place,
    )
    for parameter in ours.parameters():
        nn.init.normal_(parameter, std=0.4)
    theirs = nn.TransformerEncoderLayer(
        12, 3, 20, dropout=0.0, activation="gelu", batch_first=True, norm_first=norm_place == "pre"
    )
    theirs.load_state_dict({NAMES[name]: weight for name, weight in ours.state_dict().items()})
    return ours, theirs


@pytest.mark.parametrize("norm_place", ["pre", "post"])
@pytest.mark.parametrize("mask", ["causal", "full", "padded"])
def test_result_and_gradients_are_those_of_torch(norm_place: NormPlace, mask: str) -> None:
    ours, theirs = couple(norm_place)
    x, is_token = torch.randn(2, 6, 12), torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    hidden: Tensor | None = ~causal_mask(6, 6) if mask == "causal" else None
    expected = theirs(x, src_mask=hidden, src_key_padding_mask=~is_token if mask == "padded" else None)
    found = ours(x, None, is_token[:, None, None] if mask == "padded" else mask)
    assert_close(found, expected, atol=1e-5, rtol=1e-5)
    weights = torch.randn(2, 6, 12)
    (found * weights).sum().backward()
    (expected * weights).sum().backward()
    for ours_name, theirs_name in NAMES.items():
        gradient = theirs.get_parameter(theirs_name).grad
        assert_close(ours.get_parameter(ours_name).grad, gradient, atol=1e-4, rtol=1e-4)


def test_the_place_of_the_norms_matters() -> None:
    x = torch.randn(2, 6, 12)
    assert (couple("pre")[0](x) - couple("post")[0](x)).abs().max() > 0.1


@pytest.mark.parametrize("norm_place", ["pre", "post"])
def test_cached_steps_are_the_whole(norm_place: NormPlace) -> None:
    block, x = couple(norm_place)[0].eval(), torch.randn(2, 6, 12)
    cache = block.attention.new_cache(2, 6)
    pieces = [block(piece, cache) for piece in x.split([3, 1, 2], dim=1)]
    assert_close(torch.cat(pieces, dim=1), block(x), atol=1e-5, rtol=1e-5)
