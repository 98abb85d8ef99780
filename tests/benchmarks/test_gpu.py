"""benchmarks/gpu.py with its smallest network on this processor: every part gives figures, and none loses another."""

import argparse
import importlib.util
import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch

PATH = Path(__file__).parents[2] / "benchmarks" / "gpu.py"
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bench_gpu", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def told(**changed: Any) -> argparse.Namespace:
    return argparse.Namespace(**({"device": "cpu", "tiny": True, "eager": True} | changed))


def ended(monkeypatch: pytest.MonkeyPatch, gpu: ModuleType, code: int, out: str, err: str = "") -> None:
    answer = subprocess.CompletedProcess([], code, out, err)
    monkeypatch.setattr(gpu.subprocess, "run", lambda *_, **__: answer)


def test_the_full_network_has_about_100_million_parameters(gpu: ModuleType) -> None:
    with torch.device("meta"):
        model = gpu.build_model(gpu.network_of(gpu.FULL))
    assert 95e6 < sum(parameter.numel() for parameter in model.parameters()) < 105e6


def test_work_per_token_is_counted_by_hand_for_two_layers(gpu: ModuleType) -> None:
    sizes = {"model_dim": 2, "layers": 2, "heads": 1, "context": 5, "vocab": 7}
    # per layer 4·2² + 2·2·8 = 48 weights; read-out 14; 6 per weight; attention 12 · 2 layers · 5 tokens · width 2
    assert gpu.flops_per_token(sizes) == 6 * (2 * 48 + 14) + 240


@pytest.mark.parametrize(
    ("name", "peak"),
    [
        ("NVIDIA H200", 989.0),
        ("NVIDIA H100 80GB HBM3", 989.0),
        ("NVIDIA H100 PCIe", 756.0),
        ("NVIDIA A100-SXM4-80GB", 312.0),
        ("NVIDIA A10", 125.0),
        ("NVIDIA L40", 181.0),
        ("NVIDIA RTX A4000", None),
        ("Tesla V100-SXM2-16GB", None),
    ],
)
def test_the_peak_is_that_of_the_device_named_and_of_no_other(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, name: str, peak: float | None
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: name)
    assert gpu.peak_tflops(torch.device("cuda")) == peak


def test_speed_takes_the_fastest_batch_that_it_tried(gpu: ModuleType) -> None:
    found = gpu.speed({**gpu.TINY, "largest_batch": 2}, CPU, eager=True, until_s=1e9)
    assert found["tokens_per_s"] == max(each["tokens_per_s"] for each in found["tried"]) > 0
    assert found["mfu"] is None and found["cold_first_step_s"] > 0


def test_both_dtypes_make_the_same_steps(gpu: ModuleType) -> None:
    found = gpu.parity(gpu.TINY, CPU)
    assert found["largest_relative_difference"] < 0.02
    losses = found["losses"]["float32"]
    assert len(losses) == 20 and losses[-1] < losses[0]


def test_decoding_is_counted_for_every_number_of_sequences(gpu: ModuleType) -> None:
    rates = gpu.decoding({**gpu.TINY, "context": 12}, CPU, 0.0)["tokens_per_s"]
    assert list(rates) == ["1", "32", "256"] and all(rate > 0 for rate in rates.values())


def test_without_the_novels_quality_is_left_out_and_says_so(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ATINUKE_DATA", str(tmp_path))
    assert "english-novels is missing" in gpu.quality(CPU, 1.0)["left_out"]


def test_a_part_that_fails_says_why_and_a_part_that_hangs_is_ended(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended(monkeypatch, gpu, 1, "", "Traceback\nRuntimeError: no kernel\n")
    assert gpu.run_part("speed", told(), 5.0, "/nowhere") == {"error": "RuntimeError: no kernel"}

    def hang(*_: object, **__: object) -> None:
        raise subprocess.TimeoutExpired("gpu.py", 5.0)

    monkeypatch.setattr(gpu.subprocess, "run", hang)
    assert gpu.run_part("speed", told(), 5.0, "/nowhere") == {"error": "not ready after 5 s"}


def test_what_went_well_is_saved_and_shown_beside_what_failed(
    gpu: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    answers = {"cached": {"cached_first_step_s": 7.5}, "decoding": {"error": "out of memory"}}
    monkeypatch.setattr(gpu, "run_part", lambda name, *_: answers[name])
    out = tmp_path / "results.json"
    monkeypatch.setattr(sys, "argv", ["gpu.py", "--device", "cpu", "--parts", *answers, "--out", str(out)])
    gpu.main()
    assert json.loads(out.read_text(encoding="utf-8"))["results"] == answers
    shown = capsys.readouterr().out
    assert "7.5 s" in shown and "decoding | failed: out of memory" in shown


def test_all_parts_together_leave_quality_its_five_minutes_within_eight(gpu: ModuleType) -> None:
    assert gpu.WITHIN_S <= 480
    # each part is given its limit and ten seconds to start and end
    assert sum(gpu.LIMITS_S.values()) < gpu.WITHIN_S
