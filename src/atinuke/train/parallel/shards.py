"""Every process holds a part of each matrix: FSDP2 (`fully_shard`), and tensor parallelism through DTensor.

FSDP gathers a block when it is computed and lets go of it afterwards (Rajbhandari et al. 2020, arXiv:1910.02054, stage
3; Zhao et al. 2023, arXiv:2304.11277). Tensor parallelism cuts the heads and the hidden units of a block for good
(Shoeybi et al. 2019, arXiv:1909.08053, §3): one sum after attention, one after the feed-forward.
"""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, ParallelStyle, RowwiseParallel, parallelize_module

from atinuke.errors import ConfigError
from atinuke.models.layers.attention import SelfAttention
from atinuke.models.layers.block import Block
from atinuke.train.blocks import blocks_of
from atinuke.train.config import TrainConfig
from atinuke.train.parallel.ranks import Ranks

STYLES: dict[str, type[ParallelStyle]] = {
    "attention.project_qkv": ColwiseParallel,
    "attention.project_out": RowwiseParallel,
    "feed_forward.project_gate": ColwiseParallel,
    "feed_forward.project_in": ColwiseParallel,
    "feed_forward.project_out": RowwiseParallel,
}
"""Which matrices of a block are cut, and how; everything else in it is the same in all processes."""
WHOLE = ("attention_norm.", "feed_forward_norm.", "attention.positions.", "shift.")
"""Parameters of a block that act on the whole width, before heads or hidden units are cut."""


class Layout:
    """How the weights at hand lie: which part of each tensor, and in which order of rows."""

    def __init__(self, model: nn.Module, row_orders: Mapping[str, Tensor]) -> None:
        """`row_orders`: by name, the rows of the file in the order in which they stand here."""
        named = dict(model.named_parameters())
        self._orders = {id(named[name]): order for name, order in row_orders.items()}
        self._names = {name: id(parameter) for name, parameter in named.items()}

    def to_file(self, parameter: Tensor, tensor: Tensor) -> Tensor:
        """`tensor`, a parameter or a state of it, with its rows in the order of the file."""
        order = self._orders.get(id(parameter))
        if order is None or tensor.shape != parameter.shape or not isinstance(tensor, DTensor):
            return tensor
        mesh = tensor.device_mesh
        rows = tensor.full_tensor()[order.argsort().to(tensor.device)]
        return distribute_tensor(rows, mesh, [Shard(0)] * mesh.ndim, src_data_rank=None)

    def from_file(self, parameter: Tensor, whole: Tensor) -> Tensor:
        """This process's part of `whole`, as it stands in a file."""
        if not isinstance(parameter, DTensor) or whole.shape != parameter.shape:
            return whole
        order = self._orders.get(id(parameter))
        rows = whole if order is None else whole[order]
        own = torch.empty_like(parameter, dtype=whole.dtype, requires_grad=False)
        part = distribute_tensor(rows, parameter.device_mesh, parameter.placements, src_data_rank=None)
        return own.copy_(part)


def shard(model: nn.Module, cfg: TrainConfig, ranks: Ranks) -> Layout:
    """Cuts the network over the processes, in place, and says how it lies then."""
    _check(model, cfg)
    mesh = ranks.mesh()
    row_orders = _cut_heads(model, mesh["tensor"]) if ranks.tensor > 1 else {}
    half = torch.bfloat16 if cfg.dtype == "bfloat16" else None
    # gradients of many processes are summed: bfloat16 would lose the tail
    policy = MixedPrecisionPolicy(param_dtype=half, reduce_dtype=torch.float32 if half else None)
    for block in blocks_of(model):
        if cfg.compile:
            block.compile(dynamic=False)
        fully_shard(block, mesh=mesh["data"], mp_policy=policy)
    fully_shard(model, mesh=mesh["data"], mp_policy=policy)
    return Layout(model, row_orders)


def clip_shards(gradients: list[Tensor], clip_norm: float | None) -> Tensor:
    """The norm of all gradients together, over all processes; those are scaled down to `clip_norm` where it is above.

    As torch's own, which takes no gradients that are cut in different ways.
    """
    by_mesh: dict[DeviceMesh | None, list[Tensor]] = {}
    for gradient in gradients:
        by_mesh.setdefault(gradient.device_mesh if isinstance(gradient, DTensor) else None, []).append(gradient)
    norms = [torch.nn.utils.get_total_norm(alike) for alike in by_mesh.values()]
    norm = torch.stack([each.full_tensor() if isinstance(each, DTensor) else each for each in norms]).norm()
    if clip_norm is not None:
        own = [gradient.to_local() if isinstance(gradient, DTensor) else gradient for gradient in gradients]
        torch._foreach_mul_(own, (clip_norm / (norm + 1e-6)).clamp(max=1.0))
    return norm


