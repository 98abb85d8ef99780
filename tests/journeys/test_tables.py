"""From a table of numbers to answers for new rows, on the command line; and what of it is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from atinuke.testing import LEAVES, make_examples, make_run

Command = Callable[..., tuple[str, str]]
Train = Callable[..., str]
Refused = Callable[..., str]

PLANTS = "--model perceptron --examples plants.csv --set data.label=kind"


@pytest.fixture(autouse=True)
def plants(here: Path) -> None:
    (here / "plants.csv").write_text(LEAVES)


def test_a_table_becomes_a_run_that_answers_for_new_rows(here: Path, train: Train, atinuke: Command) -> None:
    said = train(f"{PLANTS} --set batch_seqs=8 --set optim.lr=0.02 --steps 60")
    assert "Accuracy 100 on held-out rows" in said and "atinuke generate run --input FILE.csv" in said
    (here / "new.csv").write_text("red,green,blue,volume\n33,106,57,12\n155,135,45,55\n")
    out, _ = atinuke("generate", "run", "--input", "new.csv", "--json")
    assert ["leaf" in line or "flower" in line for line in out.splitlines()] == [True, True]
    assert "leaf" in out.splitlines()[0] and json.loads(out.splitlines()[0])
    out, _ = atinuke("evaluate", "run", "--examples", "plants.csv")
    assert "100" in out


def test_rows_with_gaps_are_skipped_counted_and_said(here: Path, train: Train) -> None:
    (here / "plants.csv").write_text(LEAVES + "1,,3,4,leaf\n1,2,three,4,leaf\n1,2,3,4,\n1,2\n")
    said = train(PLANTS)
    for reason in (
        "missing in column green (plants.csv:26)",
        "not a number in column blue (plants.csv:27)",
        "missing in column kind (plants.csv:28)",
        "another number of cells than the header has (plants.csv:29)",
    ):
        assert f"Skipped 1 row: {reason}." in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("plants.csv", "no column label; its columns are red, green, blue, volume, kind."),
        ("plants.csv --set data.label=kimd", "no column kimd; its columns are red, green, blue, volume, kind. Did you"),
        ("words.csv --set data.label=kind", "words.csv has no numbers in its columns a, b."),
        ("gaps.csv --set data.label=kind", "gaps.csv gives no row to learn from"),
        ("bare.csv", "bare.csv begins with numbers; expected a first row that names the columns"),
        ("one.csv --set data.label=kind", "holds one class only, leaf; expected two at least"),
        ("empty.csv", "empty.csv"),
        ("gone.csv", "gone.csv"),
        ("examples/0.pgm", "examples/0.pgm cannot be used"),
        ("examples", "rows are read from one file each"),
        ("plants.csv --set data.label=kind --init-embeddings text", "a table of numbers has no tokens"),
        ("plants.csv --set data.label=kind --set objective.label_smoothing=0.1", "label_smoothing"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(words: str, said: str, here: Path, refused: Refused) -> None:
    (here / "words.csv").write_text("a,b,kind\nx,,leaf\n,y,flower\n")
    (here / "gaps.csv").write_text("a,b,kind\n1,,leaf\n,2,flower\n")
    (here / "bare.csv").write_text("1,2,3\n4,5,6\n")
    (here / "one.csv").write_text("a,kind\n1,leaf\n2,leaf\n3,leaf\n")
    (here / "empty.csv").touch()
    make_examples(here / "examples")
    make_run(here / "text", "gpt")
    assert said in refused(f"--model perceptron --examples {words}")
