"""SQuAD as a task: from files to figures, without a network."""

import json
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from atinuke.data.rows import RowNotes
from atinuke.tasks.squad.reading import Answer, Question
from atinuke.tasks.squad.squad_task import Squad, Squad2
from atinuke.tasks.task import Row, Spot
from atinuke.tokenizers.reading import Reader

LEAVES = "The oak lost its leaves. The rose kept its leaves."


def question(id: str, context: str, *answers: Answer) -> Question:
    return Question(Spot("dev.json"), id, f"{id} ?", context, answers)


def right_logits(rows: Sequence[Row]) -> list[tuple[NDArray[np.float32]]]:
    """What a network would say that has learned the targets by heart: little in windows without the answer."""
    outputs = []
    for row in rows:
        logits = np.zeros((len(row), 2), dtype=np.float32)
        for column, target in enumerate(row.targets):
            logits[int(target), column] = 9
        outputs.append((logits,))
    return outputs


class TestSquad:
    def test_what_was_learned_by_heart_scores_100(self, reader: Reader) -> None:
        examples = [
            question("q1", LEAVES, Answer("oak", 4)),
            question("q2", LEAVES, Answer("its leaves.", 39)),
            question("q3", "Nothing here", Answer("Nothing", 0)),
        ]
        task = Squad.learn(examples)
        rows = [
            row
            for number, example in enumerate(examples)
            for row in task.rows(number, example, reader, 10, with_targets=True)
        ]
        assert len(rows) > len(examples)
        predictions = task.decode(examples, rows, right_logits(rows))
        assert predictions == [{"text": "oak"}, {"text": "its leaves."}, {"text": "Nothing"}]
        scores = task.score(examples, predictions)
        assert scores.values == {"f1": 100.0, "exact_match": 100.0} and scores.value == 100.0
        assert scores.counts == {"questions": 3}

    def test_a_missing_prediction_is_counted(self) -> None:
        examples = [question(id, LEAVES, Answer("oak", 4)) for id in ("q1", "q2")]
        scores = Squad().score(examples, [None, {"text": "The Oak"}])
        assert scores.values == {"f1": 50.0, "exact_match": 50.0}
        assert scores.counts == {"questions": 2, "without a prediction": 1}

    def test_figures_are_those_that_are_promised_in_their_order(self) -> None:
        examples = [question("q1", LEAVES, Answer("oak", 4))]
        assert tuple(Squad().score(examples, [{"text": "oak"}]).values) == Squad.metrics
        both = [*examples, question("q2", LEAVES)]
        predictions = [{"text": "oak", "na": -1.0}, {"text": "", "na": 1.0}]
        assert tuple(Squad2().score(both, predictions).values) == Squad2.metrics

    @pytest.mark.parametrize("task", [Squad, Squad2])
    def test_it_is_made_again_from_its_facts(self, task: type[Squad]) -> None:
        free = task(is_masked=False)
        assert task.from_facts(json.loads(json.dumps(free.facts))) == free
        assert task.from_facts({}) == task.learn([])


class TestSquad2:
    def test_no_answer_is_said_where_its_score_is_better(self, reader: Reader) -> None:
        examples = [question("q1", "The oak lost", Answer("oak", 4)), question("q2", "The oak lost")]
        task = Squad2()
        rows = [
            row
            for number, example in enumerate(examples)
            for row in task.rows(number, example, reader, 20, with_targets=True)
        ]
        predictions = task.decode(examples, rows, right_logits(rows))
        assert predictions == [{"text": "oak", "na": -18.0}, {"text": "", "na": 18.0}]
        scores = task.score(examples, predictions)
        assert scores.values["f1"] == scores.values["best_exact"] == 100.0
        assert scores.counts == {"questions": 2, "HasAns_total": 1, "NoAns_total": 1}

    def test_equal_scores_are_an_answer(self, reader: Reader) -> None:
        example = question("q1", "oak", Answer("oak", 0))
        rows = Squad2().rows(0, example, reader, 20, with_targets=False)
        logits = np.zeros((len(rows[0]), 2), dtype=np.float32)
        assert Squad2().decode([example], rows, [(logits,)]) == [{"text": "oak", "na": 0.0}]

    def test_a_file_scores_as_what_it_was_written_from(self, tmp_path: Path) -> None:
        examples = [question("q1", LEAVES, Answer("oak", 4)), question("q2", LEAVES), question("q3", LEAVES)]
        predictions = [{"text": "oak lost", "na": -0.5}, {"text": "rose", "na": -2.0}, {"text": "", "na": 3.0}]
        task, notes = Squad2(), RowNotes()
        task.write_predictions(tmp_path, examples, predictions)
        again = task.read_predictions(tmp_path, examples, notes)
        assert task.score(examples, again) == task.score(examples, predictions)
        assert not notes.remarks and not notes.skipped

    def test_numbers_that_are_not_given_for_all_are_not_used(self) -> None:
        examples = [question("q1", LEAVES), question("q2", LEAVES)]
        values = Squad2().score(examples, [{"text": "", "na": 1.0}, {"text": ""}]).values
        assert set(values) == {"f1", "exact", "NoAns_f1", "NoAns_exact"}


@pytest.mark.real_data
def test_published_predictions_have_their_published_figures() -> None:
    folder = Path(os.environ.get("ATINUKE_DATA", "../shared/data")) / "squad-v1.1"
    if not (folder / "expected_scores.json").exists():
        pytest.skip(f"{folder} is not here")
    expected = json.loads((folder / "expected_scores.json").read_text())
    task, notes = Squad(), RowNotes()
    examples = task.read(folder, "dev", notes)
    assert len(examples) == expected["questions"] and not notes.remarks
    for name, figures in expected["scores"].items():
        notes = RowNotes()
        predictions = task.read_predictions(folder / "predictions" / name, examples, notes)
        values = task.score(examples, predictions).values
        assert values == {"f1": figures["f1"], "exact_match": figures["exact_match"]}
        known = sum(each is not None for each in predictions)
        assert known + notes.skipped == figures["predictions"]
        assert bool(notes.remarks) == (known < len(examples))


@pytest.mark.real_data
def test_the_published_training_files_are_read_together() -> None:
    folder = Path(os.environ.get("ATINUKE_DATA", "../shared/data")) / "squad-v1.1"
    if not folder.is_dir():
        pytest.skip(f"{folder} is not here")
    notes = RowNotes()
    examples = Squad.read(folder, "train", notes)
    assert len(examples) == 8200 and len({each.spot.file for each in examples}) == 2
    assert not notes.remarks and not notes.skipped
