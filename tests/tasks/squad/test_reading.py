"""SQuAD's files: which are read, what comes out, and one line for each way in which they can be wrong."""

import copy
import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atinuke.data.rows import RowNotes
from atinuke.errors import SourceError
from atinuke.tasks.squad.reading import Answer, Question, read_questions
from atinuke.tasks.task import Spot

OAK = "The oak lost its leaves. The rose kept its leaves."
V1 = (
    '{"data": [{"title": "Garden", "paragraphs": [{"context": "' + OAK + '", "qas": ['
    '{"answers": [{"answer_start": 4, "text": "oak"}], "question": "What lost its leaves?", "id": "q1"}, '
    '{"answers": [{"answer_start": 39, "text": "its leaves"}, {"answer_start": 43, "text": "leaves"}], '
    '"question": "What did the rose keep?", "id": "q2"}]}]}], "version": "1.1"}'
)
V2 = (
    '{"version": "v2.0", "data": [{"title": "Garden", "paragraphs": [{"qas": ['
    '{"question": "What lost its leaves?", "id": "q1", "answers": [{"text": "oak", "answer_start": 4}], '
    '"is_impossible": false}, '
    '{"plausible_answers": [{"text": "rose", "answer_start": 29}], "question": "What grew leaves?", "id": "q2", '
    '"answers": [], "is_impossible": true}], "context": "' + OAK + '"}]}]}'
)


def write(folder: Path, text: str, name: str = "dev-v1.1.json") -> Path:
    path = folder / name
    data = text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


def read(data: Path, split: str = "dev", version: str = "1.1") -> list[Question]:
    return read_questions(data, split, version, RowNotes())


class TestContent:
    @pytest.mark.parametrize("name", ["dev-v1.1.json", "dev-v1.1.json.gz", "dev-v1.1.some.json", "dev.json"])
    def test_questions_come_with_contexts_and_all_answers(self, name: str, tmp_path: Path) -> None:
        spot = Spot(str(write(tmp_path, V1, name)))
        both = (Answer("its leaves", 39), Answer("leaves", 43))
        assert read(tmp_path) == [
            Question(spot, "q1", "What lost its leaves?", OAK, (Answer("oak", 4),)),
            Question(spot, "q2", "What did the rose keep?", OAK, both),
        ]

    def test_a_question_of_2_may_have_no_answer(self, tmp_path: Path) -> None:
        write(tmp_path, V2, "train-v2.0.json")
        assert [each.answers for each in read(tmp_path, "train", "2.0")] == [(Answer("oak", 4),), ()]

    def test_1_can_be_read_as_2(self, tmp_path: Path) -> None:
        assert len(read(write(tmp_path, V1, "questions.json"), version="2.0")) == 2

    def test_a_byte_order_mark_and_other_line_ends_do_no_harm(self, tmp_path: Path) -> None:
        write(tmp_path, "\ufeff" + V1.replace(", ", ",\r\n"))
        assert len(read(tmp_path)) == 2

    def test_offsets_count_characters_and_not_bytes(self, tmp_path: Path) -> None:
        text = V1.replace("The oak", "Ọ̀n 🌳 oak").replace('"answer_start": 4,', '"answer_start": 6,')
        text = text.replace('"answer_start": 39,', '"answer_start": 41,').replace(
            '"answer_start": 43,', '"answer_start": 45,'
        )
        notes = RowNotes()
        write(tmp_path, text)
        found = read_questions(tmp_path, "dev", "1.1", notes)
        assert notes.remarks == [] and found[0].answers == (Answer("oak", 6),)


