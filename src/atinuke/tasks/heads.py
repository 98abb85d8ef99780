"""Heads that several tasks share."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from atinuke.models.layers.dropout import Dropout

INITIAL_SPREAD = 0.02


class PooledHead(nn.Module):
    """A row → `outputs` numbers: logits of classes, or a number itself.

        U dropout(tanh(P [x_0 ; mean x]))      x_0: the first position; the mean goes over all tokens of the row

    BERT pools the first position alone (Devlin et al. 2019, §3.2), which an encoder that judged pairs of sentences has
    learned to fill: after `pool_first` P reads x_0 alone, as transformers' BertForSequenceClassification does.
    """

    def __init__(self, width: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.pooler = nn.Linear(2 * width, width)
        self.first_alone = False
        self.dropout = Dropout(dropout)
        self.out = nn.Linear(width, outputs)
        start_small(self)

    def pool_first(self) -> None:
        """From now on x_0 alone is read."""
        width = self.pooler.out_features
        self.pooler = nn.Linear(width, width)
        self.first_alone = True
        start_small(self)

    def forward(self, hidden: Float[Tensor, "B T D"], is_token: Bool[Tensor, "B T"]) -> Float[Tensor, "B outputs"]:
        """Of each row."""
        read = hidden[:, 0]
        if not self.first_alone:
            weights = is_token[..., None].to(hidden.dtype)
            mean = (hidden * weights).sum(dim=1) / weights.sum(dim=1).clamp(min=1)
            read = torch.cat([read, mean], dim=-1)
        return self.out(self.dropout(torch.tanh(self.pooler(read))))


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


@torch.no_grad()
def start_small(head: nn.Module) -> None:
    """Matrices from N(0, 0.02), biases from zero: the first predictions are nearly even."""
    for module in head.modules():
        if isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, std=INITIAL_SPREAD)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
