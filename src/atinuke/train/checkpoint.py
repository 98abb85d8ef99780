"""Checkpoints: the whole state of a training run, on disk and back to the bit.

    state/step-00000123/    model.safetensors  optimizer.safetensors  random.safetensors    tensors, by group
                            state.json                                                      everything else
                            checksums.json                                                  written last

A checkpoint appears whole or not at all, and an older one goes only when a newer one is in place; a kill, a full
disk or a power cut at any moment leaves the last good one. Tensors are safetensors, the rest is JSON.
"""

import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

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
    write_folder_atomic,
)
from atinuke.errors import DamagedFileError, RunFolderError
from atinuke.weights import read_tensors, write_tensors

FORMAT = 1
STATE = "state.json"
NAME = re.compile(rf"step-(\d{{8,}})({re.escape(REPLACED)})?")


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

        def write(folder: Path) -> None:
            for group, named in tensors.items():
                write_tensors(folder / f"{group}.safetensors", named)

        return self.put(step, list(tensors), write, state, score=score)

    def put(
        self,
        step: int,
        groups: Iterable[str],
        write: Callable[[Path], None],
        state: Mapping[str, JSON],
        *,
        score: float | None = None,
    ) -> Path:
        """As `save`, where `write` puts the files of `groups` into the folder that it is given."""
        clean_leftovers(self.folder)  # first, because they take up room
        facts = {
            "format": FORMAT,
            "step": step,
            "score": None if score is None else float(score),
            "groups": sorted(groups),
            "state": state,
        }

        def fill(folder: Path) -> None:
            write(folder)
            (folder / STATE).write_bytes(encode(to_json(facts) + "\n"))

        final = self.folder / f"step-{step:08d}"
        before = self._places()
        stays = f"The checkpoint {before[0][1].name} is untouched." if before else "There is no earlier checkpoint."
        write_folder_atomic(final, fill, stays=stays)
        self._prune(step)
        return final

    def wait(self) -> None:
        """What `save` wrote is in place when it returns."""

    def newest_good(self) -> LoadedCheckpoint | None:
        """The newest checkpoint that verifies; None when there is none at all. `damaged` says what was passed over.

        DamagedFileError, with a line for each, when there are checkpoints and none is good.
        """
        return self._first_good(place for _, place in self._places())

    def best(self) -> LoadedCheckpoint | None:
        """As `newest_good`, for the lowest score; checkpoints without a score do not take part."""
        scored = [(score, -step, place) for step, place in self._places() if (score := _score(place)) is not None]
        return self._first_good(place for _, _, place in sorted(scored))

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
                return load_checkpoint(place)
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


def load_checkpoint(place: Path, *, verify: bool = True) -> LoadedCheckpoint:
    """The checkpoint in a folder; DamagedFileError for one that is not as it was written."""
    if verify:
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
