"""`atinuke finetune`: a network and tasks → a run for each task, or one for all of them."""

import os
from pathlib import Path

from atinuke.errors import ConfigError
from atinuke.generate.loading import load_trained
from atinuke.run_folder import RunFolder
from atinuke.tasks.config import FinetuneConfig
from atinuke.tasks.lesson import TaskLesson
from atinuke.tasks.registry import ANSWERED, described, find_answered_task, find_task
from atinuke.tasks.scoring import score_answered
from atinuke.train import run as training
from atinuke.train.config import TrainConfig, with_a_budget
from atinuke.train.progress import Display


def runs_of(cfg: FinetuneConfig) -> list[FinetuneConfig]:
    """The runs that `cfg` asks for: one for each task, or one for all that are learned jointly."""
    names = cfg.task.names
    for name in names:  # what is wrong is said before anything is read
        described(name)
        if name not in ANSWERED or cfg.task.jointly:
            find_task(name)
    if cfg.task.jointly or len(names) == 1:
        return [cfg]
    apart = []
    for name in names:
        task = cfg.task.model_copy(update={"names": (name,), "data": (str(cfg.data_of(name)),)})
        out = None if cfg.out is None else cfg.out / name
        apart.append(cfg.model_copy(update={"task": task, "out": out}))
    return apart


def run(cfg: FinetuneConfig, display: Display, *, already_s: float | None = None) -> Path:
    """Tune one network, score it on its tasks, and return the run folder; the same command goes on where it stopped."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError("atinuke finetune runs in one process; expected it without torchrun.")
    if cfg.task.names[0] in ANSWERED:
        return _run_answered(cfg, display, already_s)
    return training.run(cfg, display, already_s=already_s, kind=TaskLesson)


def _run_answered(cfg: FinetuneConfig, display: Display, already_s: float | None) -> Path:
    """As `atinuke train` learns pairs and examples, from the weights of the run."""
    kind, data = find_answered_task(cfg.task.names[0]), cfg.data_of(cfg.task.names[0])
    if cfg.task.run is None or cfg.task.from_scratch or cfg.task.lora.rank is not None:
        raise ConfigError(
            f"{kind.name} is learned with all weights of a RUN of ours; expected atinuke finetune RUN --task "
            f"{kind.name} without --init, --from-scratch and --lora. From fresh weights: {kind.how}."
        )
    shared = {name: getattr(cfg, name) for name in TrainConfig.model_fields if name in cfg.model_fields_set}
    name = cfg.folder_name
    asked = TrainConfig.model_validate(
        shared | {"data": kind.lesson(data), "init": cfg.task.run, "out": cfg.out or Path("runs") / str(name)}
    )
    folder = training.run(with_a_budget(asked), display, already_s=already_s)
    split = cfg.task.split or kind.scored[0]
    if not (RunFolder(folder).scores / f"{kind.name}-{split}" / "scores.json").exists():
        scored = score_answered(load_trained(folder, cfg.device), kind, data, split, display.say)
        display.say(", ".join(f"{key} {value:.2f}" for key, value in scored["values"].items()))
    return folder
