"""Optimizers and random generators go on after a restore as if nothing had happened."""

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.optim import Optimizer

from atinuke.errors import RunFolderError
from atinuke.train.checkpoint import Checkpoints
from atinuke.train.optimizers import Muon
from atinuke.train.state_tensors import load_optimizer, load_random_tensors, optimizer_tensors, random_tensors
from atinuke.weights import load_model, model_tensors

Build = Callable[[list[nn.Parameter]], Optimizer]

OPTIMIZERS: dict[str, Build] = {
    "adamw-plain": lambda p: torch.optim.AdamW(p, lr=1e-2, foreach=False, fused=False),
    "adamw-foreach": lambda p: torch.optim.AdamW(p, lr=1e-2, foreach=True),
    "adamw-fused": lambda p: torch.optim.AdamW(p, lr=1e-2, fused=True),
    "adamw-amsgrad": lambda p: torch.optim.AdamW(p, lr=1e-2, amsgrad=True, betas=(0.8, 0.95)),
    "adamw-tensor-lr": lambda p: torch.optim.AdamW(p, lr=torch.tensor(1e-2), foreach=False),
    "torch-muon": lambda p: torch.optim.Muon(p, lr=1e-2),
    "our-muon": lambda p: Muon(p, lr=1e-2),
    "sgd": lambda p: torch.optim.SGD(p, lr=1e-2, momentum=0.9, nesterov=True),
    "sgd-without-state": lambda p: torch.optim.SGD(p, lr=1e-2),
    "adafactor": lambda p: torch.optim.Adafactor(p, lr=1e-2),
    "rmsprop": lambda p: torch.optim.RMSprop(p, lr=1e-2, centered=True, momentum=0.5),
    "nadam": lambda p: torch.optim.NAdam(p, lr=1e-2),
    "groups": lambda p: torch.optim.AdamW(
        [{"params": p[:1], "lr": 3e-3}, {"params": p[1:], "weight_decay": 0.0}], lr=1e-2
    ),
}


def build(make: Build, dtype: torch.dtype, seed: int) -> tuple[nn.Module, Optimizer]:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 8, bias=False), nn.Tanh(), nn.Dropout(0.2), nn.Linear(8, 3, bias=False)).to(
        dtype
    )
    return model, make(list(model.parameters()))


def train(model: nn.Module, optimizer: Optimizer, steps: range) -> None:
    """Steps whose batches depend on the number of the step, and whose dropout depends on the random state."""
    dtype = next(model.parameters()).dtype
    for step in steps:
        inputs = torch.randn(4, 6, generator=torch.Generator().manual_seed(step)).to(dtype)
        for group in optimizer.param_groups:
            if isinstance(group["lr"], float):
                group["lr"] *= 0.9
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        optimizer.step()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64], ids=str)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_six_steps_equal_three_a_save_a_load_into_a_fresh_process_and_three(
    tmp_path: Path, name: str, dtype: torch.dtype
) -> None:
    model, optimizer = build(OPTIMIZERS[name], dtype, seed=1)
    train(model, optimizer, range(3))
    tensors, facts = optimizer_tensors(optimizer)
    groups = {"model": model_tensors(model), "optimizer": tensors, "random": random_tensors()}
    Checkpoints(tmp_path).save(3, groups, {"optimizer": facts})
    train(model, optimizer, range(3, 6))

    other, restored = build(OPTIMIZERS[name], dtype, seed=2)
    loaded = Checkpoints(tmp_path).newest_good()
    assert loaded is not None
    load_model(other, loaded.tensors["model"])
    load_optimizer(restored, loaded.tensors["optimizer"], loaded.state["optimizer"])
    load_random_tensors(loaded.tensors["random"])
    train(other, restored, range(3, 6))

    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two)
    assert_same_state(optimizer, restored)


