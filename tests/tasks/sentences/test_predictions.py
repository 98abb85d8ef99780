"""Predictions in the format of the benchmark: written, read back, and refused where they do not fit the examples."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from atinuke.data.rows import RowNotes
from atinuke.errors import SourceError
from atinuke.tasks.sentences.described_tasks import Ax, Mnli, Rte, Sick, SickR, Sst2, Stsb
from atinuke.tasks.sentences.sentence_task import SentenceTask
from atinuke.tasks.sentences.texts import TextExample
from atinuke.tasks.task import Spot

FolderOf = Callable[[Mapping[str, str]], Path]


def examples_of(answers: list[str | float], split: str = "dev") -> list[TextExample]:
    return [
        TextExample(str(number), "a", "b", answer, split, Spot("dev.tsv", number + 2))
        for number, answer in enumerate(answers)
    ]


def rte() -> tuple[SentenceTask, list[TextExample]]:
    examples = examples_of(["entailment", "not_entailment", "entailment"])
    return Rte.learn(examples), examples


def test_labels_are_written_under_their_official_names_and_read_back(tmp_path: Path) -> None:
    task, examples = rte()
    predictions = ["not_entailment", "not_entailment", "entailment"]
    assert task.write_predictions(tmp_path, examples, predictions) == [tmp_path / "RTE.tsv"]
    assert (tmp_path / "RTE.tsv").read_text() == (
        "index\tprediction\n0\tnot_entailment\n1\tnot_entailment\n2\tentailment\n"
    )
    for place in (tmp_path, tmp_path / "RTE.tsv"):
        assert task.read_predictions(place, examples, RowNotes()) == predictions


def test_numbers_come_back_as_they_were_scored(tmp_path: Path) -> None:
    examples = examples_of([0.0, 2.5, 5.0])
    task = Stsb.learn(examples)
    predictions = [0.333333, 5.0, 1e-06]
    (path,) = task.write_predictions(tmp_path, examples, predictions)
    assert path.read_text() == "index\tprediction\n0\t0.333333\n1\t5.0\n2\t1e-06\n"
    assert task.read_predictions(path, examples, RowNotes()) == predictions


@pytest.mark.parametrize(
    ("split", "name"),
    [("dev", "MNLI-m"), ("test", "MNLI-m"), ("dev_mismatched", "MNLI-mm"), ("test_mismatched", "MNLI-mm")],
)
def test_the_splits_of_mnli_are_handed_in_apart(split: str, name: str, tmp_path: Path) -> None:
    examples = examples_of(["neutral"], split)
    assert Mnli.learn(examples).write_predictions(tmp_path, examples, ["neutral"]) == [tmp_path / f"{name}.tsv"]


def test_what_mnli_learned_answers_ax(tmp_path: Path) -> None:
    facts = Mnli.learn(examples_of(["neutral", "entailment"])).facts
    examples = examples_of(["neutral", "entailment", "contradiction", "contradiction"], "test")
    task = Ax.from_facts(facts)
    task.check(examples)
    assert task.score(examples, [each.answer for each in examples]).values == {"mcc": 100}
    assert task.score(examples, ["neutral"] * 4).values == {"mcc": 0}
    assert task.write_predictions(tmp_path, examples, ["neutral"] * 4) == [tmp_path / "AX.tsv"]


def test_sick_has_three_columns_of_which_one_is_answered(tmp_path: Path) -> None:
    examples = examples_of(["NEUTRAL"])
    (path,) = Sick.learn(examples).write_predictions(tmp_path, examples, ["ENTAILMENT"])
    assert path.read_text() == "pair_ID\tentailment_judgment\trelatedness_score\n0\tENTAILMENT\tNA\n"
    rated = examples_of([1.5])
    (path,) = SickR.learn(rated).write_predictions(tmp_path, rated, [2.25])
    assert path.read_text() == "pair_ID\tentailment_judgment\trelatedness_score\n0\tNA\t2.25\n"
    assert SickR.learn(rated).read_predictions(path, rated, RowNotes()) == [2.25]


def test_rows_may_come_in_any_order(folder_of: FolderOf) -> None:
    task, examples = rte()
    data = folder_of({"p.tsv.gz": "prediction\tindex\nentailment\t2\nnot_entailment\t0\nentailment\t1\n"})
    found = task.read_predictions(data / "p.tsv.gz", examples, RowNotes())
    assert found == ["not_entailment", "entailment", "entailment"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("0\tentailment\n", r"has no column index; its columns are 0, entailment"),
        ("index\tlabel\n0\tentailment\n", r"has no column prediction"),
        (
            "index\tprediction\n0\tentailment\n7\tentailment\n",
            r"p\.tsv:3 predicts for '7', which is no row of dev\.tsv",
        ),
        ("index\tprediction\n0\tentailment\n0\tentailment\n", r"p\.tsv:3 predicts for '0' a second time"),
        ("index\tprediction\n1\tentailment\n", r"has no prediction for '0' \(dev\.tsv:2\); 2 of 3 are missing"),
        ("index\tprediction\n0\tyes\n", r"p\.tsv:2 predicts 'yes'; expected a label: entailment, not_entailment\."),
        ("index\tprediction\n0\n", r"p\.tsv:2 has 1 cell between tabs; expected 2"),
        ("", "is empty"),
    ],
)
def test_predictions_that_do_not_fit_are_refused(text: str, message: str, folder_of: FolderOf) -> None:
    task, examples = rte()
    with pytest.raises(SourceError, match=message):
        task.read_predictions(folder_of({"p.tsv": text}) / "p.tsv", examples, RowNotes())


@pytest.mark.parametrize("cell", ["", "high", "nan", "inf"])
def test_a_predicted_number_that_is_none_is_refused(cell: str, folder_of: FolderOf) -> None:
    examples = examples_of([1.0])
    data = folder_of({"STS-B.tsv": f"index\tprediction\n0\t{cell}\n"})
    with pytest.raises(SourceError, match=r"STS-B\.tsv:2 predicts '.*'; expected a number from 0 to 5\."):
        Stsb.learn(examples).read_predictions(data, examples, RowNotes())


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    task, examples = rte()
    with pytest.raises(SourceError, match=r"RTE\.tsv does not exist"):
        task.read_predictions(tmp_path, examples, RowNotes())


def test_two_examples_of_one_id_cannot_be_told_apart(folder_of: FolderOf) -> None:
    examples = [TextExample("5", "a", None, "1", "dev", Spot("dev.tsv", line)) for line in (2, 3)]
    data = folder_of({"SST-2.tsv": "index\tprediction\n5\t1\n"})
    with pytest.raises(SourceError, match=r"dev\.tsv:3 has the id '5' of dev\.tsv:2"):
        Sst2.learn(examples).read_predictions(data, examples, RowNotes())
