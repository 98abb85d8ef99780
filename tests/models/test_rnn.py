"""What the recurrent language model promises."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.testing import assert_close

from atinuke.generate.decode import Window
from atinuke.models.layers.prefix import Prefix
from atinuke.models.layers.recurrent import Cell
from atinuke.models.rnn import RNN
from atinuke.train.optimizers import block_matrices

CELLS: list[Cell] = ["lstm", "gru"]


def build(cell: Cell, max_len: int = 100) -> RNN:
    torch.manual_seed(0)
    model = RNN(11, 6, 10, 3, cell=cell, max_len=max_len)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model.eval()


def tokens_like(batch: int, length: int) -> Tensor:
    return torch.randint(11, (batch, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("cell", CELLS)
class TestEveryCell:
    def test_the_future_does_not_change_the_past(self, cell: Cell) -> None:
        model, before = build(cell), tokens_like(2, 12)
        after = before.clone()
        after[:, 7:] = (after[:, 7:] + 1) % 11
        assert_close(model(before)[:, :7], model(after)[:, :7])
        assert (model(before)[:, 7:] - model(after)[:, 7:]).abs().amax(dim=-1).min() > 1e-3

    def test_the_first_token_reaches_the_last_logits(self, cell: Cell) -> None:
        model, before = build(cell), tokens_like(1, 6)
        after = before.clone()
        after[:, 0] = (after[:, 0] + 1) % 11
        assert (model(before)[:, -1] - model(after)[:, -1]).abs().max() > 1e-5

    def test_batch_mates_do_not_influence_each_other(self, cell: Cell) -> None:
        model, tokens = build(cell), tokens_like(4, 9)
        assert_close(model(tokens)[2:3], model(tokens[2:3]))

    def test_gradient_reaches_every_parameter(self, cell: Cell) -> None:
        model = build(cell)
        model(tokens_like(4, 9)).square().sum().backward()
        assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []

    @pytest.mark.parametrize("split", [[12], [1] * 12, [5, 7], [3, 1, 1, 4, 1, 2]])
    def test_cached_decoding_gives_the_logits_of_the_whole_sequence(self, cell: Cell, split: list[int]) -> None:
        model, tokens = build(cell), tokens_like(3, 12)
        cache = model.new_cache(3, 12)
        pieces = [model(piece, cache) for piece in tokens.split(split, dim=1)]
        assert cache.length == 12
        assert_close(torch.cat(pieces, dim=1), model(tokens), atol=1e-5, rtol=1e-5)

    def test_a_cache_whose_rows_were_exchanged_goes_on_from_them(self, cell: Cell) -> None:
        model, tokens, rows = build(cell), tokens_like(3, 7), torch.tensor([2, 0, 0, 1])
        cache = model.new_cache(3, 12)
        model(tokens[:, :6], cache)
        cache.select(rows)
        assert_close(model(tokens[rows, 6:], cache), model(tokens[rows])[:, 6:], atol=1e-5, rtol=1e-5)

    def test_max_len_is_enforced_with_and_without_a_cache(self, cell: Cell) -> None:
        model = build(cell, max_len=8)
        with pytest.raises(ValueError, match="9 positions; max_len is 8"):
            model(tokens_like(1, 9))
        cache = model.new_cache(1, 16)
        model(tokens_like(1, 8), cache)
        with pytest.raises(ValueError, match="9 positions; max_len is 8"):
            model(tokens_like(1, 1), cache)

    def test_the_window_of_generation_gives_the_logits_of_its_tokens(self, cell: Cell) -> None:
        model = build(cell)
        window = Window(model, [1, 2, 3], context=5)
        for token in (4, 5, 6, 7):  # the window slides on the way
            assert_close(window.logits(), model(torch.tensor([window.tokens]))[0, -1], atol=1e-5, rtol=1e-5)
            window.append(token)

    def test_it_overfits_one_batch(self, cell: Cell) -> None:
        torch.manual_seed(0)
        model, window = RNN(11, 16, 32, 2, cell=cell), tokens_like(4, 13)
        window[:, 0] = torch.arange(4)  # or the first target could not be known
        optimizer = torch.optim.AdamW(model.parameters(), lr=2e-2, weight_decay=0.0)
        for _ in range(60):
            loss = F.cross_entropy(model(window[:, :-1]).flatten(0, 1), window[:, 1:].flatten())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        assert loss.item() < 0.1

    def test_bfloat16_computes_nearly_the_same(self, cell: Cell) -> None:
        model, tokens = build(cell), tokens_like(2, 9)
        with torch.autocast("cpu", torch.bfloat16):
            rough = model(tokens).float()
        exact = model(tokens)
        assert 0 < (rough - exact).abs().max() < 0.05 * exact.abs().max()

    def test_the_matrices_of_its_cells_are_those_of_its_blocks(self, cell: Cell) -> None:
        rows = {"lstm": 40, "gru": 30}[cell]
        shapes = [tuple(matrix.shape) for matrix in block_matrices(build(cell))]
        assert shapes == [(rows, 6), (rows, 10), *[(rows, 10), (rows, 10)] * 2]


def test_it_begins_as_the_uniform_distribution() -> None:
    logits = RNN(11, 6, 10, 2)(tokens_like(2, 9))
    assert F.cross_entropy(logits.flatten(0, 1), tokens_like(2, 9).flatten()).item() == pytest.approx(math.log(11))


def test_it_refuses_to_look_ahead() -> None:
    model = build("lstm")
    for mask in ("full", torch.ones(1, 1, 3, 3, dtype=torch.bool)):
        with pytest.raises(ValueError, match="from left to right"):
            model(tokens_like(1, 3), None, mask)


def test_it_refuses_a_picture() -> None:
    with pytest.raises(ValueError, match="RNN reads tokens alone and was given a picture"):
        build("gru")(tokens_like(1, 3), prefix=Prefix("picture", torch.zeros(1, 1, 4, 4)))
