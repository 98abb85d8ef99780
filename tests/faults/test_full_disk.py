"""A disk that is full: one line says so, what stood before stays, and nothing half-written is left."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from torch import nn

from atinuke.errors import RunFolderError
from atinuke.run_folder import MetricsWriter, RunFolder, write_atomic
from atinuke.train.checkpoint import Checkpoints
from atinuke.weights import load_weights, save_weights

resource = pytest.importorskip("resource", reason="Windows has no limits on file sizes to play a full disk with")


@contextmanager
def room_for(size_bytes: int) -> Iterator[None]:
    """No file of this process can grow past `size_bytes`: as on a full disk, a part of a write is taken first."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def save(checkpoints: Checkpoints, step: int) -> None:
    groups = {"model": {"w": torch.full((10_000,), float(step))}, "optimizer": {"m": torch.zeros(20_000)}}
    checkpoints.save(step, groups, {"text": "x" * 100_000}, score=None)


@pytest.mark.parametrize("size_bytes", [0, 100, 50_000, 90_000], ids=["nothing", "header", "second", "third"])
def test_a_checkpoint_that_finds_no_room_leaves_the_previous_one_good(tmp_path: Path, size_bytes: int) -> None:
    checkpoints = Checkpoints(tmp_path / "state")
    save(checkpoints, 1)
    with room_for(size_bytes), pytest.raises(RunFolderError) as told:
        save(checkpoints, 2)
    assert str(told.value) == (
        f"{tmp_path / 'state' / 'step-00000002'} cannot be written: File too large. "
        "The checkpoint step-00000001 is untouched. Raise the limit on file sizes (ulimit -f), or choose another disk."
    )
    assert [place.name for place in checkpoints.folder.iterdir()] == ["step-00000001"]
    loaded = checkpoints.newest_good()
    assert loaded is not None and loaded.step == 1 and checkpoints.damaged == []
    save(checkpoints, 2)
    loaded = checkpoints.newest_good()
    assert loaded is not None and loaded.step == 2


def test_weights_that_find_no_room_leave_the_previous_ones(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    old, new = nn.Linear(50, 50), nn.Linear(50, 50)
    save_weights(path, old)
    with room_for(5_000), pytest.raises(RunFolderError, match=r"model\.safetensors cannot be written: File too large"):
        save_weights(path, new)
    load_weights(path, new)
    assert torch.equal(new.weight, old.weight)
    assert [place.name for place in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_row_that_finds_no_room_is_not_there_in_part_and_the_next_one_fits_again(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsWriter(path) as metrics:
        metrics.append({"step": 1})
        with (
            room_for(path.stat().st_size + 5),
            pytest.raises(RunFolderError, match="rows before this one are unchanged"),
        ):
            metrics.append({"step": 2})
        assert path.read_text() == '{"step": 1}\n'
        metrics.append({"step": 3})
    assert [row["step"] for row in RunFolder(tmp_path).iter_metrics()] == [1, 3]


def test_a_process_with_a_limit_on_file_sizes_is_told_and_not_killed(tmp_path: Path) -> None:
    write_atomic(tmp_path / "summary.json", json.dumps({"val_bpb": 2.0}))
    code = (
        "import resource, sys\nfrom pathlib import Path\nfrom atinuke.run_folder import write_atomic\n"
        "from atinuke.errors import AtinukeError\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: write_atomic(Path(sys.argv[1]), 'x' * 5000)\n"
        "except AtinukeError as error: sys.exit(str(error))\n"
    )
    child = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "summary.json"], capture_output=True, text=True, check=False
    )
    assert child.returncode == 1
    assert child.stderr.startswith(f"{tmp_path / 'summary.json'} cannot be written: File too large.")
    assert child.stderr.count("\n") == 1
    assert json.loads((tmp_path / "summary.json").read_text()) == {"val_bpb": 2.0}
