"""Every process holds the whole network, and gradients are averaged while they are computed: DDP.

Li et al. 2020, "PyTorch Distributed: Experiences on Accelerating Data Parallel Training", arXiv:2006.15704.
"""

import inspect
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from atinuke.train.config import TrainConfig
from atinuke.train.parallel.ranks import Ranks
from atinuke.train.parallel.team import RankTeam
from atinuke.train.team import Alone


def replicate(asked: nn.Module, cfg: TrainConfig, ranks: Ranks, device: torch.device) -> tuple[nn.Module, RankTeam]:
    """`asked`, a network with its objective, as one of the replicas, and the team that trains them."""
    model = cfg.model
    # in a step of pictures the sound's weights rest; BERT's second head rests where it is not asked
    is_half_asked = model.kind == "bert" and not cfg.objective.next_sentence
    may_rest = is_half_asked or model.picture is not None or model.sound is not None
    # buffers are tables of positions, which each process computes; torch has renamed what sends them before each step
    names = inspect.signature(DistributedDataParallel).parameters
    no_buffers = "forward_sync_buffers" if "forward_sync_buffers" in names else "broadcast_buffers"
    options: dict[str, Any] = {
        "device_ids": [torch.cuda.current_device()] if device.type == "cuda" else None,
        "find_unused_parameters": may_rest,
        no_buffers: False,
    }
    replica = DistributedDataParallel(asked, **options)
    return replica, RankTeam(ranks, cfg.seed, Alone().clip, replica.no_sync)
