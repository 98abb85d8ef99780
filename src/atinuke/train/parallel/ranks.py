"""The processes of a run: who this one is, what they tell each other, and what is said when one is lost."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import Tensor, nn

from atinuke.config import one_line
from atinuke.errors import ConfigError
from atinuke.machine import available_memory_bytes
from atinuke.train.config import ParallelConfig

if TYPE_CHECKING:
    from torch.distributed import ProcessGroup
    from torch.distributed.device_mesh import DeviceMesh

T = TypeVar("T")

PATIENCE = timedelta(days=7)
"""How long the others wait for what one process does alone: reading, tokenizing, writing, scoring."""
SAID_S = 1.0


@dataclass(frozen=True)
class Ranks:
    """The processes that train together, and which of them this is. Rank 0 speaks, writes and decides."""

    rank: int = 0
    size: int = 1
    tensor: int = 1
    """Consecutive ranks that share each matrix, and so take the same rows."""
    device_type: str = "cpu"
    waiting: "ProcessGroup | None" = None
    """For what may take long."""
    saving: "ProcessGroup | None" = None
    """For checkpoints, beside training."""

    @property
    def is_first(self) -> bool:
        """Whether this is the process that speaks, writes and decides."""
        return self.rank == 0

    @property
    def data_rank(self) -> int:
        """Which part of the rows is this process's."""
        return self.rank // self.tensor

    @property
    def data_size(self) -> int:
        """In how many parts the rows are taken."""
        return self.size // self.tensor

    def memory_bytes(self, device: torch.device) -> float:
        """What is free for the tensors of all together: each GPU has its own, processes on one machine's CPU share."""
        holders = self.size
        if device.type == "cpu":
            holders //= int(os.environ.get("LOCAL_WORLD_SIZE", self.size))
        return max(holders, 1) * available_memory_bytes(device)

    def share(self, value: T) -> T:
        """What the first process gives, in all of them; they wait for it."""
        if self.size == 1:
            return value
        import torch.distributed as dist

        box = [value]
        dist.broadcast_object_list(box, src=0, group=self.waiting, device=torch.device("cpu"))
        return box[0]

    def gather(self, value: T) -> list[T]:
        """What each process gives, by rank, in all of them."""
        if self.size == 1:
            return [value]
        import torch.distributed as dist

        box: list[Any] = [None] * self.size
        dist.all_gather_object(box, value, group=self.waiting)
        return box

    def wait(self) -> None:
        """Returns when all have come this far."""
        self.share(None)
        self.gather(None)

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over all processes, in place; within a step, so that a lost one is noticed soon."""
        if self.size > 1:
            import torch.distributed as dist

            dist.all_reduce(tensor)
        return tensor

    def copy_from_first(self, model: nn.Module) -> None:
        """The weights and buffers of the first process's network, in all of them."""
        if self.size == 1:
            return
        import torch.distributed as dist

        for tensor in model.state_dict().values():
            dist.broadcast(tensor, src=0, group=self.waiting)

    def mesh(self) -> "DeviceMesh":
        """All processes as rows of "data", whose members share matrices along "tensor"."""
        from torch.distributed.device_mesh import init_device_mesh

        return init_device_mesh(self.device_type, (self.data_size, self.tensor), mesh_dim_names=("data", "tensor"))


ALONE = Ranks()


def without_a_word(exit_code: int) -> SystemExit:
    """What a process ends with when the first one says why; a little later, for torchrun ends all when one ends."""
    time.sleep(SAID_S)
    return SystemExit(exit_code)


@contextmanager
def launch(cfg: ParallelConfig, device: torch.device) -> Iterator[Ranks]:
    """Joins the processes that torchrun started; one that was started without it is alone.

    When another ends before its work is done, LostProcessError says which, as far as it is known.
    """
    size = int(os.environ.get("WORLD_SIZE", "1")) if "RANK" in os.environ else 1
    _check(cfg, device, size)
    if size == 1:
        yield ALONE
        return
    import torch.distributed as dist
    from torch.distributed.rendezvous import rendezvous

    from atinuke.train.parallel.losing import Roll, is_loss

    if device.type == "cuda":
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    store, rank, size = next(iter(rendezvous("env://", timeout=timedelta(minutes=10))))
    # after a restart the store may still hold the addresses of those who are gone
    store = dist.PrefixStore(  # type: ignore[attr-defined]
        f"attempt {os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}", store
    )
    backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
    patience = timedelta(seconds=cfg.lost_after_s)
    dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=patience)
    waiting, saving = (dist.new_group(backend="gloo", timeout=PATIENCE) for _ in range(2))
    roll = Roll(store, rank, size, PATIENCE)
    try:
        yield Ranks(rank, size, cfg.tensor, device.type, waiting, saving)
    except BaseException as error:
        if is_loss(error):
            raise roll.lost() from error
        roll.sign_off(f"{type(error).__name__}: {one_line(error)}")
        raise
    finally:
        roll.close()
        dist.destroy_process_group()


def _check(cfg: ParallelConfig, device: torch.device, size: int) -> None:
    """ConfigError for processes that cannot train together."""
    if size % cfg.tensor:
        fits = [n for n in range(1, size + 1) if size % n == 0]
        raise ConfigError(
            f"parallel.tensor is {cfg.tensor} and there {'is 1 process' if size == 1 else f'are {size} processes'}; "
            f"it must be one of {', '.join(map(str, fits))}, or start more processes with torchrun --nproc-per-node."
        )
    if cfg.tensor > 1 and cfg.kind == "ddp":
        raise ConfigError(
            f"parallel.tensor is {cfg.tensor} and parallel.kind is ddp, in which every process holds whole matrices; "
            "set parallel.kind=fsdp."
        )
    if size > 1 and device.type == "mps":
        raise ConfigError(f"device is mps and there are {size} processes; several need --device cuda or cpu.")
    if size > 1 and device.type == "cuda":
        local_rank, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local_rank >= count:
            raise ConfigError(
                f"this machine has {count} GPUs and more processes than that; give torchrun --nproc-per-node {count}."
            )
