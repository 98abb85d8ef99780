"""The paper's table with our columns: what runs scored without pretraining, after it, and from Hugging Face weights.

A cell is the median of the finished runs that were tuned for the task, over their seeds; they are looked for beside
RUN, up to three folders deep.
"""

import json
import shlex
import statistics
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from atinuke.errors import AtinukeError
from atinuke.generate.loading import find_run
from atinuke.run_folder import RunFolder, printable, read_json
from atinuke.series.tables import aligned
from atinuke.tasks.registry import BY_PROBABILITY, all_names, described
from atinuke.tasks.sentences.glue import COUNTED, PAPER, glue_average

Column = Literal["scratch", "here", "hub"]
DEEPEST = 3
"""Folders between the one that RUN lies in and a run: a home folder is not searched whole."""
COLUMNS: dict[Column, str] = {"scratch": "no pretraining", "here": "pretrained here", "hub": "Hugging Face weights"}


@dataclass(frozen=True)
class Found:
    """The scores of one run on one split."""

    task: str
    column: Column
    seed: int | None
    split: str
    values: dict[str, float]
    main: str
    items: str
    command: str

    @property
    def value(self) -> float:
        """The figure that stands for the task."""
        return self.values[self.main]


def table(run: Path, *, as_json: bool = False) -> str:
    """All tasks, a row each; below, for each cell, the command that made it, or what is missing."""
    folder = find_run(run)
    cells: dict[tuple[str, Column], list[Found]] = {}
    for found in _all_found(folder):
        cells.setdefault((found.task, found.column), []).append(found)
    if as_json:
        return json.dumps([vars(found) for several in cells.values() for found in several])
    rows: list[list[str]] = []
    notes: list[str] = []
    for name in all_names():
        task = described(name)
        paper = "" if task.paper is None else f"{task.paper:g}"
        row = [task.title, task.metrics[0], paper]
        for column in COLUMNS:
            here = cells.get((name, column), [])
            row.append(_cell(here, len(notes) + 1) if here else "–")
            if here:
                notes.append(_note(len(notes) + 1, here))
        rows.append(row)
    rows.append(_glue_row(cells))
    missing = [_missing(name, folder) for name in all_names() if not any((name, column) in cells for column in COLUMNS)]
    lines = aligned([["task", "score", "paper", *COLUMNS.values()], *rows], left=(0, 1))
    return "\n".join([*lines, "", *notes, *(["", "Not there yet:", *missing] if missing else [])])


def _all_found(folder: RunFolder) -> Iterator[Found]:
    """What was scored of this run itself, and of runs beside it that began with it or with Hugging Face weights."""
    for place in sorted(folder.scores.glob("*/scores.json")):
        scored = read_json(place)
        command = f"atinuke evaluate {shlex.quote(str(folder.path))} --task {scored['task']} --data FOLDER"
        yield _found(scored, "here", _seed(folder), command)
    beside = folder.path.absolute().parent
    for place in sorted(each for depth in range(1, DEEPEST + 1) for each in beside.glob("*/" * depth + "config.json")):
        tuned = RunFolder(place.parent)
        try:
            summary, config = tuned.read_summary(), tuned.read_config()
        except AtinukeError:
            continue  # a run that is not done
        if config.get("init") is not None and Path(config["init"]).absolute() == folder.path.absolute():
            for kept in sorted(tuned.scores.glob("*/scores.json")):
                scored = read_json(kept)
                command = f"atinuke finetune {shlex.quote(config['init'])} --task {scored['task']} --data FOLDER"
                yield _found(scored, "here", config["seed"], command)
        if "task" not in config:
            continue
        begun = config["task"]
        if begun["init"] is None and Path(begun["run"]).absolute() != folder.path.absolute():
            continue
        column: Column = "hub" if begun["init"] is not None else "scratch" if begun["from_scratch"] else "here"
        for scored in (summary.get("scores") or {}).values():
            yield _found(scored, column, config["seed"], _command(scored["task"], config))


def _found(scored: Mapping[str, Any], column: Column, seed: int | None, command: str) -> Found:
    main = scored["main"]
    return Found(scored["task"], column, seed, scored["split"], scored["values"], main, scored["items"], command)


def _command(task: str, config: Mapping[str, Any]) -> str:
    """What was typed for a tuned run, as far as it decides the score."""
    begun, budget = config["task"], config["budget"]
    words = ["atinuke", "finetune", *([begun["run"]] if begun["run"] else ["--init", begun["init"]])]
    words += ["--task", ",".join(begun["names"]), "--data", *begun["data"]]
    words += ["--from-scratch"] * begun["from_scratch"] + ["--jointly"] * begun["jointly"]
    words += ["--lora", str(begun["lora"]["rank"])] if begun["lora"]["rank"] else []
    words += ["--time", f"{budget['time_s']:g}s"] if budget["time_s"] else ["--steps", str(budget["steps"])]
    return " ".join(map(shlex.quote, [*words, "--seed", str(config["seed"])]))


def _glue_row(cells: Mapping[tuple[str, Column], Sequence[Found]]) -> list[str]:
    """GLUE's average over the tasks that are there, each figure the median over seeds."""
    row = ["GLUE average", "mean of tasks", f"{PAPER:g}"]
    for column in COLUMNS:
        by_split: dict[tuple[str, str], list[dict[str, float]]] = {}
        for (task, place), several in cells.items():
            for found in several if place == column else ():
                by_split.setdefault((task, found.split), []).append(found.values)
        medians = {
            key: {name: statistics.median(values[name] for values in several) for name in several[0]}
            for key, several in by_split.items()
        }
        average = glue_average(medians)
        row.append("–" if average.value is None else f"{average.value:.1f} ({len(average.tasks)} of {len(COUNTED)})")
    return row


def _cell(here: Sequence[Found], note: int) -> str:
    values = [found.value for found in _first_split(here)]
    spread = f" ±{(max(values) - min(values)) / 2:.1f}" if len(values) > 1 else ""
    return f"{statistics.median(values):.1f}{spread} [{note}]"


def _first_split(here: Sequence[Found]) -> list[Found]:
    return [found for found in here if found.split == here[0].split]


def _note(number: int, here: Sequence[Found]) -> str:
    first, *_ = _first_split(here)
    seeds = ", ".join(str(found.seed) for found in _first_split(here))
    others = "".join(
        f"; {split}: {statistics.median(found.value for found in here if found.split == split):.1f}"
        for split in dict.fromkeys(found.split for found in here)
        if split != first.split
    )
    what = f"{first.main} on {first.split}, {first.items}; seeds {seeds}{others}"
    return f"[{number}] {printable(first.command)}\n    {what}"


def _missing(name: str, folder: RunFolder) -> str:
    task = described(name)
    stage = "evaluate" if name in BY_PROBABILITY else "finetune"
    line = f"atinuke {stage} {printable(folder.path)} --task {name} --data FOLDER"
    return f"  {task.title}: {line}\n    {task.fetch}"


def _seed(folder: RunFolder) -> int | None:
    try:
        return int(folder.read_config()["seed"])
    except (AtinukeError, KeyError, TypeError):
        return None
