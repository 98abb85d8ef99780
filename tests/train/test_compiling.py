"""When compiling pays, what is remembered of it, and that a compiler in trouble costs no more than it was given."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._dynamo.exc import TorchDynamoException

from atinuke.errors import ConfigError
from atinuke.machine import Machine, probe_machine
from atinuke.models import ModelConfig
from atinuke.testing import tiny_model
from atinuke.train import compiling
from atinuke.train.compiling import Gain, Record, compile_pays, compiled, fill_cache, made_ready


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "compiled"))
    # half of the time is saved up to width 8; ten seconds for up to four layers, one with a cache
    gain = Gain(saved=0.5, width=8, cold_s=10.0, layer_s=5.0, warm_part=0.1)
    monkeypatch.setattr(compiling, "GAINS", {("cpu", "bfloat16"): gain})


@pytest.fixture(scope="module")
def machine() -> Machine:
    return replace(probe_machine(), device="cpu", compiler="/usr/bin/g++", has_python_headers=True)


def network(**changed: Any) -> ModelConfig:
    sizes = {"kind": "gpt", "vocab_size": 11, "model_dim": 4, "key_dim": 4, "hidden_dim": 8, "head_count": 1}
    return ModelConfig.model_validate(sizes | {"layer_count": 4, "context": 6, "max_len": 6} | changed)


@pytest.mark.parametrize(
    ("time_left_s", "is_cached", "layers", "pays"),
    [
        (27.0, False, 4, True),  # half of 27 s is gained: more than 1.3 times 10 s
        (25.0, False, 4, False),
        (2.7, True, 4, True),
        (2.5, True, 4, False),
        (27.0, False, 5, False),  # one layer more takes 15 s
        (40.0, False, 5, True),
        (27.0, False, 1, True),
        (-5.0, False, 4, False),
    ],
)
def test_compiling_pays_where_it_gives_back_a_third_more_than_it_takes(
    machine: Machine, time_left_s: float, is_cached: bool, layers: int, pays: bool
) -> None:
    assert compile_pays(machine, network(layer_count=layers), "bfloat16", time_left_s, is_cached) is pays


def test_wide_networks_save_less(machine: Machine) -> None:
    assert compile_pays(machine, network(model_dim=8), "bfloat16", 27.0, False)
    assert not compile_pays(machine, network(model_dim=16), "bfloat16", 51.0, False)
    assert compile_pays(machine, network(model_dim=16), "bfloat16", 53.0, False)


@pytest.mark.parametrize("lacking", [{"compiler": None}, {"has_python_headers": False}, {"device": "mps"}])
def test_without_what_it_needs_it_never_pays(machine: Machine, lacking: dict[str, Any]) -> None:
    assert not compile_pays(replace(machine, **lacking), network(), "bfloat16", 1e9, True)


def test_it_never_pays_where_batches_have_many_shapes_or_nothing_was_measured(machine: Machine) -> None:
    assert not compile_pays(machine, network(kind="bert"), "bfloat16", 1e9, True)
    assert not compile_pays(machine, network(), "float32", 1e9, True)


def test_what_was_compiled_is_remembered_for_this_network_and_batch_alone(machine: Machine) -> None:
    Record(network(), 2, "bfloat16", machine).write({"is_cached": True})
    assert Record(network(), 2, "bfloat16", machine).is_cached
    others = [(network(layer_count=3), 2, "bfloat16"), (network(), 3, "bfloat16"), (network(), 2, "float32")]
    assert not any(Record(*other, machine).is_cached for other in others)
    assert not Record(network(), 2, "bfloat16", replace(machine, cpu="another")).is_cached


def test_a_cache_that_was_deleted_is_not_remembered(machine: Machine) -> None:
    record = Record(network(), 2, "bfloat16", machine)
    record.write({"is_cached": True})
    for file in sorted(record.folder.rglob("*"), reverse=True):
        file.rmdir() if file.is_dir() else file.unlink()
    assert not Record(network(), 2, "bfloat16", machine).is_cached


def test_a_damaged_record_counts_as_none(machine: Machine) -> None:
    record = Record(network(), 2, "bfloat16", machine)
    record.write({"is_cached": True})
    record._path.write_text("{", encoding="utf-8")
    again = Record(network(), 2, "bfloat16", machine)
    assert not again.is_cached and not again.has_failed(1.0)


def test_a_folder_that_cannot_be_written_is_no_trouble(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "file"))
    Record(network(), 2, "bfloat16", machine).write({"is_cached": True})


def test_a_run_with_a_filled_cache_starts_no_second_process(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    Record(network(), 2, "bfloat16", machine).write({"is_cached": True})
    monkeypatch.setattr(compiling, "fill_cache", lambda *_: pytest.fail("compiled again"))
    assert made_ready(machine, network(), 2, "bfloat16", 100.0, pytest.fail)


def test_a_compilation_that_went_well_is_there_for_the_next_run(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[float] = []
    monkeypatch.setattr(compiling, "fill_cache", lambda record, at_most_s: given.append(at_most_s))
    assert made_ready(machine, network(), 2, "bfloat16", 100.0, pytest.fail)
    assert given == [pytest.approx(50 / 1.3)]  # what it would gain, less the safety
    assert made_ready(machine, network(), 2, "bfloat16", 100.0, pytest.fail)
    assert len(given) == 1


def test_a_compilation_that_failed_is_said_and_tried_again_only_with_twice_the_time(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[float] = []

    def in_vain(record: Record, at_most_s: float) -> str:
        tries.append(at_most_s)
        return "which was not ready"

    clock = iter([0.0, 38.0, 100.0, 150.0])
    monkeypatch.setattr(compiling, "fill_cache", in_vain)
    monkeypatch.setattr(compiling.time, "monotonic", lambda: next(clock))
    said: list[str] = []
    assert not made_ready(machine, network(), 2, "bfloat16", 100.0, said.append)
    assert said == ["torch.compile is left out, which was not ready after 38 s; training goes on without it."]
    assert not made_ready(machine, network(), 2, "bfloat16", 190.0, said.append)
    assert len(tries) == 1
    assert not made_ready(machine, network(), 2, "bfloat16", 210.0, said.append)
    assert len(tries) == 2


def run_instead(monkeypatch: pytest.MonkeyPatch, code: str) -> None:
    start = subprocess.Popen
    monkeypatch.setattr(
        compiling.subprocess, "Popen", lambda command, **settings: start([sys.executable, "-c", code], **settings)
    )


def test_a_compiler_that_hangs_is_ended_with_all_that_it_started(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    alive = tmp_path / "alive"
    grandchild = f"import time, pathlib; time.sleep(1.5); pathlib.Path({str(alive)!r}).touch()"
    run_instead(monkeypatch, f"import subprocess, sys; subprocess.run([sys.executable, '-c', {grandchild!r}])")
    assert fill_cache(Record(network(), 2, "bfloat16", machine), 0.5) == "which was not ready"
    import time

    time.sleep(1.6)
    assert not alive.exists()


@pytest.mark.parametrize(
    ("code", "trouble"),
    [
        ("pass", None),
        ("raise SystemExit('no space left')", "which failed (no space left)"),
        ("import os; os.abort()", "which failed without a word"),
    ],
)
def test_how_a_compilation_ended_is_told_in_a_few_words(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, code: str, trouble: str | None
) -> None:
    run_instead(monkeypatch, code)
    assert fill_cache(Record(network(), 2, "bfloat16", machine), 60.0) == trouble


def test_the_job_of_the_other_process_is_a_training_step_of_this_network(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[torch.Size] = []

    def uncompiled(model: nn.Module, **settings: object) -> nn.Module:
        model.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape))
        return model

    monkeypatch.setattr(compiling.torch, "compile", uncompiled)
    compiling._compile(Record(network(), 2, "bfloat16", machine).job)
    assert set(seen) == {torch.Size([2, 6])}


def test_a_table_that_grows_at_the_first_call_is_not_compiled_twice(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = torch.compile
    monkeypatch.setattr(compiling.torch, "compile", lambda model, **how: real(model, backend="eager", **how))
    torch._dynamo.reset()
    llama = tiny_model("llama").train()
    assert not llama.blocks[0].attention.positions.cosine.numel()
    model, tokens = compiled(llama, machine, pytest.fail), torch.zeros(2, 6, dtype=torch.int64)
    with torch._dynamo.config.patch(error_on_recompile=True):
        model(tokens).sum().backward()
        model(tokens).sum().backward()
    assert model.training


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 2 * x


def test_where_compiling_fails_the_network_computes_as_it_is_written_and_it_is_said_once(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(x: Tensor) -> Tensor:
        raise TorchDynamoException("g++ ended with 1")

    monkeypatch.setattr(compiling.torch, "compile", lambda network, **settings: broken)
    said: list[str] = []
    model = compiled(Doubled(), machine, said.append)
    assert [model(torch.tensor(3.0)).item() for _ in range(3)] == [6.0, 6.0, 6.0]
    assert said == ["torch.compile failed (g++ ended with 1); training goes on without it."]


def test_what_the_network_itself_raises_is_not_taken_for_the_compiler(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(x: Tensor) -> Tensor:
        raise torch.OutOfMemoryError("no memory")

    monkeypatch.setattr(compiling.torch, "compile", lambda network, **settings: full)
    with pytest.raises(torch.OutOfMemoryError):
        compiled(Doubled(), machine)(torch.tensor(3.0))


def test_a_compiled_network_has_each_parameter_once(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiling.torch, "compile", lambda network, **settings: network)
    assert len(list(compiled(nn.Linear(2, 3), machine).parameters())) == 2


def test_without_a_compiler_to_ask_for_one_is_refused(machine: Machine) -> None:
    with pytest.raises(ConfigError, match="needs a C\\+\\+ compiler and none was found"):
        compiled(Doubled(), replace(machine, compiler=None))


@pytest.mark.parametrize(
    ("system", "variable", "folder"),
    [("linux", "XDG_CACHE_HOME", "atinuke/compiled"), ("win32", "LOCALAPPDATA", "atinuke/compiled")],
)
def test_the_cache_is_the_users_where_torch_has_none_chosen(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, system: str, variable: str, folder: str
) -> None:
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    monkeypatch.setattr(compiling.sys, "platform", system)
    monkeypatch.setenv(variable, str(tmp_path))
    assert compiling.cache_folder() == tmp_path / folder
    assert compiling.os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / folder)
