"""`atinuke train`: what its line looks like, and what it says when the run is done."""

import os
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar

import typer

from atinuke.flags import HOW_LONG, OUTPUT, SETTINGS, WHAT, WHERE, Stage, flag, refusal

if TYPE_CHECKING:
    from atinuke.train.config import TrainConfig


class TrainStage(Stage):
    """`atinuke train` and the settings that its flags set."""

    summary = "Text in, a trained model out."
    examples = (
        "atinuke train",
        "atinuke train book.txt --time 10m --out runs/book",
        "atinuke train letters/ 'notes/*.md.gz' --tokenizer unigram --vocab-size 4000 --time 1h",
        "atinuke train book.txt --steps 500 --set model.layer_count=6 --set optim.lr=2e-3 --dry-run",
        "atinuke train --model seq2seq --pairs de.txt en.txt --held-out val.de val.en --time 1h",
        "atinuke train --examples digits.zip --time 10m",
        "atinuke train --model perceptron --examples plants.csv --set data.label=kind --steps 500",
    )
    settings = "atinuke.train.config:TrainConfig"
    keys: ClassVar = {
        "source": "data.sources",
        "pairs": "data.pairs",
        "examples": "data.examples",
        "held_out": "data.held_out",
        "time": "budget.time_s",
        "steps": "budget.steps",
        "tokens": "budget.tokens",
        "model": "model.kind",
        "tokenizer": "tokenizer.kind",
        "vocab_size": "tokenizer.vocab_size",
        "out": "out",
        "seed": "seed",
        "device": "device",
        "resume": "resume",
        "init": "init",
        "init_embeddings": "init_embeddings",
    }
    greedy = ("--pairs", "--examples", "--held-out")


def train(
    context: typer.Context,
    source: Annotated[
        list[str] | None, typer.Argument(metavar="SOURCE", rich_help_panel=WHAT, show_default=False)
    ] = None,
    pairs: Annotated[list[str] | None, flag("--pairs", "FILE…", WHAT)] = None,
    examples: Annotated[list[str] | None, flag("--examples", "FILE…", WHAT)] = None,
    held_out: Annotated[list[str] | None, flag("--held-out", "FILE…", WHAT)] = None,
    time: Annotated[str | None, flag("--time", "TIME", HOW_LONG)] = None,
    steps: Annotated[str | None, flag("--steps", "N", HOW_LONG, "Instead of --time.")] = None,
    tokens: Annotated[str | None, flag("--tokens", "N", HOW_LONG, "Instead of --time.")] = None,
    model: Annotated[str | None, flag("--model", None, WHAT)] = None,
    tokenizer: Annotated[str | None, flag("--tokenizer", None, WHAT)] = None,
    vocab_size: Annotated[str | None, flag("--vocab-size", "N", WHAT, "Default: chosen for text and time.")] = None,
    init: Annotated[str | None, flag("--init", "RUN", WHAT)] = None,
    init_embeddings: Annotated[str | None, flag("--init-embeddings", "RUN", WHAT)] = None,
    out: Annotated[str | None, flag("--out", "FOLDER", WHERE)] = None,
    seed: Annotated[str | None, flag("--seed", "N", WHERE)] = None,
    device: Annotated[str | None, flag("--device", None, WHERE)] = None,
    resume: Annotated[str | None, flag("--resume", None, WHERE)] = None,
    fresh: Annotated[bool, flag("--fresh", None, WHERE, "The same as --resume fresh.")] = False,
    config: Annotated[
        str | None, flag("--config", "FILE", SETTINGS, "TOML, or the config.json of a run. Flags win over it.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        flag(
            "--set", "KEY=VALUE", SETTINGS, "One setting, such as optim.lr=3e-4; wins over all else; may be repeated."
        ),
    ] = None,
    dry_run: Annotated[
        bool, flag("--dry-run", None, SETTINGS, "Print all settings as they would be taken, and stop.")
    ] = False,
    quiet: Annotated[bool, flag("--quiet", None, OUTPUT, "Print nothing but the run folder.")] = False,
) -> None:
    """Train a language model on SOURCE, score it, and write all that came of it into a run folder.

    Ctrl-C saves; the same command again goes on from there.
    """
    if fresh:
        if resume not in (None, "fresh"):
            raise refusal(f"--fresh and --resume {resume} contradict each other; give one of them.")
        context.params["resume"] = "fresh"
    cfg = _train_settings(context, config, assignments or ())
    from atinuke.machine import process_started_s
    from atinuke.train.progress import Display, Progress, Quiet
    from atinuke.train.run import describe
    from atinuke.train.run import run as stage

    if dry_run:
        print(describe(cfg).rstrip("\n"))
        return
    display: Display = Quiet()
    if not quiet:
        budget = cfg.budget
        display = Progress(time_budget_s=budget.time_s, total_steps=budget.steps, spent_s=process_started_s())
    folder = stage(cfg, display)
    if os.environ.get("RANK", "0") != "0":
        return  # of several processes, the first one speaks
    if quiet:
        print(folder)
    else:
        _say_what_next(folder)


def _train_settings(context: typer.Context, config: str | None, assignments: Sequence[str]) -> "TrainConfig":
    from atinuke.config import build_settings
    from atinuke.train.config import TrainConfig, with_a_budget

    cfg = build_settings(
        TrainConfig,
        file=None if config is None else Path(config),
        assignments=assignments,
        one_of=("budget.time_s", "budget.steps", "budget.tokens"),
        **TrainStage.given(context),
    )
    return with_a_budget(cfg)


def _say_what_next(folder: Path) -> None:
    """Where the run lies, and what people do then."""
    from atinuke.report.record import read_record

    opener = {"darwin": "open", "win32": "start"}.get(sys.platform, "xdg-open")
    rows = [(command, purpose) for purpose, command in read_record(folder).uses.items()]
    rows.append((f"{opener} {shlex.quote(str(folder / 'report.html'))}", "Curves, samples, speed, the plan"))
    width = max(len(command) for command, _ in rows)
    typer.echo(f"\n{_bold('Run folder')}  {folder}\n{_bold('Report')}      {folder / 'report.html'}\n\n{_bold('Next')}")
    for command, purpose in rows:
        typer.echo(f"  {command:<{width}}  {purpose}")


def _bold(text: str) -> str:
    return typer.style(text, bold=True)  # echo takes it off again where the output is no terminal
