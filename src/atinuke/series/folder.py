"""The folder of several runs: a new or empty one, or the one where they began."""

from collections.abc import Callable, Iterator
from pathlib import Path

from atinuke.config import one_line
from atinuke.durable import printable
from atinuke.errors import AtinukeError, RunFolderError

SETTINGS = "settings.json"
"""What all the runs are told: by it the folder is known again."""


def find_folder(out: Path | None, name: str, what: str, differing: Callable[[Path], list[str]]) -> Path:
    """Where the runs go; without `out`, runs/NAME, runs/NAME-2 and so on are tried.

    `what` they are, with its article; `differing` compares what is asked with a settings.json. RunFolderError where
    `out` holds anything else.
    """
    if out is None:
        return next(path for path in _candidates(name) if not _fault(path, what, differing))
    if fault := _fault(out, what, differing):
        raise RunFolderError(f"--out {printable(out)} {fault}")
    return out


def _candidates(name: str) -> Iterator[Path]:
    number = 1
    while True:
        yield Path("runs", name if number == 1 else f"{name}-{number}")
        number += 1


def _fault(path: Path, what: str, differing: Callable[[Path], list[str]]) -> str:
    """Why `path` cannot take them; empty where it can."""
    if not path.exists():
        return ""
    if not path.is_dir():
        return "is a file; expected a folder. Choose another name."
    if not any(path.iterdir()):
        return ""
    settings, another = path / SETTINGS, f"another {what.split(maxsplit=1)[1]}"
    if not settings.is_file():
        return f"exists and holds something else than {what}; choose another name or empty it."
    try:
        found = differing(settings)
    except AtinukeError as error:
        return f"holds {what} whose {SETTINGS} cannot be read ({one_line(error)}); choose another name."
    if not found:
        return ""
    return f"holds {another}: {'; '.join(found)}. Choose another name, or give the settings of that one."
