"""Tiny trainings by one, two and four processes (gloo), each number of processes started once for all tests."""

import dataclasses
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist

from atinuke.config import build_settings
from atinuke.durable import write_atomic
from atinuke.machine import probe_machine
from atinuke.run_folder import RunFolder
from atinuke.testing import LEAVES, PAIRS, Listener, make_examples
from atinuke.train.config import TrainConfig
from atinuke.train.run import run

WORKER = Path(__file__).parent / "worker.py"
SIZES = {"model.model_dim": 16, "model.hidden_dim": 24, "model.layer_count": 2, "model.head_count": 4}
MACHINE = {"dtype": "float32", "device": "cpu", "compile": False, "model.dropout": 0.0}
RATES = {"optim.lr": 3e-3, "optim.matrix_lr": 0.02, "optim.beta2": 0.95, "optim.clip_norm": 1.0}
STEPS = {"budget.steps": 4, "checkpoint.every_steps": 2}
LONGEST_S = 250
"""A machine that does other work, too, takes many times what a quiet one does."""

Settings = dict[str, Any]
End = dict[str, Any]
Once = Callable[[str, Callable[[Path], Any]], tuple[Path, Any]]


@pytest.fixture(scope="session", autouse=True)
def quick() -> Iterator[None]:
    """One measurement of the machine for all, short samples, one thread."""
    one_core = dataclasses.replace(probe_machine("cpu"), cores=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("atinuke.train.run.probe_machine", lambda _: one_core)
        patch.setattr("atinuke.train.lessons.text_scores.SAMPLE_TOKENS", 8)
        patch.setattr("atinuke.train.lessons.pairs.SCORED_PAIRS", 2)
        threads = torch.get_num_threads()
        yield
        torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], Any]], tuple[Path, Any]]:
    """A folder with what `make` puts there, and what it returns: made once, also where several workers test."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def made(name: str, make: Callable[[Path], Any]) -> tuple[Path, Any]:
        folder, done = shared / name, shared / f"{name}.json"
        try:
            folder.mkdir()
        except FileExistsError:
            deadline_s = time.monotonic() + 2 * LONGEST_S
            while not done.exists() and time.monotonic() < deadline_s:
                time.sleep(0.1)
        else:
            write_atomic(done, json.dumps(make(folder)))
        return folder, json.loads(done.read_text())

    return made


def write_material(folder: Path) -> None:
    """What there is to learn from."""
    animals = ("cat", "dog", "hen", "cow")
    (folder / "book.txt").write_text(
        "".join(f"The {animals[n * n % 4]} number {n} went to market.\n" for n in range(60))
    )
    (folder / "pairs.tsv").write_text("".join(f"{source}\t{target}\n" for source, target in PAIRS))
    (folder / "plants.csv").write_text(LEAVES)
    make_examples(folder / "examples")


@pytest.fixture(scope="session")
def material(once: Once) -> dict[str, Settings]:
    """Settings of a tiny training, by what it learns from, and by which network."""
    folder, _ = once("material", write_material)
    shared = {**SIZES, **MACHINE, **RATES, **STEPS}
    # six rows: four processes have one or two each
    text = {"data.sources": [str(folder / "book.txt")], "tokenizer.kind": "char", "batch_seqs": 6, "model.context": 16}
    pairs = {"data.pairs": [str(folder / "pairs.tsv")], "batch_tokens": 96, "model.context": 64}
    examples = {
        "data.examples": [str(folder / "examples" / "examples.jsonl")],
        "batch_seqs": 6,
        "tokenizer.kind": "char",
    }
    table = {"data.examples": [str(folder / "plants.csv")], "data.label": "kind", "batch_seqs": 6}
    return {
        "atinuke": {**shared, **text},
        "gpt": {**shared, **text, "model.kind": "gpt"},
        "llama": {**shared, **text, "model.kind": "llama", "model.kv_head_count": 2},
        "paper": {**shared, **text, "model.kind": "atinuke-paper"},
        "rnn": {**shared, **text, "model.kind": "rnn"},
        "bert": {**shared, **text, "model.kind": "bert"},
        "mixture": {**shared, **text, "model.kind": "gpt", "objective.masked_share": 0.5},
        "seq2seq": {**shared, **pairs, "tokenizer.vocab_size": 300, "model.kind": "seq2seq"},
        "examples": {**shared, **examples},
        "table": {**shared, **table, "model.kind": "perceptron"},
    }


@pytest.fixture(scope="session")
def alone(material: dict[str, Settings], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., RunFolder]:
    """The training of one process, which the others are compared with; made once for each network."""
    made: dict[str, RunFolder] = {}

    def go(name: str) -> RunFolder:
        if name not in made:
            made[name], _ = train_here(material[name], tmp_path_factory.mktemp("alone") / name)
        return made[name]

    return go


@pytest.fixture(scope="session", name="train_here")
def train_here_fixture() -> Callable[[Settings, Path], tuple[RunFolder, list[str]]]:
    """A training in this process."""
    return train_here


def train_here(settings: Settings, out: Path) -> tuple[RunFolder, list[str]]:
    """A training in this process; the folder, and what was said."""
    listener = Listener()
    cfg = build_settings(TrainConfig, flags={**settings, "out": str(out)})
    return RunFolder(run(cfg, listener, already_s=0.0)), listener.said


class Processes:
    """Several processes, with the store that torchrun would keep for them."""

    def __init__(self, size: int, jobs: list[dict[str, Any]], folder: Path) -> None:
        (folder / "jobs.json").write_text(json.dumps(jobs))
        self.folder, self.jobs = folder, jobs
        self.store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        store = {
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": str(self.store.port),
            "TORCHELASTIC_USE_AGENT_STORE": "True",
        }
        self.processes = []
        for rank in range(size):
            with open(folder / f"stderr-{rank}.txt", "wb") as stderr:
                process = subprocess.Popen(
                    [sys.executable, "-W", "error", WORKER, folder / "jobs.json", self._results(rank)],
                    env={**os.environ, **threads, **store, "RANK": str(rank), "WORLD_SIZE": str(size)},
                    stdout=subprocess.DEVNULL,
                    stderr=stderr,
                )
            self.processes.append(process)

    def _results(self, rank: int) -> Path:
        return self.folder / f"results-{rank}.json"

    def ends(self) -> dict[str, list[End]]:
        """By the name of each job, how it ended in each process; those of a process that was killed are missing."""
        try:
            for process in self.processes:
                process.wait(timeout=LONGEST_S)
        finally:
            for process in self.processes:
                process.kill()
                process.wait()
        by_rank = [json.loads(self._results(rank).read_text()) for rank in range(len(self.processes))]
        return {
            job["name"]: [ends[number] for ends in by_rank if number < len(ends)]
            for number, job in enumerate(self.jobs)
        }


def job(name: str, settings: Settings, folder: Path, fault: str | None = None, **more: Any) -> dict[str, Any]:
    """What a worker reads; `more` are settings with __ for their dots."""
    changes = {key.replace("__", "."): value for key, value in more.items()}
    return {"name": name, "settings": {**settings, **changes, "out": str(folder / name)}, "fault": fault}


@dataclasses.dataclass(frozen=True)
class Trained:
    """What several processes made: their run folders lie in `folder` by the names of the jobs."""

    folder: Path
    ends: dict[str, list[End]]


@pytest.fixture(scope="session")
def by_four(material: dict[str, Settings], once: Once) -> Trained:
    """Every lesson as replicas, and decoders cut in all ways; the last one stopped through one at its second step."""
    replicas = ("atinuke", "paper", "rnn", "bert", "mixture", "seq2seq", "examples", "table")

    def make(folder: Path) -> dict[str, list[End]]:
        jobs = [
            *(job(name, material[name], folder) for name in replicas),
            job("gpt", material["gpt"], folder, parallel__kind="fsdp"),
            job("llama", material["llama"], folder, parallel__tensor=2),
            job("stopped", material["atinuke"], folder, "stopped", parallel__tensor=4),
        ]
        return Processes(4, jobs, folder).ends()

    return Trained(*once("by-four", make))


@pytest.fixture(scope="session")
def by_two(material: dict[str, Settings], by_four: Trained, once: Once) -> Trained:
    """Replicas, cut decoders, a run of four processes taken up, and what goes wrong."""
    text = material["atinuke"]

    def make(folder: Path) -> dict[str, list[End]]:
        shutil.copytree(by_four.folder / "stopped", folder / "taken-up")
        memory = job("memory", text, folder, "memory")
        # a fault that ends one process early comes last: the others notice it when that one is gone
        first = [
            job("atinuke", text, folder),
            job("gpt", material["gpt"], folder, parallel__kind="fsdp", parallel__micro_batch_seqs=2),
            job("llama", material["llama"], folder, parallel__tensor=2, parallel__recompute=True),
            job("bert", material["bert"], folder, parallel__kind="fsdp"),
            job("taken-up", text, folder),
            job("blind", text, folder, "blind"),
            job("disk", text, folder, "disk"),
            memory,
        ]
        second = [
            {**memory, "name": "memory again"},
            job("killed", text, folder, "killed", checkpoint__every_steps=1),
        ]
        return Processes(2, first, folder).ends() | Processes(2, second, folder).ends()

    return Trained(*once("by-two", make))
