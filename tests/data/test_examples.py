import json
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from atinuke.data.example_sources import ExampleNotes
from atinuke.data.examples import Example, Examples, PictureShape, read_examples, split_examples
from atinuke.errors import SourceError

Writer = Callable[[dict[str, bytes]], Path]


def png(height: int, width: int, colour: int | tuple[int, int, int] = 9) -> bytes:
    file = BytesIO()
    Image.new("L" if isinstance(colour, int) else "RGB", (width, height), colour).save(file, format="PNG")
    return file.getvalue()


def wav(samples: int, rate_hz: int) -> bytes:
    file = BytesIO()
    soundfile.write(file, np.full(samples, 0.25), rate_hz, format="WAV")
    return file.getvalue()


def texts(*rows: tuple[str, str] | tuple[str, str, str]) -> Examples:
    made = [Example("text", text, label, *question) for text, label, *question in rows]
    return Examples(("made",), made, ExampleNotes(), None, None)


def test_the_first_picture_says_the_size_and_others_are_resized_and_counted(folder_of: Writer) -> None:
    folder = folder_of({"a/1.png": png(4, 6), "a/2.png": png(8, 8, 50), "b/3.png": png(4, 6, 7)})
    examples = read_examples([str(folder)])
    assert examples.picture == PictureShape(4, 6, 1)
    assert [np.shape(row.content) for row in examples.rows] == [(4, 6, 1)] * 3
    assert np.unique(examples.rows[1].content).tolist() == [50]  # type: ignore[arg-type]
    assert examples.notes.change_counts == {"resized to 4 × 6 pixels": 1}
    read, resized = examples.describe()
    assert read == "Read 3 pictures with 2 different answers."
    assert resized.startswith("1 example was resized to 4 × 6 pixels: ") and resized.endswith("a/2.png.")


def test_a_size_that_is_asked_for_goes_before_that_of_the_first(folder_of: Writer) -> None:
    folder = folder_of({"a/1.png": png(4, 6, (255, 0, 0)), "b/3.png": png(2, 2)})
    examples = read_examples([str(folder)], picture=PictureShape(2, 2, 1))
    assert examples.picture == PictureShape(2, 2, 1)
    assert np.unique(examples.rows[0].content).tolist() == [76]  # type: ignore[arg-type]  # 0.299 · 255


def test_where_one_picture_has_colours_all_get_three_channels(folder_of: Writer) -> None:
    folder = folder_of({"a/1.png": png(2, 2, 30), "b/2.png": png(2, 2, (1, 2, 3))})
    examples = read_examples([str(folder)])
    assert examples.picture == PictureShape(2, 2, 3)
    assert [np.asarray(row.content)[0, 0].tolist() for row in examples.rows] == [[30, 30, 30], [1, 2, 3]]


def test_large_pictures_are_brought_down_to_what_a_network_reads(folder_of: Writer) -> None:
    examples = read_examples([str(folder_of({"a/1.png": png(512, 256), "b/1.png": png(512, 256, 1)}))])
    assert examples.picture == PictureShape(128, 64, 1)


def test_sounds_of_another_rate_are_resampled_and_long_ones_cut_and_both_are_said(folder_of: Writer) -> None:
    folder = folder_of({"a/1.wav": wav(800, 8000), "a/2.wav": wav(3200, 16000), "b/3.wav": wav(80, 8000)})
    examples = read_examples([str(folder)], max_s=0.1)
    assert examples.sample_rate_hz == 8000 and examples.longest_sound_s == pytest.approx(0.1)
    assert [len(row.content) for row in examples.rows] == [800, 800, 80]
    assert examples.notes.change_counts == {"resampled to 8,000 samples per second": 1, "cut to their first 0.1 s": 1}
    again = read_examples([str(folder)], sample_rate_hz=16000)
    assert [len(row.content) for row in again.rows] == [1600, 3200, 160]


def test_a_broken_file_is_a_counted_skip_with_its_reason(folder_of: Writer) -> None:
    folder = folder_of(
        {"a/1.png": png(2, 2), "a/2.png": b"no picture", "b/1.wav": wav(9, 8000)[:50], "b/2.png": png(2, 2)}
    )
    examples = read_examples([str(folder)])
    assert examples.counts == {"picture": 2} and examples.sample_rate_hz is None
    assert examples.notes.skipped == 2
    assert [reason for _, reason in examples.notes.named] == [
        "no picture that pillow knows",
        "a WAV file cut off after 50 of 62 bytes",
    ]


