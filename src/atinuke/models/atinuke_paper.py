"""The Atinuke network to the letter of its paper: arXiv:2401.16736, Figures 2 and 3, Listing 1 mended."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from atinuke.models.config import check_sizes
from atinuke.models.decoder import Decoder
from atinuke.models.layers.attention import SelfAttention
from atinuke.models.layers.block import Block
from atinuke.models.layers.dropout import Dropout
from atinuke.models.layers.feedforward import FeedForward
from atinuke.models.layers.positions import AddedPositions


class AtinukePaper(Decoder):
    """A(X) = O( ⊕_l F_l( H( E(X), P_l ) ) ), Figure 2; tokens (B, T) to logits (B, T, V).

    Listing 1 does not run as printed. What is wrong there, and how we read it:

    - no causal mask, though Figure 2 asks for causality: causal;
    - positions added once at the input: P_l enters every layer, on the attention's input, and "enhanced" is a
      learned scale per layer, starting at 1, on the fixed sinusoids;
    - the exponent doubled (`2 * arange(0, d, 2)`): Figure 3's formula; an odd model_dim works;
    - the encoding a plain tensor of the wrong shape and device: computed for the length at hand, kept, never in a
      checkpoint; longer than max_len is an error;
    - key_dim unused: the total width of Q, K and V over all heads; key_dim % head_count must be 0;
    - scores divided by √model_dim: by √(key_dim / head_count);
    - ReLU: GELU, as Figure 2 says;
    - weights repeated per batch, wrong reshape: one fused projection.

    Blocks are pre-norm, with dropout on both branches and a norm before the read-out. Weights start from
    N(0, 0.02), the two output projections of a block from N(0, 0.02 / √(2·layer_count)) (Radford et al. 2019).
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
        max_len: int = 50_000,
    ) -> None:
        super().__init__()
        check_sizes(key_dim, head_count)
        self.vocab_size, self.max_len = vocab_size, max_len
        self.embedding = nn.Embedding(vocab_size, model_dim)
        self.dropout = Dropout(dropout)
        self.blocks = nn.ModuleList(
            Block(
                attention=SelfAttention(model_dim, key_dim, head_count, AddedPositions(model_dim, max_len)),
                feed_forward=FeedForward(model_dim, hidden_dim, activation="gelu"),
                norms=(nn.LayerNorm(model_dim), nn.LayerNorm(model_dim)),
                dropout=dropout,
            )
            for _ in range(layer_count)
        )
        self.norm = nn.LayerNorm(model_dim)
        self.head = nn.Linear(model_dim, vocab_size)
        self._initialise(0.02, 0.02 / (2 * layer_count) ** 0.5)

    @torch.no_grad()
    def _initialise(self, spread: float, output_spread: float) -> None:
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=output_spread if name.endswith("project_out") else spread)
            if isinstance(module, nn.Linear) and module.bias is not None:
                nn.init.zeros_(module.bias)

    def embed(
        self, tokens: Int[Tensor, "B T"], before: Int[Tensor, "B 1"] | None, start: int = 0
    ) -> Float[Tensor, "B T D"]:
        """E(X). Positions are not added here: they enter each layer."""
        return self.dropout(self.embedding(tokens))

    def finish(self, x: Float[Tensor, "*rows D"]) -> Float[Tensor, "*rows D"]:
        """Normalised, as the read-out takes it."""
        return self.norm(x)

    def read_out(self, x: Float[Tensor, "*rows D"]) -> Float[Tensor, "*rows V"]:
        """O, the linear map to the vocabulary."""
        return self.head(self.finish(x))
