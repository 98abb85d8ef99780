"""What a position takes from the one before it: written out, in pieces, and past what a mask hides."""

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from atinuke.models.layers.attention import causal_mask
from atinuke.models.layers.prefix import after_prefix_mask, prefix_mask
from atinuke.models.layers.shift import TokenShift


def shift_by(weights: list[float]) -> TokenShift:
    shift = TokenShift(len(weights))
    with torch.no_grad():
        shift.weight.copy_(torch.tensor(weights))
    return shift.requires_grad_(False)


def test_it_begins_as_nothing() -> None:
    x = torch.randn(2, 5, 3)
    assert_close(TokenShift(3)(x), x)


def test_three_positions_written_out() -> None:
    x = torch.tensor([[[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]]])
    assert shift_by([0.5, -1.0])(x).tolist() == [[[1.0, 10.0], [2.5, 10.0], [4.0, 10.0]]]


def test_it_is_a_causal_convolution_of_each_component() -> None:
    x, shift = torch.randn(2, 7, 4), shift_by([0.3, -0.7, 1.5, 0.0])
    convolution = torch.nn.Conv1d(4, 4, 2, padding=1, groups=4, bias=False)
    with torch.no_grad():
        convolution.weight.copy_(torch.stack([shift.weight, torch.ones(4)], dim=1)[:, None])
        expected = convolution(x.transpose(1, 2))[..., :7].transpose(1, 2)
    assert_close(shift(x), expected)


@given(st.integers(1, 8), st.integers(0, 8))
def test_in_two_pieces_it_is_what_it_is_in_one(first: int, second: int) -> None:
    x, shift = torch.randn(2, first + second, 3), shift_by([0.5, 1.0, -2.0])
    pieces = [shift(x[:, :first]), shift(x[:, first:], x[:, first - 1 : first])]
    assert_close(torch.cat(pieces, dim=1), shift(x))


def test_the_causal_mask_written_out_hides_nothing_of_it() -> None:
    x, shift = torch.randn(2, 6, 3), shift_by([0.5, 1.0, -2.0])
    assert_close(shift(x, None, causal_mask(6, 6)), shift(x))
    assert_close(shift(x[:, 4:], x[:, 3:4], causal_mask(2, 6)), shift(x)[:, 4:])


@given(st.integers(1, 6), st.integers(1, 6), st.lists(st.integers(1, 6), min_size=1, max_size=4))
def test_padding_ahead_of_a_row_gives_it_nothing(prefix_count: int, token_count: int, counts: list[int]) -> None:
    """Each row is what it is alone and without padding; the tokens after it too, when they come later."""
    real = torch.tensor(counts).clamp(max=prefix_count)
    x, shift = torch.randn(len(counts), prefix_count + token_count, 3), shift_by([0.5, 1.0, -2.0])
    shifted = shift(x, None, prefix_mask(prefix_count, token_count, real))
    is_padding = torch.arange(prefix_count) < prefix_count - real[:, None]
    mask = after_prefix_mask(token_count, prefix_count, is_padding)
    later = shift(x[:, prefix_count:], x[:, prefix_count - 1 : prefix_count], mask)
    for row, count in enumerate(real.tolist()):
        alone = shift(x[row : row + 1, prefix_count - count :])
        assert_close(shifted[row : row + 1, prefix_count - count :], alone)
        assert_close(later[row : row + 1], alone[:, count:])


def test_documents_that_do_not_see_each_other_take_nothing_from_each_other() -> None:
    x, shift = torch.randn(1, 5, 3), shift_by([0.5, 1.0, -2.0])
    document = torch.tensor([0, 0, 1, 1, 1])
    mask = causal_mask(5, 5) & (document[:, None] == document)
    assert_close(shift(x, None, mask), torch.cat([shift(x[:, :2]), shift(x[:, 2:])], dim=1))
