"""A checkpoint comes back to the bit, or is named as damaged and an older one is used."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from atinuke import weights
from atinuke.errors import DamagedFileError, RunFolderError
from atinuke.models.atinuke_paper import AtinukePaper
from atinuke.train import checkpoint
from atinuke.train.checkpoint import Checkpoints
from atinuke.weights import load_model, load_weights, model_tensors, save_weights

FILES = ("model.safetensors", "optimizer.safetensors", "random.safetensors", "state.json", "checksums.json")


def tensors_of(step: int) -> dict[str, dict[str, Tensor]]:
    """Something in each group that differs from step to step."""
    return {
        "model": {"weight": torch.arange(12.0).reshape(3, 4) + step, "half": torch.full((5,), step / 3).bfloat16()},
        "optimizer": {"0.step": torch.tensor(float(step))},
        "random": {"torch.cpu": torch.arange(16, dtype=torch.uint8) + step},
    }


def save(checkpoints: Checkpoints, step: int, score: float | None = None) -> Path:
    return checkpoints.save(step, tensors_of(step), {"position": step * 10}, score=score)


def names_in(folder: Path) -> list[str]:
    return sorted(place.name for place in folder.iterdir())


def assert_is(loaded: checkpoint.LoadedCheckpoint | None, step: int) -> None:
    assert loaded is not None
    assert (loaded.step, loaded.state) == (step, {"position": step * 10})
    for group, named in tensors_of(step).items():
        assert set(loaded.tensors[group]) == set(named)
        for name, tensor in named.items():
            assert loaded.tensors[group][name].dtype == tensor.dtype
            assert torch.equal(loaded.tensors[group][name], tensor)


@pytest.fixture
def checkpoints(tmp_path: Path) -> Checkpoints:
    return Checkpoints(tmp_path / "state")


def test_a_new_run_has_no_checkpoint(checkpoints: Checkpoints) -> None:
    assert checkpoints.newest_good() is None and checkpoints.best() is None and checkpoints.damaged == []


def test_what_was_saved_comes_back_to_the_bit(checkpoints: Checkpoints) -> None:
    folder = save(checkpoints, 7, score=1 / 3)
    loaded = Checkpoints(checkpoints.folder).newest_good()
    assert_is(loaded, 7)
    assert loaded is not None and loaded.path == folder and loaded.score == 1 / 3


def test_a_checkpoint_is_safetensors_and_json_and_nothing_else(checkpoints: Checkpoints) -> None:
    folder = save(checkpoints, 123)
    assert folder.name == "step-00000123" and names_in(folder) == sorted(FILES)
    for name in FILES[:3]:
        assert load_file(folder / name)  # the format's own library reads them
    for name in FILES[3:]:
        assert json.loads((folder / name).read_text())


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(4, 6).t(),
        torch.randn(8)[::2],
        torch.tensor(1.5),
        torch.zeros(0, 3),
        torch.tensor([True, False]),
        torch.tensor([2**62 + 1]),
        torch.tensor([float("nan"), float("inf"), -0.0]),
        torch.randn(3, dtype=torch.float64),
        torch.randn(3).half(),
        torch.randn(1, 3).expand(4, 3),
        nn.Parameter(torch.randn(2, 2)),
    ],
    ids=[
        "transposed",
        "strided",
        "scalar",
        "empty",
        "bool",
        "int64",
        "nan",
        "float64",
        "half",
        "expanded",
        "parameter",
    ],
)
def test_every_kind_of_tensor_comes_back(checkpoints: Checkpoints, tensor: Tensor) -> None:
    checkpoints.save(1, {"model": {"x": tensor}}, {})
    loaded = checkpoints.newest_good()
    assert loaded is not None
    found = loaded.tensors["model"]["x"]
    assert found.dtype == tensor.dtype and found.shape == tensor.shape
    assert torch.equal(found.nan_to_num(nan=7.0), tensor.detach().nan_to_num(nan=7.0))
    assert not found.requires_grad


def test_tensors_that_share_memory_are_saved_under_each_name(checkpoints: Checkpoints) -> None:
    flat = torch.arange(10.0)
    shared = {"a": flat[:5], "b": flat[5:], "all": flat, "again": flat}
    checkpoints.save(1, {"model": shared}, {})
    loaded = checkpoints.newest_good()
    assert loaded is not None
    for name, tensor in shared.items():
        assert torch.equal(loaded.tensors["model"][name], tensor)


def test_the_last_two_and_the_best_are_kept(checkpoints: Checkpoints) -> None:
    for step, score in ((10, 3.0), (20, 1.0), (30, 2.0), (40, None), (50, float("nan")), (60, 1.5)):
        save(checkpoints, step, score)
    assert names_in(checkpoints.folder) == ["step-00000020", "step-00000050", "step-00000060"]
    assert_is(checkpoints.newest_good(), 60)
    assert_is(checkpoints.best(), 20)


def test_the_newer_of_two_equal_scores_is_the_best(checkpoints: Checkpoints) -> None:
    save(checkpoints, 1, 2.0)
    save(checkpoints, 2, 2.0)
    assert_is(checkpoints.best(), 2)


def test_without_scores_there_is_no_best(checkpoints: Checkpoints) -> None:
    save(checkpoints, 1)
    assert checkpoints.best() is None


def test_keep_says_how_many_and_one_is_the_least(tmp_path: Path) -> None:
    one = Checkpoints(tmp_path / "state", keep=1)
    for step in (1, 2, 3):
        save(one, step)
    assert names_in(tmp_path / "state") == ["step-00000003"]
    with pytest.raises(ValueError, match="at least 1"):
        Checkpoints(tmp_path, keep=0)


def test_a_step_that_is_saved_again_is_replaced(checkpoints: Checkpoints) -> None:
    save(checkpoints, 5, score=1.0)
    checkpoints.save(5, tensors_of(5), {"position": 50}, score=2.0)
    loaded = checkpoints.newest_good()
    assert_is(loaded, 5)
    assert loaded is not None and loaded.score == 2.0
    assert names_in(checkpoints.folder) == ["step-00000005"]


def test_steps_past_the_newest_save_go_because_they_were_given_up(checkpoints: Checkpoints) -> None:
    save(checkpoints, 100, score=0.5)
    (checkpoints.folder / "step-00000100" / "state.json").write_text("damaged")
    save(checkpoints, 40)
    assert names_in(checkpoints.folder) == ["step-00000040"]
    assert_is(checkpoints.newest_good(), 40)


def test_folders_that_are_no_checkpoints_are_left_alone(checkpoints: Checkpoints) -> None:
    for name in ("step-00000009 copy", "notes", "step-9"):
        (checkpoints.folder / name).mkdir(parents=True)
    (checkpoints.folder / "step-00000099").write_text("a file")
    for step in (1, 2, 3):
        save(checkpoints, step)
    assert_is(checkpoints.newest_good(), 3)
    assert names_in(checkpoints.folder) == [
        *("notes", "step-00000002", "step-00000003", "step-00000009 copy", "step-00000099", "step-9"),
    ]


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_cut_is_found_and_named_and_the_older_checkpoint_used(
    checkpoints: Checkpoints, name: str
) -> None:
    save(checkpoints, 1)
    path = save(checkpoints, 2) / name
    whole = path.read_bytes()
    for length in (0, 7, 8, 40, len(whole) // 2, len(whole) - 2):
        path.write_bytes(whole[:length])
        assert_is(checkpoints.newest_good(), 1)
        assert len(checkpoints.damaged) == 1 and name in checkpoints.damaged[0]
    path.unlink()
    assert_is(checkpoints.newest_good(), 1)
    assert name in checkpoints.damaged[0]
    path.write_bytes(whole)
    assert_is(checkpoints.newest_good(), 2)
    assert checkpoints.damaged == []


@pytest.mark.parametrize("name", FILES)
def test_one_flipped_bit_is_found_and_named_and_the_older_checkpoint_used(checkpoints: Checkpoints, name: str) -> None:
    save(checkpoints, 1)
    path = save(checkpoints, 2) / name
    whole = path.read_bytes()
    for place in (0, 1, 9, len(whole) // 3, 2 * len(whole) // 3, len(whole) - 1):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        assert_is(checkpoints.newest_good(), 1)
        assert len(checkpoints.damaged) == 1 and name in checkpoints.damaged[0]
        assert "\n" not in checkpoints.damaged[0]


def test_when_every_checkpoint_is_damaged_each_is_listed_and_none_is_loaded(checkpoints: Checkpoints) -> None:
    for step, name in ((1, "state.json"), (2, "model.safetensors")):
        (save(checkpoints, step) / name).write_bytes(b"")
    with pytest.raises(DamagedFileError, match="start over with --fresh") as told:
        checkpoints.newest_good()
    assert "step-00000001/state.json" in str(told.value).replace(os.sep, "/")
    assert "step-00000002/model.safetensors" in str(told.value).replace(os.sep, "/")


def test_a_damaged_best_gives_way_to_the_next_best(checkpoints: Checkpoints) -> None:
    for step, score in ((1, 1.0), (2, 2.0), (3, 3.0)):
        save(checkpoints, step, score)
    (checkpoints.folder / "step-00000001" / "model.safetensors").write_bytes(b"x")
    assert_is(checkpoints.best(), 2)
    assert "step-00000001" in checkpoints.damaged[0]


def test_a_checkpoint_of_another_format_is_named_and_not_guessed_at(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "FORMAT", 99)
        save(checkpoints, 1)
    with pytest.raises(DamagedFileError, match="another version of atinuke"):
        checkpoints.newest_good()


class Breaking:
    """A function that works, until its `number`-th call, which raises."""

    def __init__(self, true: Callable[..., object], number: int, error: BaseException) -> None:
        self.true, self.number, self.error = true, number, error
        self.calls = 0

    def __call__(self, *args: object, **more: object) -> object:
        self.calls += 1
        if self.calls == self.number:
            raise self.error
        return self.true(*args, **more)


BREAKS = [
    *(("os.fsync", os.fsync, number) for number in (1, 3, 5, 6, 7)),
    *(("os.rename", os.rename, number) for number in (1, 2)),
    *(("os.mkdir", os.mkdir, 1),),
    *(("atinuke.weights.save_file", weights.save_file, number) for number in (1, 2, 3)),
    *(("pathlib.Path.write_bytes", Path.write_bytes, 1),),
    *(("hashlib.file_digest", hashlib.file_digest, 2),),
]


@pytest.mark.parametrize(("target", "true", "number"), BREAKS, ids=lambda value: getattr(value, "__name__", str(value)))
@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()], ids=["full", "stop"])
def test_a_save_that_breaks_in_any_step_leaves_a_good_checkpoint_and_no_litter(
    checkpoints: Checkpoints,
    monkeypatch: pytest.MonkeyPatch,
    target: str,
    true: Callable[..., object],
    number: int,
    error: BaseException,
) -> None:
    save(checkpoints, 1)
    save(checkpoints, 2)
    breaking = Breaking(true, number, error)
    with monkeypatch.context() as patch:
        # a plain function, so that it binds where a method is replaced
        patch.setattr(target, lambda *args, **more: breaking(*args, **more))
        try:
            save(checkpoints, 3)
        except RunFolderError as told:
            assert isinstance(error, OSError)
            assert "step-00000003 cannot be written: No space left on device." in str(told)
            assert "step-00000002 is untouched. Free some disk space" in str(told)
        except KeyboardInterrupt:
            assert isinstance(error, KeyboardInterrupt)
    assert breaking.calls >= number
    loaded = checkpoints.newest_good()
    assert loaded is not None and loaded.step in (2, 3) and checkpoints.damaged == []
    assert_is(loaded, loaded.step)
    assert not any(name.endswith((".tmp", ".replaced")) for name in names_in(checkpoints.folder))
    save(checkpoints, 4)
    assert_is(checkpoints.newest_good(), 4)


def test_an_old_checkpoint_that_cannot_be_deleted_does_not_stop_the_run(
    checkpoints: Checkpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    save(checkpoints, 1)
    save(checkpoints, 2)
    with monkeypatch.context() as patch:

        def refuse(*_: object, **__: object) -> None:
            raise PermissionError(13, "in use")

        patch.setattr(os, "unlink", refuse)
        save(checkpoints, 3)
    assert_is(checkpoints.newest_good(), 3)
    assert len(names_in(checkpoints.folder)) == 3  # steps 2 and 3, and the nameless rest of 1
    save(checkpoints, 4)
    assert names_in(checkpoints.folder) == ["step-00000003", "step-00000004"]


def test_what_an_earlier_killed_save_left_is_cleaned_by_the_next(checkpoints: Checkpoints) -> None:
    folder = save(checkpoints, 1)
    shutil.copytree(folder, checkpoints.folder / ".atinuke-0123abcd.tmp")
    shutil.copytree(folder, checkpoints.folder / "step-00000001.replaced")
    save(checkpoints, 2)
    assert names_in(checkpoints.folder) == ["step-00000001", "step-00000002"]


def test_a_checkpoint_that_was_stepping_aside_when_the_process_died_is_found(checkpoints: Checkpoints) -> None:
    folder = save(checkpoints, 1)
    folder.rename(folder.with_name("step-00000001.replaced"))
    assert_is(checkpoints.newest_good(), 1)
    save(checkpoints, 1)
    assert names_in(checkpoints.folder) == ["step-00000001"]


# --- Weights -------------------------------------------------------------------------------------------------------


def tiny_paper() -> AtinukePaper:
    return AtinukePaper(
        vocab_size=11, model_dim=6, key_dim=4, hidden_dim=8, head_count=2, layer_count=2, dropout=0.1, max_len=32
    )


class Tied(nn.Module):
    """A network whose read-out is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(5, 3)
        self.head = nn.Linear(3, 5, bias=False)
        self.head.weight = self.embedding.weight


