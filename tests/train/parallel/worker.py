"""One of several processes: makes the trainings of a list, one after another, and writes down how each ended.

    RANK=0 WORLD_SIZE=2 … python worker.py jobs.json results-0.json

A job is {"settings": …, "fault": what goes wrong in which process, or null}. After "killed" nothing follows.
"""

import dataclasses
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from atinuke.config import build_settings
from atinuke.machine import probe_machine
from atinuke.testing import Listener
from atinuke.train import engine, loop, run
from atinuke.train.config import TrainConfig
from atinuke.train.lessons import pairs, text_scores
from atinuke.train.parallel import handover

RANK = int(os.environ["RANK"])


def main(jobs: Path, results: Path) -> None:
    one_core = dataclasses.replace(probe_machine("cpu"), cores=1)
    patched(run, "probe_machine", lambda _: one_core).__enter__()
    text_scores.SAMPLE_TOKENS, pairs.SCORED_PAIRS = 8, 2
    torch.set_num_threads(1)
    ends = []
    for number, job in enumerate(json.loads(jobs.read_text())):
        os.environ["TORCHELASTIC_RESTART_COUNT"] = str(number)  # as torchrun does: each begins with a clean store
        begun_s, listener = time.monotonic(), Listener()
        try:
            with FAULTS[job["fault"] or "none"]():
                run.run(build_settings(TrainConfig, flags=job["settings"]), listener, already_s=0.0)
            error = ""
        except (Exception, SystemExit) as ended:
            error = f"{type(ended).__name__}: {ended}"
        ends.append({"error": error, "said": listener.said, "seconds": time.monotonic() - begun_s})
        results.write_text(json.dumps(ends))


@contextmanager
def patched(module: Any, name: str, value: Any) -> Iterator[None]:
    true = getattr(module, name)
    setattr(module, name, value)
    try:
        yield
    finally:
        setattr(module, name, true)


@contextmanager
def nothing() -> Iterator[None]:
    yield


@contextmanager
def signalled(rank: int, number: int, at_step: int) -> Iterator[None]:
    """A signal in the middle of a step of one process."""
    true = loop.optimizer_step

    def step(state: Any, *more: Any) -> Any:
        if state.step + 1 == at_step and rank == RANK:
            os.kill(os.getpid(), number)
        return true(state, *more)

    with patched(loop, "optimizer_step", step):
        yield


@contextmanager
def out_of_memory() -> Iterator[None]:
    """The second process has no room for three rows at once."""
    true = engine.loss_of

    def loss_of(objective: Any, output: Any, batch: Any) -> Any:
        if RANK == 1 and batch.row_count > 2:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 7 bytes")
        return true(objective, output, batch)

    with patched(engine, "loss_of", loss_of):
        yield


@contextmanager
def full_disk() -> Iterator[None]:
    """From the second checkpoint on, the first process cannot write."""
    from atinuke.train.parallel import checkpoints

    true, saves = checkpoints.write_tensors, [0]

    def write_tensors(path: Path, tensors: Any) -> None:
        saves[0] += path.name == "random.safetensors"
        if saves[0] > 1:
            raise OSError(28, "No space left on device")
        true(path, tensors)

    with patched(checkpoints, "write_tensors", write_tensors):
        yield


FAULTS: dict[str, Callable[[], Any]] = {
    "none": nothing,
    "stopped": lambda: signalled(1, signal.SIGTERM, 2),
    "killed": lambda: signalled(1, signal.SIGKILL, 4),
    "memory": out_of_memory,
    "disk": full_disk,
    "blind": lambda: patched(handover, "_sees", lambda folder, sign: RANK == 0),
}

if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
