"""The recurrent encoder-decoder with attention: how sequences were translated before the Transformer."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from atinuke.models.layers.dropout import Dropout
from atinuke.models.layers.recurrent import (
    STATE_PARTS,
    Cell,
    RecurrentLayer,
    StateCache,
    check_length,
    run_layers,
)
from atinuke.models.seq2seq import Memory, Seq2Seq, StepCache


class AdditiveAttention(nn.Module):
    """What each query gathers from the annotations: Bahdanau et al. 2014, arXiv:1409.0473, eq. 5 and 6.

        e_tj = v · tanh(W s_t + U h_j)        α_t = softmax(e_t)        c_t = Σ_j α_tj h_j

    All queries at once, which holds B·T·S·key_dim numbers. U h_j depends on the source alone: `keys` makes it once.
    """

    def __init__(self, query_dim: int, annotation_dim: int, key_dim: int) -> None:
        super().__init__()
        self.project_query = nn.Linear(query_dim, key_dim, bias=False)
        self.project_key = nn.Linear(annotation_dim, key_dim)
        self.score = nn.Parameter(torch.empty(key_dim))
        nn.init.normal_(self.score, std=key_dim**-0.5)
        nn.init.zeros_(self.project_key.bias)

    def keys(self, annotations: Float[Tensor, "B S A"]) -> Float[Tensor, "B S E"]:
        """U h_j, with a bias."""
        return self.project_key(annotations)

    def forward(
        self,
        queries: Float[Tensor, "B T Q"],
        keys: Float[Tensor, "B S E"],
        annotations: Float[Tensor, "B S A"],
        may_attend: Bool[Tensor, "B S"],
    ) -> Float[Tensor, "B T A"]:
        """c_t, the annotations averaged by α_t. A row that may attend nowhere gathers zeros."""
        return self.weights(queries, keys, may_attend).to(annotations.dtype) @ annotations

    def weights(
        self, queries: Float[Tensor, "B T Q"], keys: Float[Tensor, "B S E"], may_attend: Bool[Tensor, "B S"]
    ) -> Float[Tensor, "B T S"]:
        """α: which source token each target token looks at. Rows sum to 1."""
        met = torch.tanh(self.project_query(queries)[:, :, None] + keys[:, None])  # (B, T, S, E)
        seen = may_attend[:, None]
        # the lowest number, not −∞: a row of −∞ has no softmax, and its gradient would be NaN
        scores = torch.mv(met.flatten(0, 2), self.score.to(met.dtype)).view(met.shape[:3]).float()
        return scores.masked_fill(~seen, torch.finfo(scores.dtype).min).softmax(dim=-1) * seen


class RecurrentSeq2Seq(Seq2Seq):
    """Bahdanau et al. 2014, arXiv:1409.0473, with its attention taken all at once.

        h_j = [→h_j; ←h_j]                            encoder: each layer reads both ways, hidden_dim each
        s_t = cell¹(√D·E(y_t), s_{t−1})               decoder: the lowest layer has read the target so far
        c_t = attention(s_t, h)                       `AdditiveAttention`
        u_t = cell²([s_t; c_t]), …                    the layers above also read what was attended to
        logits = dropout(tanh(W [u_t; c_t; √D·E(y_t)])) Eᵀ + b

    The paper gives c_t to the one decoder layer that also makes the next query, so that training must walk through the
    target one token at a time. Here nothing flows from the attention back into the layer that asks, as in GNMT (Wu et
    al. 2016, arXiv:1609.08144, §3.2): each layer is one call of a fused kernel over all T tokens, the attention one
    product. Otherwise as in the paper: s_0 = tanh(W_s ←h_1), for each layer; the read-out knows state, context and
    last token (its appendix A.2.2; tanh here, maxout there). One embedding E serves source, target and read-out.
    """

    def __init__(
        self,
        vocab_size: int,
        model_dim: int,
        hidden_dim: int,
        layer_count: int,
        dropout: float = 0.0,
        key_dim: int | None = None,
        max_len: int = 50_000,
        cell: Cell = "gru",
    ) -> None:
        super().__init__()
        self.vocab_size, self.max_len = vocab_size, max_len
        self.hidden_dim, self.layer_count = hidden_dim, layer_count
        annotation_dim = 2 * hidden_dim
        self.embedding = nn.Embedding(vocab_size, model_dim)
        self.dropout = Dropout(dropout)
        forward, backward, decoder = (
            [RecurrentLayer(first if layer == 0 else rest, hidden_dim, cell) for layer in range(layer_count)]
            for first, rest in ((model_dim, annotation_dim), (model_dim, annotation_dim), (model_dim, hidden_dim))
        )
        if layer_count > 1:
            decoder[1] = RecurrentLayer(hidden_dim + annotation_dim, hidden_dim, cell)
        self.blocks = nn.ModuleList([*forward, *backward, *decoder])
        self.attention = AdditiveAttention(hidden_dim, annotation_dim, key_dim or hidden_dim)
        self.project_start = nn.Linear(hidden_dim, layer_count * STATE_PARTS[cell] * hidden_dim)
        self.project_out = nn.Linear(hidden_dim + annotation_dim + model_dim, model_dim)
        self.head_bias = nn.Parameter(torch.zeros(vocab_size))
        nn.init.normal_(self.embedding.weight, std=model_dim**-0.5)

    @property
    def decoder(self) -> nn.ModuleList:
        """The layers that read the target; the first of them asks, the others read the answers too."""
        return self.blocks[2 * self.layer_count :]

    def embed(self, tokens: Int[Tensor, "B T"]) -> Float[Tensor, "B T D"]:
        """√D · E(token): components of variance 1 at the start."""
        return self.embedding(tokens) * self.embedding.embedding_dim**0.5

    def encode(self, source: Int[Tensor, "B S"], is_source: Bool[Tensor, "B S"]) -> Memory:
        """Annotations (B, S, 2F); `projected` has their keys (B, S, E) and the decoder's first states (B, …)."""
        check_length(source.shape[1], self.max_len)
        ahead, back = reading_orders(is_source)
        x = self.embed(source)
        for layer in range(self.layer_count):
            x = self.dropout(x)
            forward = _read(self.blocks[layer], x, ahead)
            backward = _read(self.blocks[self.layer_count + layer], x, back)
            x = torch.cat([forward, backward], dim=-1)
        annotations = self.dropout(x) * is_source[..., None]
        # the backward layer is done where the text begins: ←h_1
        first = _along(backward, ahead[:, :1])[:, 0] * is_source.any(dim=1, keepdim=True)
        start = torch.tanh(self.project_start(self.dropout(first)))
        return Memory(annotations, is_source, (self.attention.keys(annotations), start))

    def decode(
        self, target: Int[Tensor, "R T"], memory: Memory, cache: StepCache | None = None
    ) -> Float[Tensor, "R T V"]:
        """Logits of the token after each target position; with a cache, after those that it has seen."""
        check_length((cache.length if cache is not None else 0) + target.shape[1], self.max_len)
        keys, start = memory.projected
        times = len(target) // len(start)
        if isinstance(cache, StateCache) and cache.length:
            tensors = cache.tensors
        else:
            tensors = torch.split(start.repeat_interleave(times, 0), self.hidden_dim, dim=1)
        parts = len(tensors) // self.layer_count
        embedded = self.dropout(self.embed(target))
        asking, first_state = run_layers(self.decoder[:1], embedded, tensors[:parts], nn.Identity())
        # the rows of one source stand together: they ask as one longer row, so that no key is repeated
        queries = asking.reshape(len(start), -1, asking.shape[-1])
        context = self.attention(queries, keys, memory.states, memory.is_source).view(*target.shape, -1)
        told = torch.cat([asking, context], dim=-1) if self.layer_count > 1 else asking
        x, more_states = run_layers(self.decoder[1:], told, tensors[parts:], self.dropout)
        if isinstance(cache, StateCache):
            cache.advance((*first_state, *more_states), target.shape[1])
        out = torch.tanh(self.project_out(self.dropout(torch.cat([x, context, embedded], dim=-1))))
        return F.linear(self.dropout(out), self.embedding.weight, self.head_bias)

    def new_cache(self, batch: int, capacity: int) -> StateCache:
        """An empty cache. It takes the same room whatever `capacity` is."""
        return StateCache(capacity)


def reading_orders(is_source: Bool[Tensor, "B S"]) -> tuple[Int[Tensor, "B S"], Int[Tensor, "B S"]]:
    """Places in the order of reading, from the first source token on and from the last one back; padding comes last.

    Padding between, before or after the tokens is so never read before one of them.
    """
    ahead = (~is_source).to(torch.uint8).argsort(dim=1, stable=True)
    count = is_source.sum(dim=1, keepdim=True)
    rank = torch.arange(is_source.shape[1], device=is_source.device).expand_as(ahead)
    return ahead, ahead.gather(1, torch.where(rank < count, count - 1 - rank, rank))


def _read(layer: nn.Module, x: Float[Tensor, "B S D"], order: Int[Tensor, "B S"]) -> Float[Tensor, "B S F"]:
    """The layer's hidden states, each where its token stands, after reading the tokens in `order`."""
    hidden, _ = layer(_along(x, order))
    return _along(hidden, order.argsort(dim=1))


def _along(x: Float[Tensor, "B S D"], places: Int[Tensor, "B P"]) -> Float[Tensor, "B P D"]:
    return x.gather(1, places[..., None].expand(-1, -1, x.shape[-1]))