def test_an_optimizer_with_several_shapes_in_other_orders_of_memory_goes_on_the_same() -> None:
    def parameters() -> list[nn.Parameter]:
        torch.manual_seed(0)
        return [nn.Parameter(torch.randn(3, 4).t()), nn.Parameter(torch.randn(2, 3, 4, 5).permute(0, 3, 1, 2))]

    def train_on(given: list[nn.Parameter], optimizer: Optimizer) -> None:
        for _ in range(2):
            for parameter in given:
                parameter.grad = (
                    torch.arange(parameter.numel()).reshape(parameter.shape).to(parameter) * parameter.detach()
                )
            optimizer.step()

    one, two = parameters(), parameters()
    first, second = (torch.optim.AdamW(each, lr=0.1, fused=True) for each in (one, two))
    train_on(one, first)
    with torch.no_grad():
        for source, target in zip(one, two, strict=True):
            target.copy_(source)
    saved, facts = optimizer_tensors(first)
    load_optimizer(second, {name: tensor.contiguous() for name, tensor in saved.items()}, facts)  # as a file gives them
    train_on(one, first)
    train_on(two, second)
    for left, right in zip(one, two, strict=True):
        assert torch.equal(left, right)
        assert second.state[right]["exp_avg"].stride() == first.state[left]["exp_avg"].stride()


def test_a_loaded_state_shares_no_memory_with_what_it_was_loaded_from() -> None:
    model, optimizer = build(OPTIMIZERS["adamw-fused"], torch.float32, seed=1)
    train(model, optimizer, range(2))
    tensors, facts = optimizer_tensors(optimizer)
    before = {name: tensor.clone() for name, tensor in tensors.items()}
    other, restored = build(OPTIMIZERS["adamw-fused"], torch.float32, seed=1)
    load_optimizer(restored, tensors, facts)
    train(other, restored, range(2))
    assert all(torch.equal(tensor, before[name]) for name, tensor in tensors.items())


def test_the_state_from_before_the_first_step_empties_an_optimizer_that_has_taken_some() -> None:
    model, optimizer = build(OPTIMIZERS["adamw-plain"], torch.float32, seed=1)
    fresh = optimizer_tensors(optimizer)
    train(model, optimizer, range(2))
    load_optimizer(optimizer, *fresh)
    assert optimizer_tensors(optimizer) == fresh


def test_options_are_restored_except_those_that_say_how_this_machine_computes() -> None:
    parameter = nn.Parameter(torch.ones(2))
    saved = torch.optim.AdamW([parameter], lr=0.125, betas=(0.5, 0.25), fused=True)
    saved.param_groups[0]["peak_lr"] = 1.5
    restored = torch.optim.AdamW([parameter], lr=1.0, foreach=True)
    load_optimizer(restored, *through_json(saved))
    group = restored.param_groups[0]
    assert (group["lr"], group["betas"], group["peak_lr"]) == (0.125, (0.5, 0.25), 1.5)
    assert (group["fused"], group["foreach"]) == (None, True)


class Anything(Optimizer):
    """An optimizer that holds whatever it is given."""

    def __init__(self, parameters: list[nn.Parameter], state: list[dict[str, Any]], options: dict[str, Any]) -> None:
        super().__init__(parameters, options)
        for parameter, values in zip(parameters, state, strict=True):
            self.state[parameter] = values


dtypes = st.sampled_from([torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int64, torch.uint8])
tensors = st.builds(
    lambda dtype, shape, seed: torch.randint(0, 255, shape, generator=torch.Generator().manual_seed(seed)).to(dtype),
    dtypes,
    st.lists(st.integers(0, 3), max_size=3),
    st.integers(0, 9),
)
plain = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
values = st.recursive(
    plain | tensors, lambda inner: st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple)
)
states = st.dictionaries(st.text(min_size=1, max_size=6), values, max_size=4)


@settings(deadline=None)
@given(first=states, second=states, options=st.dictionaries(st.sampled_from(["lr", "b", "c"]), values))
def test_any_state_of_tensors_numbers_and_words_comes_back(
    first: dict[str, Any], second: dict[str, Any], options: dict[str, Any]
) -> None:
    def parameters() -> list[nn.Parameter]:
        return [nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(()))]

    saved = Anything(parameters(), [first, second], options)
    restored = Anything(parameters(), [{}, {}], {key: 0 for key in options})
    load_optimizer(restored, *through_json(saved))
    assert_same_state(saved, restored)
    for key in options:
        assert_same(saved.param_groups[0][key], restored.param_groups[0][key])


