"""A lesson: data, objective and scores that belong together. The loop, the clock and the run folder know only this.

text ──────► next token, or masked tokens and next sentence
pairs ─────► sequence to sequence, or source, separator and target in one sequence
examples ──► the answer after a picture, a sound or a text
tables ────► a class or a number from columns of numbers
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import nn

from atinuke.data.batches.batch import Batch, BatchSource
from atinuke.errors import ConfigError
from atinuke.machine import Machine
from atinuke.models import ModelConfig, build_model
from atinuke.run_folder import RunFolder, printable
from atinuke.tokenizers.tokenizer import Tokenizer
from atinuke.train.config import TrainConfig
from atinuke.train.inheriting import Heritage
from atinuke.train.loop import Observer
from atinuke.train.objectives import Objective
from atinuke.train.parallel.ranks import ALONE, Ranks
from atinuke.train.planning.memory import rows_with_room
from atinuke.train.predecessor import Predecessor
from atinuke.train.progress import Display
from atinuke.train.schedule import Clock

Autocast = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True)
class Workbench:
    """Where a run is made: on what machine, since when, who looks on, and who takes part."""

    device: torch.device
    machine: Machine
    clock: Clock
    display: Display
    ranks: Ranks = ALONE


@dataclass(frozen=True)
class Lesson(ABC):
    """What a run learns. Made by `prepare` for a new run, by `take_up` for one that goes on."""

    config: TrainConfig
    """Resolved: no open choices."""
    network: ModelConfig
    tokenizer: Tokenizer | None
    """None where nothing is read as text."""
    facts: dict[str, Any]
    """What was measured and chosen, for summary.json."""

    task: ClassVar[str]
    """One word for summary.json."""

    def build(self) -> nn.Module:
        """The network, with fresh weights from torch's generator."""
        return build_model(self.network)

    def micro_batch_seqs(self, bench: Workbench) -> int | None:
        """Rows at once as asked; else, on a CPU, fewer than all where there is no room. A GPU says so by itself."""
        cfg = self.config
        if cfg.parallel.micro_batch_seqs is not None or cfg.batch_seqs is None or bench.device.type != "cpu":
            return cfg.parallel.micro_batch_seqs
        rows = -(-cfg.batch_seqs // bench.ranks.data_size)
        each_bytes = bench.ranks.memory_bytes(bench.device) / bench.ranks.size
        few = rows_with_room(self.network, cfg, rows, each_bytes)
        return None if few == rows else few

    @classmethod
    @abstractmethod
    def read(cls, cfg: TrainConfig, display: Display) -> Any:
        """Reads what `cfg` names, so that whatever is wrong with it is said before anything is written."""

    @classmethod
    @abstractmethod
    def prepare(cls, cfg: TrainConfig, material: Any, folder: RunFolder, bench: Workbench) -> Self:
        """Chooses what is open, and writes the data into the run folder; `material` is what `read` gave."""

    @classmethod
    @abstractmethod
    def take_up(cls, cfg: TrainConfig, folder: RunFolder, display: Display) -> Self:
        """What `prepare` left in the run folder; `cfg` is the resolved configuration that it saved."""

    @property
    @abstractmethod
    def fingerprint(self) -> str:
        """Changes with any byte of the data."""

    @property
    @abstractmethod
    def objective(self) -> Objective:
        """What is minimised."""

    @abstractmethod
    def batches(self, device: torch.device) -> BatchSource:
        """The training data."""

    @abstractmethod
    def estimator(self, device: torch.device, autocast: Autocast) -> Callable[[nn.Module], float]:
        """Nats per target on a few held-out places, the same ones every time."""

    @abstractmethod
    def summary(self, tokens: int) -> dict[str, Any]:
        """What summary.json says of the data, when `tokens` targets have been seen."""

    @abstractmethod
    def score(self, model: nn.Module, display: Display) -> dict[str, Any]:
        """Figures and samples of the trained model, for summary.json; the time budget is over."""

    @staticmethod
    @abstractmethod
    def say(summary: dict[str, Any]) -> str:
        """The figures of a finished run, for people."""

    @property
    def bytes_per_token(self) -> float | None:
        """UTF-8 bytes behind one target, where bits per byte mean something."""
        return None

    @property
    def keeps_best(self) -> bool:
        """Whether estimates on held-out data may choose which checkpoint is kept. Not where those may be the test."""
        return True

    def watchers(self, batches: BatchSource, display: Display) -> list[Observer]:
        """Observers that hold a plan against the run; none where the sizes are fixed recipes."""
        return []

    def begin(self, model: nn.Module, display: Display) -> None:
        """What a new run begins with: the weights of `init`, the embeddings of `init_embeddings`, or neither."""
        if self.config.init is not None:
            Predecessor.read(self.config.init).pass_on(model)
            display.say(f"It begins with the weights of {printable(self.config.init)}.")
        if self.config.init_embeddings is None:
            return
        if self.tokenizer is None:
            raise ConfigError("init_embeddings is set, and a table of numbers has no tokens; leave it out.")
        counts = Heritage.read(self.config.init_embeddings).pass_on(model, self.tokenizer, self.network.kind)
        display.say(
            f"Embeddings of {self.config.init_embeddings}: {counts['copied']:,} tokens copied, "
            f"{counts['averaged']:,} averaged from their pieces."
        )


def plan_path(folder: RunFolder) -> Path:
    """Where the facts of a plan are kept for a run that goes on."""
    return folder.state / "plan.json"


def used_up(cfg: TrainConfig, clock: Clock) -> ConfigError:
    """The error for a budget that ends before training can begin."""
    return ConfigError(
        f"--time {cfg.budget.time_s:g}s is used up before the first step ({clock.elapsed_s():.1f} s for starting, "
        "reading and tokenizing). Give more time, or less text."
    )


def mean_nats(batches: Sequence[Batch], objective: Objective, autocast: Autocast) -> Callable[[nn.Module], float]:
    """An estimator: the objective's mean over `batches`, each weighted by its targets."""

    def estimate(model: nn.Module) -> float:
        was_training = model.training
        model.eval()
        nats = 0.0
        with torch.inference_mode():
            for batch in batches:
                with autocast():
                    output = model(*batch.inputs)
                nats += objective(output, batch.targets).item() * batch.target_count
        model.train(was_training)
        return nats / sum(batch.target_count for batch in batches)

    return estimate
