"""Accuracy is scikit-learn's on what the run answers one by one; what the run cannot know counts as wrong."""

import json
import shutil
from pathlib import Path

import pytest
from sklearn.metrics import accuracy_score, r2_score

from atinuke.errors import RunFolderError
from atinuke.evaluate.config import EvaluateConfig
from atinuke.evaluate.run import run
from atinuke.generate import answering, inputs
from atinuke.generate.answering import known_labels
from atinuke.generate.classifying import classify_table
from atinuke.generate.inputs import answer_inputs, answer_text
from atinuke.generate.loading import TrainedRun, load_trained
from atinuke.testing import make_answerer, make_classifier, make_examples, make_run
from atinuke.train.lessons import examples

NUMBERS = "x,y,price\n" + "".join(f"{n},{n * n},{2.5 * n}\n" for n in range(30))


@pytest.fixture(scope="module", params=[("0", "1", "2"), ("left", "right", "left over")], ids=["digits", "words"])
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    folder = tmp_path_factory.mktemp("runs") / "answers"
    return load_trained(make_answerer(folder, labels=request.param), "cpu")


@pytest.fixture(scope="module")
def leaves(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    return load_trained(make_classifier(tmp_path_factory.mktemp("runs") / "leaves"), "cpu")


@pytest.fixture(scope="module")
def prices(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    folder = tmp_path_factory.mktemp("runs") / "prices"
    return load_trained(make_classifier(folder, table=NUMBERS, label="price"), "cpu")


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """What random weights write never ends by itself, and only the likeliest label matters here."""
    monkeypatch.setattr(inputs, "LONGEST_ANSWER", 1)


def evaluated(trained: TrainedRun, *examples: object, **more: object) -> str:
    asked = {"run": trained.folder.path, "device": "cpu", "examples": tuple(map(str, examples)), **more}
    return run(EvaluateConfig.model_validate(asked))


def scores(trained: TrainedRun, *examples: object) -> dict[str, object]:
    found: dict[str, object] = json.loads(evaluated(trained, *examples, as_json=True))
    return found


def answered(trained: TrainedRun, row: dict[str, str], folder: Path) -> str:
    """The likeliest label for one row of examples, asked for by itself."""
    if "text" in row:
        facts = answer_text(trained, f"{row['text']}\n{row['question']}").facts
    else:
        name = str(folder / (row.get("picture") or row["sound"]))
        [answer] = answer_inputs(trained, [name], row.get("question", ""))
        facts = answer.facts
    return next(iter(facts["probabilities"]))


def test_accuracy_is_that_of_scikit_learn_on_answers_one_by_one(trained: TrainedRun, tmp_path: Path) -> None:
    labels = trained.folder.read_summary()["labels"]
    listed = make_examples(tmp_path, labels, count=6)
    rows = [json.loads(line) for line in listed.read_text().splitlines()]
    found = [answered(trained, row, tmp_path) for row in rows]
    for number, row in enumerate(rows):  # right for two of three, whatever these weights answer
        row["label"] = found[number] if number % 3 else labels[(labels.index(found[number]) + 1) % len(labels)]
    listed.write_text("".join(json.dumps(row) + "\n" for row in rows))
    truth = [row["label"] for row in rows]
    figures = scores(trained, listed)
    assert figures["score"]["value"] == pytest.approx(100 * accuracy_score(truth, found))  # type: ignore[index]
    for kind in ("picture", "sound", "text"):
        of_kind = [number for number, row in enumerate(rows) if kind in row]
        right = accuracy_score([truth[n] for n in of_kind], [found[n] for n in of_kind], normalize=False)
        assert figures["accuracy_by_kind"][kind] == {"right": right, "total": 6}  # type: ignore[index]


def test_what_the_run_held_out_gives_the_score_of_its_summary_again(trained: TrainedRun) -> None:
    figures, summary = scores(trained), trained.folder.read_summary()
    assert figures["examples"] == "held-out examples"
    assert (figures["score"], figures["accuracy_by_kind"]) == (summary["score"], summary["accuracy_by_kind"])


def test_a_label_that_the_run_does_not_know_counts_as_wrong(trained: TrainedRun, tmp_path: Path) -> None:
    listed = make_examples(tmp_path, ("unheard of", "never seen"))
    assert scores(trained, listed)["score"]["value"] == 0  # type: ignore[index]
    rows = [json.loads(line) for line in listed.read_text().splitlines()]
    rows[0]["label"] = answered(trained, rows[0], tmp_path)
    listed.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert scores(trained, listed)["score"]["value"] == pytest.approx(100 / 18)  # type: ignore[index]


def test_people_read_the_score_and_of_how_many_it_is(trained: TrainedRun, tmp_path: Path) -> None:
    listed = make_examples(tmp_path, trained.folder.read_summary()["labels"])
    figures = scores(trained, listed)["score"]
    assert evaluated(trained, listed) == f"{listed}: accuracy {figures['value']:.2f}  ({figures['note']})"  # type: ignore[index]


def test_examples_that_are_skipped_are_said(
    trained: TrainedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    listed = make_examples(tmp_path, trained.folder.read_summary()["labels"])
    (tmp_path / "0.pgm").write_bytes(b"no picture")
    assert sum(kind["total"] for kind in scores(trained, listed)["accuracy_by_kind"].values()) == 17  # type: ignore[attr-defined]
    assert "examples.jsonl:1 (no picture" in capsys.readouterr().err


def test_a_run_whose_examples_are_gone_asks_for_others(trained: TrainedRun, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained.folder.path, copy)
    shutil.rmtree(copy / "data")
    with pytest.raises(RunFolderError, match="name others with --examples") as caught:
        evaluated(load_trained(copy, "cpu"))
    assert str(caught.value).isprintable()


def test_accuracy_on_a_table_is_that_of_scikit_learn(leaves: TrainedRun, tmp_path: Path) -> None:
    rows = [(90 + 9 * n, 118 - n, 50, 33 + n, "leaf" if n % 3 else "flower") for n in range(-8, 9)]
    path = tmp_path / "new.csv"
    path.write_text("red,green,blue,volume,kind\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    found = [answer for _, answer, _ in classify_table(leaves, str(path))]
    expected = 100 * accuracy_score([row[-1] for row in rows], found)
    assert scores(leaves, path)["score"]["value"] == pytest.approx(expected)  # type: ignore[index]


def test_r2_of_numbers_is_that_of_scikit_learn(prices: TrainedRun, tmp_path: Path) -> None:
    path = tmp_path / "new.csv"
    path.write_text("x,y,price\n" + "".join(f"{n},{n * n},{2.5 * n + n % 4}\n" for n in range(3, 20)))
    found = [float(answer) for _, answer, _ in classify_table(prices, str(path))]
    expected = r2_score([2.5 * n + n % 4 for n in range(3, 20)], found)
    score = scores(prices, path)["score"]
    assert score["name"] == "R²" and score["value"] == pytest.approx(expected, rel=1e-4)  # type: ignore[index]


def test_held_out_rows_of_a_table_give_the_score_of_the_summary_again(leaves: TrainedRun) -> None:
    assert scores(leaves)["score"] == leaves.folder.read_summary()["score"]


def test_rows_of_an_unknown_class_count_as_wrong_and_what_is_skipped_is_said(
    leaves: TrainedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "new.csv"
    header = "red,green,blue,volume,kind\n"
    path.write_text(f"{header}1,2,3,4,leaf\n")
    [(_, answer, _)] = classify_table(leaves, str(path))
    path.write_text(f"{header}1,2,3,4,{answer}\n1,2,3,4,stone\n1,oops,3,4,{answer}\n")
    figures = scores(leaves, path)
    assert figures["score"]["value"] == 50  # type: ignore[index]
    assert [sample["reference"] for sample in figures["samples"]] == [answer, "stone"]  # type: ignore[attr-defined]
    assert capsys.readouterr().err.splitlines() == [
        "1 row is of a class that was not trained on: stone.",
        f"Skipped 1 row: not a number in column green ({path}:4).",
    ]
    path.write_text(f"{header}1,2,3,4,stone\n")
    assert scores(leaves, path)["score"]["value"] == 0  # type: ignore[index]


@pytest.mark.parametrize("kind", ["leaves", "prices"])
def test_a_run_whose_table_is_gone_is_scored_on_others(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    trained: TrainedRun = request.getfixturevalue(kind)
    shutil.copytree(trained.folder.path, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "data")
    copy, source = load_trained(tmp_path / "copy", "cpu"), trained.folder.path / "table.csv"
    assert scores(copy, source) == scores(trained, source)
    with pytest.raises(RunFolderError, match="the rows that this run held out; name others with --examples") as caught:
        evaluated(copy)
    assert str(caught.value).isprintable()


def test_pictures_for_a_run_that_has_seen_none_are_refused_in_one_line(tmp_path: Path) -> None:
    text = load_trained(make_run(tmp_path / "text"), "cpu")
    listed = make_examples(tmp_path / "new")
    with pytest.raises(RunFolderError, match="1 is a picture, and this run was not trained on pictures") as caught:
        evaluated(text, listed)
    assert str(caught.value).isprintable()
    with pytest.raises(RunFolderError, match=r"0\.wav is a sound, and this run was not trained on sounds"):
        evaluated(text, tmp_path / "new" / "*.wav")


def test_all_labels_count_even_where_the_summary_remembers_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples, "KNOWN_LABELS", 1)
    run_folder = load_trained(make_answerer(tmp_path / "run", labels=("0", "1", "2")), "cpu")
    summary = run_folder.folder.read_summary()
    assert summary["labels"] == ["0"] and known_labels(run_folder.folder) == ("0", "1", "2")
    figures = scores(run_folder)
    assert (figures["score"], figures["accuracy_by_kind"]) == (summary["score"], summary["accuracy_by_kind"])


def test_answers_that_were_written_are_said_to_be(trained: TrainedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "MOST_COMPARED", 1)
    score: dict[str, str] = scores(trained)["score"]  # type: ignore[assignment]
    is_single = trained.folder.read_summary()["labels"] == ["0", "1", "2"]
    assert ("as there are 3 labels, right is what was written exactly" in score["note"]) == (not is_single)
