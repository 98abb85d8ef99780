"""A run folder → a network with its weights and its tokenizer, on a device. Whoever uses a trained run begins here."""

import os
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import nn

from atinuke.config import nearest
from atinuke.errors import DamagedFileError, RunFolderError
from atinuke.machine import resolve_device
from atinuke.models import ModelConfig, build_model
from atinuke.models.config import saved_network
from atinuke.models.decoder import Decoder
from atinuke.run_folder import RunFolder, printable
from atinuke.tokenizers.tokenizer import Tokenizer
from atinuke.weights import load_weights

MASK = "<mask>"
"""Stands in a prompt for a token that is to be filled in."""


@dataclass(frozen=True)
class TrainedRun:
    """What a finished run holds, ready to be used. The network is in evaluation mode."""

    folder: RunFolder
    network: ModelConfig
    model: nn.Module
    vocabulary: Tokenizer | None
    """None where the network reads numbers alone."""

    @property
    def tokenizer(self) -> Tokenizer:
        """Text to ids and back; RunFolderError for a network that reads numbers alone."""
        if self.vocabulary is None:
            raise RunFolderError(f"{printable(self.folder.path)} reads a table of numbers, not text; {self.usage}.")
        return self.vocabulary

    @property
    def decoder(self) -> Decoder:
        """The network as one that continues text; RunFolderError, saying what it does instead, for others."""
        if not isinstance(self.model, Decoder):
            raise RunFolderError(
                f"{printable(self.folder.path)} holds a {self.network.kind} network, which does not continue text; "
                f"{self.usage}."
            )
        return self.model

    @property
    def usage(self) -> str:
        """What this run is for."""
        run = printable(self.folder.path)
        if self.network.kind in ("seq2seq", "rnn-seq2seq"):
            return f'it translates: atinuke generate {run} --source "TEXT"'
        if self.network.kind == "bert":
            return f'it fills in what is masked: atinuke generate {run} "one {MASK} of a text"'
        if self.network.numbers:
            return f"it answers for the rows of a table: atinuke generate {run} --input FILE.csv"
        if self.network.picture or self.network.sound:
            return f"it says what it sees or hears: atinuke generate {run} --input FILE"
        return f'it continues text: atinuke generate {run} "PROMPT"'

    @property
    def context(self) -> int:
        """Tokens that the network was trained to see at once."""
        return self.network.context


def load_trained(path: str | os.PathLike[str], device: str = "auto") -> TrainedRun:
    """The run in the folder `path`; an AtinukeError names what is missing, unfinished, damaged, or does not fit.

    torch's random state is left as it was.
    """
    folder = find_run(path)
    if folder.tasks.is_file():
        raise RunFolderError(
            f"{printable(folder.path)} was tuned for tasks and answers those alone; "
            f"atinuke evaluate {printable(folder.path)} --task NAME --data FOLDER scores it."
        )
    network = read_network(folder)
    reads_text = not network.numbers
    folder.verify("config.json", "model.safetensors", *(["tokenizer.json"] if reads_text else []))
    tokenizer = Tokenizer.load(folder.tokenizer) if reads_text else None
    if tokenizer is not None and tokenizer.vocab_size + network.has_mask != network.vocab_size:
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
