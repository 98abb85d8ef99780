"""A run folder → a network with its weights and its tokenizer, on a device. Whoever uses a trained run begins here."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError

from atinuke.config import nearest
from atinuke.errors import DamagedFileError, RunFolderError
from atinuke.machine import resolve_device
from atinuke.models import ModelConfig, build_model
from atinuke.models.config import saved_network
from atinuke.models.decoder import Decoder
from atinuke.run_folder import RunFolder, printable
from atinuke.tokenizers.tokenizer import Tokenizer
from atinuke.weights import load_weights


@dataclass(frozen=True)
class TrainedRun:
    """What a finished run holds, ready to be used. The network is in evaluation mode."""

    folder: RunFolder
    network: ModelConfig
    model: Decoder
    tokenizer: Tokenizer

    @property
    def context(self) -> int:
        """Tokens that the network was trained to see at once."""
        return self.network.context


def load_trained(path: str | os.PathLike[str], device: str = "auto") -> TrainedRun:
    """The run in the folder `path`; an AtinukeError names what is missing, unfinished, damaged, or does not fit.

    torch's random state is left as it was.
    """
    folder = find_run(path)
    folder.verify("config.json", "tokenizer.json", "model.safetensors")
    network = read_network(folder)
    tokenizer = Tokenizer.load(folder.tokenizer)
    if tokenizer.vocab_size != network.vocab_size:
        raise RunFolderError(
            f"{printable(folder.tokenizer)} has {tokenizer.vocab_size} token ids and the network {network.vocab_size}; "
            "expected the tokenizer that this run was trained with. Restore both from one run."
        )
    with torch.random.fork_rng(devices=[]):
        model = build_model(network)
    load_weights(folder.model, model)
    return TrainedRun(folder, network, model.to(resolve_device(device)).eval(), tokenizer)


def find_run(path: str | os.PathLike[str]) -> RunFolder:
    """The run folder at `path`, if training has finished there."""
    folder = RunFolder(path)
    if not folder.path.exists():
        raise RunFolderError(
            f"{printable(folder.path)} does not exist; expected a run folder, as atinuke train makes it."
            f"{_nearest_run(folder.path)}"
        )
    if folder.path.is_dir() and not folder.model.exists() and folder.state.is_dir():
        # A checkpoint from the middle is not offered instead: its learning rate has not come down, and what it
        # writes would be taken for what the run can do.
        raise RunFolderError(
            f"{printable(folder.path)} holds a run whose training was interrupted: there is no model.safetensors yet. "
            "Give its atinuke train command again; it goes on from the last checkpoint."
        )
    return folder.require()


def read_network(folder: RunFolder) -> ModelConfig:
    """The network that config.json describes."""
    try:
        return saved_network(folder.read_config())
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise DamagedFileError(
            f"{printable(folder.config)} does not describe a network: {where or 'sizes'}: {fault['msg']}. "
            "Restore it from a copy, or train again."
        ) from error


def _nearest_run(path: Path) -> str:
    """A hint at the run folder beside `path` whose name is closest."""
    try:
        names = [place.name for place in path.parent.iterdir() if (place / "config.json").is_file()]
    except OSError:
        return ""
    hint = nearest(path.name, names)
    return hint and f" Did you mean {printable(path.parent / hint.removeprefix(' Did you mean ').removesuffix('?'))}?"
