"""The examples run as they stand, one after the other, each in a process of its own."""

import os
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
