"""Normalisations beside torch's layer norm: without a learned gain, and by the root mean square alone."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

EPSILON = 1e-5
"""What PlainLayerNorm adds to the variance: torch's own choice."""


class PlainLayerNorm(nn.Module):
    """Zero mean, unit variance over the last axis; no gain, no bias (Ba et al. 2016, arXiv:1607.06450).

    The following matrix can learn the gain. On a CPU this is one fused kernel with a fused backward, which the
    root-mean-square norm is not, and it scored no worse: docs/lab.md.
    """

    def forward(self, x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        """x, normalised."""
        return F.layer_norm(x, (x.shape[-1],), eps=EPSILON)


class RMSNorm(nn.Module):
    """x / √(mean(x²) + eps) times a learned gain, which starts at 1 (Zhang & Sennrich 2019, arXiv:1910.07467, eq. 4).

    It is `torch.nn.RMSNorm`, with another order of the same operations in float32 on a CPU: forward and backward take
    0.67 to 0.88 of its time there (512 and 128 wide). Other dtypes are left to torch, which sums in float32.
    """

    def __init__(self, dim: int, *, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, x: Float[Tensor, "*batch D"]) -> Float[Tensor, "*batch D"]:
        """x, normalised over the last axis."""
        if x.dtype != torch.float32 or x.device.type != "cpu":
            return F.rms_norm(x, self.weight.shape, self.weight, self.eps)
        mean_square = torch.linalg.vecdot(x, x)[..., None] / x.shape[-1]
        return x * torch.rsqrt(mean_square + self.eps) * self.weight
