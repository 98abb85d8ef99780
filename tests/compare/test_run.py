"""`atinuke compare`: what is trained in which order, what is not trained again, and what is written. Training stands
aside but for the last test."""

import io
import json
import math
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from atinuke.compare import run as stage
from atinuke.compare.config import CompareConfig, compare_settings
from atinuke.compare.picture import draw
from atinuke.compare.training import Ended, Relay
from atinuke.config import build_settings
from atinuke.durable import to_json, write_atomic, write_checksums
from atinuke.errors import AtinukeError, ConfigError, Interrupted, MissingExtraError, RunFolderError, SourceError
from atinuke.run_folder import RunFolder
from atinuke.testing import TEXT
from atinuke.train.config import TrainConfig

SCORES = {"atinuke": 2.0, "gpt": 2.25, "rnn": 2.5, "bert": 1.25, "seq2seq": 30.0}
PNG = b"\x89PNG\r\n\x1a\n"
NOTHING = Ended(130, 1.0, 300.0, "Stopped.")


@dataclass
class Trainer:
    """Stands in for the processes that train: writes what such a process leaves behind."""

    launched: list[str] = field(default_factory=list)
    configs: list[TrainConfig] = field(default_factory=list)
    instead: dict[str, Callable[[Relay, RunFolder], Ended]] = field(default_factory=dict)
    """What happens to a run instead of its success."""

    def launch(self, relay: Relay, arguments: list[str], log: Path) -> Ended:
        assert arguments[0] == "train"
        flags = dict(zip(arguments[1::2], arguments[2::2], strict=True))
        own = {"model.kind": flags["--model"], "seed": flags["--seed"], "out": flags["--out"]}
        cfg = build_settings(TrainConfig, file=Path(flags["--config"]), flags=own)
        assert cfg.out is not None
        run = RunFolder(cfg.out)
        self.launched.append(run.path.name)
        self.configs.append(cfg)
        assert log == run.path.with_name(f"{run.path.name}.log")
        write_atomic(log, "what it said")
        if run.path.name in self.instead:
            return self.instead[run.path.name](relay, run)
        finish(run, cfg)
        return Ended(0, 12.5, 400.0 + cfg.seed, "")


def finish(run: RunFolder, cfg: TrainConfig, *, held_out: str = "held out", vocab_size: int = 512) -> None:
    """A run folder as far as a comparison reads it."""
    kind = cfg.model.kind
    value = SCORES[kind] + 0.01 * cfg.seed
    run.state.mkdir(parents=True, exist_ok=True)
    write_atomic(run.state / "request.json", cfg.to_json())
    write_atomic(run.config, cfg.to_json())
    write_atomic(run.environment, to_json({"cpu": "a processor", "cores": 2, "torch": "2.9"}))
    summary: dict[str, Any] = {
        "model": kind,
        "params": 1_000_000 + cfg.seed,
        "train_tokens": 5_000_000,
        "tokens_per_s": 25_000.4,
        "bytes_per_token": 2.0,
        "tokenizer": {"vocab_size": vocab_size},
        "finished_at": "2026-01-01T00:00:00+00:00",
        "val_bpb": value,
        "baseline_5gram_bpb": 2.4,
    }
    if kind == "bert":
        score = {"name": "pseudo-bits per byte", "value": value, "is_better": "lower", "note": "not comparable"}
        summary |= {"val_bpb": None, "score": score, "baseline_5gram_bpb": None}
    if cfg.data.pairs:
        score = {"name": "BLEU", "value": value, "is_better": "higher", "note": "900 pairs"}
        summary |= {"val_bpb": None, "score": score, "baseline_5gram_bpb": None}
    write_atomic(run.summary, to_json(summary))
    rows = [
        {"step": n, "elapsed_s": 2.0 * n, "loss": 3 + math.exp(-n)} | ({"val_loss": 3.1 / n} if n % 2 else {})
        for n in range(1, 20)
    ]
    write_atomic(run.metrics, "".join(json.dumps(row) + "\n" for row in rows))
    run.data.mkdir(exist_ok=True)
    write_atomic(run.data / "validation.jsonl", held_out)
    write_checksums(run.data, ["validation.jsonl"])
    run.seal()


