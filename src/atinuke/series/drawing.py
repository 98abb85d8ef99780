"""How pictures are drawn and saved. Needs matplotlib.

Colours are those of Okabe and Ito (2008), which people with any of the usual colour vision tell apart, each with a
marker of its own.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from atinuke.durable import write_file_atomic
from atinuke.errors import MissingExtraError

COLOURS = ("#0072B2", "#6E6E6E", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7", "#000000", "#8C510A")
MARKERS = ("o", "P", "s", "^", "D", "v", "X", "<", ">")
GREY = "#555555"


def require_matplotlib(needed_for: str, extra: str) -> Any:
    """The library; MissingExtraError, with the command that installs it, where it is missing."""
    try:
        import matplotlib.figure
        import matplotlib.style
    except ImportError as error:
        raise MissingExtraError.for_extra(needed_for, extra) from error
    return matplotlib


@contextmanager
def drawing(folder: Path, names: Sequence[str], size: tuple[float, float], font_size: float = 10) -> Iterator[Any]:
    """A figure of `size` inches to draw on; then it is written under each of `names`, whose endings say the format."""
    import matplotlib.figure
    import matplotlib.style

    # `default`: whatever the machine's own settings of matplotlib say; the salt: the same SVG for the same numbers
    settings: dict[Any, Any] = {"svg.hashsalt": "atinuke", "font.size": font_size}
    with matplotlib.style.context("default"), matplotlib.rc_context(settings):
        figure = matplotlib.figure.Figure(figsize=size, facecolor="white", layout="constrained")
        yield figure
        for name in names:
            write_file_atomic(folder / name, partial(_save, figure))


def tidy(axes: Any) -> None:
    """White ground, a faint grid, no frame above and to the right."""
    axes.set_facecolor("white")
    axes.grid(color="#DDDDDD", linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def _save(figure: Any, path: Path) -> None:
    figure.savefig(path, dpi=150, metadata={"Date": None} if path.suffix == ".svg" else None)
