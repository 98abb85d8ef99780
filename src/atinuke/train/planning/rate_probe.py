"""A short trial of three learning rates, from the same weights on the same batches; the winner's weights are step 0."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from atinuke.data.batches.batch import BatchSource
from atinuke.errors import NonFiniteLossError
from atinuke.train.config import OptimizerConfig
from atinuke.train.engine import Engine
from atinuke.weights import model_tensors

FACTORS = (1.0, 0.5, 2.0)
"""The planned rate first: it stays where no other is better by `MARGIN`."""
PROBE_PART = 0.012
"""Of the time left, for all three."""
FEWEST_STEPS, MOST_STEPS = 12, 100
"""Less says nothing of a rate; more is not needed to say it."""
MARGIN = 0.01
"""How much lower a loss must be, as a part: high rates are always ahead at first, and pay for it later."""
LAST_PART = 3
"""The last third of the losses counts: before that all fall alike."""


@dataclass(frozen=True)
class RateProbe:
    """What came of the trial."""

    factor: float
    """What the planned rates are multiplied by."""
    tensors: dict[str, Tensor]
    """The weights that the winner came to."""
    facts: dict[str, Any]


def probe_rates(
    build: Callable[[OptimizerConfig], Engine],
    planned: OptimizerConfig,
    batches: BatchSource,
    position: int,
    steps: int,
) -> RateProbe:
    """Trains `steps` steps with each factor. `build` gives an engine with the run's first weights, for these rates.

    `position`: where in the data the batches begin, at one that the run itself does not come to.
    """
    losses: dict[float, float] = {}
    best: tuple[float, dict[str, Tensor]] | None = None
    for factor in FACTORS:
        engine = build(scaled(planned, factor))
        place, seen = position, []
        try:
            for _ in range(steps):
                batch = batches.batch(place)
                seen.append(engine.step_on(batch))
                place = batch.next_position
            losses[factor] = sum(seen[-max(1, steps // LAST_PART) :]) / max(1, steps // LAST_PART)
        except NonFiniteLossError:
            losses[factor] = math.inf
        if best is None or losses[factor] < losses[best[0]] * (1 - MARGIN):
            # a copy: the tensors of the next engine are others, but these would keep its gradients alive
            best = factor, {name: tensor.clone() for name, tensor in model_tensors(engine.state.model).items()}
    assert best is not None
    told = {format(factor, "g"): None if math.isinf(loss) else round(loss, 4) for factor, loss in losses.items()}
    return RateProbe(best[0], best[1], {"steps": steps, "loss_by_factor": told, "chosen": best[0]})


def probe_steps(step_s: float, time_left_s: float) -> int:
    """How many steps each rate gets; 0 where there is no time for enough of them."""
    steps = min(int(PROBE_PART * time_left_s / len(FACTORS) / step_s), MOST_STEPS)
    return steps if steps >= FEWEST_STEPS else 0


def scaled(planned: OptimizerConfig, factor: float) -> OptimizerConfig:
    """All rates times `factor`."""
    names = ("lr", "matrix_lr", "embedding_lr")
    rates = {name: getattr(planned, name) for name in names}
    return planned.model_copy(update={name: rate * factor for name, rate in rates.items() if rate is not None})
