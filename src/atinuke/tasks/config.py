"""Everything that fine-tuning can be told: a training run whose network exists, and tasks for it.

No torch here: the command line reads this file before anything heavy is loaded.
"""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from atinuke.config import Settings
from atinuke.errors import ConfigError
from atinuke.tasks.registry import ANSWERED, WITH_HEAD
from atinuke.train.config import OptimizerConfig, ScheduleConfig, TrainConfig


class LoraConfig(Settings):
    """Learn low-rank additions to the matrices of the network instead of the matrices (Hu et al. 2021)."""

    rank: PositiveInt | None = Field(None, description="Rank of each addition; none: all weights are learned.")
    alpha: PositiveFloat | None = Field(None, description="Additions count by alpha / rank; none: twice the rank.")


class TaskConfig(Settings):
    """Which tasks, on what data, from which network."""

    names: tuple[str, ...] = Field((), description=f"Tasks: {', '.join((*WITH_HEAD, *ANSWERED))}.")
    data: tuple[str, ...] = Field((), description="Folder with the task's files; one for all tasks, or one for each.")
    run: Path | None = Field(None, description="Run folder to begin from.")
    init: str | None = Field(None, description="hf:NAME_OR_DIR, a Hugging Face network, instead of RUN.")
    from_scratch: bool = Field(False, description="Take sizes and tokenizer of RUN, and fresh weights.")
    jointly: bool = Field(False, description="Learn all tasks in one network, batches of all mixed.")
    passes: PositiveFloat | None = Field(
        None, description="Times that the training data is seen, unless --time ends before; none: by task."
    )
    split: str | None = Field(
        None, description="Split to score on when the run is done; none: dev, or those of the task."
    )
    max_tokens: PositiveInt | None = Field(
        None, description="Longest row; none: as the task asks, or 256, or the context where that is more."
    )
    sight: Literal["full", "causal"] = Field(
        "full", description="Decoders: see both sides of a token, or what is before."
    )
    head_dropout: float = Field(0.1, ge=0, lt=1, description="Dropout in the heads.")
    lora: LoraConfig = Field(LoraConfig(), description="Low-rank additions.")


class FinetuneConfig(TrainConfig):
    """One fine-tuned run."""

    task: TaskConfig = Field(TaskConfig(), description="Tasks.")
    optim: OptimizerConfig = Field(OptimizerConfig(), description="Optimizer.")
    schedule: ScheduleConfig = Field(
        ScheduleConfig(warmup_fraction=0.06, decay_fraction=0.94), description="Learning rate over time."
    )

    @property
    def folder_name(self) -> str | None:
        """RUN-TASK, where --out does not say otherwise."""
        begun = self.task.run.name if self.task.run is not None else Path(self.task.init or "hf").name
        return "-".join((begun, *self.task.names, *(["scratch"] if self.task.from_scratch else [])))

    @model_validator(mode="after")
    def _begins_somewhere(self) -> Self:
        # ConfigError is no ValueError: it passes through pydantic as it is, a sentence of its own
        if not self.task.names:
            raise ConfigError("task is missing; give --task NAME, such as --task sst2.")
        if (self.task.run is None) == (self.task.init is None):
            raise ConfigError("expected one network to begin from: RUN, or --init hf:NAME_OR_DIR.")
        if self.task.from_scratch and self.task.init is not None:
            raise ConfigError("--from-scratch takes the sizes of a RUN; --init names weights. Give one of them.")
        if len(set(self.task.names)) < len(self.task.names):
            raise ConfigError("a task is named twice; name each once.")
        if not self.task.data:
            raise ConfigError("data is missing; give --data FOLDER with the task's files.")
        if len(self.task.data) not in (1, len(self.task.names)):
            raise ConfigError(
                f"{len(self.task.data)} folders of data for {len(self.task.names)} tasks; give one, or one for each."
            )
        return self

    def data_of(self, name: str) -> Path:
        """The folder with the files of the task `name`."""
        folders = self.task.data
        return Path(folders[0] if len(folders) == 1 else folders[self.task.names.index(name)])
