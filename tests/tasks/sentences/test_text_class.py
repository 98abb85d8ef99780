"""Anybody's tables of texts and labels: labels from the data, a part held out, and what is wrong with a row."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.data.rows import RowNotes
from atinuke.errors import ConfigError, SourceError
from atinuke.tasks.sentences.text_class import TextClass, hold_out
from atinuke.tasks.sentences.texts import TextExample
from atinuke.tasks.task import Spot

FolderOf = Callable[[Mapping[str, str]], Path]

REVIEWS = "text,label\n" + "".join(f'"good, number {n}",good\nbad {n},bad\n' for n in range(20))


def example(text: str, answer: str) -> TextExample:
    return TextExample("0", text, None, answer, "train", Spot("reviews.csv", 2))


class TestReading:
    @pytest.mark.parametrize(
        ("name", "text"),
        [
            ("train.csv", 'text,label\n"Fine, really",good\nDull,not good\n'),
            ("train.csv.gz", 'label;text\ngood;"Fine, really"\nnot good;Dull\n'),
            ("train.tsv", "id\ttext\tlabel\n1\tFine, really\tgood\n2\tDull\t not  good \n"),
            (
                "train.jsonl",
                json.dumps({"text": "Fine, really", "label": "good"})
                + "\n"
                + json.dumps({"text": "Dull", "label": "not\tgood"}),
            ),
        ],
    )
    def test_tables_of_all_kinds_say_the_same(self, name: str, text: str, folder_of: FolderOf) -> None:
        data = folder_of({name: text, "dev.csv": "text,label\nx,good\n"})
        examples = TextClass.read(data, "train", RowNotes())
        assert [(each.id, each.first, each.second, each.answer) for each in examples] == [
            ("0", "Fine, really", None, "good"),
            ("1", "Dull", None, "not good"),
        ]

    def test_pairs_have_two_texts(self, folder_of: FolderOf) -> None:
        data = folder_of({"dev.tsv": "text1\ttext2\tlabel\nIt rains.\tIt pours.\t1\n"})
        (found,) = TextClass.read(data, "dev", RowNotes())
        assert (found.first, found.second, found.answer) == ("It rains.", "It pours.", "1")

    def test_the_test_split_may_lack_labels(self, folder_of: FolderOf) -> None:
        data = folder_of({"test.csv": "text\nfine\n", "train.csv": REVIEWS})
        assert TextClass.read(data, "test", RowNotes())[0].answer is None

    @pytest.mark.parametrize("name", ["valid.csv", "val.tsv", "validation.jsonl.gz"])
    def test_dev_has_other_names_too(self, name: str, folder_of: FolderOf) -> None:
        row = {"text": "fine", "label": "good"}
        rows = {"csv": "text,label\nfine,good\n", "tsv": "text\tlabel\nfine\tgood\n", "gz": json.dumps(row) + "\n"}
        data = folder_of({name: rows[name.rpartition(".")[2]]})
        assert len(TextClass.read(data, "dev", RowNotes())) == 1

    def test_rows_without_text_or_label_are_counted(self, folder_of: FolderOf) -> None:
        data = folder_of({"dev.csv": "text,label\nfine,good\n ,bad\ndull,\nbad,bad\n"})
        notes = RowNotes()
        assert [each.id for each in TextClass.read(data, "dev", notes)] == ["0", "3"]
        path = data / "dev.csv"
        assert notes.places == {"no text": [f"{path}:3"], "no label": [f"{path}:4"]}

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("sentence,label\nfine,good\n", r"dev\.csv has no column text; its columns are sentence, label"),
            ("text,class\nfine,good\n", r"dev\.csv has no column label"),
            ("text1,label\nfine,good\n", r"dev\.csv has no column text2"),
            ("text,label\nfine,good,1\n", r"dev\.csv:2 has 3 cells between ,; expected 2"),
            ("text,text,label\na,b,c\n", r"dev\.csv has 2 columns of the name text"),
            ("text,label\n", r"dev\.csv gives no texts \(no rows below its header\)"),
            ("text,label\n,good\n", r"dev\.csv gives no texts \(no text: 1\)"),
        ],
    )
    def test_a_table_that_does_not_serve_is_refused(self, text: str, message: str, folder_of: FolderOf) -> None:
        with pytest.raises(SourceError, match=message):
            TextClass.read(folder_of({"dev.csv": text}), "dev", RowNotes())

    def test_folders_that_do_not_serve_are_refused(self, folder_of: FolderOf, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match=r"no-such does not exist\. Give a table"):
            TextClass.read(tmp_path / "no-such", "train", RowNotes())
        with pytest.raises(SourceError, match="has no table besides dev and test, none named train"):
            TextClass.read(tmp_path, "train", RowNotes())
        data = folder_of({"a.csv": REVIEWS, "b.csv": REVIEWS})
        with pytest.raises(SourceError, match="has 2 tables besides dev and test"):
            TextClass.read(data, "train", RowNotes())
        with pytest.raises(SourceError, match="has no test table"):
            TextClass.read(data, "test", RowNotes())
        with pytest.raises(ConfigError, match="has no split all; it has train, dev, test"):
            TextClass.read(data, "all", RowNotes())


class TestHoldingOut:
    @pytest.mark.parametrize("name", ["train.csv", "reviews.csv", "only"])
    def test_of_one_table_a_tenth_is_held_out(self, name: str, folder_of: FolderOf) -> None:
        data = folder_of({"only/reviews.csv" if name == "only" else name: REVIEWS})
        data = data / "only" / "reviews.csv" if name == "only" else data
        notes = RowNotes()
        train, dev = (TextClass.read(data, split, notes) for split in ("train", "dev"))
        assert (len(train), len(dev)) == (36, 4)
        assert not {each.first for each in train} & {each.first for each in dev}
        assert notes.remarks == [f"Held out 4 of the 40 texts in {dev[0].spot.file}."]

    @given(st.lists(st.tuples(st.text("ab", max_size=3), st.sampled_from("xyz")), max_size=40))
    def test_equal_texts_stay_together_and_every_label_is_left_to_train_on(self, rows: list[tuple[str, str]]) -> None:
        examples = [example(text, label) for text, label in rows]
        train, dev = hold_out(examples)
        assert sorted((each.first, each.answer) for each in (*train, *dev)) == sorted(rows)
        assert not {each.first for each in train} & {each.first for each in dev}
        assert {each.answer for each in train} == {label for _, label in rows}
        assert len(dev) <= max(1, round(0.1 * len(rows)))

    def test_a_table_of_one_row_cannot_spare_it(self, folder_of: FolderOf) -> None:
        with pytest.raises(SourceError, match=r"train\.csv gives too few texts \(1\) to spare one"):
            TextClass.read(folder_of({"train.csv": "text,label\nfine,good\n"}), "dev", RowNotes())


class TestLabels:
    def test_they_are_what_the_data_has_numbers_by_size(self) -> None:
        assert TextClass.learn([example("a", "good"), example("b", "bad")]).facts["labels"] == ["bad", "good"]
        numbers = [example("a", label) for label in ("10", "9", "-1")]
        assert TextClass.learn(numbers).facts["labels"] == ["-1", "9", "10"]

    def test_two_columns_of_text_are_compared(self, folder_of: FolderOf) -> None:
        table = "text1,text2,label\na,b,yes\nc,d,no\n"
        texts = TextClass.read(folder_of({"train.csv": table, "dev.csv": table}), "train", RowNotes())
        task = TextClass.learn(texts)
        assert task.is_pair
        assert TextClass.from_facts(task.facts).is_pair
        assert not TextClass.learn([example("a", "good"), example("b", "bad")]).is_pair

    def test_one_label_alone_is_refused(self) -> None:
        with pytest.raises(SourceError, match=r"reviews\.csv has one label only, good; expected two at least"):
            TextClass.learn([example("a", "good")])

    def test_a_label_never_seen_is_refused_in_data_and_wrong_in_predictions(self, folder_of: FolderOf) -> None:
        task = TextClass.learn([example("a", "good"), example("b", "bad")])
        with pytest.raises(
            SourceError, match=r"reviews\.csv:2 has the label 'odd', which was not in the training data"
        ):
            task.check([example("a", "odd")])
        data = folder_of({"predictions.tsv": "index\tprediction\n0\todd\n"})
        asked = [example("a", "good")]
        found = task.read_predictions(data, asked, RowNotes())
        assert found == ["odd"] and task.score(asked, found).values == {"accuracy": 0, "macro_f1": 0}

    def test_a_prediction_without_label_is_refused(self, folder_of: FolderOf) -> None:
        task = TextClass.from_facts({"labels": ["bad", "good"], "is_pair": False})
        data = folder_of({"predictions.tsv": "index\tprediction\n0\t\n"})
        with pytest.raises(SourceError, match=r"predictions\.tsv:2 predicts ''; expected a label: bad, good"):
            task.read_predictions(data, [example("a", "good")], RowNotes())
