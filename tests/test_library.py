"""The library: `atinuke.train`, `atinuke.load` and what a run can do, as someone types it."""

import inspect
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import atinuke
from atinuke import library
from atinuke.errors import AtinukeError, ConfigError, DamagedFileError, RunFolderError
from atinuke.generate.config import SamplingRules
from atinuke.models import Atinuke
from atinuke.run_folder import RunFolder
from atinuke.testing import TEXT, make_run
from atinuke.train import run as train_stage
from atinuke.train.config import TrainConfig
from atinuke.train.progress import Quiet


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "humpty")


@pytest.fixture(autouse=True, scope="module")
def torch_as_it_was() -> Iterator[None]:
    """Training takes all cores and flushes subnormal numbers; the tests after these should not."""
    threads = torch.get_num_threads()
    yield
    torch.set_num_threads(threads)
    torch.set_flush_denormal(False)


def in_a_fresh_python(code: str) -> str:
    """What `code` prints in a process of its own, in which nothing has been imported yet."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


class TestImports:
    def test_importing_atinuke_imports_no_torch(self) -> None:
        heavy = "[name for name in ('torch', 'numpy', 'pydantic', 'tokenizers') if name in sys.modules]"
        assert in_a_fresh_python(f"import sys, atinuke; dir(atinuke); print({heavy})") == "[]"

    @pytest.mark.parametrize(
        "imports",
        [
            "import atinuke",
            "import atinuke; from atinuke.train.config import TrainConfig",
            "from atinuke.train.config import TrainConfig; import atinuke",
            "import atinuke; from atinuke.train.progress import Quiet; import atinuke.train.schedule",
            "from atinuke.train.progress import Quiet; import atinuke",
            "import atinuke.train; import atinuke",
            "from atinuke import train; import atinuke.train.config; import atinuke; assert atinuke.train is train",
            "import atinuke.cli; import atinuke",
        ],
    )
    def test_train_is_a_function_and_a_package_in_whatever_order_things_are_imported(self, imports: str) -> None:
        # the library itself would import torch, which takes seconds and is not what is tried here
        in_a_fresh_python(
            "import sys, types\n"
            "stand_in = types.ModuleType('atinuke.library')\n"
            "stand_in.train = lambda *args, **kwargs: (args, kwargs)\n"
            "sys.modules['atinuke.library'] = stand_in\n"
            f"{imports}\n"
            "assert atinuke.train('book.txt', time='2m') == (('book.txt',), {'time': '2m'})\n"
            "from atinuke.train.config import TrainConfig\n"
            "assert atinuke.train.config.TrainConfig is TrainConfig\n"
            "assert atinuke.train('book.txt') == (('book.txt',), {})\n"
        )

    def test_train_shows_the_parameters_of_the_function(self) -> None:
        assert inspect.signature(atinuke.train) == inspect.signature(library.train)

    def test_the_public_names_are_these(self) -> None:
        assert sorted(atinuke.__all__) == ["Run", "__version__", "errors", "load", "train"]
        assert dir(atinuke) == sorted(atinuke.__all__)
        assert atinuke.Run is library.Run
        assert atinuke.load is library.load
        assert atinuke.__version__[0].isdigit()
        with pytest.raises(AttributeError, match="no attribute 'lode'"):
            _ = atinuke.lode


class TestLoad:
    def test_a_run_has_its_network_tokenizer_settings_and_summary(self, folder: Path) -> None:
        run = atinuke.load(folder, device="cpu")
        assert isinstance(run.model, Atinuke)
        assert not run.model.training
        assert run.model(torch.zeros(1, 3, dtype=torch.int64)).shape == (1, 3, run.tokenizer.vocab_size)
        assert run.tokenizer.decode(run.tokenizer.encode(TEXT)) == TEXT
        assert run.config["model"]["kind"] == "atinuke"
        assert run.summary["val_bpb"] > 0
        assert run.network.context == run.summary["context"]

    def test_a_run_says_in_a_line_what_it_is(self, folder: Path) -> None:
        shown = repr(library.Run(folder))
        summary = RunFolder(folder).read_summary()
        for fact in (
            "humpty",
            "atinuke",
            f"{summary['params']:,} parameters",
            f"{summary['val_bpb']:.3f} bits per byte",
        ):
            assert fact in shown
        assert shown.isprintable()
        assert repr(library.Run(folder / "nothing here")).endswith("no summary>"), "a repr should never raise"

    def test_what_is_wrong_with_a_run_is_said_when_it_is_loaded(self, folder: Path, tmp_path: Path) -> None:
        with pytest.raises(RunFolderError, match=r"Did you mean .*humpty\?"):
            atinuke.load(folder.with_name("humptey"))
        copy = tmp_path / "copy"
        shutil.copytree(folder, copy)
        (copy / "model.safetensors").write_bytes(b"nothing")
        with pytest.raises(DamagedFileError, match=r"model\.safetensors"):
            atinuke.load(copy)
        (copy / "model.safetensors").unlink()
        (copy / "checksums.json").unlink()
        with pytest.raises(RunFolderError, match="interrupted"):
            atinuke.load(str(copy))


class TestGenerate:
    def test_the_completion_alone_is_given_and_a_seed_repeats_it(self, folder: Path) -> None:
        run = atinuke.load(folder, device="cpu")
        first = run.generate("Humpty", tokens=20, seed=4)
        assert first == run.generate("Humpty", tokens=20, seed=4)
        assert first != run.generate("Humpty", tokens=20, seed=5)
        assert "".join(run.stream("Humpty", tokens=20, seed=4)) == first

    def test_every_rule_arrives(self, folder: Path) -> None:
        run = atinuke.load(folder, device="cpu")
        rules = SamplingRules(temperature=1.3, top_k=7, top_p=0.8, repetition_penalty=1.2)
        expected = "".join(run.stream("All", 25, rules, seed=9))
        assert run.generate("All", 25, 1.3, 7, 0.8, 1.2, seed=9) == expected
        assert run.generate("All", 25, seed=9) != expected
        stop = expected[len(expected) // 2 :][:2]
        assert run.generate("All", 25, 1.3, 7, 0.8, 1.2, stop=stop, seed=9) == expected[: expected.index(stop)]
        assert (
            run.generate("All", 25, 1.3, 7, 0.8, 1.2, stop=["\0", stop][1:], seed=9) == expected[: expected.index(stop)]
        )

    @pytest.mark.parametrize(
        "wrong",
        [
            {"temperature": -1},
            {"top_k": 0},
            {"top_p": 2.0},
            {"repetition_penalty": 0},
            {"tokens": 0},
            {"seed": -1},
            {"stop": ""},
        ],
        ids=str,
    )
    def test_a_request_that_cannot_be_met_is_refused_in_one_line(self, folder: Path, wrong: dict[str, object]) -> None:
        with pytest.raises(ConfigError) as caught:
            atinuke.load(folder, device="cpu").generate("Humpty", **wrong)  # type: ignore[arg-type]
        assert next(iter(wrong)) in str(caught.value)
        assert str(caught.value).isprintable()


class TestTrain:
    @pytest.fixture
    def asked(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[TrainConfig]:
        """The settings that reach the trainer, which gives back a run that is there already."""
        found: list[TrainConfig] = []

        def stand_in(cfg: TrainConfig, display: object, *, already_s: float | None = None) -> Path:
            assert isinstance(display, Quiet)
            assert already_s == 0.0, "the time counts from the call, not from the start of the process"
            found.append(cfg)
            return folder

        monkeypatch.setattr(train_stage, "run", stand_in)
        return found

    def test_arguments_become_settings(self, asked: list[TrainConfig], folder: Path) -> None:
        run = atinuke.train(
            Path("book.txt"),
            time="90s",
            out=Path("runs/x"),
            model="atinuke-paper",
            tokenizer="unigram",
            vocab_size=700,
            seed=3,
            device="cpu",
            settings={"optim.lr": 1e-3, "model.layer_count": 2},
        )
        [cfg] = asked
        assert run.path == folder
        assert cfg.data.sources == ("book.txt",)
        assert cfg.budget.time_s == 90
        assert (cfg.out, cfg.seed, cfg.device) == (Path("runs/x"), 3, "cpu")
        assert (cfg.model.kind, cfg.model.layer_count) == ("atinuke-paper", 2)
        assert (cfg.tokenizer.kind, cfg.tokenizer.vocab_size) == ("unigram", 700)
        assert cfg.optim.lr == 1e-3

    def test_sources_may_be_one_or_several_or_none(self, asked: list[TrainConfig]) -> None:
        for source in ("a.txt", [Path("a"), "b"], None):
            atinuke.train(source, steps=5)
        assert [cfg.data.sources for cfg in asked] == [("a.txt",), ("a", "b"), ()]
        assert [cfg.budget.steps for cfg in asked] == [5, 5, 5]

    def test_two_minutes_are_taken_where_no_budget_is_given(self, asked: list[TrainConfig]) -> None:
        atinuke.train("a.txt")
        atinuke.train("a.txt", settings={"budget.tokens": 1000})
        assert [(cfg.budget.time_s, cfg.budget.tokens) for cfg in asked] == [(120, None), (None, 1000)]

    @pytest.mark.parametrize(
        ("wrong", "clue"),
        [
            ({"model": "atinuk"}, "atinuke"),
            ({"time": "soon"}, "time"),
            ({"steps": -1}, "steps"),
            ({"time": "1m", "steps": 3}, "both"),
            ({"settings": {"optim.learning_rat": 1}}, "optim.learning_rat"),
        ],
        ids=str,
    )
    def test_wrong_arguments_are_refused_in_one_line_before_anything_runs(
        self, asked: list[TrainConfig], wrong: dict[str, object], clue: str
    ) -> None:
        with pytest.raises(ConfigError) as caught:
            atinuke.train("a.txt", **wrong)
        assert clue in str(caught.value)
        assert str(caught.value).isprintable()
        assert not asked

    def test_a_missing_source_is_an_error_that_a_caller_can_catch(self, tmp_path: Path) -> None:
        with pytest.raises(AtinukeError, match="no-such-book"):
            atinuke.train(tmp_path / "no-such-book.txt", steps=1, out=tmp_path / "run")


def test_the_example_as_written_in_the_docstring_trains_loads_and_writes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "book.txt").write_text(40 * TEXT)
    monkeypatch.chdir(tmp_path)
    sizes = {"model.model_dim": 16, "model.head_count": 2, "model.layer_count": 1, "model.context": 32}
    quick = {"batch_seqs": 8, "dtype": "float32", "checkpoint.every_steps": 100}
    run = atinuke.train("book.txt", steps=3, vocab_size=280, device="cpu", settings=sizes | quick)
    assert run.path == Path("runs/book")
    assert isinstance(run.generate("Once", tokens=5), str)
    again = atinuke.load("runs/book", device="cpu")
    assert again.generate("Once", tokens=20, seed=1) == run.generate("Once", tokens=20, seed=1)
    assert json.loads((run.path / "summary.json").read_text())["steps"] == 3
    assert sorted(os.listdir(tmp_path)) == ["book.txt", "runs"]
