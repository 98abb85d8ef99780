"""Tables: a class, or a number, from columns of numbers. The first network of all: leaf or flower."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import nn

from atinuke.data.batches.batch import BatchSource
from atinuke.data.batches.tables import TableBatches
from atinuke.data.tables import Table, TableSet, read_table, split_table, write_table
from atinuke.durable import printable, to_json, write_atomic
from atinuke.errors import ConfigError, RunFolderError
from atinuke.generate.beam import evaluating
from atinuke.generate.loading import TrainedRun
from atinuke.models.config import saved_network
from atinuke.models.perceptron import NumberPerceptron, mean_and_spread
from atinuke.run_folder import RunFolder
from atinuke.train.config import TrainConfig
from atinuke.train.lessons.lesson import Autocast, Lesson, Workbench, mean_nats, plan_path
from atinuke.train.objectives import Objective, classification, standardised
from atinuke.train.progress import Display

ESTIMATED_ROWS = 1024
SAMPLES = 8


@dataclass(frozen=True)
class TableLesson(Lesson):
    """Find one column of a table from the others."""

    table: TableSet

    task: ClassVar[str] = "table"
    keeps_best: ClassVar[bool] = False
    """What is held out may be the final test, by which nothing may be chosen."""

    @classmethod
    def read(cls, cfg: TrainConfig, display: Display) -> tuple[Table, Table]:
        """Reads the tables and holds rows out."""
        display.phase("reading")
        if cfg.init is not None:
            raise ConfigError("init is set, and a table of numbers has a network of its own; leave it out.")
        if cfg.init_embeddings is not None:
            raise ConfigError("init_embeddings is set, and a table of numbers has no tokens; leave it out.")
        if cfg.objective.label_smoothing:
            raise ConfigError(
                "objective.label_smoothing is set, and the classes of a table are taken as they are; leave it out."
            )
        table = read_table(cfg.data.examples, cfg.data.label, cfg.objective.task)
        held_out = read_table(cfg.data.held_out, like=table) if cfg.data.held_out else None
        for noted in (table, held_out):
            for line in noted.notes.describe("rows") if noted is not None else ():
                display.say(line)
        return split_table(table, held_out)

    @classmethod
    def prepare(cls, cfg: TrainConfig, material: tuple[Table, Table], folder: RunFolder, bench: Workbench) -> Self:
        """Chooses sizes and keeps the table in the run folder."""
        table = write_table(*material, folder.data)
        cfg = _resolve(cfg, table)
        facts: dict[str, Any] = {}
        write_atomic(plan_path(folder), to_json(facts))
        return cls(cfg, saved_network(cfg.model_dump()), None, facts, table)

    @classmethod
    def take_up(cls, cfg: TrainConfig, folder: RunFolder, display: Display) -> Self:
        """Opens the run's copy of the table."""
        is_there = folder.data.exists()
        table = TableSet.open(folder.data) if is_there else write_table(*cls.read(cfg, display), folder.data)
        return cls(cfg, saved_network(cfg.model_dump()), None, {}, table)

    @property
    def fingerprint(self) -> str:
        return self.table.fingerprint

    @property
    def objective(self) -> Objective:
        if self.network.classes:
            return classification
        _, spread = mean_and_spread(torch.from_numpy(self.table.train.labels)[:, None])
        return standardised(spread.item())

    def begin(self, model: nn.Module, display: Display) -> None:
        """The network is told how large the numbers of each column are."""
        assert isinstance(model, NumberPerceptron)
        train = self.table.train
        device = model.means.device
        targets = None if self.network.classes else torch.from_numpy(train.labels).to(device)
        model.standardise(torch.from_numpy(train.numbers).to(device), targets)

    def batches(self, device: torch.device) -> BatchSource:
        assert self.config.batch_seqs is not None
        return TableBatches(self.table.train, batch_rows=self.config.batch_seqs, seed=self.config.seed, device=device)

    def estimator(self, device: torch.device, autocast: Autocast) -> Callable[[nn.Module], float]:
        held_out = TableBatches(self.table.held_out, batch_rows=ESTIMATED_ROWS, seed=0, device=device)
        return mean_nats([held_out.batch(0)], self.objective, autocast)

    def summary(self, tokens: int) -> dict[str, Any]:
        return {
            "sources": list(self.config.data.examples),
            "tokenizer": None,
            "data": self.table.facts,
            "columns": list(self.table.index.columns),
            "label": self.table.index.label,
            "labels": list(self.table.index.classes),
            "train_bytes": None,
            "epochs": round(tokens / len(self.table.train), 3),
            "batch_rows": self.config.batch_seqs,
        }

    def score(self, model: nn.Module, display: Display) -> dict[str, Any]:
        display.phase("scoring")
        return score_table(model, self.table.held_out)

    @staticmethod
    def say(summary: dict[str, Any]) -> str:
        samples = "".join(f"\n   {s['prompt']}: {s['text']} (should be {s['reference']})" for s in summary["samples"])
        score = summary["score"]
        return f"{samples}\n\n{score['name'].capitalize()} {score['value']:.4g} on held-out rows: {score['note']}."


