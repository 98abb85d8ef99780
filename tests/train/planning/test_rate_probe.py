"""The trial of three learning rates."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch
from torch import nn

from atinuke.data.batches.batch import Batch
from atinuke.errors import NonFiniteLossError
from atinuke.train.config import OptimizerConfig
from atinuke.train.planning.rate_probe import FACTORS, FEWEST_STEPS, probe_rates, probe_steps, scaled

PLANNED = OptimizerConfig(kind="adamw", lr=0.1, matrix_lr=0.2, beta2=0.9)


class Places:
    """A batch source that remembers where it was asked."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def batch(self, position: int) -> Batch:
        self.asked.append(position)
        return Batch((torch.zeros(1),), torch.zeros(1), position, position + 1, 1)


@dataclass
class Descent:
    """Stands for an engine: gradient descent on w² from w = 1, which rates above 1 throw out of the window."""

    rate: float
    state: Any = field(init=False)

    def __post_init__(self) -> None:
        model = nn.Linear(1, 1, bias=False)
        nn.init.ones_(model.weight)
        self.state = type("State", (), {"model": model})

    def step_on(self, batch: Batch) -> float:
        weight = self.state.model.weight
        with torch.no_grad():
            loss = float(weight.square())
            weight -= self.rate * 2 * weight
        if loss > 1e6:
            raise NonFiniteLossError("far too high")
        return loss


def best_of(rate: float, steps: int = 20) -> tuple[float, float]:
    """The factor that wins, and the weight that it came to, where `rate` is what factor 1 stands for."""
    probe = probe_rates(lambda optim: Descent(rate * optim.lr / 0.1), PLANNED, Places(), 5, steps)  # type: ignore[arg-type, operator, return-value]
    return probe.factor, float(probe.tensors["weight"])


@pytest.mark.parametrize(("rate", "factor"), [(0.5, 1.0), (0.2, 2.0), (0.9, 0.5)])
def test_the_rate_that_falls_lowest_wins(rate: float, factor: float) -> None:
    assert best_of(rate)[0] == factor


def test_a_rate_that_diverges_cannot_win() -> None:
    assert best_of(1.7)[0] == 0.5


def test_the_weights_of_the_winner_are_kept() -> None:
    factor, weight = best_of(0.2, steps=3)
    assert factor == 2.0 and weight == pytest.approx((1 - 2 * 0.4) ** 3, rel=1e-5)


def test_every_rate_sees_the_same_batches() -> None:
    places = Places()
    probe_rates(lambda optim: Descent(0.1), PLANNED, places, 5, 4)  # type: ignore[arg-type, return-value]
    assert places.asked == [5, 6, 7, 8] * len(FACTORS)


def test_of_equals_the_planned_rate_stays() -> None:
    assert probe_rates(lambda optim: Descent(0.1), PLANNED, Places(), 0, 4).factor == 1.0  # type: ignore[arg-type, return-value]


def test_there_is_no_trial_without_time_for_it() -> None:
    assert probe_steps(step_s=1.0, time_left_s=60) == 0
    assert probe_steps(step_s=0.05, time_left_s=600) >= FEWEST_STEPS


def test_both_rates_are_scaled() -> None:
    assert (scaled(PLANNED, 2.0).lr, scaled(PLANNED, 2.0).matrix_lr) == (0.2, 0.4)
