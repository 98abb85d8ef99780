"""The loop: one update, what stops it, and what observers see."""

import os
import signal
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.testing import assert_close

from atinuke.data.batches.batch import IGNORE, Batch
from atinuke.data.batches.windows import WindowBatches
from atinuke.errors import NonFiniteLossError
from atinuke.models import AtinukePaper
from atinuke.train.engine import Asked
from atinuke.train.loop import StepMetrics, StepRules, StopRequest, TrainState, fit, optimizer_step
from atinuke.train.objectives import next_token
from atinuke.train.schedule import Clock, TokenPace

VOCAB = 7


class Ring:
    """Tokens that need no file."""

    total_tokens = 60

    def at(self, places: NDArray[np.int64], /) -> NDArray[np.int64]:
        return places * 3 % VOCAB


@dataclass
class Watcher:
    """Keeps what it was shown."""

    rows: list[StepMetrics] = field(default_factory=list)
    ends: int = 0

    def after_step(self, state: TrainState, metrics: StepMetrics) -> None:
        self.rows.append(metrics)

    def at_end(self, state: TrainState) -> None:
        self.ends += 1


def make_state() -> TrainState:
    torch.manual_seed(0)
    model = AtinukePaper(VOCAB, 8, 8, 16, 2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for group in optimizer.param_groups:
        group["peak_lr"] = 0.1
    return TrainState(model, [optimizer])


def rules_for(state: TrainState, **changes: object) -> StepRules:
    settings = {"loss": asked(state), "rate_factor": lambda progress: 1.0, **changes}
    return StepRules(**settings)  # type: ignore[arg-type]


def asked(state: TrainState, objective: Callable[[Tensor, Tensor], Tensor] = next_token) -> Asked:
    return Asked(state.model, objective, nullcontext)


def batches() -> WindowBatches:
    return WindowBatches(Ring(), context=5, batch_seqs=2, seed=0)


def test_next_token_is_the_mean_of_nats_over_targets_that_count() -> None:
    logits = torch.tensor([[[0.0, 0.0], [3.0, 0.0], [9.0, 9.0]]])
    loss = next_token(logits, torch.tensor([[0, 1, IGNORE]]))
    assert_close(loss, (torch.log(torch.tensor(2.0)) + torch.log(1 + torch.exp(torch.tensor(3.0)))) / 2)


def test_one_step_moves_the_weights_against_the_gradient() -> None:
    state = make_state()
    batch = batches().batch(0)
    before = {name: parameter.detach().clone() for name, parameter in state.model.named_parameters()}
    loss = next_token(state.model(*batch.inputs), batch.targets)
    gradients = dict(zip(before, torch.autograd.grad(loss, list(state.model.parameters())), strict=True))
    seen, norm = optimizer_step(state, batch, rules_for(state), 0.5)
    assert seen == pytest.approx(loss.item())
    assert norm == pytest.approx(torch.cat([gradient.flatten() for gradient in gradients.values()]).norm().item())
    for name, parameter in state.model.named_parameters():
        assert_close(parameter.detach(), before[name] - 0.5 * 0.1 * gradients[name])


def test_clipping_shortens_long_gradients_and_leaves_short_ones() -> None:
    moved = []
    for clip_norm in (1e-3, 1e6, None):
        state = make_state()
        before = torch.cat([parameter.detach().flatten() for parameter in state.model.parameters()])
        optimizer_step(state, batches().batch(0), rules_for(state, clip_norm=clip_norm), 1.0)
        after = torch.cat([parameter.detach().flatten() for parameter in state.model.parameters()])
        moved.append((after - before).norm().item())
    assert moved[0] == pytest.approx(0.1 * 1e-3, rel=0.02)
    assert moved[1] == moved[2]


def test_fit_counts_steps_tokens_and_windows_and_tells_its_observers() -> None:
    state, watcher = make_state(), Watcher()
    fit(state, batches(), rules_for(state), TokenPace(Clock(), 35), [watcher])
    assert (state.step, state.tokens, state.position) == (4, 40, 8)
    assert [row.step for row in watcher.rows] == [1, 2, 3, 4]
    assert [row.progress for row in watcher.rows] == pytest.approx([0, 10 / 35, 20 / 35, 30 / 35])
    assert watcher.ends == 1


def test_fit_stops_when_asked_and_tells_its_observers() -> None:
    state, watcher = make_state(), Watcher()
    fit(state, batches(), rules_for(state), TokenPace(Clock(), 1000), [watcher], lambda: len(watcher.rows) == 3)
    assert state.step == 3 and watcher.ends == 1


def poisoned(value: float, where: str) -> StepRules:
    """Rules under which the loss, or a gradient, becomes `value`."""
    state = make_state()

    class Poison(torch.autograd.Function):
        @staticmethod
        def forward(ctx: object, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: object, gradient: Tensor) -> Tensor:  # type: ignore[override]
            return gradient * value

    def objective(logits: Tensor, targets: Tensor) -> Tensor:
        loss = next_token(logits, targets)
        return loss * value if where == "loss" else Poison.apply(loss)

    return rules_for(state, loss=asked(state, objective))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize("where", ["loss", "gradient norm"])
def test_a_number_that_is_not_finite_stops_before_the_update_and_says_where(value: float, where: str) -> None:
    rules = poisoned(value, where)
    assert isinstance(rules.loss, Asked)
    model = rules.loss.network
    optimizer = torch.optim.AdamW(model.parameters())
    optimizer.param_groups[0]["peak_lr"] = 1e-3
    state = TrainState(model, [optimizer], step=41, last_good_checkpoint="step-00000040")
    before = [parameter.detach().clone() for parameter in model.parameters()]
    batch = Batch((torch.zeros(2, 5, dtype=torch.int64),), torch.ones(2, 5, dtype=torch.int64), 82, 84, 10)
    with pytest.raises(NonFiniteLossError) as caught:
        optimizer_step(state, batch, rules, 1.0)
    message = str(caught.value)
    assert "\n" not in message
    for part in (where, "step 42", "places 82 to 83", "step-00000040", "optim.lr"):
        assert part in message
    for parameter, was in zip(model.parameters(), before, strict=True):
        assert torch.equal(parameter, was)
    assert not optimizer.state


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_patient_stop_waits_for_the_step_and_the_second_signal_does_not(number: signal.Signals) -> None:
    stop = StopRequest()
    with stop.listening():
        stop.is_patient = True
        assert not stop
        os.kill(os.getpid(), number)
        assert stop and stop.signal_name == number.name
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), number)


def test_outside_the_loop_a_signal_breaks_off_at_once() -> None:
    stop = StopRequest()
    with stop.listening(), pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGTERM)
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
