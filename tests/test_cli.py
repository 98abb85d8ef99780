"""The command line: what it takes, what it hands to the stages, and how it refuses. The stages stand aside."""

import json
import os
import random
import re
import string
import subprocess
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from atinuke import errors
from atinuke.cli import app, main
from atinuke.generate.config import GenerateConfig
from atinuke.train.config import TrainConfig

COMMANDS = ("train", "generate", "finetune", "evaluate", "compare", "scale", "plan", "doctor")


@dataclass
class Stages:
    """Stand-ins for the stages: they note what they are called with, and raise what they are told to."""

    calls: list[Any] = field(default_factory=list)
    error: BaseException | None = None
    folder: Path = Path("runs/x")

    def run(self, cfg: Any, *others: object, already_s: float | None = None) -> Any:
        self.calls.append((cfg, *others))
        if self.error is not None:
            raise self.error
        return self.folder

    @property
    def cfg(self) -> Any:
        assert len(self.calls) == 1
        return self.calls[0][0]


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> Stages:
    stages = Stages()

    def stand_in(name: str, **content: object) -> None:
        monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(**content))

    def write(cfg: Any, out: Any) -> None:
        stages.run(cfg)
        out.write("<b>[red]text[/red]</b>\n")

    stand_in("atinuke.train.run", run=stages.run, describe=lambda cfg: cfg.to_json())
    stand_in("atinuke.machine", process_started_s=lambda: 0.5)
    stand_in("atinuke.generate.run", run=write)
    stand_in("atinuke.compare.run", run=write)
    for_scale = dict.fromkeys(("run", "show_plan"), lambda cfg, out, already_s: write(cfg, out))
    stand_in("atinuke.scale.run", **for_scale)
    stand_in("atinuke.plan.run", run=lambda cfg, out, display: write(cfg, out))
    stand_in("atinuke.evaluate.run", run=lambda cfg: [stages.run(cfg), "1 row"][1])
    stand_in("atinuke.finetune.run", run=stages.run, runs_of=lambda cfg: [cfg])
    stand_in("atinuke.doctor", run=lambda: ["cores: 2"], print_findings=lambda findings: print(*findings))
    return stages


Type = Callable[..., tuple[int, str, str]]


@pytest.fixture
def atinuke(capsys: pytest.CaptureFixture[str], stages: Stages) -> Type:
    """Types a command line; (exit code, stdout, stderr)."""

    def type_line(*arguments: str) -> tuple[int, str, str]:
        code = main(arguments)
        out, err = capsys.readouterr()
        return code, out, err

    return type_line


def refused(result: tuple[int, str, str]) -> str:
    """The one line of a refusal."""
    code, out, err = result
    assert code == 2, err
    assert out == ""
    assert err.endswith("\n") and err.count("\n") == 1, err
    assert err[:-1].isprintable(), repr(err)
    return err[:-1]


