"""The published files of SQuAD → questions: articles of paragraphs, each with its questions and their answers.

    {"version": …, "data": [{"title": …, "paragraphs": [{"context": …, "qas": [
        {"id": …, "question": …, "is_impossible": …, "answers": [{"text": …, "answer_start": …}]}]}]}]}

Rajpurkar et al. 2016 (arXiv:1606.05250) and, with questions that have no answer, Rajpurkar et al. 2018
(arXiv:1806.03822). `answer_start` counts characters of the context. What a file has beside these keys is not read.
"""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from atinuke.config import one_line
from atinuke.data.archives import without_compression
from atinuke.data.documents import shown
from atinuke.data.rows import RowNotes, TextFile, read_file
from atinuke.errors import SourceError
from atinuke.tasks.task import Spot

SPLITS = ("train", "dev")
"""What is published; the answers of the test split are kept by the authors."""
NAMED = 3
"""So many places are named of each kind of remark."""
KINDS: dict[type, str] = {
    dict: "an object",
    list: "a list",
    str: "text",
    int: "a whole number",
    float: "a number with a fraction",
    bool: "true or false",
    type(None): "null",
}
K = TypeVar("K")


@dataclass(frozen=True)
class Answer:
    """Words that answer a question, as one person marked them."""

    text: str
    start: int | None
    """Character of the context at which they begin; None where the context does not hold them."""


@dataclass(frozen=True)
class Question:
    """A question and the paragraph that it was asked of."""

    spot: Spot
    id: str
    question: str
    context: str
    answers: tuple[Answer, ...]
    """One or more; none for a question that the paragraph does not answer."""


def read_questions(data: Path, split: str, version: str, notes: RowNotes) -> list[Question]:
    """The questions of a split, in the order of the files; `version` is "1.1" or "2.0".

    `data` is a folder, or a file to be read as this split. An answer that does not stand at its offset is taken at the
    nearest place with the same words. One that the context does not hold is a SourceError in training data; elsewhere
    it counts when predictions are scored, as the official scorer never looks at contexts. Both are remarks in `notes`.

    SourceError names the file, and the question or its place in the JSON, for keys that are missing or of another kind,
    ids that stand twice, a question of 1.1 without answers, and a split without questions.
    """
    reading = _Reading(version, is_train=split == "train")
    paths = split_files(data, split, version)
    for path in paths:
        reading.add(read_file(str(path), notes))
    if not reading.questions:
        names = ", ".join(shown(str(path)) for path in paths)
        raise SourceError(f"{names} holds no question; expected the questions of SQuAD {version}, split {split}.")
    notes.remarks += reading.remarks()
    return reading.questions


def split_files(data: Path, split: str, version: str) -> list[Path]:
    """The files of a split: `data` itself, or the files in it named SPLIT-vVERSION*.json, or else SPLIT*.json.

    Each may be compressed; where it lies there plain too, that one is taken. SourceError when there are none.
    """
    if data.is_file():
        begins = re.split(r"[-._]", data.name.lower())[0]
        if begins != split and begins in SPLITS:
            raise SourceError(
                f"--data {shown(str(data))} is a file of split {begins}, and {split} is asked for; "
                f"give the folder that holds {split}-v{version}.json."
            )
        return [data]
    if not data.is_dir():
        raise SourceError(
            f"--data {shown(str(data))} does not exist; expected a folder with {split}-v{version}.json, plain or .gz."
        )
    try:
        names = sorted(entry.name for entry in data.iterdir() if entry.is_file())
    except OSError as error:
        raise SourceError(f"--data {shown(str(data))} cannot be read: {error.strerror or error}.") from error
    for pattern in (rf"{split}-v{re.escape(version)}([.-].*)?\.json", rf"{split}([.-](?!v\d).*)?\.json"):
        found: dict[str, Path] = {}
        for name in names:  # sorted, so that a plain file comes before its compressed twin
            plain = without_compression(name)
            if re.fullmatch(pattern, plain):
                found.setdefault(plain, data / name)
        if found:
            return list(found.values())
    others = [shown(name) for name in names if name.startswith(split)][:NAMED]
    there = f"; of this split it has {', '.join(others)}, which is of another version" if others else ""
    raise SourceError(f"--data {shown(str(data))} has no {split}-v{version}.json, plain or .gz{there}. Put it there.")


def parse(file: TextFile, hook: Callable[[list[tuple[str, Any]]], Any] | None = None) -> Any:
    """The JSON in a file, each object what `hook` makes of its pairs. SourceError, with line and column, for none."""
    try:
        return json.loads(file.text, object_pairs_hook=hook)
    except (ValueError, RecursionError) as error:  # ValueError: bad JSON too, and a number of 5,000 digits
        raise SourceError(f"{file.name} is not JSON: {one_line(error)}. Fetch it again.") from error


