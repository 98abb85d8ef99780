"""benchmarks/training_speed.py: what it counts, which racers meet at the end, and that equal networks are equal."""

import argparse
import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import nn

from atinuke.models.gpt import GPT

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def race(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    for name in ("training_speed", "training_peers"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return importlib.import_module("training_speed")


def tiny(race: ModuleType) -> Any:
    return race.Shape(8, 2, 2, 4, 3, 11)


def test_work_is_counted_by_hand_for_two_layers(race: ModuleType) -> None:
    # per layer 12·8² weights, read-out 11·8; 6 per weight; attention 6 · 2 layers · 4 tokens · width 8
    assert tiny(race).flops_per_token == 6 * (2 * 12 * 64 + 88) + 6 * 2 * 4 * 8


def test_the_network_written_out_has_the_matrices_of_ours(race: ModuleType) -> None:
    def matrices(model: nn.Module) -> list[tuple[int, ...]]:
        return sorted(tuple(each.shape) for each in model.parameters() if each.ndim == 2)

    assert matrices(race.peer_network("nanoGPT", tiny(race), None)) == matrices(GPT(11, 8, 8, 32, 2, 2, 0.0, 4))


def test_ours_made_plain_computes_what_the_peer_does(race: ModuleType) -> None:
    torch.manual_seed(0)
    theirs, ours = race.peer_network("nanoGPT", tiny(race), None), GPT(11, 8, 8, 32, 2, 2, 0.0, 4)
    race.make_plain(ours)
    # the same tensors under other names
    names = {"norm_1": "attention_norm", "norm_2": "feed_forward_norm", "qkv": "attention.project_qkv"}
    names |= {"out": "attention.project_out", "wide": "feed_forward.project_in", "narrow": "feed_forward.project_out"}
    names |= {"tokens": "embedding", "places": "positions"}
    renamed = {
        ".".join(names.get(part, part) for part in name.split(".")): weight
        for name, weight in theirs.state_dict().items()
    }
    ours.load_state_dict(renamed)
    tokens = torch.randint(11, (3, 4))
    torch.testing.assert_close(ours(tokens), theirs(tokens))


@pytest.mark.parametrize("name", ["nanoGPT", "transformers GPT-2"])
def test_every_peer_makes_training_steps(race: ModuleType, name: str) -> None:
    torch.manual_seed(0)
    step = race.peer_step(name, tiny(race), "bfloat16", torch.device("cpu"), None)
    losses = [step() for _ in range(20)]
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("name", ["gpt, AdamW", "atinuke, Muon + AdamW"])
def test_ours_is_made_by_the_trainer(race: ModuleType, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "set_flush_denormal", lambda on: True)
    torch.manual_seed(0)
    step = race.our_step(name, tiny(race), "float32", torch.device("cpu"))
    losses = [step() for _ in range(10)]
    assert losses[-1] < losses[0]


def test_the_best_of_each_meet_in_their_best_modes(race: ModuleType) -> None:
    results = [
        {"who": who, "mode": mode, "tokens_per_s": speeds}
        for who, mode, speeds in [
            ("gpt, AdamW", "float32", [5.0, 9.0, 7.0]),
            ("gpt, AdamW", "bfloat16", [8.0, 8.0, 1.0]),
            ("nanoGPT", "float32", [6.0, 6.0, 6.0]),
            ("litgpt", "bfloat16", [6.5, 6.4, 6.6]),
        ]
    ]
    assert race.best_of(results, "gpt, AdamW") == ("gpt, AdamW", "bfloat16")
    assert race.best_of(results, "litgpt") == ("litgpt", "bfloat16")
    assert race.best_of(results, "transformers GPT-2") is None


def test_a_racer_that_cannot_start_is_left_out_and_said(
    race: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Racer:
        def __init__(self, name: str, *_: object) -> None:
            if name == "litgpt":
                raise RuntimeError("No module named 'litgpt'")
            self.name = name

        def leave(self) -> None:
            self.name = "gone"

    monkeypatch.setattr(race, "Racer", Racer)
    with race.racers([("litgpt", "float32"), ("nanoGPT", "float32")], tiny(race), argparse.Namespace()) as there:
        assert [racer.name for racer in there] == ["nanoGPT"]
    assert there[0].name == "gone"
    assert "litgpt, float32: left out (No module named 'litgpt')" in capsys.readouterr().err
