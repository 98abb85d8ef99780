"""lm-eval on a run of ours; where lm-eval is not installed, what is said of that."""

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from atinuke.cli import main
from atinuke.errors import ConfigError
from atinuke.evaluate.lm_eval import model_class, run_lm_eval
from atinuke.generate.loading import load_trained
from atinuke.tasks.probability.scorers import scorer_for
from atinuke.testing import TEXT, make_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "a")


def test_a_missing_lm_eval_is_named(
    run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("lm_eval", "lm_eval.api.model", "lm_eval.api.registry"):
        monkeypatch.setitem(sys.modules, name, None)
    assert main(["evaluate", str(run), "--lm-eval", "lambada_openai"]) == 2
    assert "atinuke[lm-eval]" in capsys.readouterr().err


def test_its_numbers_are_ours(run: Path) -> None:
    model = model_class()(run=str(run), device="cpu")
    scorer = scorer_for(load_trained(run, "cpu"))
    requests = [SimpleNamespace(args=("Humpty", " Dumpty")), SimpleNamespace(args=("", "sat"))]
    ours = scorer.nats([request.args for request in requests])
    assert model.loglikelihood(requests) == [(-each.nats, each.is_greedy) for each in ours]
    assert model.loglikelihood_rolling([SimpleNamespace(args=(TEXT,))]) == [-scorer.whole([TEXT])[0].nats]
    (written,) = model.generate_until([SimpleNamespace(args=("Humpty", {"until": ["\n"], "max_gen_toks": 5}))])
    assert "\n" not in written


@pytest.fixture
def own_task(tmp_path: Path) -> Path:
    """A folder with a task of one's own, half of whose answers are right whatever a network prefers."""
    rows = [{"question": "Humpty", "choices": [" Dumpty", " wall"], "answer": number % 2} for number in range(4)]
    (tmp_path / "rows.json").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "own.yaml").write_text(
        "task: own_task\ndataset_path: json\n"
        f"dataset_kwargs:\n  data_files: {{test: {tmp_path / 'rows.json'}}}\n"
        "test_split: test\noutput_type: multiple_choice\ndoc_to_text: question\ndoc_to_choice: choices\n"
        "doc_to_target: answer\nmetric_list:\n  - metric: acc\n"
    )
    return tmp_path


def test_a_task_of_ones_own_is_scored(run: Path, own_task: Path) -> None:
    told = json.loads(run_lm_eval(run, ["own_task"], include=[str(own_task)], device="cpu", as_json=True))
    assert told["own_task"]["acc,none"] == 0.5
    assert (run / "scores" / "lm-eval" / "results.json").exists()


def test_its_own_command_gives_the_same_numbers(run: Path, own_task: Path) -> None:
    ours = json.loads(run_lm_eval(run, ["own_task"], include=[str(own_task)], device="cpu", as_json=True))
    command = [sys.executable, "-m", "atinuke.evaluate.lm_eval", "--model", "atinuke"]
    command += ["--model_args", f"run={run}", "--tasks", "own_task", "--include_path", str(own_task)]
    subprocess.run([*command, "--output_path", str(own_task / "out")], check=True, capture_output=True, timeout=300)
    (kept,) = (own_task / "out").rglob("results_*.json")
    theirs = json.loads(kept.read_text())["results"]["own_task"]
    figures = [name for name, value in ours["own_task"].items() if isinstance(value, float)]
    assert figures
    assert {name: theirs[name] for name in figures} == pytest.approx({name: ours["own_task"][name] for name in figures})


def test_unknown_tasks_and_settings_are_named(run: Path) -> None:
    with pytest.raises(ConfigError, match="no task nothing_of_this_name"):
        run_lm_eval(run, ["nothing_of_this_name"], device="cpu")
    with pytest.raises(ConfigError, match="names no run"):
        model_class()()
    with pytest.raises(ConfigError, match="has temperature"):
        model_class()(run=str(run), temperature=1)
