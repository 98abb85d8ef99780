"""Killed, or cut off from power, at any moment of a save: the last good checkpoint is there and nothing is mixed up."""

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from atinuke.durable import REPLACED, clean_leftovers, verify_folder, write_atomic, write_folder_atomic
from atinuke.run_folder import MetricsWriter, RunFolder
from atinuke.train.checkpoint import Checkpoints

Record = Callable[[Path, Callable[[], object]], Any]


def save(checkpoints: Checkpoints, step: int, version: int = 0) -> None:
    groups = {"model": {"w": torch.full((64,), float(step))}, "optimizer": {"m": torch.full((64,), float(version))}}
    checkpoints.save(step, groups, {"step": step, "version": version}, score=float(step))


def what_loads(folder: Path) -> tuple[int, int]:
    """(step, version) of the newest good checkpoint, whose parts all belong together; nothing damaged on the way."""
    checkpoints = Checkpoints(folder)
    loaded = checkpoints.newest_good()
    assert loaded is not None and checkpoints.damaged == []
    step, version = loaded.state["step"], loaded.state["version"]
    assert loaded.step == step
    assert loaded.tensors["model"]["w"].tolist() == [step] * 64
    assert loaded.tensors["optimizer"]["m"].tolist() == [version] * 64
    return step, version


@pytest.mark.parametrize("disk", ["after_kill", "after_power_cut"])
def test_at_every_moment_of_a_save_the_newest_good_checkpoint_is_the_old_or_the_new_one(
    tmp_path: Path, record: Record, disk: str
) -> None:
    checkpoints = Checkpoints(tmp_path / "state")
    for step in (1, 2, 3):
        save(checkpoints, step)
    recorder = record(checkpoints.folder, lambda: save(checkpoints, 4))
    found = [what_loads(moment)[0] for moment in getattr(recorder, disk)]
    assert len(found) > 40
    assert found == sorted(found) and set(found) == {3, 4}  # once the new one is there it stays
    for moment in getattr(recorder, disk)[::4]:
        save(Checkpoints(moment), 5)
        assert what_loads(moment)[0] == 5
        assert {place.name[:5] for place in moment.iterdir()} == {"step-"}


@pytest.mark.parametrize("disk", ["after_kill", "after_power_cut"])
def test_the_only_checkpoint_survives_every_moment_of_its_own_replacement(
    tmp_path: Path, record: Record, disk: str
) -> None:
    checkpoints = Checkpoints(tmp_path / "state", keep=1)
    save(checkpoints, 7, version=1)
    recorder = record(checkpoints.folder, lambda: save(checkpoints, 7, version=2))
    found = [what_loads(moment) for moment in getattr(recorder, disk)]
    assert found == sorted(found) and set(found) == {(7, 1), (7, 2)}


@pytest.mark.parametrize("disk", ["after_kill", "after_power_cut"])
def test_at_every_moment_of_a_write_the_file_is_the_old_or_the_new_one(
    tmp_path: Path, record: Record, disk: str
) -> None:
    (tmp_path / "run").mkdir()
    path = tmp_path / "run" / "summary.json"
    write_atomic(path, "old")
    recorder = record(path.parent, lambda: write_atomic(path, "new"))
    found = [(moment / "summary.json").read_text() for moment in getattr(recorder, disk)]
    assert found == sorted(found, reverse=True) and set(found) == {"old", "new"}


def test_a_new_checkpoint_is_durable_before_an_old_one_goes(tmp_path: Path, record: Record) -> None:
    checkpoints = Checkpoints(tmp_path / "state")
    for step in (1, 2, 3):
        save(checkpoints, step)
    log = record(checkpoints.folder, lambda: save(checkpoints, 4)).log
    placed = next(n for n, (call, _, target) in enumerate(log) if call == "rename" and target == "step-00000004")
    dropped = next(n for n, (call, source, _) in enumerate(log) if call == "rename" and source == "step-00000002")
    temporary = log[placed][1]
    assert ("fsync", temporary, "") in log[:placed]  # its names, before it gets its own
    assert ("fsync", "state", "") in log[placed:dropped]  # and its own, before another loses its


def test_rows_of_metrics_survive_every_moment_of_dropping_the_last(tmp_path: Path, record: Record) -> None:
    run = RunFolder(tmp_path / "run")
    run.create()
    with MetricsWriter(run.metrics) as metrics:
        for step in (1, 2, 3):
            metrics.append({"step": step})
        metrics.sync()
        recorder = record(run.path, lambda: metrics.truncate_after(1))
    for moment in [*recorder.after_kill, *recorder.after_power_cut]:
        rows = [row["step"] for row in RunFolder(moment).iter_metrics()]
        assert rows in ([1, 2, 3], [1])


WRITER = """
import sys
from pathlib import Path
from atinuke.durable import write_folder_atomic
def fill(folder):
    for name in "abc":
        (folder / name).write_bytes(bytes([version % 256]) * 50_000)
version = 0
while True:
    version += 1
    write_folder_atomic(Path(sys.argv[1]) / "x", fill)
    if version == 1:
        print("ready", flush=True)
"""


def test_a_process_that_is_really_killed_leaves_one_whole_folder(tmp_path: Path) -> None:
    delays = random.Random(0)
    for attempt in range(8):
        folder = tmp_path / str(attempt)
        child = subprocess.Popen([sys.executable, "-c", WRITER, folder], stdout=subprocess.PIPE)
        assert child.stdout is not None and child.stdout.readline() == b"ready\n"
        time.sleep(delays.uniform(0.0, 0.02))
        child.kill()
        child.wait()
        child.stdout.close()
        standing = next(place for place in (folder / "x", folder / f"x{REPLACED}") if place.is_dir())
        verify_folder(standing)
        assert len({(standing / name).read_bytes() for name in "abc"}) == 1
        clean_leftovers(folder)
        write_folder_atomic(folder / "x", lambda place: (place / "a").write_text("again") and None)
        assert [place.name for place in folder.iterdir()] == ["x"]