class TestHelp:
    def test_help_lists_every_command_and_needs_no_heavy_library(self) -> None:
        code = "import sys; from atinuke.cli import main; code = main(['--help']); print(*sys.modules); sys.exit(code)"
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        for command in COMMANDS:
            assert re.search(rf"^  {command} +\w", done.stdout, re.MULTILINE)
        loaded = set(done.stdout.splitlines()[-1].split())
        assert "typer" in loaded
        assert loaded & {"torch", "numpy", "pydantic", "rich", "tokenizers", "atinuke.config"} == set()

    @pytest.mark.parametrize("command", COMMANDS)
    def test_help_of_a_command_needs_no_torch(self, command: str) -> None:
        code = (
            f"import sys; from atinuke.cli import main; main(['{command}', '--help']); sys.exit('torch' in sys.modules)"
        )
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)

    @pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)])
    def test_no_command_shows_the_help(self, atinuke: Type, arguments: tuple[str, ...]) -> None:
        code, out, err = atinuke(*arguments)
        assert (code, err) == (0, "")
        assert "Usage: atinuke COMMAND" in out

    @pytest.mark.parametrize(
        ("command", "flags"),
        [
            (
                "train",
                "--pairs --examples --held-out --init --init-embeddings "
                "--time --steps --tokens --model --tokenizer --vocab-size --out --seed --device --resume --fresh "
                "--config --set --dry-run --quiet",
            ),
            (
                "generate",
                "--tokens --temperature --top-k --top-p --repetition-penalty --stop --seed --count --json --device "
                "--source --input --beam",
            ),
            (
                "evaluate",
                "--json --device --pairs --examples --beam --task --data --split --predictions --table --lm-eval"
                " --include",
            ),
            (
                "finetune",
                "--task --data --init --from-scratch --jointly --lora --passes --split --time --steps --out --seed"
                " --device --resume --fresh --config --set --dry-run --quiet",
            ),
            ("compare", "--pairs --held-out --time --steps --tokens --seeds --out --set --json"),
            ("scale", "--model --tokenizer --vocab-size --time --seeds --out --device --set --dry-run --json"),
            (
                "plan",
                "--model --tokenizer --vocab-size --time --steps --tokens --device "
                "--gpus --params --gpu --context --batch-tokens --tensor --set --json",
            ),
            ("doctor", ""),
        ],
    )
    def test_every_flag_is_explained_in_a_group_with_a_default(self, atinuke: Type, command: str, flags: str) -> None:
        code, out, _ = atinuke(command, "--help")
        assert code == 0
        assert set(re.findall(r"^  (?:-h, )?(--[a-z-]+)", out, re.MULTILINE)) == {*flags.split(), "--help"}
        rows = re.findall(r"^  (?:-h, )?--\S+(?: \S+)?\s+(\w.*(?:\n {4,}.*)*)", out, re.MULTILINE)
        assert len(rows) == len(flags.split()) + 1
        assert "Undefined" not in out
        if command != "doctor":
            assert "Examples:" in out

    def test_help_says_what_the_settings_say(self, atinuke: Type) -> None:
        out = " ".join(atinuke("train", "--help")[1].split())
        assert str(TrainConfig.model_fields["seed"].description) in out
        assert "--device auto|cpu|cuda|mps Where to train. Default: auto." in out
        out = " ".join(atinuke("generate", "--help")[1].split())
        assert f"{GenerateConfig.model_fields['temperature'].description} Default: 0.8." in out

    def test_version_is_the_installed_one(self, atinuke: Type) -> None:
        from importlib.metadata import version

        assert atinuke("--version") == (0, f"atinuke {version('atinuke')}\n", "")

    def test_python_m_atinuke_is_the_same_program(self) -> None:
        done = subprocess.run([sys.executable, "-m", "atinuke", "trian"], capture_output=True, text=True)
        assert done.returncode == 2
        assert done.stderr == "ConfigError: 'trian' is not a command of atinuke. Did you mean train?\n"


