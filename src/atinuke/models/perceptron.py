"""Feed-forward networks: one that reads the last few tokens, and one that reads a row of plain numbers."""

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from atinuke.models.decoder import Decoder
from atinuke.models.layers.attention import Mask
from atinuke.models.layers.cache import Cache
from atinuke.models.layers.dropout import Dropout
from atinuke.models.layers.feedforward import ACTIVATIONS, Activation
from atinuke.models.layers.prefix import Prefix
from atinuke.models.layers.recurrent import StateCache, check_length

TokenInput = Literal["learned", "one-hot", "integer"]


class HiddenLayer(nn.Module):
    """h = dropout(activation(W x + b)), W from He's distribution (He et al. 2015, arXiv:1502.01852), b from zero."""

    def __init__(self, input_dim: int, hidden_dim: int, activation: Activation, dropout: float) -> None:
        super().__init__()
        self.project = nn.Linear(input_dim, hidden_dim)
        self.activation: Callable[[Tensor], Tensor] = ACTIVATIONS[activation]
        self.dropout = Dropout(dropout)
        nn.init.kaiming_normal_(self.project.weight, nonlinearity="relu")
        nn.init.zeros_(self.project.bias)

    def forward(self, x: Float[Tensor, "*rows N"]) -> Float[Tensor, "*rows F"]:
        """Each row on its own."""
        return self.dropout(self.activation(self.project(x)))


class OneHotLayer(nn.Module):
    """A `HiddenLayer` for W one-hot tokens: one matrix (V, F) for each place of the window, the oldest first.

    A one-hot vector times a matrix picks one of its rows, so that `pick` adds up W rows where `forward`, its readable
    twin, multiplies W·V numbers, all but W of them zeros. The matrices are one three-dimensional parameter: an
    optimizer for matrices leaves tables of rows alone, as it does those of an embedding.
    """

    def __init__(self, window: int, vocab_size: int, hidden_dim: int, activation: Activation, dropout: float) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.empty(window, vocab_size, hidden_dim))
        self.bias = nn.Parameter(torch.zeros(hidden_dim))
        self.activation: Callable[[Tensor], Tensor] = ACTIVATIONS[activation]
        self.dropout = Dropout(dropout)
        nn.init.normal_(self.table, std=(2 / window) ** 0.5)  # He's, for the W inputs of which each is a one

    def forward(self, x: Float[Tensor, "B T WV"]) -> Float[Tensor, "B T F"]:
        """From windows spelled out in zeros and ones."""
        return self.dropout(self.activation(x @ self.table.flatten(0, 1) + self.bias))

    def pick(self, windows: Int[Tensor, "B T W"]) -> Float[Tensor, "B T F"]:
        """The same from the ids; a negative one is no token, and adds nothing."""
        window, vocab_size, hidden_dim = self.table.shape
        first_rows = torch.arange(window, device=windows.device) * vocab_size
        rows = (windows.clamp(min=0) + first_rows).reshape(-1, window)
        counts = (windows >= 0).reshape(-1, window).to(self.table.dtype)
        table = self.table.view(-1, hidden_dim)
        added = F.embedding_bag(rows, table, mode="sum", per_sample_weights=counts)
        return self.dropout(self.activation(added.view(*windows.shape[:2], hidden_dim) + self.bias))


