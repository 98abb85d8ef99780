"""The command line: one command per stage, which imports its stage only when it runs.

`atinuke --help` loads neither torch nor numpy nor pydantic. What a flag means and what holds without it is written
once, at the setting that it sets; how a line is read and refused is in flags.py. Exit codes: 0 done, 2 the user can
mend it, 1 our own fault, 130 interrupted with the state saved.
"""

import os
import shlex
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import typer

from atinuke.errors import AtinukeError, Interrupted
from atinuke.flags import Stage, Stages, UsageError, refusal

if TYPE_CHECKING:
    from atinuke.train.config import TrainConfig

SIGPIPE_EXIT = 141
"""What a shell reports of a program whose reader has gone, as in `atinuke generate runs/x | head -1`."""

WHAT, HOW_LONG, WHERE, SETTINGS = "What", "How long", "Where and how", "Every other setting"
HOW_MUCH, WHICH_TOKEN, OUTPUT = "How much", "Which token comes next", "Output"

app = typer.Typer(
    name="atinuke",
    cls=Stages,
    help="Build a language model from scratch: your text in, the best model your time and machine allow out.",
    epilog=(
        '\b\nFirst steps:\n  atinuke train book.txt --time 10m\n  atinuke generate runs/book "Once upon a time"\n'
        "\nEach command explains itself: atinuke train --help"
    ),
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    options_metavar="",
    subcommand_metavar="COMMAND",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command line (default: this process's own) and returns its exit code."""
    for stream in (sys.stdout, sys.stderr):
        # a file name or a completion that the terminal's encoding does not have must not end the program
        if (reconfigure := getattr(stream, "reconfigure", None)) is not None:
            reconfigure(errors="backslashreplace")
    try:
        return _run(list(sys.argv[1:] if arguments is None else arguments) or ["--help"])
    except (AtinukeError, Interrupted) as error:
        _complain(error)
        return error.exit_code
    except KeyboardInterrupt:
        return Interrupted.exit_code
    except BrokenPipeError:
        # Python would complain once more when it flushes at its end
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return SIGPIPE_EXIT
    except Exception:
        traceback.print_exc()
        print(
            "This is a bug in Atinuke. Please report it with the lines above, the command, and what atinuke doctor "
            "prints; CONTRIBUTING.md says where.",
            file=sys.stderr,
        )
        return 1


def _run(arguments: list[str]) -> int:
    command: Any = typer.main.get_command(app)
    try:
        with command.make_context("atinuke", arguments) as context:
            command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as done:
        return done.exit_code
    except typer.Abort:
        return Interrupted.exit_code
    except UsageError as error:
        raise refusal(str(error)) from None
    return 0


def _complain(error: AtinukeError | Interrupted) -> None:
    """One line on stderr: the kind of error, and what it says."""
    from atinuke.config import printable

    kind = "" if isinstance(error, Interrupted) else f"{type(error).__name__}: "
    print(kind + "\n".join(printable(line) for line in str(error).split("\n")), file=sys.stderr)


def _flag(name: str, metavar: str | None, group: str, more: str = "") -> Any:
    """A flag; `more` is what its setting's own description leaves open."""
    return typer.Option(name, metavar=metavar, rich_help_panel=group, help=more, show_default=False)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        from importlib.metadata import version

        print(f"atinuke {version('atinuke')}")
        raise typer.Exit


@app.callback()
def _atinuke(
    version: Annotated[
        bool, typer.Option("--version", help="The version, and nothing else.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Flags of `atinuke` itself."""


class TrainStage(Stage):
    """`atinuke train` and the settings that its flags set."""

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
        "init_embeddings": "init_embeddings",
    }
    greedy = ("--pairs", "--examples", "--held-out")


@app.command(
    cls=TrainStage,
    short_help="Text in, a trained model out.",
    epilog=(
        "\b\nExamples:\n  atinuke train\n  atinuke train book.txt --time 10m --out runs/book\n"
        "  atinuke train letters/ 'notes/*.md.gz' --tokenizer unigram --vocab-size 4000 --time 1h\n"
        "  atinuke train book.txt --steps 500 --set model.layer_count=6 --set optim.lr=2e-3 --dry-run\n"
        "  atinuke train --model seq2seq --pairs de.txt en.txt --held-out val.de val.en --time 1h\n"
        "  atinuke train --examples digits.zip --time 10m\n"
        "  atinuke train --model perceptron --examples plants.csv --set data.label=kind --steps 500"
    ),
)
def train(
    context: typer.Context,
    source: Annotated[
        list[str] | None, typer.Argument(metavar="SOURCE", rich_help_panel=WHAT, show_default=False)
    ] = None,
    pairs: Annotated[list[str] | None, _flag("--pairs", "FILE…", WHAT)] = None,
    examples: Annotated[list[str] | None, _flag("--examples", "FILE…", WHAT)] = None,
    held_out: Annotated[list[str] | None, _flag("--held-out", "FILE…", WHAT)] = None,
    time: Annotated[str | None, _flag("--time", "TIME", HOW_LONG)] = None,
    steps: Annotated[str | None, _flag("--steps", "N", HOW_LONG, "Instead of --time.")] = None,
    tokens: Annotated[str | None, _flag("--tokens", "N", HOW_LONG, "Instead of --time.")] = None,
    model: Annotated[str | None, _flag("--model", None, WHAT)] = None,
    tokenizer: Annotated[str | None, _flag("--tokenizer", None, WHAT)] = None,
    vocab_size: Annotated[str | None, _flag("--vocab-size", "N", WHAT, "Default: chosen for text and time.")] = None,
    init_embeddings: Annotated[str | None, _flag("--init-embeddings", "RUN", WHAT)] = None,
    out: Annotated[str | None, _flag("--out", "FOLDER", WHERE)] = None,
    seed: Annotated[str | None, _flag("--seed", "N", WHERE)] = None,
    device: Annotated[str | None, _flag("--device", None, WHERE)] = None,
    resume: Annotated[str | None, _flag("--resume", None, WHERE)] = None,
    fresh: Annotated[bool, _flag("--fresh", None, WHERE, "The same as --resume fresh.")] = False,
    config: Annotated[
        str | None, _flag("--config", "FILE", SETTINGS, "TOML, or the config.json of a run. Flags win over it.")
    ] = None,
    assignments: Annotated[
        list[str] | None,
        _flag(
            "--set", "KEY=VALUE", SETTINGS, "One setting, such as optim.lr=3e-4; wins over all else; may be repeated."
        ),
    ] = None,
    dry_run: Annotated[
        bool, _flag("--dry-run", None, SETTINGS, "Print all settings as they would be taken, and stop.")
    ] = False,
    quiet: Annotated[bool, _flag("--quiet", None, OUTPUT, "Print nothing but the run folder.")] = False,
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


class GenerateStage(Stage):
    """`atinuke generate` and the settings that its flags set."""

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


@app.command(
    cls=GenerateStage,
    short_help="Make a trained model write.",
    epilog=(
        '\b\nExamples:\n  atinuke generate runs/book "Once upon a time"\n'
        '  atinuke generate runs/book "Once" --count 3 --temperature 1 --top-p 0.9 --stop "The end"\n'
        "  atinuke generate runs/book - --json < prompts.txt\n"
        '  atinuke generate runs/german --source "Wo wohnst du?"\n'
        "  atinuke generate runs/digits --input seven.png eight.wav"
    ),
)
def generate(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", rich_help_panel=WHAT, show_default=False)],
    prompt: Annotated[str | None, typer.Argument(metavar="PROMPT", rich_help_panel=WHAT, show_default=False)] = None,
    source: Annotated[list[str] | None, _flag("--source", "TEXT", WHAT, "May be repeated.")] = None,
    input: Annotated[list[str] | None, _flag("--input", "FILE…", WHAT)] = None,
    tokens: Annotated[str | None, _flag("--tokens", "N", HOW_MUCH)] = None,
    count: Annotated[str | None, _flag("--count", "N", HOW_MUCH)] = None,
    stop: Annotated[list[str] | None, _flag("--stop", "TEXT", HOW_MUCH, "May be repeated.")] = None,
    temperature: Annotated[str | None, _flag("--temperature", "X", WHICH_TOKEN)] = None,
    top_k: Annotated[str | None, _flag("--top-k", "K", WHICH_TOKEN, "Default: from all.")] = None,
    top_p: Annotated[str | None, _flag("--top-p", "P", WHICH_TOKEN, "Above 0, at most 1. Default: from all.")] = None,
    repetition_penalty: Annotated[str | None, _flag("--repetition-penalty", "X", WHICH_TOKEN)] = None,
    beam: Annotated[str | None, _flag("--beam", "N", WHICH_TOKEN)] = None,
    seed: Annotated[str | None, _flag("--seed", "N", WHICH_TOKEN)] = None,
    device: Annotated[str | None, _flag("--device", None, OUTPUT)] = None,
    as_json: Annotated[bool, _flag("--json", None, OUTPUT, "One JSON object per completion instead of text.")] = False,
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


class EvaluateStage(Stage):
    """`atinuke evaluate` and the settings that its flags set."""

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


@app.command(
    cls=EvaluateStage,
    short_help="Score text with a trained model: bits per byte, perplexity.",
    epilog=(
        "\b\nExamples:\n  atinuke evaluate runs/book\n  atinuke evaluate runs/book other.txt letters/\n"
        "  atinuke evaluate runs/german --pairs test.de test.en\n  atinuke evaluate runs/digits --examples more.zip"
    ),
)
def evaluate(
    context: typer.Context,
    run: Annotated[str, typer.Argument(metavar="RUN", rich_help_panel=WHAT, show_default=False)],
    text: Annotated[list[str] | None, typer.Argument(metavar="TEXT", rich_help_panel=WHAT, show_default=False)] = None,
    pairs: Annotated[list[str] | None, _flag("--pairs", "FILE…", WHAT)] = None,
    examples: Annotated[list[str] | None, _flag("--examples", "FILE…", WHAT)] = None,
    beam: Annotated[str | None, _flag("--beam", "N", HOW_MUCH)] = None,
    device: Annotated[str | None, _flag("--device", None, OUTPUT)] = None,
    as_json: Annotated[bool, _flag("--json", None, OUTPUT, "One JSON object per text instead of a table.")] = False,
) -> None:
    """Say how well the model in RUN predicts each TEXT: fewer bits per byte is better."""
    from atinuke.config import build_settings
    from atinuke.evaluate.config import EvaluateConfig

    cfg = build_settings(EvaluateConfig, **EvaluateStage.given(context))
    from atinuke.evaluate.run import run as stage

    print(stage(cfg))


class CompareStage(Stage):
    """`atinuke compare`, and the settings of each of its runs, which are those of `atinuke train`."""

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


@app.command(
    cls=CompareStage,
    short_help="Train several networks alike, and say what each made of it.",
    epilog=(
        "\b\nExamples:\n  atinuke compare atinuke gpt llama rnn perceptron bert --time 3m\n"
        "  atinuke compare atinuke gpt book.txt --time 10m --seeds 0 1 2 3 4 --out runs/two\n"
        "  atinuke compare seq2seq rnn gpt --pairs de.txt en.txt --held-out val.de val.en --time 20m"
    ),
)
def compare(
    context: typer.Context,
    words: Annotated[list[str], typer.Argument(metavar="NETWORK… SOURCE", rich_help_panel=WHAT, show_default=False)],
    pairs: Annotated[list[str] | None, _flag("--pairs", "FILE…", WHAT)] = None,
    held_out: Annotated[list[str] | None, _flag("--held-out", "FILE…", WHAT)] = None,
    time: Annotated[str | None, _flag("--time", "TIME", HOW_LONG, "For each run.")] = None,
    steps: Annotated[str | None, _flag("--steps", "N", HOW_LONG, "Instead of --time.")] = None,
    tokens: Annotated[str | None, _flag("--tokens", "N", HOW_LONG, "Instead of --time.")] = None,
    seeds: Annotated[list[str] | None, _flag("--seeds", "N…", HOW_LONG)] = None,
    out: Annotated[str | None, _flag("--out", "FOLDER", WHERE)] = None,
    assignments: Annotated[
        list[str] | None,
        _flag("--set", "KEY=VALUE", SETTINGS, "One setting of atinuke train, for every run; may be repeated."),
    ] = None,
    as_json: Annotated[bool, _flag("--json", None, OUTPUT, "What compare.json holds, instead of the table.")] = False,
) -> None:
    """Train each NETWORK on the same text for the same time, one after another, and compare what they reach.

    Ctrl-C saves; the same command again goes on from there.
    """
    from atinuke.compare.config import compare_settings

    cfg = compare_settings(**CompareStage.given(context), assignments=assignments or ())
    from atinuke.compare.run import run as stage

    stage(cfg, sys.stdout)


@app.command(cls=Stage, short_help="What this machine offers, and what is missing.")
def doctor() -> None:
    """Say what this machine offers for training (measured, not assumed) and what is missing, one line each."""
    from atinuke.doctor import print_findings
    from atinuke.doctor import run as stage

    print_findings(stage())