class TestTrain:
    @pytest.mark.parametrize(
        ("flags", "key", "value"),
        [
            ("--time 90", "budget.time_s", 90.0),
            ("--time 1h30m", "budget.time_s", 5400.0),
            ("--time=1.5m", "budget.time_s", 90.0),
            ("--steps 5", "budget.steps", 5),
            ("--tokens 1_000_000", "budget.tokens", 1_000_000),
            ("--model atinuke-paper", "model.kind", "atinuke-paper"),
            ("--tokenizer char", "tokenizer.kind", "char"),
            ("--vocab-size 512", "tokenizer.vocab_size", 512),
            ("--out runs/x", "out", Path("runs/x")),
            ("--seed 7", "seed", 7),
            ("--device cpu", "device", "cpu"),
            ("--resume auto", "resume", "auto"),
            ("--resume fresh", "resume", "fresh"),
            ("--fresh", "resume", "fresh"),
            ("--fresh --resume fresh", "resume", "fresh"),
            ("--set optim.lr=3e-4", "optim.lr", 3e-4),
            ("--set model.layer_count=2 --set model.head_count=1", "model.layer_count", 2),
            ("a.txt b/ --seed 3 - c*", "data.sources", ("a.txt", "b/", "-", "c*")),
            ("-- --strange.txt", "data.sources", ("--strange.txt",)),
            ("", "data.sources", ()),
        ],
    )
    def test_a_flag_sets_its_setting(self, atinuke: Type, stages: Stages, flags: str, key: str, value: object) -> None:
        code, _, err = atinuke("train", *flags.split())
        assert (code, err) == (0, "")
        found: Any = stages.cfg
        for part in key.split("."):
            found = getattr(found, part)
        assert found == value

    def test_without_anything_the_budget_is_two_minutes(self, atinuke: Type, stages: Stages) -> None:
        assert atinuke("train")[0] == 0
        assert stages.cfg.budget.time_s == 120.0

    @pytest.mark.parametrize("budget", ["--steps 3", "--tokens 3", "--set budget.steps=3"])
    def test_any_other_budget_takes_the_place_of_the_time(self, atinuke: Type, stages: Stages, budget: str) -> None:
        assert atinuke("train", *budget.split())[0] == 0
        assert stages.cfg.budget.time_s is None

    def test_a_budget_from_a_flag_replaces_that_of_the_file(
        self, atinuke: Type, stages: Stages, tmp_path: Path
    ) -> None:
        (tmp_path / "a.toml").write_text('seed = 3\n[budget]\ntime_s = "1h"\n')
        assert atinuke("train", "--config", str(tmp_path / "a.toml"), "--steps", "5")[0] == 0
        assert (stages.cfg.seed, stages.cfg.budget.time_s, stages.cfg.budget.steps) == (3, None, 5)

    def test_dry_run_prints_settings_that_config_takes_back_and_trains_nothing(
        self, atinuke: Type, stages: Stages, tmp_path: Path
    ) -> None:
        code, out, _ = atinuke("train", "a.txt", "--steps", "5", "--set", "optim.lr=2e-3", "--dry-run")
        assert code == 0 and stages.calls == []
        (tmp_path / "a.json").write_text(out)
        assert atinuke("train", "--config", str(tmp_path / "a.json"))[0] == 0
        assert stages.cfg.to_json() == out
        assert json.loads(out)["optim"]["lr"] == 2e-3

    def test_afterwards_it_says_where_everything_is_and_what_comes_next(self, atinuke: Type, stages: Stages) -> None:
        stages.folder = Path("runs/my book")
        _, out, _ = atinuke("train")
        assert "Run folder  runs/my book\n" in out
        assert f"Report      {Path('runs/my book/report.html')}\n" in out
        for command in (
            "atinuke generate 'runs/my book'",
            "atinuke evaluate 'runs/my book'",
            "'runs/my book/report.html'",
        ):
            assert command in out
        assert "\x1b" not in out

    def test_a_folder_name_is_never_taken_for_markup(self, atinuke: Type, stages: Stages) -> None:
        stages.folder = Path("[red]x[/red]")
        assert "Run folder  [red]x[/red]\n" in atinuke("train")[1]

    def test_quiet_prints_the_run_folder_alone(self, atinuke: Type, stages: Stages) -> None:
        assert atinuke("train", "--quiet") == (0, f"{stages.folder}\n", "")


