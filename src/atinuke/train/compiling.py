"""torch.compile where it pays: whether its time comes back within a budget, a cache that outlives the run, a way back.

A cold compilation happens in a process of its own, which can be stopped: it fills the cache on the disk, and this
process then finds everything there. So a compiler that hangs, crashes or takes ten times as long as foreseen costs a
known part of the budget, once, and never the run.
"""

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import nn

from atinuke.config import one_line
from atinuke.durable import read_json, to_json, write_atomic
from atinuke.errors import ConfigError, RunFolderError
from atinuke.machine import Machine
from atinuke.models import ModelConfig, build_model

Say = Callable[[str], None]

SAFETY = 1.3
"""By how much what is gained must exceed what compiling is foreseen to take."""
KINDS = ("atinuke", "atinuke-paper", "gpt", "llama")
"""Networks whose every training step has the same shapes: each other shape is another compilation."""


@dataclass(frozen=True)
class Gain:
    """What compiling a network brings, and what it takes."""

    saved: float
    """The part of an eager step that it saves at this width, and less in wider networks, where products are more."""
    width: int
    cold_s: float
    """Seconds with nothing in the cache, for a network of four layers."""
    layer_s: float
    """What each further layer adds."""
    warm_part: float
    """The part of those seconds that is left when everything is in the cache."""

    def saved_of(self, network: ModelConfig) -> float:
        """The part of a step of this network that it is foreseen to save."""
        return self.saved * min(1.0, self.width / network.model_dim)

    def seconds(self, network: ModelConfig, is_cached: bool) -> float:
        """What compiling this network is foreseen to take."""
        cold_s = self.cold_s + self.layer_s * max(network.layer_count - 4, 0)
        return cold_s * self.warm_part if is_cached else cold_s


GAINS: dict[tuple[str, str], Gain] = {
    # measured on two cores, with the default network: docs/lab.md, Speed
    ("cpu", "float32"): Gain(saved=0.08, width=128, cold_s=45.0, layer_s=8.0, warm_part=0.14),
    ("cpu", "bfloat16"): Gain(saved=0.17, width=128, cold_s=45.0, layer_s=8.0, warm_part=0.14),
    # not measured here; cautious beside what nanoGPT publishes, 250 ms against 135 ms of a step
    ("cuda", "float32"): Gain(saved=0.15, width=2048, cold_s=40.0, layer_s=3.0, warm_part=0.25),
    ("cuda", "bfloat16"): Gain(saved=0.3, width=2048, cold_s=40.0, layer_s=3.0, warm_part=0.25),
}
"""By device and dtype; what is not here is not compiled."""


def compile_pays(machine: Machine, network: ModelConfig, dtype: str, time_left_s: float, is_cached: bool) -> bool:
    """Whether compiling gives back clearly more than it takes, within the time that is left."""
    gain = GAINS.get((machine.device, dtype))
    if gain is None or machine.compiler is None or not machine.has_python_headers or network.kind not in KINDS:
        return False
    return gain.saved_of(network) * time_left_s > SAFETY * gain.seconds(network, is_cached)


def is_worth_compiling(machine: Machine, network: ModelConfig, batch_seqs: int, dtype: str, time_left_s: float) -> bool:
    """Whether it pays, by what the cache has of it, and has not been tried in vain."""
    record = Record(network, batch_seqs, dtype, machine)
    return compile_pays(machine, network, dtype, time_left_s, record.is_cached) and not record.has_failed(
        _most_s(machine, network, dtype, time_left_s)
    )


def made_ready(
    machine: Machine, network: ModelConfig, batch_seqs: int, dtype: str, time_left_s: float, say: Say
) -> bool:
    """Whether this run should compile; where that pays and the cache lacks it, the cache has it afterwards.

    Takes no more of the time left than what compiling would have gained.
    """
    if not is_worth_compiling(machine, network, batch_seqs, dtype, time_left_s):
        return False
    record = Record(network, batch_seqs, dtype, machine)
    if record.is_cached:
        return True
    started_s = time.monotonic()
    trouble = fill_cache(record, _most_s(machine, network, dtype, time_left_s))
    took_s = time.monotonic() - started_s
    record.write({"is_cached": trouble is None, "took_s": round(took_s, 1), "trouble": trouble})
    if trouble is not None:
        say(f"torch.compile is left out, {trouble} after {took_s:.0f} s; training goes on without it.")
    return trouble is None


def _most_s(machine: Machine, network: ModelConfig, dtype: str, time_left_s: float) -> float:
    """What compiling may take: what it would gain."""
    return GAINS[machine.device, dtype].saved_of(network) * time_left_s / SAFETY


