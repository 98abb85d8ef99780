"""Who sees whom when a picture or a sound stands before the tokens."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from atinuke.models.layers.prefix import pad_in_front, prefix_mask


def test_the_mask_of_two_patches_and_three_tokens_written_out() -> None:
    expected = [
        [1, 1, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 1, 1, 1],
    ]
    assert prefix_mask(2, 3)[0, 0].int().tolist() == expected


def test_a_row_with_one_real_frame_of_three_written_out() -> None:
    # frames 0 and 1 are padding: nothing real sees them; they see the prefix
    expected = [
        [1, 1, 1, 0, 0],
        [1, 1, 1, 0, 0],
        [0, 0, 1, 0, 0],
        [0, 0, 1, 1, 0],
        [0, 0, 1, 1, 1],
    ]
    assert prefix_mask(3, 2, torch.tensor([1, 3]))[0, 0].int().tolist() == expected
    assert_close(prefix_mask(3, 2, torch.tensor([1, 3]))[1], prefix_mask(3, 2)[0])


@given(st.integers(1, 9), st.integers(1, 9), st.lists(st.integers(1, 9), min_size=1, max_size=4))
def test_every_row_sees_something_and_no_token_sees_later_ones_or_padding(
    prefix_count: int, token_count: int, counts: list[int]
) -> None:
    real = torch.tensor(counts).clamp(max=prefix_count)
    mask = prefix_mask(prefix_count, token_count, real)
    assert mask.shape == (len(counts), 1, prefix_count + token_count, prefix_count + token_count)
    assert mask.any(dim=-1).all()
    for row, count in enumerate(real.tolist()):
        tokens = mask[row, 0, prefix_count:]
        assert not tokens[:, : prefix_count - count].any()
        assert tokens[:, prefix_count - count : prefix_count].all()
        assert_close(tokens[:, prefix_count:], torch.ones(token_count, token_count, dtype=torch.bool).tril())
        assert not mask[row, 0, :prefix_count, prefix_count:].any()


def test_padding_moves_to_the_front_and_the_rest_keeps_its_order() -> None:
    x = torch.tensor([[1.0, 2.0, 0.0, 0.0], [5.0, 6.0, 7.0, 8.0]])[..., None]
    moved = pad_in_front(x, torch.tensor([2, 4]))[..., 0]
    assert moved.tolist() == [[0.0, 0.0, 1.0, 2.0], [5.0, 6.0, 7.0, 8.0]]
