"""F_l of Figure 2, arXiv:2401.16736: two linear maps with a nonlinearity between them, position by position."""

from collections.abc import Callable

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {"gelu": F.gelu, "relu": F.relu}


class FeedForward(nn.Module):
    """model_dim → hidden_dim → model_dim."""

    def __init__(self, model_dim: int, hidden_dim: int, *, activation: str = "gelu", bias: bool = True) -> None:
        super().__init__()
        self.project_in = nn.Linear(model_dim, hidden_dim, bias=bias)
        self.project_out = nn.Linear(hidden_dim, model_dim, bias=bias)
        self.activation = ACTIVATIONS[activation]

    def forward(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T D"]:
        """Each position on its own."""
        return self.project_out(self.activation(self.project_in(x)))
