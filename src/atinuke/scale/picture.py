"""The picture of a ladder: loss against parameters, bytes and operations, with the laws. Needs matplotlib.

One panel above the other, so that it can be read on a phone.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from atinuke.scale.laws import Laws
from atinuke.scale.results import FLOPS_PER_PARAMETER, Row, Scaling
from atinuke.scale.table import short
from atinuke.series.drawing import COLOURS, GREY, MARKERS, drawing, require_matplotlib, tidy
from atinuke.train.planning.fit import COVERAGE

SIZE = (6.4, 13.5)
DRAWN_POINTS = 80
BEYOND = 8.0
"""How far past the last point curves go: this many times."""


def require_pictures() -> None:
    """MissingExtraError, with the command that installs it, where matplotlib is missing."""
    require_matplotlib("The picture of a ladder", "scale")


def draw(scaling: Scaling, laws: Laws, folder: Path, names: Sequence[str]) -> None:
    """Writes the picture into `folder` under each of `names`, whose endings say the format."""
    with drawing(folder, names, SIZE, font_size=11) as figure:
        by_size, by_bytes, by_work = figure.subplots(3, 1)
        _draw_sizes(scaling, laws, by_size)
        _draw_bytes(scaling, laws, by_bytes)
        _draw_work(scaling, laws, by_work)
        for axes in (by_size, by_bytes, by_work):
            axes.set_xscale("log")
            axes.set_ylabel("bits per byte, held out")
            tidy(axes)


def _draw_sizes(scaling: Scaling, laws: Laws, axes: Any) -> None:
    """Loss against N: a line of the law for each length that a size in the middle was trained on."""
    axes.set_title("Larger networks", loc="left", fontweight="bold")
    axes.set_xlabel("parameters N of the block matrices")
    _points(scaling, axes, "N")
    if laws.fit is not None:
        sizes = _span([row.parameters for row in scaling.fitted])
        middle = sorted({row.parameters for row in scaling.fitted})[len(_sizes(scaling)) // 2]
        lengths = sorted({row.point(scaling.text).seen_bytes for row in scaling.fitted if row.parameters == middle})
        for length in lengths:
            values = [laws.fit.law.loss(size, length, scaling.text.train_bytes) for size in sizes]
            label = "the law, by bytes seen" if length == lengths[0] else None
            axes.plot(sizes, values, color=GREY, linewidth=1, zorder=1, label=label)
            axes.annotate(
                short(length) + "B", (sizes[-1], values[-1]), xytext=(3, 0), textcoords="offset points", fontsize=9,
                color=GREY, va="center",
            )  # fmt: skip
    _power(scaling, laws, axes, "N")
    axes.legend(frameon=False, fontsize=9, loc="upper right")


def _draw_bytes(scaling: Scaling, laws: Laws, axes: Any) -> None:
    """Loss against D: a line of the law for each size."""
    axes.set_title("More text", loc="left", fontweight="bold")
    axes.set_xlabel("bytes of training text seen D")
    _points(scaling, axes, "D")
    if laws.fit is not None:
        lengths = _span([row.point(scaling.text).seen_bytes for row in scaling.fitted])
        for number, size in enumerate(_sizes(scaling)):
            values = [laws.fit.law.loss(size, length, scaling.text.train_bytes) for length in lengths]
            axes.plot(lengths, values, color=COLOURS[number % len(COLOURS)], linewidth=1.2, zorder=1)
    _power(scaling, laws, axes, "D")


def _draw_work(scaling: Scaling, laws: Laws, axes: Any) -> None:
    """Loss against C: a line of the law for each size, and the frontier that the best size of each C makes."""
    axes.set_title("More work, and the best size for it", loc="left", fontweight="bold")
    axes.set_xlabel("operations C = 6 · N · tokens")
    _points(scaling, axes, "C")
    if laws.fit is None:
        return
    law, text = laws.fit.law, scaling.text
    work = _span([row.flops() for row in scaling.fitted])
    price = FLOPS_PER_PARAMETER / text.bytes_per_token
    for number, size in enumerate(_sizes(scaling)):
        values = [law.loss(size, flops / price / size, text.train_bytes) for flops in work]
        axes.plot(work, values, color=COLOURS[number % len(COLOURS)], linewidth=1, alpha=0.6, zorder=1)
    best = [law.compute_optimal(flops, price) for flops in work]
    values = [law.loss(size, seen) for size, seen in best]
    axes.plot(work, values, color="black", linewidth=2, zorder=2, label="best size for each C")
    intervals = [laws.fit.interval(size, seen) for size, seen in best]
    low, high = zip(*intervals, strict=True)
    axes.fill_between(work, low, high, color="black", alpha=0.12, linewidth=0, label=f"{100 * COVERAGE:.0f} % interval")
    for at in (len(work) // 6, len(work) // 2, 5 * len(work) // 6):
        axes.annotate(
            f"N = {short(best[at][0])}", (work[at], values[at]), xytext=(-4, -14), textcoords="offset points",
            fontsize=9, ha="right",
        )  # fmt: skip
        axes.plot([work[at]], [values[at]], marker="|", color="black", markersize=9)
    _power(scaling, laws, axes, "C")
    axes.set_ylim(bottom=min([*values, *(row.bits_per_byte or 0.0 for row in scaling.finished)]) * 0.96,
                  top=max(row.bits_per_byte or 0.0 for row in scaling.finished) * 1.04)  # fmt: skip
    axes.legend(frameon=False, fontsize=9, loc="upper right")


def _points(scaling: Scaling, axes: Any, by: str) -> None:
    """Every run: a colour and a marker for each size, the held-out one as a star."""
    for number, size in enumerate(_sizes(scaling)):
        rows = [row for row in scaling.fitted if row.parameters == size]
        axes.plot(
            [_place(scaling, row, by) for row in rows], [row.bits_per_byte for row in rows], linestyle="none",
            marker=MARKERS[number % len(MARKERS)], color=COLOURS[number % len(COLOURS)], markersize=7, zorder=3,
            markeredgecolor="white", markeredgewidth=0.7, label=f"{rows[0].model_dim} × {rows[0].layer_count}"
        )  # fmt: skip
    if (held_out := scaling.held_out) is not None:
        axes.plot(
            [_place(scaling, held_out, by)], [held_out.bits_per_byte], linestyle="none", marker="*", markersize=15,
            color="black", markeredgecolor="white", zorder=4,
            label=f"{held_out.model_dim} × {held_out.layer_count}, held out",
        )  # fmt: skip


def _place(scaling: Scaling, row: Row, by: str) -> float:
    point = row.point(scaling.text)
    return {"N": point.parameters, "D": point.seen_bytes, "C": row.flops()}[by]


def _power(scaling: Scaling, laws: Laws, axes: Any, by: str) -> None:
    """The power law, dashed."""
    power = laws.powers[by]
    if isinstance(power, str):
        return
    places = _span([_place(scaling, row, by) for row in scaling.fitted])
    label = f"L({by}) ∝ {by}^-{power.exponent:.3f}"
    axes.plot(places, [power.loss(x) for x in places], color="black", linestyle="--", linewidth=1.2, label=label)
    axes.legend(frameon=False, fontsize=9, loc="upper right")


def _sizes(scaling: Scaling) -> list[int]:
    return sorted({row.parameters for row in scaling.fitted})


def _span(values: Sequence[float]) -> list[float]:
    """From a little below the least to well beyond the largest, evenly on a logarithmic axis."""
    spread: list[float] = np.geomspace(min(values) / 1.5, max(values) * BEYOND, DRAWN_POINTS).tolist()
    return spread
