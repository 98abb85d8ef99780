"""The examples run as they stand, one after the other, each in a process of its own."""

import os
import re
import subprocess
import sys
from pathlib import Path

from atinuke.testing import TEXT

EXAMPLES = Path(__file__).parents[1] / "examples"


def run_example(name: str, *arguments: str, folder: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", str(EXAMPLES / name), *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": "utf-8"},
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_first_example_trains_a_run_and_the_second_opens_it(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text(100 * TEXT)
    trained = run_example("01_train_and_generate.py", "book.txt", "--steps", "2", "--prompt", "Humpty", folder=tmp_path)
    assert "bits per byte" in trained
    opened = run_example("02_load_a_run.py", str(Path("runs", "book")), "Humpty", folder=tmp_path)
    assert "bits per byte" in opened
    assert opened.count("%") >= 6


def test_the_third_example_prints_sums_that_are_right(tmp_path: Path) -> None:
    """Its products are read back and worked out again, by nothing but multiplying and adding."""
    printed = run_example("03_leaf_or_flower.py", folder=tmp_path)
    sums = re.findall(r"= (\(.*×.*\) \+ \(.*\))\n +=.* = (-?[\d.]+)\n", printed)
    assert len(sums) == 8
    for written, total in sums:
        *products, bias = written[1:-1].split(") + (")
        factors = [[float(factor) for factor in product.split(" × ")] for product in products]
        assert f"{sum(weight * number for weight, number in factors) + float(bias):.2f}" == total
    assert "the network says: 96.5% leaf, 3.5% flower" in printed  # e^1.91 / (e^1.91 + e^−1.41)
    assert "the network says: 0.2% leaf, 99.8% flower" in printed  # e^−3 / (e^−3 + e^3.5)
    assert "learns its 16 weights" in printed  # 4·2 + 2, and 2·2 + 2
    losses = [float(loss) for loss in re.findall(r"step +\d+: ([\d.]+) nats", printed)]
    assert losses[0] == 0.693 and losses[-1] < 0.05  # ln 2: it begins undecided
    assert re.findall(r"is a (\w+) \(.*it is a (\w+)", printed) == [("leaf", "leaf"), ("flower", "flower")]


def test_the_fourth_example_recites_what_it_can_see_and_stumbles_where_it_cannot(tmp_path: Path) -> None:
    printed = run_example("04_humpty_dumpty.py", folder=tmp_path)
    short, long, ways = printed.partition("Seeing 8 ")[2].replace("How a", "Seeing 16 ").split("Seeing 16 ")
    rhyme = TEXT.rstrip()
    assert "  after ' Dumpty ' come {'s': 1, 'h': 1}\n  after \" king's \" come {'h': 1, 'm': 1}\n" in short
    assert "4 × ln 2 / 141 = 0.0197" in short  # 4 · 0.693147 / 141
    reached = [float(loss) for loss in re.findall(r"this one is at ([\d.]+)", printed)]
    assert 0.0197 <= reached[0] < 0.03 and reached[1] < 0.01
    assert rhyme not in short and rhyme in long
    losses = {way: float(loss) for way, loss in re.findall(r"  ([a-z-]+) +\d+ numbers? +each: ([\d.]+)", ways)}
    assert losses["integer"] > 10 * max(losses["one-hot"], losses["learned"])


def test_the_fifth_example_translates_what_it_learned_and_what_it_never_saw(tmp_path: Path) -> None:
    printed = run_example("05_translate.py", folder=tmp_path)
    assert re.findall(r"(\d+) of (\d+) right", printed) == 2 * [("12", "12"), ("3", "3")]
    lines = [re.sub(" +", " ", line.strip()) for line in printed.splitlines()]
    # the verb comes before the one who acts in the source, and after it in the target
    assert lines.count("heute sieht das Kind das Haus → today the child sees the house") == 2
    assert "should be" not in printed


def test_the_sixth_example_answers_two_questions_about_each_picture(tmp_path: Path) -> None:
    printed = run_example("06_shapes.py", folder=tmp_path)
    right, total = map(int, re.findall(r"(\d+) of (\d+) answers right", printed)[0])
    assert total == 60 and right >= 55  # 10 would be luck: six answers are known
    assert re.findall(r"which shape\? (\w+)", printed) == ["circle", "triangle", "square"]
    assert re.findall(r"how many corners\? (\w+)", printed) == ["none", "three", "four"]