class TestFiles:
    def test_all_files_of_a_split_are_read_in_the_order_of_their_names(self, tmp_path: Path) -> None:
        write(tmp_path, V1.replace('"q1"', '"q3"').replace('"q2"', '"q4"'), "train-v1.1.b.json")
        write(tmp_path, V1, "train-v1.1.a.json.gz")
        write(tmp_path, V2, "train-v2.0.json")
        write(tmp_path, V1, "dev-v1.1.json")
        assert [each.id for each in read(tmp_path, "train")] == ["q1", "q2", "q3", "q4"]

    def test_of_a_file_and_its_compressed_twin_one_is_read(self, tmp_path: Path) -> None:
        write(tmp_path, V1)
        write(tmp_path, V1, "dev-v1.1.json.gz")
        assert [each.spot.file for each in read(tmp_path)] == [str(tmp_path / "dev-v1.1.json")] * 2

    def test_an_id_in_two_files_names_both(self, tmp_path: Path) -> None:
        first, second = (write(tmp_path, V1, f"dev-v1.1.{name}.json") for name in "ab")
        with pytest.raises(SourceError) as error:
            read(tmp_path)
        assert str(error.value).startswith(f"{second}: question q1 stands there in {first} too")

    def test_a_file_of_another_split_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="is a file of split dev, and train is asked for"):
            read(write(tmp_path, V1), "train")

    def test_a_folder_with_another_version_says_what_it_has(self, tmp_path: Path) -> None:
        write(tmp_path, V1, "dev-v1.1.json")
        with pytest.raises(SourceError, match=r"has no dev-v2\.0\.json.* it has dev-v1\.1\.json, .*another version"):
            read(tmp_path, version="2.0")

    def test_an_empty_folder_and_none_are_one_line(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match=r"has no dev-v1\.1\.json, plain or \.gz\. Put it there"):
            read(tmp_path)
        with pytest.raises(SourceError, match=r"does not exist; expected a folder with dev-v1\.1\.json"):
            read(tmp_path / "nowhere")


