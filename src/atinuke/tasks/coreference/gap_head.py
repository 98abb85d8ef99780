"""The head of GAP: does a pronoun mean the one name, the other, or neither?"""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from atinuke.models.layers.dropout import Dropout
from atinuke.tasks.heads import INITIAL_SPREAD, start_small

HIDDEN = 128
DISTANCES = (-64, -32, -16, -8, 0, 8, 16, 32, 64)
"""Where a new bucket begins, in tokens from the pronoun to the name."""


class GapHead(nn.Module):
    """Logits of A, B and neither, (B, 3).

        p, x      means of the vectors of the pronoun's tokens, and of a name's
        score(x)  w relu(U p + V x + P (p ∘ x) + distance) + b

    Both names are judged by the same weights, so that each passage teaches twice and their order says nothing; neither
    has the score 0.
    """

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.pronoun = nn.Linear(width, HIDDEN)
        self.name = nn.Linear(width, HIDDEN, bias=False)
        self.product = nn.Linear(width, HIDDEN, bias=False)
        self.distance = nn.Embedding(len(DISTANCES) + 1, HIDDEN)
        self.out = nn.Linear(HIDDEN, 1)
        start_small(self)
        nn.init.normal_(self.distance.weight, std=INITIAL_SPREAD)

    def forward(
        self, hidden: Float[Tensor, "B T D"], is_token: Bool[Tensor, "B T"], places: Int[Tensor, "B 6"]
    ) -> Float[Tensor, "B 3"]:
        """`places`: first and last token of the pronoun, of A and of B."""
        first, last = places.reshape(-1, 3, 2).unbind(dim=-1)  # (B, 3)
        token = torch.arange(hidden.shape[1], device=hidden.device)
        is_inside = (token >= first[..., None]) & (token <= last[..., None])  # (B, 3, T)
        shares = is_inside.to(hidden.dtype)
        vectors = (shares / shares.sum(dim=-1, keepdim=True).clamp(min=1)) @ hidden  # (B, 3, D)
        pronoun, names = vectors[:, :1], vectors[:, 1:]
        boundaries = torch.tensor(DISTANCES, device=hidden.device)
        away = (first[:, 1:] - first[:, :1]).contiguous()  # bucketize warns of anything else
        distance = self.distance(torch.bucketize(away, boundaries, right=True))
        units = self.pronoun(pronoun) + self.name(names) + self.product(pronoun * names) + distance
        scores = self.out(self.dropout(units.relu())).squeeze(-1).float()
        return torch.cat([scores, torch.zeros_like(scores[:, :1])], dim=-1)
