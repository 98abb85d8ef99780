"""The blocks of a network, found from outside: what is recomputed, compiled and cut over processes one by one."""

from collections.abc import Callable
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint

from atinuke.errors import ConfigError


def blocks_of(model: nn.Module) -> list[nn.Module]:
    """The members of every `blocks` in the network, in the order of computation."""
    lists = [module for name, module in model.named_modules() if name.rpartition(".")[2] == "blocks"]
    return [block for each in lists if isinstance(each, nn.ModuleList) for block in each]


def recompute_blocks(model: nn.Module) -> None:
    """Lets each block keep its input alone, and compute the rest again for its gradient (Chen et al. 2016,
    arXiv:1604.06174): about a third more time, and the memory of one block's activations instead of all.
    """
    blocks = blocks_of(model)
    if not blocks:
        raise ConfigError("parallel.recompute is true, and this network has no blocks to compute again; leave it out.")
    for block in blocks:
        block.forward = partial(_recomputed, block.forward)


def _recomputed(forward: Callable[..., object], *inputs: object, **named: object) -> object:
    return checkpoint(partial(forward, **named), *inputs, use_reentrant=False)
