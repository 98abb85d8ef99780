"""BERT: an encoder that sees both sides of a word it has to guess, and whether one sentence follows another."""

from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from atinuke.models.config import check_sizes
from atinuke.models.layers.attention import Mask, SelfAttention
from atinuke.models.layers.block import Block
from atinuke.models.layers.dropout import Dropout
from atinuke.models.layers.feedforward import FeedForward
from atinuke.models.layers.positions import LearnedPositions, NoPositions

NORM_EPS = 1e-12
SEGMENTS = 2
INITIAL_SPREAD = 0.02


class BertOutput(NamedTuple):
    """What the two heads say."""

    logits: Float[Tensor, "*rows V"]
    """Of the token at each position (B, T, V), or at the asked places alone (N, V)."""
    next_sentence: Float[Tensor, "B 2"]
    """Logits: 0, the second segment follows the first; 1, it comes from elsewhere."""


class Bert(nn.Module):
    """Devlin et al. 2019, arXiv:1810.04805: what transformers' BertForPreTraining computes.

        x ← norm(E(token) + E(position) + E(segment))
        x ← norm(x + dropout(attention(x)))        every position sees every other     ⎫ layer_count
        x ← norm(x + dropout(feed_forward(x)))     GELU, the exact one                 ⎭ times
        tokens:         logits = norm(gelu(W x)) Eᵀ + b, E being the token embedding
        next sentence:  logits = U tanh(P x_0), x_0 being the first position

    Differences: `key_dim` need not equal `model_dim`; queries, keys and values are one projection; no dropout on the
    attention weights. Logits can be read out at `places` alone: in training 15 % of the positions count, and the
    largest matrix product then costs 15 % too. Weights start from N(0, 0.02), the paper's (cut off there at two
    standard deviations), biases from zero. `vocab_size` counts the mask, by agreement the last id.
    """

    def __init__(
        self,
        vocab_size: int,
        model_dim: int,
        key_dim: int,
        hidden_dim: int,
        head_count: int,
        layer_count: int,
        dropout: float = 0.0,
        max_len: int = 512,
        *,
        norm_eps: float = NORM_EPS,
    ) -> None:
        super().__init__()
        check_sizes(key_dim, head_count)
        self.vocab_size, self.max_len = vocab_size, max_len
        self.embedding = nn.Embedding(vocab_size, model_dim)
        self.positions = LearnedPositions(model_dim, max_len)
        self.segment_embedding = nn.Embedding(SEGMENTS, model_dim)
        self.embedding_norm = nn.LayerNorm(model_dim, eps=norm_eps)
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(
            Block(
                attention=SelfAttention(model_dim, key_dim, head_count, NoPositions(), bias=True),
                feed_forward=FeedForward(model_dim, hidden_dim, activation="gelu"),
                norms=(nn.LayerNorm(model_dim, eps=norm_eps), nn.LayerNorm(model_dim, eps=norm_eps)),
                dropout=dropout,
                norm_place="post",
            )
            for _ in range(layer_count)
        )
        self.transform = nn.Linear(model_dim, model_dim)
        self.transform_norm = nn.LayerNorm(model_dim, eps=norm_eps)
        self.head_bias = nn.Parameter(torch.zeros(vocab_size))
        self.pooler = nn.Linear(model_dim, model_dim)
        self.next_sentence_head = nn.Linear(model_dim, 2)
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=INITIAL_SPREAD)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        segments: Int[Tensor, "B T"] | None = None,
        is_token: Bool[Tensor, "B T"] | None = None,
        places: Int[Tensor, " N"] | None = None,
    ) -> BertOutput:
        """Both heads' logits. `segments`: 0 or 1 for each token, none: all 0. `is_token`: False where a row is padded,
        none: nowhere. `places`: where to read out tokens, as indices into the B·T positions; none: everywhere."""
        x = self.encode(tokens, segments, is_token)
        return BertOutput(self.read_out(x if places is None else x.flatten(0, 1)[places]), self.judge_pair(x))

    def encode(
        self,
        tokens: Int[Tensor, "B T"],
        segments: Int[Tensor, "B T"] | None = None,
        is_token: Bool[Tensor, "B T"] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """The vectors after the last block; those of padded positions mean nothing."""
        mask: Mask = "full" if is_token is None else is_token[:, None, None, :]  # (B, 1, 1, S)
        x = self.embed(tokens, segments)
        for block in self.blocks:
            x = block(x, mask=mask)
        return x

    def embed(self, tokens: Int[Tensor, "B T"], segments: Int[Tensor, "B T"] | None) -> Float[Tensor, "B T D"]:
        """Token, position and segment, added and normalised."""
        segment = self.segment_embedding.weight[0] if segments is None else self.segment_embedding(segments)
        return self.dropout(self.embedding_norm(self.positions.add(self.embedding(tokens) + segment, 0)))

    def read_out(self, x: Float[Tensor, "*rows D"]) -> Float[Tensor, "*rows V"]:
        """Logits of the token that stands, or stood, where x is."""
        transformed = self.transform_norm(F.gelu(self.transform(x)))
        return F.linear(transformed, self.embedding.weight, self.head_bias)

    def judge_pair(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B 2"]:
        """Logits of "the second segment follows the first" and "it does not", from the first position."""
        return self.next_sentence_head(torch.tanh(self.pooler(x[:, 0])))
