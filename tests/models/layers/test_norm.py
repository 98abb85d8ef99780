"""Norms by hand and against torch's."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from atinuke.models.layers.norm import PlainLayerNorm, RMSNorm


def test_four_numbers_normalised_by_hand() -> None:
    # mean 2.5, variance 1.25: (1 − 2.5) / √1.25 = −1.3416…
    found = PlainLayerNorm()(torch.tensor([[1.0, 2.0, 3.0, 4.0]])).flatten()
    assert found.tolist() == pytest.approx([-1.34164, -0.44721, 0.44721, 1.34164], abs=1e-4)


def test_it_is_torch_layer_norm_without_gain_and_bias() -> None:
    x = 3 + torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))
    assert_close(PlainLayerNorm()(x), nn.LayerNorm(7, elementwise_affine=False)(x))
    assert list(PlainLayerNorm().parameters()) == []


def test_two_numbers_by_their_root_mean_square() -> None:
    # 3 and 4: mean square 12.5, root 3.5355; times the gains 1 and 2
    norm = RMSNorm(2, eps=0.0)
    with torch.no_grad():
        norm.weight.copy_(torch.tensor([1.0, 2.0]))
    assert norm(torch.tensor([[3.0, 4.0]])).flatten().tolist() == pytest.approx([3 / 12.5**0.5, 8 / 12.5**0.5])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("eps", [1e-6, 0.1])
@pytest.mark.parametrize("shape", [(7,), (5, 7), (2, 5, 7)])
def test_it_is_torch_rms_norm_in_result_and_gradients(shape: tuple[int, ...], eps: float, dtype: torch.dtype) -> None:
    random = torch.Generator().manual_seed(0)
    x, weights = (torch.randn(shape, generator=random).to(dtype) for _ in range(2))
    ours, theirs = RMSNorm(7, eps=eps).to(dtype), nn.RMSNorm(7, eps=eps).to(dtype)
    nn.init.normal_(ours.weight, generator=random)
    theirs.load_state_dict(ours.state_dict())
    results = []
    for norm in (ours, theirs):
        given = x.clone().requires_grad_()
        found = norm(given)
        (found * weights).sum().backward()
        results.append([found, given.grad, norm.weight.grad])
    assert_close(results[0], results[1])


def test_a_vector_of_zeros_stays_zero_and_has_a_gradient() -> None:
    x = torch.zeros(1, 3, requires_grad=True)
    RMSNorm(3)(x).sum().backward()
    assert x.grad is not None and x.grad.isfinite().all()
    assert RMSNorm(3)(x).abs().max() == 0
