"""Tasks as a lesson of the one training loop: rows of labelled examples, the heads' losses, the official scores."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from atinuke.data.batches.batch import BatchSource
from atinuke.data.rows import RowNotes
from atinuke.durable import printable, read_json, to_json, write_atomic
from atinuke.errors import ConfigError
from atinuke.models.config import saved_network
from atinuke.run_folder import RunFolder
from atinuke.tasks.base import Base, open_reader, read_base
from atinuke.tasks.body import Said, Tuned
from atinuke.tasks.choices import in_passes, max_tokens_of, resolve, within_passes
from atinuke.tasks.config import FinetuneConfig
from atinuke.tasks.registry import find_task
from atinuke.tasks.rows import TaskBatches, TaskRows
from atinuke.tasks.scoring import no_figures, score_task
from atinuke.tasks.task import Row, Task
from atinuke.tasks.tuned import build_tuned, load_body
from atinuke.tokenizers.reading import Reader
from atinuke.train.config import TrainConfig
from atinuke.train.lessons.lesson import Autocast, Lesson, Workbench, mean_nats, plan_path
from atinuke.train.objectives import Objective
from atinuke.train.progress import Display

HELD_OUT_SHARE = 0.02
MOST_HELD_OUT = 200
FEWEST = 50
"""Of fewer training examples none is held out."""
ESTIMATED_BATCHES = 16


@dataclass(frozen=True)
class Material:
    """What `read` gives: the network to begin with, and the examples of each task."""

    base: Base
    train: Mapping[str, list[Any]]
    scored: Mapping[str, Mapping[str, list[Any]]]
    """By task and split."""


@dataclass(frozen=True)
class TaskLesson(Lesson):
    """Learn one task, or several in one network."""

    cfg: FinetuneConfig
    """The same as `config`, which knows tasks."""
    reader: Reader
    tasks: Mapping[str, Task[Any]]
    train: Mapping[str, TaskRows]
    held_out: Mapping[str, TaskRows]
    """Rows of training examples that are not trained on: their loss shows how far learning has become learning by
    heart."""
    scored: Mapping[str, Mapping[str, list[Any]]]
    folder: RunFolder

    task: ClassVar[str] = "task"
    keeps_best: ClassVar[bool] = False
    """What was learned last is kept. The loss of held-out examples is lowest long before the figures of a task are at
    their best: a network that learns by heart is too sure of itself before it is wrong more often (docs/lab.md)."""

    def micro_batch_seqs(self, bench: Workbench) -> int | None:
        """As asked: batches of tasks are small, and documents cannot be parted."""
        return self.config.parallel.micro_batch_seqs

    def build(self) -> nn.Module:
        """The network with a head for each task."""
        return build_tuned(self.network, self.cfg, self.tasks)

    def begin(self, model: nn.Module, display: Display) -> None:
        """The pretrained weights."""
        assert isinstance(model, Tuned)
        base = read_base(self.cfg)
        if base.weights is not None:
            load_body(model, base.weights)

    @classmethod
    def read(cls, cfg: TrainConfig, display: Display) -> Material:
        """The base and all examples, those to be scored too, so that what is wrong with them is said at once."""
        assert isinstance(cfg, FinetuneConfig)
        display.phase("reading")
        base = read_base(cfg)
        train: dict[str, list[Any]] = {}
        scored: dict[str, dict[str, list[Any]]] = {}
        for name in cfg.task.names:
            task, data = find_task(name), cfg.data_of(name)
            splits = (cfg.task.split,) if cfg.task.split is not None else task.scored
            train[name] = _read(task, cfg, "train", display)
            scored[name] = {split: _read(task, cfg, split, display) for split in splits}
            for split, examples in scored[name].items():
                if split != "train" and examples == train[name]:
                    raise ConfigError(
                        f"{printable(data)} has the same {task.items} to train and to score on ({split}). Give "
                        f"the folder that holds both, or score on it all the same by --split train. {task.fetch}"
                    )
            display.say(
                f"{task.title}: {len(train[name]):,} {task.items} to learn from, "
                + ", ".join(f"{len(each):,} of {split}" for split, each in scored[name].items())
                + f" to score on ({data})."
            )
        return Material(base, train, scored)

    @classmethod
    def prepare(cls, cfg: TrainConfig, material: Material, folder: RunFolder, bench: Workbench) -> Self:
        """Chooses what is open, and keeps in the run folder what a tuned run needs to be used."""
        assert isinstance(cfg, FinetuneConfig)
        bench.display.phase("planning")
        cfg = resolve(cfg, material.base, bench)
        tasks = {name: find_task(name).learn(examples) for name, examples in material.train.items()}
        whole = [task.title for task in tasks.values() if task.group]
        if whole and cfg.parallel.micro_batch_seqs is not None:
            raise ConfigError(
                f"parallel.micro_batch_seqs is {cfg.parallel.micro_batch_seqs}, and the windows of a document of "
                f"{whole[0]} are read together; leave it out."
            )
        for name, task in tasks.items():
            for examples in material.scored[name].values():
                task.check(examples)
        material.base.keep_reader(folder)
        write_atomic(folder.tasks, to_json({name: task.facts for name, task in tasks.items()}))
        lesson = cls._of(cfg, material, material.base.reader, tasks, folder, bench.display, {})
        passes, per_pass = _passes(cfg, tasks), lesson._batches(torch.device("cpu")).batches_per_epoch
        facts: dict[str, Any] = {"passes": passes, "batches_per_pass": per_pass}
        if cfg.budget.time_s is not None:
            facts["time_s"] = within_passes(lesson, cfg, passes, bench)
        write_atomic(plan_path(folder), to_json(facts))
        return replace(lesson, facts=facts)._with_budget()

    @classmethod
    def take_up(cls, cfg: TrainConfig, folder: RunFolder, display: Display) -> Self:
        """Reads the data once more: a run keeps its words, and the files stay where they are."""
        assert isinstance(cfg, FinetuneConfig)
        material = cls.read(cfg, display)
        saved = read_json(folder.tasks)
        tasks = {name: find_task(name).from_facts(saved[name]) for name in cfg.task.names}
        reader = open_reader(folder, cfg)
        return cls._of(cfg, material, reader, tasks, folder, display, read_json(plan_path(folder)))._with_budget()

    @classmethod
    def _of(
        cls,
        cfg: FinetuneConfig,
        material: Material,
        reader: Reader,
        tasks: Mapping[str, Task[Any]],
        folder: RunFolder,
        display: Display,
        facts: dict[str, Any],
    ) -> Self:
        display.phase("encoding")
        train, held_out = {}, {}
        for name, task in tasks.items():
            examples = material.train[name]
            apart = _held_out(len(examples), cfg.seed)
            rows = _rows(task, examples, reader, max_tokens_of(cfg, task))
            size = cfg.batch_seqs or task.batch_rows
            train[name] = TaskRows([row for row in rows if row.example not in apart], size, task.group)
            held_out[name] = TaskRows([row for row in rows if row.example in apart], size, task.group)
        network = saved_network(cfg.model_dump())
        return cls(
            config=cfg,
            network=network,
            tokenizer=None,
            facts=facts,
            cfg=cfg,
            reader=reader,
            tasks=tasks,
            train=train,
            held_out=held_out,
            scored=material.scored,
            folder=folder,
        )

    def _with_budget(self) -> Self:
        """With the budget that the passes leave of the one that was asked for."""
        cfg = in_passes(self.cfg, self.facts)
        return replace(self, config=cfg, cfg=cfg)

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for name, given in self.train.items():
            digest.update(name.encode())
            for row in given.rows:
                for array in (row.ids, row.segments, *row.marks, *row.targets):
                    digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    @property
    def objective(self) -> Objective:
        tasks = self.tasks

        def loss(said: Said, targets: tuple[Tensor, ...], shares: tuple[float, ...] = (1.0,)) -> Tensor:
            return tasks[said.task].loss(said.output, targets) * (sum(shares) / len(shares))

        return loss

    @property
    def tokens_per_pass(self) -> int:
        """Of all rows that are trained on, padding left out."""
        return sum(len(row) for given in self.train.values() for row in given.rows)

    def batches(self, device: torch.device) -> BatchSource:
        return self._batches(device)

    def _batches(self, device: torch.device) -> TaskBatches:
        return TaskBatches(self.train, seed=self.config.seed, device=device)

    def estimator(self, device: torch.device, autocast: Autocast) -> Callable[[nn.Module], float]:
        known = {name: given for name, given in self.held_out.items() if given.rows} or self.train
        source = TaskBatches(known, seed=0, device=device)
        count = min(ESTIMATED_BATCHES, source.batches_per_epoch)
        return mean_nats([source.batch(number) for number in range(count)], self.objective, autocast)

    def summary(self, tokens: int) -> dict[str, Any]:
        return {
            "sources": [str(self.cfg.data_of(name)) for name in self.tasks],
            "tasks": list(self.tasks),
            "begun_with": self.cfg.task.init or str(self.cfg.task.run),
            "from_scratch": self.cfg.task.from_scratch,
            "tokenizer": None,
            "train_bytes": None,
            "epochs": round(tokens / self.tokens_per_pass, 3),
            "data": {
                "train_rows": sum(len(given.rows) for given in self.train.values()),
                "held_out_rows": sum(len(given.rows) for given in self.held_out.values()),
                "rows_by_task": {name: len(given.rows) for name, given in self.train.items()},
            },
        }

    def score(self, model: nn.Module, display: Display) -> dict[str, Any]:
        assert isinstance(model, Tuned)
        display.phase("scoring")
        found: dict[str, dict[str, Any]] = {}
        for name, task in self.tasks.items():
            for split, examples in self.scored[name].items():
                scored = score_task(
                    model, task, split, examples, self.reader, max_tokens_of(self.cfg, task), nullcontext, self.folder
                )
                if scored["values"]:
                    found[f"{name}-{split}"] = scored
                else:
                    display.say(no_figures(scored, self.folder))
        if not found:
            return {"score": None, "scores": {}, "samples": []}
        first = next(iter(found.values()))
        note = "; ".join(f"{each['title']}, {each['split']}: {each['items']}" for each in found.values())
        score = {"name": first["main"], "value": first["values"][first["main"]], "is_better": "higher", "note": note}
        return {"score": score, "scores": found, "samples": []}

    @staticmethod
    def say(summary: dict[str, Any]) -> str:
        lines = []
        for scored in summary["scores"].values():
            figures = ", ".join(f"{key} {value:.2f}" for key, value in scored["values"].items())
            lines.append(f"{scored['title']} ({scored['split']}, {scored['items']}): {figures}")
        return "\n" + "\n".join(lines)


def _read(task: type[Task[Any]], cfg: FinetuneConfig, split: str, display: Display) -> list[Any]:
    notes = RowNotes()
    examples = task.read(cfg.data_of(task.name), split, notes)
    for line in notes.describe(task.items):
        display.say(line)
    return examples


def _rows(task: Task[Any], examples: Sequence[Any], reader: Reader, max_tokens: int) -> list[Row]:
    return [
        row
        for number, example in enumerate(examples)
        for row in task.rows(number, example, reader, max_tokens, with_targets=True)
    ]


def _held_out(count: int, seed: int) -> set[int]:
    """Numbers of the examples that are not trained on."""
    if count < FEWEST:
        return set()
    bits = np.random.Philox(key=np.array([seed % 2**64, count], dtype=np.uint64))
    order = np.argsort(bits.random_raw(count), kind="stable")
    return {int(number) for number in order[: min(MOST_HELD_OUT, max(1, int(HELD_OUT_SHARE * count)))]}


def _passes(cfg: FinetuneConfig, tasks: Mapping[str, Task[Any]]) -> float:
    return cfg.task.passes or max(task.passes for task in tasks.values())
