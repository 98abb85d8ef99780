"""The picture of a comparison: scores on the left, what was learned over time on the right. Needs matplotlib.

A network has the same colour and marker in every picture.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from atinuke.compare.config import KINDS
from atinuke.compare.results import BITS_PER_BYTE, Comparison, Row
from atinuke.errors import AtinukeError
from atinuke.run_folder import RunFolder
from atinuke.series.drawing import COLOURS, GREY, MARKERS, drawing, require_matplotlib, tidy

FEWEST_ESTIMATES = 4
"""Held-out estimates that every run must have, for these to be drawn rather than the loss on training text."""
SMOOTHED_PART = 0.04
MOST_POINTS = 600
STEEP_PART = 0.06
"""First part of the time, in which the loss falls so far that the rest would be a flat line beside it."""


@dataclass(frozen=True)
class Curve:
    """What one run learned: seconds of its budget, and bits per byte or nats."""

    row: Row
    seconds: list[float]
    values: list[float]


def require_pictures() -> None:
    """MissingExtraError, with the command that installs it, where matplotlib is missing."""
    require_matplotlib("The picture of a comparison", "compare")


def draw(comparison: Comparison, folder: Path, names: Sequence[str]) -> None:
    """Writes the picture into `folder` under each of `names`, whose endings say the format."""
    with drawing(folder, names, (12, 5.4)) as figure:
        left, right = figure.subfigures(1, 2, width_ratios=(1, 1.15))
        _draw_scores(comparison, left)
        _draw_curves(comparison, folder, right)


# --- left: scores ----------------------------------------------------------------------------------------------------


def _draw_scores(comparison: Comparison, figure: Any) -> None:
    """A line of dots for each network; those whose score is of another kind have axes of their own below."""
    measured = [network for network in comparison.ranking() if comparison.scores(network)]
    apart = [network for network in measured if comparison.stands_apart(network)]
    together = [network for network in measured if network not in apart]
    measure = comparison.measure
    assert measure is not None
    figure.suptitle(f"Score of each seed, bar at the median ({len(comparison.seeds)} seeds)", fontsize=11)
    heights = [len(together) + 1, len(apart) + 0.6] if apart else [1]
    axes = figure.subplots(len(heights), 1, height_ratios=heights, squeeze=False)[:, 0]
    unit = (
        f"{measure.name}{' on held-out text' if measure.name == BITS_PER_BYTE else ''} ({measure.is_better} is better)"
    )
    _dots(axes[0], comparison, together, unit)
    if comparison.baselines:
        axes[0].axvline(median(comparison.baselines), color=GREY, linestyle="--", linewidth=1.2, zorder=1)
        at = axes[0].get_xaxis_transform()
        axes[0].text(
            median(comparison.baselines), 1.01, "byte 5-gram", color=GREY, fontsize=8.5, ha="center", va="bottom",
            transform=at,
        )  # fmt: skip
    if apart:
        names = {row.score.name for network in apart for row in comparison.of(network) if row.score is not None}
        _dots(axes[1], comparison, apart, f"{', '.join(sorted(names))} (not comparable with those above)")


def _dots(axes: Any, comparison: Comparison, networks: Sequence[str], unit: str) -> None:
    for height, network in enumerate(networks):
        values = comparison.scores(network)
        colour, marker = _look(network)
        middle = median(values)
        axes.plot([middle, middle], [height - 0.32, height + 0.32], color=colour, linewidth=3.5, zorder=2)
        axes.plot(
            values, [height] * len(values), linestyle="none", marker=marker, markersize=7, color=colour,
            markeredgecolor="white", markeredgewidth=0.8, zorder=3,
        )  # fmt: skip
        axes.annotate(
            f"{middle:.3f}", (middle, height - 0.34), ha="center", va="bottom", fontsize=9, textcoords="offset points",
            xytext=(0, 1),
        )  # fmt: skip
    axes.set_yticks(range(len(networks)), networks)
    axes.set_ylim(len(networks) - 0.4, -0.75)  # the best on top
    axes.set_xlabel(unit)
    axes.margins(x=0.12)
    tidy(axes)


# --- right: curves ---------------------------------------------------------------------------------------------------


def _draw_curves(comparison: Comparison, folder: Path, figure: Any) -> None:
    """The run with the middle score of each network as a line, its other seeds as faint ones."""
    rows = [row for row in comparison.finished if not comparison.stands_apart(row.network)]
    is_bits = all(row.score is not None and row.score.name == BITS_PER_BYTE for row in rows)
    metrics = {row.folder: _metrics(folder / row.folder) for row in rows}
    estimates = [_curve(row, metrics[row.folder], "val_loss", is_bits) for row in rows]
    is_held_out = bool(estimates) and all(len(curve.values) >= FEWEST_ESTIMATES for curve in estimates)
    curves = estimates if is_held_out else [_smooth(_curve(row, metrics[row.folder], "loss", is_bits)) for row in rows]
    what = "Held-out estimates" if is_held_out else "Smoothed training loss"
    figure.suptitle(f"{what} over time (bold: the middle seed)", fontsize=11)
    axes = figure.subplots()
    for network in comparison.ranking():
        mine = [curve for curve in curves if curve.row.network == network and curve.values]
        middle = _middle(mine)
        colour, marker = _look(network)
        for curve in mine:
            is_middle = curve is middle
            axes.plot(
                curve.seconds, curve.values, color=colour, linewidth=2 if is_middle else 0.9,
                alpha=1 if is_middle else 0.35, marker=marker if is_middle else None, markersize=5,
                markevery=1 if is_held_out else 0.15, label=network if is_middle else "_", zorder=3 if is_middle else 2,
            )  # fmt: skip
    if apart := [network for network in comparison.networks if comparison.stands_apart(network)]:
        text = f"{', '.join(apart)}: loss of hidden tokens, not comparable, not drawn"
        axes.text(0.02, 0.02, text, color=GREY, fontsize=8.5, transform=axes.transAxes)
    axes.set_xlabel("seconds since the start of the training process")
    axes.set_ylabel("bits per byte" if is_bits else "loss, nats per target")
    _limit(axes, [curve for curve in curves if curve.values])
    if any(curve.values for curve in curves):
        axes.legend(frameon=False, loc="upper right")
    tidy(axes)


def _metrics(folder: Path) -> list[dict[str, Any]]:
    try:
        return list(RunFolder(folder).iter_metrics())
    except AtinukeError:
        return []  # a picture without one of its lines is better than none


def _curve(row: Row, metrics: list[dict[str, Any]], key: str, is_bits: bool) -> Curve:
    bytes_per_token = row.figures.get("bytes_per_token")
    scale = 1.0 / (math.log(2) * bytes_per_token) if is_bits and bytes_per_token else 1.0
    points = [(each["elapsed_s"], scale * each[key]) for each in metrics if each.get(key) is not None]
    return Curve(row, [seconds for seconds, _ in points], [value for _, value in points])


def _smooth(curve: Curve) -> Curve:
    """Means of the neighbours on both sides, fewer at the ends; thinned to what a picture can show."""
    count = len(curve.values)
    sums = [0.0]
    for value in curve.values:
        sums.append(sums[-1] + value)
    kept = range(0, count, max(1, count // MOST_POINTS))
    values = []
    for at in kept:
        reach = min(at, count - 1 - at, int(SMOOTHED_PART * count / 2))
        values.append((sums[at + reach + 1] - sums[at - reach]) / (2 * reach + 1))
    return Curve(curve.row, [curve.seconds[at] for at in kept], values)


def _middle(curves: Sequence[Curve]) -> Curve | None:
    """That of the run with the median score, the lower one of two."""
    ordered = sorted(curves, key=lambda curve: curve.row.score.value if curve.row.score is not None else math.inf)
    return ordered[(len(ordered) - 1) // 2] if ordered else None


def _limit(axes: Any, curves: Sequence[Curve]) -> None:
    """Leaves out the steep beginning: the axis ends a little above where the slowest learner stands after it."""
    if not curves:
        return
    until_s = STEEP_PART * max(curve.seconds[-1] for curve in curves)
    later = [
        next((value for seconds, value in zip(curve.seconds, curve.values, strict=True) if seconds >= until_s),
             curve.values[-1])
        for curve in curves
    ]  # fmt: skip
    lowest, highest = min(min(curve.values) for curve in curves), max(later)
    room = 0.05 * (highest - lowest) or 0.1
    axes.set_ylim(lowest - room, highest + 2 * room)
    axes.set_xlim(left=0)


def _look(network: str) -> tuple[str, str]:
    """Colour and marker."""
    number = KINDS.index(network) % len(COLOURS) if network in KINDS else 0
    return COLOURS[number], MARKERS[number]
