"""`atinuke scale`: what is trained in which order, what is not trained again, and what is written. Training stands
aside but for the last test; reading, the tokenizer and the text that all share are real."""

import io
import json
import math
import shlex
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from atinuke.durable import to_json, write_atomic
from atinuke.errors import AtinukeError, ConfigError, Interrupted, MissingExtraError, NonFiniteLossError, RunFolderError
from atinuke.models.config import ModelConfig
from atinuke.run_folder import RunFolder
from atinuke.scale import ladder, laws, preparing
from atinuke.scale import run as stage
from atinuke.scale.config import ScaleConfig, scale_settings
from atinuke.testing import TEXT
from atinuke.train.config import TrainConfig
from atinuke.train.lessons.text import TextLesson
from atinuke.train.planning import shapes
from atinuke.train.planning.fit import fit_law
from atinuke.train.planning.law import Law
from atinuke.train.planning.shapes import matrix_parameters

LAW = Law(e=1.0, a=12.0, alpha=0.3, b=100.0, beta=0.33)
PNG = b"\x89PNG\r\n\x1a\n"
RUNS = 10
"""Of the ladder here: three sizes on three lengths, and one held out."""


@dataclass
class Trainer:
    """Stands in for training: writes what a run leaves behind, with the loss that a law gives."""

    trained: list[str] = field(default_factory=list)
    configs: list[TrainConfig] = field(default_factory=list)
    instead: dict[int, Callable[[RunFolder], None]] = field(default_factory=dict)
    """By the number of the call, what happens instead of success."""

    def train_one(self, cfg: TrainConfig, log: Path) -> None:
        assert cfg.out is not None
        self.trained.append(cfg.out.name)
        self.configs.append(cfg)
        assert log == cfg.out.with_name(f"{cfg.out.name}.log")
        if (number := len(self.trained)) in self.instead:
            self.instead[number](RunFolder(cfg.out))
        finish(RunFolder(cfg.out), cfg)


def finish(run: RunFolder, cfg: TrainConfig) -> None:
    """A run folder as far as a ladder reads it."""
    assert cfg.tokenizer.vocab_size is not None
    network = ModelConfig.model_validate({**cfg.model.model_dump(), "vocab_size": cfg.tokenizer.vocab_size})
    tokens, parameters = cfg.budget.tokens or 0, matrix_parameters(network)
    index = json.loads((run.data / "index.json").read_text(encoding="utf-8"))
    train_bytes, bytes_per_token = index["train_bytes"], index["train_bytes"] / index["train_tokens"]
    summary = {
        "params": parameters,
        "train_tokens": tokens,
        "tokens_per_s": 1 / (1e-5 + 1e-10 * parameters),
        "epochs": 0.1,
        "finished_at": "2026-01-01T00:00:00+00:00",
        "val_bpb": LAW.loss(parameters, tokens * bytes_per_token, train_bytes) * math.exp(0.002 * math.sin(tokens)),
        "baseline_5gram_bpb": 2.4,
    }
    write_atomic(run.summary, to_json(summary))
    run.seal()


