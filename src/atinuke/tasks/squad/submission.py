"""The files that predictions are handed in as: predictions.json, {id: text}, and for 2.0 na_prob.json, {id: number}.

In memory a prediction is {"text": …}, with "na" where there is such a number: higher where no answer was found.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atinuke.data.archives import COMPRESSIONS, without_compression
from atinuke.data.documents import shown
from atinuke.data.rows import RowNotes, read_file
from atinuke.durable import make_folder, to_json, write_atomic
from atinuke.errors import SourceError
from atinuke.tasks.squad.reading import KINDS, Question, parse, places, typed

ANSWERS = "predictions.json"
NO_ANSWERS = "na_prob.json"


def write_answers(folder: Path, examples: Sequence[Question], predictions: Sequence[Any]) -> list[Path]:
    """predictions.json, and na_prob.json where each prediction has such a number; the files written.

    A prediction that is missing (None) is left out.
    """
    make_folder(folder)
    known = [(example.id, each) for example, each in zip(examples, predictions, strict=True) if each is not None]
    files: list[tuple[str, dict[str, Any]]] = [(ANSWERS, {id: each["text"] for id, each in known})]
    if known and all("na" in each for _, each in known):
        files.append((NO_ANSWERS, {id: each["na"] for id, each in known}))
    for name, content in files:
        write_atomic(folder / name, to_json(content) + "\n")
    return [folder / name for name, _ in files]


def read_answers(path: Path, examples: Sequence[Question], version: str, notes: RowNotes) -> list[Any]:
    """The prediction for each question, in order: {"text": …, "na": …, "order": place in na_prob.json}, or None.

    `path`: the folder with the files, or the file of texts itself; each may be compressed. na_prob.json is read for
    2.0, where it lies beside predictions.json. What the official scorers tolerate is noted: ids of no question here, an
    id that stands twice, and in 1.1 a question without a prediction, which is None. SourceError for what they do not:
    anything but texts (and finite numbers), in 2.0 a question without its own, and a file that knows no question.
    """
    file = _file_of(path)
    texts = _read_by_id(file, notes)
    name = shown(str(file))
    _note_unknown(texts, examples, name, notes)
    for example in examples:
        if example.id in texts:
            typed(texts[example.id], str, f"{name}: the prediction for {shown(example.id)}")
    missing = [shown(example.id) for example in examples if example.id not in texts]
    if missing and version != "1.1":
        raise SourceError(
            f"{name} has no prediction for {len(missing):,} of {len(examples):,} questions ({places(missing)}); "
            'SQuAD 2.0 is scored with one for each: "" where there is no answer.'
        )
    if missing:
        notes.remarks.append(
            f"{name} has no prediction for {len(missing):,} of {len(examples):,} questions, which count as wrong "
            f"({places(missing)})."
        )
    found: list[Any] = [{"text": texts[each.id]} if each.id in texts else None for each in examples]
    beside = _file_in(file.parent, NO_ANSWERS) if without_compression(file.name) == ANSWERS else None
    if beside is not None and version != "1.1":
        _add_numbers(found, beside, examples, notes)
    return found


def _add_numbers(found: Sequence[dict[str, Any]], file: Path, examples: Sequence[Question], notes: RowNotes) -> None:
    numbers = _read_by_id(file, notes)
    name = shown(str(file))
    _note_unknown(numbers, examples, name, notes)
    order = {id: place for place, id in enumerate(numbers)}
    for prediction, example in zip(found, examples, strict=True):
        if example.id not in numbers:
            raise SourceError(f"{name} has no number for question {shown(example.id)}; expected one for each question.")
        number = numbers[example.id]
        if type(number) not in (int, float) or not _is_finite(number):
            what = f"{number}" if isinstance(number, float) else KINDS[type(number)]
            raise SourceError(f"{name}: that of {shown(example.id)} is {what}; expected a finite number.")
        prediction |= {"na": float(number), "order": order[example.id]}


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number of hundreds of digits
        return False


def _note_unknown(found: dict[str, Any], examples: Sequence[Question], name: str, notes: RowNotes) -> None:
    ids = {example.id for example in examples}
    unknown = [id for id in found if id not in ids]
    if len(unknown) == len(found):
        first = f"the first is {shown(unknown[0])}" if unknown else "it has none"
        raise SourceError(
            f"{name} has no id of these {len(examples):,} questions ({first}; expected such as "
            f"{shown(examples[0].id)}). Is it for another split?"
        )
    for id in unknown:
        notes.skip("an answer to no question of this split", f"{name}: {shown(id)}")


def _read_by_id(path: Path, notes: RowNotes) -> dict[str, Any]:
    file = read_file(str(path), notes)
    repeated: list[str] = []

    def last_of_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for id, value in pairs:
            if id in found:
                repeated.append(shown(id))
            found[id] = value
        return found

    found: dict[str, Any] = typed(parse(file, last_of_each), dict, file.name)
    if repeated:
        notes.remarks.append(
            f"{file.name} has {len(repeated):,} ids more than once; the last of each counts, as for the official "
            f"scorer ({places(repeated)})."
        )
    return found


def _file_of(path: Path) -> Path:
    if not path.is_dir():
        return path
    file = _file_in(path, ANSWERS)
    if file is None:
        raise SourceError(f"{shown(str(path))} has no {ANSWERS}; expected the file of {{id: text}}, plain or .gz.")
    return file


def _file_in(folder: Path, name: str) -> Path | None:
    """The file of this name in the folder, plain or else compressed."""
    names = [name + ending for ending in ("", *COMPRESSIONS)]
    return next((folder / each for each in names if (folder / each).is_file()), None)