def test_nothing_usable_is_an_error_with_the_reasons(folder_of: Writer) -> None:
    folder = folder_of({"a/1.png": b"", "b/1.png": b""})
    with pytest.raises(
        SourceError, match=r"give nothing to learn from \(.*a/1.png: no picture that pillow knows; .*b/1"
    ):
        read_examples([str(folder)])


def test_pictures_sounds_and_texts_stand_together(folder_of: Writer) -> None:
    rows = [{"picture": "1.png", "label": "x"}, {"sound": "1.wav", "label": "y"}, {"text": "hm", "label": "z"}]
    listing = "\n".join(map(json.dumps, rows)).encode()
    folder = folder_of({"l.jsonl": listing, "1.png": png(2, 3), "1.wav": wav(5, 8000)})
    examples = read_examples([str(folder / "l.jsonl")])
    assert examples.counts == {"picture": 1, "sound": 1, "text": 1}
    assert examples.describe() == ["Read 1 picture and 1 sound and 1 text with 3 different answers."]


@given(st.lists(st.integers(0, 30), min_size=25, max_size=80), st.integers(0, 5))
def test_a_tenth_is_held_out_and_nothing_stands_on_both_sides(numbers: list[int], seed: int) -> None:
    examples = texts(*((f"text {number}", f"label {place % 2}") for place, number in enumerate(numbers)))
    distinct = len(set(numbers))
    if distinct < 5:
        return
    try:
        split = split_examples(examples, seed=seed)
    except SourceError:  # repetitions of one text can leave a single label
        return
    held, trained = ({row.content for row in part} for part in (split.held_out, split.train))
    assert held and not held & trained
    assert len(split.held_out) + len(split.train) == len(examples.rows) and split.removed == 0
    repeats = max(numbers.count(number) for number in numbers)
    assert len(split.held_out) <= max(1, round(0.1 * len(numbers))) + repeats - 1
    assert split_examples(examples, seed=seed) == split


def test_another_seed_holds_out_others_and_each_kind_has_its_tenth() -> None:
    rows = [Example(kind, f"{number}", str(number % 3)) for kind in ("text", "sound") for number in range(100)]
    examples = Examples(("made",), rows, ExampleNotes(), None, 8000)
    first, second = (split_examples(examples, seed=seed) for seed in (0, 1))
    assert (
        [row.kind for row in first.held_out].count("sound") == [row.kind for row in first.held_out].count("text") == 10
    )
    assert {row.content for row in first.held_out} != {row.content for row in second.held_out}


def test_what_is_held_out_leaves_training_whatever_its_label() -> None:
    trained = texts(("a", "x"), ("b", "y"), ("c", "x"), ("a", "y"), ("a", "y", "really?"))
    split = split_examples(trained, texts(("a", "x"), ("new", "x")))
    assert [(row.content, row.question) for row in split.train] == [("b", ""), ("c", ""), ("a", "really?")]
    assert [row.content for row in split.held_out] == ["a", "new"] and split.removed == 2


@pytest.mark.parametrize(
    ("rows", "held_out", "reason"),
    [
        ([("a", "x"), ("b", "x"), ("c", "x")], None, "the 2 to train on have only the label 'x'"),
        ([("a", "x"), ("b", "y")], [("a", "x"), ("b", "y")], "the 0 to train on have no examples"),
        ([("a", "x")], [("b", "y")], "the 1 to train on have only the label 'x'"),
    ],
)
def test_a_split_that_leaves_nothing_to_learn_is_refused(
    rows: list[tuple[str, str]], held_out: list[tuple[str, str]] | None, reason: str
) -> None:
    with pytest.raises(SourceError, match=f"There is nothing to learn: .*{reason}"):
        split_examples(texts(*rows), texts(*held_out) if held_out else None)


def test_a_kind_that_is_only_held_out_is_refused() -> None:
    sound = Examples(("s",), [Example("sound", np.zeros(3, np.float32), "x")], ExampleNotes(), None, 8000)
    with pytest.raises(SourceError, match="There are sounds held out and none to train on"):
        split_examples(texts(("a", "x"), ("b", "y")), sound)


def test_the_tokenizer_learns_from_what_is_trained_on_alone() -> None:
    split = split_examples(texts(("a", "x"), ("b", "y", "what?")), texts(("secret", "z")))
    assert list(split.texts()) == ["a", "x", "b", "what?", "y"]
