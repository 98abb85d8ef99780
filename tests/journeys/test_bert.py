"""From a text to a network that fills in what is masked, on the command line; and what leaves nothing to learn."""

from collections.abc import Callable
from pathlib import Path

import pytest

Command = Callable[..., tuple[str, str]]
Train = Callable[..., str]
Refused = Callable[..., str]

SMALL = "--tokenizer char --set model.context=16 --set batch_seqs=4"


@pytest.fixture(autouse=True)
def book(here: Path) -> None:
    (here / "book.txt").write_text("".join(f"The cat number {n * n % 83} went to market.\n" for n in range(90)))
    (here / "short.txt").write_text("A cat sat on a mat, and so on.\n" * 3)


def test_a_text_becomes_a_run_that_fills_in_what_is_masked(train: Train, atinuke: Command) -> None:
    said = train(f"--model bert book.txt {SMALL}")
    assert "pseudo-bits per byte" in said and "not comparable with bits per byte" in said
    assert "The text has no second document" in said and "<mask>" in said
    out, _ = atinuke("generate", "run", "The <mask>at")
    assert out.strip()
    out, _ = atinuke("evaluate", "run")
    assert "pseudo" in out


def test_the_mixture_of_both_lessons_trains_a_network_that_continues_text(train: Train, atinuke: Command) -> None:
    said = train(f"--model gpt book.txt {SMALL} --set objective.masked_share=0.5")
    assert "bits per byte on" in said and "pseudo" not in said
    assert atinuke("generate", "run", "The cat", "--tokens", "5")[0].startswith("The cat")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (f"short.txt {SMALL} --model bert", "The training text has no two documents to draw segments from"),
        ("book.txt --model bert --set model.context=4", "Set model.context to 5 or more"),
        ("book.txt --model bert --set objective.mask_rate=0", "objective.mask_rate"),
        ("book.txt --model bert --set objective.mask_rate=1", "objective.mask_rate"),
        ("book.txt --model bert --set objective.masked_share=0.5", "masked_share"),
        (f"book.txt {SMALL} --model rnn --set objective.masked_share=0.5", "masked_share"),
        (f"book.txt {SMALL} --model perceptron --set objective.masked_share=0.5", "masked_share"),
        ("book.txt --model gpt --set objective.masked_share=2", "objective.masked_share"),
    ],
)
def test_masks_that_leave_nothing_to_learn_are_refused_in_one_line(words: str, said: str, refused: Refused) -> None:
    assert said in refused(words)
