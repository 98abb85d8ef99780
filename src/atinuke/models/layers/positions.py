"""How a layer learns where a token stands. Every layer is told anew: that is the idea of arXiv:2401.16736.

Two ways use Figure 3's sinusoids: one adds them to the attention's input, the other turns queries and keys by them.
Beside them stand learned vectors, and nothing at all, for networks that add positions once, before the first block.
"""

import sys
from abc import ABC, abstractmethod

import torch
from jaxtyping import Float
from torch import Tensor, nn


class Positions(nn.Module, ABC):
    """The positions of one layer; `start` is the place of the first of the T tokens at hand."""

    def __init__(self, max_len: int) -> None:
        super().__init__()
        self.max_len = max_len

    @abstractmethod
    def add(self, x: Float[Tensor, "B T D"], start: int) -> Float[Tensor, "B T D"]:
        """The attention's input, with what these positions add to it."""

    @abstractmethod
    def turn(self, x: Float[Tensor, "B H T E"], start: int) -> Float[Tensor, "B H T E"]:
        """Queries or keys, turned by what these positions turn them."""

    def check(self, end: int) -> None:
        """ValueError when a sequence of `end` tokens is longer than `max_len`."""
        if end > self.max_len:
            raise ValueError(
                f"the sequence has {end} positions; max_len is {self.max_len}. "
                "Give fewer tokens, or build the network with a larger max_len."
            )


class NoPositions(Positions):
    """Tells the layer nothing: the network has added positions elsewhere, or goes without."""

    def __init__(self) -> None:
        super().__init__(max_len=sys.maxsize)

    def add(self, x: Float[Tensor, "B T D"], start: int) -> Float[Tensor, "B T D"]:
        """x as it is."""
        return x

    def turn(self, x: Float[Tensor, "B H T E"], start: int) -> Float[Tensor, "B H T E"]:
        """x as it is."""
        return x


class LearnedPositions(Positions):
    """One learned vector for each of `max_len` places (Gehring et al. 2017, arXiv:1705.03122; GPT, BERT).

    They start from N(0, 0.02).
    """

    def __init__(self, model_dim: int, max_len: int) -> None:
        super().__init__(max_len)
        self.weight = nn.Parameter(torch.empty(max_len, model_dim))
        nn.init.normal_(self.weight, std=0.02)

    def forward(self, start: int, length: int) -> Float[Tensor, "T D"]:
        """Vectors of the positions start … start + length − 1."""
        self.check(start + length)
        return self.weight[start : start + length]

    def add(self, x: Float[Tensor, "B T D"], start: int) -> Float[Tensor, "B T D"]:
        """x plus the vector of each place."""
        return x + self(start, x.shape[1])

    def turn(self, x: Float[Tensor, "B H T E"], start: int) -> Float[Tensor, "B H T E"]:
        """Nothing: everything is in the input already."""
        return x


class AddedPositions(Positions):
    """P_l of Figure 2: fixed sinusoids times one learned scale per layer, which starts at 1.

    The table is computed for the length at hand and kept; it follows the device of the module and is never part
    of a checkpoint.
    """

    table: Tensor

    def __init__(self, model_dim: int, max_len: int) -> None:
        super().__init__(max_len)
        self.scale = nn.Parameter(torch.ones(()))
        self.register_buffer("table", sinusoids(0, model_dim), persistent=False)

    def forward(self, start: int, length: int) -> Float[Tensor, "T D"]:
        """Encodings of the positions start … start + length − 1, scaled."""
        end = start + length
        self.check(end)
        if self.table.shape[0] < end or self.table.device != self.scale.device:
            self.table = sinusoids(_rows(end, self.table), self.table.shape[1], self.scale.device)
        return self.scale * self.table[start:end].to(self.scale.dtype)

    def add(self, x: Float[Tensor, "B T D"], start: int) -> Float[Tensor, "B T D"]:
        """x + P_l."""
        return x + self(start, x.shape[1])

    def turn(self, x: Float[Tensor, "B H T E"], start: int) -> Float[Tensor, "B H T E"]:
        """Nothing: everything is in the input already."""
        return x


