"""What a run's own files say, for its report and its card: read with patience, written for people.

A run that was stopped before its end lacks some of them; what is not there reads as None and shows as
`NOT_MEASURED`. Nothing is computed here that the run did not write.
"""

import json
import math
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from atinuke.durable import read_json, reading
from atinuke.report.tasks import TASKS, Task

NOT_MEASURED = "not measured"
COLUMNS = ("step", "tokens", "elapsed_s", "loss", "lr", "tokens_per_s", "grad_norm", "val_loss")
SIZE_NAMES = ("vocab_size", "model_dim", "key_dim", "hidden_dim", "head_count", "layer_count", "dropout", "max_len")
MONTHS = (  # strftime's names follow the locale
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)

Columns: TypeAlias = dict[str, NDArray[np.float64]]


@dataclass(frozen=True)
class RunRecord:
    """The files of one run. `shown_as` is the folder as commands should name it."""

    shown_as: str
    request: str  # the file of settings that takes this run up again, as commands should name it
    summary: Mapping[str, Any]
    config: Mapping[str, Any]
    environment: Mapping[str, Any]
    metrics: Columns

    def fact(self, dotted: str) -> Any:
        """A value of the summary, such as `sizes.model_dim`; None where it is not there."""
        node: Any = self.summary
        for key in dotted.split("."):
            node = node.get(key) if isinstance(node, Mapping) else None
        return node

    def number(self, dotted: str) -> float | None:
        """A finite number of the summary, or None."""
        found = self.fact(dotted)
        return (
            found if isinstance(found, int | float) and not isinstance(found, bool) and math.isfinite(found) else None
        )

    def text(self, dotted: str) -> str | None:
        """A value of the summary as text, or None where it is missing or empty."""
        found = self.fact(dotted)
        return None if found is None or found == "" else str(found)

    @property
    def task(self) -> Task:
        """What the run learned; text where it does not say, as runs were before they could learn anything else."""
        name = self.text("task") or "text"
        if name == "table" and self.fact("labels") == []:
            name = "numbers"
        return TASKS.get(name, TASKS["text"])

    @property
    def name(self) -> str:
        return self.text("name") or Path(self.shown_as).name

    @property
    def sources(self) -> list[str]:
        """Names of what was read; the summary may hold one or several, as `source` or `sources`."""
        found = self.fact("sources") or self.fact("source") or []
        return [found] if isinstance(found, str) else [str(name) for name in found]

    @property
    def tokens_seen(self) -> float | None:
        """Training targets so far: the last row of the metrics, else the summary."""
        tokens = self.metrics["tokens"]
        if len(tokens) and math.isfinite(tokens[-1]):
            return float(tokens[-1])
        steps, batch_tokens = self.number("steps"), self.number("batch_tokens")
        planned = None if steps is None or batch_tokens is None else steps * batch_tokens
        return planned if self.number("train_tokens") is None else self.number("train_tokens")

    @property
    def finished(self) -> str | None:
        """When training ended, as "3 August 2026, 14:03 UTC"; as written where that is no ISO date."""
        written = self.text("finished_at")
        try:
            at = datetime.fromisoformat(written or "")
        except ValueError:
            return written
        zone = f" {at.tzname()}" if at.tzinfo else ""
        return f"{at.day} {MONTHS[at.month - 1]} {at.year}, {at:%H:%M}{zone}"

    @property
    def commands(self) -> dict[str, str]:
        """The exact commands to go on with, by what they do."""
        again = self.text("command") or (
            f"atinuke train --config {shlex.quote(self.request)} --out {shlex.quote(self.shown_as)}"
        )
        return self.uses | {"Resume, or repeat with --fresh": again}

    @property
    def uses(self) -> dict[str, str]:
        """The commands that use what was trained, by what they do."""
        run = shlex.quote(self.shown_as)
        fitting = [
            command
            for command in self.task.commands
            if not command.needs or any(self.fact(key) is not None for key in command.needs)
        ]
        return {command.purpose: command.line.replace("{run}", run) for command in fitting}

    @property
    def samples(self) -> list[tuple[str, str, str]]:
        """(prompt, what the model made of it, what it should be); the last one is empty where nothing is right."""
        found = self.fact("samples")
        keys = ("prompt", "text", "reference")
        return [
            (str(sample.get(keys[0]) or ""), str(sample.get(keys[1]) or ""), str(sample.get(keys[2]) or ""))
            for sample in (found if isinstance(found, list) else ())
        ]

    @property
    def re_encoded(self) -> list[tuple[str, str]]:
        """Files in other encodings than UTF-8, each with its encoding."""
        found = self.fact("data.re_encoded")
        return [(str(row[0]), str(row[1])) for row in found] if isinstance(found, list) else []


