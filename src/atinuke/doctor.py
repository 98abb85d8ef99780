"""`atinuke doctor`: what this machine offers and what it lacks, one line each, with the command that mends it."""

import importlib.util
import platform
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TextIO

from rich.console import Console
from rich.text import Text

from atinuke.durable import printable
from atinuke.machine import Machine, memory_gib, probe_machine, resolve_device, usable_cores

Status = Literal["ok", "note", "missing"]
COLOURS: dict[Status, str] = {"ok": "green", "note": "yellow", "missing": "red"}
LOW_MEMORY_GIB = 2.0
LOW_DISK_GIB = 2.0

# extra → the module that it brings, and what cannot be done without it
EXTRAS = {
    "zstd": ("zstandard", "reading .zst files"),
    "translate": ("sacrebleu", "BLEU and chrF of translations"),
    "pictures": ("PIL", "reading pictures"),
    "sounds": ("soundfile", "reading sounds"),
    "compare": ("matplotlib", "the picture of atinuke compare"),
    "scale": ("scipy", "fitting scaling laws"),
    "tasks": ("scipy", "scores of coreference"),
    "summarize": ("rouge_score", "ROUGE of summaries"),
    "hub": ("huggingface_hub", "networks by their name on the hub"),
    "lm-eval": ("lm_eval", "scoring with lm-eval"),
}
COMPILERS = {
    "linux": "sudo apt install g++ (or dnf install gcc-c++)",
    "darwin": "xcode-select --install",
    "win32": "winget install Microsoft.VisualStudio.2022.BuildTools",
}


@dataclass(frozen=True)
class Finding:
    """One line of the report. `missing` is what stops something; `note` is what is good to know."""

    status: Status
    subject: str
    text: str


def run() -> list[Finding]:
    """Looks at this machine, with about 0.3 s of measuring."""
    try:
        machine = probe_machine(resolve_device("auto"))
    except (ImportError, OSError, RuntimeError) as error:  # a torch that is not there, or not for this machine
        reason = " ".join(str(error).split())
        mend = "pip install --force-reinstall torch"
        return [
            Finding("missing", "torch", f"cannot be loaded, so nothing can be trained: {reason}. Mend it with: {mend}"),
            Finding("ok", "cores", f"{usable_cores()} usable"),
            Finding("ok", "memory", f"{memory_gib()[0]:.1f} GiB"),
            *_extras(),
        ]
    return [*_basics(machine), *_arithmetic(machine), *_gpu(machine), *_compiler(machine), *_extras()]


def print_findings(findings: Iterable[Finding], file: TextIO | None = None) -> None:
    """One line for each; in colour on a terminal, plain anywhere else."""
    out = file or sys.stdout
    console = Console(file=out, highlight=False) if out.isatty() else None
    for finding in findings:
        rest = f"  {finding.subject:<9} {printable(finding.text)}"
        if console is None:
            print(f"{finding.status:<7}{rest}", file=out)
        else:
            console.print(Text.assemble((f"{finding.status:<7}", COLOURS[finding.status]), rest), soft_wrap=True)


def _basics(machine: Machine) -> Iterator[Finding]:
    yield Finding("ok", "python", f"{machine.python} on {machine.os}")
    yield Finding("ok", "torch", machine.torch)
    yield Finding("ok", "cores", f"{machine.cores} usable, {machine.cpu}")
    memory = f"{machine.memory_gib:.1f} GiB, {machine.memory_available_gib:.1f} GiB available"
    if machine.memory_available_gib < LOW_MEMORY_GIB:
        yield Finding("note", "memory", f"{memory}; training wants at least {LOW_MEMORY_GIB:g}: close other programs")
    else:
        yield Finding("ok", "memory", memory)
    disk = f"{machine.disk_free_gib:.1f} GiB free in this folder"
    if machine.disk_free_gib < LOW_DISK_GIB:
        yield Finding("note", "disk", f"{disk}; a run may not fit: free some, or choose another disk with --out")
    else:
        yield Finding("ok", "disk", disk)


def _arithmetic(machine: Machine) -> Iterator[Finding]:
    where = "" if machine.device == "cpu" else f" on {machine.device}"
    yield Finding("ok", "float32", f"{_rate(machine.fp32_gflops)}{where}, measured")
    times = machine.bf16_gflops / machine.fp32_gflops if machine.fp32_gflops else 0.0
    measured = f"{_rate(machine.bf16_gflops)}{where}, measured: {times:.1f} × float32"
    if not machine.bf16_gflops:
        yield Finding("note", "bfloat16", f"not available{where}; training uses float32")
    elif machine.device != "cpu":
        yield Finding("ok", "bfloat16", measured)
    elif machine.bf16_pays:
        yield Finding("ok", "bfloat16", f"{measured}; it pays, and training uses it")
    else:
        yield Finding("note", "bfloat16", f"{measured}; it does not pay, and training uses float32")


def _rate(gflops: float) -> str:
    return f"{gflops:,.0f} GFLOP/s" if gflops >= 10 else f"{gflops:.2g} GFLOP/s"


def _gpu(machine: Machine) -> Iterator[Finding]:
    if machine.gpu_count:
        many = f"{machine.gpu_count} × " if machine.gpu_count > 1 else ""
        yield Finding("ok", "gpu", f"{many}{machine.gpu_name}, {machine.gpu_memory_gib or 0:.1f} GiB")
    elif machine.has_mps:
        yield Finding("ok", "gpu", "Apple GPU (mps)")
    elif shutil.which("nvidia-smi"):
        mend = "pip install --force-reinstall torch, after updating the driver"
        yield Finding("missing", "gpu", f"there is an NVIDIA driver, but torch {machine.torch} cannot use it: {mend}")
    else:
        yield Finding("note", "gpu", "none; training uses the processor")


def _compiler(machine: Machine) -> Iterator[Finding]:
    if machine.compiler is None:
        mend = COMPILERS.get(sys.platform, COMPILERS["linux"])
        yield Finding("missing", "compiler", f"no C++ compiler, so torch.compile cannot be used: {mend}")
    elif not machine.has_python_headers:
        mend = f"sudo apt install python{platform.python_version().rpartition('.')[0]}-dev"
        yield Finding("missing", "compiler", f"{machine.compiler}, but no Python.h, which torch.compile needs: {mend}")
    else:
        yield Finding("ok", "compiler", f"{Path(machine.compiler)}, for torch.compile")


def _extras() -> Iterator[Finding]:
    for extra, (module, purpose) in EXTRAS.items():
        if importlib.util.find_spec(module) is None:
            yield Finding("missing", extra, f"optional, for {purpose}: pip install 'atinuke[{extra}]'")
        else:
            yield Finding("ok", extra, f"for {purpose}")
