"""`atinuke finetune`: what its line looks like."""

import time as clock
from pathlib import Path
from typing import Annotated, ClassVar

import typer

from atinuke.flags import HOW_LONG, OUTPUT, SETTINGS, WHAT, WHERE, Stage, flag, parted, refusal


class FinetuneStage(Stage):
    """`atinuke finetune` and the settings that its flags set."""

    summary = "A trained model and a task: a model tuned for it."
    examples = (
        "atinuke finetune runs/novels --task sst2 --data glue/SST-2",
        "atinuke finetune runs/novels --task squad --data squad/ --time 20m --out runs/squad",
        "atinuke finetune --init hf:bert-base-uncased --task mrpc --data glue/MRPC --lora 8",
        "atinuke finetune runs/novels --task sst2,cola,rte --data glue/ --jointly",
    )
    settings = "atinuke.tasks.config:FinetuneConfig"
    keys: ClassVar = {
        "run": "task.run",
        "task": "task.names",
        "data": "task.data",
        "init": "task.init",
        "from_scratch": "task.from_scratch",
        "jointly": "task.jointly",
        "lora": "task.lora.rank",
        "passes": "task.passes",
        "split": "task.split",
        "time": "budget.time_s",
        "steps": "budget.steps",
        "out": "out",
        "seed": "seed",
        "device": "device",
        "resume": "resume",
    }
    greedy = ("--data",)


def finetune(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(metavar="RUN", rich_help_panel=WHAT, show_default=False)] = None,
    task: Annotated[str | None, flag("--task", "NAME,…", WHAT)] = None,
    data: Annotated[list[str] | None, flag("--data", "FOLDER…", WHAT)] = None,
    init: Annotated[str | None, flag("--init", "hf:NAME", WHAT)] = None,
    from_scratch: Annotated[
        bool, flag("--from-scratch", None, WHAT, "Fresh weights, to see what pretraining is worth.")
    ] = False,
    jointly: Annotated[bool, flag("--jointly", None, WHAT, "Learn all tasks in one network.")] = False,
    lora: Annotated[str | None, flag("--lora", "RANK", WHAT)] = None,
    time: Annotated[
        str | None, flag("--time", "TIME", HOW_LONG, "Training ends before, when --passes are done.")
    ] = None,
    passes: Annotated[str | None, flag("--passes", "N", HOW_LONG)] = None,
    steps: Annotated[str | None, flag("--steps", "N", HOW_LONG, "Instead of --time.")] = None,
    split: Annotated[str | None, flag("--split", "NAME", WHERE)] = None,
    out: Annotated[str | None, flag("--out", "FOLDER", WHERE)] = None,
    seed: Annotated[str | None, flag("--seed", "N", WHERE)] = None,
    device: Annotated[str | None, flag("--device", None, WHERE)] = None,
    resume: Annotated[str | None, flag("--resume", None, WHERE)] = None,
    fresh: Annotated[bool, flag("--fresh", None, WHERE, "The same as --resume fresh.")] = False,
    config: Annotated[str | None, flag("--config", "FILE", SETTINGS, "TOML, or the config.json of a run.")] = None,
    assignments: Annotated[
        list[str] | None, flag("--set", "KEY=VALUE", SETTINGS, "One setting, such as optim.lr=1e-4; may be repeated.")
    ] = None,
    dry_run: Annotated[bool, flag("--dry-run", None, SETTINGS, "Print all settings as they would be taken.")] = False,
    quiet: Annotated[bool, flag("--quiet", None, OUTPUT, "Print nothing but the run folders.")] = False,
) -> None:
    """Tune the network in RUN for a task, score it by the task's official rules, and keep the predictions.

    Several tasks, parted by commas, are learned one after the other, each from RUN; --jointly makes one network of
    them all.
    """
    if fresh:
        if resume not in (None, "fresh"):
            raise refusal(f"--fresh and --resume {resume} contradict each other; give one of them.")
        context.params["resume"] = "fresh"
    if task is not None:
        context.params["task"] = parted(task)
    from atinuke.config import build_settings
    from atinuke.tasks.config import FinetuneConfig

    cfg = build_settings(
        FinetuneConfig,
        file=None if config is None else Path(config),
        assignments=assignments or (),
        one_of=("budget.time_s", "budget.steps", "budget.tokens"),
        **FinetuneStage.given(context),
    )
    from atinuke.finetune.run import run as stage
    from atinuke.finetune.run import runs_of
    from atinuke.machine import process_started_s
    from atinuke.train.progress import Display, Progress, Quiet

    for number, each in enumerate(runs_of(cfg)):
        if dry_run:
            print(each.to_json().rstrip("\n"))
            continue
        began_s = clock.time() if number else process_started_s()
        budget = each.budget
        display: Display = Quiet()
        if not quiet:
            display = Progress(time_budget_s=budget.time_s, total_steps=budget.steps, spent_s=began_s)
        folder = stage(each, display, already_s=began_s)
        print(folder if quiet else f"\nRun folder  {folder}\nScores      {folder / 'scores'}")
