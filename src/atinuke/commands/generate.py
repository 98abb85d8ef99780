"""`atinuke generate`: what its line looks like."""

import sys
from typing import Annotated, ClassVar

import typer

from atinuke.flags import HOW_MUCH, OUTPUT, WHAT, WHICH_TOKEN, Stage, flag


class GenerateStage(Stage):
    """`atinuke generate` and the settings that its flags set."""

    summary = "Make a trained model write."
    examples = (
        'atinuke generate runs/book "Once upon a time"',
        'atinuke generate runs/book "Once" --count 3 --temperature 1 --top-p 0.9 --stop "The end"',
        "atinuke generate runs/book - --json < prompts.txt",
        'atinuke generate runs/german --source "Wo wohnst du?"',
        "atinuke generate runs/digits --input seven.png eight.wav",
    )
    settings = "atinuke.generate.config:GenerateConfig"
    keys: ClassVar = {
        "run": "run",
        "prompt": "prompts",
        "tokens": "tokens",
        "source": "sources",
        "input": "inputs",
        "beam": "beam",
        "count": "count",
        "stop": "stop",
        "temperature": "temperature",
        "top_k": "top_k",
        "top_p": "top_p",
        "repetition_penalty": "repetition_penalty",
        "seed": "seed",
        "device": "device",
        "as_json": "as_json",
    }
    free_text = ("prompt", "source")
    greedy = ("--input",)


def generate(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", rich_help_panel=WHAT, show_default=False)],
    prompt: Annotated[str | None, typer.Argument(metavar="PROMPT", rich_help_panel=WHAT, show_default=False)] = None,
    source: Annotated[list[str] | None, flag("--source", "TEXT", WHAT, "May be repeated.")] = None,
    input: Annotated[list[str] | None, flag("--input", "FILE…", WHAT)] = None,
    tokens: Annotated[str | None, flag("--tokens", "N", HOW_MUCH)] = None,
    count: Annotated[str | None, flag("--count", "N", HOW_MUCH)] = None,
    stop: Annotated[list[str] | None, flag("--stop", "TEXT", HOW_MUCH, "May be repeated.")] = None,
    temperature: Annotated[str | None, flag("--temperature", "X", WHICH_TOKEN)] = None,
    top_k: Annotated[str | None, flag("--top-k", "K", WHICH_TOKEN, "Default: from all.")] = None,
    top_p: Annotated[str | None, flag("--top-p", "P", WHICH_TOKEN, "Above 0, at most 1. Default: from all.")] = None,
    repetition_penalty: Annotated[str | None, flag("--repetition-penalty", "X", WHICH_TOKEN)] = None,
    beam: Annotated[str | None, flag("--beam", "N", WHICH_TOKEN)] = None,
    seed: Annotated[str | None, flag("--seed", "N", WHICH_TOKEN)] = None,
    device: Annotated[str | None, flag("--device", None, OUTPUT)] = None,
    as_json: Annotated[bool, flag("--json", None, OUTPUT, "One JSON object per completion instead of text.")] = False,
) -> None:
    """Continue PROMPT with the model in RUN; or translate, fill in <mask>, or say what is seen and heard."""
    from atinuke.config import build_settings
    from atinuke.generate.config import GenerateConfig

    given = GenerateStage.given(context)
    if prompt is not None:
        given["flags"]["prompts"] = (prompt,)
    cfg = build_settings(GenerateConfig, **given)
    from atinuke.generate.run import run as stage

    stage(cfg, sys.stdout)
