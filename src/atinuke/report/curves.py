"""The curves of a run: thinned to what a screen can show, for the page's script and as a still picture without it."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atinuke.report.markup import Html, join, tag
from atinuke.report.record import Columns

MOST_POINTS = 2000
MOST_VALIDATIONS = 400
SMOOTHED_PART = 0.02  # of the run: the span of the moving average
CURVES = ("loss", "tokens_per_s", "lr", "grad_norm")

Indices = NDArray[np.intp]
Values = NDArray[np.float64]


def measured(metrics: Columns) -> list[str]:
    """The curves that have at least one value."""
    return [name for name in CURVES if np.isfinite(metrics[name]).any()]


def curve_data(metrics: Columns, most: int = MOST_POINTS) -> dict[str, Any]:
    """For each curve that was measured: its values and the step, tokens and elapsed_s they stand at; NaN as None."""
    data: dict[str, Any] = {}
    for name in measured(metrics):
        if name == "loss":
            validations = np.flatnonzero(np.isfinite(metrics["val_loss"]))
            validations = validations[thin(metrics["val_loss"][validations], min(MOST_VALIDATIONS, most // 4))]
            kept = np.union1d(thin(metrics["loss"], most - len(validations)), validations)
            columns = {**metrics, "smooth": smooth(metrics["loss"])}
            names: tuple[str, ...] = ("loss", "smooth", "val_loss")
        else:
            kept, columns, names = thin(metrics[name], most), metrics, (name,)
        data[name] = {key: _rounded(columns[key][kept]) for key in ("step", "tokens", "elapsed_s", *names)}
    return data


def thin(values: Values, most: int) -> Indices:
    """At most `most` indices that keep the first, the last, and the least and greatest of every stretch between."""
    if len(values) <= most:
        return np.arange(len(values))
    stretches = np.array_split(np.arange(1, len(values) - 1), max(1, (most - 2) // 2))
    kept = {0, len(values) - 1}
    for stretch in stretches:
        finite = stretch[np.isfinite(values[stretch])]
        if len(finite):
            kept |= {int(finite[values[finite].argmin()]), int(finite[values[finite].argmax()])}
    return np.array(sorted(kept), dtype=np.intp)


def smooth(values: Values) -> Values:
    """The mean of the neighbours on both sides, `SMOOTHED_PART` of the run in all; fewer at first, where it falls fast.

    Unlike an exponential average it does not lag behind. NaN where a stretch holds no number.
    """
    is_number = np.isfinite(values)
    sums = np.concatenate([[0.0], np.where(is_number, values, 0.0).cumsum()])
    counts = np.concatenate([[0], is_number.cumsum()])
    at = np.arange(len(values))
    reach = np.minimum(int(SMOOTHED_PART * len(values) / 2), at // 4)
    first, end = at - reach, np.minimum(at + reach + 1, len(values))
    found = counts[end] - counts[first]
    return np.where(found > 0, (sums[end] - sums[first]) / np.maximum(found, 1), np.nan)


def loss_picture(metrics: Columns, unit: str = "nats per token") -> Html:
    """The smoothed loss, in `unit`, over time, with the validation estimates, as an SVG that needs no script."""
    loss, time_s = smooth(metrics["loss"]), metrics["elapsed_s"]
    usable = np.isfinite(loss) & np.isfinite(time_s)
    if usable.sum() < 2:
        return tag("p", "Too few steps for a curve.")
    kept = np.flatnonzero(usable)
    kept = kept[thin(loss[kept], 300)]
    seen = np.isfinite(metrics["val_loss"]) & np.isfinite(time_s)
    every = np.concatenate([loss[kept], metrics["val_loss"][seen]])
    low, high = float(every.min()), float(every.max())
    first_s, last_s = float(time_s[kept[0]]), float(time_s[kept[-1]])

    def place(at: int, value: float) -> tuple[str, str]:
        x = 48 + 640 * (time_s[at] - first_s) / ((last_s - first_s) or 1)
        return f"{x:.1f}", f"{16 + 208 * (high - value) / ((high - low) or 1):.1f}"

    line = " ".join(",".join(place(at, loss[at])) for at in kept.tolist())
    dots = []
    for at in np.flatnonzero(seen)[thin(metrics["val_loss"][seen], 100)].tolist():
        x, y = place(at, metrics["val_loss"][at])
        dots.append(tag("circle", cx=x, cy=y, r=3, class_="still-val"))
    labels = [
        tag("line", x1=48, y1=224, x2=688, y2=224, class_="still-axis"),
        tag("line", x1=48, y1=16, x2=48, y2=224, class_="still-axis"),
        tag("text", unit, x=56, y=20),
        tag("text", f"{high:.2f}", x=40, y=20, text_anchor="end"),
        tag("text", f"{low:.2f}", x=40, y=228, text_anchor="end"),
        tag("text", f"{first_s:.0f} s", x=48, y=248),
        tag("text", f"{last_s:.0f} s", x=688, y=248, text_anchor="end"),
    ]
    return tag(
        "svg",
        tag("polyline", points=line, class_="still-line"),
        join(*labels, *dots),
        viewBox="0 0 700 256",
        class_="still",
        role="img",
        aria_label=f"Loss in {unit}, from {loss[kept[0]]:.2f} to {loss[kept[-1]]:.2f}",
    )


def _rounded(values: Values) -> list[float | None]:
    """Six digits are finer than a screen; whole numbers stay whole."""
    return [
        None if not math.isfinite(value) else int(value) if value.is_integer() else float(f"{value:.6g}")
        for value in values.tolist()
    ]
