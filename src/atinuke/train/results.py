"""summary.json, report and card: what is known of a run when its model is saved, and once it is scored."""

import datetime
import statistics
from typing import Any

import torch
from torch import nn

from atinuke.durable import to_json, write_atomic
from atinuke.report.card import write_card
from atinuke.report.report import write_report
from atinuke.report.tasks import TASKS
from atinuke.run_folder import RunFolder
from atinuke.train.lessons.lesson import Lesson
from atinuke.train.loop import TrainState
from atinuke.train.progress import Display


def first_summary(
    lesson: Lesson, state: TrainState, folder: RunFolder, device: torch.device, timeline: list[tuple[str, float]]
) -> dict[str, Any]:
    """What is known when the model is saved; scores are None, and `elapsed_s` is the caller's to add."""
    cfg, network = lesson.config, lesson.network
    rows = list(folder.iter_metrics())
    last_rows = rows[-max(1, len(rows) // 20) :]
    trained_s = dict(timeline).get("training", 0.0)
    return {
        "name": folder.path.name,
        "task": lesson.task,
        "model": network.kind,
        "params": sum(parameter.numel() for parameter in state.model.parameters()),
        "sizes": network.model_dump(mode="json", exclude={"kind", "vocab_size", "context"}, exclude_defaults=True)
        | {"dropout": network.dropout, "max_len": network.max_len},
        "context": network.context,
        "seed": cfg.seed,
        "device": device.type,
        "dtype": cfg.dtype,
        **lesson.summary(state.tokens),
        "train_tokens": state.tokens,
        "steps": state.step,
        "tokens_per_s": round(statistics.median(row["tokens_per_s"] for row in rows), 1) if rows else None,
        "train_loss": statistics.fmean(row["loss"] for row in last_rows) if rows else None,
        "time_budget_s": cfg.budget.time_s,
        "budget": cfg.budget.model_dump(mode="json"),
        "plan": lesson.facts,
        "timeline": [[phase, round(seconds, 3)] for phase, seconds in timeline],
        "training_s": round(trained_s, 3),
        "interrupted": False,
        "val_bpb": None,
        "val_bytes": None,
        "finished_at": None,
    }


def score_and_report(folder: RunFolder, lesson: Lesson, model: nn.Module, display: Display) -> None:
    """Completes summary.json, and writes report.html and the card from it. This comes after the time budget."""
    summary = folder.read_summary()
    summary |= lesson.score(model, display)
    summary |= {
        "finished_at": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        "timeline": summary["timeline"]
        + [list(span) for span in display.timeline if span[0] in ("scoring", "sampling")],
    }
    write_atomic(folder.summary, to_json(summary))
    write_report(folder.path)
    write_card(folder.path)


def say_results(lesson: Lesson, summary: dict[str, Any], display: Display) -> None:
    """The figures and samples of a finished run."""
    unit = TASKS[lesson.task].unit
    display.say(lesson.say(summary))
    display.say(
        f"{summary['params']:,} parameters, {summary['train_tokens']:,} {unit} seen ({summary['epochs']:.1f} passes), "
        f"{summary['tokens_per_s'] or 0:,.0f} {unit}/s, {summary['elapsed_s']:.1f} s to the saved model."
    )
