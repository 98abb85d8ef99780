"""`atinuke finetune`: a network and tasks → a run for each task, or one for all of them."""

import os
from pathlib import Path

from atinuke.errors import ConfigError
from atinuke.tasks.config import FinetuneConfig
from atinuke.tasks.lesson import TaskLesson
from atinuke.tasks.registry import find_task
from atinuke.train import run as training
from atinuke.train.progress import Display


def runs_of(cfg: FinetuneConfig) -> list[FinetuneConfig]:
    """The runs that `cfg` asks for: one for each task, or one for all that are learned jointly."""
    for name in cfg.task.names:
        find_task(name)  # a wrong name is said before anything is read
    if cfg.task.jointly or len(cfg.task.names) == 1:
        return [cfg]
    apart = []
    for name in cfg.task.names:
        task = cfg.task.model_copy(update={"names": (name,), "data": (str(cfg.data_of(name)),)})
        out = None if cfg.out is None else cfg.out / name
        apart.append(cfg.model_copy(update={"task": task, "out": out}))
    return apart


def run(cfg: FinetuneConfig, display: Display, *, already_s: float | None = None) -> Path:
    """Tune one network, score it on its tasks, and return the run folder; the same command goes on where it stopped."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("atinuke finetune runs in one process; expected it without torchrun.")
    return training.run(cfg, display, already_s=already_s, kind=TaskLesson)