def test_weights_come_back_to_the_bit_and_the_model_answers_the_same(tmp_path: Path) -> None:
    one, other = tiny_paper().eval(), tiny_paper().eval()
    tokens = torch.tensor([[1, 2, 3, 10]])
    before = one(tokens)
    save_weights(tmp_path / "model.safetensors", one)
    assert not torch.equal(other(tokens), before)
    load_weights(tmp_path / "model.safetensors", other)
    assert torch.equal(other(tokens), before)


def test_the_file_holds_every_parameter_and_no_table_of_positions(tmp_path: Path) -> None:
    model = tiny_paper()
    model(torch.tensor([[1, 2]]))  # fills the tables
    save_weights(tmp_path / "model.safetensors", model)
    assert set(load_file(tmp_path / "model.safetensors")) == {name for name, _ in model.named_parameters()}


def test_tied_weights_are_written_under_each_name_and_stay_tied(tmp_path: Path) -> None:
    one, other = Tied(), Tied()
    save_weights(tmp_path / "m", one)
    assert set(load_file(tmp_path / "m")) == {"embedding.weight", "head.weight"}
    load_weights(tmp_path / "m", other)
    assert other.head.weight is other.embedding.weight and torch.equal(other.head.weight, one.head.weight)


def test_a_compiled_model_and_a_plain_one_read_each_others_weights(tmp_path: Path) -> None:
    plain, wrapped = nn.Sequential(nn.Linear(2, 2)), nn.Sequential(torch.compile(nn.Linear(2, 2), backend="eager"))
    assert any("_orig_mod" in name for name in wrapped.state_dict())
    assert set(model_tensors(wrapped)) == set(model_tensors(plain))
    save_weights(tmp_path / "m", wrapped)
    load_weights(tmp_path / "m", plain)
    assert torch.equal(plain[0].weight, wrapped[0].weight)


