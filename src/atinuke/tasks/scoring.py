"""A tuned network on a split: predictions and scores, both kept in the run folder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atinuke.durable import make_folder, printable, to_json, write_atomic
from atinuke.errors import SourceError
from atinuke.run_folder import RunFolder
from atinuke.tasks.body import Tuned
from atinuke.tasks.predicting import predict
from atinuke.tasks.task import Described, E, Scores, Task
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
    """The scores of a split as JSON; beside the predictions in `scores/TASK-SPLIT/` of the run."""
    predictions = predict(model, task, examples, reader, max_tokens, autocast)
    return keep_scores(folder.scores / f"{task.name}-{split}", task, split, examples, predictions)


def keep_scores(
    place: Path, task: Task[E], split: str, examples: Sequence[E], predictions: Sequence[Any]
) -> dict[str, Any]:
    """Scores predictions; writes them in the official format, and scores.json beside them."""
    make_folder(place)
    files = task.write_predictions(place, examples, predictions)
    try:
        scores = task.score(examples, predictions)
    except SourceError as error:  # the answers of a test split are kept elsewhere, and predictions are what is wanted
        raise SourceError(f"{error} The predictions are in {printable(place)}.") from error
    scored = told(task, split, scores, len(examples))
    scored["predictions"] = [path.name for path in files]
    write_atomic(place / "scores.json", to_json(scored))
    return scored


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
