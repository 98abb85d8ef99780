"""predictions.json and na_prob.json: written, read back, and what is wrong with those of others."""

import gzip
from pathlib import Path
from typing import Any

import pytest

from atinuke.data.rows import RowNotes
from atinuke.errors import SourceError
from atinuke.tasks.squad.reading import Answer, Question
from atinuke.tasks.squad.submission import read_answers, write_answers
from atinuke.tasks.task import Spot

OAK = "The oak lost its leaves."
QUESTIONS = [Question(Spot("dev.json"), id, "What?", OAK, (Answer("oak", 4),)) for id in ("q1", "q2")]


def read(folder: Path, version: str = "1.1", notes: RowNotes | None = None) -> list[Any]:
    return read_answers(folder, QUESTIONS, version, RowNotes() if notes is None else notes)


def write(folder: Path, answers: str, numbers: str | None = None) -> Path:
    (folder / "predictions.json").write_text(answers, encoding="utf-8")
    if numbers is not None:
        (folder / "na_prob.json").write_text(numbers, encoding="utf-8")
    return folder


class TestWritten:
    def test_texts_are_one_object_by_id(self, tmp_path: Path) -> None:
        files = write_answers(tmp_path / "new", QUESTIONS, [{"text": "Ọ̀yọ́ \ud800"}, {"text": ""}])
        assert files == [tmp_path / "new" / "predictions.json"]
        assert files[0].read_bytes().decode() == '{\n  "q1": "Ọ̀yọ́ \\ud800",\n  "q2": ""\n}\n'

    def test_what_was_written_is_read_back(self, tmp_path: Path) -> None:
        given = [{"text": "oak", "na": -3.5}, {"text": "", "na": 2.0}]
        assert [path.name for path in write_answers(tmp_path, QUESTIONS, given)] == ["predictions.json", "na_prob.json"]
        assert read(tmp_path, "2.0") == [given[0] | {"order": 0}, given[1] | {"order": 1}]
        assert read(tmp_path) == [{"text": "oak"}, {"text": ""}]

    def test_a_missing_prediction_stays_missing(self, tmp_path: Path) -> None:
        write_answers(tmp_path, QUESTIONS, [None, {"text": "oak"}])
        assert read(tmp_path) == [None, {"text": "oak"}]


class TestTolerated:
    def test_a_file_of_any_name_may_be_given_and_compressed(self, tmp_path: Path) -> None:
        path = tmp_path / "bert.json.gz"
        path.write_bytes(gzip.compress(b'{"q2": "a", "q1": "b"}'))
        assert read(path) == [{"text": "b"}, {"text": "a"}]

    def test_ids_of_other_questions_are_counted_and_named(self, tmp_path: Path) -> None:
        notes = RowNotes()
        assert read(write(tmp_path, '{"q1": "a", "x": "b", "q2": "c", "y": 5}'), "1.1", notes)[1] == {"text": "c"}
        place = tmp_path / "predictions.json"
        assert notes.places == {"an answer to no question of this split": [f"{place}: x", f"{place}: y"]}

    def test_a_question_of_1_without_a_prediction_is_told(self, tmp_path: Path) -> None:
        notes = RowNotes()
        assert read(write(tmp_path, '{"q2": "a"}'), "1.1", notes) == [None, {"text": "a"}]
        assert len(notes.remarks) == 1
        assert "has no prediction for 1 of 2 questions, which count as wrong (q1)." in notes.remarks[0]

    def test_the_last_of_a_repeated_id_counts_and_it_is_told(self, tmp_path: Path) -> None:
        notes = RowNotes()
        assert read(write(tmp_path, '{"q1": "a", "q2": "b", "q1": "c"}'), "1.1", notes)[0] == {"text": "c"}
        assert len(notes.remarks) == 1 and "has 1 ids more than once" in notes.remarks[0]

    def test_numbers_keep_the_order_of_their_file(self, tmp_path: Path) -> None:
        notes = RowNotes()
        found = read(write(tmp_path, '{"q1": "a", "q2": ""}', '{"q2": 1, "x": 0, "q1": 0.5}'), "2.0", notes)
        assert found == [{"text": "a", "na": 0.5, "order": 2}, {"text": "", "na": 1.0, "order": 0}]
        assert notes.skipped == 1


class TestRefused:
    @pytest.mark.parametrize(
        ("version", "answers", "message"),
        [
            ("1.1", '{"q1": "a"', "predictions.json is not JSON: "),
            ("1.1", '["a"]', "predictions.json is a list; expected an object"),
            ("1.1", "{}", "predictions.json has no id of these 2 questions (it has none; expected such as q1)"),
            ("1.1", '{"x": "a"}', "has no id of these 2 questions (the first is x; expected such as q1)"),
            ("1.1", '{"q1": 5}', "predictions.json: the prediction for q1 is a whole number; expected text"),
            ("1.1", '{"q1": null}', "the prediction for q1 is null; expected text"),
            ("1.1", '{"q1": {"text": "a"}}', "the prediction for q1 is an object; expected text"),
            ("2.0", '{"q2": ""}', "has no prediction for 1 of 2 questions (q1); SQuAD 2.0 is scored with one for each"),
        ],
    )
    def test_answers_that_cannot_be_scored(self, version: str, answers: str, message: str, tmp_path: Path) -> None:
        with pytest.raises(SourceError) as error:
            read(write(tmp_path, answers), version)
        assert message in str(error.value) and "\n" not in str(error.value)

    @pytest.mark.parametrize(
        ("numbers", "message"),
        [
            ('{"q1": 1}', "na_prob.json has no number for question q2"),
            ('{"q1": 1, "q2": NaN}', "na_prob.json: that of q2 is nan; expected a finite number"),
            ('{"q1": 1, "q2": -1e999}', "that of q2 is -inf; expected a finite number"),
            ('{"q1": 1, "q2": "0.5"}', "that of q2 is text; expected a finite number"),
            ('{"q1": 1, "q2": true}', "that of q2 is true or false; expected a finite number"),
            ('{"q1": 1, "q2": 1' + "0" * 400 + "}", "that of q2 is a whole number; expected a finite number"),
            ('{"x": 1}', "na_prob.json has no id of these 2 questions"),
        ],
        ids=["missing", "nan", "infinite", "text", "boolean", "huge", "unknown"],
    )
    def test_numbers_that_cannot_be_compared(self, numbers: str, message: str, tmp_path: Path) -> None:
        with pytest.raises(SourceError) as error:
            read(write(tmp_path, '{"q1": "a", "q2": ""}', numbers), "2.0")
        assert message in str(error.value) and "\n" not in str(error.value)

    def test_a_place_without_predictions(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match=r"has no predictions\.json"):
            read(tmp_path)
        with pytest.raises(SourceError, match="does not exist"):
            read(tmp_path / "nowhere.json")
