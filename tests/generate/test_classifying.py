"""Rows of a table: their answers are the network's, their probabilities its softmax, and what is skipped is said."""

import io
import json
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from atinuke.errors import SourceError
from atinuke.generate.classifying import classify_table
from atinuke.generate.config import GenerateConfig
from atinuke.generate.loading import TrainedRun, load_trained
from atinuke.generate.run import run
from atinuke.testing import make_classifier

ROWS = [[40.0, 100.0, 60.0, 12.0], [150.0, 140.0, 41.0, 55.0], [90.0, 118.0, 50.0, 33.0]]
NUMBERS = "x,y,price\n" + "".join(f"{n},{n * n},{2.5 * n}\n" for n in range(30))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    return load_trained(make_classifier(tmp_path_factory.mktemp("runs") / "leaves"), "cpu")


@pytest.fixture(scope="module")
def pricing(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    folder = tmp_path_factory.mktemp("runs") / "prices"
    return load_trained(make_classifier(folder, table=NUMBERS, label="price"), "cpu")


def table(path: Path, text: str) -> str:
    path.write_text(text)
    return str(path)


def written(trained: TrainedRun, *inputs: str, **more: object) -> list[str]:
    out = io.StringIO()
    run(GenerateConfig.model_validate({"run": trained.folder.path, "device": "cpu", "inputs": inputs, **more}), out)
    return out.getvalue().splitlines()


def test_each_row_has_the_softmax_of_the_network_likeliest_first(trained: TrainedRun, tmp_path: Path) -> None:
    lines = "".join(",".join(map(str, row)) + "\n" for row in ROWS)
    found = list(classify_table(trained, table(tmp_path / "new.csv", f"red,green,blue,volume\n{lines}")))
    with torch.no_grad():
        expected = trained.model(torch.tensor(ROWS)).double().softmax(dim=-1)
    for (place, answer, chances), row in zip(found, expected, strict=True):
        by_name = dict(chances)
        assert_close(torch.tensor([by_name["flower"], by_name["leaf"]]).double(), row, atol=1e-6, rtol=1e-5)
        assert answer == chances[0][0] == ("flower", "leaf")[int(row.argmax())]
        assert chances[0][1] >= chances[1][1] and sum(by_name.values()) == pytest.approx(1, abs=1e-6)
        assert place.endswith(f"new.csv:{found.index((place, answer, chances)) + 2}")


def test_columns_may_come_in_another_order_and_among_others(trained: TrainedRun, tmp_path: Path) -> None:
    plain = table(tmp_path / "a.csv", "red,green,blue,volume\n40,100,60,12\n")
    other = table(tmp_path / "b.tsv", "name\tvolume\tblue\tgreen\tred\tkind\nx\t12\t60\t100\t40\tleaf\n")
    [(_, answer, chances)], [(_, same, equal)] = classify_table(trained, plain), classify_table(trained, other)
    assert (answer, chances) == (same, equal)


def test_a_file_of_the_one_column_that_is_needed_is_enough(tmp_path: Path) -> None:
    run_folder = make_classifier(
        tmp_path / "run", table="x,y\n" + "".join(f"{n},{n}.5\n" for n in range(30)), label="y"
    )
    trained = load_trained(run_folder, "cpu")
    [(place, answer, _)] = classify_table(trained, table(tmp_path / "new.csv", "x\n3\n"))
    [(_, same, _)] = classify_table(trained, table(tmp_path / "more.csv", "x,y\n3,\n"))
    assert place.endswith("new.csv:2") and answer == same


def test_a_network_that_gives_a_number_gives_it_alone(pricing: TrainedRun, tmp_path: Path) -> None:
    [(_, answer, chances)] = classify_table(pricing, table(tmp_path / "new.csv", "x,y\n3,9\n"))
    with torch.no_grad():
        expected = pricing.model(torch.tensor([[3.0, 9.0]]))[0, 0].item()
    assert chances == [] and float(answer) == pytest.approx(expected, rel=1e-5)


def test_rows_that_are_skipped_are_said_with_their_lines(
    trained: TrainedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "red,green,blue,volume\n1,2,3,4\n1,,3,4\n1,2,oops,4\n5,6,7,8\n1,2\n"
    found = list(classify_table(trained, table(tmp_path / "new.csv", text)))
    assert [place.rpartition(":")[2] for place, _, _ in found] == ["2", "5"]
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 3 and all(line.startswith("Skipped 1 row: ") for line in said)
    for reason, line in (("column green", 3), ("column blue", 4), ("another number of cells", 6)):
        assert any(reason in each and f"new.csv:{line})" in each for each in said)


@pytest.mark.parametrize(
    ("text", "clue"),
    [
        ("red,green,blue\n1,2,3\n", "has no column volume, which was trained on; it has red, green, blue"),
        ("red,green,blue,volume\nx,x,x,x\n", "gives no row"),
        ("red,green,blue,volume\n", "gives no row"),
        ("", "is empty"),
    ],
    ids=["column missing", "no numbers", "header alone", "empty"],
)
def test_a_table_that_cannot_be_answered_is_refused_in_one_line(
    trained: TrainedRun, tmp_path: Path, text: str, clue: str
) -> None:
    with pytest.raises(SourceError, match=clue) as caught:
        list(classify_table(trained, table(tmp_path / "new.csv", text)))
    assert str(caught.value).isprintable()


def test_the_command_writes_a_line_or_an_object_for_each_row(trained: TrainedRun, tmp_path: Path) -> None:
    name = table(tmp_path / "new.csv", "red,green,blue,volume\n40,100,60,12\n150,140,41,55\n")
    expected = list(classify_table(trained, name))
    objects = [json.loads(line) for line in written(trained, name, as_json=True)]
    assert objects == [{"input": p, "answer": a, "probabilities": dict(c)} for p, a, c in expected]
    for line, (place, answer, chances) in zip(written(trained, name), expected, strict=True):
        shares = "".join(f"  {label} {100 * chance:.1f} %" for label, chance in chances)
        assert line == f"{place}: {answer}{shares}"
