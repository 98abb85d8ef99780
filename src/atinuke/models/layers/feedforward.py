"""F_l of Figure 2, arXiv:2401.16736: two linear maps with a nonlinearity between them, position by position."""

from collections.abc import Callable
from functools import partial
from typing import Literal

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

Activation = Literal["gelu", "gelu-tanh", "relu", "silu"]

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": F.gelu,
    "gelu-tanh": partial(F.gelu, approximate="tanh"),  # Hendrycks & Gimpel 2016, arXiv:1606.08415, §2; GPT-2's choice
    "relu": F.relu,
    "silu": F.silu,
}


class FeedForward(nn.Module):
    """model_dim → hidden_dim → model_dim."""

    def __init__(self, model_dim: int, hidden_dim: int, *, activation: Activation = "gelu", bias: bool = True) -> None:
        super().__init__()
        self.project_in = nn.Linear(model_dim, hidden_dim, bias=bias)
        self.project_out = nn.Linear(hidden_dim, model_dim, bias=bias)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """Each position on its own."""
        return self.project_out(self.activation(self.project_in(x)))


class GatedFeedForward(nn.Module):
    """out(activation(gate(x)) · in(x)): Shazeer 2020, arXiv:2002.05202, eq. 6, by default with SiLU as in Llama.

    Gate and input are two matrices: halves of one product are strided, and on a CPU everything after them is slower.
    """

    def __init__(self, model_dim: int, hidden_dim: int, *, activation: Activation = "silu", bias: bool = False) -> None:
        super().__init__()
        self.project_gate = nn.Linear(model_dim, hidden_dim, bias=bias)
        self.project_in = nn.Linear(model_dim, hidden_dim, bias=bias)
        self.project_out = nn.Linear(hidden_dim, model_dim, bias=bias)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """Each position on its own."""
        return self.project_out(self.activation(self.project_gate(x)) * self.project_in(x))