@pytest.fixture
def trainer(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Trainer:
    trainer = Trainer()
    monkeypatch.setattr(Relay, "launch", lambda relay, arguments, log: trainer.launch(relay, arguments, log))
    monkeypatch.setattr(stage, "draw", lambda comparison, folder, names: Path(folder, names[0]).touch())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "book.txt").write_text(TEXT)
    return trainer


def settings(*words: str, assignments: tuple[str, ...] = (), **flags: Any) -> CompareConfig:
    typed = {key.replace("__", "."): value for key, value in flags.items()}
    return compare_settings({"networks": words, "seeds": ["0", "1"], "out": "out", **typed}, {}, assignments)


def compare(*words: str, **flags: Any) -> str:
    out = io.StringIO()
    stage.run(settings(*words, **flags), out)
    return out.getvalue()


def results(folder: str = "out") -> dict[str, Any]:
    found: dict[str, Any] = json.loads(Path(folder, "compare.json").read_text(encoding="utf-8"))
    return found


def test_every_network_has_its_turn_before_the_next_seed_and_all_are_told_the_same(trainer: Trainer) -> None:
    compare("gpt", "rnn", "book.txt", assignments=("optim.lr=2e-3",), train__budget__time_s="3m")
    assert trainer.launched == ["gpt-seed0", "rnn-seed0", "gpt-seed1", "rnn-seed1"]
    for cfg in trainer.configs:
        assert (cfg.data.sources, cfg.optim.lr, cfg.budget.time_s) == (("book.txt",), 2e-3, 180.0)
    assert [(cfg.model.kind, cfg.seed) for cfg in trainer.configs] == [("gpt", 0), ("rnn", 0), ("gpt", 1), ("rnn", 1)]


def test_without_more_words_it_is_two_minutes_three_seeds_and_the_standard_library(trainer: Trainer) -> None:
    compare("gpt", seeds=None, out=None)
    assert [cfg.seed for cfg in trainer.configs] == [0, 1, 2]
    assert trainer.configs[0].budget.time_s == 120.0
    assert trainer.configs[0].out == Path("runs/compare-stdlib/gpt-seed0")


def test_the_table_has_the_best_first_the_baseline_and_bert_apart(trainer: Trainer) -> None:
    said = compare("bert", "rnn", "atinuke", "book.txt")
    lines = said.splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    assert cells[0] == [
        "network", "parameters", "tokens seen", "tokens/s", "peak memory MB", "bits per byte: median (each seed)"
    ]  # fmt: skip
    assert len({len(line) for line in lines if line.startswith("|")}) == 1
    row = ["1,000,000 to 1,000,001", "5,000,000", "25,000", "401"]
    assert cells[2] == ["atinuke", *row, "2.0050 (2.0000 2.0100)"]
    assert cells[3] == ["rnn", *row, "2.5050 (2.5000 2.5100)"]
    assert cells[4] == ["bert\\*", *row, "1.2550 pseudo-bits per byte (1.2500 1.2600)"]
    assert cells[5] == ["byte 5-gram", "–", "–", "–", "–", "2.4000"]
    assert any("bert: pseudo-bits per byte, not comparable with bits per byte" in line for line in lines)
    page = Path("out/table.md").read_text(encoding="utf-8")
    assert "\n".join(lines[:5]) in page
    assert "atinuke compare bert rnn atinuke book.txt --time 120s --seeds 0 1 --out out" in page
    assert "a processor, 2 cores" in page


def test_compare_json_holds_every_run_and_is_what_json_prints(trainer: Trainer) -> None:
    printed = json.loads(compare("gpt", "bert", "book.txt", as_json=True))
    assert printed == results()
    assert printed["score"] == {"name": "bits per byte", "is_better": "lower"}
    assert printed["baseline_5gram_bpb"] == 2.4
    assert printed["environment"] == {"cpu": "a processor", "cores": 2, "torch": "2.9"}
    first = printed["runs"][0]
    assert (first["network"], first["seed"], first["status"], first["peak_memory_mb"]) == ("gpt", 0, "finished", 400.0)
    assert first["score"]["value"] == first["figures"]["val_bpb"] == 2.25
    assert first["figures"]["params"] == 1_000_000


def test_translators_are_compared_by_bleu_and_more_is_better(trainer: Trainer) -> None:
    for name in ("de.txt", "en.txt"):
        Path(name).write_text(TEXT)
    said = compare("gpt", "seq2seq", out=None, train__data__pairs=["de.txt", "en.txt"])
    assert "BLEU: median (each seed)" in said and "30.01 (30.00 30.01)" in said
    assert said.index("seq2seq") < said.index("| gpt")
    assert "byte 5-gram" not in said
    assert Path("runs/compare-de-and-1-more/picture.png").exists()


