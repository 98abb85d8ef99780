"""Heads that several tasks share."""

from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from atinuke.models.layers.dropout import Dropout
from atinuke.models.layers.recurrent import RecurrentLayer

INITIAL_SPREAD = 0.02
FLOOR = -1e9
"""Score of what is not compared."""


class Reducible(nn.Module):
    """A head that has a smaller form, the one that BERT is published with."""

    def reduce(self) -> None:
        """From now on it is as BERT's, for networks that learned elsewhere what the larger form is to find out."""
        raise NotImplementedError


class PooledHead(Reducible):
    """A row → `outputs` numbers: logits of classes, or a number itself.

        U dropout(tanh(P [x_0 ; mean x ; max x]))      x_0: the first position; mean and maximum over all tokens

    BERT pools the first position alone (Devlin et al. 2019, §3.2), which an encoder that judged pairs of sentences has
    learned to fill: after `reduce` P reads x_0 alone, as transformers' BertForSequenceClassification does.
    """

    reads: ClassVar[int] = 3
    """Vectors that P reads side by side."""

    def __init__(self, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.pooler = nn.Linear(self.reads * width, width)
        self.first_alone = False
        self.dropout = Dropout(dropout)
        self.out = nn.Linear(width, outputs)
        start_small(self)

    def reduce(self) -> None:
        """From now on x_0 alone is read."""
        width = self.pooler.out_features
        self.pooler = nn.Linear(width, width)
        self.first_alone = True
        start_small(self)

    def forward(
        self, hidden: Float[Tensor, "B T D"], is_token: Bool[Tensor, "B T"], segments: Int[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B outputs"]:
        """Of each row."""
        read = hidden[:, 0] if self.first_alone else self.read(hidden, is_token, segments)
        return self.out(self.dropout(torch.tanh(self.pooler(read))))

    def read(
        self, hidden: Float[Tensor, "B T D"], is_token: Bool[Tensor, "B T"], segments: Int[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B R"]:
        """What the pooler reads."""
        return torch.cat([hidden[:, 0], _mean(hidden, is_token), _maximum(hidden, is_token)], dim=-1)


class PairHead(PooledHead):
    """Two texts in a row → `outputs` numbers, by what each token of the one has beside it in the other.

        e_ij = u_i · u_j / √K, u = A x       i and j in different texts
        y_i = relu(C [x_i ; o_i ; x_i − o_i ; x_i ∘ o_i]),  o_i = Σ_j softmax_j(e_ij) x_j
        U dropout(tanh(P [x_0 ; mean and maximum of y over each text]))

    Comparing by alignment is what Parikh et al. 2016 (arXiv:1606.01933) do, without a network before it. A begins so
    that u_i · u_j is x_i · x_j on average: a word finds itself in the other text before anything is learned.
    """

    reads = 5

    def __init__(self, width: int, outputs: int, dropout: float) -> None:
        super().__init__(width, outputs, dropout)
        self.align = nn.Linear(width, width, bias=False)
        self.compare = nn.Linear(4 * width, width)
        start_small(self)
        nn.init.normal_(self.align.weight, std=width**-0.5)

    def reduce(self) -> None:
        """From now on x_0 alone is read."""
        super().reduce()
        del self.align, self.compare

    def read(
        self, hidden: Float[Tensor, "B T D"], is_token: Bool[Tensor, "B T"], segments: Int[Tensor, "B T"] | None = None
    ) -> Float[Tensor, "B R"]:
        """Both texts, compared."""
        assert segments is not None
        first, second = is_token & (segments == 0), is_token & (segments == 1)
        units = self.align(hidden)
        scores = (units @ units.transpose(1, 2)).float() / units.shape[-1] ** 0.5
        is_other = (first[:, :, None] & second[:, None, :]) | (second[:, :, None] & first[:, None, :])
        # a finite floor: rows of padding have no other text, and their softmax has to be a number all the same
        shares = scores.masked_fill(~is_other, FLOOR).softmax(dim=-1).to(hidden.dtype)
        other = shares @ hidden
        y = self.compare(torch.cat([hidden, other, hidden - other, hidden * other], dim=-1)).relu()
        sides = [pool(y, side) for side in (first, second) for pool in (_mean, _maximum)]
        return torch.cat([hidden[:, 0], *sides], dim=-1)


class TokenHead(nn.Module):
    """Every token → `outputs` numbers: one matrix, as in BERT's head for spans and tags."""

    def __init__(self, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.out = nn.Linear(width, outputs)
        start_small(self)

    def forward(self, hidden: Float[Tensor, "B T D"]) -> Float[Tensor, "B T outputs"]:
        """Of each token."""
        return self.out(self.dropout(hidden))


class BothWays(nn.Module):
    """(B, n, F) → (B, n, 2 H): an LSTM over each row, and one from its end, of states (H) side by side."""

    def __init__(self, input_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.onward = RecurrentLayer(input_dim, hidden_dim, "lstm")
        self.back = RecurrentLayer(input_dim, hidden_dim, "lstm")

    def forward(self, x: Float[Tensor, "B n F"], lengths: Int[Tensor, " B"]) -> Float[Tensor, "B n H2"]:
        """In float32. A row is turned around within its own length, so that padding comes last both times."""
        places = torch.arange(x.shape[1], device=x.device).expand(len(x), -1)
        length = lengths[:, None]
        turned = torch.where(places < length, length - 1 - places, places)[..., None]
        # float32, as a recurrent layer adds up its roundings; and not every CPU has the layer in bfloat16
        with torch.autocast(x.device.type, enabled=False):
            x = x.float()
            onward, _ = self.onward(x)
            backward, _ = self.back(x.gather(1, turned.expand_as(x)))
        return torch.cat([onward, backward.gather(1, turned.expand_as(backward))], dim=-1)


def _mean(x: Float[Tensor, "B T D"], counts: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
    weights = counts[..., None].to(x.dtype)
    return (x * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)


def _maximum(x: Float[Tensor, "B T D"], counts: Bool[Tensor, "B T"]) -> Float[Tensor, "B D"]:
    """Zero where nothing counts, as a text that was cut away."""
    largest = x.masked_fill(~counts[..., None], -torch.inf).amax(dim=1)
    return torch.where(counts.any(dim=1, keepdim=True), largest, 0.0)


@torch.no_grad()
def start_small(head: nn.Module) -> None:
    """Matrices from N(0, 0.02), biases from zero: the first predictions are nearly even."""
    for module in head.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=INITIAL_SPREAD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
