"""Positions against the numbers of Figure 3, worked by hand."""

import math

import pytest
import torch
from torch.testing import assert_close

from atinuke.models.layers.positions import (
    AddedPositions,
    LearnedPositions,
    NoPositions,
    RotaryPositions,
    sinusoids,
)


def test_sinusoids_are_the_numbers_of_figure_3() -> None:
    # d = 4: frequencies 1 and 1/10000^(2/4) = 1/100
    expected = torch.tensor(
        [
            [0.0, 1.0, 0.0, 1.0],
            [math.sin(1), math.cos(1), math.sin(0.01), math.cos(0.01)],
            [math.sin(2), math.cos(2), math.sin(0.02), math.cos(0.02)],
        ]
    )
    assert_close(sinusoids(3, 4), expected)


def test_an_odd_width_ends_on_a_sine() -> None:
    # d = 3: frequencies 1 and 1/10000^(2/3)
    far = 5 / 10000 ** (2 / 3)
    assert_close(sinusoids(6, 3)[5], torch.tensor([math.sin(5), math.cos(5), math.sin(far)]))


def test_far_positions_stay_apart() -> None:
    table = sinusoids(50_000, 18)
    assert (table[49_998] - table[49_999]).abs().max() > 0.1


def test_each_layer_scales_the_same_sinusoids_and_starts_at_one() -> None:
    first, second = AddedPositions(8, 100), AddedPositions(8, 100)
    assert_close(first(0, 5), sinusoids(5, 8))
    with torch.no_grad():
        second.scale.fill_(0.5)
    assert_close(second(0, 5), 0.5 * sinusoids(5, 8))
    assert_close(first.add(torch.ones(2, 5, 8), 3), torch.ones(2, 5, 8) + sinusoids(8, 8)[3:])


def test_the_table_is_cut_and_grown_to_the_length_at_hand() -> None:
    positions = AddedPositions(6, 1000)
    for start, length in [(0, 3), (2, 5), (0, 700), (699, 1)]:
        assert_close(positions(start, length), sinusoids(1000, 6)[start : start + length], atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("head_dim", [2, 5, 8, 25])
def test_rotary_scores_depend_on_distance_alone(head_dim: int) -> None:
    rotary = RotaryPositions(head_dim, 1000)
    torch.manual_seed(0)
    query, key = torch.randn(1, 1, 1, head_dim), torch.randn(1, 1, 1, head_dim)

    def score(query_at: int, key_at: int) -> torch.Tensor:
        return (rotary.turn(query, query_at) * rotary.turn(key, key_at)).sum()

    assert_close(score(9, 4), score(105, 100), atol=1e-4, rtol=1e-4)
    assert (score(9, 4) - score(9, 5)).abs() > 1e-3


@pytest.mark.parametrize("base", [10_000.0, 500_000.0])
def test_rotary_is_what_transformers_computes(base: float) -> None:
    from transformers import LlamaConfig
    from transformers.models.llama.modeling_llama import LlamaRotaryEmbedding, apply_rotary_pos_emb

    query, key = torch.randn(2, 2, 3, 7, 16, generator=torch.Generator().manual_seed(0)).unbind()
    config = LlamaConfig(head_dim=16, rope_parameters={"rope_type": "default", "rope_theta": base})
    cosine, sine = LlamaRotaryEmbedding(config)(query, torch.arange(5, 12)[None])
    positions = RotaryPositions(16, 100, base=base)
    found = positions.turn(query, 5), positions.turn(key, 5)
    assert_close(found, apply_rotary_pos_emb(query, key, cosine, sine), atol=1e-5, rtol=1e-5)


def test_turning_keeps_lengths() -> None:
    x = torch.randn(2, 3, 7, 9, generator=torch.Generator().manual_seed(0))
    assert_close(RotaryPositions(9, 100).turn(x, 5).norm(dim=-1), x.norm(dim=-1))


def test_learned_positions_are_the_rows_of_their_table_and_no_more() -> None:
    torch.manual_seed(0)
    positions = LearnedPositions(6, 10)
    x = torch.randn(2, 3, 6)
    assert_close(positions.add(x, 4), x + positions.weight[4:7])
    assert torch.equal(positions.turn(x[:, None], 4), x[:, None])
    assert 0.01 < positions.weight.std() < 0.03
    with pytest.raises(ValueError, match="the sequence has 11 positions; max_len is 10"):
        positions.add(x, 8)


def test_learned_positions_learn_only_where_they_stood() -> None:
    positions = LearnedPositions(6, 10)
    positions.add(torch.zeros(2, 3, 6), 4).sum().backward()
    assert positions.weight.grad is not None
    assert positions.weight.grad.sum(dim=1).tolist() == [0, 0, 0, 0, 12, 12, 12, 0, 0, 0]


def test_no_positions_leave_everything_as_it_is_at_any_length() -> None:
    positions, x = NoPositions(), torch.randn(2, 3, 4, 6)
    assert torch.equal(positions.add(x[0], 10**9), x[0])
    assert torch.equal(positions.turn(x, 10**9), x)
    assert list(positions.parameters()) == []
