"""What a ladder of runs can be told: how long in all, seeds, and the settings of `atinuke train` that all share.

No torch here.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, PositiveFloat, field_validator, model_validator

from atinuke.config import Settings, build_settings
from atinuke.errors import ConfigError
from atinuke.series.settings import assignments_of
from atinuke.train.config import BudgetConfig, TrainConfig, parse_duration

TRAIN = "train."
TIME_S = 7200.0
SEEDS = (0,)
OWN_SIZES = ("model_dim", "key_dim", "hidden_dim", "head_count", "layer_count")
"""Of model: what the ladder varies."""
WITHOUT_BITS_PER_BYTE = {
    "bert": "sees both sides of what it guesses, which gives no bits per byte",
    "seq2seq": "translates, and learns from --pairs alone",
    "rnn-seq2seq": "translates, and learns from --pairs alone",
}


class ScaleConfig(Settings):
    """One call of `atinuke scale`."""

    time_s: PositiveFloat | None = Field(
        None, description="Wall clock of all runs together, such as 10m, 2h; none: 2h."
    )
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = Field(
        (), description="Seeds; every rung of the ladder is trained once with each. None: 0."
    )
    out: Path | None = Field(None, description="Folder of the ladder; none: runs/scale-NAME.")
    as_json: bool = Field(False, description="Print scale.json instead of the table.")
    train: TrainConfig = Field(TrainConfig(), description="What all runs are told.")

    @property
    def chosen_time_s(self) -> float:
        """For all runs together."""
        return self.time_s or TIME_S

    @property
    def chosen_seeds(self) -> tuple[int, ...]:
        """The seeds, in order."""
        return self.seeds or SEEDS

    @property
    def lasting(self) -> "ScaleConfig":
        """What must be the same for a ladder to go on: all but where it lies and what is printed."""
        return self.model_copy(
            update={"time_s": self.chosen_time_s, "seeds": self.chosen_seeds, "out": None, "as_json": False}
        )

    @field_validator("time_s", mode="before")
    @classmethod
    def _read_duration(cls, value: object) -> object:
        return parse_duration(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _can_be_a_ladder(self) -> Self:
        # ConfigError is no ValueError: it passes through pydantic as it is, a sentence of its own
        for seed in self.seeds:
            if self.seeds.count(seed) > 1:
                raise ConfigError(f"--seeds names {seed} {self.seeds.count(seed)} times; name each seed once.")
        train, kind = self.train, self.train.model.kind
        if train.data.pairs or train.data.examples:
            raise ConfigError(
                "scale is for text, whose loss is counted in bits per byte; leave out pairs and examples."
            )
        if (reason := WITHOUT_BITS_PER_BYTE.get(kind)) is not None:
            raise ConfigError(f"--model {kind} {reason}; give atinuke, gpt, llama, rnn or another that continues text.")
        if train.init_embeddings is not None:
            raise ConfigError("init_embeddings fixes the width of a network, which the ladder varies; leave it out.")
        return self


def scale_settings(flags: Mapping[str, Any], flag_names: Mapping[str, str], assignments: Iterable[str]) -> ScaleConfig:
    """The settings behind a command line, as `Stage.given` reads it; `assignments` are settings of `train`.

    Raises ConfigError for what contradicts itself.
    """
    train = build_settings(
        TrainConfig,
        flags={key.removeprefix(TRAIN): value for key, value in flags.items() if key.startswith(TRAIN)},
        flag_names={key.removeprefix(TRAIN): name for key, name in flag_names.items() if key.startswith(TRAIN)},
        assignments=assignments,
    )
    _refuse_own(train)
    own = {key: value for key, value in flags.items() if not key.startswith(TRAIN)}
    return build_settings(ScaleConfig, flags={**own, "train": train}, flag_names=flag_names)


def command_of(cfg: ScaleConfig, out: Path) -> list[str]:
    """Words that, typed after `atinuke scale`, ask for this ladder again."""
    words = [*cfg.train.data.sources, "--time", f"{cfg.chosen_time_s:.15g}s", "--seeds", *map(str, cfg.chosen_seeds)]
    return [*words, "--out", str(out), *assignments_of(cfg.train, TrainConfig(), ("data.sources",))]


def _refuse_own(train: TrainConfig) -> None:
    """ConfigError for what `--set` may not say here, because it differs from run to run."""
    standard = TrainConfig()
    for key, what in (("seed", "--seeds N…"), ("out", "--out FOLDER"), ("resume", "another --out")):
        if getattr(train, key) != getattr(standard, key):
            raise ConfigError(f"{key} (from --set) is each run's own; give {what} instead.")
    if train.budget != BudgetConfig():
        raise ConfigError("budget (from --set) is each run's own; --time says how long all of them may take together.")
    for name in OWN_SIZES:
        if getattr(train.model, name) is not None:
            raise ConfigError(f"model.{name} (from --set) is what the ladder varies; leave it out.")
