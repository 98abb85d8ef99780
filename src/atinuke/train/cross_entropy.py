"""Read-out and loss a few rows at a time: never all logits at once.

Logits, their logarithms of probabilities in float32 and the gradients of both are the largest tensors of a step where
the vocabulary is large. Here each chunk of rows goes all the way to the gradients of its hidden states and of the
read-out's weights, and is forgotten: Wijmans et al. 2024, arXiv:2411.09009, and Hsu et al. 2024, arXiv:2410.10989, do
so inside one GPU kernel; this is plain torch, for any device and any read-out. The readable twin is
`next_token(read_out(hidden), targets)`, which takes the same time where it has the memory (docs/lab.md, Speed).
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from atinuke.data.batches.batch import IGNORE
from atinuke.models.decoder import Decoder

LARGE_BYTES = {"cpu": 2**28, "cuda": 2**32}
"""Logits that would take more in float32 are not made at once; a GPU loses more by small products."""
CHUNK_LOGITS = {"cpu": 2**22, "cuda": 2**28}
"""How many are made at once."""
LEAST_ROWS = 256
"""Fewer rows at once would make narrow products."""

ReadOut = Callable[[Tensor], Tensor]


def are_too_many(rows: int, vocab_size: int, device: torch.device) -> bool:
    """Whether so many logits are better not made at once."""
    return 4 * rows * vocab_size > LARGE_BYTES.get(device.type, 2**28)


def in_chunks(network: Decoder, hidden: Float[Tensor, "B T D"], targets: Int[Tensor, "B T"]) -> Float[Tensor, ""]:
    """Mean nats per target that is not IGNORE, of what `network` reads out of `hidden`."""
    rows = max(LEAST_ROWS, CHUNK_LOGITS.get(hidden.device.type, 2**22) // network.vocab_size)
    loss: Tensor = _InChunks.apply(  # type: ignore[no-untyped-call]
        network.read_out, rows, hidden.flatten(0, 1), targets.flatten(), *_weights_of(network, hidden)
    )
    return loss


def _weights_of(network: Decoder, hidden: Float[Tensor, "B T D"]) -> list[Tensor]:
    """What `read_out` learns, found by the gradient of one row."""
    learned = [each for each in network.parameters() if each.requires_grad]
    if not (torch.is_grad_enabled() and learned):
        return []
    row = hidden.detach().flatten(0, 1)[:1].requires_grad_()
    found = torch.autograd.grad(network.read_out(row).sum(), learned, allow_unused=True)
    return [weight for weight, gradient in zip(learned, found, strict=True) if gradient is not None]


class _InChunks(torch.autograd.Function):
    """The gradients are formed in the forward pass, for a loss of slope 1, and scaled in the backward pass."""

    @staticmethod
    def forward(
        ctx: Any,
        read_out: ReadOut,
        rows: int,
        hidden: Float[Tensor, "N D"],
        targets: Int[Tensor, " N"],
        *weights: Tensor,
    ) -> Float[Tensor, ""]:
        count = (targets != IGNORE).sum()
        loss = hidden.new_zeros((), dtype=torch.float32)
        to_hidden = torch.empty_like(hidden) if ctx.needs_input_grad[2] else None
        wanted = [weight for weight, is_wanted in zip(weights, ctx.needs_input_grad[4:], strict=True) if is_wanted]
        sums = [torch.zeros_like(weight) for weight in wanted]
        is_training = to_hidden is not None or bool(wanted)
        for start in range(0, hidden.shape[0], rows):
            chunk = hidden[start : start + rows].detach().requires_grad_(to_hidden is not None)
            with torch.set_grad_enabled(is_training):
                logits = read_out(chunk).float()
                nats = F.cross_entropy(logits, targets[start : start + rows], ignore_index=IGNORE, reduction="sum")
                part = nats / count
            loss += part.detach()
            if not is_training:
                continue
            gradients = list(torch.autograd.grad(part, [*wanted, chunk] if to_hidden is not None else wanted))
            if to_hidden is not None:
                to_hidden[start : start + rows] = gradients.pop()
            for total, gradient in zip(sums, gradients, strict=True):
                total += gradient
        ctx.save_for_backward(to_hidden, *sums)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Float[Tensor, ""]) -> tuple[Tensor | None, ...]:
        to_hidden, *sums = ctx.saved_tensors
        scaled = (total * slope for total in sums)
        to_weights = [next(scaled) if is_wanted else None for is_wanted in ctx.needs_input_grad[4:]]
        return None, None, None if to_hidden is None else to_hidden * slope.to(to_hidden.dtype), None, *to_weights