class TestFaults:
    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ('"data"', '"date"', 'dev-v1.1.json has no "data"; expected a list'),
            ('"paragraphs"', '"paragraph"', 'dev-v1.1.json: data[0] has no "paragraphs"; expected a list'),
            ('"paragraphs": [', '"paragraphs": [null, ', "data[0].paragraphs[0] is null; expected an object"),
            ('"context"', '"text"', 'data[0].paragraphs[0] has no "context"; expected text'),
            ('"qas": [', '"qas": [5, ', "data[0].paragraphs[0].qas[0] is a whole number; expected an object"),
            ('"id": "q1"', '"id": 1', '"id" of DEV: data[0].paragraphs[0].qas[0] is a whole number; expected text'),
            ('"id": "q2"', '"id": "q1"', "DEV: question q1 stands there twice"),
            ('"question": "What lost', '"asked": "What lost', 'question q1 has no "question"; expected text'),
            ('"What lost', '"\\ud800What lost', '"question" of DEV: question q1 holds half of a character'),
            ('[{"answer_start": 4, "text": "oak"}]', '"oak"', '"answers" of DEV: question q1 is text; expected a list'),
            (
                '[{"answer_start": 4, "text": "oak"}]',
                "[]",
                "question q1 has no answer; in SQuAD 1.1 every question has",
            ),
            ('"id": "q1"', '"id": "q1", "is_impossible": true', "question q1 has no answer; in SQuAD 1.1"),
            ('"id": "q1"', '"id": "q1", "is_impossible": 0', '"is_impossible" of DEV: question q1 is a whole number'),
            ('"answer_start": 4', '"answer_start": "4"', '"answer_start" of DEV: question q1, answers[0] is text'),
            ('"answer_start": 4', '"answer_start": true', "answers[0] is true or false; expected a whole number"),
            ('"answer_start": 4', '"answer_start": NaN', "answers[0] is a number with a fraction; expected a whole"),
            ('"answer_start": 39,', "", 'question q2, answers[0] has no "answer_start"; expected a whole number'),
            ('"text": "oak"', '"text": null', '"text" of DEV: question q1, answers[0] is null; expected text'),
            (', "version": "1.1"}', "", "DEV is not JSON: "),
        ],
    )
    def test_each_is_one_line_that_names_file_and_place(self, old: str, new: str, message: str, tmp_path: Path) -> None:
        assert old in V1
        path = write(tmp_path, V1.replace(old, new, 1))
        with pytest.raises(SourceError) as error:
            read(tmp_path)
        said = str(error.value)
        assert message.replace("DEV", str(path)) in said and "dev-v1.1.json" in said and "\n" not in said

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("[]", "DEV is a list; expected an object"),
            ('{"data": []}', "DEV holds no question; expected the questions of SQuAD 1.1, split dev"),
            (" \n", "DEV is empty"),
        ],
    )
    def test_so_are_files_without_questions(self, text: str, message: str, tmp_path: Path) -> None:
        path = write(tmp_path, text)
        with pytest.raises(SourceError) as error:
            read(tmp_path)
        assert message.replace("DEV", str(path)) in str(error.value)

    def test_brackets_without_end_are_no_json(self, tmp_path: Path) -> None:
        write(tmp_path, "[" * 200_000)
        with pytest.raises(SourceError, match=r"dev-v1\.1\.json is not JSON: "):
            read(tmp_path)

    @pytest.mark.parametrize(
        ("old", "new", "message"),
        [
            ('"is_impossible": true', '"is_impossible": false', "q2 has is_impossible false, and has no answers"),
            ('"is_impossible": false', '"is_impossible": true', "q1 has is_impossible true, and has answers"),
        ],
    )
    def test_2_says_of_each_question_whether_it_has_answers(
        self, old: str, new: str, message: str, tmp_path: Path
    ) -> None:
        write(tmp_path, V2.replace(old, new), "dev-v2.0.json")
        with pytest.raises(SourceError, match=message):
            read(tmp_path, version="2.0")

    @pytest.mark.parametrize("offset", ["5", "-46", "99", "1" + "0" * 30])
    def test_an_answer_elsewhere_is_taken_at_the_nearest_place_and_told(self, offset: str, tmp_path: Path) -> None:
        path = write(tmp_path, V1.replace('"answer_start": 4,', f'"answer_start": {offset},'), "train-v1.1.json")
        notes = RowNotes()
        assert read_questions(tmp_path, "train", "1.1", notes)[0].answers == (Answer("oak", 4),)
        assert len(notes.remarks) == 1 and notes.skipped == 0
        assert notes.remarks[0].startswith("1 answers do not stand at their answer_start")
        assert f"({path}: question q1)" in notes.remarks[0]

    @pytest.mark.parametrize(("offset", "place"), [(12, 13), (27, 39), (26, 13), (25, 13), (40, 39), (0, 13), (50, 39)])
    def test_of_two_places_the_nearer_is_taken_and_of_equally_near_ones_the_first(
        self, offset: int, place: int, tmp_path: Path
    ) -> None:
        write(tmp_path, V1.replace('"answer_start": 39', f'"answer_start": {offset}'))
        assert read(tmp_path)[1].answers[0] == Answer("its leaves", place)

    @pytest.mark.parametrize("text", ["elm", "", "  ", "OAK"])
    def test_words_that_the_context_lacks_cannot_be_learned_but_count_in_scoring(
        self, text: str, tmp_path: Path
    ) -> None:
        wrong = V1.replace('"text": "oak"', f'"text": "{text}"')
        train, dev = (write(tmp_path, wrong, f"{split}-v1.1.json") for split in ("train", "dev"))
        with pytest.raises(SourceError) as error:
            read(tmp_path, "train")
        assert f"{train}: question q1, answers[0]: {text!r} stands nowhere in the context" in str(error.value)
        notes = RowNotes()
        assert read_questions(tmp_path, "dev", "1.1", notes)[0].answers == (Answer(text, None),)
        assert f"({dev}: question q1)" in notes.remarks[0]


Json = Any
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def places_in(tree: Json) -> list[list[str | int]]:
    """The way to every value of a tree, itself included."""
    found: list[list[str | int]] = [[]]
    pairs = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    for key, value in pairs:
        found += [[key, *rest] for rest in places_in(value)]
    return found


TREE = json.loads(V2)
PLACES = places_in(TREE)


@settings(deadline=None)
@given(st.sampled_from(PLACES), json_values, st.sampled_from(["1.1", "2.0"]))
def test_any_value_anywhere_is_read_or_one_line(place: list[str | int], value: Json, version: str) -> None:
    tree = copy.deepcopy(TREE)
    if place:
        holder = tree
        for key in place[:-1]:
            holder = holder[key]
        holder[place[-1]] = value
    else:
        tree = value
    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), json.dumps(tree), "questions.json")
        try:
            assert read_questions(path, "dev", version, RowNotes())
        except SourceError as error:
            assert "questions.json" in str(error) and "\n" not in str(error)
