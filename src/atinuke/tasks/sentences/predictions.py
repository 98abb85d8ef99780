"""Predictions as they are handed in: a row for each example, cells between tabs under a header."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from atinuke.data.documents import shown
from atinuke.data.rows import RowNotes
from atinuke.durable import printable, write_atomic
from atinuke.errors import SourceError
from atinuke.tasks.sentences.described import Submission
from atinuke.tasks.sentences.texts import Answer, TextExample, in_one_line
from atinuke.tasks.task import Spot
from atinuke.tasks.tsv import read_tsv

NOT_ANSWERED = "NA"


def write_submission(
    submission: Submission, folder: Path, examples: Sequence[TextExample], predictions: Sequence[Answer]
) -> list[Path]:
    """Writes one file into `folder` for each split that the examples are of: one, as a rule."""
    lines: dict[str, list[str]] = {}
    for example, prediction in zip(examples, predictions, strict=True):
        cells = [NOT_ANSWERED] * len(submission.columns)
        cells[0] = example.id
        cells[submission.columns.index(submission.answer)] = str(prediction)
        lines.setdefault(submission.file_name(example.split), ["\t".join(submission.columns)]).append("\t".join(cells))
    for name, rows in lines.items():
        write_atomic(folder / name, "\n".join(rows) + "\n")
    return [folder / name for name in lines]


def read_submission(
    submission: Submission,
    path: Path,
    examples: Sequence[TextExample],
    to_answer: Callable[[str, Spot], Answer],
    notes: RowNotes,
) -> list[Answer]:
    """The predictions for `examples`, in their order, from the file `path` or the folder that it lies in.

    SourceError for a row that no example asks for, two rows for one, and an example without a row.
    """
    if not examples:
        return []
    if os.path.isdir(path):
        path = path / submission.file_name(examples[0].split)
    asked = _by_id(examples)
    table = read_tsv(path, notes)
    table.require(submission.columns[0], submission.answer)
    found: dict[str, Answer] = {}
    for row in table.rows:
        id = in_one_line(row[submission.columns[0]])
        if id not in asked:
            raise SourceError(
                f"{row.spot} predicts for {shown(id)!r}, which is no row of {examples[0].spot.file}; expected its rows."
            )
        if id in found:
            raise SourceError(f"{row.spot} predicts for {shown(id)!r} a second time; expected one row for each.")
        found[id] = to_answer(row[submission.answer].strip(), row.spot)
    missing = [example for example in examples if example.id not in found]
    if missing:
        raise SourceError(
            f"{printable(path)} has no prediction for {shown(missing[0].id)!r} ({missing[0].spot}); "
            f"{len(missing):,} of {len(examples):,} are missing. Add them."
        )
    return [found[example.id] for example in examples]


def _by_id(examples: Sequence[TextExample]) -> dict[str, TextExample]:
    found: dict[str, TextExample] = {}
    for example in examples:
        other = found.setdefault(example.id, example)
        if other is not example:
            raise SourceError(
                f"{example.spot} has the id {shown(example.id)!r} of {other.spot}; predictions need one for each row."
            )
    return found