class Scored(nn.Module):
    """The network as it is scored while it trains: FSDP gathers no weights in inference mode."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, *inputs: object) -> object:
        """What the network gives, without gradients."""
        with torch.inference_mode(False), torch.no_grad():
            return self.model(*inputs)


def _check(model: nn.Module, cfg: TrainConfig) -> None:
    """ConfigError for networks that cannot be cut."""
    kind = cfg.model.kind
    if not all(isinstance(block, Block) for block in blocks_of(model)):
        raise ConfigError(
            f"model is {kind} and parallel.kind is fsdp, which cuts the blocks of atinuke, gpt, llama and bert. "
            "Use --set parallel.kind=ddp."
        )
    if scalars := [name for name, parameter in model.named_parameters() if parameter.ndim == 0]:
        raise ConfigError(
            f"model is {kind} and parallel.kind is fsdp, which cuts every parameter; {scalars[0]} is a single number. "
            "Use --set parallel.kind=ddp, or another network."
        )


def _cut_heads(model: nn.Module, mesh: DeviceMesh) -> dict[str, Tensor]:
    """Cuts every block along its heads and hidden units; the row orders of the fused projections, by parameter."""
    orders: dict[str, Tensor] = {}
    names = {id(module): name for name, module in model.named_modules()}
    for block in blocks_of(model):
        assert isinstance(block, Block)
        styles = {path: STYLES[path]() for path in STYLES if path in dict(block.named_modules())}
        _check_block(block, styles, mesh.size())
        order = _by_process(block.attention, mesh.size())
        for name, parameter in block.attention.project_qkv.named_parameters():
            with torch.no_grad():
                parameter.copy_(parameter[order.to(parameter.device)])
            orders[f"{names[id(block)]}.attention.project_qkv.{name}"] = order
        block.attention.head_count //= mesh.size()
        block.attention.kv_head_count //= mesh.size()
        parallelize_module(block, mesh, styles)
    return orders


def _check_block(block: Block, styles: Mapping[str, ParallelStyle], count: int) -> None:
    heads, kv_heads = block.attention.head_count, block.attention.kv_head_count
    hidden = block.feed_forward.project_in.out_features
    for what, size in (("head_count", heads), ("kv_head_count", kv_heads), ("hidden_dim", hidden)):
        if size % count:
            raise ConfigError(f"parallel.tensor is {count} and {what} is {size}; {count} must divide it.")
    for name, _ in block.named_parameters():
        if not name.startswith(WHOLE) and name.rpartition(".")[0] not in styles:
            raise ConfigError(f"parallel.tensor is {count}, and how to cut {name} over processes is not known; set 1.")


def _by_process(attention: SelfAttention, count: int) -> Tensor:
    """Rows of the fused projection so that each process's queries, keys and values follow each other."""
    heads, kv_heads, width = attention.head_count, attention.kv_head_count, attention.head_dim
    rows = torch.arange((heads + 2 * kv_heads) * width).view(-1, width)
    query, key, value = (part.chunk(count) for part in rows.split_with_sizes([heads, kv_heads, kv_heads]))
    return torch.cat([part for own in zip(query, key, value, strict=True) for part in own]).flatten()


def on_whole_matrices(
    orthogonalise: Callable[[Tensor, torch.dtype], Tensor], matrices: Tensor, dtype: torch.dtype
) -> Tensor:
    """`orthogonalise` of matrices (N, R, C) that are cut: each process has some of them whole for the while.

    Two exchanges, where a product of cut matrices would need one for every factor; and no process does the work of
    another (Liu et al. 2025, "Muon is Scalable for LLM Training", arXiv:2502.16982, §2.3, gathers each matrix instead).
    """
    if not isinstance(matrices, DTensor):
        return orthogonalise(matrices, dtype)
    mesh, apart = matrices.device_mesh, [Shard(0)] * matrices.device_mesh.ndim
    own = orthogonalise(matrices.redistribute(placements=apart).to_local(), dtype)
    done = DTensor.from_local(own, mesh, apart, run_check=False, shape=matrices.shape, stride=matrices.stride())
    return done.redistribute(placements=matrices.placements)
