"""A plan for cards that are not here, as it is told; the command in it can be typed."""

import json
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from atinuke.config import build_settings
from atinuke.models.config import saved_network
from atinuke.plan import far
from atinuke.plan.config import ClusterConfig
from atinuke.plan.search import plan_cluster
from atinuke.train.config import TrainConfig
from atinuke.train.planning.memory import count_parameters

PLANS = [
    {"gpus": 1, "params": "350m", "context": 2048},
    {"gpus": 8, "params": "1b", "sharing": "ddp"},
    {"gpus": 1024, "params": "7b", "tokens": "2t"},
    {"gpus": 8, "params": "1b", "model": "gpt", "context": 1024},
]


@pytest.mark.parametrize("settings", PLANS, ids=lambda settings: f"{settings['gpus']}-{settings['params']}")
def test_the_command_asks_train_for_what_was_planned(settings: dict[str, Any]) -> None:
    plan = plan_cluster(ClusterConfig.model_validate(settings))
    words = far.command(plan)
    assignments = [after for word, after in pairwise(words) if word == "--set"]
    flags = dict(pairwise(words))
    cfg = build_settings(
        TrainConfig,
        flags={
            "budget.tokens": flags["--tokens"],
            "model.kind": flags["--model"],
            "tokenizer.vocab_size": flags["--vocab-size"],
        },
        assignments=assignments,
    )
    layout, shape = plan.best.layout, plan.shape
    assert (cfg.parallel.kind, cfg.parallel.tensor) == (layout.sharing, layout.tensor)
    assert (cfg.batch_seqs or 0) * (cfg.model.context or 0) == layout.batch_tokens
    assert cfg.parallel.recompute == (layout.recompute == "full")
    whole = saved_network(
        {"model": {**cfg.model.model_dump(), "key_dim": shape.key_dim, "dropout": 0.0, "max_len": layout.context},
         "tokenizer": {"vocab_size": shape.vocab_size}}
    )  # fmt: skip
    if cfg.model.kind == "llama":
        assert count_parameters(whole).total == shape.parameters
    nodes = flags.get("--nnodes", "1")
    assert int(nodes) * int(flags["--nproc-per-node"]) == layout.gpus


def test_text_says_what_is_chosen_what_it_takes_and_how_sure_that_is() -> None:
    few = {"gpus": 1024, "params": "7b", "batch_tokens": 1 << 20}
    text = far.as_text(plan_cluster(ClusterConfig.model_validate(few)))
    for word in ("Cards", "Layout", "Memory", "Exchange", "MFU", "GPU-hours", "Checkpoint", "On every node:"):
        assert word in text
    assert "A calculation, not a measurement" in text
    assert "does not give each of 1,024 cards its own" in text
    assert max(len(line) for line in text.splitlines()) <= 125


def test_a_batch_that_is_left_open_has_a_window_for_each_card_and_says_what_that_costs() -> None:
    plan = plan_cluster(ClusterConfig.model_validate({"gpus": 1024, "params": "7b"}))
    assert plan.best.layout.batch_tokens >= 1024 * plan.best.layout.context
    assert "so that each card has one; 6 times what learns most from each token" in far.as_text(plan)
    few = plan_cluster(ClusterConfig.model_validate({"gpus": 8, "params": "7b"}))
    assert few.best.layout.batch_tokens == 1 << 20 and "what learns most" not in far.as_text(few)


def test_json_holds_the_same_numbers() -> None:
    plan = plan_cluster(ClusterConfig.model_validate(PLANS[2]))
    told = json.loads(far.as_json(plan))
    assert told["layout"]["gpus"] == 1024 and told["tokens"] == 2e12
    assert told["days"] == pytest.approx(plan.time_s / 86_400)
    assert told["tokens_per_s_per_gpu"] * 1024 * told["days"] * 86_400 == pytest.approx(2e12)
    assert told["memory_bytes_per_gpu"]["total"] < told["memory_bytes_per_gpu"]["available"]
    assert told["gpu_hours"] == pytest.approx(told["days"] * 24 * 1024)


def test_planning_for_others_loads_no_torch() -> None:
    code = (
        "import sys, io; from atinuke.cli import main; code = main(['plan', '--gpus', '8', '--params', '1b']); "
        "sys.exit(code or 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=Path(__file__).parent)
    assert done.returncode == 0, done.stderr
