"""The head of semantic role labelling: a tag for every word, given the predicate.

A decoder has no segments: it knows the predicate by the word that is said again behind the sentence, and that word may
stand in it twice. So the head is given the predicate's vector and each word's distance from it, and goes over the words
once in both directions, as labellers did before there was pretraining (He et al. 2017, "Deep Semantic Role Labeling";
Shi & Lin 2019, arXiv:1904.05255, put such a layer on BERT).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from atinuke.models.layers.dropout import Dropout
from atinuke.tasks.heads import BothWays

HIDDEN = 128
FAR = 20
"""Words farther from the predicate than this are all equally far."""
INITIAL_SPREAD = 0.02
DISTANCE_SPREAD = 0.5


class RoleHead(nn.Module):
    """Words → logits of their tags. h_i is the network's vector of the first token of word i.

        w_i = W h_i
        p   = [h_predicate ; h_copy]         zeros where no predicate is marked
        x_i = gelu(w_i + w_i ⊙ Q p + P p + E(i − predicate))
        y_i = [forward LSTM(x)_i ; backward LSTM(x)_i ; x_i]
        logits = U dropout(y_i) + b

    U starts from N(0, 0.02) and b from zero, so that the first predictions are nearly even.
    """

    def __init__(self, width: int, tags: int, dropout: float, hidden_dim: int = HIDDEN) -> None:
        super().__init__()
        self.dropout = Dropout(dropout)
        self.word = nn.Linear(width, hidden_dim)
        self.predicate = nn.Linear(2 * width, hidden_dim, bias=False)
        self.product = nn.Linear(2 * width, hidden_dim, bias=False)
        # distances −FAR … FAR, and one for rows without a predicate
        self.distance = nn.Embedding(2 * FAR + 2, hidden_dim)
        self.both_ways = BothWays(hidden_dim, hidden_dim)
        self.out = nn.Linear(3 * hidden_dim, tags)
        nn.init.normal_(self.distance.weight, std=DISTANCE_SPREAD)
        nn.init.normal_(self.out.weight, std=INITIAL_SPREAD)
        nn.init.zeros_(self.out.bias)

    def forward(
        self,
        hidden: Float[Tensor, "B T D"],
        is_token: Bool[Tensor, "B T"],
        words: Int[Tensor, "B n"],
        predicate: Int[Tensor, "B 3"],
    ) -> Float[Tensor, "B n tags"]:
        """`words`: places of their first tokens. `predicate`: its place, that of its copy, and its number among the
        words. All −1 where there is none; what comes out beside such words means nothing."""
        is_marked = predicate[:, :1] >= 0  # (B, 1)
        word = self.word(self.dropout(_vectors(hidden, words)))
        marked = _vectors(hidden, predicate[:, :2]).flatten(1) * is_marked  # (B, 2 D)
        marked = self.dropout(marked)[:, None]
        steps = torch.arange(words.shape[1], device=words.device) - predicate[:, 2:]  # (B, n)
        distance = torch.where(is_marked, steps.clamp(-FAR, FAR) + FAR, 2 * FAR + 1)
        x = F.gelu(word + word * self.product(marked) + self.predicate(marked) + self.distance(distance))
        y = torch.cat([self.both_ways(x, (words >= 0).sum(dim=1)), x], dim=-1)
        return self.out(self.dropout(y))


def _vectors(hidden: Float[Tensor, "B T D"], places: Int[Tensor, "B n"]) -> Float[Tensor, "B n D"]:
    """Those at `places`; at a negative one, that of the first position."""
    return hidden.gather(1, places.clamp(min=0)[..., None].expand(-1, -1, hidden.shape[-1]))
