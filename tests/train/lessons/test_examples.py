"""Examples: pictures, sounds and texts are told apart by one network, and what had to be changed is said."""

import json
import math
import struct
import wave
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from atinuke.data.batches.examples import held_out_batches
from atinuke.data.example_set import ExampleSet
from atinuke.errors import ConfigError, SourceError
from atinuke.run_folder import RunFolder
from atinuke.train.lessons import examples

Train = Callable[..., tuple[RunFolder, list[str]]]
Material = dict[str, dict[str, Any]]

RATE_HZ = 4000
PICTURE = {"height": 8, "width": 8, "channels": 1, "patch": 4, "stem": "linear"}


def draw(path: Path, is_left: bool, number: int, size: int = 8) -> None:
    """A grey picture, bright on one side, PNG; no two are alike."""
    picture = Image.new("L", (size, size), 20 + number)
    picture.paste(200 + number, (0, 0, size // 2, size) if is_left else (size // 2, 0, size, size))
    picture.save(path)


def play(path: Path, is_left: bool, number: int, rate_hz: int = RATE_HZ) -> None:
    """A fifth of a second of a low or a high tone, WAV; no two are alike."""
    tone_hz = (200 if is_left else 1400) + number
    samples = (round(12_000 * math.sin(2 * math.pi * tone_hz * n / rate_hz)) for n in range(rate_hz // 5))
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))


def make(folder: Path, count: int = 12, kinds: str = "picture sound text") -> list[dict[str, str]]:
    """Files of each kind in `folder`, and the rows of a listing that names them."""
    folder.mkdir(exist_ok=True)
    rows: list[dict[str, str]] = []
    for number in range(count):
        is_left = number % 2 == 0
        label = "left" if is_left else "right"
        draw(folder / f"{number}.png", is_left, number)
        play(folder / f"{number}.wav", is_left, number)
        contents = {"picture": f"{number}.png", "sound": f"{number}.wav"}
        contents["text"] = f"{'aaa' if is_left else 'bbb'} {number}"
        rows += [{kind: contents[kind], "label": label} for kind in kinds.split()]
    return rows


def listed(folder: Path, rows: list[dict[str, str]], name: str = "list.jsonl") -> list[str]:
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return [str(folder / name)]


@pytest.fixture
def settings(material: Material) -> dict[str, Any]:
    """Of tiny runs, without augmentation: what is bright on the left must stay there."""
    still = dict.fromkeys(("shift", "rotation_deg", "scale", "shear", "elastic", "speed"), 0)
    return {**material["examples"], "model.dropout": 0.0, "model.picture": PICTURE} | {
        f"augment.{what}": amount for what, amount in still.items()
    }


def test_one_network_tells_apart_what_it_sees_hears_and_reads(
    train: Train, settings: dict[str, Any], tmp_path: Path
) -> None:
    rows, held_out = make(tmp_path / "a", 24), make(tmp_path / "b", 30)[-18:]  # numbers 24 to 29 are new
    cfg = {**settings, "data.examples": listed(tmp_path / "a", rows), "batch_seqs": 8}
    cfg |= {"data.held_out": listed(tmp_path / "b", held_out), "model.model_dim": 32, "model.hidden_dim": 64}
    folder, said = train(tmp_path / "run", cfg, budget__steps=250)
    summary = folder.read_summary()
    assert summary["score"] == {
        "name": "accuracy",
        "value": 100.0,
        "is_better": "higher",
        "note": "18 of 18 held-out examples",
    }
    assert summary["accuracy_by_kind"] == {kind: {"right": 6, "total": 6} for kind in ("picture", "sound", "text")}
    assert summary["labels"] == ["left", "right"] and summary["samples"] == []
    assert any("Accuracy 100.00 % on held-out examples" in line for line in said)
    assert summary["train_loss"] < 0.5 * math.log(2)


def test_the_sizes_of_pictures_and_sounds_are_found(train: Train, material: Material, tmp_path: Path) -> None:
    cfg = {**material["examples"], "data.examples": listed(tmp_path, make(tmp_path, 4)), "model.model_dim": 8}
    model = train(tmp_path / "run", cfg, budget__steps=1)[0].read_config()["model"]
    assert [model["picture"][side] for side in ("height", "width", "channels")] == [8, 8, 1]
    assert model["sound"]["sample_rate_hz"] == RATE_HZ and model["sound"]["max_s"] == pytest.approx(0.2)


def test_what_had_to_be_changed_or_left_out_is_counted_and_said(
    train: Train, settings: dict[str, Any], tmp_path: Path
) -> None:
    rows = make(tmp_path, 6)
    draw(tmp_path / "large.png", True, 50, size=20)
    play(tmp_path / "fast.wav", True, 50, rate_hz=2 * RATE_HZ)
    (tmp_path / "broken.png").write_bytes((tmp_path / "0.png").read_bytes()[:30])
    (tmp_path / "broken.wav").write_bytes((tmp_path / "0.wav").read_bytes()[:100])
    (tmp_path / "none.png").write_bytes(b"no picture at all")
    files = ("large.png", "fast.wav", "broken.png", "broken.wav", "none.png", "gone.png")
    rows += [{"picture" if name.endswith("png") else "sound": name, "label": "left"} for name in files]
    folder, said = train(tmp_path / "run", {**settings, "data.examples": listed(tmp_path, rows)}, budget__steps=1)
    data = folder.read_summary()["data"]
    assert data["skipped"] == len(data["named_skips"]) == 4
    assert data["changes"] == {"resized to 8 × 8 pixels": 1, "resampled to 4,000 samples per second": 1}
    assert any("1 example was resized to 8 × 8 pixels" in line for line in said)
    assert any("1 example was resampled to 4,000 samples per second" in line for line in said)
    assert any("Skipped 4 examples: " in line for line in said)


def test_texts_longer_than_the_network_reads_are_cut_and_that_is_said(
    train: Train, settings: dict[str, Any], tmp_path: Path
) -> None:
    rows = [*make(tmp_path, 6, "text"), {"text": "a" * 400, "label": "left"}]
    cfg = {**settings, "data.examples": listed(tmp_path, rows), "model.context": 16, "model.picture": None}
    folder, said = train(tmp_path / "run", cfg, budget__steps=1)
    assert any("1 texts were cut to 16 tokens, 0 examples left out for their length." in line for line in said)
    assert folder.read_summary()["data"]["shortened"] == 1


@pytest.mark.parametrize(
    ("kind", "kinds", "said"),
    [
        ("gpt", "picture", "model is gpt; pictures and sounds are read by atinuke"),
        ("llama", "sound", "model is llama; pictures and sounds are read by atinuke"),
        ("bert", "text", "model is bert; examples need a network that continues text"),
        ("seq2seq", "text", "model is seq2seq; examples need a network that continues text"),
    ],
)
def test_a_network_that_cannot_answer_is_refused(
    kind: str, kinds: str, said: str, train: Train, material: Material, tmp_path: Path
) -> None:
    cfg = {**material["examples"], "data.examples": listed(tmp_path, make(tmp_path, 4, kinds)), "model.kind": kind}
    with pytest.raises(ConfigError, match=said) as told:
        train(tmp_path / "run", cfg, budget__steps=1)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("kind", ["gpt", "llama", "rnn"])
def test_texts_are_answered_by_any_network_that_continues_text(
    kind: str, train: Train, material: Material, tmp_path: Path
) -> None:
    cfg = {**material["examples"], "data.examples": listed(tmp_path, make(tmp_path, 8, "text")), "model.kind": kind}
    summary = train(tmp_path / "run", {**cfg, "model.max_len": 64}, budget__steps=2)[0].read_summary()
    assert summary["accuracy_by_kind"].keys() == {"text"}


def test_examples_of_one_answer_leave_nothing_to_learn(train: Train, material: Material, tmp_path: Path) -> None:
    rows = [row for row in make(tmp_path, 8, "text") if row["label"] == "left"]
    with pytest.raises(SourceError, match=r"There is nothing to learn: .* at least two labels"):
        train(tmp_path / "run", {**material["examples"], "data.examples": listed(tmp_path, rows)}, budget__steps=1)


def test_the_embeddings_of_a_text_are_inherited_with_their_width(
    train: Train, material: Material, tmp_path: Path
) -> None:
    text, _ = train(tmp_path / "text", {**material["text"], "model.model_dim": 20}, budget__steps=1)
    cfg = {**material["examples"], "model.model_dim": None, "init_embeddings": str(text.path)}
    folder, said = train(tmp_path / "run", cfg, budget__steps=1)
    assert folder.read_config()["model"]["model_dim"] == 20
    assert any("tokens copied" in line for line in said)
    with pytest.raises(ConfigError, match=r"width 20 and this network 16\. Give --set model\.model_dim=20"):
        train(tmp_path / "other", {**material["examples"], "init_embeddings": str(text.path)}, budget__steps=1)


def test_a_network_that_sees_nothing_is_refused_before_a_picture_is_decoded(
    train: Train, material: Material, tmp_path: Path
) -> None:
    (tmp_path / "broken.png").write_bytes(b"no picture")
    cfg = {**material["examples"], "data.examples": [str(tmp_path / "broken.png")], "model.kind": "gpt"}
    with pytest.raises(ConfigError, match=r"read by atinuke, and .*broken\.png is one"):
        train(tmp_path / "run", cfg, budget__steps=1)


def test_texts_longer_than_those_of_training_can_be_asked(train: Train, material: Material, tmp_path: Path) -> None:
    cfg = {**material["examples"], "data.examples": listed(tmp_path, make(tmp_path, 8, "text")), "model.kind": "gpt"}
    cfg |= {"model.context": None, "model.max_len": None}
    model = train(tmp_path / "run", cfg, budget__steps=1)[0].read_config()["model"]
    assert model["context"] == 256 and model["max_len"] == 256  # gpt learns its places: each costs a row
    model = train(tmp_path / "short", {**cfg, "model.max_len": 40}, budget__steps=1)[0].read_config()["model"]
    assert model["context"] == 40


def test_heads_get_a_width_that_they_can_share(train: Train, settings: dict[str, Any], tmp_path: Path) -> None:
    cfg = {**settings, "data.examples": listed(tmp_path, make(tmp_path, 4)), "model.head_count": 3}
    cfg |= {"model.model_dim": None, "model.key_dim": None}
    model = train(tmp_path / "run", cfg, budget__steps=1)[0].read_config()["model"]
    assert model["model_dim"] == 128 and model["key_dim"] == 129


def test_passes_are_counted_by_the_examples_that_were_seen(
    train: Train, settings: dict[str, Any], tmp_path: Path
) -> None:
    """One label in ten is long, and rare labels do not weigh as much as frequent ones."""
    rows = [{"text": f"{n} aaa", "label": "no" if n % 10 else "x" * 30} for n in range(40)]
    held_out = [{"text": "aaa", "label": "no"}]
    cfg = {**settings, "data.examples": listed(tmp_path, rows), "batch_seqs": 10, "model.picture": None}
    cfg |= {"data.held_out": listed(tmp_path, held_out, "held_out.jsonl")}
    summary = train(tmp_path / "run", cfg, budget__steps=12)[0].read_summary()
    assert summary["epochs"] == pytest.approx(12 * 10 / 40)


@pytest.mark.parametrize("at_once", [2, 5])
def test_the_estimate_is_over_batches_that_are_those_of_the_whole_held_out_part(
    at_once: int, train: Train, settings: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(examples, "ROWS_AT_ONCE", at_once)
    cfg = {**settings, "data.examples": listed(tmp_path, make(tmp_path, 60))}
    folder, _ = train(tmp_path / "run", cfg, budget__steps=1)
    held_out = ExampleSet.open(folder.data)
    whole = list(held_out_batches(held_out, batch_rows=at_once))
    starts = [(kind, n) for kind, rows in held_out.held_out.items() for n in range(0, len(rows), at_once)]
    assert len(starts) == len(whole) > 2
    for (kind, start), expected in zip(starts, whole, strict=True):
        found = examples._held_out_batch(held_out, kind, start, torch.device("cpu"))
        assert torch.equal(found.targets, expected.batch.targets)
        assert torch.equal(found.inputs[0], expected.batch.inputs[0])
        if (prefix := found.inputs[3]) is not None:
            assert torch.equal(prefix.values, expected.batch.inputs[3].values)
