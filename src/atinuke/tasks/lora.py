"""Low-rank additions: a network learns a task in two small matrices beside each large one, which stays as it was.

    y = W x + b + (alpha / rank) · B A dropout(x)        A: (rank, in), B: (out, rank), at first zero

Hu et al. 2021, "LoRA: Low-Rank Adaptation of Large Language Models", arXiv:2106.09685, §4.1. They add to the matrices
of queries and values alone; here it is to all matrices of a block, and queries, keys and values, which are one matrix
of ours, share one addition.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from atinuke.errors import ConfigError
from atinuke.models.layers.dropout import Dropout

TARGETS = (
    "attention.project_qkv",
    "attention.project_out",
    "feed_forward.project_gate",
    "feed_forward.project_in",
    "feed_forward.project_out",
)
"""The matrices of a block."""


class LoraLinear(nn.Module):
    """A linear map with its low-rank addition. `weight` and `bias` are the map's own, frozen, under their own names.

    A starts from N(0, 1/√in), so that what it gives is as large as its input, and B from zero: at first nothing is
    added.
    """

    bias: nn.Parameter | None

    def __init__(self, linear: nn.Linear, rank: int, alpha: float, dropout: float = 0.0) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.scale = alpha / rank
        self.weight = linear.weight
        self.register_parameter("bias", linear.bias)
        self.lora_a = nn.Parameter(self.weight.new_empty(rank, self.in_features))
        self.lora_b = nn.Parameter(self.weight.new_zeros(self.out_features, rank))
        nn.init.normal_(self.lora_a, std=self.in_features**-0.5)
        self.weight.requires_grad_(False)
        if self.bias is not None:
            self.bias.requires_grad_(False)
        self.dropout = Dropout(dropout)

    def forward(self, x: Float[Tensor, "*rows I"]) -> Float[Tensor, "*rows O"]:
        """The map of x, and what is added to it."""
        added = F.linear(F.linear(self.dropout(x), self.lora_a), self.lora_b)
        return F.linear(x, self.weight, self.bias) + self.scale * added

    @torch.no_grad()
    def merged(self) -> nn.Linear:
        """A plain linear map that does the same; W + (alpha / rank) · B A takes the place of W."""
        linear = nn.Linear(self.in_features, self.out_features, bias=self.bias is not None, device="meta")
        self.weight.add_(self.scale * (self.lora_b @ self.lora_a))
        linear.weight = self.weight
        linear.register_parameter("bias", self.bias)
        return linear.train(self.training)


def add_lora(
    model: nn.Module, rank: int, alpha: float, dropout: float = 0.0, targets: Sequence[str] = TARGETS
) -> list[str]:
    """Gives each of the `targets` in the `blocks` of `model` a low-rank addition and freezes all else; their names.

    ConfigError for a network without such matrices, and for a rank that the narrowest of them does not have.
    """
    if any(isinstance(module, LoraLinear) for module in model.modules()):
        raise ValueError("the network has low-rank additions already; merge them first")
    endings = tuple(f".{target}" for target in targets)
    found = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and "blocks" in name.split(".") and name.endswith(endings)
    }
    if not found:
        raise ConfigError(
            f"lora.rank is {rank}, and {type(model).__name__} has no matrices in blocks that low-rank additions go to; "
            "leave it out, or take a run of atinuke, gpt, llama or bert."
        )
    narrowest = min(min(linear.weight.shape) for linear in found.values())
    if not 1 <= rank <= narrowest:
        raise ConfigError(f"lora.rank is {rank}; expected 1 to {narrowest}, the width of the narrowest matrix.")
    model.requires_grad_(False)
    for name, linear in found.items():
        _put(model, name, LoraLinear(linear, rank, alpha, dropout).train(linear.training))
    return list(found)


def merge_lora(model: nn.Module) -> list[str]:
    """Folds every low-rank addition into its matrix; the names of these.

    The network is then a plain one, with the plain names of weights, and all of it can be learned again.
    """
    found = {name: module for name, module in model.named_modules() if isinstance(module, LoraLinear)}
    for name, module in found.items():
        _put(model, name, module.merged())
    if found:
        model.requires_grad_(True)
    return list(found)


def learned_count(model: nn.Module) -> int:
    """How many numbers training changes: rank · (in + out) of each addition, and what was not frozen."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)


def _put(model: nn.Module, name: str, module: nn.Module) -> None:
    """`module` in the place that has this name."""
    above, _, last = name.rpartition(".")
    setattr(model.get_submodule(above), last, module)
