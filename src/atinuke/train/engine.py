"""A network made ready to train on one device: precision, compilation, optimizers, and the step."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal, Self

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from atinuke.data.batches.batch import Batch
from atinuke.machine import Machine
from atinuke.models.decoder import Decoder
from atinuke.train.blocks import recompute_blocks
from atinuke.train.compiling import compiled, require_compiler
from atinuke.train.config import ParallelConfig, TrainConfig
from atinuke.train.cross_entropy import are_too_many, in_chunks
from atinuke.train.loop import StepRules, TrainState, optimizer_step
from atinuke.train.micro_batches import MicroBatches
from atinuke.train.objectives import Objective, loss_of, next_token
from atinuke.train.optimizers import Muon, build_optimizers
from atinuke.train.parallel.ranks import ALONE, Ranks
from atinuke.train.schedule import rate_factor
from atinuke.train.team import Alone, Team

if TYPE_CHECKING:
    from atinuke.train.parallel.shards import Layout

Autocast = Callable[[], AbstractContextManager[object]]
STATE_BYTES = 16
"""For each parameter in float32: itself, its gradient, and two moments."""


class Asked(nn.Module):
    """A network with its objective: a batch in, its loss out; or, of a part of a batch, what it adds to the loss."""

    def __init__(self, network: nn.Module, objective: Objective, autocast: Autocast) -> None:
        super().__init__()
        self.network = network
        self._objective = objective
        self._autocast = autocast

    def forward(self, batch: Batch) -> Tensor:
        """Nats, or squares, per target."""
        with self._autocast():
            if self._reads_in_chunks(batch):
                assert isinstance(self.network, Decoder)
                hidden = self.network.hidden(*batch.inputs)
                return loss_of(partial(in_chunks, self.network), hidden, batch)
            output = self.network(*batch.inputs)
        return loss_of(self._objective, output, batch)

    def _reads_in_chunks(self, batch: Batch) -> bool:
        """Whether this batch has more logits than are made at once. A compiled network puts them together by itself."""
        if self._objective is not next_token or not isinstance(self.network, Decoder) or len(batch.inputs) != 1:
            return False
        return are_too_many(batch.targets.numel(), self.network.vocab_size, batch.targets.device)


@dataclass(frozen=True)
class Engine:
    """The state that a step changes and the rules by which it does."""

    state: TrainState
    rules: StepRules
    autocast: Autocast
    scored: nn.Module
    """The network as estimates on held-out text call it."""
    layout: "Layout | None" = None
    """How its tensors lie, where other processes hold parts of them."""

    @classmethod
    def build(
        cls,
        model: nn.Module,
        cfg: TrainConfig,
        objective: Objective,
        device: torch.device,
        machine: Machine,
        ranks: Ranks = ALONE,
    ) -> Self:
        """`cfg` is resolved: no open choices."""
        choose_float32_products(device, cfg.dtype)
        if cfg.parallel.recompute:
            recompute_blocks(model)
        is_sharded = ranks.size > 1 and parallel_kind(model, cfg.parallel, device) == "fsdp"
        build = cls._sharded if is_sharded else cls._whole
        return build(model, cfg, objective, device, machine, ranks)

    @classmethod
    def _whole(
        cls,
        model: nn.Module,
        cfg: TrainConfig,
        objective: Objective,
        device: torch.device,
        machine: Machine,
        ranks: Ranks,
    ) -> Self:
        """This process holds the network, alone or as one of several replicas."""
        model = model.to(device)
        autocast = autocast_for(device, cfg.dtype)
        loss: nn.Module = Asked(compiled(model, machine) if cfg.compile else model, objective, autocast)
        team: Team = Alone()
        if ranks.size > 1:
            from atinuke.train.parallel.replicas import replicate

            loss, team = replicate(loss, cfg, ranks, device)
        return cls(TrainState(model, _optimizers(model, cfg)), _rules(cfg, loss, team), autocast, model)

    @classmethod
    def _sharded(
        cls,
        model: nn.Module,
        cfg: TrainConfig,
        objective: Objective,
        device: torch.device,
        machine: Machine,
        ranks: Ranks,
    ) -> Self:
        """This process holds a part of each matrix; precision is then FSDP's to choose, not autocast's."""
        from atinuke.train.parallel.shards import Scored, clip_shards, on_whole_matrices, shard
        from atinuke.train.parallel.team import RankTeam

        if cfg.compile:
            require_compiler(machine)
        layout = shard(model, cfg, ranks)
        optimizers = _optimizers(model, cfg)
        for optimizer in optimizers:
            if isinstance(optimizer, Muon):
                optimizer.orthogonalise = partial(on_whole_matrices, optimizer.orthogonalise)
        rules = _rules(cfg, Asked(model, objective, nullcontext), RankTeam(ranks, cfg.seed, clip_shards))
        return cls(TrainState(model, optimizers), rules, nullcontext, Scored(model), layout)

    def step_on(self, batch: Batch) -> float:
        """One update, counted nowhere: for timing."""
        return optimizer_step(self.state, batch, self.rules, 1.0)[0]


def autocast_for(device: torch.device, dtype: str) -> Autocast:
    """Matrix products in bfloat16 where asked for; weights, norms and sums stay in float32."""
    if dtype == "bfloat16":
        return lambda: torch.autocast(device.type, torch.bfloat16)
    return nullcontext


def choose_float32_products(device: torch.device, dtype: str) -> None:
    """How exact products of float32 matrices are on a GPU, from now on in this process.

    Who computes in bfloat16 loses nothing by TensorFloat-32 in what is left in float32; who asks for float32 gets it.
    """
    if device.type == "cuda":
        torch.set_float32_matmul_precision("high" if dtype == "bfloat16" else "highest")


def parallel_kind(model: nn.Module, cfg: ParallelConfig, device: torch.device) -> Literal["ddp", "fsdp"]:
    """How several processes share the network; cut where weights, gradients and moments would take half of a GPU."""
    if cfg.kind != "auto":
        return cfg.kind
    if cfg.tensor > 1:
        return "fsdp"
    state_bytes = STATE_BYTES * sum(parameter.numel() for parameter in model.parameters())
    is_large = device.type == "cuda" and state_bytes > torch.cuda.get_device_properties(device).total_memory / 2
    return "fsdp" if is_large else "ddp"


def _rules(cfg: TrainConfig, loss: nn.Module, team: Team) -> StepRules:
    return StepRules(
        loss=loss,
        rate_factor=partial(
            rate_factor,
            warmup_fraction=cfg.schedule.warmup_fraction,
            decay_fraction=cfg.schedule.decay_fraction,
        ),
        clip_norm=cfg.optim.clip_norm,
        micro_batches=MicroBatches(cfg.parallel.micro_batch_seqs),
        team=team,
    )


def _optimizers(model: nn.Module, cfg: TrainConfig) -> list[Optimizer]:
    optim = cfg.optim
    if optim.kind is None or optim.lr is None or optim.matrix_lr is None or optim.beta2 is None:
        # the planner times steps before it has chosen rates; any rates take the same time
        optim = optim.model_copy(update={"kind": optim.kind or "muon", "lr": 1e-3, "matrix_lr": 1e-3, "beta2": 0.95})
    assert optim.kind and optim.lr and optim.matrix_lr and optim.beta2 is not None
    return build_optimizers(
        model,
        optim.kind,
        lr=optim.lr,
        matrix_lr=optim.matrix_lr,
        embedding_lr=optim.embedding_lr,
        head_lr=optim.head_lr,
        betas=(optim.beta1, optim.beta2),
        momentum=optim.momentum,
        weight_decay=optim.weight_decay,
        polar_dtype=torch.bfloat16 if cfg.dtype == "bfloat16" else torch.float32,
    )