class TestOtherStages:
    def test_generate_hands_over_what_was_typed(self, atinuke: Type, stages: Stages) -> None:
        flags = "--tokens 9 --temperature 0 --top-k 4 --top-p .5 --repetition-penalty 1.1 --seed 3 --count 2 --json"
        code, out, _ = atinuke("generate", "runs/x", "Once upon", *flags.split(), "--stop", "a", "--stop", "b")
        assert code == 0
        assert out == "<b>[red]text[/red]</b>\n"
        expected = {
            "run": Path("runs/x"),
            "prompts": ("Once upon",),
            "tokens": 9,
            "temperature": 0.0,
            "top_k": 4,
            "top_p": 0.5,
            "repetition_penalty": 1.1,
            "seed": 3,
            "count": 2,
            "stop": ("a", "b"),
            "as_json": True,
            "device": "auto",
            "sources": (),
            "inputs": (),
            "beam": 5,
            "length_penalty": 1.0,
        }
        assert stages.cfg.model_dump() == expected

    @pytest.mark.parametrize(
        ("typed", "prompt"), [((), ""), (("",), ""), (("-",), "-"), (("--", "-5 + 3"), "-5 + 3"), ((" \n",), " \n")]
    )
    def test_any_text_can_be_a_prompt(self, atinuke: Type, stages: Stages, typed: tuple[str, ...], prompt: str) -> None:
        assert atinuke("generate", "runs/x", *typed)[0] == 0
        assert stages.cfg.prompts == (prompt,)

    def test_evaluate_prints_what_the_stage_says(self, atinuke: Type, stages: Stages) -> None:
        assert atinuke("evaluate", "runs/x", "a.txt", "b.txt") == (0, "1 row\n", "")
        assert stages.cfg.texts == ("a.txt", "b.txt")
        assert stages.cfg.as_json is False

    def test_compare_tells_networks_from_sources_and_passes_settings_on(self, atinuke: Type, stages: Stages) -> None:
        line = "compare gpt rnn a.txt --time 3m --seeds 4 5 --out runs/c --json --set optim.lr=2e-3"
        assert atinuke(*line.split())[0] == 0
        cfg = stages.cfg
        assert (cfg.networks, cfg.train.data.sources) == (("gpt", "rnn"), ("a.txt",))
        assert (cfg.seeds, cfg.out, cfg.as_json) == ((4, 5), Path("runs/c"), True)
        assert (cfg.train.budget.time_s, cfg.train.optim.lr) == (180.0, 2e-3)

    def test_plan_is_for_a_text_here_or_for_cards_elsewhere(self, atinuke: Type, stages: Stages) -> None:
        assert atinuke(*"plan a.txt --time 1h --model gpt --set optim.lr=2e-3".split())[0] == 0
        here = stages.calls.pop()[0]
        assert (here.train.data.sources, here.train.budget.time_s, here.cluster) == (("a.txt",), 3600.0, None)
        assert (here.train.model.kind, here.train.optim.lr) == ("gpt", 2e-3)
        line = (
            "plan --gpus 1024 --params 7b --tokens 140b --gpu h200 --context 4096 --batch-tokens 4m --tensor 2 --json"
        )
        assert atinuke(*line.split())[0] == 0
        far = stages.cfg.cluster
        assert (far.gpus, far.params, far.tokens, far.gpu) == (1024, 7e9, 140e9, "h200")
        assert (far.context, far.batch_tokens, far.tensor, stages.cfg.as_json) == (4096, 4_000_000, 2, True)

    def test_doctor_needs_nothing(self, atinuke: Type) -> None:
        assert atinuke("doctor") == (0, "cores: 2\n", "")


class TestExitCodes:
    @pytest.mark.parametrize(
        "kind",
        [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.AtinukeError)],
    )
    def test_what_the_user_can_mend_is_one_line_and_2(
        self, atinuke: Type, stages: Stages, kind: type[errors.AtinukeError]
    ) -> None:
        stages.error = kind("Something came; something else was expected.")
        assert refused(atinuke("train")) == f"{kind.__name__}: Something came; something else was expected."

    def test_an_interruption_says_what_was_saved_and_is_130(self, atinuke: Type, stages: Stages) -> None:
        stages.error = errors.Interrupted("Stopped at step 3; saved in runs/x.")
        assert atinuke("train") == (130, "", "Stopped at step 3; saved in runs/x.\n")

    @pytest.mark.parametrize("command", ["train", "generate runs/x", "evaluate runs/x"])
    def test_ctrl_c_is_130_without_a_traceback(self, atinuke: Type, stages: Stages, command: str) -> None:
        stages.error = KeyboardInterrupt()
        assert atinuke(*command.split()) == (130, "", "")

    @pytest.mark.parametrize("error", [RuntimeError("wrong"), AssertionError(), ValueError("a\nb"), OSError(5, "x")])
    def test_our_own_fault_is_a_traceback_a_place_to_report_and_1(
        self, atinuke: Type, stages: Stages, error: Exception
    ) -> None:
        stages.error = error
        code, _, err = atinuke("train")
        assert code == 1
        assert err.startswith("Traceback (most recent call last)")
        assert "This is a bug in Atinuke. Please report it" in err.splitlines()[-1]

    def test_control_characters_in_a_message_reach_no_terminal(self, atinuke: Type, stages: Stages) -> None:
        stages.error = errors.SourceError("a\x1b[31m\u202eb\udcff is missing.\nsecond line")
        assert atinuke("train")[2] == "SourceError: a\\x1b[31m\\u202eb\\udcff is missing.\nsecond line\n"

    @pytest.mark.skipif(os.name == "nt", reason="pipes of POSIX")
    def test_a_reader_that_has_gone_ends_it_quietly(self) -> None:
        reading, writing = os.pipe()
        os.close(reading)
        done = subprocess.run([sys.executable, "-m", "atinuke", "--help"], stdout=writing, stderr=subprocess.PIPE)
        os.close(writing)
        assert (done.returncode, done.stderr) == (141, b"")

    @pytest.mark.skipif(os.name == "nt", reason="arguments are bytes on POSIX")
    @pytest.mark.parametrize(
        "arguments",
        [[b"\xff\xfe"], [b"train", b"--\xff"], [b"train", b"--seed", b"\xff"], [b"train", b"--set", b"\xff"],
         [b"train", b"--out", b"\xff"], [b"train", b"--config", b"\xff.toml"], [b"generate", b"r", b"\xff"]],
        ids=ascii,
    )  # fmt: skip
    def test_arguments_that_are_no_text_are_refused_safely(self, arguments: list[bytes]) -> None:
        command = [os.fsencode(sys.executable), b"-m", b"atinuke", *arguments]
        done = subprocess.run(command, capture_output=True, env={**os.environ, "LC_ALL": "C.UTF-8"})
        assert done.returncode == 2
        assert done.stdout == b""
        assert done.stderr.count(b"\n") == 1 and done.stderr.isascii(), done.stderr


