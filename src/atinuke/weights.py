"""Weights on the disk: safetensors files, whole or not at all, and what is said when one does not fit."""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from atinuke.durable import printable, reading, write_file_atomic
from atinuke.errors import DamagedFileError, RunFolderError

COMPILED = "_orig_mod."
"""What torch.compile puts into the names of a module that it wraps."""


def save_weights(path: Path, model: nn.Module) -> None:
    """Writes the weights as safetensors, whole or not at all. Tied weights are written once for each name."""
    write_file_atomic(path, lambda temporary: write_tensors(temporary, model_tensors(model)))


def load_weights(path: Path, model: nn.Module) -> None:
    """Fills `model` with the weights at `path`. DamagedFileError, or RunFolderError for those of another model."""
    load_model(model, read_tensors(path), origin=printable(path))


def model_tensors(model: nn.Module) -> dict[str, Tensor]:
    """Parameters and persistent buffers by name, the same names whether the model is compiled or not."""
    return {name.replace(COMPILED, ""): tensor.detach() for name, tensor in model.state_dict().items()}


def load_model(model: nn.Module, tensors: Mapping[str, Tensor], *, origin: str = "The checkpoint") -> None:
    """Copies `tensors` into the model, all or none; RunFolderError names the first three that do not fit."""
    own = model_tensors(model)
    differing = list(_differences(own, tensors))
    if differing:
        more = f"; and {len(differing) - 3} more" if len(differing) > 3 else ""
        raise RunFolderError(
            f"{origin} holds the weights of another model: {'; '.join(differing[:3])}{more}. "
            "Use the config.json that was saved with these weights."
        )
    for name, tensor in own.items():
        tensor.copy_(tensors[name])  # detached: no gradient is recorded


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a safetensors file, on the CPU; DamagedFileError when its header or length is wrong."""
    with reading(path):
        try:
            return dict(load_file(path))
        except SafetensorError as error:
            reason = " ".join(str(error).split()).rstrip(".")
            raise DamagedFileError(f"{printable(path)} is damaged: it is not a safetensors file ({reason}).") from error


def _differences(own: Mapping[str, Tensor], given: Mapping[str, Tensor]) -> Iterator[str]:
    for name in [*own, *(name for name in given if name not in own)]:
        here, there = (_describe(tensors.get(name)) for tensors in (own, given))
        if here != there:
            yield f"{printable(name)} is {there} there and {here} here"


def _describe(tensor: Tensor | None) -> str:
    return "missing" if tensor is None else f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"


def write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Plain write of a safetensors file. Raises OSError as any other write would."""
    try:
        save_file(_apart(tensors), path)
    except SafetensorError as error:
        number = re.search(r"os error (\d+)", str(error))
        reason = re.sub(r"^.*I/O error: | \(os error.*$", "", str(error))
        raise OSError(int(number[1]) if number else 0, reason) from error


def _apart(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Each tensor dense, on the CPU, in memory of its own: safetensors refuses two names for one memory.

    Only what needs it is copied, so that there is never more than one extra copy of a group.
    """
    apart: dict[str, Tensor] = {}
    taken: set[int] = set()
    for name, tensor in tensors.items():
        dense = tensor.detach().cpu().contiguous()
        if dense.untyped_storage().data_ptr() in taken:
            dense = dense.clone()
        apart[name] = dense
        taken.add(dense.untyped_storage().data_ptr())
    return apart
