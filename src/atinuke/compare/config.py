"""What a comparison can be told: networks, seeds, and the settings of `atinuke train` that all of them share.

No torch here: the processes that train load it, and this one stays small beside them.
"""

import os
import re
import stat
import typing
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from atinuke.config import Settings, build_settings, nearest, printable, validate
from atinuke.errors import ConfigError
from atinuke.models.config import ModelKind
from atinuke.series.settings import assignments_of
from atinuke.train.config import BudgetConfig, TrainConfig, with_a_budget

KINDS: tuple[str, ...] = typing.get_args(ModelKind)
SEEDS = (0, 1, 2)
NEEDS_PAIRS = ("seq2seq", "rnn-seq2seq")
NEEDS_TEXT = ("bert", "perceptron")
SAME_ON_PAIRS = {"rnn": "rnn-seq2seq"}
"""What `train` makes of a network where there are pairs."""
BUDGETS = tuple(f"budget.{name}" for name in BudgetConfig.model_fields)
TRAIN = "train."


class CompareConfig(Settings):
    """One call of `atinuke compare`."""

    networks: tuple[ModelKind, ...] = Field(
        description=f"Networks to compare, of {', '.join(KINDS)}; then files, folders, globs, archives to learn from; "
        "none: Python's own library."
    )
    seeds: tuple[Annotated[int, Field(ge=0, lt=2**32)], ...] = Field(
        (), description="Seeds; each network is trained once with each. None: 0 1 2."
    )
    out: Path | None = Field(None, description="Folder of the comparison; none: runs/compare-NAME.")
    as_json: bool = Field(False, description="Print compare.json instead of the table.")
    train: TrainConfig = Field(TrainConfig(), description="What all runs are told.")

    @property
    def chosen_seeds(self) -> tuple[int, ...]:
        """The seeds, in order."""
        return self.seeds or SEEDS

    def run_config(self, network: str, seed: int, out: Path) -> TrainConfig:
        """The settings of one run. ConfigError where this network cannot take them."""
        tree = self.train.model_dump(mode="json")
        tree["model"]["kind"] = network
        return validate(TrainConfig, {**tree, "seed": seed, "out": str(out)})

    @model_validator(mode="after")
    def _can_be_compared(self) -> Self:
        # ConfigError is no ValueError: it passes through pydantic as it is, a sentence of its own
        if not self.networks:
            raise ConfigError(f"No network is named; expected one or more of {', '.join(KINDS)}.")
        _refuse_repeats(self.networks, is_pairs=bool(self.train.data.pairs))
        for seed in self.seeds:
            if self.seeds.count(seed) > 1:
                raise ConfigError(f"--seeds names {seed} {self.seeds.count(seed)} times; name each seed once.")
        if self.train.data.examples:
            raise ConfigError("data.examples is set; compare is for text and for --pairs.")
        unfit = [kind for kind in self.networks if kind in (NEEDS_TEXT if self.train.data.pairs else NEEDS_PAIRS)]
        if unfit and self.train.data.pairs:
            raise ConfigError(f"{unfit[0]} learns from text, not from --pairs; leave it out.")
        if unfit:
            raise ConfigError(f"{unfit[0]} translates, and learns from --pairs FILE FILE alone; leave it out.")
        return self


def compare_settings(
    flags: Mapping[str, Any], flag_names: Mapping[str, str], assignments: Iterable[str]
) -> CompareConfig:
    """The settings behind a command line, as `Stage.given` reads it; `assignments` are settings of `train`.

    `flags["networks"]` holds all words that belong to no flag. Raises ConfigError for what contradicts itself.
    """
    networks, sources = networks_and_sources(flags.get("networks", ()))
    shared = {key.removeprefix(TRAIN): value for key, value in flags.items() if key.startswith(TRAIN)}
    train = build_settings(
        TrainConfig,
        flags={**shared, "data.sources": sources or None},
        flag_names={
            "data.sources": "SOURCE",
            **{key.removeprefix(TRAIN): name for key, name in flag_names.items() if key.startswith(TRAIN)},
        },
        assignments=assignments,
        one_of=BUDGETS,
    )
    _refuse_own(train)
    own = {key: value for key, value in flags.items() if not key.startswith(TRAIN)}
    return build_settings(
        CompareConfig, flags={**own, "networks": networks, "train": with_a_budget(train)}, flag_names=flag_names
    )


def networks_and_sources(words: Iterable[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The words that name a network, and the others. ConfigError for a word that seems to be a misspelt network."""
    networks: list[str] = []
    sources: list[str] = []
    for word in words:
        (networks if word in KINDS else sources).append(word)
    for word in sources:
        if re.fullmatch(r"[A-Za-z][\w-]*", word) and not os.path.lexists(word):
            meant = nearest(word.lower(), KINDS) or f" Networks are {', '.join(KINDS)}."
            raise ConfigError(f"{word!r} is neither a network nor a file.{meant}")
        if word == "-" or _is_pipe(word):
            raise ConfigError(
                f"{printable(word)} can be read only once, and every run reads the text; save it in a file first."
            )
    return tuple(networks), tuple(sources)


def command_of(cfg: CompareConfig, out: Path) -> list[str]:
    """Words that, typed after `atinuke compare`, ask for this comparison again."""
    data, budget = cfg.train.data, cfg.train.budget
    words: list[str] = [*cfg.networks, *data.sources]
    if data.pairs:
        words += ["--pairs", *data.pairs]
    if data.held_out:
        words += ["--held-out", *data.held_out]
    if budget.time_s is not None:
        words += ["--time", f"{budget.time_s:.15g}s"]
    if budget.steps is not None:
        words += ["--steps", str(budget.steps)]
    if budget.tokens is not None:
        words += ["--tokens", str(budget.tokens)]
    words += ["--seeds", *map(str, cfg.chosen_seeds), "--out", str(out)]
    return words + assignments_of(cfg.train, TrainConfig(), (*BUDGETS, "data.sources", "data.pairs", "data.held_out"))


def _refuse_repeats(networks: tuple[str, ...], *, is_pairs: bool) -> None:
    seen: dict[str, str] = {}
    for network in networks:
        real = SAME_ON_PAIRS.get(network, network) if is_pairs else network
        if seen.get(real) == network:
            raise ConfigError(f"{network} is named twice; name each network once. --seeds repeats its runs.")
        if real in seen:
            raise ConfigError(f"{seen[real]} and {network} are the same network on pairs; name one of them.")
        seen[real] = network


def _refuse_own(train: TrainConfig) -> None:
    """ConfigError for what `--set` may not say here, because it differs from run to run."""
    standard = TrainConfig()
    for key, what in (("seed", "--seeds N…"), ("out", "--out FOLDER"), ("resume", "another --out")):
        if getattr(train, key) != getattr(standard, key):
            raise ConfigError(f"{key} (from --set) is each run's own; give {what} instead.")
    if train.model.kind != standard.model.kind:
        raise ConfigError(f"model.kind (from --set) is each run's own; name {train.model.kind} among the networks.")


def _is_pipe(word: str) -> bool:
    try:
        return stat.S_ISFIFO(os.stat(word).st_mode)
    except (OSError, ValueError):
        return False
