"""Predicted clusters as a file, read back and scored, without a network."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atinuke.data.rows import RowNotes
from atinuke.errors import SourceError
from atinuke.tasks.coreference.coreference_task import Coreference
from atinuke.tasks.coreference.documents import Document
from atinuke.tasks.coreference.submission import KEY_FILE, RESPONSE_FILE
from atinuke.tasks.task import Row

DocumentOf = Callable[..., Document]
PREDICTIONS = [[[[0, 1], [3, 3]], [[0, 0]]], []]


@pytest.fixture
def documents(document_of: DocumentOf) -> list[Document]:
    return [document_of("Her dog slept. It dreamt", [(0, 1), (3, 3)]), document_of("Nobody came", name="end")]


def test_what_was_written_is_read(documents: list[Document], tmp_path: Path) -> None:
    task = Coreference(keeps_singletons=True)
    files = task.write_predictions(tmp_path / "scores", documents, PREDICTIONS)
    assert [path.name for path in files] == [RESPONSE_FILE, KEY_FILE] and all(path.is_file() for path in files)
    for path in (tmp_path / "scores", files[0]):
        notes = RowNotes()
        found = task.read_predictions(path, documents, notes)
        assert sorted(found[0]) == sorted(PREDICTIONS[0]) and found[1] == [] and not notes.remarks
    key = task.read_predictions(files[1], documents, RowNotes())
    assert set(task.score(documents, key).values.values()) - {0.0} == {100.0}


def test_scores_and_counts(documents: list[Document]) -> None:
    scores = Coreference(keeps_singletons=False).score(documents, PREDICTIONS)
    # one of one link, one wrong mention beside two right ones
    assert scores.values["muc_f1"] == 100 and scores.values["mention_precision"] == pytest.approx(200 / 3)
    assert scores.value == scores.values["conll_f1"] and tuple(scores.values) == Coreference.metrics
    assert scores.counts == {
        "documents": 2,
        "words": 7,
        "mentions": 2,
        "mentions of more than 30 words": 0,
        "predicted mentions": 3,
    }


def test_a_document_that_is_missing_counts_as_empty(documents: list[Document], tmp_path: Path) -> None:
    task = Coreference(keeps_singletons=False)
    (path, _) = task.write_predictions(tmp_path, documents[1:], [[]])
    notes = RowNotes()
    assert task.read_predictions(path, documents, notes) == [[], []]
    (remark,) = notes.remarks
    assert "lacks 1 of 2 documents, which count as having no mentions ((book) part 000)" in remark


@pytest.mark.parametrize(
    "change, words",
    [
        (
            lambda text: text.replace("(book)", "(other)"),
            ":1 has the document (other) part 000, which is none of those",
        ),
        (lambda text: text.replace("part 000", "part 001", 1), ":1 has the document (book) part 001, which is none"),
        (lambda text: text + text, " has the document (book) part 000 a second time"),
        (
            lambda text: text.replace("book\t000\t2\tslept\t-\n", ""),
            ":1: (book) part 000 has 4 words; expected as many",
        ),
        (lambda text: text.replace("(0)", "(0"), ":6 opens the mention (0, which is not closed"),
        (lambda text: text.replace("\t-", "\t"), ":4 has 'slept' in its last column"),
    ],
    ids=["unknown", "part", "twice", "words", "open", "column"],
)
def test_malformed_responses(
    change: Callable[[str], str], words: str, documents: list[Document], tmp_path: Path
) -> None:
    task = Coreference(keeps_singletons=False)
    (path, _) = task.write_predictions(tmp_path, documents, PREDICTIONS)
    path.write_text(change(path.read_text()))
    with pytest.raises(SourceError) as raised:
        task.read_predictions(path, documents, RowNotes())
    assert words in str(raised.value) and str(path) in str(raised.value) and "\n" not in str(raised.value)


def test_the_part_may_be_written_with_fewer_noughts(documents: list[Document], tmp_path: Path) -> None:
    task = Coreference(keeps_singletons=False)
    (path, _) = task.write_predictions(tmp_path, documents, PREDICTIONS)
    path.write_text(path.read_text().replace("part 000", "part 0"))
    assert sorted(task.read_predictions(path, documents, RowNotes())[0]) == sorted(PREDICTIONS[0])


@pytest.mark.parametrize("times, is_taken", [(11, True), (12, False)])
def test_ten_repeated_mentions_are_tolerated(
    times: int, is_taken: bool, documents: list[Document], tmp_path: Path
) -> None:
    task = Coreference(keeps_singletons=False)
    (path, _) = task.write_predictions(tmp_path, documents, [[[[3, 3]]] * times, []])
    notes = RowNotes()
    if is_taken:
        found = task.read_predictions(path, documents, notes)
        assert "10 mentions that stand there twice" in notes.remarks[0]
        assert task.score(documents, found).counts["counted once though predicted twice"] == 10
    else:
        with pytest.raises(SourceError, match=r"has 11 mentions twice \(the first at .*:6\).* takes 10 at most"):
            task.read_predictions(path, documents, notes)


def test_singletons_are_learned_where_they_are_annotated(document_of: DocumentOf) -> None:
    pairs = [[(number, number), (number + 1, number + 1)] for number in range(0, 20, 2)]
    text = " ".join(["w"] * 22)
    for singletons, expected in ((1, False), (2, True)):
        alone = [[(20 + number, 20 + number)] for number in range(singletons)]
        task = Coreference.learn([document_of(text, *pairs, *alone)])
        assert task.facts == {"keeps_singletons": expected}
        assert Coreference.from_facts(task.facts).keeps_singletons is expected
    with pytest.raises(SourceError, match=r"book\.conll has no mention to learn from"):
        Coreference.learn([document_of("no mention")])


def test_decoding_takes_the_output_of_the_first_row(documents: list[Document]) -> None:
    empty: Any = np.zeros(1, dtype=np.int64)
    rows = [Row(empty, empty, number, place=(begin,)) for number, begin in ((0, 0), (0, 0), (1, 1))]
    none = -np.inf
    of_first = (
        *(np.array([0, 0, 3]), np.array([0, 1, 3])),
        *(np.array([2.0, 1.0, 1.0], dtype=np.float32), np.array([[0, 0], [0, 0], [1, 0]])),
        np.array([[none, none], [-1, none], [2, 1]], dtype=np.float32),
        np.zeros((5, 30), dtype=np.float32),
    )
    of_second = (
        *(np.array([0]), np.array([0]), np.array([-1.0], dtype=np.float32), np.array([[0]])),
        *(np.array([[none]], dtype=np.float32), np.zeros((2, 30), dtype=np.float32)),
    )
    outputs = [of_first, (), of_second]
    linked = [[0, 1], [3, 3]]
    assert Coreference(False).decode(documents, rows, outputs) == [[linked], []]
    assert Coreference(True).decode(documents, rows, outputs) == [[[[0, 0]], linked], []]
    assert Coreference(True).decode(documents, [], []) == [[], []]
