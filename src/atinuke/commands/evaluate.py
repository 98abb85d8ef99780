"""`atinuke evaluate`: what its line looks like."""

from typing import Annotated, ClassVar

import typer

from atinuke.flags import HOW_MUCH, OUTPUT, WHAT, Stage, flag, parted


class EvaluateStage(Stage):
    """`atinuke evaluate` and the settings that its flags set."""

    summary = "Score text with a trained model: bits per byte, perplexity."
    examples = (
        "atinuke evaluate runs/book",
        "atinuke evaluate runs/book other.txt letters/",
        "atinuke evaluate runs/german --pairs test.de test.en",
        "atinuke evaluate runs/digits --examples more.zip",
        "atinuke evaluate runs/book --task blimp,wikitext --data blimp/ wikitext-2/",
        "atinuke evaluate runs/book-squad --task squad --data squad/ --split dev",
        "atinuke evaluate --task squad --data squad/ --predictions predictions.json",
        "atinuke evaluate runs/book --table",
    )
    settings = "atinuke.evaluate.config:EvaluateConfig"
    keys: ClassVar = {
        "run": "run",
        "text": "texts",
        "pairs": "pairs",
        "examples": "examples",
        "task": "tasks",
        "data": "data",
        "split": "split",
        "predictions": "predictions",
        "table": "table",
        "lm_eval": "lm_eval",
        "include": "include",
        "beam": "beam",
        "device": "device",
        "as_json": "as_json",
    }
    greedy = ("--pairs", "--examples", "--data", "--include")


def evaluate(
    context: typer.Context,
    run: Annotated[str | None, typer.Argument(metavar="RUN", rich_help_panel=WHAT, show_default=False)] = None,
    text: Annotated[list[str] | None, typer.Argument(metavar="TEXT", rich_help_panel=WHAT, show_default=False)] = None,
    pairs: Annotated[list[str] | None, flag("--pairs", "FILE…", WHAT)] = None,
    examples: Annotated[list[str] | None, flag("--examples", "FILE…", WHAT)] = None,
    task: Annotated[str | None, flag("--task", "NAME,…", WHAT)] = None,
    data: Annotated[list[str] | None, flag("--data", "FOLDER…", WHAT)] = None,
    split: Annotated[str | None, flag("--split", "NAME", WHAT)] = None,
    predictions: Annotated[str | None, flag("--predictions", "FILE", WHAT)] = None,
    table: Annotated[bool, flag("--table", None, WHAT, "Scores of tasks, of RUN and of what began with it.")] = False,
    lm_eval: Annotated[str | None, flag("--lm-eval", "NAME,…", WHAT)] = None,
    include: Annotated[list[str] | None, flag("--include", "FOLDER…", WHAT)] = None,
    beam: Annotated[str | None, flag("--beam", "N", HOW_MUCH)] = None,
    device: Annotated[str | None, flag("--device", None, OUTPUT)] = None,
    as_json: Annotated[bool, flag("--json", None, OUTPUT, "One JSON object per text instead of a table.")] = False,
) -> None:
    """Say how well the model in RUN predicts each TEXT: fewer bits per byte is better."""
    for name, typed in (("task", task), ("lm_eval", lm_eval)):
        if typed is not None:
            context.params[name] = parted(typed)
    from atinuke.config import build_settings
    from atinuke.evaluate.config import EvaluateConfig

    cfg = build_settings(EvaluateConfig, **EvaluateStage.given(context))
    from atinuke.evaluate.run import run as stage

    print(stage(cfg))
