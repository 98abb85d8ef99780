"""`atinuke plan`: what its line looks like."""

import sys
from collections.abc import Mapping
from typing import Annotated, ClassVar

import typer

from atinuke.flags import HOW_LONG, OUTPUT, SETTINGS, WHAT, WHERE, Stage, flag

FAR = "Instead: cards that are not here"


class PlanStage(Stage):
    """`atinuke plan`, and the settings of the run that it plans, which are those of `atinuke train`."""

    summary = "What a run would do and need, before it starts."
    examples = (
        "atinuke plan book.txt --time 1h",
        "atinuke plan letters/ --time 10m --model gpt --json",
        "atinuke plan --gpus 8 --params 1b --context 2048",
        "atinuke plan --gpus 1024 --params 7b --tokens 2t --batch-tokens 8m --gpu h100",
    )
    settings = "atinuke.plan.config:PlanConfig"
    keys: ClassVar = {
        "source": "train.data.sources",
        "time": "train.budget.time_s",
        "steps": "train.budget.steps",
        "tokens": "train.budget.tokens",
        "model": "train.model.kind",
        "tokenizer": "train.tokenizer.kind",
        "vocab_size": "train.tokenizer.vocab_size",
        "device": "train.device",
        "gpus": "cluster.gpus",
        "params": "cluster.params",
        "gpu": "cluster.gpu",
        "window": "cluster.context",
        "batch_tokens": "cluster.batch_tokens",
        "tensor": "cluster.tensor",
        "as_json": "as_json",
    }

    def _nearest(self, flag: str, known: Mapping[str, bool]) -> str:
        return super()._nearest(flag, known).replace("--set train.", "--set ").replace("--set cluster.", "--set ")


def plan(
    context: typer.Context,
    source: Annotated[
        list[str] | None, typer.Argument(metavar="SOURCE", rich_help_panel=WHAT, show_default=False)
    ] = None,
    time: Annotated[str | None, flag("--time", "TIME", HOW_LONG)] = None,
    steps: Annotated[str | None, flag("--steps", "N", HOW_LONG, "Instead of --time.")] = None,
    tokens: Annotated[str | None, flag("--tokens", "N", HOW_LONG, "Instead of --time.")] = None,
    model: Annotated[str | None, flag("--model", None, WHAT)] = None,
    tokenizer: Annotated[str | None, flag("--tokenizer", None, WHAT)] = None,
    vocab_size: Annotated[str | None, flag("--vocab-size", "N", WHAT, "Default: chosen for text and time.")] = None,
    device: Annotated[str | None, flag("--device", None, WHERE)] = None,
    gpus: Annotated[str | None, flag("--gpus", "N", FAR)] = None,
    params: Annotated[str | None, flag("--params", "N", FAR)] = None,
    gpu: Annotated[str | None, flag("--gpu", None, FAR)] = None,
    window: Annotated[str | None, flag("--context", "N", FAR)] = None,
    batch_tokens: Annotated[str | None, flag("--batch-tokens", "N", FAR)] = None,
    tensor: Annotated[str | None, flag("--tensor", "N", FAR)] = None,
    assignments: Annotated[
        list[str] | None,
        flag("--set", "KEY=VALUE", SETTINGS, "One setting of atinuke train, such as optim.lr=3e-4; may be repeated."),
    ] = None,
    as_json: Annotated[bool, flag("--json", None, OUTPUT, "JSON instead of lines.")] = False,
) -> None:
    """Say what atinuke train would choose for SOURCE in the time, what should come of it, and what it needs.

    Or, with --gpus and --params: how a network of that size is trained on so many cards, and for how long.
    """
    from atinuke.plan.config import plan_settings

    cfg = plan_settings(**PlanStage.given(context), assignments=assignments or ())
    from atinuke.plan.run import run as stage
    from atinuke.train.progress import Progress

    stage(cfg, sys.stdout, Progress())
