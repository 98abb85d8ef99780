"""Tables: what can be learned is learned, and what was read is said."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from atinuke.config import build_settings
from atinuke.data.tables import TableSet
from atinuke.errors import ConfigError, SourceError
from atinuke.run_folder import RunFolder
from atinuke.train.config import TrainConfig
from atinuke.train.lessons import lesson_for
from atinuke.train.lessons.tables import TableLesson
from atinuke.weights import read_tensors

Train = Callable[..., tuple[RunFolder, list[str]]]

TABLE = {"model.kind": "perceptron", "batch_seqs": 16, "device": "cpu", "data.label": "kind", "budget.steps": 60}


def settings(path: Path, text: str, **more: Any) -> dict[str, Any]:
    path.write_text(text)
    return {**TABLE, "data.examples": [str(path)], **more}


def separable(rows: int = 120) -> str:
    """Two columns of very different size, and the sign of what they say together."""
    drawn = np.random.default_rng(0).normal(size=(rows, 2))
    drawn[:, 0] += np.where(drawn.sum(axis=1) > 0, 1.0, -1.0)  # a gap between both
    kinds = ("flower" if total > 0 else "leaf" for total in drawn.sum(axis=1))
    lines = (f"{1000 * a + 5000:.6f},{b:.6f},{kind}" for (a, b), kind in zip(drawn, kinds, strict=True))
    return "size,shade,kind\n" + "\n".join(lines) + "\n"


def test_two_classes_that_a_line_divides_are_all_told_apart(train: Train, tmp_path: Path) -> None:
    folder, said = train(tmp_path / "run", settings(tmp_path / "t.csv", separable()))
    summary = folder.read_summary()
    assert summary["score"]["value"] == 100.0 and summary["score"]["note"] == "12 of 12 rows"
    assert (summary["columns"], summary["label"], summary["labels"]) == (["size", "shade"], "kind", ["flower", "leaf"])
    assert summary["samples"][0]["text"] == summary["samples"][0]["reference"]
    assert any("Accuracy 100 on held-out rows" in line for line in said)


def test_a_number_is_found_from_numbers(train: Train, tmp_path: Path) -> None:
    drawn = np.random.default_rng(1).normal(size=(300, 2))
    lines = (f"{a:.5f},{b:.5f},{500 + 40 * a - 70 * b:.5f}" for a, b in drawn)
    table = settings(tmp_path / "t.csv", "a,b,price\n" + "\n".join(lines))
    table |= {"data.label": "price", "budget.steps": 250, "optim.lr": 0.01}
    score = train(tmp_path / "run", table)[0].read_summary()["score"]
    assert score["name"] == "R²" and score["value"] > 0.99


def test_large_numbers_are_found_and_the_loss_is_in_multiples_of_their_spread(train: Train, tmp_path: Path) -> None:
    drawn = np.random.default_rng(1).uniform(size=(300, 2))
    lines = (f"{1e9 * a:.0f},{b:.5f},{4e12 * a * a:.0f}" for a, b in drawn)
    table = settings(tmp_path / "t.csv", "people,b,gdp\n" + "\n".join(lines))
    table |= {"data.label": "gdp", "budget.steps": 250, "optim.lr": 0.01}
    folder, _ = train(tmp_path / "run", table)
    summary = folder.read_summary()
    assert summary["score"]["value"] > 0.99
    assert max(float(sample["text"]) for sample in summary["samples"]) > 1e12
    losses = [row["loss"] for row in folder.iter_metrics() if "loss" in row]
    assert 0.3 < losses[0] < 3 and losses[-1] < 0.05


def test_the_network_knows_the_mean_and_spread_of_each_column_that_it_trains_on(train: Train, tmp_path: Path) -> None:
    folder, _ = train(tmp_path / "run", settings(tmp_path / "t.csv", separable()), budget__steps=1)
    scaler = StandardScaler().fit(TableSet.open(folder.data).train.numbers.astype(np.float64))
    tensors = read_tensors(folder.model)
    np.testing.assert_allclose(tensors["means"].numpy(), scaler.mean_, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(tensors["spreads"].numpy(), scaler.scale_, rtol=1e-3)


def test_a_table_to_score_with_is_used_whole_and_its_rows_are_not_trained_on(train: Train, tmp_path: Path) -> None:
    lines = separable().splitlines()
    held_out = tmp_path / "test.csv"
    held_out.write_text("\n".join([lines[0], *lines[1:31]]))
    table = settings(tmp_path / "t.csv", separable(), **{"data.held_out": [str(held_out)]})
    data = train(tmp_path / "run", table, budget__steps=1)[0].read_summary()["data"]
    assert (data["train_rows"], data["held_out_rows"]) == (90, 30)
    assert data["skipped"][0][:2] == ["also among the held-out rows", 30]


def test_rows_that_cannot_be_used_are_counted_and_said(train: Train, tmp_path: Path) -> None:
    text = separable() + "1,,leaf\n,2,leaf\ntwo,3,flower\nnan,3,flower\n1,2,\n1,2\n"
    folder, said = train(tmp_path / "run", settings(tmp_path / "t.csv", text), budget__steps=1)
    counted = {reason: count for reason, count, _ in folder.read_summary()["data"]["skipped"]}
    assert counted == {
        "missing in column shade": 1,
        "missing in column size": 1,
        "not a number in column size": 2,
        "missing in column kind": 1,
        "another number of cells than the header has": 1,
    }
    assert any("Skipped 2 rows: not a number in column size (" in line and "t.csv:124" in line for line in said)


def test_every_setting_of_the_optimizer_is_taken(train: Train, tmp_path: Path) -> None:
    table = settings(tmp_path / "t.csv", separable(), **{"optim.beta2": 0.5, "optim.lr": 0.02, "optim.kind": "muon"})
    optim = train(tmp_path / "run", table, budget__steps=1)[0].read_config()["optim"]
    assert (optim["beta2"], optim["lr"], optim["kind"]) == (0.5, 0.02, "muon")


def test_what_a_table_cannot_do_is_refused(train: Train, tmp_path: Path) -> None:
    table = settings(tmp_path / "t.csv", separable())
    with pytest.raises(SourceError, match=r"no column sort; its columns are size, shade, kind\."):
        train(tmp_path / "run", {**table, "data.label": "sort"})
    with pytest.raises(ConfigError, match="a table of numbers has no tokens"):
        train(tmp_path / "run", {**table, "init_embeddings": str(tmp_path)})
    with pytest.raises(ConfigError, match="the classes of a table are taken as they are"):
        train(tmp_path / "run", {**table, "objective.label_smoothing": 0.1})
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_only_a_perceptron_reads_examples_as_a_table() -> None:
    flags = {"data.examples": ["t.csv"]}
    assert lesson_for(build_settings(TrainConfig, flags={**flags, "model.kind": "perceptron"})) is TableLesson
    assert lesson_for(build_settings(TrainConfig, flags=flags)) is not TableLesson
