"""A Hugging Face folder → one of our networks with its weights: the same logits, the same numbers under our names.

config.json                    sizes, and what we would compute otherwise (hub_settings.py)
model.safetensors              weights, whole …
model.safetensors.index.json   … or in several files (hub_weights.py); names.py has their names
tokenizer.json …               how the network reads text (hub_reader.py)
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from atinuke.durable import printable
from atinuke.errors import ConfigError
from atinuke.export.hub_settings import HubSettings, read_hub_settings
from atinuke.export.hub_weights import plain_tensors, read_hub_weights
from atinuke.export.names import NAMES, Names
from atinuke.models import ModelConfig, build_model
from atinuke.weights import load_model, model_tensors

FRESH_SPREAD = 0.02
SEGMENTS = "segment_embedding.weight"
POSITIONS = "positions.weight"


@dataclass(frozen=True)
class HubNetwork:
    """A network from elsewhere, among ours."""

    network: ModelConfig
    weights: dict[str, Tensor]
    """All of them by the names of our network, float32, whatever they were kept in."""
    fresh: tuple[str, ...]
    """Which of them the folder did not have: parts of heads, from N(0, 0.02), always the same numbers."""
    left_out: tuple[str, ...]
    """What the folder had beside them: heads for tasks of others."""

    def build(self) -> nn.Module:
        """The network with these weights, in evaluation mode. torch's random state is left as it was."""
        with torch.random.fork_rng(devices=[]):
            model = build_model(self.network)
        load_model(model, self.weights, origin="The network from the hub")
        return model.eval()


def read_hub_network(path: str | os.PathLike[str]) -> HubNetwork:
    """The network in a folder of GPT-2's, Llama's, BERT's or RoBERTa's kind.

    ConfigError names the setting, or the tensor, that ours do not have; DamagedFileError the file that cannot be read.
    A read-out that is tied there and not here (Llama's) begins as a copy.
    """
    folder = Path(path)
    settings = read_hub_settings(folder)
    names = NAMES[settings.family]
    theirs = plain_tensors(read_hub_weights(folder, settings.family), names, printable(folder))
    if settings.family == "llama" and settings.ties_head and "embed_tokens.weight" in theirs:
        theirs["lm_head.weight"] = theirs["embed_tokens.weight"]
    sources = names.sources(settings.network.layer_count)
    left_out = _left_out(theirs, sources, names, settings)
    with torch.device("meta"):  # shapes alone: no memory, no random numbers
        shapes = {name: tensor.shape for name, tensor in model_tensors(build_model(settings.network)).items()}
    weights: dict[str, Tensor] = {}
    fresh: list[str] = []
    random = torch.Generator().manual_seed(0)
    for name, shape in shapes.items():
        found = _joined(name, sources.get(name, ()), theirs, names, settings)
        if found is None:
            fresh.append(name)
            found = _fresh(name, shape, random)
        elif found.shape != shape:
            raise ConfigError(
                f"{printable(folder)}: {' and '.join(sources[name])} make a tensor of {tuple(found.shape)}, and "
                f"config.json one of {tuple(shape)}. Give the config.json that was saved with these weights."
            )
        weights[name] = found
    return HubNetwork(settings.network, weights, tuple(fresh), left_out)


def _joined(
    ours: str, sources: tuple[str, ...], theirs: Mapping[str, Tensor], names: Names, settings: HubSettings
) -> Tensor | None:
    """Our tensor, made of theirs; None for a part of a head that they do not have."""
    missing = [name for name in sources if name not in theirs]
    if missing and ours not in names.heads:
        raise ConfigError(
            f"{printable(settings.path.parent)} has no tensor {missing[0]}, which {settings.family} networks of "
            f"{settings.network.layer_count} layers have. Give a folder with all weights."
        )
    if missing or not sources:
        return None
    parts = [theirs[name].to(torch.float32) for name in sources]
    if any(part.ndim != parts[0].ndim or part.shape[1:] != parts[0].shape[1:] for part in parts):
        raise ConfigError(f"{printable(settings.path.parent)}: {' and '.join(sources)} do not fit below each other.")
    tensor = torch.cat(parts) if len(parts) > 1 else parts[0]
    if names.is_turned(ours):
        tensor = tensor.T
    if ours == POSITIONS:
        tensor = tensor[settings.first_place :]
    if ours == SEGMENTS and len(tensor) == 1:
        tensor = tensor.repeat(2, 1)  # one kind of segment: a second one that says the same
    return tensor.contiguous()


def _left_out(
    theirs: Mapping[str, Tensor], sources: Mapping[str, tuple[str, ...]], names: Names, settings: HubSettings
) -> tuple[str, ...]:
    """What no tensor of ours takes, in their order; ConfigError where that is a part of the body."""
    taken = {name for group in sources.values() for name in group}
    others = [name for name in theirs if name not in taken]
    for name in others:
        if name.startswith(names.stems):
            raise ConfigError(
                f"{printable(settings.path.parent)} has a tensor {printable(name)}, which our network of this kind and "
                f"{settings.network.layer_count} layers does not have: it would compute something else. Give another "
                "network."
            )
    return tuple(others)


def _fresh(name: str, shape: torch.Size, random: torch.Generator) -> Tensor:
    """As a new head begins: matrices from N(0, 0.02), gains at one, biases at zero."""
    if len(shape) > 1:
        return torch.empty(shape).normal_(std=FRESH_SPREAD, generator=random)
    return torch.ones(shape) if name.endswith("norm.weight") else torch.zeros(shape)
