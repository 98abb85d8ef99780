"""What a network is trained to do: an objective turns its output and the targets of a batch into one number.

Float32 throughout: bfloat16 sums lose the tail of a large vocabulary. Targets that do not count hold `IGNORE`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from atinuke.data.batches.batch import IGNORE, Batch
from atinuke.models.bert import BertOutput

Objective = Callable[..., Tensor]
"""(output, targets) → loss; one over several kinds of targets also takes the share that each counts by."""


def loss_of(objective: Objective, output: Any, batch: Batch) -> Float[Tensor, ""]:
    """The loss of a batch; of a part of one, what it adds to the loss of the whole."""
    if not batch.shares:
        return objective(output, batch.targets)
    if len(batch.shares) > 1:
        return objective(output, batch.targets, batch.shares)
    # a part without targets has no mean, which is not a number; it takes part so that its processes go on together
    return batch.shares[0] * objective(output, batch.targets) if batch.shares[0] else 0.0 * output.float().sum()


def next_token(
    logits: Float[Tensor, "*rows V"], targets: Int[Tensor, "B T"], label_smoothing: float = 0.0
) -> Float[Tensor, ""]:
    """Mean nats per target; logits (B, T, V), or those of the targets that count alone (N, V), in their order.

    With `label_smoothing` ε, that part of each target is spread over all V ids alike (Szegedy et al. 2016,
    arXiv:1512.00567, §7).
    """
    if logits.ndim == 2:
        targets = targets[targets != IGNORE]
    return F.cross_entropy(
        logits.float().flatten(0, -2), targets.flatten(), ignore_index=IGNORE, label_smoothing=label_smoothing
    )


def smoothed(label_smoothing: float) -> Objective:
    """`next_token` with its targets smoothed: what sequence to sequence trains with (Vaswani et al. 2017, §5.4)."""
    return partial(next_token, label_smoothing=label_smoothing)


def masked_and_next_sentence(
    output: BertOutput,
    targets: tuple[Int[Tensor, " N"], Int[Tensor, " B"]],
    shares: tuple[float, ...] = (1.0, 1.0),
) -> Float[Tensor, ""]:
    """Mean nats per masked token, plus mean nats per pair of sentences where those count (Devlin et al. 2019, §3.1).

    `shares`: for a part of a batch, how much of the targets of the whole it holds; each mean counts by its own.
    """
    token_targets, next_targets = targets
    loss = F.cross_entropy(output.logits.float().flatten(0, -2), token_targets.flatten(), ignore_index=IGNORE)
    # a part without targets has no mean, which is not a number
    loss = loss * shares[0] if shares[0] else 0.0 * output.logits.float().sum()
    if (next_targets != IGNORE).any():
        loss = loss + shares[1] * F.cross_entropy(output.next_sentence.float(), next_targets, ignore_index=IGNORE)
    return loss


def classification(logits: Float[Tensor, "B C"], classes: Int[Tensor, " B"]) -> Float[Tensor, ""]:
    """Mean nats per row: −ln of the softmax probability of the right class."""
    return F.cross_entropy(logits.float(), classes)


def regression(numbers: Float[Tensor, "B 1"], targets: Float[Tensor, " B"], spread: float = 1.0) -> Float[Tensor, ""]:
    """Mean squared error, each error taken as a multiple of `spread`."""
    errors = (numbers.float().squeeze(-1) - targets.float()) / spread
    return errors.square().mean()


def standardised(spread: float) -> Objective:
    """`regression` in multiples of the targets' `spread`: in their own units, squares of prices leave float32."""
    return partial(regression, spread=spread)
