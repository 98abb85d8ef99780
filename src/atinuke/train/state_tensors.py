"""The state of optimizers and random generators as tensors and JSON, and back to the bit. No pickle."""

import math
import random
from collections.abc import Callable, Mapping
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer

from atinuke.errors import RunFolderError

# These say how this machine computes, not what; they stay as the optimizer at hand was built.
MACHINE_OPTIONS = ("foreach", "fused", "capturable", "differentiable")
NOT_OPTIONS = ("params", "param_names", *MACHINE_OPTIONS)

Moved = Callable[[Tensor, Tensor], Tensor]
"""(parameter, tensor of its state) → the tensor as it lies in a file, or of one in a file the part that lies here."""


def _as_it_is(parameter: Tensor, tensor: Tensor) -> Tensor:
    return tensor


def optimizer_tensors(optimizer: Optimizer, to_file: Moved = _as_it_is) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """State of the optimizer: its tensors by name (`3.exp_avg`: of the fourth parameter), and the rest as JSON.

    Takes any optimizer whose state and options are tensors, numbers, booleans, strings, None, and lists or tuples
    of these.
    """
    tensors: dict[str, Tensor] = {}
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    values = {
        str(index): {
            key: _pack(to_file(parameter, value) if isinstance(value, Tensor) else value, f"{index}.{key}", tensors)
            for key, value in optimizer.state[parameter].items()
        }
        for index, parameter in enumerate(parameters)
        if parameter in optimizer.state
    }
    groups = [
        {
            "shapes": [list(parameter.shape) for parameter in group["params"]],
            "options": {
                key: _pack(value, f"group{number}.{key}", tensors)
                for key, value in group.items()
                if key not in NOT_OPTIONS
            },
        }
        for number, group in enumerate(optimizer.param_groups)
    ]
    return tensors, {"kind": _kind(optimizer), "groups": groups, "values": values}


def load_optimizer(
    optimizer: Optimizer, tensors: Mapping[str, Tensor], facts: Mapping[str, Any], from_file: Moved = _as_it_is
) -> None:
    """Puts back what `optimizer_tensors` gave, into an optimizer built the same way; the tensors are copied.

    RunFolderError says what differs when it is the state of another optimizer or of other parameters.
    """
    _check_same(optimizer, tensors, facts)
    index = 0
    for group, saved in zip(optimizer.param_groups, facts["groups"], strict=True):
        options = {key: _unpack(value, tensors) for key, value in saved["options"].items()}
        group.update({key: value.clone() if isinstance(value, Tensor) else value for key, value in options.items()})
        for parameter in group["params"]:
            optimizer.state.pop(parameter, None)
            if str(index) in facts["values"]:
                optimizer.state[parameter] = {
                    key: _place(key, _unpack(value, tensors), parameter, group, from_file)
                    for key, value in facts["values"][str(index)].items()
                }
            index += 1


def random_tensors() -> dict[str, Tensor]:
    """State of the generators that training draws from: torch's on each device in use, and Python's.

    numpy's global generator is left out: nothing here draws from it.
    """
    _, words, gauss = random.getstate()
    tensors = {
        "torch.cpu": torch.get_rng_state(),
        "python.words": torch.tensor(words, dtype=torch.int64),
        "python.gauss": torch.tensor([] if gauss is None else [gauss], dtype=torch.float64),
    }
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        tensors |= {f"torch.cuda.{device}": state for device, state in enumerate(torch.cuda.get_rng_state_all())}
    if torch.backends.mps.is_available():
        tensors["torch.mps"] = torch.mps.get_rng_state()
    return tensors


