"""`atinuke scale`: what its line looks like."""

import sys
from collections.abc import Mapping
from typing import Annotated, ClassVar

import typer

from atinuke.flags import HOW_LONG, OUTPUT, SETTINGS, WHAT, WHERE, Stage, flag


class ScaleStage(Stage):
    """`atinuke scale`, and the settings of each of its runs, which are those of `atinuke train`."""

    summary = "Train a ladder of sizes, and say which size is best for a budget."
    examples = (
        "atinuke scale book.txt --time 2h",
        "atinuke scale letters/ --time 30m --model gpt --out runs/ladder",
        "atinuke scale book.txt --time 2h --dry-run",
    )
    settings = "atinuke.scale.config:ScaleConfig"
    keys: ClassVar = {
        "source": "train.data.sources",
        "model": "train.model.kind",
        "tokenizer": "train.tokenizer.kind",
        "vocab_size": "train.tokenizer.vocab_size",
        "time": "time_s",
        "seeds": "seeds",
        "out": "out",
        "device": "train.device",
        "as_json": "as_json",
    }
    greedy = ("--seeds",)

    def _nearest(self, flag: str, known: Mapping[str, bool]) -> str:
        return super()._nearest(flag, known).replace("--set train.", "--set ")


def scale(
    context: typer.Context,
    source: Annotated[
        list[str] | None, typer.Argument(metavar="SOURCE", rich_help_panel=WHAT, show_default=False)
    ] = None,
    time: Annotated[str | None, flag("--time", "TIME", HOW_LONG)] = None,
    seeds: Annotated[list[str] | None, flag("--seeds", "N…", HOW_LONG)] = None,
    model: Annotated[str | None, flag("--model", None, WHAT)] = None,
    tokenizer: Annotated[str | None, flag("--tokenizer", None, WHAT)] = None,
    vocab_size: Annotated[str | None, flag("--vocab-size", "N", WHAT, "Default: chosen for text and time.")] = None,
    out: Annotated[str | None, flag("--out", "FOLDER", WHERE)] = None,
    device: Annotated[str | None, flag("--device", None, WHERE)] = None,
    assignments: Annotated[
        list[str] | None,
        flag("--set", "KEY=VALUE", SETTINGS, "One setting of atinuke train, for every run; may be repeated."),
    ] = None,
    dry_run: Annotated[
        bool, flag("--dry-run", None, SETTINGS, "Measure, print the ladder that would be trained, and stop.")
    ] = False,
    as_json: Annotated[bool, flag("--json", None, OUTPUT, "What scale.json holds, instead of the tables.")] = False,
) -> None:
    """Train networks of several sizes on SOURCE for several lengths, and find the laws by which their loss falls.

    They say the best size for a budget, and are checked on a larger run. Ctrl-C saves; the same command again goes on
    from there.
    """
    from atinuke.scale.config import scale_settings

    cfg = scale_settings(**ScaleStage.given(context), assignments=assignments or ())
    from atinuke.machine import process_started_s
    from atinuke.scale.run import run as stage
    from atinuke.scale.run import show_plan

    (show_plan if dry_run else stage)(cfg, sys.stdout, already_s=process_started_s())
