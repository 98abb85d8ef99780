"""Sizes of decoders: against the published ones and against our own networks."""

import pytest
import torch

from atinuke.models import build_model
from atinuke.models.config import ModelConfig
from atinuke.plan.published import LLAMA_8B, LLAMA_70B, LLAMA_405B
from atinuke.plan.shape import Shape, shape_for


@pytest.mark.parametrize(
    ("shape", "parameters"),
    [(LLAMA_8B, 8_030_261_248), (LLAMA_70B, 70_553_706_496), (LLAMA_405B, 405_853_388_800)],
    ids=["8B", "70B", "405B"],
)
def test_llama_3_has_as_many_parameters_as_its_weights(shape: Shape, parameters: int) -> None:
    assert shape.parameters == parameters


def test_parameters_are_those_of_our_own_network() -> None:
    shape = Shape(3, 256, 640, 8, 2, 1000)
    cfg = ModelConfig(
        kind="llama", vocab_size=1000, model_dim=256, key_dim=256, hidden_dim=640, head_count=8, layer_count=3,
        context=64, kv_head_count=2,
    )  # fmt: skip
    with torch.device("meta"):
        model = build_model(cfg)
    assert shape.parameters == sum(parameter.numel() for parameter in model.parameters())


def test_utilisation_counts_as_torchtitan_does() -> None:
    """Its log of a run of 8B on 8 cards: 6,667 tokens/s are 39 % of 989 TFLOP/s."""
    assert 6667 * LLAMA_8B.flops_per_token(8192) / 989e12 == pytest.approx(0.39, abs=0.01)


def test_work_is_what_is_computed() -> None:
    """By hand: 6 for each parameter in a product; attention sees half the context, and 3½ times both ways."""
    shape = Shape(1, 4, 8, 1, 1, 10, is_gated=False, is_tied=True)
    in_products = 4 * 4 * 4 + 2 * 4 * 8 + 2 * 4 + 10 * 4
    assert shape.work_per_token(16) == 6 * in_products + 3.5 * 2 * 2 * 4 * 16 / 2
    assert shape.flops_per_token(16) == 6 * in_products + 12 * 4 * 16


@pytest.mark.parametrize("is_gated", [True, False])
@pytest.mark.parametrize("parameters", [1e8, 3.5e8, 1e9, 3e9, 7e9, 1.3e10, 7e10, 4.05e11])
def test_a_shape_has_about_the_parameters_asked_for_in_usual_proportions(parameters: float, is_gated: bool) -> None:
    shape = shape_for(parameters, 32_768, is_gated=is_gated)
    assert shape.parameters == pytest.approx(parameters, rel=0.12)
    assert 60 <= shape.model_dim / shape.layer_count <= 260
    assert shape.model_dim % 128 == 0 and shape.head_count % shape.kv_head_count == 0
