"""A plan for this machine, as it is told; the planner stands aside but for the last test."""

import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from atinuke.errors import ConfigError
from atinuke.models.config import saved_network
from atinuke.plan import near
from atinuke.plan.config import plan_settings
from atinuke.plan.run import run
from atinuke.testing import TEXT
from atinuke.train.config import TrainConfig
from atinuke.train.planning import preview
from atinuke.train.planning.memory import training_memory_bytes
from atinuke.train.progress import Quiet

CONFIG = TrainConfig.model_validate(
    {
        "tokenizer": {"vocab_size": 512},
        "model": {
            **{"model_dim": 128, "key_dim": 128, "hidden_dim": 512, "head_count": 4, "layer_count": 4},
            **{"dropout": 0.0, "context": 128, "max_len": 50_000},
        },
        "optim": {"kind": "muon", "lr": 0.006, "matrix_lr": 0.02, "beta2": 0.95},
        "budget": {"time_s": 600},
        "batch_seqs": 8,
        "dtype": "bfloat16",
        "compile": False,
    }
)


def planned(**changes: Any) -> Any:
    network = saved_network(CONFIG.model_dump())
    facts = {
        "expected_tokens_per_s": 61_000.0,
        "considered": [
            {"model_dim": 128, "layer_count": 4, "matrix_parameters": 786_432, "batch_tokens": 1024,
             "tokens_per_s": 61_000, "law_bpb": 1.52},
        ],
    }  # fmt: skip
    values = {
        "config": CONFIG,
        "network": network,
        "parameters": 1_441_800,
        "expected_tokens": 36_000_000,
        "expected_epochs": 2.5,
        "train_bytes": 40_000_000,
        "forecast": SimpleNamespace(middle=1.5, low=1.35, high=1.65),
        "memory": training_memory_bytes(network, 8, dtype="bfloat16", optimizer="muon"),
        "memory_available_bytes": 8 * 2**30,
        "disk_bytes": 100 * 2**20,
        "disk_free_bytes": 50 * 2**30,
        "facts": facts,
    }
    return SimpleNamespace(**{**values, **changes})


def test_every_choice_and_every_need_has_a_line() -> None:
    text = near.as_text(planned())
    for words in (
        "Time        10.0 minutes",
        "Vocabulary  512 ids, bpe",
        "Network     atinuke: 128 wide, 512 inside, 4 layers, 4 heads",
        "Batch       8 windows, 1,024 tokens",
        "Rates       Muon 0.02, and AdamW 0.006",
        "Precision   bfloat16, not compiled",
        "Tokens      36 million, 2.5 times the text, 61,000 per second",
        "Forecast    1.50 bits per byte (1.35 to 1.65)",
        "of 8.0 GiB available",
        "Disk        100 MiB of 50.0 GiB free",
        "61,000 |",
    ):
        assert words in text


def test_where_the_law_says_nothing_there_is_no_forecast() -> None:
    assert "Forecast" not in near.as_text(planned(forecast=None))
    assert json.loads(near.as_json(planned(forecast=None)))["forecast_bpb"] is None


def test_json_holds_settings_that_train_takes_back() -> None:
    told = json.loads(near.as_json(planned()))
    assert TrainConfig.model_validate(told["config"]) == CONFIG
    assert told["forecast_bpb"] == {"middle": 1.5, "low": 1.35, "high": 1.65}
    parts = told["memory_bytes"]
    assert parts["total"] <= sum(parts[name] for name in ("weights", "gradients", "optimizer", "activations", "logits"))


def test_a_step_too_large_for_the_memory_is_made_in_parts() -> None:
    assert "a step is made in parts" in near.as_text(planned(memory_available_bytes=1000))


def test_a_disk_with_too_little_room_is_refused_with_both_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    short = planned(disk_bytes=3 * 2**30, disk_free_bytes=2**30)
    monkeypatch.setattr(preview, "preview", lambda cfg, display: short)
    with pytest.raises(ConfigError, match=r"take 3\.0 GiB of the disk, and 1\.0 GiB are free"):
        near.plan_here(CONFIG, Quiet())


def test_a_plan_of_a_text_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "book.txt").write_text(TEXT * 3)
    monkeypatch.chdir(tmp_path)
    flags = {"train.data.sources": ["book.txt"], "train.budget.steps": "20", "train.device": "cpu"}
    cfg = plan_settings(flags, {}, ("tokenizer.kind=char", "model.model_dim=16", "model.layer_count=1"))
    out = io.StringIO()
    run(cfg, out, Quiet())
    assert "Network     atinuke: 16 wide" in out.getvalue()
    assert [path.name for path in tmp_path.iterdir()] == ["book.txt"]


def test_examples_are_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("a,label\n1,2\n")
    cfg = TrainConfig.model_validate({"data": {"examples": [str(tmp_path / "a.csv")]}, "model": {"kind": "perceptron"}})
    with pytest.raises(ConfigError, match="fixed recipes"):
        near.plan_here(cfg, Quiet())
