"""RNN and the perceptrons compute what torch.nn and scikit-learn compute with the same weights."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sklearn.neural_network import MLPClassifier, MLPRegressor
from torch import Tensor, nn
from torch.testing import assert_close

from atinuke.models.layers.recurrent import Cell, RecurrentLayer
from atinuke.models.perceptron import NumberPerceptron, OneHotLayer, Perceptron
from atinuke.models.rnn import RNN

ATOL = 1e-5
"""Float32, and sums in another order."""
TOKENS = torch.randint(13, (3, 10), generator=torch.Generator().manual_seed(0))
TARGETS = torch.randint(13, (3, 10), generator=torch.Generator().manual_seed(1))
CELLS: list[Cell] = ["lstm", "gru"]


class TorchRNN(nn.Module):
    """The recurrent language model as one would write it from torch's parts: all layers in one kernel."""

    def __init__(self, cell: Cell) -> None:
        super().__init__()
        self.embedding = nn.Embedding(13, 6)
        self.layers = (nn.LSTM if cell == "lstm" else nn.GRU)(6, 9, num_layers=3, batch_first=True)
        self.narrow = nn.Linear(9, 6, bias=False)
        self.head = nn.Linear(6, 13)
        self.head.weight = self.embedding.weight

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.narrow(self.layers(self.embedding(tokens) * 6**0.5)[0]))


def pairs(ours: RNN, theirs: TorchRNN) -> list[tuple[Tensor, Tensor]]:
    """Parameters that mean the same."""
    named = dict(theirs.layers.named_parameters())
    found = [
        (parameter, named[name.replace("_l0", f"_l{layer}")])
        for layer, block in enumerate(ours.blocks)
        for name, parameter in block.kernel.named_parameters()
    ]
    found += [(ours.embedding.weight, theirs.embedding.weight), (ours.project_out.weight, theirs.narrow.weight)]
    return [*found, (ours.head_bias, theirs.head.bias)]


@pytest.mark.parametrize("cell", CELLS)
@pytest.mark.parametrize("direction", ["from torch", "to torch"])
def test_the_recurrent_network_is_torchs_stack_with_copied_weights(cell: Cell, direction: str) -> None:
    torch.manual_seed(0)
    ours, theirs = RNN(13, 6, 9, 3, cell=cell), TorchRNN(cell)
    for parameter in [*ours.parameters(), *theirs.parameters()]:
        nn.init.normal_(parameter, std=0.4)
    same = pairs(ours, theirs)
    assert len(same) == len(list(ours.parameters())) == len(list(theirs.parameters()))
    for our, their in same:
        if direction == "from torch":
            our.data.copy_(their)
        else:
            their.data.copy_(our)
    logits, expected = ours(TOKENS), theirs(TOKENS)
    assert_close(logits, expected, atol=ATOL, rtol=0)
    losses = [F.cross_entropy(each.flatten(0, 1), TARGETS.flatten()) for each in (logits, expected)]
    assert_close(losses[0], losses[1], atol=ATOL, rtol=0)
    for loss in losses:
        loss.backward()
    for our, their in same:
        assert_close(our.grad, their.grad, atol=ATOL, rtol=1e-4)


@pytest.mark.parametrize("cell", CELLS)
def test_the_readable_layer_is_torchs_cell_of_one_step(cell: Cell) -> None:
    """Torch's cells share no code with its kernels for whole sequences."""
    torch.manual_seed(0)
    layer = RecurrentLayer(5, 7, cell)
    single = (nn.LSTMCell if cell == "lstm" else nn.GRUCell)(5, 7)
    for name, parameter in layer.kernel.named_parameters():
        nn.init.normal_(parameter, std=0.5)
        getattr(single, name.removesuffix("_l0")).data.copy_(parameter)
    x, state = torch.randn(2, 4, 5), None
    hidden = []
    for token in x.unbind(1):
        state = single(token, state)
        hidden.append(state[0] if cell == "lstm" else state)
    assert_close(layer.reference(x)[0], torch.stack(hidden, dim=1), atol=ATOL, rtol=0)


def fitted(kind: type, numbers: NDArray[np.float32], answers: NDArray[np.generic]) -> MLPClassifier | MLPRegressor:
    """Scikit-learn's network after few steps: its weights are no longer those that it started with."""
    made = kind(hidden_layer_sizes=(8, 8), activation="relu", max_iter=3, random_state=0, early_stopping=False)
    for _ in range(3):
        made.partial_fit(numbers, answers, **({"classes": np.unique(answers)} if kind is MLPClassifier else {}))
    return made


def take_weights(model: nn.Module, theirs: MLPClassifier | MLPRegressor) -> None:
    first, *others = [block for block in model.blocks]
    inner = list(zip(theirs.coefs_, theirs.intercepts_, strict=True))
    if isinstance(first, OneHotLayer):
        first.table.data.copy_(torch.tensor(inner[0][0]).view(first.table.shape))
        first.bias.data.copy_(torch.tensor(inner[0][1]))
    layers = [block.project for block in (others if isinstance(first, OneHotLayer) else [first, *others])]
    for layer, (weight, bias) in zip([*layers, model.head], inner[-len(layers) - 1 :], strict=True):
        layer.weight.data.copy_(torch.tensor(weight.T))
        layer.bias.data.copy_(torch.tensor(bias))


def some_rows() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)


def test_the_network_of_numbers_has_scikit_learns_probabilities() -> None:
    rows = some_rows()
    theirs = fitted(MLPClassifier, rows, np.random.default_rng(1).integers(0, 3, 60))
    ours = NumberPerceptron(4, 3, 8, 2, activation="relu")
    take_weights(ours, theirs)
    expected = torch.tensor(theirs.predict_proba(rows)).float()
    assert_close(ours(torch.tensor(rows)).softmax(-1), expected, atol=ATOL, rtol=0)


def test_the_network_of_numbers_has_scikit_learns_regression() -> None:
    rows = some_rows()
    theirs = fitted(MLPRegressor, rows, rows @ np.array([1.0, -2.0, 0.5, 3.0]))
    ours = NumberPerceptron(4, 0, 8, 2, activation="relu")
    take_weights(ours, theirs)
    assert_close(ours(torch.tensor(rows))[:, 0], torch.tensor(theirs.predict(rows)).float(), atol=ATOL, rtol=1e-5)


def test_the_one_hot_perceptron_has_scikit_learns_probabilities_of_the_next_token() -> None:
    """Its input spelled out: three one-hot tokens side by side, the oldest first."""
    text = np.random.default_rng(2).integers(0, 5, 80)
    windows = np.stack([np.eye(5, dtype=np.float32)[text[place : place + 3]].ravel() for place in range(77)])
    theirs = fitted(MLPClassifier, windows, text[3:])
    ours = Perceptron(5, 1, 8, 2, window=3, token_input="one-hot", activation="relu")
    take_weights(ours, theirs)
    logits = ours(torch.tensor(text)[None, :-1])[0, 2:]  # from the third token on, windows are full
    assert_close(logits.softmax(-1), torch.tensor(theirs.predict_proba(windows)).float(), atol=ATOL, rtol=0)
