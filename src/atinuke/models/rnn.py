"""The recurrent language model: one state, rewritten by every token, instead of attention to all of them."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from atinuke.models.decoder import Decoder
from atinuke.models.layers.attention import Mask
from atinuke.models.layers.cache import Cache
from atinuke.models.layers.dropout import Dropout
from atinuke.models.layers.prefix import Prefix
from atinuke.models.layers.recurrent import Cell, RecurrentLayer, StateCache, check_length, run_layers


class RNN(Decoder):
    """Mikolov et al. 2010's recurrent language model, with LSTM cells (Sundermeyer et al. 2012) or GRU cells.

        x = √D · E(token)                                     D wide
        h¹ = cell¹(dropout(x)), hˡ = cellˡ(dropout(hˡ⁻¹))     layer_count of them, hidden_dim wide
        logits = dropout(W h) Eᵀ + b                          the read-out shares the embedding

    Sharing needs the state brought back to the width D, which W does (Inan et al. 2016, arXiv:1611.01462; Press & Wolf
    2016, arXiv:1608.05859): with a large vocabulary the largest product is then hidden_dim / D times cheaper too.
    Dropout is between layers, never from token to token (Zaremba et al. 2014, arXiv:1409.2329). E starts from
    N(0, 1/D), so that √D·E(token) has components of variance 1, and W from zero, so that the first loss is ln V.
    `blocks` holds the cells, whose matrices an optimizer for matrices may take, all gates of one in a piece.

    Every window begins with an empty state; none is carried over from the window before. `max_len` is kept as a
    promise, not out of need: a state has no positions.
    """

    def __init__(
        self,
        vocab_size: int,
        model_dim: int,
        hidden_dim: int,
        layer_count: int,
        dropout: float = 0.0,
        max_len: int = 50_000,
        cell: Cell = "lstm",
    ) -> None:
        super().__init__()
        self.vocab_size, self.max_len = vocab_size, max_len
        self.cell = cell
        self.embedding = nn.Embedding(vocab_size, model_dim)
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(
            RecurrentLayer(hidden_dim if layer else model_dim, hidden_dim, cell) for layer in range(layer_count)
        )
        self.project_out = nn.Linear(hidden_dim, model_dim, bias=False)
        self.head_bias = nn.Parameter(torch.zeros(vocab_size))
        nn.init.normal_(self.embedding.weight, std=model_dim**-0.5)
        nn.init.zeros_(self.project_out.weight)

    def embed(
        self, tokens: Int[Tensor, "B T"], before: Int[Tensor, "B 1"] | None, start: int = 0
    ) -> Float[Tensor, "B T D"]:
        """√D · E(token); what came before is in the states."""
        return self.embedding(tokens) * self.embedding.embedding_dim**0.5

    def read_out(self, x: Float[Tensor, "B T F"]) -> Float[Tensor, "B T V"]:
        """Logits from the last layer's hidden states."""
        return F.linear(self.dropout(self.project_out(x)), self.embedding.weight, self.head_bias)

    def hidden(
        self,
        tokens: Int[Tensor, "B T"],
        cache: Cache | None = None,
        mask: Mask = "causal",
        prefix: Prefix | None = None,
        seen: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T F"]:
        """The state of the last layer after each token. With a cache, `tokens` follow those that it has seen."""
        if seen is not None:
            raise ValueError("there is no residual stream here to be seen")
        if not (isinstance(mask, str) and mask == "causal"):
            raise ValueError('a recurrent network reads from left to right; its mask can only be "causal"')
        if prefix is not None:
            self.prepend(prefix, self.embed(tokens, None), cache)  # says that it reads tokens alone
        check_length((cache.length if cache is not None else 0) + tokens.shape[1], self.max_len)
        remembered = cache.tensors if isinstance(cache, StateCache) else ()
        x, states = run_layers(self.blocks, self.embed(tokens, None), remembered, self.dropout)
        if isinstance(cache, StateCache):
            cache.advance(states, tokens.shape[1])
        return x

    def new_cache(self, batch: int, capacity: int) -> StateCache:
        """An empty cache. It takes the same room whatever `capacity` is; the rows come with the first tokens."""
        return StateCache(capacity)
