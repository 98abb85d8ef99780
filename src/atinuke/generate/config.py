"""What generation can be told. No torch here: the command line reads this file before anything heavy is loaded."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationInfo, field_validator

from atinuke.config import Settings
from atinuke.errors import ConfigError

RANGES: Mapping[str, tuple[Callable[[float], bool], str]] = MappingProxyType(
    {
        "temperature": (lambda value: value >= 0, "0 (always the likeliest token) or more"),
        "top_k": (lambda value: value >= 1, "1 or more, or none for all tokens"),
        "top_p": (lambda value: 0 < value <= 1, "more than 0 and at most 1"),
        "repetition_penalty": (lambda value: value > 0, "more than 0; 1 changes nothing"),
    }
)


@dataclass(frozen=True)
class SamplingRules:
    """How the next token is drawn from the logits; ConfigError where a rule is out of its range.

    In this order: `repetition_penalty`, `top_k`, `temperature`, `top_p`. `sampling.py` says what each does.
    """

    temperature: float = 0.8
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float = 1.0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if fault := _out_of_range(field.name, value):
                raise ConfigError(f"{field.name} is {value!r}; expected {fault}.")


class GenerateConfig(Settings):
    """One call of `atinuke generate`."""

    run: Path = Field(description="Run folder.")
    prompts: tuple[str, ...] = Field(("",), description="Beginnings to continue; - reads them from stdin, one a line.")
    sources: tuple[str, ...] = Field((), description="Texts to translate; - reads them from stdin, one a line.")
    inputs: tuple[str, ...] = Field((), description="Pictures, sounds or tables (.csv) to answer about.")
    beam: PositiveInt = Field(5, description="Translating: how many beginnings are kept at once; 1 is greedy.")
    length_penalty: float = Field(1.0, ge=0, description="Translating: scores are divided by length to this power.")
    tokens: PositiveInt = Field(200, description="Tokens to write at most, for each completion.")
    temperature: float = Field(SamplingRules.temperature, description="0: always the likeliest token; 1: as learned.")
    top_k: int | None = Field(SamplingRules.top_k, description="Draw from the k likeliest tokens only.")
    top_p: float | None = Field(SamplingRules.top_p, description="Draw from the likeliest that together hold p.")
    repetition_penalty: float = Field(
        SamplingRules.repetition_penalty, description="Above 1, tokens that were there before become less likely."
    )
    stop: tuple[str, ...] = Field((), description="Texts that end a completion; they are not shown.")
    seed: NonNegativeInt = Field(0, lt=2**32, description="Seed of the first completion; the next ones count up.")
    count: PositiveInt = Field(1, description="Completions of each prompt.")
    as_json: bool = Field(False, description="One JSON object per completion instead of text.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Where to run.")

    @property
    def rules(self) -> SamplingRules:
        """The four sampling settings by themselves."""
        return SamplingRules(self.temperature, self.top_k, self.top_p, self.repetition_penalty)

    @field_validator(*RANGES)
    @classmethod
    def _in_range(cls, value: float | None, info: ValidationInfo) -> float | None:
        if fault := _out_of_range(info.field_name or "", value):
            raise ValueError(fault)
        return value

    @field_validator("stop")
    @classmethod
    def _stops_are_texts(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        check_stops(value)
        return value


def check_stops(stops: tuple[str, ...]) -> None:
    """ValueError where a stop text is empty: it would end every completion before it began."""
    if "" in stops:
        raise ValueError("texts of at least one character")


def _out_of_range(name: str, value: float | None) -> str:
    """What was expected, if `value` is not that; otherwise an empty string."""
    is_in_range, expected = RANGES[name]
    if value is None:
        return "" if name in ("top_k", "top_p") else expected
    if isinstance(value, bool) or not isinstance(value, int if name == "top_k" else int | float):
        return expected
    return "" if math.isfinite(value) and is_in_range(value) else expected
