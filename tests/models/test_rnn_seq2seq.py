"""What the recurrent encoder-decoder promises; its attention is worked by hand."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from atinuke.models.layers.recurrent import Cell
from atinuke.models.rnn_seq2seq import AdditiveAttention, RecurrentSeq2Seq, reading_orders

CELLS: list[Cell] = ["lstm", "gru"]


def build(cell: Cell = "gru", layer_count: int = 2, max_len: int = 50) -> RecurrentSeq2Seq:
    torch.manual_seed(0)
    model = RecurrentSeq2Seq(11, 6, 10, layer_count, key_dim=8, cell=cell, max_len=max_len)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.4)
    return model.eval()


def ids(rows: int, length: int, seed: int = 1) -> Tensor:
    return torch.randint(11, (rows, length), generator=torch.Generator().manual_seed(seed))


SOURCE = ids(3, 7)
IS_SOURCE = torch.arange(7) < torch.tensor([[7], [4], [1]])
TARGET = ids(3, 6, seed=2)


def test_additive_attention_is_the_sum_worked_by_hand() -> None:
    """One query, two annotations of one number: scores are v·tanh(W s + U h + b)."""
    attention = AdditiveAttention(1, 1, 2)
    with torch.no_grad():
        attention.project_query.weight.copy_(torch.tensor([[1.0], [0.5]]))
        attention.project_key.weight.copy_(torch.tensor([[2.0], [-1.0]]))
        attention.project_key.bias.copy_(torch.tensor([0.0, 0.25]))
        attention.score.copy_(torch.tensor([1.0, -2.0]))
    annotations = torch.tensor([[[0.5], [-1.0]]])
    query, everywhere = torch.tensor([[[1.0]]]), torch.ones(1, 2, dtype=torch.bool)
    scores = [math.tanh(1 + 2 * h) - 2 * math.tanh(0.5 - h + 0.25) for h in (0.5, -1.0)]
    first = 1 / (1 + math.exp(scores[1] - scores[0]))
    keys = attention.keys(annotations)
    assert_close(attention.weights(query, keys, everywhere), torch.tensor([[[first, 1 - first]]]))
    gathered = attention(query, keys, annotations, everywhere)
    assert gathered.item() == pytest.approx(first * 0.5 - (1 - first), abs=1e-6)
    one_alone = torch.tensor([[False, True]])
    assert attention(query, keys, annotations, one_alone).item() == -1.0
    assert attention(query, keys, annotations, ~everywhere).item() == 0.0


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(st.booleans(), min_size=5, max_size=5), min_size=1, max_size=4))
def test_reading_orders_take_the_source_both_ways_and_padding_last(rows: list[list[bool]]) -> None:
    ahead, back = reading_orders(torch.tensor(rows))
    for row, there, back_again in zip(rows, ahead.tolist(), back.tolist(), strict=True):
        places = [place for place, counts in enumerate(row) if counts]
        assert there[: len(places)] == places
        assert back_again[: len(places)] == places[::-1]
        assert sorted(there) == sorted(back_again) == [0, 1, 2, 3, 4]


def test_without_padding_the_encoder_is_torchs_bidirectional_one() -> None:
    model = build("gru", layer_count=2)
    kernel = nn.GRU(6, 10, num_layers=2, batch_first=True, bidirectional=True)
    for layer in range(2):
        for suffix, block in (("", model.blocks[layer]), ("_reverse", model.blocks[2 + layer])):
            for name, parameter in block.kernel.named_parameters():
                getattr(kernel, name.replace("_l0", f"_l{layer}{suffix}")).data.copy_(parameter)
    memory = model.encode(SOURCE, torch.ones_like(IS_SOURCE))
    assert_close(memory.states, kernel(model.embed(SOURCE))[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layer_count", [1, 2, 3])
@pytest.mark.parametrize("cell", CELLS)
class TestEveryBuild:
    def test_the_future_of_the_target_does_not_change_its_past(self, cell: Cell, layer_count: int) -> None:
        model, other = build(cell, layer_count), TARGET.clone()
        other[:, 4:] = (other[:, 4:] + 1) % 11
        one, two = model(SOURCE, IS_SOURCE, TARGET), model(SOURCE, IS_SOURCE, other)
        assert_close(one[:, :4], two[:, :4])
        assert (one[:, 4:] - two[:, 4:]).abs().amax(dim=-1).min() > 1e-3

    def test_padding_changes_nothing(self, cell: Cell, layer_count: int) -> None:
        model, other = build(cell, layer_count), SOURCE.clone()
        other[~IS_SOURCE] = (other[~IS_SOURCE] + 3) % 11
        logits = model(SOURCE, IS_SOURCE, TARGET)
        assert_close(model(other, IS_SOURCE, TARGET), logits)
        assert_close(model(SOURCE[1:2, :4], IS_SOURCE[1:2, :4], TARGET[1:2]), logits[1:2], atol=1e-5, rtol=1e-5)
        in_front = SOURCE[1:2].roll(3, dims=1), IS_SOURCE[1:2].roll(3, dims=1)
        assert_close(model(*in_front, TARGET[1:2]), logits[1:2], atol=1e-5, rtol=1e-5)

    def test_every_source_token_reaches_the_first_logits(self, cell: Cell, layer_count: int) -> None:
        model = build(cell, layer_count)
        logits = model(SOURCE[:1], IS_SOURCE[:1], TARGET[:1])
        for place in range(7):
            other = SOURCE[:1].clone()
            other[:, place] = (other[:, place] + 1) % 11
            assert (model(other, IS_SOURCE[:1], TARGET[:1]) - logits)[:, 0].abs().max() > 1e-5

    @pytest.mark.parametrize("split", [[1] * 6, [2, 1, 3]])
    def test_cached_decoding_gives_the_logits_of_the_whole_target(
        self, cell: Cell, layer_count: int, split: list[int]
    ) -> None:
        model = build(cell, layer_count)
        memory, cache = model.encode(SOURCE, IS_SOURCE), model.new_cache(3, 6)
        pieces = [model.decode(piece, memory, cache) for piece in TARGET.split(split, dim=1)]
        assert cache.length == 6
        assert_close(torch.cat(pieces, dim=1), model.decode(TARGET, memory), atol=1e-5, rtol=1e-5)

    def test_several_rows_of_one_source_are_decoded_as_each_alone(self, cell: Cell, layer_count: int) -> None:
        model, rows = build(cell, layer_count), ids(6, 5, seed=3)
        memory = model.encode(SOURCE, IS_SOURCE)
        plain = model.decode(rows, memory.for_rows(6))
        assert_close(model.decode(rows, memory), plain, atol=1e-5, rtol=1e-5)
        cache, order = model.new_cache(6, 6), torch.tensor([1, 1, 2, 3, 5, 4])  # beams change places in their source
        model.decode(rows[:, :4], memory, cache)
        cache.select(order)
        again = model.decode(rows[order, 4:], memory, cache)
        assert_close(again, model.decode(rows[order], memory.for_rows(6))[:, 4:], atol=1e-5, rtol=1e-5)

    def test_gradient_reaches_every_parameter(self, cell: Cell, layer_count: int) -> None:
        model = build(cell, layer_count)
        model(SOURCE, IS_SOURCE, TARGET).square().sum().backward()
        assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []


def test_a_source_and_a_target_beyond_max_len_are_refused() -> None:
    model = build(max_len=6)
    with pytest.raises(ValueError, match="7 positions; max_len is 6"):
        model.encode(SOURCE, IS_SOURCE)
    memory, cache = model.encode(SOURCE[:, :6], IS_SOURCE[:, :6]), model.new_cache(3, 9)
    model.decode(TARGET, memory, cache)
    with pytest.raises(ValueError, match="7 positions; max_len is 6"):
        model.decode(TARGET[:, :1], memory, cache)


def test_a_row_with_nothing_to_read_is_finite_and_so_are_its_gradients() -> None:
    model = build("lstm")
    nothing = torch.zeros_like(IS_SOURCE)
    logits = model(SOURCE, nothing, TARGET)
    logits.sum().backward()
    assert logits.isfinite().all()
    assert all(parameter.grad is None or parameter.grad.isfinite().all() for parameter in model.parameters())


@pytest.mark.parametrize("cell", CELLS)
def test_it_learns_to_turn_a_word_round(cell: Cell) -> None:
    """Which no decoder can without looking at the source: the words are random."""
    torch.manual_seed(0)
    model = RecurrentSeq2Seq(8, 16, 32, 1, key_dim=32, cell=cell)
    source = torch.randint(1, 8, (64, 5))
    target = source.flip(1)
    before = F.pad(target[:, :-1], (1, 0))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(120):
        logits = model(source, torch.ones_like(source, dtype=torch.bool), before)
        loss = F.cross_entropy(logits.flatten(0, 1), target.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1
