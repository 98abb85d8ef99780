"""Embeddings beside the table of single tokens."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class PairEmbedding(nn.Module):
    """A vector for each pair (previous token, token), found by a hash; it starts at zero.

    Hashed n-gram features as in Svenstrup et al. 2017, arXiv:1709.03933, with one hash and one table. It gives
    a small network the statistics of pairs at once, so that its layers can learn something else.

    `left_out`: the part of the positions that get none while training. Pairs are the first thing that a network knows
    by heart of a text that it passes over often.
    """

    def __init__(self, row_count: int, model_dim: int, left_out: float = 0.0) -> None:
        super().__init__()
        self.left_out = left_out
        self.table = nn.Embedding(row_count, model_dim)
        nn.init.zeros_(self.table.weight)

    def forward(self, tokens: Int[Tensor, "B T"], before: Int[Tensor, "B 1"] | None) -> Float[Tensor, "B T D"]:
        """`before` is the token ahead of these; None at the start of a window, where token 0 stands for it."""
        if before is None:
            before = torch.zeros_like(tokens[:, :1])
        previous = torch.cat([before, tokens[:, :-1]], dim=1)
        # two odd multipliers spread neighbouring ids; int64 does not overflow for any vocabulary below 2^45
        rows = (previous * 36_313 + tokens * 27_191) % self.table.num_embeddings
        vectors: Tensor = self.table(rows)
        if self.training and self.left_out:
            vectors = vectors * (torch.rand(rows.shape, device=rows.device) >= self.left_out)[..., None]
        return vectors
