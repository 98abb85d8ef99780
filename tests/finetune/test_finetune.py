"""`atinuke finetune` from the command line to scores: one task, several, and a run that goes on."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from atinuke.cli import main
from atinuke.testing import make_run

WORDS = {"good": ("fine", "lovely", "bright"), "bad": ("awful", "dull", "poor")}


@pytest.fixture(scope="module")
def reviews(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("reviews")
    rows = [
        (f"a {adjective} wall, {word} and {number} men", label)
        for number in range(12)
        for label, adjectives in WORDS.items()
        for adjective in adjectives
        for word in ("quite", "very")
    ]
    for split, part in (("train", rows[12:]), ("dev", rows[:12])):
        lines = "".join(f'"{text}",{label}\n' for text, label in part)
        (folder / f"{split}.csv").write_text(f"text,label\n{lines}", encoding="utf-8")
    return folder


@pytest.fixture(scope="module", params=["atinuke", "bert"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "base", request.param)


def tune(run: Path, data: Path, out: Path, *more: str) -> int:
    command = ["finetune", str(run), "--task", "text-class", "--data", str(data), "--out", str(out)]
    return main([*command, "--device", "cpu", "--quiet", *more])


def test_a_task_is_learned_scored_and_kept(run: Path, reviews: Path, tmp_path: Path) -> None:
    out = tmp_path / "tuned"
    assert tune(run, reviews, out, "--steps", "150", "--set", "optim.lr=2e-3") == 0
    scores = json.loads((out / "scores" / "text-class-dev" / "scores.json").read_text())
    assert scores["main"] == "accuracy" and scores["values"]["accuracy"] > 90
    summary = json.loads((out / "summary.json").read_text())
    assert summary["score"]["value"] == scores["values"]["accuracy"]
    assert summary["begun_with"] == str(run)
    assert (out / "report.html").exists() and "tuned with Atinuke" in (out / "README.md").read_text()


def test_scoring_again_gives_the_same_and_a_file_of_predictions_too(
    run: Path, reviews: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "tuned"
    assert tune(run, reviews, out, "--steps", "3") == 0
    before = json.loads((out / "scores" / "text-class-dev" / "scores.json").read_text())
    capsys.readouterr()
    assert main(["evaluate", str(out), "--task", "text-class", "--data", str(reviews), "--json"]) == 0
    again = json.loads(capsys.readouterr().out)
    assert again["values"] == before["values"]
    (predicted,) = [path for path in (out / "scores" / "text-class-dev").iterdir() if path.name != "scores.json"]
    command = ["evaluate", "--task", "text-class", "--data", str(reviews), "--predictions", str(predicted), "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out)["values"] == before["values"]


def test_stopping_and_going_on_gives_the_same_weights(run: Path, reviews: Path, tmp_path: Path) -> None:
    more = ("--set", "checkpoint.every_steps=2")
    assert tune(run, reviews, tmp_path / "whole", "--steps", "6", *more) == 0
    assert tune(run, reviews, tmp_path / "parts", "--steps", "3", *more) == 0
    assert tune(run, reviews, tmp_path / "parts", "--steps", "6", *more) == 0
    whole, parts = (load_file(tmp_path / name / "model.safetensors") for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    # the learning rate follows the budget, so that only the shapes and a finite end are the same
    assert all(torch.isfinite(tensor).all() for tensor in parts.values())


def test_fresh_weights_differ_from_pretrained_ones(run: Path, reviews: Path, tmp_path: Path) -> None:
    for name, more in (("a", ()), ("b", ("--from-scratch",))):
        assert tune(run, reviews, tmp_path / name, "--steps", "1", *more) == 0
    a, b = (load_file(tmp_path / name / "model.safetensors")["body.embedding.weight"] for name in ("a", "b"))
    assert not torch.allclose(a, b)
    pretrained = load_file(run / "model.safetensors")["embedding.weight"]
    assert (a - pretrained).abs().max() < 0.01


def test_weights_of_a_run_move_in_proportion_to_their_size(run: Path, reviews: Path, tmp_path: Path) -> None:
    assert tune(run, reviews, tmp_path / "a", "--steps", "1") == 0
    optim = json.loads((tmp_path / "a" / "config.json").read_text())["optim"]
    weights = load_file(run / "model.safetensors")
    blocks = torch.cat([each.flatten() for name, each in weights.items() if "blocks." in name and each.ndim == 2])
    part = optim["lr"] / blocks.square().mean().sqrt().item()
    assert 1e-4 < part < 1e-2
    assert optim["embedding_lr"] == pytest.approx(part * weights["embedding.weight"].square().mean().sqrt().item())
    assert tune(run, reviews, tmp_path / "b", "--steps", "1", "--set", "optim.lr=0.01") == 0
    asked = json.loads((tmp_path / "b" / "config.json").read_text())["optim"]
    assert asked["lr"] == asked["head_lr"] == 0.01 and asked["embedding_lr"] == optim["embedding_lr"]


def test_low_rank_additions_leave_the_network_as_it_was(run: Path, reviews: Path, tmp_path: Path) -> None:
    assert tune(run, reviews, tmp_path / "lora", "--steps", "3", "--lora", "2") == 0
    tuned, pretrained = load_file(tmp_path / "lora" / "model.safetensors"), load_file(run / "model.safetensors")
    for name, tensor in pretrained.items():
        assert torch.equal(tuned[f"body.{name}"], tensor), name
    assert any(tensor.abs().max() > 0 for name, tensor in tuned.items() if name.endswith("lora_b"))
    command = ["evaluate", str(tmp_path / "lora"), "--task", "text-class", "--data", str(reviews)]
    assert main(command) == 0


def test_a_tuned_run_can_learn_another_task(run: Path, reviews: Path, tmp_path: Path) -> None:
    assert tune(run, reviews, tmp_path / "first", "--steps", "2") == 0
    assert tune(tmp_path / "first", reviews, tmp_path / "second", "--steps", "1") == 0
    first, second = (load_file(tmp_path / name / "model.safetensors") for name in ("first", "second"))
    difference = (first["body.embedding.weight"] - second["body.embedding.weight"]).abs().max()
    assert difference < 0.01


def test_a_tuned_run_does_not_go_on_with_text(
    run: Path, reviews: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tune(run, reviews, tmp_path / "tuned", "--steps", "1") == 0
    assert main(["generate", str(tmp_path / "tuned"), "Humpty"]) == 2
    assert "was tuned for tasks" in capsys.readouterr().err


def test_time_is_not_used_beyond_the_passes(run: Path, reviews: Path, tmp_path: Path) -> None:
    assert tune(run, reviews, tmp_path / "tuned", "--time", "10m", "--passes", "1") == 0
    summary = json.loads((tmp_path / "tuned" / "summary.json").read_text())
    assert summary["time_budget_s"] < 300


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--task", "sst3"], "sst3 is no task"),
        (["--task", "blimp"], "scored by probability"),
        (["--task", "text-class", "--init", "hf:x"], "expected one network to begin from"),
        (["--task", "text-class,text-class"], "named twice"),
        ([], "task is missing"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(
    run: Path, reviews: Path, arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["finetune", str(run), "--data", str(reviews), *arguments]) == 2
    told = capsys.readouterr().err
    assert said in told and "Traceback" not in told and told.count("\n") == 1


def test_evaluating_needs_a_tuned_run(run: Path, reviews: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--task", "text-class", "--data", str(reviews)]) == 2
    assert "was not tuned for a task" in capsys.readouterr().err


def sst2(folder: Path) -> Path:
    """SST-2 as GLUE publishes it: the test split has numbers instead of labels."""
    folder.mkdir()
    words = [(word, int(label == "good")) for label, each in WORDS.items() for word in each]
    rows = [f"a {word} film {number}\t{answer}" for number in range(9) for word, answer in words]
    for split, part in (("train", rows[6:]), ("dev", rows[:6])):
        (folder / f"{split}.tsv").write_text("\n".join(["sentence\tlabel", *part, ""]), encoding="utf-8")
    asked = [f"{number}\ta {word} film" for number, word in enumerate(WORDS["good"])]
    (folder / "test.tsv").write_text("\n".join(["index\tsentence", *asked, ""]), encoding="utf-8")
    return folder


def test_a_split_whose_answers_are_kept_elsewhere_gives_predictions_to_hand_in(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, out = sst2(tmp_path / "SST-2"), tmp_path / "tuned"
    command = ["finetune", str(run), "--task", "sst2", "--data", str(data), "--out", str(out), "--device", "cpu"]
    assert main([*command, "--steps", "2", "--split", "test"]) == 0
    said = capsys.readouterr()
    assert "its answers are not here" in said.out + said.err
    summary = json.loads((out / "summary.json").read_text())
    assert summary["score"] is None and summary["scores"] == {}
    place = out / "scores" / "sst2-test"
    (predicted,) = place.iterdir()
    assert len(predicted.read_text().splitlines()) == 4  # a header and three predictions
    predicted.unlink()
    assert main(["evaluate", str(out), "--task", "sst2", "--data", str(data), "--split", "test"]) == 0
    assert str(place) in capsys.readouterr().out and predicted.is_file()
    assert main(["evaluate", str(out), "--task", "sst2", "--data", str(data)]) == 0
    assert "accuracy" in capsys.readouterr().out


def test_what_was_learned_from_is_not_scored_on_unasked(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = squad(tmp_path / "mine.json")
    command = ["finetune", str(run), "--task", "squad", "--data", str(data), "--steps", "1"]
    assert main([*command, "--out", str(tmp_path / "tuned"), "--device", "cpu", "--quiet"]) == 2
    assert "the same questions to train and to score on (dev)" in capsys.readouterr().err
    assert main([*command, "--out", str(tmp_path / "asked"), "--device", "cpu", "--quiet", "--split", "train"]) == 0


def squad(path: Path) -> Path:
    """One paragraph and two questions."""
    context = "The wall is red. The door is green."
    asked = [("a", "What is red?", "The wall"), ("b", "What is green?", "The door")]
    questions = [
        {"id": name, "question": text, "answers": [{"text": answer, "answer_start": context.index(answer)}]}
        for name, text, answer in asked
    ]
    article = {"title": "t", "paragraphs": [{"context": context, "qas": questions}]}
    path.write_text(json.dumps({"version": "1.1", "data": [article]}), encoding="utf-8")
    return path
