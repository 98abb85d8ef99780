"""A training that was killed, ran out of disk or lost a file goes on to the very weights of one that was not."""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from atinuke import weights
from atinuke.config import build_settings
from atinuke.errors import DamagedFileError, RunFolderError
from atinuke.machine import probe_machine
from atinuke.run_folder import RunFolder
from atinuke.testing import Listener
from atinuke.train.config import TrainConfig
from atinuke.train.run import run

STEPS = 6


def train(book: Path, out: Path) -> list[str]:
    """Trains a tiny model for six steps, or goes on with it; returns what was said."""
    flags = {
        "data.sources": [str(book)],
        "tokenizer.kind": "char",
        **{"model.model_dim": 16, "model.layer_count": 1, "model.head_count": 2, "model.context": 16, "batch_seqs": 2},
        **{"budget.steps": STEPS, "checkpoint.every_steps": 2, "device": "cpu", "dtype": "float32", "out": str(out)},
    }
    listener = Listener()
    run(build_settings(TrainConfig, flags=flags), listener, already_s=0.0)
    return listener.said


def losses_of(folder: Path) -> list[tuple[int, float]]:
    return [(row["step"], row["loss"]) for row in RunFolder(folder).iter_metrics()]


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """One measurement for all, one thread, short samples."""
    one_core = dataclasses.replace(probe_machine("cpu"), cores=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("atinuke.train.run.probe_machine", lambda _: one_core)
        patch.setattr("atinuke.train.lessons.text_scores.SAMPLE_TOKENS", 8)
        threads = torch.get_num_threads()
        yield
        torch.set_num_threads(threads)
        torch.set_flush_denormal(False)


@pytest.fixture(scope="module")
def book(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "book.txt"
    animals = ("cat", "dog", "hen", "cow")
    path.write_text("".join(f"The {animals[n * n % 4]} number {n} went to market.\n" for n in range(100)))
    return path


@pytest.fixture(scope="module")
def moments(book: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The run folder as a kill would leave it: just before each name gets its place, the first time; and at the end."""
    place = tmp_path_factory.mktemp("moments")
    copies: dict[str, Path] = {}

    def watched(true: Callable[..., None]) -> Callable[..., None]:
        def call(source: Path, target: Path) -> None:
            name = Path(target).name
            if name not in copies and not name.startswith("."):
                copies[name] = shutil.copytree(place / "run", place / f"before-{name}")
            true(source, target)

        return call

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "rename", watched(os.rename))
        patch.setattr(os, "replace", watched(os.replace))
        train(book, place / "run")
    return {**copies, "end": place / "run"}


@pytest.mark.parametrize(
    "moment",
    ["data", "step-00000000", "step-00000004", "model.safetensors", "summary.json", "report.html", "checksums.json"],
)
def test_a_training_killed_at_any_stage_ends_with_the_same_weights_and_losses(
    moments: dict[str, Path], book: Path, tmp_path: Path, moment: str
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(moments[moment], folder)
    train(book, folder)
    assert (folder / "model.safetensors").read_bytes() == (moments["end"] / "model.safetensors").read_bytes()
    assert losses_of(folder) == losses_of(moments["end"])
    assert [step for step, _ in losses_of(folder)] == list(range(1, STEPS + 1))
    assert RunFolder(folder).verify()
    assert (folder / "report.html").is_file() and (folder / "README.md").is_file()
    scores = [json.loads((place / "summary.json").read_text())["val_bpb"] for place in (folder, moments["end"])]
    assert scores[0] == scores[1] > 0


def test_a_disk_that_fills_up_stops_the_training_in_one_line_and_the_same_command_goes_on(
    moments: dict[str, Path], book: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true = weights.save_file

    def fill_up(tensors: Any, path: Path) -> None:
        if len(list((tmp_path / "run" / "state").glob("step-*"))) == 2:  # two fit, the third does not
            Path(path).write_bytes(b"half of a fi")
            raise OSError(28, "No space left on device")
        true(tensors, path)

    with monkeypatch.context() as patch:
        patch.setattr(weights, "save_file", fill_up)
        with pytest.raises(
            RunFolderError, match=r"No space left on device\. The checkpoint step-00000002 is unt"
        ) as told:
            train(book, tmp_path / "run")
    assert "\n" not in str(told.value)
    train(book, tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").read_bytes() == (moments["end"] / "model.safetensors").read_bytes()
    assert losses_of(tmp_path / "run") == losses_of(moments["end"])


def flip(path: Path) -> None:
    whole = bytearray(path.read_bytes())
    whole[len(whole) // 2] ^= 1
    path.write_bytes(whole)


def test_a_damaged_checkpoint_is_named_and_training_goes_on_from_the_older_one(
    moments: dict[str, Path], book: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(moments["step-00000006"], folder)
    flip(folder / "state" / "step-00000004" / "optimizer.safetensors")
    said = train(book, folder)
    assert any("step-00000004" in line and "optimizer.safetensors is damaged" in line for line in said)
    assert (folder / "model.safetensors").read_bytes() == (moments["end"] / "model.safetensors").read_bytes()
    assert losses_of(folder) == losses_of(moments["end"])


@pytest.mark.parametrize(
    "names",
    [
        ("data/train/tokens-00000.bin",),
        ("tokenizer.json",),
        ("config.json",),
        ("state/step-00000002/model.safetensors", "state/step-00000004/state.json"),
    ],
    ids=["shard", "tokenizer", "config", "all checkpoints"],
)
def test_what_nothing_can_replace_is_named_and_nothing_is_lost(
    moments: dict[str, Path], book: Path, tmp_path: Path, names: tuple[str, ...]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(moments["step-00000006"], folder)
    for name in names:
        flip(folder / name)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(DamagedFileError) as told:
        train(book, folder)
    for name in names:
        assert Path(name).name in str(told.value)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}.items() >= {
        path: content for path, content in before.items() if ".atinuke-" not in str(path)
    }.items()