def test_the_weights_of_another_model_are_refused_with_three_differences_and_nothing_changes(tmp_path: Path) -> None:
    save_weights(tmp_path / "m", nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)))
    model = nn.Sequential(nn.Linear(3, 5), nn.Linear(5, 2), nn.Linear(2, 2))
    before = {name: tensor.clone() for name, tensor in model_tensors(model).items()}
    with pytest.raises(RunFolderError) as told:
        load_weights(tmp_path / "m", model)
    assert str(told.value) == (
        f"{tmp_path / 'm'} holds the weights of another model: "
        "0.weight is (4, 3) float32 there and (5, 3) float32 here; "
        "0.bias is (4,) float32 there and (5,) float32 here; 1.weight is (2, 4) float32 there and (2, 5) float32 here; "
        "and 2 more. Use the config.json that was saved with these weights."
    )
    assert all(torch.equal(tensor, before[name]) for name, tensor in model_tensors(model).items())


def test_missing_and_extra_tensors_and_other_types_are_told() -> None:
    model = nn.Linear(2, 2)
    with pytest.raises(RunFolderError, match="bias is missing there and"):
        load_model(model, {"weight": torch.zeros(2, 2)})
    with pytest.raises(RunFolderError, match=r"extra\\x1b is \(1,\) float32 there and missing here"):
        load_model(model, {**model_tensors(model), "extra\x1b": torch.zeros(1)})
    with pytest.raises(RunFolderError, match=r"weight is \(2, 2\) bfloat16 there and \(2, 2\) float32 here"):
        load_model(model, model_tensors(nn.Linear(2, 2).bfloat16()))


@pytest.mark.parametrize("length", [0, 7, 8, 30, -1])
def test_a_weights_file_that_was_cut_is_named_as_damaged(tmp_path: Path, length: int) -> None:
    path = tmp_path / "model.safetensors"
    save_weights(path, nn.Linear(2, 2))
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(DamagedFileError, match=r"model\.safetensors is damaged") as told:
        load_weights(path, nn.Linear(2, 2))
    assert "\n" not in str(told.value)


def test_weights_that_are_missing_or_a_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"model\.safetensors is missing"):
        load_weights(tmp_path / "model.safetensors", nn.Linear(1, 1))
    with pytest.raises(RunFolderError, match="cannot be read"):
        load_weights(tmp_path, nn.Linear(1, 1))
