"""What the runs say together: L(N, D), the power laws, the best sizes for some budgets, and a check of the forecast.

Sources: `train/planning/law.py` and `fit.py`. L(N), L(D) and L(C) are fitted to the lower edge of the points, that is
to each run that no smaller one (in N, in D, in C) came up to. Kaplan et al. 2020 have, for each, runs that nothing else
held back, which no ladder of some minutes has; so these exponents are not quite what theirs would be.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from atinuke.errors import ConfigError
from atinuke.scale.results import FLOPS_PER_PARAMETER, Row, Scaling
from atinuke.train.planning.fit import COVERAGE, Fit, PowerLaw, fit_law, fit_power, require_scipy
from atinuke.train.planning.text_facts import TextFacts

BUDGETS = {"10 minutes": 600.0, "1 hour": 3600.0, "10 hours": 36_000.0, "1 day": 86_400.0}
TRAINED_PART = 0.95
"""Of a budget; the rest is for reading, the tokenizer and saving."""
FAR = 30.0
"""Times the work of the largest run, beyond which a forecast is a guess; and times its size, beyond which none is
considered."""
LEAST_SHARE = 0.2
"""Of the time of the largest network, at least so much goes into its parameters: where other work came and went on the
machine, they could seem to cost nothing."""


@dataclass(frozen=True)
class Speed:
    """Seconds for a token: a fixed price, and one for each parameter."""

    fixed_s: float
    per_parameter_s: float

    @classmethod
    def of(cls, rows: Sequence[Row]) -> "Speed":
        """Through the middle of what each size did, by least squares of relative errors, neither below zero."""
        by_size = {row.parameters: 0.0 for row in rows}
        for parameters in by_size:
            speeds = [float(row.figures["tokens_per_s"]) for row in rows if row.parameters == parameters]
            by_size[parameters] = 1.0 / median(speeds)
        columns = [[1.0 / seconds, parameters / seconds] for parameters, seconds in by_size.items()]
        (fixed_s, per_parameter_s), _ = require_scipy().optimize.nnls(columns, [1.0] * len(columns))
        largest = max(by_size)
        return cls(float(fixed_s), max(float(per_parameter_s), LEAST_SHARE * by_size[largest] / largest))

    def tokens_in(self, seconds: float, parameters: float) -> float:
        """How many tokens a network of this size sees in such a time."""
        return seconds / (self.fixed_s + self.per_parameter_s * parameters)


@dataclass(frozen=True)
class Best:
    """The compute-optimal run of a budget on this machine and text."""

    budget: str
    parameters: float
    tokens: float
    seen_bytes: float
    epochs: float
    bits_per_byte: float
    interval: tuple[float, float]
    is_far: bool
    """Whether that is much more work than anything that was trained here."""


@dataclass(frozen=True)
class Check:
    """The forecast for the held-out run, made from the others, and what it reached."""

    predicted: float
    interval: tuple[float, float]
    reached: float

    @property
    def relative_error(self) -> float:
        """(predicted − reached) / reached."""
        return (self.predicted - self.reached) / self.reached

    @property
    def is_inside(self) -> bool:
        """Whether the interval holds what was reached."""
        return self.interval[0] <= self.reached <= self.interval[1]


@dataclass(frozen=True)
class Laws:
    """Everything that is fitted. What could not be has its reason instead."""

    fit: Fit | None
    reason: str
    powers: dict[str, PowerLaw | str]
    """By "N", "D" and "C"."""
    check: Check | None
    best: tuple[Best, ...]

    def to_json(self) -> dict[str, Any]:
        """Of scale.json."""
        law = None
        if self.fit is not None:
            law = {
                **asdict(self.fit.law),
                "intervals": self.fit.intervals,
                "residuals": self.fit.residuals,
                "optimal_size_exponent": self.fit.law.beta / (self.fit.law.alpha + self.fit.law.beta),
            }
        check = None
        if self.check is not None:
            extra = {"relative_error": self.check.relative_error, "is_inside": self.check.is_inside}
            check = {**asdict(self.check), **extra}
        return {
            "coverage": COVERAGE,
            "law": law,
            "reason": self.reason or None,
            "powers": {
                name: {"reason": power} if isinstance(power, str) else asdict(power)
                for name, power in self.powers.items()
            },
            "check": check,
            "best": [asdict(best) for best in self.best],
        }


def find_laws(scaling: Scaling) -> Laws:
    """The laws of the runs that are done."""
    rows, text = scaling.fitted, scaling.text
    points = [row.point(text) for row in rows]
    losses = [point.bits_per_byte for point in points]
    powers = {
        "N": _power([point.parameters for point in points], losses),
        "D": _power([point.seen_bytes for point in points], losses),
        "C": _power([row.flops() for row in rows], losses),
    }
    try:
        fit = fit_law(points)
    except ConfigError as error:
        return Laws(None, str(error), powers, None, ())
    check = None
    if (held_out := scaling.held_out) is not None:
        there = held_out.point(text)
        place = (there.parameters, there.seen_bytes, there.unique_bytes)
        check = Check(fit.law.loss(*place), fit.interval(*place), there.bits_per_byte)
    speed = Speed.of(scaling.finished)
    most_flops = max(row.flops() for row in scaling.finished)
    largest = max(row.parameters for row in scaling.finished)
    best = tuple(_best(name, seconds, fit, speed, text, most_flops, largest) for name, seconds in BUDGETS.items())
    return Laws(fit, "", powers, check, best)


def lower_edge(x: Sequence[float], losses: Sequence[float]) -> list[int]:
    """Which points nothing at a smaller or the same `x` comes up to, by rising `x`."""
    edge: list[int] = []
    for number in sorted(range(len(x)), key=lambda number: (x[number], losses[number])):
        if not edge or losses[number] < losses[edge[-1]]:
            if edge and x[edge[-1]] == x[number]:
                continue
            edge.append(number)
    return edge


def _power(x: Sequence[float], losses: Sequence[float]) -> PowerLaw | str:
    edge = lower_edge(x, losses)
    try:
        return fit_power([x[number] for number in edge], [losses[number] for number in edge])
    except ConfigError as error:
        return str(error)


def _best(name: str, seconds: float, fit: Fit, speed: Speed, text: TextFacts, most_flops: float, largest: int) -> Best:
    def bytes_for(parameters: float) -> float:
        return speed.tokens_in(TRAINED_PART * seconds, parameters) * text.bytes_per_token

    parameters = fit.law.best_size(bytes_for, unique_bytes=text.train_bytes, largest=FAR * largest)
    seen_bytes = bytes_for(parameters)
    tokens = seen_bytes / text.bytes_per_token
    return Best(
        budget=name,
        parameters=parameters,
        tokens=tokens,
        seen_bytes=seen_bytes,
        epochs=seen_bytes / text.train_bytes,
        bits_per_byte=fit.law.loss(parameters, seen_bytes, text.train_bytes),
        interval=fit.interval(parameters, seen_bytes, text.train_bytes),
        is_far=FLOPS_PER_PARAMETER * parameters * tokens > FAR * most_flops,
    )
