"""The head that marks an answer: a start and an end logit for each token, and their loss."""

import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from atinuke.data.batches.batch import IGNORE
from atinuke.tasks.heads import TokenHead
from atinuke.tasks.squad.spans import NEVER


class SpanHead(nn.Module):
    """Each token → how well an answer begins and ends with it: one matrix (Devlin et al. 2019, §4.2).

    Tokens that no answer can have (question, special tokens but the first, padding) get NEVER, so that probability is
    shared by the others alone. What comes out are logarithms of probabilities, so that the windows of one question can
    be compared: logits are known up to a constant of their window. With `is_masked` false they are left as they are, as
    in BertForQuestionAnswering.
    """

    def __init__(self, width: int, dropout: float, is_masked: bool = True) -> None:
        super().__init__()
        self.tokens = TokenHead(width, 2, dropout)
        self.is_masked = is_masked

    def forward(
        self,
        hidden: Float[Tensor, "B T D"],
        is_token: Bool[Tensor, "B T"],
        begins: Int[Tensor, "B T"],
        ends: Int[Tensor, "B T"],
    ) -> Float[Tensor, "B T 2"]:
        """In float32; `begins` is negative where no answer may lie, and in padding."""
        logits = self.tokens(hidden).float()
        if not self.is_masked:
            return logits
        return logits.masked_fill((begins < 0)[..., None], NEVER).log_softmax(dim=1)


def span_loss(
    logits: Float[Tensor, "B T 2"], targets: tuple[Int[Tensor, " B"], Int[Tensor, " B"]]
) -> Float[Tensor, ""]:
    """Mean nats of the right start and of the right end, and of these two the mean, as in BertForQuestionAnswering."""
    losses = [
        F.cross_entropy(logits[..., place].float(), target, ignore_index=IGNORE) for place, target in enumerate(targets)
    ]
    return (losses[0] + losses[1]) / 2
