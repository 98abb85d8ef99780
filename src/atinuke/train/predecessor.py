"""A trained run whose network goes on with other data: its sizes, its tokenizer and its weights."""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from atinuke.errors import ConfigError
from atinuke.generate.loading import find_run, read_network
from atinuke.run_folder import RunFolder, printable
from atinuke.tokenizers.tokenizer import Tokenizer
from atinuke.train.config import ModelChoice, TokenizerConfig, TrainConfig
from atinuke.weights import load_model, read_tensors

OPEN = ("dropout", "pair_dropout", "context", "picture", "sound")
"""What the next run may choose; everything else is the size of a weight."""
NEW_PARTS = ("picture.", "sound.")
"""Weights that a network of text does not have yet."""


@dataclass(frozen=True)
class Predecessor:
    """A finished run, as far as another begins with it."""

    folder: RunFolder
    model: ModelChoice
    vocabulary: TokenizerConfig
    tokenizer: Tokenizer

    @classmethod
    def read(cls, path: Path) -> "Predecessor":
        """The run at `path`; an AtinukeError names what is missing or damaged, or that it holds no such network."""
        folder = find_run(path)
        if folder.tasks.is_file() or read_network(folder).numbers:
            raise ConfigError(
                f"init: {printable(folder.path)} answers a task or a table; expected a run that learned from text, "
                "pairs or examples."
            )
        folder.verify("config.json", "tokenizer.json", "model.safetensors")
        config = folder.read_config()
        return cls(
            folder,
            ModelChoice.model_validate(config["model"]),
            TokenizerConfig.model_validate(config["tokenizer"]),
            Tokenizer.load(folder.tokenizer),
        )

    def settings(self, cfg: TrainConfig) -> TrainConfig:
        """`cfg` with this network and vocabulary; ConfigError where it sets another size."""
        own = self.model.model_dump(exclude=set(OPEN))
        for name in cfg.model.model_fields_set - set(OPEN):
            if getattr(cfg.model, name) != own[name]:
                raise self._differs(f"model.{name}", own[name], getattr(cfg.model, name))
        for name in cfg.tokenizer.model_fields_set:
            known = getattr(self.vocabulary, name)
            if getattr(cfg.tokenizer, name) != known:
                raise self._differs(f"tokenizer.{name}", known, getattr(cfg.tokenizer, name))
        heard = {name: getattr(cfg.model, name) or getattr(self.model, name) for name in ("picture", "sound")}
        model = cfg.model.model_copy(update=own | heard)
        return cfg.model_copy(update={"model": model, "tokenizer": self.vocabulary})

    @torch.no_grad()
    def pass_on(self, model: nn.Module) -> None:
        """Fills `model` with the weights; parts for pictures or sounds that this run did not have stay fresh."""
        tensors = read_tensors(self.folder.model)
        fresh = {
            name: tensor
            for name, tensor in model.state_dict().items()
            if name.startswith(NEW_PARTS) and name not in tensors
        }
        load_model(model, {**tensors, **fresh}, origin=f"init: {printable(self.folder.path)}")

    def _differs(self, name: str, own: object, asked: object) -> ConfigError:
        return ConfigError(
            f"init: {printable(self.folder.path)} has {name} {own}, and {asked} is asked for; leave {name} out."
        )


def with_predecessor(cfg: TrainConfig) -> tuple[TrainConfig, Tokenizer | None]:
    """`cfg` with the network of the run that it begins with, and that run's tokenizer; `cfg` and None without one."""
    if cfg.init is None:
        return cfg, None
    found = Predecessor.read(cfg.init)
    return found.settings(cfg), found.tokenizer
