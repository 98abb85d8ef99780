"""GPT-2's network: learned positions added once, pre-norm blocks with biases, and a head that is the embedding itself.

Radford et al. 2019, "Language Models are Unsupervised Multitask Learners", §2.3, on Radford et al. 2018. It computes
what transformers' GPT2LMHeadModel computes; the tests copy weights both ways.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from atinuke.models.config import check_sizes
from atinuke.models.decoder import Decoder
from atinuke.models.layers.attention import SelfAttention
from atinuke.models.layers.block import Block
from atinuke.models.layers.dropout import Dropout
from atinuke.models.layers.feedforward import FeedForward
from atinuke.models.layers.positions import LearnedPositions, NoPositions


class GPT(Decoder):
    """Tokens (B, T) to logits (B, T, V); `max_len` is the number of learned positions.

    Weights start as GPT-2's: matrices from N(0, 0.02), the two output projections of a block from
    N(0, 0.02 / √(2·layer_count)), biases from zero. The vectors of tokens and places alone have another spread,
    1/√model_dim, which would be 0.02 at model_dim 2500: from 0.02, narrow networks learn visibly slower.

    Unlike the reference, there is no dropout on the attention's weights, only on embeddings and on both branches of
    every block; and `key_dim` may differ from `model_dim`.
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
        max_len: int = 1024,
    ) -> None:
        super().__init__()
        check_sizes(key_dim, head_count)
        self.vocab_size, self.max_len = vocab_size, max_len
        self.embedding = nn.Embedding(vocab_size, model_dim)
        self.positions = LearnedPositions(model_dim, max_len)
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(
            Block(
                attention=SelfAttention(model_dim, key_dim, head_count, NoPositions(), bias=True),
                feed_forward=FeedForward(model_dim, hidden_dim, activation="gelu-tanh"),
                norms=(nn.LayerNorm(model_dim, eps=1e-5), nn.LayerNorm(model_dim, eps=1e-5)),
                dropout=dropout,
            )
            for _ in range(layer_count)
        )
        self.norm = nn.LayerNorm(model_dim, eps=1e-5)
        self._initialise(model_dim**-0.5, 0.02, 0.02 / (2 * layer_count) ** 0.5)

    @torch.no_grad()
    def _initialise(self, vector_spread: float, spread: float, output_spread: float) -> None:
        for vectors in (self.embedding.weight, self.positions.weight):
            nn.init.normal_(vectors, std=vector_spread)
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, std=output_spread if name.endswith("project_out") else spread)
                nn.init.zeros_(module.bias)

    def embed(
        self, tokens: Int[Tensor, "B T"], before: Int[Tensor, "B 1"] | None, start: int = 0
    ) -> Float[Tensor, "B T D"]:
        """The token's vector plus its place's."""
        return self.dropout(self.positions.add(self.embedding(tokens), start))

    def finish(self, x: Float[Tensor, "*rows D"]) -> Float[Tensor, "*rows D"]:
        """Normalised, as the read-out takes it."""
        return self.norm(x)

    def read_out(self, x: Float[Tensor, "*rows D"]) -> Float[Tensor, "*rows V"]:
        """How well each token's own vector fits (Press & Wolf 2017, arXiv:1608.05859)."""
        return F.linear(self.finish(x), self.embedding.weight)
