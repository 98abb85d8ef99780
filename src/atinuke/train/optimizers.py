"""Muon for the matrices inside the blocks, AdamW for everything else, and which parameter goes where."""

from collections.abc import Callable, Iterable
from itertools import groupby
from typing import Any, Literal, overload

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.optim import Optimizer

# Five steps of the Polar Express (Amsel et al. 2025, arXiv:2505.16932, Algorithm 1): odd polynomials
# a·x + b·x³ + c·x⁵ which take singular values near 1 faster than one fixed polynomial would. These are for a safety
# factor of 1.02: with the unsafe ones, rounding in bfloat16 lets singular values near 1 run away (tests show it).
POLAR_EXPRESS = (
    (8.156554524902461, -22.48329292557795, 15.878769915207462),
    (4.042929935166739, -2.808917465908714, 0.5000178451051316),
    (3.8916678022926607, -2.772484153217685, 0.5060648178503393),
    (3.285753657755655, -2.3681294933425376, 0.46449024233003106),
    (2.3465413258596377, -1.7097828382687081, 0.42323551169305323),
)
SAFETY = 1.02
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)


def orthogonalise(matrices: Float[Tensor, "N R C"], dtype: torch.dtype = torch.float32) -> Float[Tensor, "N R C"]:
    """Each matrix with its singular values moved near 1: U Vᵀ of its singular value decomposition, approximately."""
    is_tall = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.mT if is_tall else matrices  # the smaller Gram matrix is the cheaper one
    x = (x / (x.norm(dim=(-2, -1), keepdim=True) * SAFETY + 1e-7)).to(dtype)
    for a, b, c in POLAR_EXPRESS:
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return (x.mT if is_tall else x).to(matrices.dtype)


class Muon(Optimizer):
    """Momentum, orthogonalised: Jordan et al. 2024, kellerjordan.github.io/posts/muon.

    As `torch.optim.Muon`, but matrices of one shape are treated in one batch, the polynomial is the Polar
    Express, and its precision is chosen (`polar_dtype`): bfloat16 only where the machine is faster with it.
    The update of an (R, C) matrix is scaled by √max(1, R/C), so that a learning rate carries over to other widths.
    Weight decay is decoupled.
    """

    def __init__(
        self,
        matrices: Iterable[nn.Parameter],
        *,
        lr: float,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
        polar_dtype: torch.dtype = torch.float32,
    ) -> None:
        ordered = sorted(matrices, key=lambda matrix: tuple(matrix.shape))
        if any(matrix.ndim < 2 for matrix in ordered):
            raise ValueError("Muon updates matrices and kernels; give other parameters to AdamW")
        by_shape = [{"params": list(group)} for _, group in groupby(ordered, key=lambda matrix: tuple(matrix.shape))]
        super().__init__(by_shape, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})
        self._polar_dtype = polar_dtype
        self.orthogonalise = orthogonalise
        """Where matrices are cut over processes, one that brings each of them together first."""

    @overload
    def step(self, closure: None = None) -> None: ...
    @overload
    def step(self, closure: Callable[[], float]) -> float: ...
    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:
        """One update of every matrix that has a gradient."""
        if closure is not None:
            raise ValueError("Muon takes no closure")
        for group in self.param_groups:
            matrices = [matrix for matrix in group["params"] if matrix.grad is not None]
            if not matrices:
                continue
            for matrix in matrices:
                if "momentum" not in self.state[matrix]:
                    self.state[matrix]["momentum"] = torch.zeros_like(matrix)
            momenta = [self.state[matrix]["momentum"] for matrix in matrices]
            gradients = [matrix.grad for matrix in matrices if matrix.grad is not None]
            torch._foreach_lerp_(momenta, gradients, 1 - group["momentum"])
            # Nesterov: look ahead along the momentum that was just updated
            ahead = torch.stack(gradients).lerp_(torch.stack(momenta), group["momentum"])
            # the kernel of a convolution is one matrix too: what comes out × everything that it sees
            updates = self.orthogonalise(ahead.flatten(2), self._polar_dtype).view_as(ahead)
            rows, columns = matrices[0].flatten(1).shape
            if group["weight_decay"]:
                torch._foreach_mul_(matrices, 1 - group["lr"] * group["weight_decay"])
            torch._foreach_add_(matrices, list(updates.unbind()), alpha=-group["lr"] * max(1, rows / columns) ** 0.5)
        return None


def block_matrices(model: nn.Module) -> list[nn.Parameter]:
    """The matrices inside any `blocks` of the model, kernels of convolutions among them: what Muon is for."""
    return [
        parameter
        for name, module in model.named_modules()
        if "blocks" in name.split(".")
        for parameter in module.parameters(recurse=False)
        if parameter.requires_grad
        and (parameter.ndim == 2 or (isinstance(module, CONVOLUTIONS) and parameter.ndim > 2))
    ]


def token_tables(model: nn.Module) -> list[nn.Parameter]:
    """The tables of single tokens, by the name that every network gives its own, alone or as the body of another."""
    names = ("embedding.weight", "body.embedding.weight")
    return [each for name, each in model.named_parameters() if name in names and each.requires_grad]


def task_heads(model: nn.Module) -> list[nn.Parameter]:
    """What a tuned network learns from nothing."""
    return [each for name, each in model.named_parameters() if name.startswith("heads.") and each.requires_grad]


def build_optimizers(
    model: nn.Module,
    kind: Literal["muon", "adamw"],
    *,
    lr: float,
    matrix_lr: float,
    embedding_lr: float | None = None,
    head_lr: float | None = None,
    betas: tuple[float, float],
    momentum: float,
    weight_decay: float,
    polar_dtype: torch.dtype,
) -> list[Optimizer]:
    """The optimizers that together own every learned parameter once. Each group remembers its peak rate as `peak_lr`.

    `embedding_lr` is the rate of the tables of single tokens, `head_lr` that of the heads of tasks; none: `lr`, as of
    everything that AdamW has.
    Weight decay falls on matrices alone, never on gains, biases, scales or embedding tables.
    """
    matrices = block_matrices(model)
    tables = token_tables(model) if embedding_lr is not None else []
    heads = task_heads(model) if head_lr is not None else []
    apart = {id(parameter) for parameter in (*matrices, *tables, *heads)}
    others = [each for each in model.parameters() if each.requires_grad and id(each) not in apart]
    adamw_groups: list[dict[str, Any]] = [{"params": others, "weight_decay": 0.0}]
    if tables:
        adamw_groups.append({"params": tables, "weight_decay": 0.0, "lr": embedding_lr})
    if heads:
        adamw_groups.append({"params": heads, "weight_decay": 0.0, "lr": head_lr})
    optimizers: list[Optimizer] = []
    if kind == "muon" and matrices:
        optimizers.append(
            Muon(matrices, lr=matrix_lr, momentum=momentum, weight_decay=weight_decay, polar_dtype=polar_dtype)
        )
    else:
        adamw_groups.append({"params": matrices, "weight_decay": weight_decay})
    optimizers.append(torch.optim.AdamW(adamw_groups, lr=lr, betas=betas, eps=1e-10, fused=_has_fused_adamw(model)))
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["peak_lr"] = group["lr"]
    return optimizers


def scale_learning_rates(optimizers: Iterable[Optimizer], factor: float) -> None:
    """Sets every learning rate to `factor` times its peak."""
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor


def _has_fused_adamw(model: nn.Module) -> bool:
    return next(model.parameters()).device.type in ("cpu", "cuda", "mps")
