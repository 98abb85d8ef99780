"""Attention against its equation, a mask written out, and torch.nn with copied weights."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from atinuke.models.layers.attention import BACKENDS, CausalSelfAttention, causal_mask, reference_attention
from atinuke.models.layers.positions import AddedPositions


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


@pytest.mark.parametrize("name", BACKENDS)
@pytest.mark.parametrize(("length", "total"), [(1, 1), (7, 7), (1, 9), (3, 9)])
def test_backend_agrees_with_reference(name: str, length: int, total: int) -> None:
    generator = torch.Generator().manual_seed(0)
    query = torch.randn(2, 3, length, 5, generator=generator)
    key, value = (torch.randn(2, 3, total, 5, generator=generator) for _ in range(2))
    assert_close(BACKENDS[name](query, key, value), reference_attention(query, key, value), atol=1e-5, rtol=1e-5)


def test_the_module_computes_what_torch_multihead_attention_does() -> None:
    torch.manual_seed(0)
    positions = AddedPositions(12, 100)
    nn.init.zeros_(positions.scale)
    ours = CausalSelfAttention(12, 12, 3, positions)
    theirs = nn.MultiheadAttention(12, 3, bias=False, batch_first=True)
    with torch.no_grad():
        theirs.in_proj_weight.copy_(ours.project_qkv.weight)
        theirs.out_proj.weight.copy_(ours.project_out.weight)
    x = torch.randn(2, 6, 12)
    expected, _ = theirs(x, x, x, attn_mask=~causal_mask(6, 6), need_weights=False)
    assert_close(ours(x), expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", BACKENDS)
def test_gradients_agree_with_the_reference(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = [torch.randn(2, 3, 7, 4, generator=generator, requires_grad=True) for _ in range(3)]
    weights = torch.randn(2, 3, 7, 4, generator=generator)
    expected = torch.autograd.grad((reference_attention(*inputs) * weights).sum(), inputs)
    assert_close(torch.autograd.grad((BACKENDS[name](*inputs) * weights).sum(), inputs), expected, atol=1e-5, rtol=1e-4)


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
