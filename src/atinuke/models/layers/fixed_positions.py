"""Positions that are added once, before the first block, as Vaswani et al. 2017, §3.5, have them."""

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from atinuke.models.layers.positions import Positions, sinusoids

SinusoidOrder = Literal["interleaved", "halves"]


class FixedPositions(Positions):
    """The sinusoids of Figure 3 (arXiv:2401.16736) as they are: nothing is learned and nothing is in a checkpoint.

    "interleaved" is the paper's order, sine and cosine by turns; "halves" has all sines first, as Marian's networks
    (Junczys-Dowmunt et al. 2018, arXiv:1804.00344). A network learns as well from one as from the other.
    """

    table: Tensor

    def __init__(self, model_dim: int, max_len: int, *, order: SinusoidOrder = "interleaved") -> None:
        super().__init__(max_len)
        self.model_dim, self.order = model_dim, order
        self.register_buffer("table", torch.zeros(0, model_dim), persistent=False)

    def add(self, x: Float[Tensor, "B T D"], start: int) -> Float[Tensor, "B T D"]:
        """x plus the encodings of the places start … start + T − 1."""
        end = start + x.shape[1]
        self.check(end)
        if self.table.shape[0] < end or self.table.device != x.device:
            # at least double, so that decoding token by token does not rebuild the table at every step
            self.table = self._computed(max(end, 2 * self.table.shape[0]), x.device)
        return x + self.table[start:end].to(x.dtype)

    def turn(self, x: Float[Tensor, "B H T E"], start: int) -> Float[Tensor, "B H T E"]:
        """Nothing: everything is in the input already."""
        return x

    @torch.inference_mode(False)  # kept for later calls, and training cannot use a tensor of inference mode
    def _computed(self, length: int, device: torch.device) -> Float[Tensor, "T D"]:
        table = sinusoids(length, self.model_dim, device)
        return table if self.order == "interleaved" else torch.cat([table[:, 0::2], table[:, 1::2]], dim=1)
