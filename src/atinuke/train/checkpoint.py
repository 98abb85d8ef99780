"""Checkpoints: the whole state of a training run, on disk and back to the bit.

    state/step-00000123/    model.safetensors  optimizer.safetensors  random.safetensors    tensors, by group
                            state.json                                                      everything else
                            checksums.json                                                  written last

A checkpoint appears whole or not at all, and an older one goes only when a newer one is in place; a kill, a full
disk or a power cut at any moment leaves the last good one. Tensors are safetensors, the rest is JSON.
"""

import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from atinuke.durable import (
    JSON,
    REPLACED,
    clean_leftovers,
    discard_folder,
    encode,
    printable,
    read_json,
    reading,
    to_json,
    verify_folder,
    write_file_atomic,
    write_folder_atomic,
)
from atinuke.errors import DamagedFileError, RunFolderError
from atinuke.train.state_tensors import load_optimizer, load_random_tensors, optimizer_tensors, random_tensors

__all__ = [
    "Checkpoints",
    "LoadedCheckpoint",
    "load_model",
    "load_optimizer",
    "load_random_tensors",
    "load_weights",
    "model_tensors",
    "optimizer_tensors",
    "random_tensors",
    "read_tensors",
    "save_weights",
]

FORMAT = 1
STATE = "state.json"
NAME = re.compile(rf"step-(\d{{8,}})({re.escape(REPLACED)})?")
COMPILED = "_orig_mod."
"""What torch.compile puts into the names of a module that it wraps."""


@dataclass(frozen=True)
class LoadedCheckpoint:
    """A checkpoint that verified. Its tensors lie on the CPU and are read from the disk when they are used."""

    path: Path
    step: int
    score: float | None
    tensors: Mapping[str, Mapping[str, Tensor]]
    state: Mapping[str, Any]


class Checkpoints:
    """The checkpoints of one run: the last `keep`, and the one with the lowest score.

    For one writer at a time (`RunFolder.claim`). While saving, one more than is kept lies on the disk.
    """

    def __init__(self, folder: Path, keep: int = 2) -> None:
        if keep < 1:
            raise ValueError("keep must be at least 1: a new checkpoint is in place before an old one goes")
        self.folder = folder
        self.keep = keep
        self.damaged: list[str] = []
        """One line for each checkpoint that the last reading had to pass over."""

    def save(
        self,
        step: int,
        tensors: Mapping[str, Mapping[str, Tensor]],
        state: Mapping[str, JSON],
        *,
        score: float | None = None,
    ) -> Path:
        """Writes the checkpoint of `step`, then deletes those that are no longer kept. Returns its folder.

        `tensors` maps group → name → tensor, one file per group. In `state`, NaN and infinity become null.
        `score`: lower is better; None or NaN is never the best. RunFolderError says what stays good when it fails.
        """
        clean_leftovers(self.folder)  # first, because they take up room
        facts = {
            "format": FORMAT,
            "step": step,
            "score": None if score is None else float(score),
            "groups": sorted(tensors),
            "state": state,
        }

        def fill(folder: Path) -> None:
            for group, named in tensors.items():
                _write_tensors(folder / f"{group}.safetensors", named)
            (folder / STATE).write_bytes(encode(to_json(facts) + "\n"))

        final = self.folder / f"step-{step:08d}"
        before = self._places()
        stays = f"The checkpoint {before[0][1].name} is untouched." if before else "There is no earlier checkpoint."
        write_folder_atomic(final, fill, stays=stays)
        self._prune(step)
        return final

    def newest_good(self) -> LoadedCheckpoint | None:
        """The newest checkpoint that verifies; None when there is none at all. `damaged` says what was passed over.

        DamagedFileError, with a line for each, when there are checkpoints and none is good.
        """
        return self._first_good(place for _, place in self._places())

    def best(self) -> LoadedCheckpoint | None:
        """As `newest_good`, for the lowest score; checkpoints without a score do not take part."""
        scored = [(score, -step, place) for step, place in self._places() if (score := _score(place)) is not None]
        return self._first_good(place for _, _, place in sorted(scored))

    def clear(self) -> None:
        """Deletes every checkpoint: for a run that starts over in the same folder."""
        for _, place in self._places():
            discard_folder(place)

    def _places(self) -> list[tuple[int, Path]]:
        """(step, folder) of all that have the name of a checkpoint, newest first."""
        if not self.folder.is_dir():
            return []
        with reading(self.folder):
            found = [(match, place) for place in self.folder.iterdir() if (match := NAME.fullmatch(place.name))]
        # a folder that steps aside for its replacement comes after the replacement
        ranked = sorted(found, key=lambda pair: (-int(pair[0][1]), pair[0][2] is not None))
        return [(int(match[1]), place) for match, place in ranked if place.is_dir()]

    def _first_good(self, places: Iterator[Path]) -> LoadedCheckpoint | None:
        self.damaged = []
        for place in places:
            try:
                return _load(place)
            except RunFolderError as error:
                self.damaged.append(f"Checkpoint {place.name} is passed over: {error}")
        if self.damaged:
            raise DamagedFileError(
                f"No checkpoint in {printable(self.folder)} can be used; start over with --fresh.\n"
                + "\n".join(self.damaged)
            )
        return None

    def _prune(self, newest: int) -> None:
        """Deletes what the class does not promise to keep.

        A step past the newest was damaged, or belongs to a run that was given up, and would be taken for the newest.
        """
        places = self._places()
        standing = {step: place for step, place in reversed(places) if step <= newest}  # of two, the one in its place
        scored = sorted((score, -step) for step, place in standing.items() if (score := _score(place)) is not None)
        kept = {*sorted(standing)[-self.keep :], *(-step for _, step in scored[:1])}
        for step, place in places:
            if step not in kept or standing[step] != place:
                discard_folder(place)


# --- Weights -------------------------------------------------------------------------------------------------------


def save_weights(path: Path, model: nn.Module) -> None:
    """Writes the weights as safetensors, whole or not at all. Tied weights are written once for each name."""
    write_file_atomic(path, lambda temporary: _write_tensors(temporary, model_tensors(model)))


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


def _write_tensors(path: Path, tensors: Mapping[str, Tensor]) -> None:
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


def _load(place: Path) -> LoadedCheckpoint:
    verify_folder(place)
    facts = read_json(place / STATE)
    if facts.get("format") != FORMAT:
        raise DamagedFileError(f"{printable(place)} was written by another version of atinuke.")
    tensors = {group: read_tensors(place / f"{group}.safetensors") for group in facts["groups"]}
    return LoadedCheckpoint(place, facts["step"], facts["score"], tensors, facts["state"])


def _score(place: Path) -> float | None:
    """The score of a checkpoint, as far as its state.json can be read."""
    try:
        score = read_json(place / STATE).get("score")
    except RunFolderError:
        return None
    return float(score) if isinstance(score, int | float) and math.isfinite(score) else None