def read_record(folder: Path, shown_as: Path | None = None) -> RunRecord:
    """The record of a run folder; files that are missing give empty parts, damaged ones a DamagedFileError."""
    shown = shown_as or folder
    asked = Path("state", "request.json")  # what was asked for; config.json has the planner's choices in it as well
    return RunRecord(
        shown_as=str(shown),
        request=str(shown / (asked if (folder / asked).exists() else "config.json")),
        summary=_read_object(folder / "summary.json"),
        config=_read_object(folder / "config.json"),
        environment=_read_object(folder / "environment.json"),
        metrics=read_metrics(folder / "metrics.jsonl"),
    )


def read_metrics(path: Path) -> Columns:
    """The rows of metrics.jsonl as columns, NaN where a row lacks one.

    A line that is no JSON object (the last one of a run that was cut off) is left out. Steps that were run again
    after a checkpoint was resumed replace those written before.
    """
    rows: list[tuple[float, ...]] = []
    for line in _lines(path):
        row = _row(line)
        if row is not None:
            while rows and rows[-1][0] >= row[0]:
                rows.pop()
            rows.append(row)
    table = np.array(rows, dtype=np.float64).reshape(len(rows), len(COLUMNS))
    columns = dict(zip(COLUMNS, table.T, strict=True))
    if len(rows):  # clocks of resumed runs may overlap by a moment; a curve needs a time that does not go back
        columns["elapsed_s"] = np.fmax.accumulate(columns["elapsed_s"])
    return columns


def _lines(path: Path) -> Iterator[bytes]:
    if path.exists():
        with reading(path), path.open("rb") as lines:
            yield from lines


def _row(line: bytes) -> tuple[float, ...] | None:
    try:
        found = json.loads(line)
        values = tuple(float("nan") if found.get(key) is None else float(found[key]) for key in COLUMNS)
    except (ValueError, TypeError, AttributeError, RecursionError):
        return None
    return values if math.isfinite(values[0]) else None


def _read_object(path: Path) -> Mapping[str, Any]:
    return read_json(path) if path.exists() else {}


def show_count(number: float | None) -> str:
    """1,234,567."""
    return NOT_MEASURED if number is None else f"{number:,.0f}"


def show_short(number: float | None) -> str:
    """950 · 12.3 k · 4.56 M · 1.20 G: three digits."""
    if number is None:
        return NOT_MEASURED
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= 0.9995 * size:
            digits = number / size
            return f"{digits:.{2 if digits < 9.995 else 1 if digits < 99.95 else 0}f} {unit}"
    return f"{number:.0f}"


def show_bytes(number: float | None) -> str:
    """1.12 MB: decimal units."""
    if number is None:
        return NOT_MEASURED
    shown = show_short(number)
    return f"{shown}B" if shown[-1].isalpha() else f"{shown} bytes"


def show_amount(count: float | None, noun: str, size: float | None) -> str:
    """12 documents, 1.12 MB."""
    known = [] if count is None else [f"{show_count(count)} {noun}{'' if count == 1 else 's'}"]
    known += [] if size is None else [show_bytes(size)]
    return ", ".join(known) or NOT_MEASURED


def show_seconds(span_s: float | None) -> str:
    """0.35 s · 12.3 s · 1 min 58 s · 2 h 05 min."""
    if span_s is None:
        return NOT_MEASURED
    if span_s < 59.95:
        return f"{span_s:.1f} s" if span_s >= 1 else f"{span_s:.2g} s"
    minutes, seconds = divmod(round(span_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02} min" if hours else f"{minutes} min {seconds:02} s"


def show_decimal(number: float | None, digits: int = 3) -> str:
    """2.213."""
    return NOT_MEASURED if number is None else f"{number:.{digits}f}"


def show_list(names: Iterable[str], most: int = 4) -> str:
    """ "a, b, c and 3 more"."""
    every = list(names)
    shown = ", ".join(every[:most])
    return shown if len(every) <= most else f"{shown} and {len(every) - most} more"