class Record:
    """What is remembered of compiling one network on this machine, beside the cache that torch keeps of it."""

    def __init__(self, network: ModelConfig, batch_seqs: int, dtype: str, machine: Machine) -> None:
        self.job: dict[str, Any] = {
            "network": network.model_dump(mode="json"),
            "batch_seqs": batch_seqs,
            "dtype": dtype,
            "device": machine.device,
            "threads": torch.get_num_threads(),  # compiled in
        }
        where = [torch.__version__, platform.python_version(), machine.cpu, machine.gpu_name, machine.compiler]
        key = hashlib.sha256(to_json([self.job, where]).encode()).hexdigest()[:32]
        self.folder = cache_folder()
        self._path = self.folder / "atinuke" / f"{key}.json"
        self._known: dict[str, Any] = {}
        with suppress(OSError, RunFolderError):
            self._known = read_json(self._path)

    @property
    def is_cached(self) -> bool:
        """Whether the code was compiled before, and is on the disk."""
        return self._known.get("is_cached") is True

    def has_failed(self, at_most_s: float) -> bool:
        """Whether it was tried in vain, so that it is not worth another try with less than twice the time."""
        return self._known.get("is_cached") is False and at_most_s < 2 * self._known.get("took_s", 0.0)

    def write(self, known: dict[str, Any]) -> None:
        """Remembers the outcome, if the folder can be written."""
        self._known = known
        with suppress(OSError, RunFolderError):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self._path, to_json(known))


def cache_folder() -> Path:
    """Where torch keeps compiled code, from now on in this process and those that it starts.

    `TORCHINDUCTOR_CACHE_DIR` where it is set; else a folder of the user, which outlives a restart of the machine as
    torch's own choice need not.
    """
    chosen = os.environ.get("TORCHINDUCTOR_CACHE_DIR")
    if chosen is None:
        chosen = os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(_user_cache() / "atinuke" / "compiled")
    return Path(chosen)


def fill_cache(record: Record, at_most_s: float) -> str | None:
    """Compiles in a process of its own; None when the cache has it, else what went wrong in a few words."""
    command = [sys.executable, "-m", "atinuke.train.compiling", json.dumps(record.job)]
    try:
        # its own session: the compilers that it starts are stopped with it
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        ) as child:
            try:
                _, said = child.communicate(timeout=at_most_s)
            except BaseException:
                _stop(child)
                raise
    except subprocess.TimeoutExpired:
        return "which was not ready"
    except OSError as error:
        return f"which could not be started ({one_line(error)[:80]})"
    if child.returncode == 0:
        return None
    lines = [line for line in said.splitlines() if line.strip()]
    return f"which failed ({one_line(RuntimeError(lines[-1]))[:100]})" if lines else "which failed without a word"


class Compiled(nn.Module):
    """A network that is compiled when it is first called; where that fails it says so and computes as it is written."""

    def __init__(self, network: nn.Module, say: Say) -> None:
        super().__init__()
        self.network = network
        self._say = say
        self._is_warm = False
        cache_folder()
        # in a list, so that the parameters are not found twice
        self._fast: list[Callable[..., Any]] = [torch.compile(network, dynamic=False)]

    def forward(self, *inputs: Any) -> Any:
        """What the network gives."""
        if not self._fast:
            return self.network(*inputs)
        if not self._is_warm:
            self._warm_up(*inputs)
        from torch._dynamo.exc import TorchDynamoException

        try:
            return self._fast[0](*inputs)
        except TorchDynamoException as error:
            self._fast.clear()
            torch._dynamo.reset()
            self._say(f"torch.compile failed ({one_line(error)[:100]}); training goes on without it.")
            return self.network(*inputs)

    def _warm_up(self, *inputs: Any) -> None:
        """Lets tables of positions grow, which would else be seen as another network after the first step."""
        self._is_warm = True
        was_training = self.network.training
        try:
            with torch.no_grad():
                self.network.eval()(*inputs)
        finally:  # memory may be short, and the step is then tried again in parts
            self.network.train(was_training)


def compiled(network: nn.Module, machine: Machine, say: Say = lambda line: None) -> Compiled:
    """The network, compiled. ConfigError where there is nothing to compile with."""
    require_compiler(machine)
    return Compiled(network, say)


def require_compiler(machine: Machine) -> None:
    """ConfigError where torch.compile would find no compiler."""
    if machine.compiler is None:
        raise ConfigError("compile is true; torch.compile needs a C++ compiler and none was found. Leave it out.")


def _compile(job: dict[str, Any]) -> None:
    """One training step of such a network, as the trainer makes it: its code is in the cache afterwards."""
    torch.set_num_threads(job["threads"])
    device = torch.device(job["device"])
    network = ModelConfig.model_validate(job["network"])
    model = Compiled(build_model(network).to(device).train(), sys.exit)  # what it would say is why this failed
    tokens = torch.zeros(job["batch_seqs"], network.context, dtype=torch.int64, device=device)
    half = torch.autocast(device.type, torch.bfloat16) if job["dtype"] == "bfloat16" else nullcontext()
    with half:
        logits = model(tokens)
    logits.float().sum().backward()


def _user_cache() -> Path:
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local"))
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def _stop(child: "subprocess.Popen[str]") -> None:
    if sys.platform == "win32":
        child.kill()
    else:
        import signal

        with suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    child.wait()


if __name__ == "__main__":
    _compile(json.loads(sys.argv[1]))
