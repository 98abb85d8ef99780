"""Heads made by one function against the lines that say what it does: values and gradients."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from atinuke.models.layers.attention import SelfAttention
from atinuke.models.layers.norm import PlainLayerNorm
from atinuke.models.layers.positions import AddedPositions, NoPositions, RotaryPositions
from atinuke.models.layers.turned_heads import turned_heads

BATCH, LENGTH, HEADS = 3, 7, 2


def drawn(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).to(dtype)


def written_out(projected: Tensor, head_dim: int) -> tuple[Tensor, ...]:
    """Split, normalise, turn, as SelfAttention says it."""
    positions, norm = RotaryPositions(head_dim, LENGTH), PlainLayerNorm()
    heads = projected.view(BATCH, LENGTH, -1, head_dim).transpose(1, 2)
    query, key, value = heads.split(HEADS, dim=1)
    return positions.turn(norm(query), 0), positions.turn(norm(key), 0), value


def at_once(projected: Tensor, head_dim: int) -> tuple[Tensor, ...]:
    return turned_heads(projected, HEADS, *RotaryPositions(head_dim, LENGTH).whole_tables(LENGTH, projected))


@pytest.mark.parametrize("head_dim", [2, 8])
def test_one_function_gives_what_the_lines_give_and_its_gradient_is_theirs(head_dim: int) -> None:
    projected = drawn(BATCH, LENGTH, 3 * HEADS * head_dim).requires_grad_()
    towards = [drawn(BATCH, HEADS, LENGTH, head_dim) for _ in range(3)]
    both = [make(projected, head_dim) for make in (at_once, written_out)]
    gradients = [torch.autograd.grad(heads, projected, towards)[0] for heads in both]
    for found, expected in zip(*both, strict=True):
        assert_close(found, expected)
    assert_close(*gradients)


def test_in_bfloat16_it_is_apart_by_rounding_alone() -> None:
    # between values near 1, two neighbours in bfloat16 are 1/128 apart; the order of operations moves by two or three
    projected = drawn(BATCH, LENGTH, 3 * HEADS * 8, dtype=torch.bfloat16).requires_grad_()
    for found, expected in zip(at_once(projected, 8), written_out(projected, 8), strict=True):
        assert found.dtype == torch.bfloat16
        assert_close(found, expected, atol=0.04, rtol=0.02)


def test_the_gradient_is_the_slope_of_the_values() -> None:
    # in double precision, by differences; rows apart from each other, as a norm of equal numbers has no slope
    projected = (drawn(BATCH, LENGTH, 3 * HEADS * 4).double() * 2).requires_grad_()
    cosine, sine = RotaryPositions(4, LENGTH).whole_tables(LENGTH, projected)
    assert torch.autograd.gradcheck(lambda x: turned_heads(x, HEADS, cosine, sine), projected, atol=1e-4)


def test_queries_and_keys_come_out_in_one_piece() -> None:
    # products of many matrices would copy them otherwise
    assert all(heads.is_contiguous() for heads in at_once(drawn(BATCH, LENGTH, 3 * HEADS * 8), 8))


def attention(**changed: object) -> SelfAttention:
    torch.manual_seed(0)
    settings = {"positions": RotaryPositions(8, LENGTH), "qk_norm": True} | changed
    return SelfAttention(16, 16, HEADS, **settings)  # type: ignore[arg-type]


def test_attention_learns_the_same_with_it_and_without() -> None:
    found = []
    for makes_at_once in (True, False):
        layer = attention()
        layer._turns_at_once = makes_at_once
        x = drawn(BATCH, LENGTH, 16).requires_grad_()
        gathered = layer(x)
        gathered.square().sum().backward()
        assert x.grad is not None and layer.project_qkv.weight.grad is not None
        found.append((gathered.detach(), x.grad, layer.project_qkv.weight.grad))
    for one, other in zip(*found, strict=True):
        assert_close(one, other)


def test_it_is_for_training_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def counted(*given: object) -> tuple[Tensor, ...]:
        calls.append(given)
        return turned_heads(*given)  # type: ignore[arg-type]

    monkeypatch.setattr("atinuke.models.layers.attention.turned_heads", counted)
    layer, x = attention(), drawn(BATCH, LENGTH, 16)
    with torch.no_grad():
        layer(x)
    layer(x, layer.new_cache(BATCH, LENGTH))
    assert not calls
    layer(x)
    assert len(calls) == 1


@pytest.mark.parametrize(
    "changed",
    [
        {"qk_norm": False},
        {"positions": NoPositions()},
        {"positions": AddedPositions(16, LENGTH)},
        {"kv_head_count": 1},
    ],
    ids=["no norm", "no positions", "added positions", "shared keys"],
)
def test_other_attention_stays_as_it_is_written(changed: dict[str, object]) -> None:
    assert not attention(**changed)._turns_at_once


def test_an_odd_head_stays_as_it_is_written() -> None:
    layer = SelfAttention(6, 6, 2, RotaryPositions(3, LENGTH), qk_norm=True)
    assert not layer._turns_at_once
    assert layer(drawn(1, LENGTH, 6)).shape == (1, LENGTH, 6)
