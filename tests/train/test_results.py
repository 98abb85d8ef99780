"""What is said of a finished run."""

from pathlib import Path

import pytest

from atinuke.run_folder import RunFolder
from atinuke.testing import make_run
from atinuke.train.lessons.text_scores import say_scores
from atinuke.train.ngram import five_gram_bpb

RHYME = "Humpty Dumpty sat on a wall.\nHumpty Dumpty had a great fall.\n" * 20


def test_the_baseline_is_counted_on_the_training_text_and_scored_on_the_held_out_text(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", text=RHYME)
    edge = int(0.9 * len(RHYME))
    expected = five_gram_bpb([RHYME[:edge].encode()], [RHYME[edge:].encode()])
    assert RunFolder(run).read_summary()["baseline_5gram_bpb"] == pytest.approx(expected)


def test_where_the_tokenizer_loses_words_there_is_no_baseline_rather_than_a_wrong_one(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", text=RHYME, tokenizer="word")
    summary = RunFolder(run).read_summary()
    assert summary["baseline_5gram_bpb"] is None
    said = say_scores(summary)
    assert "no 5-gram to compare with" in said
    assert f"{summary['val_bpb']:.4f} bits per byte on {summary['val_bytes']:,} held-out bytes" in said
