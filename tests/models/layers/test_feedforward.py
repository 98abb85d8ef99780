"""Feed-forwards by hand, against torch.nn, and against the gated one of transformers."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from atinuke.models.layers.feedforward import ACTIVATIONS, FeedForward, GatedFeedForward

OF_TORCH = {"gelu": nn.GELU(), "gelu-tanh": nn.GELU(approximate="tanh"), "relu": nn.ReLU(), "silu": nn.SiLU()}


def test_every_activation_has_its_counterpart_in_torch() -> None:
    assert set(OF_TORCH) == set(ACTIVATIONS)


@pytest.mark.parametrize("activation", ACTIVATIONS)
@pytest.mark.parametrize("bias", [False, True])
def test_it_computes_what_a_sequence_of_torch_modules_does(activation: str, bias: bool) -> None:
    torch.manual_seed(0)
    ours = FeedForward(6, 10, activation=activation, bias=bias)  # type: ignore[arg-type]
    theirs = nn.Sequential(nn.Linear(6, 10, bias=bias), OF_TORCH[activation], nn.Linear(10, 6, bias=bias))
    theirs.load_state_dict(dict(zip(theirs.state_dict(), ours.state_dict().values(), strict=True)))
    x = torch.randn(2, 5, 6)
    assert_close(ours(x), theirs(x))


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_each_activation_is_another_function(activation: str) -> None:
    x = torch.linspace(-3, 3, 13)
    others = [ACTIVATIONS[name](x) for name in ACTIVATIONS if name != activation]
    assert all((ACTIVATIONS[activation](x) - other).abs().max() > 1e-5 for other in others)


def test_a_gate_worked_by_hand() -> None:
    # gate 2x and through 3x at x = 1: silu(2) = 2 / (1 + e⁻²), times 3, times 5 on the way out
    layer = GatedFeedForward(1, 1)
    with torch.no_grad():
        layer.project_gate.weight.fill_(2.0)
        layer.project_in.weight.fill_(3.0)
        layer.project_out.weight.fill_(5.0)
    assert layer(torch.ones(1, 1, 1)).item() == pytest.approx(2 / (1 + math.exp(-2)) * 3 * 5)


def test_the_gated_one_computes_what_the_one_of_transformers_does() -> None:
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaMLP

    torch.manual_seed(0)
    ours, theirs = (
        GatedFeedForward(6, 10),
        LlamaMLP(LlamaConfig(hidden_size=6, intermediate_size=10, num_attention_heads=2)),
    )
    names = {"gate_proj": ours.project_gate, "up_proj": ours.project_in, "down_proj": ours.project_out}
    theirs.load_state_dict({f"{name}.weight": part.weight for name, part in names.items()})
    x = torch.randn(2, 5, 6)
    assert_close(ours(x), theirs(x))
