"""Recurrent layers: LSTM and GRU step by step as they are written, the fused kernel of the same, and their cache."""

from collections.abc import Callable, Iterable
from typing import Literal

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from atinuke.models.layers.cache import Cache

Cell = Literal["lstm", "gru"]

State = tuple[Tensor, ...]
"""What a layer carries from one token to the next, each (B, F): (hidden, memory) of an LSTM, (hidden,) of a GRU."""

GATES = {"lstm": 4, "gru": 3}
STATE_PARTS = {"lstm": 2, "gru": 1}
FORGET = 1
"""Of the LSTM's four row blocks (input, forget, candidate, output) the one that keeps the memory."""


def lstm_step(from_input: Float[Tensor, "B G"], from_hidden: Float[Tensor, "B G"], state: State) -> State:
    """One token through an LSTM (Hochreiter & Schmidhuber 1997, with the forget gate of Gers et al. 2000):

        c′ = σ(f)·c + σ(i)·tanh(g)        h′ = σ(o)·tanh(c′)

    where i, f, g, o are the four quarters of W x + b (`from_input`) plus U h + b (`from_hidden`).
    """
    _, memory = state
    into, forget, candidate, out = (from_input + from_hidden).chunk(4, dim=-1)
    memory = forget.sigmoid() * memory + into.sigmoid() * candidate.tanh()
    return out.sigmoid() * memory.tanh(), memory


def gru_step(from_input: Float[Tensor, "B G"], from_hidden: Float[Tensor, "B G"], state: State) -> State:
    """One token through a GRU (Cho et al. 2014, arXiv:1406.1078, eq. 5 to 8):

        h′ = z·h + (1 − z)·tanh(n_x + σ(r)·n_h)        z = σ(z_x + z_h)

    r, z, n being the thirds of W x + b and of U h + b. As in torch and cuDNN the reset gate falls on U h + b, after
    the matrix; the paper has it on h, before the matrix, where U h could not be computed together with the gates.
    """
    (hidden,) = state
    reset_x, update_x, candidate_x = from_input.chunk(3, dim=-1)
    reset_h, update_h, candidate_h = from_hidden.chunk(3, dim=-1)
    update = (update_x + update_h).sigmoid()
    candidate = (candidate_x + (reset_x + reset_h).sigmoid() * candidate_h).tanh()
    return (update * hidden + (1 - update) * candidate,)


STEPS: dict[str, Callable[[Tensor, Tensor, State], State]] = {"lstm": lstm_step, "gru": gru_step}


class RecurrentLayer(nn.Module):
    """(B, T, D) → (B, T, F), position t knowing all up to t. The equations are `lstm_step` and `gru_step`.

    They run in torch's fused kernel; `reference` is the readable twin. Input matrices start from Glorot's uniform
    distribution, recurrent ones orthogonal (Saxe et al. 2013, arXiv:1312.6120), each gate on its own; biases at zero,
    but 1 for the LSTM's forget gate, so that memory lasts from the beginning (Jozefowicz et al. 2015, §2.2).
    """

    def __init__(self, input_dim: int, hidden_dim: int, cell: Cell) -> None:
        super().__init__()
        self.cell = cell
        self.hidden_dim = hidden_dim
        self.kernel = (nn.LSTM if cell == "lstm" else nn.GRU)(input_dim, hidden_dim, batch_first=True)
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        for name, parameter in self.kernel.named_parameters():
            for gate, rows in enumerate(parameter.chunk(GATES[self.cell])):
                if name.startswith("weight_ih"):
                    nn.init.xavier_uniform_(rows)
                elif name.startswith("weight_hh"):
                    nn.init.orthogonal_(rows)
                else:
                    rows.fill_(1.0 if (self.cell, gate, name) == ("lstm", FORGET, "bias_ih_l0") else 0.0)

    def forward(self, x: Float[Tensor, "B T D"], state: State | None = None) -> tuple[Float[Tensor, "B T F"], State]:
        """The hidden state after each position, and the state to go on from; none to start from is zeros."""
        if state is None:
            hidden, last = self.kernel(x)
        else:
            before = tuple(part[None] for part in state)  # torch counts layers first: (1, B, F)
            hidden, last = self.kernel(x, before if self.cell == "lstm" else before[0])
        return hidden, tuple(part[0] for part in (last if self.cell == "lstm" else (last,)))

    def reference(self, x: Float[Tensor, "B T D"], state: State | None = None) -> tuple[Float[Tensor, "B T F"], State]:
        """What `forward` computes, one token after the other."""
        input_weight, hidden_weight, input_bias, hidden_bias = self.kernel.parameters()
        state, hidden = state if state is not None else self.empty_state(x), []
        for token in x.unbind(dim=1):
            from_input, from_hidden = token @ input_weight.T + input_bias, state[0] @ hidden_weight.T + hidden_bias
            state = STEPS[self.cell](from_input, from_hidden, state)
            hidden.append(state[0])
        return torch.stack(hidden, dim=1), state

    def empty_state(self, like: Float[Tensor, "B ..."]) -> State:
        """Zeros for as many rows as `like` has."""
        return tuple(like.new_zeros(len(like), self.hidden_dim) for _ in range(STATE_PARTS[self.cell]))


class StateCache(Cache):
    """Of a network that remembers a fixed amount, however long the text: tensors (B, …), and the tokens in them."""

    def __init__(self, capacity: int) -> None:
        super().__init__([], capacity)
        self.tensors: State = ()
        self._length = 0

    @property
    def length(self) -> int:
        """How many tokens the cache has seen."""
        return self._length

    def advance(self, tensors: State, tokens: int) -> None:
        """`tensors` are what is remembered now, after `tokens` more of them."""
        self.tensors = tensors
        self._length += tokens

    def select(self, rows: Int[Tensor, " N"]) -> None:
        """Sequence n becomes what sequence `rows[n]` was."""
        self.tensors = tuple(tensor.index_select(0, rows) for tensor in self.tensors)


def run_layers(
    layers: Iterable[nn.Module], x: Float[Tensor, "B T D"], tensors: State, before: Callable[[Tensor], Tensor]
) -> tuple[Float[Tensor, "B T F"], State]:
    """x through one layer after another, `before` each of them something else, such as dropout.

    `tensors`: the states of all layers in a row, or nothing for empty ones. Those after the last token come back.
    """
    after: list[Tensor] = []
    for layer in layers:
        assert isinstance(layer, RecurrentLayer)
        parts = STATE_PARTS[layer.cell]
        x, state = layer(before(x), tensors[len(after) : len(after) + parts] or None)
        after.extend(state)
    return x, tuple(after)


def check_length(end: int, max_len: int) -> None:
    """ValueError when a sequence of `end` tokens is longer than `max_len`."""
    if end > max_len:
        raise ValueError(
            f"the sequence has {end} positions; max_len is {max_len}. "
            "Give fewer tokens, or build the network with a larger max_len."
        )
