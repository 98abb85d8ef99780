"""What the feed-forward networks promise: on a window of tokens, and on a row of numbers."""

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.testing import assert_close

from atinuke.generate.decode import Window
from atinuke.models.layers.prefix import Prefix
from atinuke.models.perceptron import NumberPerceptron, Perceptron, TokenInput
from atinuke.train.optimizers import block_matrices

INPUTS: list[TokenInput] = ["learned", "one-hot", "integer"]


def build(token_input: TokenInput, window: int = 4, layer_count: int = 2, max_len: int = 100) -> Perceptron:
    torch.manual_seed(0)
    model = Perceptron(11, 6, 10, layer_count, window=window, token_input=token_input, max_len=max_len)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model.eval()


def tokens_like(batch: int, length: int) -> Tensor:
    return torch.randint(11, (batch, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("token_input", INPUTS)
class TestEveryInput:
    def test_a_position_knows_its_window_and_nothing_else(self, token_input: TokenInput) -> None:
        model, tokens = build(token_input), tokens_like(1, 12)
        logits = model(tokens)
        for changed in range(12):
            other = tokens.clone()
            other[:, changed] = (other[:, changed] + 1) % 11
            differs = ((model(other) - logits).abs().amax(dim=-1)[0] > 1e-5).nonzero().flatten().tolist()
            assert differs == [place for place in range(changed, changed + 4) if place < 12]

    def test_the_order_within_a_window_matters(self, token_input: TokenInput) -> None:
        model = build(token_input)
        one, other = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[2, 1, 3, 4]])
        assert (model(one)[:, -1] - model(other)[:, -1]).abs().max() > 1e-4

    def test_before_the_start_there_is_no_token(self, token_input: TokenInput) -> None:
        """Not token 0: a text that begins with it is another text."""
        model = build(token_input)
        assert (model(torch.tensor([[5]]))[0, 0] - model(torch.tensor([[0, 5]]))[0, 1]).abs().max() > 1e-4

    @settings(max_examples=15, deadline=None)
    @given(
        window=st.integers(1, 6),
        layer_count=st.integers(1, 3),
        pieces=st.lists(st.integers(1, 5), min_size=1, max_size=6),
    )
    def test_cached_decoding_gives_the_logits_of_the_whole_sequence(
        self, token_input: TokenInput, window: int, layer_count: int, pieces: list[int]
    ) -> None:
        model, tokens = build(token_input, window, layer_count), tokens_like(2, sum(pieces))
        cache = model.new_cache(2, sum(pieces))
        parts = [model(piece, cache) for piece in tokens.split(pieces, dim=1)]
        assert cache.length == sum(pieces)
        assert_close(torch.cat(parts, dim=1), model(tokens), atol=1e-5, rtol=1e-5)

    def test_what_is_fed_forward_is_the_window_spelled_out(self, token_input: TokenInput) -> None:
        """`embed` is readable; for one-hot input `forward` takes another way."""
        model, tokens = build(token_input), tokens_like(2, 9)
        x = model.embed(tokens, None)
        for block in model.blocks:
            x = block(x)
        assert_close(model(tokens), model.read_out(x), atol=1e-5, rtol=1e-5)

    def test_a_cache_whose_rows_were_exchanged_goes_on_from_them(self, token_input: TokenInput) -> None:
        model, tokens, rows = build(token_input), tokens_like(3, 7), torch.tensor([2, 0, 0, 1])
        cache = model.new_cache(3, 12)
        model(tokens[:, :6], cache)
        cache.select(rows)
        assert_close(model(tokens[rows, 6:], cache), model(tokens[rows])[:, 6:], atol=1e-5, rtol=1e-5)

    def test_the_window_of_generation_gives_the_logits_of_its_tokens(self, token_input: TokenInput) -> None:
        model = build(token_input, layer_count=1)
        window = Window(model, [1, 2, 3], context=6)
        for token in (4, 5, 6, 7, 8):  # it slides on the way
            assert_close(window.logits(), model(torch.tensor([window.tokens]))[0, -1], atol=1e-5, rtol=1e-5)
            window.append(token)

    def test_gradient_reaches_every_parameter(self, token_input: TokenInput) -> None:
        model = build(token_input)
        model(tokens_like(8, 40)).square().sum().backward()
        assert [name for name, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0] == []

    def test_max_len_is_enforced_with_and_without_a_cache(self, token_input: TokenInput) -> None:
        model = build(token_input, max_len=8)
        with pytest.raises(ValueError, match="9 positions; max_len is 8"):
            model(tokens_like(1, 9))
        cache = model.new_cache(1, 16)
        model(tokens_like(1, 8), cache)
        with pytest.raises(ValueError, match="9 positions; max_len is 8"):
            model(tokens_like(1, 1), cache)

    def test_it_begins_as_the_uniform_distribution(self, token_input: TokenInput) -> None:
        logits = Perceptron(11, 6, 10, 2, window=4, token_input=token_input)(tokens_like(2, 9))
        loss = F.cross_entropy(logits.flatten(0, 1), tokens_like(2, 9).flatten())
        assert loss.item() == pytest.approx(math.log(11))

    def test_it_refuses_to_look_ahead(self, token_input: TokenInput) -> None:
        for mask in ("full", torch.ones(1, 1, 3, 3, dtype=torch.bool)):
            with pytest.raises(ValueError, match="sees the tokens before"):
                build(token_input)(tokens_like(1, 3), None, mask)

    def test_it_refuses_a_picture(self, token_input: TokenInput) -> None:
        with pytest.raises(ValueError, match="Perceptron reads tokens alone and was given a picture"):
            build(token_input)(tokens_like(1, 3), prefix=Prefix("picture", torch.zeros(1, 1, 4, 4)))


