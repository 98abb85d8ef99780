"""The constants of the scaling law, from what runs came to. Needs scipy (extra `scale`).

Hoffmann et al. 2022, arXiv:2203.15556, §3.3: the Huber loss, δ = 10⁻³, of the logarithm of the loss, from many starts.
How we differ. The starts come from variable projection (Golub and Pereyra 1973): with α and β fixed, E, A and B are
linear, so a grid over those two finds the valley that a descent from anywhere may miss. And the descent is by
`least_squares`, which stays exact in the law's long flat valleys; Besiroglu et al. 2024, arXiv:2404.10102, show that
the published constants come from one that stopped early. Intervals are bootstraps of residuals, not of runs, because
a ladder is a small grid and without one of its corners the law is not determined: each time, noise of the size that
the residuals have is put on the law's own values, and that size is itself drawn, as unsure as few residuals leave it.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atinuke.errors import ConfigError, MissingExtraError
from atinuke.train.planning.law import Law, Point

HUBER_DELTA = 1e-3
COVERAGE = 0.9
"""Of all intervals here."""
RESAMPLES = 400
LEAST_CHI_SQUARE = 0.05
"""Of what χ² is on average: noise is drawn at most √20 times as large as the residuals are."""
LEAST_NOISE = 0.003
"""In logarithms of the loss: runs that differ in their seed alone differ by about so much, however well a few of them
happen to fit."""
ROUNDS = 150
"""Of the descents from what was found to what the resampled points say."""
FEWEST_POINTS = 6
CONSTANTS = ("e", "a", "alpha", "b", "beta")
EXPONENTS = np.geomspace(0.03, 2.0, 14)
"""Tried for α and β."""
STARTS = 5
GAMMAS = (0.2, 1.0)
LEAST, MOST = np.array([-30.0, -30.0, 0.01, -30.0, 0.01]), np.array([5.0, 12.0, 3.0, 12.0, 3.0])
"""Of log E, log A·N₀^-α, α, log B·D₀^-β, β, where N₀ and D₀ are the middle of the points."""

Numbers = NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """A law, and how sure of it one can be."""

    law: Law
    intervals: dict[str, tuple[float, float]]
    """Of each constant, as likely as `COVERAGE`."""
    residuals: tuple[float, ...]
    """log(measured) − log(law), by point."""
    draws: tuple[tuple[Law, float], ...]
    """Laws that the resampled points gave, each with the noise of one more run."""

    def interval(self, parameters: float, seen_bytes: float, unique_bytes: float | None = None) -> tuple[float, float]:
        """Between what one more run may come to, as likely as `COVERAGE`, if the law holds there."""
        draws = [law.loss(parameters, seen_bytes, unique_bytes) * math.exp(noise) for law, noise in self.draws]
        return _middle(draws) if draws else (math.nan, math.nan)


@dataclass(frozen=True)
class PowerLaw:
    """loss = factor · x^-exponent: L(N), L(D) and L(C) of Kaplan et al. 2020, arXiv:2001.08361, §1.2.

    They write (scale / x)^exponent, which is the same.
    """

    exponent: float
    factor: float
    interval: tuple[float, float]
    """Of the exponent, as likely as `COVERAGE`."""

    @property
    def scale(self) -> float:
        """Where the loss would be 1: N_c, D_c or C_c. NaN where it does not change."""
        return math.exp(min(math.log(self.factor) / self.exponent, 700.0)) if self.exponent else math.nan

    def loss(self, x: float) -> float:
        """Bits per byte to expect at `x`."""
        return float(self.factor * x**-self.exponent)


def fit_law(
    points: Sequence[Point],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
    repeat_r: float = Law.repeat_r,
    finds_gamma: bool = False,
) -> Fit:
    """The law of these points. ConfigError for fewer than six, or less than three sizes or two lengths.

    γ is 1 unless `finds_gamma`, which asks for more points than a ladder has; intervals take it as known.
    """
    require_scipy()
    _refuse_too_few(points)
    measure = Law(0, 0, 1, 0, 1, repeat_r)
    parameters = np.log([point.parameters for point in points])
    worth = np.log([measure.effective_bytes(point.seen_bytes, point.unique_bytes) for point in points])
    losses = np.log([point.bits_per_byte for point in points])
    centre = np.array([parameters.mean(), worth.mean()])
    problem = _Problem(parameters - centre[0], worth - centre[1])
    best = problem.solve(losses, problem.starts(losses))
    if finds_gamma:
        problem, best = problem.joined(losses, best)
    residuals = losses - problem.model(best)
    draws = []
    if resamples:
        random = np.random.default_rng(seed)
        free = max(1, len(points) - len(CONSTANTS))
        spreads = np.sqrt(
            residuals @ residuals / np.maximum(random.chisquare(free, resamples), LEAST_CHI_SQUARE * free)
        )
        spreads = np.maximum(spreads, LEAST_NOISE)
        drawn = random.normal(0.0, spreads[:, None], (resamples, len(points) + 1))
        again = problem.solve_all(problem.model(best) + drawn[:, :-1], best)
        draws = [
            (_law(theta, centre, repeat_r, problem.gamma), float(noise))
            for theta, noise in zip(again, drawn[:, -1], strict=True)
        ]
    return Fit(
        law=_law(best, centre, repeat_r, problem.gamma),
        intervals={name: _middle([getattr(law, name) for law, _ in draws]) for name in CONSTANTS} if draws else {},
        residuals=tuple(residuals.tolist()),
        draws=tuple(draws),
    )


def fit_power(x: Sequence[float], losses: Sequence[float]) -> PowerLaw:
    """The straight line through log x and log loss, by least squares; its interval by Student's t.

    ConfigError where there are less than three different x: two give a line and no doubt.
    """
    stats = require_scipy().stats
    if len(set(x)) < 3:
        raise ConfigError(f"A power law needs points at 3 different places or more; there are {len(set(x))}.")
    line = stats.linregress(np.log(x), np.log(losses))
    reach = float(stats.t.ppf((1 + COVERAGE) / 2, len(x) - 2) * line.stderr)
    exponent = -float(line.slope)
    return PowerLaw(exponent, math.exp(float(line.intercept)), (exponent - reach, exponent + reach))


def require_scipy() -> Any:
    """The library; MissingExtraError, with the command that installs it, where it is missing."""
    try:
        import scipy
        import scipy.optimize
        import scipy.stats
    except ImportError as error:
        raise MissingExtraError.for_extra("Fitting a scaling law", "scale") from error
    return scipy


@dataclass(frozen=True)
class _Problem:
    """Constants θ = (log E, log A', α, log B', β) to find, A' and B' being what the terms are at the middle.

    `terms`, `model` and `slopes` take one θ, or many at once: (…, 5).
    """

    parameters: Numbers
    """Log N, less the middle."""
    worth: Numbers
    """Log D', less the middle."""
    gamma: float = 1.0

    def terms(self, theta: Numbers) -> Numbers:
        """Logs of E, A·N^-α and B·D'^-β of each point: (…, points, 3)."""
        e, a, alpha, b, beta = (theta[..., column, None] for column in range(5))
        return np.stack([e + 0 * self.worth, a - alpha * self.parameters, b - beta * self.worth], axis=-1)

    def model(self, theta: Numbers) -> Numbers:
        """Log of the loss of each point."""
        e, lack = self._parts(self.terms(theta))
        return np.asarray(np.logaddexp(e, lack))

    def slopes(self, theta: Numbers) -> Numbers:
        """Derivative of `model` by each constant: (…, points, 5). It is what part of the loss each term is."""
        terms = self.terms(theta)
        e, lack = self._parts(terms)
        loss = np.logaddexp(e, lack)
        of_lack = self.gamma * np.exp(lack - loss)[..., None] * np.exp(terms[..., 1:] - (lack / self.gamma)[..., None])
        a, b = of_lack[..., 0], of_lack[..., 1]
        return np.stack([np.exp(e - loss), a, -self.parameters * a, b, -self.worth * b], axis=-1)

    def _parts(self, terms: Numbers) -> tuple[Numbers, Numbers]:
        """Logs of E and of (A·N^-α + B·D'^-β)^γ."""
        return terms[..., 0], self.gamma * np.logaddexp(terms[..., 1], terms[..., 2])

    def joined(self, losses: Numbers, theta: Numbers) -> tuple["_Problem", Numbers]:
        """With the γ that fits best, and its constants; `theta`: those of γ = 1, from which each γ starts."""

        def solved(gamma: float) -> tuple["_Problem", Numbers]:
            problem = replace(self, gamma=gamma)
            e, a, alpha, b, beta = theta
            start = np.array([e, a / gamma, alpha / gamma, b / gamma, beta / gamma])
            return problem, problem.solve(losses, [start])

        def cost(gamma: float) -> float:
            problem, found = solved(gamma)
            return float(_huber(losses - problem.model(found)))

        best = require_scipy().optimize.minimize_scalar(cost, bounds=GAMMAS, method="bounded", options={"xatol": 1e-4})
        return solved(float(best.x))

    def starts(self, losses: Numbers) -> list[Numbers]:
        """For each α and β of a grid the best E, A and B, which are linear; then the best of all those."""
        nnls = require_scipy().optimize.nnls
        found = []
        for alpha in EXPONENTS:
            for beta in EXPONENTS:
                columns = np.stack(
                    [np.ones_like(losses), np.exp(-alpha * self.parameters), np.exp(-beta * self.worth)], axis=1
                )
                solution, error = nnls(columns * np.exp(-losses)[:, None], np.ones_like(losses))
                e, a, b = np.log(np.maximum(solution, 1e-6))
                found.append((error, np.array([e, a, alpha, b, beta])))
        found.sort(key=lambda pair: pair[0])
        return [theta for _, theta in found[:STARTS]]

    def solve(self, losses: Numbers, starts: Sequence[Numbers]) -> Numbers:
        """The best that a descent from any of `starts` finds."""
        least_squares = require_scipy().optimize.least_squares
        found = [
            least_squares(
                lambda theta: self.model(theta) - losses,
                np.clip(start, LEAST + 1e-6, MOST - 1e-6),
                jac=self.slopes,
                bounds=(LEAST, MOST),
                loss="huber",
                f_scale=HUBER_DELTA,
                x_scale="jac",
                ftol=1e-10,
                xtol=1e-10,
                gtol=1e-10,
                max_nfev=300,
            )
            for start in starts
        ]
        return np.asarray(min(found, key=lambda each: float(each.cost)).x)

    def solve_all(self, losses: Numbers, start: Numbers) -> Numbers:
        """`solve` of each row of `losses` from one start, all at once.

        Steps of Levenberg and Marquardt, where a residual beyond δ weighs δ / |residual|.
        """
        theta = np.tile(start, (len(losses), 1))
        damping = np.full(len(losses), 1e-3)
        off = losses - self.model(theta)
        for _ in range(ROUNDS):
            slopes = self.slopes(theta)
            weighted = slopes * np.minimum(1.0, HUBER_DELTA / np.maximum(np.abs(off), 1e-300))[..., None]
            square = np.swapaxes(weighted, -1, -2) @ slopes
            size = np.diagonal(square, axis1=-2, axis2=-1)
            square = square + (damping[:, None] * size + 1e-15)[..., None] * np.eye(len(CONSTANTS))
            step = np.linalg.solve(square, np.swapaxes(weighted, -1, -2) @ off[..., None])[..., 0]
            tried = np.clip(theta + step, LEAST, MOST)
            tried_off = losses - self.model(tried)
            is_better = _huber(tried_off) <= _huber(off)
            theta = np.where(is_better[:, None], tried, theta)
            off = np.where(is_better[:, None], tried_off, off)
            damping = np.where(is_better, damping / 3, damping * 4).clip(1e-12, 1e6)
        return theta