class TestRefusals:
    @pytest.mark.parametrize(
        ("line", "words"),
        [
            ("trian", "'trian' is not a command of atinuke. Did you mean train?"),
            ("Train", "Did you mean train?"),
            ("generat runs/x", "Did you mean generate?"),
            ("xyzzy", "There are train, generate, finetune, evaluate, compare, scale, plan, doctor."),
            ("--time 2m", "not a flag of atinuke itself; it belongs after a command, as in atinuke train --time."),
            ("--hlep", "--hlep is not a flag of atinuke itself; see atinuke --help."),
            ("train --tiem 2m", "--tiem is not a flag of atinuke train. Did you mean --time?"),
            ("train --vocabsize 3", "Did you mean --vocab-size?"),
            ("train --lr 3e-4", "--lr is not a flag of atinuke train. It is a setting: --set optim.lr=VALUE."),
            ("train --batch-seqs 8", "It is a setting: --set batch_seqs=VALUE."),
            ("generate runs/x --temprature 1", "Did you mean --temperature?"),
            ("generate runs/x -5", "A text that begins with - goes last, after -- on its own."),
            ("train --time", "--time needs a value, as in --time TIME."),
            ("train --device", "--device needs a value, as in --device auto|cpu|cuda|mps."),
            ("train --fresh=yes", "--fresh takes no value."),
            ("train --out --seed 3", "--out needs a value and --seed follows, a flag itself"),
            ("train --seed 1 --seed 1", "--seed is given 2 times; give it once."),
            ("train --time 2m --time 3m", "--time is given 2 times; give it once."),
            ("train --fresh --resume auto", "--fresh and --resume auto contradict each other; give one of them."),
            ("train --time 2m --steps 5", "give one of --time, --steps, --tokens."),
            ("train --time 0", "--time is '0'; expected more than 0."),
            ("train --time -5", "--time is '-5'; expected a duration such as 90s, 2m"),
            ("train --time abc", "--time is 'abc'; expected a duration"),
            ("train --time 1e9h", "--time is '1e9h'; expected a duration"),
            ("train --time nan", "--time is 'nan'; expected a duration"),
            ("train --time " + "9" * 400 + "h", "expected a finite number."),
            ("train --steps 0", "--steps is '0'; expected more than 0."),
            ("train --tokens 1.5", "--tokens is '1.5'; expected a whole number."),
            ("train --seed -1", "--seed is '-1'; expected 0 or more."),
            ("train --seed 4294967296", "--seed is '4294967296'; expected less than 4,294,967,296."),
            ("train --seed " + "9" * 5000, "expected a whole number"),
            ("train --seed NaN", "--seed is 'NaN'; expected a whole number."),
            ("train --vocab-size many", "--vocab-size is 'many'; expected a whole number."),
            ("train --model gbt", "--model is 'gbt'; expected 'atinuke', 'atinuke-paper', 'gpt', "),
            ("train --model atinuke-papre", "Did you mean atinuke-paper?"),
            ("train --tokenizer bep", "Did you mean bpe?"),
            ("train --device gpu", "--device is 'gpu'; expected 'auto', 'cpu', 'cuda' or 'mps'."),
            ("train --resume always", "--resume is 'always'; expected 'auto' or 'fresh'."),
            ("train --set a", "--set 'a' is not an assignment; expected --set section.key=value."),
            ("train --set =1", "--set '=1' is not an assignment"),
            ("train --set model.kind=gbt", "model.kind (from --set) is 'gbt'"),
            ("train --set data=3", "data (from --set) is 3; expected a section"),
            ("train --set optim.learning_rate=1e-3", "is not a setting. Did you mean optim."),
            ("train --set model.key_dim=100 --set model.head_count=3", "key_dim must be a multiple of head_count"),
            ("train --config /nowhere.toml", "--config /nowhere.toml cannot be read: No such file or directory."),
            ("generate", "RUN is missing; expected atinuke generate RUN [PROMPT] [--flags]."),
            ("generate runs/x Once upon", "'upon' is one argument too many"),
            ("generate runs/x Once upon", "Put quotes round a text of several words."),
            ("generate runs/x --top-p 2", "--top-p is '2'; expected more than 0 and at most 1."),
            ("generate runs/x --top-k 0", "--top-k is '0'; expected 1 or more"),
            ("generate runs/x --temperature -1", "--temperature is '-1'; expected 0 "),
            ("generate runs/x --temperature nan", "--temperature is 'nan'; expected a finite number."),
            ("generate runs/x --count 0", "--count is '0'; expected more than 0."),
            ("generate runs/x --tokens 2.5", "--tokens is '2.5'; expected a whole number."),
            ("evaluate", "RUN is missing; expected a run folder, as in atinuke evaluate runs/book."),
            ("compare", "NETWORK… SOURCE is missing; expected atinuke compare NETWORK… SOURCE… [--flags]."),
            ("compare a.txt", "No network is named; expected one or more of atinuke, atinuke-paper, gpt"),
            ("compare gpt lama", "'lama' is neither a network nor a file. Did you mean llama?"),
            ("compare gpt rnn gpt", "gpt is named twice; name each network once."),
            ("compare gpt seq2seq", "seq2seq translates, and learns from --pairs FILE FILE alone; leave it out."),
            ("compare gpt bert --pairs a b", "bert learns from text, not from --pairs; leave it out."),
            ("compare rnn rnn-seq2seq --pairs a b", "rnn and rnn-seq2seq are the same network on pairs"),
            ("compare gpt a.txt --pairs a b", "sources and pairs are both set; a run learns from SOURCE texts"),
            ("compare gpt -", "- can be read only once, and every run reads the text"),
            ("compare gpt --seeds 0 1 0", "--seeds names 0 2 times; name each seed once."),
            ("compare gpt --seeds 0 a.txt", "--seeds is 'a.txt'; expected a whole number."),
            ("compare gpt --seeds -1", "--seeds is '-1'; expected 0 or more."),
            ("compare gpt --time 2m --steps 5", "give one of --time, --steps, --tokens."),
            ("compare gpt --set seed=3", "seed (from --set) is each run's own; give --seeds N… instead."),
            ("compare gpt --set model.kind=rnn", "model.kind (from --set) is each run's own; name rnn among"),
            ("compare gpt --set optim.learning_rate=1", "optim.learning_rate (from --set) is not a setting. Did you"),
            ("compare gpt --lr 1", "--lr is not a flag of atinuke compare. It is a setting: --set optim.lr=VALUE."),
            ("doctor now", "'now' is one argument too many; expected atinuke doctor [--flags]."),
        ],
        ids=lambda text: text[:60],
    )  # fmt: skip
    def test_a_mistake_is_named_with_what_would_be_right(
        self, atinuke: Type, stages: Stages, line: str, words: str
    ) -> None:
        message = refused(atinuke(*line.split()))
        assert message.startswith("ConfigError: ")
        assert words in message
        assert len(message) < 300
        assert stages.calls == []

    @pytest.mark.parametrize(
        "line",
        [
            *("train --out=", "train --time=", "train --config=", "train --set=", "train|"),
            *("generate|", "generate|r|x|--stop|", "generate|r|x|--seed|", "evaluate|r|"),
        ],
    )
    def test_an_empty_text_is_not_taken_for_a_value(self, atinuke: Type, line: str) -> None:
        assert "empty text" in refused(atinuke(*(line.split("|") if "|" in line else line.split())))

    def test_a_file_given_as_command_is_understood(self, atinuke: Type, tmp_path: Path) -> None:
        (tmp_path / "a b.txt").touch()
        assert refused(atinuke(f"{tmp_path}/a b.txt")).endswith(f"To train on it: atinuke train '{tmp_path}/a b.txt'")

    @pytest.mark.parametrize(
        "noise", ["\x1b[31mred", "two\nlines", "\u202e", "\udcff\udcfe", "💥" * 1000, "%s{}{0}[b]"]
    )
    def test_whatever_was_typed_is_shown_harmlessly(self, atinuke: Type, noise: str) -> None:
        for line in (
            [noise],
            ["train", f"--{noise}"],
            ["train", "--seed", noise],
            ["train", "--set", noise],
            ["train", "--set", f"{noise}=1"],
            ["train", "--config", noise],
            ["doctor", noise],
        ):
            refused(atinuke(*line))