def score_table(model: nn.Module, table: Table) -> dict[str, Any]:
    """Accuracy, or for numbers R² and the root of the mean squared error; and what is said of the first rows."""
    device = next(model.parameters()).device
    with evaluating(model):
        output = model(torch.from_numpy(table.numbers).to(device)).float().cpu().numpy()
    rows = [
        ", ".join(f"{name} {value:g}" for name, value in zip(table.columns, row, strict=True)) for row in table.numbers
    ]
    if table.classes:
        found = output.argmax(axis=1)
        right = int((found == table.labels).sum())
        score = {"name": "accuracy", "value": 100 * right / len(table), "is_better": "higher"}
        score["note"] = f"{right:,} of {len(table):,} rows"
        said, truth = [table.classes[id] for id in found], [table.classes[int(id)] for id in table.labels]
    else:
        errors = output[:, 0].astype(np.float64) - table.labels
        spread = float(np.var(table.labels, dtype=np.float64))
        explained = 1 - float(np.mean(errors**2)) / spread if spread else 0.0
        score = {"name": "R²", "value": explained, "is_better": "higher"}
        score["note"] = f"root of the mean squared error {float(np.mean(errors**2)) ** 0.5:.4g}, {len(table):,} rows"
        said, truth = [f"{value:.4g}" for value in output[:, 0]], [f"{value:.4g}" for value in table.labels]
    samples = [
        {"prompt": row, "text": text, "reference": right_one}
        for row, text, right_one in zip(rows[:SAMPLES], said, truth, strict=False)
    ]
    return {"score": score, "samples": samples}


def score_table_files(trained: TrainedRun, specs: Sequence[str]) -> dict[str, Any]:
    """The score of a run on other tables, or on the rows that it held out.

    A row whose class was not trained on cannot be right. What is skipped is said on stderr.
    """
    if not specs:
        if not trained.folder.data.is_dir():
            raise RunFolderError(
                f"{printable(trained.folder.data)} is missing, and with it the rows that this run held out; "
                "name others with --examples."
            )
        return score_table(trained.model, TableSet.open(trained.folder.data).held_out)
    summary = trained.folder.read_summary()
    like = Table.without_rows(summary["columns"], summary["label"], summary["labels"])
    table = read_table(specs, like=like, keep_unknown=True)
    for line in table.notes.describe("rows"):
        print(line, file=sys.stderr)
    return score_table(trained.model, table)


def _resolve(cfg: TrainConfig, table: TableSet) -> TrainConfig:
    model, optim = cfg.model, cfg.optim
    hidden = model.hidden_dim or 32
    sizes = {
        "numbers": len(table.index.columns),
        "classes": len(table.index.classes),
        "hidden_dim": hidden,
        "layer_count": model.layer_count or 2,
        "dropout": model.dropout or 0.0,
        # a table has neither attention nor a sequence
        "model_dim": model.model_dim or hidden,
        "key_dim": model.key_dim or hidden,
        "head_count": model.head_count or 1,
        "context": 1,
        "max_len": 1,
    }
    chosen = {
        "kind": optim.kind or "adamw",
        "lr": optim.lr or 3e-3,
        "matrix_lr": optim.matrix_lr or 0.01,
        "beta2": 0.99 if optim.beta2 is None else optim.beta2,
    }
    return cfg.model_copy(
        update={
            "model": model.model_copy(update=sizes),
            "batch_seqs": cfg.batch_seqs or 64,
            "optim": optim.model_copy(update=chosen),
            "dtype": "float32" if cfg.dtype == "auto" else cfg.dtype,
            "compile": False,
        }
    )
