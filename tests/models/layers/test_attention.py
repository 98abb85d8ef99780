"""Attention against its equation, a mask written out, and torch.nn with copied weights."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from atinuke.models.layers.attention import BACKENDS, Mask, SelfAttention, causal_mask, reference_attention
from atinuke.models.layers.positions import NoPositions


def test_the_mask_of_four_tokens_written_out() -> None:
    expected = [[1, 0, 0, 0], [1, 1, 0, 0], [1, 1, 1, 0], [1, 1, 1, 1]]
    assert causal_mask(4, 4).int().tolist() == expected


def test_the_last_two_of_four_see_what_came_before_them() -> None:
    assert causal_mask(2, 4).int().tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]


def test_attention_worked_by_hand() -> None:
    # one head of width 1; the second query has scores 0 and ln 3, so weights 1/4 and 3/4
    query = torch.tensor([[[[5.0], [1.0]]]])
    key = torch.tensor([[[[0.0], [math.log(3.0)]]]])
    value = torch.tensor([[[[8.0], [4.0]]]])
    assert_close(reference_attention(query, key, value).flatten(), torch.tensor([8.0, 5.0]))


def inputs_like(heads: int, kv_heads: int, length: int, total: int, width: int = 5) -> list[torch.Tensor]:
    random = torch.Generator().manual_seed(0)
    query = torch.randn(2, heads, length, width, generator=random, requires_grad=True)
    keys = [torch.randn(2, kv_heads, total, width, generator=random, requires_grad=True) for _ in range(2)]
    return [query, *keys]


def random_mask(shape: tuple[int, ...]) -> torch.Tensor:
    """Half of it, and the first row of queries sees nothing at all."""
    mask = torch.rand(shape, generator=torch.Generator().manual_seed(1)) < 0.5
    mask[..., 0, :] = False
    return mask


def masks(length: int, total: int) -> list[Mask]:
    is_token = torch.tensor([[True] * total, [True] + [False] * (total - 1)])[:, None, None, :]  # (B, 1, 1, S)
    return ["causal", "full", is_token, random_mask((length, total)), random_mask((2, 6, length, total))]


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize("kv_heads", [6, 3, 1])
@pytest.mark.parametrize(("length", "total"), [(1, 1), (7, 7), (1, 9), (3, 9)])
def test_backend_agrees_with_reference_in_result_and_gradient(
    name: str, kv_heads: int, length: int, total: int
) -> None:
    inputs = inputs_like(6, kv_heads, length, total)
    weights = torch.randn(2, 6, length, 5, generator=torch.Generator().manual_seed(2))
    for mask in masks(length, total):
        found, expected = BACKENDS[name](*inputs, mask), reference_attention(*inputs, mask)
        assert_close(found, expected, atol=1e-5, rtol=1e-5)
        gradients = [torch.autograd.grad((result * weights).sum(), inputs) for result in (found, expected)]
        assert_close(gradients[0], gradients[1], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", BACKENDS)
def test_a_query_that_may_attend_nowhere_gathers_zeros_and_spoils_no_gradient(name: str) -> None:
    inputs = inputs_like(2, 2, 4, 4)
    mask = causal_mask(4, 4)
    mask[2] = False
    gathered = BACKENDS[name](*inputs, mask)
    assert gathered[:, :, 2].abs().max() == 0
    assert gathered[:, :, 3].abs().min() > 0
    gradients = torch.autograd.grad(gathered.sum(), inputs)
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert gradients[0][:, :, 2].abs().max() == 0


@pytest.mark.parametrize("name", BACKENDS)
@settings(max_examples=25, deadline=None)
@given(rows=st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=4))
def test_each_query_averages_exactly_what_it_may_see(name: str, rows: list[list[bool]]) -> None:
    """The oracle takes each query alone, leaves out what is hidden, and has no mask to go wrong."""
    query, key, value = (part.detach() for part in inputs_like(2, 1, len(rows), 4, width=3))
    found = BACKENDS[name](query, key, value, torch.tensor(rows))
    for place, row in enumerate(rows):
        seen = [other for other in range(4) if row[other]]
        for batch, head in ((0, 0), (1, 1)):
            scores = [float(query[batch, head, place] @ key[batch, 0, other]) / math.sqrt(3) for other in seen]
            parts = [math.exp(score) / sum(math.exp(score) for score in scores) for score in scores]
            expected = sum((part * value[batch, 0, other] for part, other in zip(parts, seen, strict=True)), 0.0)
            assert_close(found[batch, head, place], torch.zeros(3) + expected, atol=1e-5, rtol=1e-5)


@given(total=st.integers(1, 9), data=st.data())
def test_a_causal_query_sees_its_own_place_and_all_before(total: int, data: st.DataObject) -> None:
    length = data.draw(st.integers(1, total))
    mask = causal_mask(length, total)
    assert mask.shape == (length, total)
    assert mask.sum(dim=1).tolist() == list(range(total - length + 1, total + 1))
    assert (mask[:, 1:] <= mask[:, :-1]).all()  # nothing hidden before something seen


@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("mask", ["causal", "full", "padded"])
def test_the_module_computes_what_torch_multihead_attention_does(bias: bool, mask: str) -> None:
    torch.manual_seed(0)
    ours = SelfAttention(12, 12, 3, NoPositions(), bias=bias)
    theirs = nn.MultiheadAttention(12, 3, bias=bias, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.project_qkv.weight)
        theirs.out_proj.weight.copy_(ours.project_out.weight)
        if bias:
            theirs.in_proj_bias.copy_(ours.project_qkv.bias)
            theirs.out_proj.bias.copy_(ours.project_out.bias)
    x, is_token = torch.randn(2, 6, 12), torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    if mask == "padded":
        found = ours(x, None, is_token[:, None, None, :])
        expected, _ = theirs(x, x, x, key_padding_mask=~is_token, need_weights=False)
    else:
        found = ours(x, None, mask)  # type: ignore[arg-type]
        hidden = ~causal_mask(6, 6) if mask == "causal" else None
        expected, _ = theirs(x, x, x, attn_mask=hidden, need_weights=False)
    assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_grouped_heads_are_those_of_torch() -> None:
    torch.manual_seed(0)
    ours = SelfAttention(12, 24, 6, NoPositions(), kv_head_count=2)
    x = torch.randn(2, 5, 12)
    query, key, value = ours.project_qkv(x).split([24, 8, 8], dim=-1)
    heads = [part.unflatten(-1, (-1, 4)).transpose(1, 2) for part in (query, key, value)]
    gathered = nn.functional.scaled_dot_product_attention(*heads, is_causal=True, enable_gqa=True)
    assert_close(ours(x), ours.project_out(gathered.transpose(1, 2).flatten(2)), atol=1e-5, rtol=1e-5)


def test_bfloat16_on_a_cpu_stays_near_the_float32_result() -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(2, 3, 64, 32, generator=generator) for _ in range(3)]
    rough = BACKENDS["fast"](*(x.bfloat16() for x in inputs)).float()
    # bfloat16 keeps 8 bits: an average of values near 1 is off by a few thousandths
    assert_close(rough, reference_attention(*inputs), atol=0.03, rtol=0.03)


def test_a_mask_first_made_while_generating_serves_training() -> None:
    x = torch.randn(1, 1, 13, 4)
    with torch.inference_mode():
        BACKENDS["batched"](x, x, x)
    trained = x.clone().requires_grad_()
    BACKENDS["batched"](trained, trained, trained).sum().backward()
    assert trained.grad is not None
