"""The recurrent layer against its equations, against numbers worked by hand, and its cache."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from atinuke.models.layers.recurrent import (
    GATES,
    Cell,
    RecurrentLayer,
    StateCache,
    check_length,
    gru_step,
    lstm_step,
)

CELLS: list[Cell] = ["lstm", "gru"]


def layer(cell: Cell, input_dim: int = 5, hidden_dim: int = 7) -> RecurrentLayer:
    """A layer whose every number matters: biases too."""
    torch.manual_seed(0)
    made = RecurrentLayer(input_dim, hidden_dim, cell)
    for parameter in made.parameters():
        nn.init.normal_(parameter, std=0.5)
    return made


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_an_lstm_step_is_the_one_worked_by_hand() -> None:
    """One unit: gates i, f, g, o before their squashing are 1, −1, 2, 0.5; it held the memory 3."""
    gates = torch.tensor([[0.4, -1.5, 2.0, 0.0]]), torch.tensor([[0.6, 0.5, 0.0, 0.5]])
    hidden, memory = lstm_step(*gates, (torch.tensor([[9.0]]), torch.tensor([[3.0]])))
    kept = sigmoid(-1) * 3 + sigmoid(1) * math.tanh(2)
    assert memory.item() == pytest.approx(kept, abs=1e-6)
    assert hidden.item() == pytest.approx(sigmoid(0.5) * math.tanh(kept), abs=1e-6)


def test_a_gru_step_is_the_one_worked_by_hand() -> None:
    """One unit that held 0.5: r, z, n from the input are 1, −1, 0.2, from the hidden state 0, 0.5, 0.8."""
    from_input, from_hidden = torch.tensor([[1.0, -1.0, 0.2]]), torch.tensor([[0.0, 0.5, 0.8]])
    (hidden,) = gru_step(from_input, from_hidden, (torch.tensor([[0.5]]),))
    update, candidate = sigmoid(-0.5), math.tanh(0.2 + sigmoid(1) * 0.8)
    assert hidden.item() == pytest.approx(update * 0.5 + (1 - update) * candidate, abs=1e-6)


@settings(max_examples=15, deadline=None)
@given(
    cell=st.sampled_from(CELLS),
    batch=st.integers(1, 3),
    length=st.integers(1, 6),
    sizes=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    goes_on=st.booleans(),
)
def test_the_kernel_computes_the_equations(
    cell: Cell, batch: int, length: int, sizes: tuple[int, int], goes_on: bool
) -> None:
    made, x = layer(cell, *sizes), torch.randn(batch, length, sizes[0])
    state = tuple(torch.randn_like(part) for part in made.empty_state(x)) if goes_on else None
    (fast, fast_state), (slow, slow_state) = made(x, state), made.reference(x, state)
    assert_close(fast, slow, atol=1e-5, rtol=1e-5)
    assert_close(fast_state, slow_state, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("cell", CELLS)
def test_the_kernel_has_the_gradients_of_the_equations(cell: Cell) -> None:
    made = layer(cell)
    x = torch.randn(3, 6, 5, requires_grad=True)
    inputs = [x, *made.parameters()]
    fast = torch.autograd.grad(made(x)[0].square().sum(), inputs)
    slow = torch.autograd.grad(made.reference(x)[0].square().sum(), inputs)
    for one, other in zip(fast, slow, strict=True):
        assert_close(one, other, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("cell", CELLS)
def test_a_state_goes_on_where_the_text_was_cut(cell: Cell) -> None:
    made, x = layer(cell), torch.randn(2, 9, 5)
    whole, end = made(x)
    first, state = made(x[:, :4])
    rest, other_end = made(x[:, 4:], state)
    assert_close(torch.cat([first, rest], dim=1), whole)
    assert_close(other_end, end)


@pytest.mark.parametrize("cell", CELLS)
def test_each_gate_starts_with_an_orthogonal_recurrent_matrix(cell: Cell) -> None:
    kernel = RecurrentLayer(5, 7, cell).kernel
    _, recurrent, *biases = kernel.parameters()
    for gate in recurrent.chunk(GATES[cell]):
        assert_close(gate @ gate.T, torch.eye(7), atol=1e-5, rtol=0)
    forget = torch.tensor([0.0, 1.0, 0.0, 0.0]).repeat_interleave(7) if cell == "lstm" else torch.zeros(21)
    assert_close(biases[0] + biases[1], forget)


def test_selected_rows_of_a_cache_go_on_as_those_they_were() -> None:
    cache = StateCache(8)
    cache.advance((torch.tensor([[1.0], [2.0]]), torch.tensor([[3.0], [4.0]])), 5)
    cache.select(torch.tensor([1, 1, 0]))
    assert [part.flatten().tolist() for part in cache.tensors] == [[2.0, 2.0, 1.0], [4.0, 4.0, 3.0]]
    assert cache.length == 5


def test_a_sequence_beyond_max_len_is_refused_with_both_numbers() -> None:
    check_length(8, 8)
    with pytest.raises(ValueError, match="9 positions; max_len is 8"):
        check_length(9, 8)
