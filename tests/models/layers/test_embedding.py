"""The table of pairs: which row a pair gets, and that pairs are left out while training alone."""

import torch
from torch import nn

from atinuke.models.layers.embedding import PairEmbedding

IDS = 50


def filled(left_out: float = 0.0) -> PairEmbedding:
    pairs = PairEmbedding(400, 4, left_out)
    nn.init.normal_(pairs.table.weight, generator=torch.Generator().manual_seed(0))
    return pairs


def tokens(rows: int, length: int) -> torch.Tensor:
    return torch.randint(IDS, (rows, length), generator=torch.Generator().manual_seed(1))


def test_a_pair_has_the_same_vector_wherever_it_stands() -> None:
    pairs = filled()
    first, second = pairs(torch.tensor([[7, 8, 9]]), None), pairs(torch.tensor([[8, 9]]), torch.tensor([[7]]))
    assert torch.equal(first[:, 1:], second)
    assert not torch.equal(pairs(torch.tensor([[8, 7]]), None)[:, 1], first[:, 1])  # the order counts


def test_a_fresh_table_adds_nothing() -> None:
    assert PairEmbedding(400, 4)(tokens(2, 8), None).abs().max() == 0


def test_whole_positions_are_left_out_while_training_and_the_others_stay_as_they_are() -> None:
    pairs, text = filled(left_out=0.25), tokens(40, 100)
    whole = pairs.eval()(text, None)
    torch.manual_seed(0)
    part = pairs.train()(text, None)
    is_left_out = (part == 0).all(dim=-1)
    assert torch.equal(part[~is_left_out], whole[~is_left_out])
    assert abs(is_left_out.float().mean() - 0.25) < 0.03


def test_what_is_left_out_teaches_its_row_nothing() -> None:
    pairs = filled(left_out=1.0).train()
    pairs(tokens(2, 8), None).sum().backward()
    gradient = pairs.table.weight.grad
    assert gradient is not None and gradient.abs().max() == 0
