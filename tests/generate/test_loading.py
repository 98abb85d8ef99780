"""Opening a run: what was trained comes back, and whatever is wrong is named in one line."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from atinuke.errors import ConfigError, DamagedFileError, RunFolderError
from atinuke.generate.loading import load_trained
from atinuke.testing import TEXT, make_run
from atinuke.tokenizers import train_tokenizer


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "humpty", "atinuke-paper")


@pytest.fixture
def folder(finished: Path, tmp_path: Path) -> Path:
    """A copy that a test may damage. Its seal is off, so that what lies behind the checksums is tested too."""
    copy = tmp_path / "humpty"
    shutil.copytree(finished, copy)
    (copy / "checksums.json").unlink()
    return copy


def refusal(path: Path, error: type[Exception] = RunFolderError, **more: str) -> str:
    """The message with which a folder is refused, proved to be one line that names the folder."""
    with pytest.raises(error) as caught:
        load_trained(path, **more)
    message = str(caught.value)
    assert message.isprintable(), f"more than one plain line: {message!r}"
    return message


def test_weights_tokenizer_and_sizes_come_back(finished: Path) -> None:
    trained = load_trained(finished, "cpu")
    saved = load_file(finished / "model.safetensors")
    assert saved.keys() == trained.model.state_dict().keys()
    assert all(torch.equal(tensor, saved[name]) for name, tensor in trained.model.state_dict().items())
    assert trained.tokenizer.decode(trained.tokenizer.encode(TEXT)) == TEXT
    assert trained.context == 16
    assert not trained.model.training


def test_loading_leaves_torch_s_random_state_alone(finished: Path) -> None:
    state = torch.get_rng_state()
    load_trained(finished, "cpu")
    assert torch.equal(torch.get_rng_state(), state)


def test_a_folder_that_is_missing_is_named_with_the_nearest_that_is_there(finished: Path) -> None:
    message = refusal(finished.parent / "humpti")
    assert "humpti does not exist" in message
    assert message.endswith(f"Did you mean {finished}?")


def test_a_folder_that_is_missing_with_all_around_it_is_just_missing(tmp_path: Path) -> None:
    assert "does not exist; expected a run folder" in refusal(tmp_path / "no" / "such" / "run")


def test_a_file_and_a_folder_of_something_else_are_no_runs(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    assert "is a file" in refusal(tmp_path / "file")
    (tmp_path / "photos").mkdir()
    assert "no config.json" in refusal(tmp_path / "photos")


def test_an_interrupted_run_says_how_to_go_on(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    message = refusal(folder)
    assert "interrupted" in message
    assert "atinuke train" in message


def test_a_run_without_weights_or_checkpoints_misses_its_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    shutil.rmtree(folder / "state")
    assert "model.safetensors is missing" in refusal(folder)


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
def test_a_sealed_file_with_one_changed_byte_is_named(finished: Path, tmp_path: Path, name: str) -> None:
    copy = tmp_path / "humpty"
    shutil.copytree(finished, copy)
    content = bytearray((copy / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copy / name).write_bytes(content)
    assert f"{name} is damaged" in refusal(copy, DamagedFileError)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut": lambda content: content[: len(content) // 2],
    "zeros": lambda content: bytes(len(content)),
    "text": lambda content: b"hello",
}


@pytest.mark.parametrize("name", ["config.json", "tokenizer.json", "model.safetensors"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_named_even_without_checksums(folder: Path, name: str, damage: str) -> None:
    (folder / name).write_bytes(DAMAGE[damage]((folder / name).read_bytes()))
    assert name in refusal(folder, DamagedFileError)


def test_a_config_that_lacks_a_size_is_named_with_the_size(folder: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    config["model"]["layer_count"] = None
    (folder / "config.json").write_text(json.dumps(config))
    assert "layer_count" in refusal(folder, DamagedFileError)


def test_a_tokenizer_of_another_run_does_not_fit(folder: Path) -> None:
    train_tokenizer("char", ["abc"], None).save(folder / "tokenizer.json")
    message = refusal(folder)
    assert "tokenizer.json has 260 token ids and the network 300" in message


def test_weights_of_another_network_do_not_fit(folder: Path) -> None:
    weights = load_file(folder / "model.safetensors")
    for change, clue in (
        ({"norm.weight": torch.ones(7)}, "norm.weight"),
        ({"more": torch.ones(1)}, "more"),
    ):
        save_file(weights | change, folder / "model.safetensors")
        assert clue in refusal(folder)
    del weights["head.bias"]
    save_file(weights, folder / "model.safetensors")
    assert "head.bias" in refusal(folder)


def test_a_device_that_is_not_here_is_refused(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "cuda" in refusal(finished, ConfigError, device="cuda")
