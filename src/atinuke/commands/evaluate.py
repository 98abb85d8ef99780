"""`atinuke evaluate`: what its line looks like."""

from typing import Annotated, ClassVar

import typer

from atinuke.flags import HOW_MUCH, OUTPUT, WHAT, Stage, flag


class EvaluateStage(Stage):
    """`atinuke evaluate` and the settings that its flags set."""

    summary = "Score text with a trained model: bits per byte, perplexity."
    examples = (
        "atinuke evaluate runs/book",
        "atinuke evaluate runs/book other.txt letters/",
        "atinuke evaluate runs/german --pairs test.de test.en",
        "atinuke evaluate runs/digits --examples more.zip",
    )
    settings = "atinuke.evaluate.config:EvaluateConfig"
    keys: ClassVar = {
        "run": "run",
        "text": "texts",
        "pairs": "pairs",
        "examples": "examples",
        "beam": "beam",
        "device": "device",
        "as_json": "as_json",
    }
    greedy = ("--pairs", "--examples")


def evaluate(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", rich_help_panel=WHAT, show_default=False)],
    text: Annotated[list[str] | None, typer.Argument(metavar="TEXT", rich_help_panel=WHAT, show_default=False)] = None,
    pairs: Annotated[list[str] | None, flag("--pairs", "FILE…", WHAT)] = None,
    examples: Annotated[list[str] | None, flag("--examples", "FILE…", WHAT)] = None,
    beam: Annotated[str | None, flag("--beam", "N", HOW_MUCH)] = None,
    device: Annotated[str | None, flag("--device", None, OUTPUT)] = None,
    as_json: Annotated[bool, flag("--json", None, OUTPUT, "One JSON object per text instead of a table.")] = False,
) -> None:
    """Say how well the model in RUN predicts each TEXT: fewer bits per byte is better."""
    from atinuke.config import build_settings
    from atinuke.evaluate.config import EvaluateConfig

    cfg = build_settings(EvaluateConfig, **EvaluateStage.given(context))
    from atinuke.evaluate.run import run as stage

    print(stage(cfg))
