"""Pictures as positions of a sequence: one vector for each patch, from one matrix or from a few convolutions.

(B, C, height, width) ──pad──► whole patches ──stem──► (B, D, rows, columns) ──+ places──► (B, P, D)
"""

from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Stem = Literal["linear", "convolutions"]


class PatchEmbedding(nn.Module):
    """One position per patch, row by row; each is told its row and its column by two learned vectors.

    `stem` "linear": a matrix on the pixels of each patch alone (Dosovitskiy et al. 2021, arXiv:2010.11929 eq. 1).
    "convolutions": see `ConvolutionStem`. Places there are one vector for each patch; ours are the sum of one for its
    row and one for its column, so that there is less to learn from few pictures.

    A picture whose sides are no multiple of `patch` is padded evenly with zeros, which is black.
    """

    def __init__(
        self, height: int, width: int, channels: int, patch: int, model_dim: int, stem: Stem = "convolutions"
    ) -> None:
        super().__init__()
        self.shape = (channels, height, width)
        missing_rows, missing_columns = -height % patch, -width % patch
        self.padding = (
            missing_columns // 2,
            missing_columns - missing_columns // 2,
            missing_rows // 2,
            missing_rows - missing_rows // 2,
        )
        rows, columns = (height + missing_rows) // patch, (width + missing_columns) // patch
        self.position_count = rows * columns
        self.stem: nn.Module = (
            nn.Conv2d(channels, model_dim, kernel_size=patch, stride=patch)
            if stem == "linear"
            else ConvolutionStem(channels, patch, model_dim)
        )
        self.row_places = nn.Parameter(0.02 * torch.randn(rows, model_dim))
        self.column_places = nn.Parameter(0.02 * torch.randn(columns, model_dim))

    def forward(self, pictures: Float[Tensor, "B C height width"]) -> Float[Tensor, "B P D"]:
        """The patches of each picture, top row first, with their places."""
        if tuple(pictures.shape[1:]) != self.shape:
            raise ValueError(
                f"the pictures are {' × '.join(map(str, pictures.shape[1:]))} (channels × height × width); "
                f"the network reads {' × '.join(map(str, self.shape))}. Resize them, or build the network for that."
            )
        padded = F.pad(pictures.to(self.row_places.dtype), self.padding)
        patches = self.stem(padded).permute(0, 2, 3, 1)  # (B, rows, columns, D)
        return (patches + self.row_places[:, None] + self.column_places).flatten(1, 2)


class ConvolutionStem(nn.Module):
    """3×3 convolutions of stride 2, doubling their channels, up to one vector per patch.

    Xiao et al. 2021, arXiv:2106.14881 §4: such a stem trains faster and more steadily than one matrix, and sees across
    the edges of patches. Theirs normalises over the batch; ours over each picture, so that pictures of a batch do not
    influence each other, and uses GELU as the blocks do. A patch side of 2ᵏ·r has k strides of 2, then
    one convolution of r×r (1×1 for a power of two) without overlap.
    """

    def __init__(self, channels: int, patch: int, model_dim: int) -> None:
        super().__init__()
        halvings = (patch & -patch).bit_length() - 1
        rest = patch >> halvings
        # an odd patch still gets one convolution that looks beyond its edges
        strides = [2] * halvings or [1]
        widths = [max(1, model_dim >> step) for step in reversed(range(len(strides)))]
        # `blocks`, as in every network: an optimizer for matrices finds these kernels there
        self.blocks = nn.ModuleList(
            ConvolutionBlock(before, after, stride)
            for before, after, stride in zip([channels, *widths[:-1]], widths, strides, strict=True)
        )
        self.project_out = nn.Conv2d(widths[-1], model_dim, kernel_size=rest, stride=rest)

    def forward(self, pictures: Float[Tensor, "B C height width"]) -> Float[Tensor, "B D rows columns"]:
        """One vector per patch."""
        # channels last in memory: convolutions on a CPU are faster so
        x = pictures.contiguous(memory_format=torch.channels_last)
        for block in self.blocks:
            x = block(x)
        return self.project_out(x)


class ConvolutionBlock(nn.Module):
    """A 3×3 convolution, a norm over all places and channels of a picture, GELU.

    Normalising each place by itself would make the faint edge of a stroke as strong as its middle.
    """

    def __init__(self, channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, out_channels, kernel_size=3, stride=stride, padding=1, bias=False)
        self.norm = nn.GroupNorm(1, out_channels)

    def forward(self, x: Float[Tensor, "B C height width"]) -> Float[Tensor, "B C2 height2 width2"]:
        """Sides divided by the stride, rounded up."""
        return F.gelu(self.norm(self.convolution(x)))
