"""From labelled pictures, sounds and texts to answers, on the command line; and what of them is refused."""

import wave
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from atinuke.testing import LEAVES

Command = Callable[..., tuple[str, str]]
Train = Callable[..., str]
Refused = Callable[..., str]


def draw(path: Path, number: int, size: int = 8) -> None:
    Image.linear_gradient("L").resize((size, size)).point(lambda grey: (grey + number) % 256).save(path)


def play(path: Path, number: int, rate_hz: int = 4000) -> None:
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(bytes((place * (number + 1)) % 251 for place in range(1600)))


@pytest.fixture(autouse=True)
def digits(here: Path) -> Path:
    """Eight pictures, eight sounds and eight texts of two answers, and a listing of all."""
    rows = ["text\tpicture\tsound\tlabel"]
    (here / "digits").mkdir()
    for number in range(8):
        label = "even" if number % 2 == 0 else "odd"
        draw(here / "digits" / f"{number}.png", number)
        play(here / "digits" / f"{number}.wav", number)
        rows += [
            f"\tdigits/{number}.png\t\t{label}",
            f"\t\tdigits/{number}.wav\t{label}",
            f"word {number}\t\t\t{label}",
        ]
    (here / "list.tsv").write_text("\n".join(rows) + "\n")
    return here / "digits"


def add(here: Path, *rows: str) -> None:
    with open(here / "list.tsv", "a") as file:
        file.write("".join(f"{row}\n" for row in rows))


def test_examples_become_a_run_that_answers(train: Train, atinuke: Command) -> None:
    said = train("--examples list.tsv --set batch_seqs=4")
    assert "Read 8 pictures and 8 sounds and 8 texts with 2 different answers." in said
    assert "Accuracy" in said and "atinuke generate run --input FILE" in said
    out, _ = atinuke("generate", "run", "--input", "digits/1.png", "digits/2.wav")
    assert sum(answer in out for answer in ("even", "odd")) >= 1 and len(out.splitlines()) >= 2
    out, _ = atinuke("evaluate", "run", "--examples", "list.tsv")
    assert "24" in out


def test_what_has_another_form_is_brought_into_it_and_what_is_broken_is_skipped_and_both_are_said(
    here: Path, digits: Path, train: Train
) -> None:
    draw(digits / "large.png", 9, size=20)
    play(digits / "fast.wav", 9, rate_hz=8000)
    (digits / "broken.png").write_bytes((digits / "0.png").read_bytes()[:40])
    (digits / "broken.wav").write_bytes((digits / "0.wav").read_bytes()[:100])
    add(here, "\tdigits/large.png\t\teven", "\t\tdigits/fast.wav\todd")
    add(here, "\tdigits/broken.png\t\teven", "\t\tdigits/broken.wav\todd")
    said = train("--examples list.tsv --set batch_seqs=4")
    assert "1 example was resized to 8 × 8 pixels" in said
    assert "1 example was resampled to 4,000 samples per second" in said
    skipped = next(line for line in said.splitlines() if line.startswith("Skipped 2 examples: "))
    assert "no picture that pillow knows" in skipped and "a WAV file cut off after 100 of " in skipped, skipped


def test_a_part_to_score_with_is_named_apart(here: Path, train: Train) -> None:
    lines = (here / "list.tsv").read_text().splitlines()
    (here / "test.tsv").write_text("\n".join([lines[0], *lines[-6:]]) + "\n")
    said = train("--examples list.tsv --held-out test.tsv --set batch_seqs=4")
    assert "Held out: Read 2 pictures and 2 sounds and 2 texts" in said and "of 2" in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--model gpt --examples list.tsv", "model is gpt; pictures and sounds are read by atinuke"),
        ("--model bert --examples list.tsv", "model is bert; "),
        ("--model seq2seq --examples list.tsv", "model is seq2seq; "),
        ("--model perceptron --examples digits", "rows are read from one file each"),
        ("--model perceptron --examples digits/0.png", "digits/0.png cannot be used"),
        ("--examples broken.png", "no picture that pillow knows"),
        ("--examples gone", "gone"),
        ("--examples plants.csv", "expected label, and picture, sound or text"),
        ("--examples list.tsv --steps 1 book.txt", "sources and examples are both set"),
        ("--examples list.tsv --set objective.masked_share=0.5", "masked_share"),
        ("--examples list.tsv --time 0.001s", "is used up before the first step"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(words: str, said: str, here: Path, refused: Refused) -> None:
    (here / "broken.png").write_bytes(b"no picture at all")
    (here / "plants.csv").write_text(LEAVES)
    (here / "book.txt").write_text("The cat went to market.\n")
    assert said in refused(words)