def _huber(residuals: Numbers) -> Numbers:
    size = np.abs(residuals)
    each = np.where(size <= HUBER_DELTA, size**2 / 2, HUBER_DELTA * (size - HUBER_DELTA / 2))
    return np.asarray(each.sum(axis=-1))


def _law(theta: Numbers, centre: Numbers, repeat_r: float, gamma: float) -> Law:
    e, a, alpha, b, beta = (float(value) for value in theta)
    log_n, log_d = (float(value) for value in centre)
    return Law(math.exp(e), math.exp(a + alpha * log_n), alpha, math.exp(b + beta * log_d), beta, repeat_r, gamma)


def _middle(values: Sequence[float]) -> tuple[float, float]:
    low, high = np.quantile(values, [(1 - COVERAGE) / 2, (1 + COVERAGE) / 2])
    return float(low), float(high)


def _refuse_too_few(points: Sequence[Point]) -> None:
    sizes, lengths = len({point.parameters for point in points}), len({point.seen_bytes for point in points})
    if len(points) < FEWEST_POINTS or sizes < 3 or lengths < 2:
        raise ConfigError(
            f"A scaling law needs {FEWEST_POINTS} runs or more, of 3 sizes and 2 lengths at least; there are "
            f"{len(points)} (sizes: {sizes}, lengths: {lengths})."
        )