@pytest.mark.parametrize("token_input", ["learned", "one-hot"])
def test_it_overfits_one_batch(token_input: TokenInput) -> None:
    torch.manual_seed(0)
    model, window = Perceptron(11, 8, 32, 2, window=6, token_input=token_input), tokens_like(4, 13)
    window[:, 0] = torch.arange(4)  # or the first target could not be known
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    for _ in range(80):
        loss = F.cross_entropy(model(window[:, :-1]).flatten(0, 1), window[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.1


def test_integer_input_is_the_id_as_a_part_of_the_vocabulary() -> None:
    numbers = build("integer").embed(torch.tensor([[0, 10, 4]]), None)
    expected = [[0, 0, 0, 1 / 11], [0, 0, 1 / 11, 1], [0, 1 / 11, 1, 5 / 11]]
    assert_close(numbers[0], torch.tensor(expected))


def test_one_hot_input_is_the_window_in_zeros_and_ones() -> None:
    numbers = Perceptron(3, 1, 2, 1, window=2, token_input="one-hot").embed(torch.tensor([[2, 0]]), None)
    assert numbers[0].tolist() == [[0, 0, 0, 0, 0, 1], [0, 0, 1, 1, 0, 0]]


def test_tables_are_left_to_the_optimizer_of_embeddings() -> None:
    assert [tuple(matrix.shape) for matrix in block_matrices(build("one-hot"))] == [(10, 10)]
    assert [tuple(matrix.shape) for matrix in block_matrices(build("learned"))] == [(10, 24), (10, 10)]


def table_of(rows: int = 50) -> Tensor:
    """Years, prices and a column that says nothing."""
    generator = torch.Generator().manual_seed(0)
    columns = [2000 + 5 * torch.randn(rows, generator=generator), 1e6 * torch.rand(rows, generator=generator)]
    return torch.stack([*columns, torch.full((rows,), 7.0)], dim=1)


def test_standardised_columns_have_mean_zero_and_spread_one() -> None:
    numbers, model = table_of(), NumberPerceptron(3, 2, 5, 1)
    model.standardise(numbers)
    x = (numbers - model.means) / model.spreads
    assert_close(x.mean(0), torch.zeros(3), atol=1e-4, rtol=0)
    assert_close(x.std(0, correction=0), torch.tensor([1.0, 1.0, 0.0]), atol=1e-4, rtol=0)


def test_a_saved_network_takes_numbers_as_they_were_measured() -> None:
    numbers, model = table_of(), NumberPerceptron(3, 0, 5, 2)
    model.standardise(numbers, numbers[:, 1])
    nn.init.normal_(model.head.weight)
    other = NumberPerceptron(3, 0, 5, 2)
    assert not torch.allclose(other(numbers), model(numbers))
    other.load_state_dict(model.state_dict())
    assert_close(other(numbers), model(numbers))


def test_a_regression_answers_in_the_units_of_its_targets() -> None:
    numbers, model = table_of(), NumberPerceptron(3, 0, 5, 2)
    targets = numbers[:, 1]
    model.standardise(numbers, targets)
    assert model(numbers).shape == (50, 1)
    # its read-out starts at zero: the answer that is best without looking
    assert_close(model(numbers)[:, 0], targets.mean().expand(50))
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(80):
        loss = F.mse_loss(model(numbers)[:, 0] / 1e6, targets / 1e6)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (model(numbers)[:, 0] - targets).abs().mean() < 0.05 * 1e6


def test_under_autocast_a_regression_keeps_the_digits_of_its_targets() -> None:
    numbers, model = table_of(), NumberPerceptron(3, 0, 5, 2)
    model.standardise(numbers, numbers[:, 0])
    with torch.autocast("cpu", torch.bfloat16):
        found = model(numbers)
    assert_close(found[:, 0], numbers[:, 0].mean().expand(50))  # bfloat16 knows 1992, 2000, 2008


def test_it_learns_a_border_that_is_not_straight() -> None:
    """Exclusive or: without a hidden layer it cannot be done."""
    torch.manual_seed(0)
    numbers, classes = torch.tensor([[0.0, 0.0], [0.0, 90.0], [3.0, 0.0], [3.0, 90.0]]), torch.tensor([0, 1, 1, 0])
    model = NumberPerceptron(2, 2, 16, 1)
    model.standardise(numbers)
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-2)
    for _ in range(60):
        loss = F.cross_entropy(model(numbers), classes)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert model(numbers).argmax(-1).tolist() == classes.tolist()
    assert loss.item() < 0.05


@pytest.mark.parametrize("shape", [(0, 3), (4, 2)])
def test_a_table_of_another_shape_is_refused_with_both_shapes(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"rows of 3 numbers, but the table has the shape \("):
        NumberPerceptron(3, 2, 5, 1).standardise(torch.zeros(shape))
