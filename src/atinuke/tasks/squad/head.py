"""The head that marks an answer: a start and an end logit for each token, and their loss."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from atinuke.data.batches.batch import IGNORE
from atinuke.tasks.heads import FLOOR, BothWays, Reducible, TokenHead, start_small
from atinuke.tasks.squad.spans import NEVER

HIDDEN = 128
LEAST = -100.0
"""What is said of the best match where there is no question."""


class SpanHead(Reducible):
    """Each token → how well an answer begins and ends with it.

        q_i = Σ_j softmax_j(e_ij) x_j        e_ij = u_i · u_j / √K, u = A x, j over the tokens of the question
        m_i = max_j e_ij
        h_i = gelu(W [x_i ; q_i ; x_i ∘ q_i] + v m_i)
        logits = U dropout([forward LSTM(h)_i ; backward LSTM(h)_i ; h_i]) + b

    Each token is compared with the question, as in Chen et al. 2017 (arXiv:1704.00051, §3.2, "aligned question
    embedding"), and then with its neighbours: a network of an hour's training does not do it by itself. `reduce` leaves
    one matrix, U x_i, as BERT has it (Devlin et al. 2019, §4.2).

    Tokens that no answer can have (question, special tokens but the first, padding) get NEVER, so that probability is
    shared by the others alone. What comes out are logarithms of probabilities, so that the windows of one question can
    be compared: logits are known up to a constant of their window. With `is_masked` false they are left as they are, as
    in BertForQuestionAnswering.
    """

    def __init__(self, width: int, dropout: float, is_masked: bool = True, hidden_dim: int = HIDDEN) -> None:
        super().__init__()
        self.is_masked = is_masked
        self.width = width
        self.align: nn.Linear | None = nn.Linear(width, width, bias=False)
        self.compare = nn.Linear(3 * width + 1, hidden_dim)
        self.tokens = TokenHead(3 * hidden_dim, 2, dropout)
        start_small(self)
        nn.init.normal_(self.align.weight, std=width**-0.5)
        self.both_ways = BothWays(hidden_dim, hidden_dim)

    def reduce(self) -> None:
        """From now on one matrix reads each token by itself."""
        self.tokens = TokenHead(self.width, 2, self.tokens.dropout.p)
        del self.compare, self.both_ways
        self.align = None

    def forward(
        self,
        hidden: Float[Tensor, "B T D"],
        is_token: Bool[Tensor, "B T"],
        begins: Int[Tensor, "B T"],
        ends: Int[Tensor, "B T"],
    ) -> Float[Tensor, "B T 2"]:
        """In float32; `begins` is negative where no answer may lie, and in padding."""
        logits = self.tokens(self.read(hidden, is_token, is_token & (begins < 0))).float()
        if not self.is_masked:
            return logits
        return logits.masked_fill((begins < 0)[..., None], NEVER).log_softmax(dim=1)

    def read(
        self, hidden: Float[Tensor, "B T D"], is_token: Bool[Tensor, "B T"], is_question: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B T F"]:
        """What the last matrix reads of each token."""
        if self.align is None:
            return hidden
        units = self.align(hidden)
        scores = (units @ units.transpose(1, 2)).float() / units.shape[-1] ** 0.5
        # a finite floor: a row without a question has a softmax that is a number all the same
        scores = scores.masked_fill(~is_question[:, None, :], FLOOR)
        asked = scores.softmax(dim=-1).to(hidden.dtype) @ hidden
        best = scores.amax(dim=-1, keepdim=True).clamp(min=LEAST).to(hidden.dtype)
        h = F.gelu(self.compare(torch.cat([hidden, asked, hidden * asked, best], dim=-1)))
        return torch.cat([self.both_ways(h, is_token.sum(dim=1)).to(h.dtype), h], dim=-1)


def span_loss(
    logits: Float[Tensor, "B T 2"], targets: tuple[Int[Tensor, " B"], Int[Tensor, " B"]]
) -> Float[Tensor, ""]:
    """Mean nats of the right start and of the right end, and of these two the mean, as in BertForQuestionAnswering."""
    losses = [
        F.cross_entropy(logits[..., place].float(), target, ignore_index=IGNORE) for place, target in enumerate(targets)
    ]
    return (losses[0] + losses[1]) / 2
