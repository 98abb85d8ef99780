"""Dropout keeps what torch.nn.Dropout promises; attention that forgets weights is attention where it forgets none."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.testing import assert_close

from atinuke.models.layers.attention import Mask, causal_mask
from atinuke.models.layers.dropout import LEVELS, DropAfter, Dropout, DropWeights

COUNT = 100_003  # not a multiple of eight


def dropped(share: float, *, seed: int = 0, shape: tuple[int, ...] = (COUNT,), dtype: torch.dtype = torch.float32):  # type: ignore[no-untyped-def]
    torch.manual_seed(seed)
    return Dropout(share)(torch.ones(shape, dtype=dtype))


def within(count: int, share: float) -> float:
    """Four standard deviations of the share of `count` draws."""
    return 4 * math.sqrt(share * (1 - share) / count)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.5, 0.9])
def test_the_share_of_zeros_is_the_nearest_256th_and_the_mean_stays(share: float) -> None:
    exact = round(share * LEVELS) / LEVELS
    assert abs(exact - share) <= 0.5 / LEVELS
    found = dropped(share)
    assert (found == 0).double().mean().item() == pytest.approx(exact, abs=within(COUNT, exact))
    assert_close(found[found != 0].unique(), torch.tensor([1 / (1 - exact)]))
    assert found.double().mean().item() == pytest.approx(1, abs=within(COUNT, exact) / (1 - exact))


def test_each_number_is_dropped_by_itself() -> None:
    zeros = (dropped(0.5, shape=(4, 25_001)) == 0).double()
    for apart in (1, 2, 3, 4, 5, 6, 7, 8, 64):
        both = (zeros[:, apart:] * zeros[:, :-apart]).mean().item()
        assert both == pytest.approx(0.25, abs=within(90_000, 0.25))
    assert (zeros[0] * zeros[1]).mean().item() == pytest.approx(0.25, abs=within(25_001, 0.25))


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_the_gradient_goes_where_numbers_went_and_as_much_larger(share: float) -> None:
    torch.manual_seed(0)
    x, above = torch.randn(5, 77).requires_grad_(), torch.randn(5, 77)
    kept = Dropout(share)(x)
    kept.backward(above)
    assert x.grad is not None
    factors = (kept / x).detach()
    assert_close(x.grad, above * factors)
    assert set(factors.unique().tolist()) >= {0.0} and len(factors.round(decimals=4).unique()) == 2


def test_the_gradient_is_that_of_torch_for_the_same_mask() -> None:
    torch.manual_seed(0)
    module, x = Dropout(0.25), torch.randn(6, 9, dtype=torch.float64, requires_grad=True)

    def seeded(x: torch.Tensor) -> torch.Tensor:
        torch.manual_seed(3)
        result: torch.Tensor = module(x)
        return result

    assert torch.autograd.gradcheck(seeded, (x,))


def test_it_is_off_while_evaluating() -> None:
    x = torch.randn(3, 5)
    module = Dropout(0.5).eval()
    assert module(x) is x or torch.equal(module(x), x)
    assert torch.equal(DropAfter(F.gelu, 0.5).eval()(x), F.gelu(x))


@pytest.mark.parametrize(("share", "expected"), [(0.0, 1.0), (1.0, 0.0)])
def test_at_the_ends_it_does_as_torch(share: float, expected: float) -> None:
    x = torch.ones(3, 7, requires_grad=True)
    found = Dropout(share)(x)
    assert torch.equal(found, nn.Dropout(share)(torch.ones(3, 7))) and (found == expected).all()
    found.sum().backward()
    assert x.grad is not None and (x.grad == expected).all()


@pytest.mark.parametrize("share", [0.001, 0.999])
def test_a_share_beyond_the_levels_is_drawn_as_torch_draws_it(share: float) -> None:
    torch.manual_seed(0)
    expected = nn.Dropout(share)(torch.ones(COUNT))
    assert torch.equal(dropped(share), expected)
    assert expected.isfinite().all()


@pytest.mark.parametrize("share", [-0.1, 1.1])
def test_a_share_that_is_none_is_refused_as_torch_does(share: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        Dropout(share)


def test_the_seed_decides_and_nothing_else() -> None:
    assert torch.equal(dropped(0.3, seed=1), dropped(0.3, seed=1))
    assert not torch.equal(dropped(0.3, seed=1), dropped(0.3, seed=2))
    torch.manual_seed(1)
    first, second = Dropout(0.3)(torch.ones(100)), Dropout(0.3)(torch.ones(100))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_type_stays_and_the_mask_is_the_same_in_each(dtype: torch.dtype) -> None:
    found = dropped(0.1, dtype=dtype)
    assert found.dtype == dtype
    assert torch.equal(found == 0, dropped(0.1) == 0)
    expected = torch.tensor(LEVELS / (LEVELS - 26), dtype=dtype)
    assert (found[found != 0] == expected).all()


@pytest.mark.parametrize("shape", [(), (1,), (7,), (8,), (9,), (3, 5, 7), (0, 4)])
def test_any_number_of_numbers_is_taken(shape: tuple[int, ...]) -> None:
    found = dropped(0.5, shape=shape)
    assert found.shape == shape
    assert ((found == 0) | (found == 2)).all()


def test_the_order_of_memory_does_not_matter() -> None:
    x = torch.randn(6, 10)
    torch.manual_seed(0)
    plain = Dropout(0.5)(x)
    torch.manual_seed(0)
    turned = Dropout(0.5)(x.t().contiguous().t())
    assert torch.equal(plain, turned)


def heads(length: int, total: int) -> list[torch.Tensor]:
    drawn = torch.Generator().manual_seed(0)
    return [torch.randn(2, 3, rows, 8, generator=drawn) for rows in (length, total, total)]


PADDED = torch.ones(2, 1, 5, 7, dtype=torch.bool)
PADDED[1, :, :, 4:] = False


@pytest.mark.parametrize(
    ("mask", "written"),
    [
        ("causal", causal_mask(5, 7)),
        ("full", None),
        (PADDED, PADDED),
    ],
    ids=["causal", "full", "padded"],
)
@pytest.mark.parametrize("how", ["training without a share", "evaluating with one"])
def test_attention_that_forgets_nothing_is_torchs(mask: Mask, written: torch.Tensor | None, how: str) -> None:
    attend = DropWeights(0.0 if how.startswith("training") else 0.5).train(how.startswith("training"))
    ours, theirs = heads(5, 7), heads(5, 7)
    for tensor in (*ours, *theirs):
        tensor.requires_grad_()
    found = attend(*ours, mask)
    expected = F.scaled_dot_product_attention(*theirs, attn_mask=written)
    assert_close(found, expected, atol=1e-6, rtol=1e-5)
    above = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    found.backward(above)
    expected.backward(above)
    for mine, reference in zip(ours, theirs, strict=True):
        assert_close(mine.grad, reference.grad, atol=1e-5, rtol=1e-4)


def test_weights_are_forgotten_in_their_share_and_what_is_hidden_stays_hidden() -> None:
    """Equal scores give each of the 64 keys a 64th; with the identity for values, the output is the weights."""
    torch.manual_seed(0)
    query, key = torch.zeros(4, 2, 64, 64), torch.zeros(4, 2, 64, 64)
    weights = DropWeights(0.25)(query, key, torch.eye(64).expand(4, 2, 64, 64), "full")
    assert_close(weights[weights != 0].unique(), torch.tensor([1 / 64 / 0.75]))
    assert (weights == 0).double().mean().item() == pytest.approx(0.25, abs=within(weights.numel(), 0.25))
    causal = DropWeights(0.25)(query, key, torch.eye(64).expand(4, 2, 64, 64), "causal")
    assert causal.triu(1).abs().max() == 0
    assert causal.sum(dim=-1).mean().item() == pytest.approx(1, abs=0.05)


def test_a_query_that_sees_nothing_leaves_no_gradient_undefined() -> None:
    query, key, value = (tensor.requires_grad_() for tensor in heads(5, 7))
    mask = PADDED.clone()
    mask[0, :, 2] = False
    found = DropWeights(0.5)(query, key, value, mask)
    found.sum().backward()
    assert found.isfinite().all()
    assert all(tensor.grad is not None and tensor.grad.isfinite().all() for tensor in (query, key, value))
