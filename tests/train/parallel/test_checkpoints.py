"""What several processes save is what one saves, and any number of processes goes on from it."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch.testing import assert_close

from atinuke.run_folder import RunFolder

LAST = Path("state", "step-00000004")


def losses(folder: RunFolder) -> list[float]:
    return [row["loss"] for row in folder.iter_metrics()]


@pytest.mark.parametrize("name", ["paper", "gpt", "llama"])
def test_a_checkpoint_of_four_processes_holds_what_that_of_one_holds(
    by_four: Any, alone: Callable[[str], RunFolder], name: str
) -> None:
    saved, wanted = by_four.folder / name / LAST, alone(name).path / LAST
    assert {file.name for file in saved.iterdir()} == {file.name for file in wanted.iterdir()}
    for group in ("model", "optimizer"):
        found, expected = (load_file(folder / f"{group}.safetensors") for folder in (saved, wanted))
        assert found.keys() == expected.keys()
        for key, tensor in expected.items():
            if key.endswith("project_qkv.bias"):
                continue  # of keys, its gradient is rounding alone: test_equality.py
            assert_close(found[key], tensor, rtol=1e-4, atol=1e-5)


def test_saved_by_four_that_share_heads_taken_up_by_two_replicas(
    by_two: Any, alone: Callable[[str], RunFolder]
) -> None:
    assert [end["error"] for end in by_two.ends["taken-up"]] == ["", ""]
    assert any("Going on from step 2" in line for line in by_two.ends["taken-up"][0]["said"])
    assert losses(RunFolder(by_two.folder / "taken-up")) == pytest.approx(losses(alone("atinuke")), abs=1e-5)


def test_saved_by_four_taken_up_by_one(
    by_four: Any, alone: Callable[[str], RunFolder], train_here: Any, material: Any, tmp_path: Path
) -> None:
    shutil.copytree(by_four.folder / "stopped", tmp_path / "run")
    folder, said = train_here(material["atinuke"], tmp_path / "run")
    assert any("Going on from step 2" in line for line in said)
    assert losses(folder) == pytest.approx(losses(alone("atinuke")), abs=1e-5)


def test_a_disk_that_fills_up_ends_all_in_one_line_and_leaves_the_last_checkpoint(by_two: Any) -> None:
    ends = by_two.ends["disk"]
    for end in ends:
        assert end["error"].startswith("RunFolderError") and "No space left on device" in end["error"]
        assert "The checkpoint step-00000000 is untouched." in end["error"] and "\n" not in end["error"]
    assert (by_two.folder / "disk" / "state" / "step-00000000" / "checksums.json").is_file()