class TestPicture:
    @pytest.fixture(autouse=True)
    def truly_drawn(self, trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(stage, "draw", draw)

    def test_it_is_there_in_both_formats(self, trainer: Trainer) -> None:
        compare("gpt", "rnn", "bert", "book.txt")
        assert Path("out/picture.png").read_bytes().startswith(PNG)
        svg = Path("out/picture.svg").read_text(encoding="utf-8")
        assert svg.startswith("<?xml") and "<dc:date>" not in svg

    @pytest.mark.parametrize("networks", [("bert",), ("gpt",)])
    def test_one_network_is_enough(self, trainer: Trainer, networks: tuple[str, ...]) -> None:
        compare(*networks, "book.txt", seeds=["7"])
        assert Path("out/picture.png").read_bytes().startswith(PNG)

    def test_a_run_without_metrics_or_estimates_leaves_the_others_drawn(self, trainer: Trainer) -> None:
        compare("gpt", "rnn", "book.txt")
        Path("out/gpt-seed0/metrics.jsonl").write_text('{"step": 1, "elapsed_s": 1, "loss": 3}\n')
        Path("out/gpt-seed1/metrics.jsonl").write_text("damaged\nat the start\n{}\n")
        Path("out/picture.png").unlink()
        compare("gpt", "rnn", "book.txt")
        assert Path("out/picture.png").read_bytes().startswith(PNG)

    def test_without_matplotlib_nothing_is_trained(self, trainer: Trainer, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "matplotlib", None)
        with pytest.raises(MissingExtraError, match=r"pip install 'atinuke\[compare\]'"):
            compare("gpt", "book.txt")
        assert trainer.launched == [] and not Path("out").exists()


class TestGoingOn:
    def test_what_is_finished_is_not_trained_again(self, trainer: Trainer, capsys: pytest.CaptureFixture[str]) -> None:
        before = compare("gpt", "rnn", "book.txt")
        capsys.readouterr()
        trainer.launched.clear()
        assert compare("gpt", "rnn", "book.txt") == before
        assert trainer.launched == []
        assert "1/4 gpt, seed 0: done before, 2.2500 bits per byte, 1,000,000 parameters" in capsys.readouterr().err
        assert results()["runs"][0]["peak_memory_mb"] == 400.0  # which no run folder holds

    def test_networks_and_seeds_can_be_added(self, trainer: Trainer) -> None:
        compare("gpt", "book.txt")
        compare("gpt", "rnn", "book.txt", seeds=["0", "1", "2"])
        assert trainer.launched == ["gpt-seed0", "gpt-seed1", "rnn-seed0", "rnn-seed1", "gpt-seed2", "rnn-seed2"]

    def test_a_run_of_other_settings_is_not_taken_for_this_one(self, trainer: Trainer) -> None:
        compare("gpt", "book.txt")
        write_atomic(Path("out/gpt-seed1/state/request.json"), TrainConfig(seed=5).to_json())
        trainer.launched.clear()
        compare("gpt", "book.txt")
        assert trainer.launched == ["gpt-seed1"]

    def test_ctrl_c_says_what_is_done_and_the_same_command_goes_on(
        self, trainer: Trainer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        def stop(relay: Relay, run: RunFolder) -> Ended:
            run.state.mkdir(parents=True)
            write_atomic(run.state / "request.json", "{}")
            relay.signal_name = "SIGINT"
            return Ended(130, 1.0, 500.0, "Stopped by SIGINT at step 3.")

        trainer.instead["rnn-seed0"] = stop
        with pytest.raises(Interrupted, match=r"Stopped by SIGINT: 1 of 4 runs are done.*The same command goes on"):
            compare("gpt", "rnn", "book.txt")
        assert trainer.launched == ["gpt-seed0", "rnn-seed0"]
        assert [row["status"] for row in results()["runs"]] == ["finished", "interrupted", "waiting", "waiting"]
        assert "1 of 4 runs are done." in Path("out/table.md").read_text(encoding="utf-8")
        assert Path("out/picture.png").exists()

        trainer.instead.clear()
        compare("gpt", "rnn", "book.txt")
        assert trainer.launched[2:] == ["rnn-seed0", "gpt-seed1", "rnn-seed1"]
        assert "2/4 rnn, seed 0: goes on for 120 s" in capsys.readouterr().err
        again = results()["runs"][1]
        assert (again["status"], again["peak_memory_mb"], again["wall_s"]) == ("finished", 500.0, 13.5)

    def test_a_stop_during_the_last_run_that_still_ends_well_changes_nothing(self, trainer: Trainer) -> None:
        def late(relay: Relay, run: RunFolder) -> Ended:
            finish(run, trainer.configs[-1])
            relay.signal_name = "SIGTERM"
            return Ended(0, 1.0, 1.0)

        trainer.instead["gpt-seed1"] = late
        assert "gpt" in compare("gpt", "book.txt")

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            ({"train__budget__steps": "5"}, "budget.steps is null there and 5 here"),
            ({"assignments": ("optim.lr=1e-3",)}, "optim.lr is null there and 0.001 here"),
        ],
    )
    def test_a_folder_of_another_comparison_is_refused_and_without_out_another_is_taken(
        self, trainer: Trainer, change: dict[str, Any], words: str
    ) -> None:
        compare("gpt", "book.txt")
        with pytest.raises(RunFolderError, match=words) as caught:
            compare("gpt", "book.txt", **change)
        assert str(caught.value).isprintable()
        compare("gpt", "book.txt", out=None)
        compare("gpt", "book.txt", out=None, **change)
        compare("gpt", "book.txt", out=None)
        assert sorted(path.name for path in Path("runs").iterdir()) == ["compare-book", "compare-book-2"]

    @pytest.mark.parametrize("content", ["file", "stranger", "damaged"])
    def test_a_folder_that_holds_something_else_is_refused_untouched(self, trainer: Trainer, content: str) -> None:
        if content == "file":
            Path("out").write_text("mine")
        else:
            Path("out").mkdir()
            Path("out", "settings.json" if content == "damaged" else "diary.txt").write_text("mine")
        with pytest.raises(RunFolderError, match="hoose another name") as caught:
            compare("gpt", "book.txt")
        assert str(caught.value).isprintable()
        assert trainer.launched == []


