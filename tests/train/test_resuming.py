"""Which folder a run goes to, and what happens to what is there already."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from atinuke.config import build_settings
from atinuke.errors import ConfigError, Interrupted, RunFolderError, SourceError
from atinuke.run_folder import RunFolder
from atinuke.testing import Listener
from atinuke.train import loop
from atinuke.train.config import TrainConfig
from atinuke.train.progress import Quiet
from atinuke.train.resuming import find_beginning, save_request
from atinuke.train.run import run
from atinuke.train.schedule import Clock

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


@pytest.fixture(autouse=True)
def short_samples(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("atinuke.train.lessons.text_scores.SAMPLE_TOKENS", 8)
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


def files_in(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_fresh_takes_nothing_away_when_the_new_run_cannot_begin(book: Path) -> None:
    go(settings(book, out="r"))
    before = files_in(Path("r"))
    Path("empty.txt").touch()
    for source in ("no-such-file.txt", "empty.txt"):
        with pytest.raises(SourceError):
            go(settings(Path(source), out="r", resume="fresh"))
        assert files_in(Path("r")) == before
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="cuda"):
            go(settings(book, out="r", resume="fresh", device="cuda"))
        assert files_in(Path("r")) == before


@pytest.mark.skipif(sys.platform == "win32", reason="folders cannot be locked there")
def test_fresh_takes_nothing_away_from_a_run_that_is_in_use(book: Path) -> None:
    go(settings(book, out="r"))
    before = files_in(Path("r"))
    with RunFolder("r").claim(), pytest.raises(RunFolderError, match="written by another process"):
        go(settings(book, out="r", resume="fresh"))
    assert files_in(Path("r")) == before


def test_fresh_without_a_name_starts_the_unfinished_run_over(book: Path) -> None:
    save_request(RunFolder("runs/book"), settings(book))
    beginning = find_beginning(settings(book, resume="fresh"), Quiet())
    assert (str(beginning.folder.path), beginning.must_clear) == ("runs/book", True)


def test_deleted_shards_are_written_again_and_others_are_refused(book: Path) -> None:
    go(settings(book, out="r"))
    shutil.rmtree("r/data")
    go(settings(book, out="r", **{"budget.steps": 6}))
    assert RunFolder("r").read_summary()["steps"] == 6
    shutil.rmtree("r/data")
    book.write_text(book.read_text() + "More of it.\n")
    with pytest.raises(RunFolderError, match="not the data that this run began with"):
        go(settings(book, out="r", **{"budget.steps": 8}))


def test_a_larger_budget_stands_in_the_saved_settings(book: Path) -> None:
    go(settings(book, out="r"))
    go(settings(book, out="r", **{"budget.steps": 6}))
    assert RunFolder("r").read_config()["budget"]["steps"] == 6


def test_a_window_longer_than_max_len_is_refused(book: Path) -> None:
    with pytest.raises(ConfigError, match="max_len"):
        go(settings(book, out="r", **{"model.max_len": 8}))


def test_a_text_of_a_few_words_trains_or_says_what_is_missing(tmp_path: Path) -> None:
    rhyme = tmp_path / "humpty.txt"
    rhyme.write_text("Humpty Dumpty sat on a wall.\nHumpty Dumpty had a great fall.\n")
    free = {"model.context": None, "batch_seqs": None}
    out, _ = go(settings(rhyme, out="r", **free))
    assert RunFolder(out).read_summary()["val_bpb"] > 0
    rhyme.write_text("ab")
    with pytest.raises(SourceError) as caught:
        go(settings(rhyme, out="s", **free))
    assert "\n" not in str(caught.value)
    assert not Path("s/config.json").exists()


def test_time_that_is_used_up_before_the_first_step_is_said(book: Path) -> None:
    cfg = settings(book, out="r", **{"budget.steps": None, "budget.time_s": 30.0})
    with pytest.raises(ConfigError, match=r"--time 30s is used up before the first step .* Give more time"):
        run(cfg, Quiet(), already_s=29.5)


def test_a_run_by_the_clock_trains_saves_and_goes_on_with_the_time_that_is_left(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that the test turns: each step takes a second."""
    now_s = [0.0]
    clock_cfg = {"budget.steps": None, "budget.time_s": 100.0}
    monkeypatch.setattr("atinuke.train.run.Clock", lambda already_s: Clock(already_s, lambda: now_s[0]))
    true_step = loop.optimizer_step

    def a_second(state, batch, rules, factor):  # type: ignore[no-untyped-def]
        now_s[0] += 1.0
        if state.step + 1 == 30:
            os.kill(os.getpid(), signal.SIGTERM)
        return true_step(state, batch, rules, factor)

    monkeypatch.setattr(loop, "optimizer_step", a_second)
    with pytest.raises(Interrupted, match="at step 30"):
        go(settings(book, out="r", **clock_cfg))
    out, said = go(settings(book, out="r", **clock_cfg))
    summary = RunFolder(out).read_summary()
    assert any("Going on from step 30" in line for line in said)
    assert 95 <= summary["elapsed_s"] <= 100
    assert 90 <= summary["steps"] <= 100
    rates = [row["lr"] for row in RunFolder(out).iter_metrics()]
    assert rates[-1] < 0.1 * max(rates) and rates.index(max(rates)) < 40


def test_an_empty_folder_is_used(book: Path) -> None:
    Path("r").mkdir()
    assert go(settings(book, out="r"))[0] == Path("r")


def test_stopped_three_times_it_ends_with_the_losses_and_weights_of_an_uninterrupted_run(
    book: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With dropout, across the edge of an epoch: 100 lines are about 100 windows of 16, two for each step."""
    whole, _ = go(settings(book, out="whole", **{"budget.steps": 130}))

    for stop_at in (3, 60, 61):
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
