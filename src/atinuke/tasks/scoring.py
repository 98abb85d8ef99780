"""A tuned network on a split: predictions and scores, both kept in the run folder."""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from atinuke.durable import make_folder, printable, to_json, write_atomic
from atinuke.generate.loading import TrainedRun
from atinuke.run_folder import RunFolder
from atinuke.tasks.answered.task import AnsweredTask
from atinuke.tasks.body import Tuned
from atinuke.tasks.predicting import predict
from atinuke.tasks.task import Described, E, NoAnswersError, Scores, Task
from atinuke.tokenizers.reading import Reader
from atinuke.train.lessons.lesson import Autocast


def score_task(
    model: Tuned,
    task: Task[E],
    split: str,
    examples: Sequence[E],
    reader: Reader,
    max_tokens: int,
    autocast: Autocast,
    folder: RunFolder,
) -> dict[str, Any]:
    """The scores of a split as JSON; beside the predictions in `scores/TASK-SPLIT/` of the run.

    Where the answers are kept elsewhere there are no values, the predictions being what is wanted.
    """
    predictions = predict(model, task, examples, reader, max_tokens, autocast)
    return keep_scores(folder.scores / f"{task.name}-{split}", task, split, examples, predictions)


def keep_scores(
    place: Path, task: Task[E], split: str, examples: Sequence[E], predictions: Sequence[Any]
) -> dict[str, Any]:
    """Scores predictions; writes them in the official format, and scores.json beside them where there are figures."""
    make_folder(place)
    files = task.write_predictions(place, examples, predictions)
    try:
        scores = task.score(examples, predictions)
    except NoAnswersError:
        scores = Scores(task.metrics[0], {})
    scored = told(task, split, scores, len(examples))
    scored["predictions"] = [path.name for path in files]
    if scores.values:
        write_atomic(place / "scores.json", to_json(scored))
    return scored


def no_figures(scored: Mapping[str, Any], folder: RunFolder) -> str:
    """What is said of a split whose answers are kept elsewhere."""
    place = folder.scores / f"{scored['task']}-{scored['split']}"
    return (
        f"{scored['title']}, {scored['split']}, {scored['items']}: its answers are not here, so there are no figures; "
        f"the predictions to hand in are in {printable(place)}."
    )


def keep_answers(
    folder: RunFolder,
    kind: type[Described],
    split: str,
    scores: Scores,
    count: int,
    answers: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The scores of a task without a head as JSON; with the answers in `scores/TASK-SPLIT/` of the run."""
    place = folder.scores / f"{kind.name}-{split}"
    make_folder(place)
    write_atomic(
        place / "predictions.jsonl", "".join(json.dumps(answer, ensure_ascii=False) + "\n" for answer in answers)
    )
    scored = told(kind, split, scores, count) | {"predictions": ["predictions.jsonl"]}
    write_atomic(place / "scores.json", to_json(scored))
    return scored


def score_answered(
    trained: TrainedRun, kind: type[AnsweredTask], data: Path, split: str, say: Callable[[str], None]
) -> dict[str, Any]:
    """The scores of what a run answers itself as JSON, kept in the run as well."""
    scores, count, answers = kind.score(trained, data, split, say)
    return keep_answers(trained.folder, kind, split, scores, count, answers)


def told(task: Described | type[Described], split: str, scores: Scores, count: int) -> dict[str, Any]:
    """Scores as JSON has them, with what they are of."""
    return {
        "task": task.name,
        "title": task.title,
        "split": split,
        "items": f"{count:,} {task.items}",
        "main": scores.main,
        "values": scores.values,
        "counts": scores.counts,
        "paper": task.paper,
    }