def typed(value: Any, kind: type[K], where: str) -> K:
    """`value`, which has to be of this kind: true is no whole number here."""
    if type(value) is not kind:
        raise SourceError(f"{where} is {KINDS[type(value)]}; expected {KINDS[kind]}, as in the published files.")
    return value


def places(found: Sequence[str]) -> str:
    """The first few places, for a remark."""
    return ", ".join(found[:NAMED]) + (", …" if len(found) > NAMED else "")


@dataclass
class _Reading:
    """Questions so far, and what is to be said of them."""

    version: str
    is_train: bool
    questions: list[Question] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)  # of each id
    moved: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def add(self, file: TextFile) -> None:
        """All questions of a file."""
        tree = typed(parse(file), dict, file.name)
        for number, article in enumerate(_take(tree, "data", list, file.name)):
            where = f"{file.name}: data[{number}]"
            paragraphs = _take(typed(article, dict, where), "paragraphs", list, where)
            for place, paragraph in enumerate(paragraphs):
                self._add_paragraph(paragraph, f"{where}.paragraphs[{place}]", file.name)

    def remarks(self) -> list[str]:
        """What the user should know."""
        said = []
        if self.moved:
            said.append(
                f"{len(self.moved):,} answers do not stand at their answer_start: taken at the nearest place with the "
                f"same words ({places(self.moved)})."
            )
        if self.lost:
            said.append(
                f"{len(self.lost):,} answers stand nowhere in their contexts: they count in scoring alone, as for the "
                f"official scorer ({places(self.lost)})."
            )
        return said

    def _add_paragraph(self, entry: Any, where: str, file: str) -> None:
        paragraph = typed(entry, dict, where)
        context = _text(paragraph, "context", where)
        for number, asked in enumerate(_take(paragraph, "qas", list, where)):
            self._add_question(asked, context, f"{where}.qas[{number}]", file)

    def _add_question(self, entry: Any, context: str, where: str, file: str) -> None:
        asked = typed(entry, dict, where)
        id = _text(asked, "id", where)
        where = f"{file}: question {shown(id)}"
        if id in self.files:
            other = "twice" if self.files[id] == file else f"in {self.files[id]} too"
            raise SourceError(f"{where} stands there {other}; ids name one question each: keep one of them.")
        self.files[id] = file
        question = _text(asked, "question", where)
        given = _take(asked, "answers", list, where)
        has_none = _take(asked, "is_impossible", bool, where) if "is_impossible" in asked else not given
        if self.version == "1.1" and (has_none or not given):
            raise SourceError(
                f"{where} has no answer; in SQuAD 1.1 every question has one. For SQuAD 2.0 the task is squad2."
            )
        if has_none == bool(given):
            says = "true, and has answers" if has_none else "false, and has no answers"
            raise SourceError(f"{where} has is_impossible {says}; expected answers where it is false, and there alone.")
        answers = [
            self._answer(each, context, where, f"{where}, answers[{number}]") for number, each in enumerate(given)
        ]
        self.questions.append(Question(Spot(file), id, question, context, tuple(answers)))

    def _answer(self, entry: Any, context: str, question: str, where: str) -> Answer:
        given = typed(entry, dict, where)
        text = _text(given, "text", where)
        start = _take(given, "answer_start", int, where)
        if text.strip() and start >= 0 and context.startswith(text, start):
            return Answer(text, start)
        place = _nearest(text, context, start)
        if place is not None:
            self.moved.append(question)
        elif self.is_train:
            raise SourceError(
                f"{where}: {shown(text)!r} stands nowhere in the context (answer_start {start}); expected words of it."
            )
        else:
            self.lost.append(question)
        return Answer(text, place)


def _nearest(text: str, context: str, start: int) -> int | None:
    """Where the context has `text`, as near to `start` as may be; of two equally near places the first."""
    if not text.strip():
        return None
    start = min(max(start, 0), len(context))
    before, after = context.rfind(text, 0, start + len(text)), context.find(text, start)
    if before < 0 or after < 0:
        found = max(before, after)
        return None if found < 0 else found
    return before if start - before <= after - start else after


def _take(holder: dict[str, Any], key: str, kind: type[K], where: str) -> K:
    if key not in holder:
        raise SourceError(f'{where} has no "{key}"; expected {KINDS[kind]}, as in the published files.')
    return typed(holder[key], kind, f'"{key}" of {where}')


def _text(holder: dict[str, Any], key: str, where: str) -> str:
    text = _take(holder, key, str, where)
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:  # JSON can escape what no tokenizer can read
            raise SourceError(f'"{key}" of {where} holds half of a character (a lone surrogate); mend it.') from error
    return text
