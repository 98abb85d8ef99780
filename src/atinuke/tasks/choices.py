"""What a tuned run is not told: rates by what it begins with, and no more time than its passes take."""

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from atinuke.models.config import saved_network
from atinuke.tasks.base import Base
from atinuke.tasks.config import FinetuneConfig
from atinuke.tasks.task import Task
from atinuke.train.config import BudgetConfig
from atinuke.train.engine import Engine
from atinuke.train.lessons.lesson import Workbench, used_up
from atinuke.train.planning.choices import choose_dtype

if TYPE_CHECKING:
    from atinuke.tasks.lesson import TaskLesson

LONGEST_ROW = 256
"""Tokens of a row where the network could take more than it was trained on: text of a task is short."""
TIMED_STEPS = 5
ROOM = 1.1
"""Time that passes get beyond what a few timed steps foretell."""
LEAST_S = 2.0
"""Passes over a handful of examples are granted as much, or the time were used up before the first step."""
RATES = {"scratch": 3e-3, "hub": 3e-5, "lora": 4e-4}
"""Peak of AdamW, by what a run begins with (docs/lab.md)."""
HEAD_RATES = {"scratch": 1e-3, "run": 1e-3, "hub": 3e-4, "lora": 4e-4}
"""Heads begin with fresh weights, whatever the network begins with."""
PART_OF_SIZE = 2.4e-3
"""Peak for the weights of a run, as a part of their root mean square. AdamW moves all numbers alike, and those of a run
are 0.02 or 6 by how it was pretrained: large ones would hardly be moved at a fixed rate. Steps in proportion to
what they change are Adafactor's (Shazeer & Stern 2018, arXiv:1804.04235, §8)."""


def resolve(cfg: FinetuneConfig, base: Base, bench: Workbench) -> FinetuneConfig:
    """`cfg` without open choices, but for the budget. Sizes are those of the base; its dropout may be set."""
    given = cfg.model.model_dump(include={"dropout", "pair_dropout"}, exclude_none=True)
    optim = {
        "kind": cfg.optim.kind or "adamw",
        **_rates(cfg, base),
        "beta2": 0.999 if cfg.optim.beta2 is None else cfg.optim.beta2,
        "clip_norm": cfg.optim.clip_norm or 1.0,
    }
    return cfg.model_copy(
        update={
            "model": base.model.model_copy(update=given),
            "tokenizer": base.tokenizer,
            "optim": cfg.optim.model_copy(update=optim),
            "dtype": choose_dtype(cfg, bench.device, bench.machine),
            "compile": False,
        }
    )


def _rates(cfg: FinetuneConfig, base: Base) -> dict[str, float | None]:
    """Peaks of all groups of weights: as asked, or by what the run begins with."""
    asked = cfg.optim
    begun = "hub" if cfg.task.init is not None else "scratch" if base.weights is None else "run"
    how = "lora" if cfg.task.lora.rank is not None else begun
    table_lr: float | None = None
    if how == "run":
        assert base.weights is not None
        blocks = [each for name, each in base.weights.items() if name.startswith("blocks.") and each.ndim == 2]
        lr = asked.lr or PART_OF_SIZE * _root_mean_square(blocks)
        table_lr = PART_OF_SIZE * _root_mean_square([base.weights["embedding.weight"]])
    else:
        lr = asked.lr or RATES[how]
    return {
        "lr": lr,
        "matrix_lr": asked.matrix_lr or lr,
        "embedding_lr": asked.embedding_lr or table_lr,
        "head_lr": asked.head_lr or asked.lr or HEAD_RATES[how],
    }


def _root_mean_square(tensors: Sequence[Tensor]) -> float:
    squares = sum(float(each.double().square().sum()) for each in tensors)
    return math.sqrt(squares / sum(each.numel() for each in tensors))


def within_passes(lesson: "TaskLesson", cfg: FinetuneConfig, passes: float, bench: Workbench) -> float:
    """The time budget, or less where the passes need less; ConfigError where nothing of it is left.

    A step takes time by its tokens, and few steps are timed: so it is tokens that are counted.
    """
    assert cfg.budget.time_s is not None
    with torch.random.fork_rng(devices=[]):
        model = lesson.build()
        engine = Engine.build(model, cfg, lesson.objective, bench.device, bench.machine)
        source = lesson.batches(bench.device)
        model.train()
        seconds, tokens = [], []
        for number in range(TIMED_STEPS):
            batch = source.batch(number)
            began_s = time.perf_counter()
            engine.step_on(batch)
            seconds.append(time.perf_counter() - began_s)
            tokens.append(batch.target_count)
            if bench.clock.elapsed_s() > 0.9 * cfg.budget.time_s:
                raise used_up(cfg, bench.clock)
    per_token_s = sum(seconds[1:]) / sum(tokens[1:])
    needed_s = bench.clock.elapsed_s() + max(LEAST_S, ROOM * passes * lesson.tokens_per_pass * per_token_s)
    if needed_s < cfg.budget.time_s:
        bench.display.say(f"{passes:g} passes over the training data take about {needed_s:.0f} s; it ends after them.")
    return min(needed_s, cfg.budget.time_s)


def in_passes(cfg: FinetuneConfig, facts: dict[str, Any]) -> FinetuneConfig:
    """`cfg` with the budget of the plan: passes as steps, or as the time that they take at most."""
    asked = cfg.budget
    if asked.time_s is not None:
        budget = asked.model_copy(update={"time_s": min(asked.time_s, facts.get("time_s", asked.time_s))})
    elif asked.steps is not None or asked.tokens is not None:
        budget = asked
    else:
        budget = BudgetConfig(steps=max(1, math.ceil(facts["passes"] * facts["batches_per_pass"])))
    return cfg.model_copy(update={"budget": budget})


def max_tokens_of(cfg: FinetuneConfig, task: Task[Any]) -> int:
    """Longest row of a task in this run."""
    network = saved_network(cfg.model_dump())
    return min(cfg.task.max_tokens or task.max_tokens or max(network.context, LONGEST_ROW), network.max_len)
