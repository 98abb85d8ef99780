"""Masked text: an encoder learns what stands behind a mask, and says where a text does not allow it."""

import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atinuke.errors import ConfigError, SourceError
from atinuke.run_folder import RunFolder

Train = Callable[..., tuple[RunFolder, list[str]]]
Material = dict[str, dict[str, Any]]

ALPHABET = "abcdefghij"


def folder_of(place: Path, texts: list[str]) -> str:
    place.mkdir()
    for number, text in enumerate(texts):
        (place / f"{number:03}.txt").write_text(text)
    return str(place)


def test_letters_in_a_fixed_order_are_filled_in_from_their_neighbours(
    train: Train, material: Material, tmp_path: Path
) -> None:
    """Who knows only how often each sign comes needs the entropy of the signs."""
    book = tmp_path / "book.txt"
    text = "".join(f"{ALPHABET} {n * n % 97:02} {ALPHABET}\n" for n in range(120))
    book.write_text(text)
    bits = -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())
    learned = {**material["masked"], "data.sources": [str(book)], "model.dropout": 0.0, "batch_seqs": 16}
    learned |= {"model.model_dim": 32, "model.hidden_dim": 64, "objective.whole_words": False}
    learned |= {"objective.next_sentence": False, "model.context": 32, "optim.lr": 0.003, "optim.matrix_lr": 0.02}
    folder, said = train(tmp_path / "run", learned, budget__steps=180)
    score = folder.read_summary()["score"]
    assert score["name"] == "pseudo-bits per byte" and score["value"] < 0.5 * bits
    assert any("── filled in ──" in line for line in said)


def test_pseudo_bits_are_not_passed_off_as_bits(train: Train, material: Material, tmp_path: Path) -> None:
    summary = train(tmp_path / "run", material["masked"], budget__steps=1)[0].read_summary()
    assert summary["val_bpb"] is None
    assert summary["val_pseudo_bpb"] == summary["score"]["value"] > 0
    assert "not comparable with bits per byte" in summary["score"]["note"]


def test_a_single_text_is_said_to_have_no_second_document(train: Train, material: Material, tmp_path: Path) -> None:
    _, said = train(tmp_path / "one", material["masked"], budget__steps=1)
    assert any("The text has no second document" in line for line in said)
    documents = folder_of(
        tmp_path / "letters", [f"Letter {n}: the {n * n % 7} hens are well.\n" * 3 for n in range(60)]
    )
    many, said = train(tmp_path / "many", {**material["masked"], "data.sources": [documents]}, budget__steps=1)
    assert not any("second document" in line for line in said) and many.read_summary()["score"]["value"] > 0


def test_next_sentences_cost_something_where_they_are_asked_about(
    train: Train, material: Material, tmp_path: Path
) -> None:
    losses = []
    for asked in (True, False):
        cfg = {**material["masked"], "objective.next_sentence": asked}
        folder, _ = train(tmp_path / str(asked), cfg, budget__steps=1)
        losses.append(next(folder.iter_metrics())["loss"])
    assert losses[0] - losses[1] == pytest.approx(math.log(2), abs=0.5)  # a coin's worth, before anything is learned


@pytest.mark.parametrize(
    ("texts", "settings", "error", "said"),
    [
        (["abcdefgh\n" * 12], {}, SourceError, "no two documents to draw segments from"),
        (["a cat\n" * 40], {"model.context": 4}, ConfigError, r"model\.context is 4; .* Set model\.context to 5 or"),
        (["a cat\n" * 40], {"model.context": 2, "objective.next_sentence": False}, ConfigError, "needs at least 3"),
        ([letter for letter in ALPHABET * 3], {}, SourceError, "The training text has"),
    ],
    ids=["a short text", "a narrow row", "a row of a frame alone", "documents of one letter"],
)
def test_a_text_that_leaves_nothing_to_learn_is_refused_in_one_line(
    texts: list[str],
    settings: dict[str, Any],
    error: type[Exception],
    said: str,
    train: Train,
    material: Material,
    tmp_path: Path,
) -> None:
    sources = folder_of(tmp_path / "texts", texts)
    with pytest.raises(error, match=said) as told:
        train(tmp_path / "run", {**material["masked"], "data.sources": [sources], **settings}, budget__steps=1)
    assert "\n" not in str(told.value) and not (tmp_path / "run" / "metrics.jsonl").exists()