class Perceptron(Decoder):
    """Bengio et al. 2003's neural language model: the next token from the last `window` tokens, and from no other.

        x = n(token at t − W + 1), …, n(token at t)      side by side: W·D, W·V or W numbers; zeros before the start
        h = act(W¹ x + b¹), …                            layer_count layers of hidden_dim
        logits = U h + b

    n(token) is learned (E(token), D numbers), "one-hot" (V zeros and ones), or "integer" ((id + 1) / V, one number: an
    order that tokens do not have, to see what that costs). Differences from the paper: GELU where it has tanh, several
    hidden layers, no direct connections from x to the logits. E starts from N(0, 1), U from zero, so that the first
    loss is ln V. `model_dim` matters to learned input alone.
    """

    def __init__(
        self,
        vocab_size: int,
        model_dim: int,
        hidden_dim: int,
        layer_count: int,
        dropout: float = 0.0,
        max_len: int = 50_000,
        window: int = 16,
        token_input: TokenInput = "learned",
        *,
        activation: Activation = "gelu",
    ) -> None:
        super().__init__()
        self.vocab_size, self.max_len = vocab_size, max_len
        self.window, self.token_input = window, token_input
        self.embedding = nn.Embedding(vocab_size, model_dim) if token_input == "learned" else None
        first: nn.Module = (
            OneHotLayer(window, vocab_size, hidden_dim, activation, dropout)
            if token_input == "one-hot"
            else HiddenLayer(window * (model_dim if self.embedding else 1), hidden_dim, activation, dropout)
        )
        more = (HiddenLayer(hidden_dim, hidden_dim, activation, dropout) for _ in range(layer_count - 1))
        self.blocks = nn.ModuleList([first, *more])
        self.head = nn.Linear(hidden_dim, vocab_size)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def embed(
        self, tokens: Int[Tensor, "B T"], before: Int[Tensor, "B S"] | None, start: int = 0
    ) -> Float[Tensor, "B T N"]:
        """The numbers of each position's window, side by side; `before`: up to W − 1 tokens ahead of these."""
        seen = tokens if before is None else torch.cat([before, tokens], dim=1)
        if self.embedding is not None:
            numbers = self.embedding(seen)
        elif self.token_input == "one-hot":
            numbers = F.one_hot(seen, self.vocab_size).to(self.head.weight.dtype)
        else:
            numbers = ((seen + 1) / self.vocab_size).to(self.head.weight.dtype)[..., None]
        missing = self.window - 1 + tokens.shape[1] - seen.shape[1]
        padded = F.pad(numbers, (0, 0, missing, 0))
        return torch.cat([padded[:, place : place + tokens.shape[1]] for place in range(self.window)], dim=-1)

    def read_out(self, x: Float[Tensor, "B T F"]) -> Float[Tensor, "B T V"]:
        """Logits from the last hidden layer."""
        return self.head(x)

    def hidden(
        self,
        tokens: Int[Tensor, "B T"],
        cache: Cache | None = None,
        mask: Mask = "causal",
        prefix: Prefix | None = None,
        seen: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T F"]:
        """The last hidden layer at each token. With a cache, `tokens` follow those that it has seen."""
        if seen is not None:
            raise ValueError("there is no residual stream here to be seen")
        if not (isinstance(mask, str) and mask == "causal"):
            raise ValueError('a perceptron sees the tokens before the next one; its mask can only be "causal"')
        if prefix is not None:
            self.prepend(prefix, self.embed(tokens, None), cache)  # says that it reads tokens alone
        check_length((cache.length if cache is not None else 0) + tokens.shape[1], self.max_len)
        before = cache.tensors[0] if isinstance(cache, StateCache) and cache.tensors else None
        first, *more = self.blocks
        if isinstance(first, OneHotLayer):
            x = first.pick(self._windows(tokens, before))
        else:
            x = first(self.embed(tokens, before))
        for block in more:
            x = block(x)
        if isinstance(cache, StateCache):
            known = tokens if before is None else torch.cat([before, tokens], dim=1)
            cache.advance((known[:, max(0, known.shape[1] - self.window + 1) :],), tokens.shape[1])
        return x

    def new_cache(self, batch: int, capacity: int) -> StateCache:
        """An empty cache: it will hold the last W − 1 tokens."""
        return StateCache(capacity)

    def _windows(self, tokens: Int[Tensor, "B T"], before: Int[Tensor, "B S"] | None) -> Int[Tensor, "B T W"]:
        """The ids in each position's window, −1 before the start."""
        seen = tokens if before is None else torch.cat([before, tokens], dim=1)
        missing = self.window - 1 + tokens.shape[1] - seen.shape[1]
        return F.pad(seen, (missing, 0), value=-1).unfold(1, self.window, 1)


class NumberPerceptron(nn.Module):
    """A row of plain numbers in, one logit for each class out; with `classes` = 0, one number: a regression.

        x = (numbers − means) / spreads
        h = act(W¹ x + b¹), …                layer_count layers of hidden_dim
        y = U h + b                          for a regression: times the spread of the targets, plus their mean

    Means and spreads belong to the network (buffers, saved with the weights), so that it takes numbers as they were
    measured and answers in the units of the targets. `standardise` sets them; at first they change nothing.
    """

    means: Tensor
    spreads: Tensor
    target_mean: Tensor
    target_spread: Tensor

    def __init__(
        self,
        numbers: int,
        classes: int,
        hidden_dim: int,
        layer_count: int,
        dropout: float = 0.0,
        *,
        activation: Activation = "gelu",
    ) -> None:
        super().__init__()
        self.numbers, self.classes = numbers, classes
        self.register_buffer("means", torch.zeros(numbers))
        self.register_buffer("spreads", torch.ones(numbers))
        self.register_buffer("target_mean", torch.zeros(()))
        self.register_buffer("target_spread", torch.ones(()))
        self.blocks = nn.ModuleList(
            HiddenLayer(hidden_dim if layer else numbers, hidden_dim, activation, dropout)
            for layer in range(layer_count)
        )
        self.head = nn.Linear(hidden_dim, classes or 1)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    @torch.no_grad()
    def standardise(self, numbers: Float[Tensor, "R N"], targets: Float[Tensor, " R"] | None = None) -> None:
        """From now on columns are taken as multiples of their standard deviation in `numbers` around their mean there.

        A column that never varies is only shifted. `targets` (regression alone): what the answers should be like.
        """
        if numbers.ndim != 2 or numbers.shape[1] != self.numbers or not len(numbers):
            raise ValueError(
                f"expected rows of {self.numbers} numbers, but the table has the shape {tuple(numbers.shape)}"
            )
        means, spreads = mean_and_spread(numbers)
        self.means.copy_(means)
        self.spreads.copy_(spreads)
        if targets is not None and not self.classes:
            mean, spread = mean_and_spread(targets[:, None])
            self.target_mean.copy_(mean[0])
            self.target_spread.copy_(spread[0])

    def forward(self, numbers: Float[Tensor, "B N"]) -> Float[Tensor, "B C"]:
        """Logits (B, C), or the predicted numbers (B, 1)."""
        x = (numbers - self.means) / self.spreads
        for block in self.blocks:
            x = block(x)
        if self.classes:
            return self.head(x)
        # not in bfloat16, which knows 8 bits of a mean
        return self.head(x).to(self.target_mean.dtype) * self.target_spread + self.target_mean


def mean_and_spread(columns: Float[Tensor, "R N"]) -> tuple[Float[Tensor, " N"], Float[Tensor, " N"]]:
    """Of each column its mean and standard deviation, the latter 1 where it never varies.

    In float64: the spread of years or prices is small beside their size, and float32 would lose it.
    """
    exact = columns.double()
    means, spreads = exact.mean(dim=0), exact.std(dim=0, correction=0)
    is_constant = columns.amax(dim=0) == columns.amin(dim=0)
    return means, spreads.masked_fill(is_constant, 1.0)
