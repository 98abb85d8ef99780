"""The command line: one command per stage, which imports its stage only when it runs.

`atinuke --help` loads neither torch nor numpy nor pydantic. What a line of each command looks like is in commands/;
what a flag means and what holds without it is written once, at the setting that it sets; how a line is read and
refused is in flags.py. Exit codes: 0 done, 2 the user can mend it, 1 our own fault, 130 interrupted with the state
saved.
"""

import os
import sys
import traceback
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import typer

from atinuke.commands.compare import CompareStage, compare
from atinuke.commands.doctor import DoctorStage, doctor
from atinuke.commands.evaluate import EvaluateStage, evaluate
from atinuke.commands.finetune import FinetuneStage, finetune
from atinuke.commands.generate import GenerateStage, generate
from atinuke.commands.plan import PlanStage, plan
from atinuke.commands.scale import ScaleStage, scale
from atinuke.commands.train import TrainStage, train
from atinuke.errors import AtinukeError, Interrupted
from atinuke.flags import Stage, Stages, UsageError, refusal

SIGPIPE_EXIT = 141
"""What a shell reports of a program whose reader has gone, as in `atinuke generate runs/x | head -1`."""

COMMANDS: tuple[tuple[type[Stage], Callable[..., None]], ...] = (
    (TrainStage, train),
    (GenerateStage, generate),
    (FinetuneStage, finetune),
    (EvaluateStage, evaluate),
    (CompareStage, compare),
    (ScaleStage, scale),
    (PlanStage, plan),
    (DoctorStage, doctor),
)
"""In the order of `atinuke --help`."""

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
for _stage, _command in COMMANDS:
    app.command(cls=_stage, short_help=_stage.summary, epilog=_stage.closing())(_command)


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