def malformed_lines(count: int) -> list[list[str]]:
    """Command lines with one mistake each, many kinds of it, the same every time."""
    chance = random.Random(2401)
    sound = [
        ["train"],
        ["train", "a.txt", "--seed", "1"],
        ["generate", "runs/x", "Once"],
        ["evaluate", "runs/x"],
        ["doctor"],
    ]
    letters = string.ascii_letters + string.digits + "-_=.\x1b\n\té日\u202e\udcff 💥'\"[]{}%"
    numeric = {
        "train": ["--time", "--steps", "--tokens", "--seed", "--vocab-size"],
        "generate": ["--tokens", "--top-k", "--top-p", "--temperature", "--count", "--repetition-penalty"],
    }
    chosen = {
        "train": ["--model", "--tokenizer", "--device", "--resume"],
        "generate": ["--device"],
        "evaluate": ["--device"],
    }

    def noise() -> str:
        return "".join(chance.choices(letters, k=chance.randrange(1, 20)))

    lines = []
    while len(lines) < count:
        line = list(chance.choice(sound))
        stage = line[0]
        match chance.randrange(8):
            case 0:
                line.insert(0, "x" + noise())  # an unknown command
            case 1:
                line.insert(1, "--zz" + noise())  # an unknown flag
            case 2:
                line[0] = stage[:-1] + chance.choice("xyz")
            case 3 if stage in numeric:
                line = [*line[:2], chance.choice(numeric[stage]), "x" + noise()]
            case 4 if stage in chosen:
                line += [chance.choice(chosen[stage]), "x" + noise()]
            case 5 if stage == "train":
                line += [
                    "--set",
                    chance.choice(["zz" + noise(), f"zz{noise().replace('=', '')}=1", f"seed=x{noise()}"]),
                ]
            case 6 if stage in numeric:
                line += [chance.choice(numeric[stage])]  # its value is missing
            case 7 if stage in ("doctor", "generate"):
                line += [f"x{noise()}", f"x{noise()}"]
            case _:
                continue
        lines.append(line)
    return lines


def test_two_hundred_malformed_command_lines_are_each_refused_in_one_line(atinuke: Type, stages: Stages) -> None:
    messages = {refused(atinuke(*line)) for line in malformed_lines(200)}
    assert len(messages) > 150, "the cases hardly differ"
    assert stages.calls == []


def test_every_command_has_a_short_help_and_an_example_that_runs(atinuke: Type, stages: Stages) -> None:
    import shlex

    for info in app.registered_commands:
        assert info.short_help
        for line in (info.epilog or "").splitlines():
            if line.startswith("  atinuke "):
                typed = shlex.split(line.partition(" < ")[0])[1:]
                assert atinuke(*typed)[0] == 0, line
