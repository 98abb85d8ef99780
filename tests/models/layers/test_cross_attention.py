"""Attention to a source, dropout inside layers and fixed positions, against torch.nn and their own equations."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from atinuke.models.layers.attention import SelfAttention, reference_attention
from atinuke.models.layers.cross_attention import CrossAttention, CrossBlock
from atinuke.models.layers.dropout import DropAfter, DropWeights
from atinuke.models.layers.feedforward import FeedForward
from atinuke.models.layers.fixed_positions import FixedPositions
from atinuke.models.layers.positions import NoPositions, sinusoids


def source() -> tuple[torch.Tensor, torch.Tensor]:
    states = torch.randn(3, 5, 12, generator=torch.Generator().manual_seed(0))
    return states, torch.arange(5) < torch.tensor([5, 2, 3])[:, None]


@torch.no_grad()
def copy_attention(theirs: nn.MultiheadAttention, ours: CrossAttention) -> None:
    theirs.in_proj_weight.copy_(torch.cat([ours.project_query.weight, ours.project_kv.weight]))
    theirs.in_proj_bias.copy_(torch.cat([ours.project_query.bias, ours.project_kv.bias]))
    theirs.out_proj.load_state_dict(ours.project_out.state_dict())


def test_it_computes_what_torch_multihead_attention_does() -> None:
    torch.manual_seed(0)
    states, is_source = source()
    ours, theirs = CrossAttention(12, 12, 3, bias=True), nn.MultiheadAttention(12, 3, batch_first=True)
    copy_attention(theirs, ours)
    x = torch.randn(3, 4, 12)
    expected, _ = theirs(x, states, states, key_padding_mask=~is_source, need_weights=False)
    assert_close(ours(x, ours.keys_and_values(states), is_source), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("norm_place", ["pre", "post"])
def test_the_block_computes_what_torch_transformer_decoder_layer_does(norm_place: str) -> None:
    torch.manual_seed(0)
    states, is_source = source()
    ours = CrossBlock(
        SelfAttention(12, 12, 3, NoPositions(), bias=True),
        CrossAttention(12, 12, 3, bias=True),
        FeedForward(12, 20, activation="relu"),
        (nn.LayerNorm(12), nn.LayerNorm(12), nn.LayerNorm(12)),
        0.0,
        norm_place=norm_place,  # type: ignore[arg-type]
    )
    theirs = nn.TransformerDecoderLayer(12, 3, 20, 0.0, batch_first=True, norm_first=norm_place == "pre")
    with torch.no_grad():
        for parameter in ours.parameters():
            nn.init.normal_(parameter, std=0.5)
        theirs.self_attn.in_proj_weight.copy_(ours.attention.project_qkv.weight)
        theirs.self_attn.in_proj_bias.copy_(ours.attention.project_qkv.bias)
        theirs.self_attn.out_proj.load_state_dict(ours.attention.project_out.state_dict())
        copy_attention(theirs.multihead_attn, ours.cross_attention)
        theirs.linear1.load_state_dict(ours.feed_forward.project_in.state_dict())
        theirs.linear2.load_state_dict(ours.feed_forward.project_out.state_dict())
        for theirs_norm, ours_norm in (
            (theirs.norm1, ours.attention_norm),
            (theirs.norm2, ours.cross_attention_norm),
            (theirs.norm3, ours.feed_forward_norm),
        ):
            theirs_norm.load_state_dict(ours_norm.state_dict())
    x = torch.randn(3, 4, 12)
    expected = theirs(
        x,
        states,
        tgt_mask=nn.Transformer.generate_square_subsequent_mask(4),
        tgt_is_causal=True,
        memory_key_padding_mask=~is_source,
    )
    found = ours(x, ours.cross_attention.keys_and_values(states), is_source)
    assert_close(found, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("mask", ["causal", "full", "tensor"])
@pytest.mark.parametrize("length", [2, 4])
def test_dropped_weights_average_to_the_attention_without(mask: str, length: int) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(1, 2, n, 4, generator=generator) for n in (length, 4, 4))
    may_attend = torch.tensor([[[[True, False, True, True]]]]) if mask == "tensor" else mask
    drop = DropWeights(0.25)
    expected = reference_attention(query, key, value, may_attend)  # type: ignore[arg-type]
    assert_close(drop.eval()(query, key, value, may_attend), expected)
    drop.train()
    torch.manual_seed(0)
    many = [part.expand(4000, -1, -1, -1) for part in (query, key, value)]
    found = drop(*many, may_attend)
    assert found.std(dim=0).max() > 0.1
    assert_close(found.mean(dim=0), expected[0], atol=0.08, rtol=0)  # about 4 standard errors


def test_a_weight_that_is_dropped_is_zero_and_the_others_grow() -> None:
    # one key: its weight is 1, so that what is gathered is 0 or 1 / (1 − 0.25)
    drop, ones = DropWeights(0.25).train(), torch.ones(400, 1, 1, 1)
    torch.manual_seed(0)
    found = drop(ones, ones, ones, "full")
    assert_close(found.unique(), torch.tensor([0.0, 4 / 3]))
    assert 0.15 < (found == 0).float().mean() < 0.35


def test_hidden_activations_are_dropped_while_training() -> None:
    drop = DropAfter(torch.relu, 0.5)
    torch.manual_seed(0)
    assert_close(drop(torch.full((1000,), 3.0)).unique(), torch.tensor([0.0, 6.0]))
    assert_close(drop.eval()(torch.tensor([-1.0, 3.0])), torch.tensor([0.0, 3.0]))


def test_fixed_positions_written_out() -> None:
    zeros = torch.zeros(1, 2, 4)
    expected = [math.sin(1), math.cos(1), math.sin(0.01), math.cos(0.01)]
    assert_close(FixedPositions(4, 9).add(zeros, 0)[0, 1], torch.tensor(expected))
    halves = FixedPositions(4, 9, order="halves").add(zeros, 0)[0, 1]
    assert_close(halves, torch.tensor([expected[0], expected[2], expected[1], expected[3]]))


@pytest.mark.parametrize("order", ["interleaved", "halves"])
def test_fixed_positions_are_the_same_however_they_were_reached(order: str) -> None:
    positions = FixedPositions(5, 30, order=order)  # type: ignore[arg-type]
    table = sinusoids(30, 5)
    table = table if order == "interleaved" else torch.cat([table[:, ::2], table[:, 1::2]], dim=1)
    for start, length in ((0, 3), (2, 2), (4, 20), (29, 1)):
        x = torch.randn(2, length, 5)
        assert_close(positions.add(x, start), x + table[start : start + length])
    with pytest.raises(ValueError, match="31 positions; max_len is 30"):
        positions.add(torch.zeros(1, 2, 5), 29)
