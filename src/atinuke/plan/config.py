"""What a plan can be told: the settings of `atinuke train`, or cards that are not here and a network for them."""

import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from atinuke.config import Settings, build_settings
from atinuke.errors import ConfigError
from atinuke.plan.hardware import GpuKind
from atinuke.train.config import BudgetConfig, TrainConfig, parse_duration, with_a_budget

TRAIN, CLUSTER = "train.", "cluster."
BUDGETS = tuple(f"budget.{name}" for name in BudgetConfig.model_fields)
COUNTS = {"": 1.0, "k": 1e3, "m": 1e6, "b": 1e9, "t": 1e12}
# flags that mean something on both sides
SHARED = {
    "train.budget.time_s": "time_s",
    "train.budget.tokens": "tokens",
    "train.model.kind": "model",
    "train.tokenizer.vocab_size": "vocab_size",
}


class ClusterConfig(Settings):
    """Cards that are not here, and what is to be trained on them."""

    gpus: PositiveInt = Field(description="Cards in all, eight to a node.")
    params: PositiveFloat | None = Field(None, description="Parameters of the network, such as 7b or 350m.")
    gpu: GpuKind = Field("h100", description="Kind of card.")
    tokens: PositiveFloat | None = Field(
        None, description="Training tokens; none: 20 for each parameter, or what the time allows."
    )
    time_s: PositiveFloat | None = Field(None, description="Time that there is, such as 30d.")
    context: PositiveInt = Field(8192, description="Tokens per window.")
    batch_tokens: PositiveInt | None = Field(
        None, description="Tokens per step, such as 4m; none: by the number of training tokens."
    )
    vocab_size: PositiveInt = Field(65_536, description="Number of ids in all.")
    model: Literal["llama", "gpt"] = Field("llama", description="Which network.")
    model_dim: PositiveInt | None = Field(None, description="Width; none: by params.")
    layer_count: PositiveInt | None = Field(None, description="Blocks; none: by params.")
    tensor: PositiveInt | None = Field(None, description="Cards that share each matrix; none: what is fastest.")
    recompute: bool | None = Field(None, description="Compute blocks again on the way back; none: where it is needed.")
    sharing: Literal["fsdp", "ddp"] | None = Field(None, description="As parallel.kind; none: what is fastest.")
    micro_batch_seqs: PositiveInt | None = Field(None, description="Windows at once; none: what is fastest.")
    as_json: bool = Field(False, description="JSON instead of text.")

    @field_validator("params", "tokens", "batch_tokens", "gpus", "vocab_size", mode="before")
    @classmethod
    def _read_count(cls, value: object) -> object:
        return parse_count(value) if isinstance(value, str) else value

    @field_validator("time_s", mode="before")
    @classmethod
    def _read_duration(cls, value: object) -> object:
        return parse_duration(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _has_a_size(self) -> Self:
        # ConfigError is no ValueError: it passes through pydantic as it is, a sentence of its own
        if self.params is None and (self.model_dim is None or self.layer_count is None):
            raise ConfigError("--gpus needs the size of the network: give --params 7b, for example.")
        if self.params is not None and (self.model_dim is not None or self.layer_count is not None):
            raise ConfigError("--params and model_dim or layer_count both say how large the network is; give one.")
        return self


class PlanConfig(Settings):
    """One call of `atinuke plan`."""

    train: TrainConfig = Field(TrainConfig(), description="What the run would be told.")
    cluster: ClusterConfig | None = Field(None, description="Instead: cards that are not here.")
    as_json: bool = Field(False, description="Print the plan as JSON.")


def plan_settings(flags: Mapping[str, Any], flag_names: Mapping[str, str], assignments: Iterable[str]) -> PlanConfig:
    """The settings behind a command line, as `Stage.given` reads it; `assignments` are settings of `atinuke train`,
    or with --gpus of `ClusterConfig`. Raises ConfigError for what contradicts itself.
    """
    as_json = bool(flags.get("as_json"))
    far = {key.removeprefix(CLUSTER): value for key, value in flags.items() if key.startswith(CLUSTER)}
    if far and "gpus" not in far:
        given = " and ".join(flag_names[CLUSTER + key] for key in far)
        raise ConfigError(f"{given} is for cards that are not here; say how many: --gpus 64, for example.")
    if not far:
        near = {key.removeprefix(TRAIN): value for key, value in flags.items() if key.startswith(TRAIN)}
        names = {key.removeprefix(TRAIN): name for key, name in flag_names.items() if key.startswith(TRAIN)}
        train = build_settings(TrainConfig, flags=near, flag_names=names, assignments=assignments, one_of=BUDGETS)
        return PlanConfig(train=with_a_budget(train), as_json=as_json)
    known = {**{key: CLUSTER + name for key, name in SHARED.items()}, **{key: key for key in flags if CLUSTER in key}}
    foreign = [flag_names.get(key, key) for key in flags if key.startswith(TRAIN) and key not in SHARED]
    if foreign:
        raise ConfigError(f"{foreign[0]} is for a plan on this machine; leave it out, or --gpus.")
    values = {known[key].removeprefix(CLUSTER): value for key, value in flags.items() if key in known}
    names = {known[key].removeprefix(CLUSTER): name for key, name in flag_names.items() if key in known}
    cluster = build_settings(ClusterConfig, flags=values, flag_names=names, assignments=assignments)
    return PlanConfig(cluster=cluster, as_json=as_json)


def parse_count(text: str) -> float | int:
    """The number in "7b", "1.5m", "131072" or "4_000"; ValueError otherwise."""
    match = re.fullmatch(r"(\d[\d_]*(?:\.\d+)?)([kmbt]?)", text.strip().lower())
    if match is None:
        raise ValueError("a number such as 7b, 140b, 4m or 131072")
    number = float(match[1].replace("_", "")) * COUNTS[match[2]]
    return int(number) if number == int(number) else number