def arrange(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Trainer:
    """A text in `folder`, where the test goes, and a trainer and a machine that stand in."""
    trainer = Trainer()
    monkeypatch.setattr(stage, "train_one", trainer.train_one)
    monkeypatch.setattr(stage, "draw", lambda scaling, laws, folder, names: Path(folder, names[0]).touch())
    monkeypatch.setattr(ladder, "SHAPES", ((3, 3), (3, 2)))
    monkeypatch.setattr(laws, "fit_law", partial(fit_law, resamples=20))
    monkeypatch.setattr(
        TextLesson,
        "step_timer",
        lambda cfg, device, machine: lambda network, seqs: seqs * network.context * matrix_parameters(network) * 1e-10,
    )
    monkeypatch.chdir(folder)
    (folder / "book.txt").write_text(50 * TEXT)
    return trainer


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Trainer:
    return arrange(monkeypatch, tmp_path)


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A ladder that is done, and what was said of it."""
    folder = tmp_path_factory.mktemp("ready")
    with pytest.MonkeyPatch.context() as monkeypatch:
        arrange(monkeypatch, folder)
        said = scale()
    return folder / "out", said


@pytest.fixture
def done(ready: tuple[Path, str], trainer: Trainer) -> str:
    """A copy of it here, as `out`; what was said of it."""
    shutil.copytree(ready[0], "out")
    return ready[1]


def settings(*assignments: str, **flags: Any) -> ScaleConfig:
    typed = {key.replace("__", "."): value for key, value in flags.items()}
    asked = {"train.data.sources": ["book.txt"], "time_s": "10m", "out": "out", "train.device": "cpu", **typed}
    return scale_settings(asked, {}, ("model.context=16", "tokenizer.vocab_size=300", *assignments))


def scale(*assignments: str, **flags: Any) -> str:
    out = io.StringIO()
    stage.run(settings(*assignments, **flags), out)
    return out.getvalue()


def results(folder: str = "out") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(folder, "scale.json").read_text(encoding="utf-8"))
    return found


def test_small_runs_come_first_and_the_largest_last_on_one_text(trainer: Trainer) -> None:
    scale("optim.lr=2e-3")
    assert len(trainer.trained) == RUNS
    assert trainer.trained[-1].endswith("held-out-seed0")
    sizes = [(cfg.model.model_dim or 0) ** 2 * (cfg.model.layer_count or 0) for cfg in trainer.configs]
    assert len(set(sizes[:-1])) == 3 and sizes[-1] > max(sizes[:-1])
    tokens = [cfg.budget.tokens or 0 for cfg in trainer.configs]
    assert tokens[-1] >= max(tokens[:-1])
    for cfg in trainer.configs:
        assert cfg.optim.lr == 2e-3 and cfg.optim.matrix_lr and cfg.batch_seqs and cfg.model.dropout is not None
        run = RunFolder(cfg.out or Path())
        assert TrainConfig.model_validate(run.read_config()) == cfg
        for name in ("tokenizer.json", "environment.json", "data/validation.jsonl", "data/train/index.json"):
            assert (run.path / name).read_bytes() == Path("out/shared", name).read_bytes()
            assert (run.path / name).stat().st_nlink == RUNS + 1


def test_the_tables_say_runs_laws_the_check_and_the_best_sizes(done: str) -> None:
    said = done
    assert "held out" in said
    for part in (
        "L(N, D) = ",
        "| α ",
        "L(C), exponent",
        "on this machine",
        "10 minutes",
        "1 day",
        "inside the interval",
    ):
        assert part in said
    page = Path("out/table.md").read_text(encoding="utf-8")
    assert "atinuke scale book.txt --time 600s --seeds 0 --out out" in page
    assert "![Loss against" in page and "Machine: " in page
    lines = [line for line in said.splitlines() if line.startswith("| ")]
    assert len({len(line) for line in lines[: RUNS + 2]}) == 1


def test_scale_json_holds_all_of_it_and_is_what_json_prints(trainer: Trainer) -> None:
    printed = json.loads(scale(as_json=True))
    assert printed == results()
    assert len(printed["runs"]) == RUNS
    first = printed["runs"][0]
    assert first["flops"] == 6 * first["parameters"] * first["tokens"]
    assert first["seen_bytes"] == pytest.approx(first["tokens"] * printed["text"]["bytes_per_token"])
    law, check = printed["laws"]["law"], printed["laws"]["check"]
    assert set(law["intervals"]) == {"e", "a", "alpha", "b", "beta"}
    assert law["optimal_size_exponent"] == pytest.approx(law["beta"] / (law["alpha"] + law["beta"]))
    assert check["relative_error"] == pytest.approx((check["predicted"] - check["reached"]) / check["reached"])
    assert [best["budget"] for best in printed["laws"]["best"]] == ["10 minutes", "1 hour", "10 hours", "1 day"]
    assert set(printed["laws"]["powers"]) == {"N", "D", "C"}
    assert printed["environment"]["torch"]


def test_more_seeds_repeat_the_ladder_and_not_the_check(trainer: Trainer) -> None:
    scale(seeds=["3", "4"])
    seeds = [cfg.seed for cfg in trainer.configs]
    assert seeds == [3] * (RUNS - 1) + [4] * (RUNS - 1) + [3]


def test_the_picture_is_there_in_both_formats(trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
    from atinuke.scale.picture import draw

    monkeypatch.setattr(stage, "draw", draw)
    scale()
    assert Path("out/picture.png").read_bytes().startswith(PNG)
    svg = Path("out/picture.svg").read_text(encoding="utf-8")
    assert svg.startswith("<?xml") and "<dc:date>" not in svg


def test_dry_run_shows_the_ladder_and_writes_nothing(trainer: Trainer) -> None:
    out = io.StringIO()
    stage.show_plan(settings(), out)
    lines = out.getvalue().splitlines()
    assert len([line for line in lines if line.startswith("|")]) == RUNS + 2
    assert "held out, takes the time that is left" in lines[RUNS + 1]
    assert lines[-1].startswith("10 runs, ") and lines[-1].endswith("600 s given.")
    assert not Path("out").exists() and trainer.trained == []


class TestGoingOn:
    def test_the_same_command_again_trains_nothing(
        self, trainer: Trainer, done: str, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert scale() == done
        assert trainer.trained == []
        assert capsys.readouterr().err.count("done before") == RUNS

    def test_ctrl_c_says_what_is_done_and_the_same_command_goes_on(
        self, trainer: Trainer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def stop(run: RunFolder) -> None:
            raise Interrupted("Stopped by SIGINT at step 3.")

        trainer.instead[4] = stop
        with pytest.raises(Interrupted, match=r"3 of 10 runs are done.*table\.md\. The same command goes on"):
            scale()
        runs = results()["runs"]
        assert [row["status"] for row in runs] == ["finished"] * 3 + ["interrupted"] + ["waiting"] * 6
        assert "No law yet: A scaling law needs 6 runs" in Path("out/table.md").read_text(encoding="utf-8")
        scale()
        assert trainer.trained[3] == trainer.trained[4] and len(trainer.trained) == RUNS + 1
        assert "4/10" in capsys.readouterr().err

    def test_ctrl_c_while_preparing_is_no_traceback(self, trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr(stage, "prepare", stop)
        with pytest.raises(Interrupted, match="out keeps what was done before; the same command goes on"):
            scale()

    def test_a_run_that_was_laid_out_halfway_is_laid_out_anew(self, trainer: Trainer, done: str) -> None:
        run = Path("out", results()["runs"][2]["folder"])
        for name in ("checksums.json", "config.json", "summary.json", "tokenizer.json"):
            (run / name).unlink()
        shutil.rmtree(run / "data")
        scale()
        assert trainer.trained == [run.name]
        assert (run / "data" / "index.json").exists() and (run / "tokenizer.json").exists()

    def test_how_long_the_last_run_is_stays_as_it_was_decided(
        self, trainer: Trainer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def stop(run: RunFolder) -> None:
            raise Interrupted("Stopped.")

        trainer.instead[RUNS] = stop
        with pytest.raises(Interrupted):
            scale()
        monkeypatch.setattr(stage, "fit_last", None)
        scale()
        assert trainer.configs[-1] == trainer.configs[-2]

    def test_it_needs_the_text_no_more(self, trainer: Trainer, done: str) -> None:
        Path("book.txt").unlink()
        scale()
        assert trainer.trained == []

    def test_a_moved_ladder_is_still_known(self, trainer: Trainer, done: str) -> None:
        Path("out").rename("elsewhere")
        scale(out="elsewhere")
        assert trainer.trained == []


class TestWhatGoesWrong:
    def test_a_failed_run_is_named_and_the_others_are_trained(self, trainer: Trainer) -> None:
        def fail(run: RunFolder) -> None:
            raise NonFiniteLossError("The loss became NaN.")

        trainer.instead[2] = fail
        with pytest.raises(AtinukeError, match=r"1 of 10 runs failed.*says why\. The same command tries them again"):
            scale()
        assert len(trainer.trained) == RUNS
        found = results()
        assert found["runs"][1]["status"] == "failed" and found["runs"][1]["error"] == "The loss became NaN"
        assert found["laws"]["law"] is not None
        trainer.instead.clear()
        trainer.trained.clear()
        scale()
        assert len(trainer.trained) == 1
        assert results()["runs"][1]["status"] == "finished"

    def test_too_little_time_is_refused_with_a_number_and_nothing_is_written(self, trainer: Trainer) -> None:
        with pytest.raises(ConfigError, match=r"--time 1s is too short: .*Give --time \d+s or more"):
            scale(time_s="1s")
        assert not Path("out").exists()

    def test_too_little_text_is_refused(self, trainer: Trainer) -> None:
        Path("book.txt").write_text("Nothing much.")
        with pytest.raises(AtinukeError):
            scale("model.context=64")
        assert trainer.trained == []

    @pytest.mark.parametrize(
        ("assignments", "flags", "said"),
        [
            ((), {"time_s": "20m"}, "holds another ladder: time_s is 600.0 there and 1200.0 here"),
            (("optim.lr=1e-3",), {}, "train.optim.lr is null there and 0.001 here"),
            ((), {"seeds": ["1"]}, r"seeds is \[0\] there and \[1\] here"),
        ],
    )
    def test_another_ladder_is_refused(
        self, done: str, assignments: tuple[str, ...], flags: dict[str, Any], said: str
    ) -> None:
        with pytest.raises(RunFolderError, match=said):
            scale(*assignments, **flags)

    def test_without_out_it_lies_under_runs_by_its_text_beside_another(self, trainer: Trainer, done: str) -> None:
        Path("runs").mkdir()
        Path("out").rename("runs/scale-book")
        scale(out=None)
        assert trainer.trained == []
        scale(out=None, seeds=["1"])
        assert sorted(path.name for path in Path("runs").iterdir()) == ["scale-book", "scale-book-2"]

    def test_a_folder_that_holds_something_else_is_refused_untouched(self, trainer: Trainer) -> None:
        Path("out").mkdir()
        Path("out/diary.txt").write_text("mine")
        with pytest.raises(RunFolderError, match="exists and holds something else than a ladder"):
            scale()
        assert [path.name for path in Path("out").iterdir()] == ["diary.txt"]

    @pytest.mark.parametrize("value", ["3", "{}", '{"steps": [{}], "runs": [{}]}'])
    @pytest.mark.parametrize("name", ["ladder.json", "scale.json"])
    def test_a_damaged_memory_is_named(self, done: str, name: str, value: str) -> None:
        Path("out", name).write_text(value)
        with pytest.raises(RunFolderError, match=rf"{name} is damaged"):
            scale()

    @pytest.mark.parametrize("library", ["matplotlib.figure", "scipy"])
    def test_a_missing_library_is_said_before_anything_is_trained(
        self, trainer: Trainer, monkeypatch: pytest.MonkeyPatch, library: str
    ) -> None:
        import sys

        monkeypatch.setitem(sys.modules, library, None)
        with pytest.raises(MissingExtraError, match=r"pip install 'atinuke\[scale\]'"):
            scale()
        assert trainer.trained == [] and not Path("out").exists()


def test_the_command_in_the_table_asks_for_the_same_again(trainer: Trainer, done: str) -> None:
    from atinuke.cli import main

    words = shlex.split(results()["command"])
    assert main(words[1:]) == 0
    assert trainer.trained == []


@pytest.mark.slow
def test_a_small_ladder_truly_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    tiny = tuple((8 * number, 1) for number in range(1, 11))
    monkeypatch.setattr(preparing, "LADDER", tiny)
    monkeypatch.setattr(shapes, "LADDER", tiny)
    monkeypatch.setattr(preparing, "BEGINNING_S", 0.0)
    monkeypatch.setattr(preparing, "SAMPLED_TOKENS", 0)
    monkeypatch.setattr(preparing, "FORWARD_PART", 0.0)
    monkeypatch.setattr(laws, "fit_law", partial(fit_law, resamples=20))
    monkeypatch.setattr(ladder, "FEWEST_STEPS", 3)
    monkeypatch.setattr(ladder, "SHAPES", ((3, 2),))
    monkeypatch.setattr(TextLesson, "step_timer", lambda cfg, device, machine: lambda network, seqs: 4.0)
    Path("book.txt").write_text(200 * TEXT)
    said = scale("batch_seqs=4", "compile=false", time_s="10m")
    runs = results()["runs"]
    assert [row["status"] for row in runs] == ["finished"] * 7
    assert all(row["figures"]["train_tokens"] == row["tokens"] for row in runs)
    assert all(0 < row["figures"]["val_bpb"] < 12 for row in runs)
    assert "L(N, D) = " in said or "No law yet" in said
    assert Path("out/picture.png").read_bytes().startswith(PNG)
    log = Path("out", f"{runs[0]['folder']}.log").read_text(encoding="utf-8")
    assert "bits per byte" in log
    assert (Path("out") / runs[-1]["folder"] / "report.html").exists()
