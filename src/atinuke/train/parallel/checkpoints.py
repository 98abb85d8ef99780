"""All processes write one checkpoint while training goes on, in the very form that a single process writes.

tensors, cut or whole ──► copies in memory ──► a file from each process ──► one file for each group, checked and named
                          training goes on     torch.distributed.checkpoint        the first process, checkpoint.py

So a run goes on from it with any number of processes, one included, and no pickle is ever read.
"""

import json
import shutil
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
from torch.distributed.checkpoint.state_dict_saver import async_save

from atinuke.config import one_line
from atinuke.durable import JSON, make_folder
from atinuke.errors import RunFolderError
from atinuke.train.checkpoint import Checkpoints
from atinuke.train.parallel.ranks import Ranks
from atinuke.weights import write_tensors

OWN = "random"
"""The group that the first process writes alone: generators differ from process to process."""


class SharedCheckpoints:
    """As `Checkpoints`, for all processes together: every one calls the same methods in the same order."""

    def __init__(self, checkpoints: Checkpoints, ranks: Ranks) -> None:
        self._checkpoints = checkpoints
        self._ranks = ranks
        self._folder = checkpoints.folder / "saving"
        self._written: Future[Any] | None = None
        self._naming: threading.Thread | None = None
        self._fault = ""
        self._newest = checkpoints.folder / "none yet"
        if ranks.is_first:
            shutil.rmtree(self._folder, ignore_errors=True)
            make_folder(self._folder)
        ranks.share(None)  # nobody writes before it is empty

    def save(
        self,
        step: int,
        tensors: Mapping[str, Mapping[str, Tensor]],
        state: Mapping[str, JSON],
        *,
        score: float | None = None,
    ) -> Path:
        """Copies the tensors and writes them while training goes on; returns the newest checkpoint in place."""
        self.wait()
        groups = [group for group in tensors if group != OWN]
        files = {name: number for number, group in enumerate(groups, start=1) for name in tensors[group]}
        place = self._folder / f"step-{step:08d}"
        written = async_save(
            {name: tensor for group in groups for name, tensor in tensors[group].items()},
            storage_writer=HuggingFaceStorageWriter(
                str(place), fqn_to_index_mapping=files, save_distributed=True, enable_consolidation=True
            ),
            process_group=self._ranks.saving,
        )
        assert isinstance(written, Future)
        self._written = written
        if self._ranks.is_first:
            # copies: training goes on
            own = {name: tensor.clone() for name, tensor in tensors[OWN].items()}
            single = {
                group: {name: tensor.cpu().clone() for name, tensor in tensors[group].items() if not tensor.ndim}
                for group in groups
            }

            def fill(folder: Path) -> None:
                for number, group in enumerate(groups, start=1):
                    _take_file(place, number, folder / f"{group}.safetensors", single[group])
                write_tensors(folder / f"{OWN}.safetensors", own)

            def name_it() -> None:
                try:
                    written.result()
                    self._newest = self._checkpoints.put(step, [*groups, OWN], fill, state, score=score)
                    shutil.rmtree(self._folder, ignore_errors=True)
                except BaseException as error:  # CheckpointException is not an Exception
                    self._fault = str(error) if isinstance(error, RunFolderError) else _reason(error, step)

            self._naming = threading.Thread(target=name_it, name="checkpoint")
            self._naming.start()
        return self._newest

    def wait(self) -> None:
        """Returns when the last checkpoint is in place; RunFolderError, in all processes, when it could not be."""
        if self._written is None:
            return
        self._written.exception()  # what went wrong, the first process knows
        if self._naming is not None:
            self._naming.join()
        fault, newest = self._ranks.share((self._fault, str(self._newest)))
        self._written, self._naming, self._fault, self._newest = None, None, "", Path(newest)
        if fault:
            raise RunFolderError(fault)


def _take_file(place: Path, number: int, target: Path, single: Mapping[str, Tensor]) -> None:
    """Moves what became of a group to where it belongs."""
    file = next(place.glob(f"model-{number:05d}-of-*.safetensors"), None)
    if file is None:  # an optimizer that has not stepped has no tensors
        write_tensors(target, {})
        return
    file.rename(target)
    # torch 2.13 puts the parts of tensors together by their axes, and leaves one that has none at 0
    with open(target, "r+b") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = json.loads(stream.read(length))
        for name, tensor in single.items():
            stream.seek(8 + length + header[name]["data_offsets"][0])
            stream.write(tensor.reshape(1).view(torch.uint8).numpy().tobytes())


def _reason(error: BaseException, step: int) -> str:
    """One line of a fault that may lie in any process."""
    failures = getattr(error, "failures", None)
    if failures:
        rank, (cause, _) = next(iter(failures.items()))
        return f"The checkpoint of step {step:,} could not be written by process {rank}: {one_line(cause)}."
    return f"The checkpoint of step {step:,} could not be written: {type(error).__name__}: {str(error)[:200]}"
