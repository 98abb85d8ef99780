"""`atinuke compare`: what its line looks like."""

import sys
from collections.abc import Mapping
from typing import Annotated, ClassVar

import typer

from atinuke.flags import HOW_LONG, OUTPUT, SETTINGS, WHAT, WHERE, Stage, flag


class CompareStage(Stage):
    """`atinuke compare`, and the settings of each of its runs, which are those of `atinuke train`."""

    summary = "Train several networks alike, and say what each made of it."
    examples = (
        "atinuke compare atinuke gpt llama rnn perceptron bert --time 3m",
        "atinuke compare atinuke gpt book.txt --time 10m --seeds 0 1 2 3 4 --out runs/two",
        "atinuke compare seq2seq rnn gpt --pairs de.txt en.txt --held-out val.de val.en --time 20m",
    )
    settings = "atinuke.compare.config:CompareConfig"
    keys: ClassVar = {
        "words": "networks",
        "pairs": "train.data.pairs",
        "held_out": "train.data.held_out",
        "time": "train.budget.time_s",
        "steps": "train.budget.steps",
        "tokens": "train.budget.tokens",
        "seeds": "seeds",
        "out": "out",
        "as_json": "as_json",
    }
    greedy = ("--pairs", "--held-out", "--seeds")

    def _nearest(self, flag: str, known: Mapping[str, bool]) -> str:
        return super()._nearest(flag, known).replace("--set train.", "--set ")


def compare(
    context: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="NETWORK… SOURCE", rich_help_panel=WHAT, show_default=False)],
    pairs: Annotated[list[str] | None, flag("--pairs", "FILE…", WHAT)] = None,
    held_out: Annotated[list[str] | None, flag("--held-out", "FILE…", WHAT)] = None,
    time: Annotated[str | None, flag("--time", "TIME", HOW_LONG, "For each run.")] = None,
    steps: Annotated[str | None, flag("--steps", "N", HOW_LONG, "Instead of --time.")] = None,
    tokens: Annotated[str | None, flag("--tokens", "N", HOW_LONG, "Instead of --time.")] = None,
    seeds: Annotated[list[str] | None, flag("--seeds", "N…", HOW_LONG)] = None,
    out: Annotated[str | None, flag("--out", "FOLDER", WHERE)] = None,
    assignments: Annotated[
        list[str] | None,
        flag("--set", "KEY=VALUE", SETTINGS, "One setting of atinuke train, for every run; may be repeated."),
    ] = None,
    as_json: Annotated[bool, flag("--json", None, OUTPUT, "What compare.json holds, instead of the table.")] = False,
) -> None:
    """Train each NETWORK on the same text for the same time, one after another, and compare what they reach.

    Ctrl-C saves; the same command again goes on from there.
    """
    from atinuke.compare.config import compare_settings

    cfg = compare_settings(**CompareStage.given(context), assignments=assignments or ())
    from atinuke.compare.run import run as stage

    stage(cfg, sys.stdout)