def load_random_tensors(tensors: Mapping[str, Tensor]) -> None:
    """Puts back what `random_tensors` gave; the state of a device that is not here is left aside."""
    try:
        torch.set_rng_state(tensors["torch.cpu"].clone())
        words = tuple(int(word) for word in tensors["python.words"].tolist())
        random.setstate((random.getstate()[0], words, next(iter(tensors["python.gauss"].tolist()), None)))
        for device in range(torch.cuda.device_count()):
            if f"torch.cuda.{device}" in tensors:
                torch.cuda.set_rng_state(tensors[f"torch.cuda.{device}"].clone(), device)
        if "torch.mps" in tensors and torch.backends.mps.is_available():
            torch.mps.set_rng_state(tensors["torch.mps"].clone())
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise RunFolderError(
            f"The saved random state does not fit this version of torch or Python ({reason}). "
            "Go on with the versions in environment.json, or start over with --fresh."
        ) from error


def _pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """`value` as JSON that `_unpack` gives back with its type; a tensor goes into `tensors` under `name`."""
    if isinstance(value, Tensor):
        tensors[name] = value.detach()
        return {"tensor": name}
    if isinstance(value, float) and not math.isfinite(value):
        return {"float": str(value)}
    if isinstance(value, list | tuple):
        items = [_pack(item, f"{name}.{place}", tensors) for place, item in enumerate(value)]
        return {"tuple" if isinstance(value, tuple) else "list": items}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"optimizer state {name} is a {type(value).__name__}; only tensors and plain values can be saved")


def _unpack(packed: Any, tensors: Mapping[str, Tensor]) -> Any:
    if not isinstance(packed, dict):
        return packed
    ((kind, value),) = packed.items()
    if kind == "tensor":
        return tensors[value]
    if kind == "float":
        return float(value)
    items = [_unpack(item, tensors) for item in value]
    return tuple(items) if kind == "tuple" else items


def _place(key: str, value: Any, parameter: Tensor, group: Mapping[str, Any], from_file: Moved) -> Any:
    """A copy of a state tensor where the optimizer wants it: beside its parameter, in the same order of memory."""
    if not isinstance(value, Tensor):
        return value
    if key == "step" and not (group.get("fused") or group.get("capturable")):
        return value.to("cpu", copy=True)  # torch counts steps on the CPU unless its kernel reads the count itself
    if value.shape != parameter.shape:
        return value.to(parameter.device, copy=True)
    own = torch.empty_like(parameter, dtype=value.dtype, requires_grad=False)
    return own.copy_(from_file(parameter, value))


def _check_same(optimizer: Optimizer, tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    saved = [[tuple(shape) for shape in group["shapes"]] for group in facts["groups"]]
    own = [[tuple(parameter.shape) for parameter in group["params"]] for group in optimizer.param_groups]
    named = {name for packed in facts["values"].values() for name in _tensor_names(packed)}
    named |= {name for group in facts["groups"] for name in _tensor_names(group["options"])}
    faults = {
        "kind": (facts["kind"], _kind(optimizer)),
        "number of groups": (len(saved), len(own)),
        "parameters per group": ([len(group) for group in saved], [len(group) for group in own]),
    }
    shapes = zip(chain.from_iterable(saved), chain.from_iterable(own), strict=False)
    faults |= {f"shape of parameter {index}": pair for index, pair in enumerate(shapes)}
    faults["set of tensors"] = (sorted(named), sorted(tensors))
    for what, (there, here) in faults.items():
        if there != here:
            raise RunFolderError(
                f"The saved optimizer state is of another model or optimizer: {what} is {there} there and {here} here. "
                "Give the settings of that run, another --out, or --fresh to start over."
            )


def _tensor_names(packed: Mapping[str, Any]) -> set[str]:
    names: set[str] = set()
    todo: list[Any] = list(packed.values())
    while todo:
        value = todo.pop()
        if isinstance(value, list):
            todo += value
        elif isinstance(value, dict):
            names |= {value["tensor"]} if "tensor" in value else set()
            todo += [inner for inner in value.values() if isinstance(inner, list)]
    return names


def _kind(optimizer: Optimizer) -> str:
    """torch.AdamW, atinuke.Muon: without the module, which may move."""
    return f"{type(optimizer).__module__.split('.')[0]}.{type(optimizer).__qualname__}"
