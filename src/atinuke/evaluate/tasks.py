"""Tasks of a run, or a file of predictions, scored by the tasks' official rules."""

import json
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from atinuke.data.rows import RowNotes
from atinuke.durable import printable
from atinuke.errors import ConfigError, RunFolderError
from atinuke.evaluate.config import EvaluateConfig
from atinuke.generate.loading import find_run, load_trained
from atinuke.tasks.choices import max_tokens_of
from atinuke.tasks.probability.scorers import scorer_for
from atinuke.tasks.registry import (
    ANSWERED,
    BY_PROBABILITY,
    described,
    find_answered_task,
    find_probability_task,
    find_task,
)
from atinuke.tasks.scoring import keep_answers, no_figures, score_answered, score_task, told
from atinuke.tasks.task import Described, Task
from atinuke.tasks.tuned import TunedRun, load_tuned


def score_tasks(cfg: EvaluateConfig) -> str:
    """The scores of `cfg.tasks` as lines, or as a JSON object each."""
    if cfg.predictions is not None:
        scored = _score_file(cfg)
    else:
        scored = []
        tuned: TunedRun | None = None
        for name in cfg.tasks:
            if name in BY_PROBABILITY:
                scored += _score_by_probability(name, cfg)
                continue
            if name in ANSWERED:
                scored += _score_answered(name, cfg)
                continue
            assert cfg.run is not None
            tuned = tuned or load_tuned(cfg.run, cfg.device)
            scored += _score_tuned(tuned, name, cfg)
    if cfg.as_json:
        return "\n".join(json.dumps(each) for each in scored)
    return "\n".join(_line(each, cfg) for each in scored)


def _score_tuned(tuned: TunedRun, name: str, cfg: EvaluateConfig) -> list[dict[str, Any]]:
    task = _task_of(tuned, name)
    found = []
    for split in _splits(cfg, task):
        examples = _examples(type(task), name, split, cfg)
        task.check(examples)
        longest = max_tokens_of(tuned.cfg, task)
        found.append(score_task(tuned.model, task, split, examples, tuned.reader, longest, nullcontext, tuned.folder))
    return found


def _task_of(tuned: TunedRun, name: str) -> Task[Any]:
    """The task as the run learned it, or one that answers with the head of another: AX with that of MNLI."""
    if name in tuned.tasks:
        return tuned.tasks[name]
    kind = find_task(name)
    if kind.borrows is not None and kind.borrows in tuned.tasks:
        return kind.from_facts(tuned.tasks[kind.borrows].facts)
    raise RunFolderError(
        f"{printable(tuned.folder.path)} was tuned for {', '.join(tuned.tasks)}, not for {name}. Tune the run that it "
        f"began with: atinuke finetune {tuned.cfg.task.run or 'RUN'} --task {kind.borrows or name} --data FOLDER."
    )


def _score_by_probability(name: str, cfg: EvaluateConfig) -> list[dict[str, Any]]:
    kind = find_probability_task(name)
    assert cfg.run is not None
    trained = load_trained(cfg.run, cfg.device)
    found = []
    for split in _splits(cfg, kind):
        notes = RowNotes()
        examples = kind.read(_data(name, cfg), split, notes)
        _say(notes, kind)
        scores, answers = kind.score(scorer_for(trained), examples, _print)
        found.append(keep_answers(trained.folder, kind, split, scores, len(examples), answers))
    return found


def _score_answered(name: str, cfg: EvaluateConfig) -> list[dict[str, Any]]:
    assert cfg.run is not None
    kind, data = find_answered_task(name), _data(name, cfg)
    trained = load_trained(cfg.run, cfg.device)
    return [score_answered(trained, kind, data, split, _print) for split in _splits(cfg, kind)]


def _score_file(cfg: EvaluateConfig) -> list[dict[str, Any]]:
    """Of anybody's predictions; no run is needed."""
    assert cfg.predictions is not None
    if len(cfg.tasks) != 1 or cfg.tasks[0] in (*ANSWERED, *BY_PROBABILITY):
        raise ConfigError("--predictions is a file of one task; expected --task NAME of one that predicts.")
    kind = find_task(cfg.tasks[0])
    split = cfg.split or kind.scored[0]
    examples = _examples(kind, cfg.tasks[0], split, cfg)
    task = kind.learn(examples)
    notes = RowNotes()
    predictions = task.read_predictions(cfg.predictions, examples, notes)
    _say(notes, kind)
    return [told(task, split, task.score(examples, predictions), len(examples))]


def _examples(kind: type[Task[Any]], name: str, split: str, cfg: EvaluateConfig) -> list[Any]:
    notes = RowNotes()
    examples = kind.read(_data(name, cfg), split, notes)
    _say(notes, kind)
    return examples


def _splits(cfg: EvaluateConfig, kind: type[Described] | Described) -> Sequence[str]:
    return (cfg.split,) if cfg.split is not None else kind.scored


def _data(name: str, cfg: EvaluateConfig) -> Path:
    if not cfg.data:
        raise ConfigError(f"--data is missing. {described(name).fetch}")
    if len(cfg.data) not in (1, len(cfg.tasks)):
        raise ConfigError(
            f"--data names {len(cfg.data)} folders for {len(cfg.tasks)} tasks; give one, or one for each."
        )
    return Path(cfg.data[0] if len(cfg.data) == 1 else cfg.data[cfg.tasks.index(name)])


def _say(notes: RowNotes, kind: type[Described]) -> None:
    for line in notes.describe(kind.items):
        _print(line)


def _print(line: str) -> None:
    print(line, file=sys.stderr)


def _line(scored: dict[str, Any], cfg: EvaluateConfig) -> str:
    if not scored["values"]:
        assert cfg.run is not None
        return no_figures(scored, find_run(cfg.run))
    figures = "  ".join(f"{key} {value:.2f}" for key, value in scored["values"].items())
    counts = ", ".join(f"{value:,} {key}" for key, value in scored["counts"].items())
    paper = ""
    if scored["paper"] is not None:
        gap = scored["values"][scored["main"]] - scored["paper"]
        paper = f"  (the paper: {scored['paper']:g}, {gap:+.1f})"
    return f"{scored['title']}, {scored['split']}, {scored['items']}: {figures}{paper}" + (
        f"\n  {counts}" if counts else ""
    )
