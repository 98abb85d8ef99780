"""What every lesson keeps: a whole folder, the same numbers again, and no difference after an interruption."""

import json
import shutil
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from atinuke.errors import ConfigError
from atinuke.run_folder import RunFolder

STEPS = 7
LESSONS = (
    "text",
    "text-mixture",
    "text-rnn",
    "masked",
    "pairs-seq2seq",
    "pairs-rnn",
    "pairs-decoder",
    "examples",
    "table",
)
TASKS = {"text": "text", "masked": "masked", "pairs": "translation", "examples": "examples", "table": "table"}
SUMMARY = (
    "name task model params seed device dtype train_tokens train_bytes elapsed_s time_budget_s tokens_per_s val_bpb "
    "val_bytes context steps epochs train_loss budget plan timeline samples sources tokenizer data finished_at"
).split()
"""What tools may rely on finding in summary.json, whatever was learned."""

Train = Callable[..., tuple[RunFolder, list[str]]]
Material = dict[str, dict[str, Any]]


def rows_of(folder: RunFolder) -> list[tuple[int, int, float, float]]:
    """Everything in metrics.jsonl that is no time."""
    return [(row["step"], row["tokens"], row["loss"], row["lr"]) for row in folder.iter_metrics()]


def weights_of(folder: RunFolder) -> bytes:
    return folder.model.read_bytes()


@pytest.fixture(scope="module", params=LESSONS)
def lesson(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def whole(lesson: str, material: Material, train: Train, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    """A run of this lesson that nothing interrupted; it is not to be changed."""
    return train(tmp_path_factory.mktemp(lesson) / "whole", material[lesson], budget__steps=STEPS)[0]


def test_a_run_ends_with_a_whole_folder(lesson: str, whole: RunFolder) -> None:
    assert whole.verify()
    for path in (whole.config, whole.environment, whole.model, whole.metrics, whole.summary):
        assert path.stat().st_size > 0
    assert whole.tokenizer.exists() == (lesson != "table")
    report = (whole.path / "report.html").read_text(encoding="utf-8")
    card = (whole.path / "README.md").read_text(encoding="utf-8")
    assert report.rstrip().endswith("</html>") and card.startswith("# whole\n")
    assert [row[0] for row in rows_of(whole)] == list(range(1, STEPS + 1))


def test_the_summary_says_what_was_learned_and_how_well(lesson: str, whole: RunFolder) -> None:
    summary = whole.read_summary()
    assert set(SUMMARY) <= summary.keys()
    assert summary["task"] == TASKS[lesson.partition("-")[0]]
    assert summary["steps"] == STEPS and summary["finished_at"] and not summary["interrupted"]
    assert summary["train_tokens"] == rows_of(whole)[-1][1]
    assert summary["params"] > 0 and summary["epochs"] > 0 and summary["train_loss"] > 0
    if summary["task"] == "text":
        assert summary["val_bpb"] > 0 and summary["samples"]
    else:
        score = summary["score"]
        assert score.keys() == {"name", "value", "is_better", "note"}
        assert isinstance(score["value"], float) and score["is_better"] in ("higher", "lower")
        assert all({"prompt", "text"} <= sample.keys() for sample in summary["samples"])
    json.dumps(summary, allow_nan=False)


def test_the_same_seed_gives_the_same_numbers_to_the_digit_and_another_gives_others(
    lesson: str, whole: RunFolder, material: Material, train: Train, tmp_path: Path
) -> None:
    again, _ = train(tmp_path / "again", material[lesson], budget__steps=STEPS)
    assert rows_of(again) == rows_of(whole)
    assert weights_of(again) == weights_of(whole)
    other, _ = train(tmp_path / "other", material[lesson], budget__steps=3, seed=1)
    assert [row[2] for row in rows_of(other)] != [row[2] for row in rows_of(whole)[:3]]


def test_interrupted_twice_and_its_data_lost_it_ends_as_if_nothing_had_happened(
    lesson: str,
    whole: RunFolder,
    material: Material,
    train: Train,
    stopped_at: Callable[[int], AbstractContextManager[None]],
    tmp_path: Path,
) -> None:
    out = tmp_path / "parts"
    for step in (2, 5):
        with stopped_at(step):
            train(out, material[lesson], budget__steps=STEPS)
    shutil.rmtree(out / "data")
    parts, said = train(out, material[lesson], budget__steps=STEPS)
    assert any("Going on from step 5" in line for line in said)
    assert rows_of(parts) == rows_of(whole)
    assert weights_of(parts) == weights_of(whole)
    summaries = [folder.read_summary() for folder in (parts, whole)]
    for key in (
        "samples",
        "val_bpb",
        "data",
        "epochs",
        "train_tokens",
        *(("score",) if "score" in summaries[0] else ()),
    ):
        assert summaries[0][key] == summaries[1][key], key


def test_a_finished_run_trains_on_when_its_budget_grows(
    lesson: str, whole: RunFolder, material: Material, train: Train, tmp_path: Path
) -> None:
    shutil.copytree(whole.path, tmp_path / "run")
    longer, _ = train(tmp_path / "run", material[lesson], budget__steps=STEPS + 2)
    assert [row[0] for row in rows_of(longer)] == list(range(1, STEPS + 3))
    assert longer.read_summary()["steps"] == STEPS + 2 and longer.verify()


def test_a_budget_of_tokens_is_used_up_and_not_by_more_than_a_step(
    lesson: str, material: Material, train: Train, tmp_path: Path
) -> None:
    tokens = 30 if lesson in ("table", "examples") else 150
    folder, _ = train(tmp_path / "run", material[lesson], budget__tokens=tokens)
    *_, last = (0, *(row[1] for row in rows_of(folder)))
    before = ([0, 0] + [row[1] for row in rows_of(folder)])[-2]
    assert before < tokens <= last == folder.read_summary()["train_tokens"]


def test_a_budget_of_time_is_used_and_not_exceeded(
    lesson: str, material: Material, train: Train, tmp_path: Path, a_second_a_step: None
) -> None:
    folder, _ = train(tmp_path / "run", material[lesson], budget__time_s=30.0)
    summary = folder.read_summary()
    assert 27 <= summary["steps"] <= 30 and 27 <= summary["elapsed_s"] <= 30 and summary["time_budget_s"] == 30
    rates = [row[3] for row in rows_of(folder)]
    assert rates[-1] < 0.15 * max(rates)


def test_time_that_is_used_up_before_the_first_step_is_said(
    lesson: str, material: Material, train: Train, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"--time 30s is used up before the first step .* Give more time") as told:
        train(tmp_path / "run", material[lesson], budget__time_s=30.0, already_s=29.9)
    assert "\n" not in str(told.value)