def test_a_state_that_cannot_be_saved_is_our_own_mistake_and_named() -> None:
    with pytest.raises(TypeError, match=r"0\.history is a set"):
        optimizer_tensors(Anything([nn.Parameter(torch.zeros(1))], [{"history": {1}}], {}))


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (
            lambda: torch.optim.AdamW([nn.Parameter(torch.zeros(2, 3))]),
            "parameters per group is [2] there and [1] here",
        ),
        (
            lambda: torch.optim.AdamW([nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(5))]),
            "shape of parameter 1 is (4,) there and (5,) here",
        ),
        (
            lambda: torch.optim.SGD([nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(4))]),
            "kind is torch.AdamW there and torch.SGD here",
        ),
        (
            lambda: torch.optim.AdamW([{"params": [nn.Parameter(torch.zeros(n))]} for n in (2, 4)]),
            "number of groups is 1 there and 2 here",
        ),
    ],
    ids=["count", "shape", "kind", "groups"],
)
def test_the_state_of_another_model_is_refused_and_nothing_changes(other: Callable[[], Optimizer], words: str) -> None:
    saved = torch.optim.AdamW([nn.Parameter(torch.zeros(2, 3)), nn.Parameter(torch.zeros(4))])
    optimizer = other()
    before = json.dumps(optimizer_tensors(optimizer)[1])
    with pytest.raises(RunFolderError) as told:
        load_optimizer(optimizer, *optimizer_tensors(saved))
    assert words in str(told.value)
    assert json.dumps(optimizer_tensors(optimizer)[1]) == before


def test_our_muon_is_not_taken_for_that_of_torch() -> None:
    matrix = nn.Parameter(torch.ones(2, 2))
    with pytest.raises(RunFolderError, match=r"torch\.Muon there and atinuke\.Muon here"):
        load_optimizer(Muon([matrix], lr=0.1), *optimizer_tensors(torch.optim.Muon([matrix])))


def test_a_tensor_that_is_missing_from_the_saved_state_is_told() -> None:
    model, optimizer = build(OPTIMIZERS["adamw-plain"], torch.float32, seed=1)
    train(model, optimizer, range(1))
    tensors, facts = optimizer_tensors(optimizer)
    del tensors["1.exp_avg"]
    with pytest.raises(RunFolderError, match=r"set of tensors is .*1\.exp_avg"):
        load_optimizer(optimizer, tensors, facts)


@pytest.mark.parametrize("draws_before", [0, 1])
def test_random_draws_go_on_where_they_were(draws_before: int) -> None:
    torch.manual_seed(3)
    random.seed(3)
    for _ in range(draws_before):  # an odd number of Gaussian draws leaves one in store
        random.gauss(0, 1)
    saved = {name: tensor.clone() for name, tensor in random_tensors().items()}
    first = (torch.randn(5).tolist(), random.random(), random.gauss(0, 1), random.getrandbits(64))
    load_random_tensors(saved)
    assert (torch.randn(5).tolist(), random.random(), random.gauss(0, 1), random.getrandbits(64)) == first


@pytest.mark.parametrize("name", ["torch.cpu", "python.words"])
def test_a_random_state_of_another_version_is_refused_in_one_line(name: str) -> None:
    saved = random_tensors()
    for damaged in ({**saved, name: saved[name][:-1]}, {k: v for k, v in saved.items() if k != name}):
        with pytest.raises(RunFolderError, match="random state does not fit") as told:
            load_random_tensors(damaged)
        assert "\n" not in str(told.value)
    load_random_tensors(saved)


def through_json(optimizer: Optimizer) -> tuple[dict[str, Tensor], dict[str, Any]]:
    saved, facts = optimizer_tensors(optimizer)
    return saved, json.loads(json.dumps(facts, allow_nan=False))


def assert_same_state(one: Optimizer, two: Optimizer) -> None:
    for left, right in zip(every_parameter(one), every_parameter(two), strict=True):
        assert_same(one.state.get(left, {}), two.state.get(right, {}))


def every_parameter(optimizer: Optimizer) -> Iterator[Tensor]:
    for group in optimizer.param_groups:
        yield from group["params"]


def assert_same(left: Any, right: Any) -> None:
    """Equal in value and type; NaN equals NaN."""
    assert type(left) is type(right)
    if isinstance(left, Tensor):
        assert left.dtype == right.dtype and left.shape == right.shape and left.device == right.device
        assert torch.equal(left, right)
    elif isinstance(left, dict):
        assert left.keys() == right.keys()
        for key in left:
            assert_same(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for one, two in zip(left, right, strict=True):
            assert_same(one, two)
    else:
        assert left == right or (left != left and right != right)