class TestFailures:
    def test_the_others_still_run_and_the_reason_stands_in_the_table(
        self, trainer: Trainer, capsys: pytest.CaptureFixture[str]
    ) -> None:
        trainer.instead["gpt-seed0"] = lambda relay, run: Ended(2, 1.0, 300.0, "ConfigError: no room.")
        trainer.instead["gpt-seed1"] = lambda relay, run: Ended(-9, 1.0, 300.0)
        with pytest.raises(AtinukeError, match=r"2 of 4 runs failed \(gpt, seed 0; gpt, seed 1\)") as caught:
            compare("gpt", "rnn", "book.txt")
        assert caught.value.exit_code == 2
        assert trainer.launched == ["gpt-seed0", "rnn-seed0", "gpt-seed1", "rnn-seed1"]
        assert "1/4 gpt, seed 0: failed: ConfigError: no room.\n" in capsys.readouterr().err
        page = Path("out/table.md").read_text(encoding="utf-8")
        assert "- gpt, seed 0 failed: ConfigError: no room.\n" in page
        assert "gpt, seed 1 failed: killed by SIGKILL; the machine may have run out of memory." in page
        assert "2.5050 (2.5000 2.5100)" in page

    def test_the_same_command_tries_them_again(self, trainer: Trainer) -> None:
        trainer.instead["gpt-seed0"] = lambda relay, run: Ended(1, 1.0, 900.0, "This is a bug in Atinuke.")
        with pytest.raises(AtinukeError):
            compare("gpt", "book.txt")
        assert "exit code 1. See out" in results()["runs"][0]["error"]
        trainer.instead.clear()
        compare("gpt", "book.txt")
        assert trainer.launched == ["gpt-seed0", "gpt-seed1", "gpt-seed0"]
        assert results()["runs"][0]["peak_memory_mb"] == 400.0

    def test_when_all_fail_there_is_a_table_and_no_picture(self, trainer: Trainer) -> None:
        for seed in (0, 1):
            trainer.instead[f"gpt-seed{seed}"] = lambda relay, run: NOTHING
        with pytest.raises(AtinukeError, match="2 of 2 runs failed"):
            compare("gpt", "book.txt")
        assert "stopped from outside" in Path("out/table.md").read_text(encoding="utf-8")
        assert not Path("out/picture.png").exists()

    @pytest.mark.parametrize("summary", ["", "[]", "{}", '{"score": 3}', '{"val_bpb": "x"}'])
    def test_a_run_that_leaves_no_score_has_failed(self, trainer: Trainer, summary: str) -> None:
        def spoil(relay: Relay, run: RunFolder) -> Ended:
            finish(run, trainer.configs[-1])
            run.summary.write_text(summary)
            return Ended(0, 1.0, None)

        trainer.instead["gpt-seed0"] = spoil
        with pytest.raises(AtinukeError, match="1 of 2 runs failed"):
            compare("gpt", "book.txt")
        assert "summary.json is damaged" in results()["runs"][0]["error"]

    def test_different_held_out_text_is_said_loudly(self, trainer: Trainer) -> None:
        def other(relay: Relay, run: RunFolder) -> Ended:
            finish(run, trainer.configs[-1], held_out="other text", vocab_size=1024)
            return Ended(0, 1.0, None)

        trainer.instead["gpt-seed1"] = other
        said = compare("gpt", "book.txt")
        assert "NOT COMPARABLE: the runs were scored on different held-out text" in said
        assert "Vocabularies range from 512 to 1,024 ids" in said

    def test_a_missing_source_is_said_before_anything_is_written(self, trainer: Trainer) -> None:
        with pytest.raises(SourceError, match=r"nowhere\.txt"):
            compare("gpt", "nowhere.txt")
        assert not Path("out").exists()

    @pytest.mark.parametrize("value", ["3", "[]", '{"runs": 3}', '{"runs": [{}]}'])
    def test_a_damaged_memory_is_named(self, trainer: Trainer, value: str) -> None:
        compare("gpt", "book.txt")
        Path("out/compare.json").write_text(value)
        with pytest.raises(RunFolderError, match=r"compare\.json is damaged"):
            compare("gpt", "book.txt")