class RotaryPositions(Positions):
    """Queries and keys turned by the angles of Figure 3, so that scores depend on distance alone.

    Su et al. 2021, arXiv:2104.09864, eq. 34; component i is paired with i + E/2 instead of its neighbour. The last
    component of an odd E stays as it is. Nothing is learned, so one instance may serve all layers.
    """

    cosine: Tensor
    sine: Tensor

    def __init__(self, head_dim: int, max_len: int, *, base: float = 10_000.0) -> None:
        super().__init__(max_len)
        self.pair_count = head_dim // 2
        self.base = base
        self.register_buffer("cosine", torch.ones(0, self.pair_count), persistent=False)
        self.register_buffer("sine", torch.zeros(0, self.pair_count), persistent=False)

    def add(self, x: Float[Tensor, "B T D"], start: int) -> Float[Tensor, "B T D"]:
        """Nothing: turning is enough."""
        return x

    def turn(self, x: Float[Tensor, "B H T E"], start: int) -> Float[Tensor, "B H T E"]:
        """Each pair (x_i, x_{i+E/2}) turned in its plane by position / base^(2i/E)."""
        end = start + x.shape[2]
        self._reach(end, x.device)
        # in the dtype of x: a float32 table would widen bfloat16 activations
        cosine, sine = self.cosine[start:end].to(x.dtype), self.sine[start:end].to(x.dtype)
        rest_count = x.shape[-1] - 2 * self.pair_count
        # split, not sliced: the gradient is then put together at once, where each slice adds one padded with zeros
        first, second, rest = x.split_with_sizes([self.pair_count, self.pair_count, rest_count], dim=-1)
        turned = [first * cosine - second * sine, first * sine + second * cosine]
        return torch.cat([*turned, rest] if rest_count else turned, dim=-1)

    def whole_tables(self, length: int, like: Tensor) -> tuple[Float[Tensor, "T E"], Float[Tensor, "T E"]]:
        """Cosines and sines of the first places for every component, those of the first half of sines negative:
        x turned is x · cosine + (x with its halves exchanged) · sine. For an even E.
        """
        self._reach(length, like.device)
        cosine, sine = self.cosine[:length].to(like.dtype), self.sine[:length].to(like.dtype)
        return torch.cat([cosine, cosine], dim=-1), torch.cat([-sine, sine], dim=-1)

    def _reach(self, end: int, device: torch.device) -> None:
        """Makes the tables long enough, there where they are needed."""
        self.check(end)
        if self.cosine.shape[0] < end or self.cosine.device != device:
            table = sinusoids(_rows(end, self.cosine), 2 * self.pair_count, device, base=self.base)
            self.sine, self.cosine = table[:, 0::2], table[:, 1::2]


@torch.inference_mode(False)  # tables are kept, and training cannot use a tensor of inference mode
def sinusoids(
    length: int, dim: int, device: torch.device | None = None, *, base: float = 10_000.0
) -> Float[Tensor, "T D"]:
    """PE(pos, 2i) = sin(pos / base^(2i/d)), PE(pos, 2i+1) = cos(the same): Figure 3, arXiv:2401.16736.

    An odd `dim` ends on a sine. Float32 on purpose: bfloat16 holds whole numbers exactly only up to 256, so that
    far positions would collide.
    """
    even = torch.arange(0, dim, 2, dtype=torch.float32, device=device)
    angles = torch.arange(length, dtype=torch.float32, device=device)[:, None] / base ** (even / max(dim, 1))
    table = torch.empty(length, dim, dtype=torch.float32, device=device)
    table[:, 0::2] = angles.sin()
    table[:, 1::2] = angles.cos()[:, : dim // 2]
    return table


def _rows(needed: int, table: Tensor) -> int:
    """At least double, so that decoding token by token does not rebuild the table at every step."""
    return max(needed, 2 * table.shape[0])
