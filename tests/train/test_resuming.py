"""Which folder a run goes to, and what happens to what is there already."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from atinuke.config import build_settings
from atinuke.errors import Interrupted, RunFolderError
from atinuke.run_folder import RunFolder
from atinuke.train.config import TrainConfig
from atinuke.train.progress import Quiet
from atinuke.train.resuming import find_beginning, save_request
from atinuke.train.run import run

TINY = {
    "tokenizer.kind": "char",
    "model.model_dim": 16,
    "model.layer_count": 1,
    "model.head_count": 2,
    "model.context": 16,
    "model.dropout": 0.1,
    "batch_seqs": 2,
    "dtype": "float32",
    "device": "cpu",
}


class Listener(Quiet):
    """Shows nothing, and remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


@pytest.fixture(autouse=True)
def short_samples(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("atinuke.train.results.SAMPLE_TOKENS", 8)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def book(tmp_path: Path) -> Path:
    path = tmp_path / "book.txt"
    path.write_text("".join(f"The cat number {n * n % 17} went to market.\n" for n in range(100)))
    return path


def settings(book: Path, **more: object) -> TrainConfig:
    flags = {**TINY, "data.sources": [str(book)], "budget.steps": 4, **more}
    return build_settings(TrainConfig, flags=flags)


def go(cfg: TrainConfig) -> tuple[Path, list[str]]:
    listener = Listener()
    return run(cfg, listener, already_s=0.0), listener.said


def losses_of(folder: Path) -> list[tuple[int, float]]:
    return [(row["step"], row["loss"]) for row in RunFolder(folder).iter_metrics()]


def test_runs_without_a_name_are_numbered_and_none_is_overwritten(book: Path) -> None:
    first, _ = go(settings(book))
    second, _ = go(settings(book))
    assert (str(first), str(second)) == ("runs/book", "runs/book-2")


def test_an_unfinished_run_of_the_same_request_is_taken_up_without_a_name(book: Path) -> None:
    save_request(RunFolder("runs/book"), settings(book))
    assert str(find_beginning(settings(book), Quiet()).folder.path) == "runs/book"
    assert str(find_beginning(settings(book, seed=1), Quiet()).folder.path) == "runs/book-2"


def test_a_finished_run_is_left_as_it_is(book: Path) -> None:
    out, _ = go(settings(book, out="r"))
    weights = (out / "model.safetensors").read_bytes()
    _, said = go(settings(book, out="r"))
    assert any("r is finished" in line and "--fresh" in line for line in said)
    assert (out / "model.safetensors").read_bytes() == weights


def test_a_finished_run_trains_on_when_its_budget_grows(book: Path) -> None:
    go(settings(book, out="r"))
    go(settings(book, out="r", **{"budget.steps": 9}))
    assert [step for step, _ in losses_of(Path("r"))] == list(range(1, 10))
    assert RunFolder("r").read_summary()["steps"] == 9


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"seed": 1}, "seed is 0 there and 1 here"),
        ({"model.kind": "atinuke-paper"}, 'model.kind is "atinuke" there and "atinuke-paper" here'),
        ({"model.model_dim": 32}, "model.model_dim is 16 there and 32 here"),
        ({"tokenizer.kind": "bpe"}, "tokenizer.kind is"),
    ],
)
def test_the_folder_of_another_run_is_refused_and_the_difference_named(
    book: Path, changed: dict[str, object], named: str
) -> None:
    go(settings(book, out="r"))
    before = (Path("r") / "model.safetensors").read_bytes()
    with pytest.raises(RunFolderError) as caught:
        go(settings(book, out="r", **changed))
    assert named in str(caught.value) and "--fresh" in str(caught.value) and "\n" not in str(caught.value)
    assert (Path("r") / "model.safetensors").read_bytes() == before


def test_fresh_starts_over_and_leaves_what_is_not_its_own(book: Path) -> None:
    go(settings(book, out="r"))
    Path("r/notes.txt").write_text("mine")
    go(settings(book, out="r", seed=1, resume="fresh"))
    assert Path("r/notes.txt").read_text() == "mine"
    assert RunFolder("r").read_summary()["seed"] == 1
    assert [step for step, _ in losses_of(Path("r"))] == [1, 2, 3, 4]


def test_a_folder_that_is_not_a_run_is_never_written_into(book: Path) -> None:
    Path("thesis").mkdir()
    Path("thesis/chapter.txt").write_text("mine")
    for resume in ("auto", "fresh"):
        with pytest.raises(RunFolderError, match="thesis exists and is not a run folder"):
            go(settings(book, out="thesis", resume=resume))
    assert [path.name for path in Path("thesis").iterdir()] == ["chapter.txt"]
    with pytest.raises(RunFolderError, match=r"book\.txt is a file"):
        go(settings(book, out="book.txt"))


def test_an_empty_folder_is_used(book: Path) -> None:
    Path("r").mkdir()
    assert go(settings(book, out="r"))[0] == Path("r")


def test_stopped_three_times_it_ends_with_the_losses_and_weights_of_an_uninterrupted_run(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout, across the edge of an epoch: 100 lines are about 100 windows of 16, two for each step."""
    whole, _ = go(settings(book, out="whole", **{"budget.steps": 130}))

    for stop_at in (3, 60, 61):
        import atinuke.train.loop as loop

        true_step = loop.optimizer_step

        def stopping(state, batch, rules, factor, stop_at=stop_at, true_step=true_step):  # type: ignore[no-untyped-def]
            if state.step + 1 == stop_at:
                os.kill(os.getpid(), signal.SIGTERM)
            return true_step(state, batch, rules, factor)

        with monkeypatch.context() as patch:
            patch.setattr(loop, "optimizer_step", stopping)
            with pytest.raises(Interrupted, match=f"SIGTERM at step {stop_at}; the state is saved in parts"):
                go(settings(book, out="parts", **{"budget.steps": 130}))
    parts, said = go(settings(book, out="parts", **{"budget.steps": 130}))
    assert any("Going on from step 61" in line for line in said)
    assert losses_of(parts) == losses_of(whole)
    assert (parts / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()


def test_ctrl_c_on_the_command_line_saves_exits_130_and_resumes(book: Path) -> None:
    command = [sys.executable, "-m", "atinuke", "train", str(book), "--steps", "100000", "--out", "r"]
    for key, value in TINY.items():
        command += ["--set", f"{key}={value}"]
    running = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    metrics = Path("r/metrics.jsonl")
    deadline_s = time.monotonic() + 120
    while not (metrics.exists() and metrics.stat().st_size) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    running.send_signal(signal.SIGINT)
    _, stderr = running.communicate(timeout=60)
    assert running.returncode == 130, stderr
    assert "Traceback" not in stderr and "SIGINT" in stderr and "goes on from there" in stderr
    steps = len(losses_of(Path("r")))
    assert steps > 0
    out, _ = go(settings(book, out="r", **{"budget.steps": steps + 2}))
    assert [step for step, _ in losses_of(out)] == list(range(1, steps + 3))