def test_a_file_named_like_a_network_can_be_read(trainer: Trainer) -> None:
    Path("gpt").write_text(TEXT)
    compare("rnn", "./gpt")
    assert trainer.configs[0].data.sources == ("./gpt",)


def test_the_command_in_the_table_asks_for_the_same_again(trainer: Trainer) -> None:
    from atinuke.cli import main

    Path("a 'b'.txt").write_text(TEXT)
    assignments = (
        "model.layer_count=2",
        'sample_prompts=["Über \U0001f600", "x"]',
        "data.split.validation_fraction=0.2",
    )
    compare("gpt", "a 'b'.txt", assignments=assignments, train__budget__time_s=None, train__budget__tokens="1000")
    import shlex

    words = shlex.split(results()["command"])
    trainer.launched.clear()
    assert main(words[1:]) == 0
    assert trainer.launched == []


def test_a_network_that_a_setting_does_not_fit_is_refused_first(trainer: Trainer) -> None:
    with pytest.raises(ConfigError, match="examples is set"):
        settings("gpt", assignments=('data.examples=["x.csv"]',))
    assert trainer.launched == []


@pytest.mark.slow
def test_two_small_networks_truly_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    Path("book.txt").write_text(200 * TEXT)
    sizes = {"layer_count": 1, "model_dim": 16, "hidden_dim": 16, "head_count": 1, "context": 16}
    assignments = [f"model.{key}={value}" for key, value in sizes.items()]
    assignments += ["tokenizer.vocab_size=300", "batch_seqs=4", "compile=false", "device=cpu"]
    said = compare(
        "gpt", "perceptron", "book.txt", seeds=["3"], train__budget__steps="6", assignments=tuple(assignments)
    )
    runs = results()["runs"]
    assert [row["status"] for row in runs] == ["finished", "finished"]
    assert {row["figures"]["train_tokens"] for row in runs} == {6 * 4 * 16}
    assert len({row["held_out_sha256"] for row in runs}) == 1
    assert all(row["score"]["value"] > 1 for row in runs)
    if os.name != "nt":
        assert all(50 < row["peak_memory_mb"] < 20_000 for row in runs)
    assert "byte 5-gram" in said
    assert Path("out/picture.png").read_bytes().startswith(PNG)
    assert "bits per byte" in Path("out/gpt-seed3.log").read_text(encoding="utf-8")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
