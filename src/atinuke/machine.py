"""What this machine offers, measured where it can be: cores, memory, arithmetic, GPU, compiler, and the clock.

torch is imported inside the functions that need it, so that asking for the time costs nothing.
"""

import ctypes
import importlib.metadata
import math
import os
import platform
import shutil
import subprocess
import sys
import sysconfig
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atinuke.durable import printable
from atinuke.errors import ConfigError

if TYPE_CHECKING:
    import torch

GIB = 2**30
DEVICES = ("auto", "cpu", "cuda", "mps")
BF16_PAYS = 1.3
"""How much faster than float32 bfloat16 must multiply before its lost digits are worth it on a CPU."""
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD = -1, -2, -3  # as malloc.h numbers them
_IMPORTED_S = time.monotonic()


@dataclass(frozen=True)
class Machine:
    """One machine as one process sees it: inside a container, its limits."""

    device: str
    """Where the arithmetic was measured: cpu, cuda or mps."""
    cores: int
    cpu: str
    memory_gib: float
    memory_available_gib: float
    disk_free_gib: float
    fp32_gflops: float
    """Rate of float32 matrix products, in 10⁹ multiplications and additions a second."""
    bf16_gflops: float
    """The same in bfloat16; 0 where the device has none."""
    compiler: str | None
    """Path of the C++ compiler that torch.compile would call."""
    has_python_headers: bool
    """Whether Python.h is there, which the code of torch.compile includes."""
    gpu_name: str | None
    gpu_memory_gib: float | None
    gpu_count: int
    has_mps: bool
    os: str
    python: str
    torch: str

    @property
    def bf16_pays(self) -> bool:
        """Whether bfloat16 was measured fast enough to be worth its lost digits."""
        return self.bf16_gflops > BF16_PAYS * self.fp32_gflops


def probe_machine(device: "torch.device | str" = "cpu", folder: Path = Path()) -> Machine:
    """Measures this machine in about 0.3 s. `folder`: where the free disk space counts."""
    import torch

    device = torch.device(device)
    total_gib, available_gib = memory_gib()
    has_gpu = torch.cuda.is_available()
    gpu = torch.cuda.get_device_properties(0) if has_gpu else None
    return Machine(
        device=device.type,
        cores=usable_cores(),
        cpu=cpu_name(),
        memory_gib=total_gib,
        memory_available_gib=available_gib,
        disk_free_gib=_disk_free_gib(folder),
        fp32_gflops=matmul_gflops(device, torch.float32),
        bf16_gflops=matmul_gflops(device, torch.bfloat16),
        compiler=find_compiler(),
        has_python_headers=Path(sysconfig.get_path("include"), "Python.h").is_file(),
        gpu_name=gpu.name if gpu is not None else None,
        gpu_memory_gib=gpu.total_memory / GIB if gpu is not None else None,
        gpu_count=torch.cuda.device_count() if has_gpu else 0,
        has_mps=torch.backends.mps.is_available(),
        os=_os_name(),
        python=platform.python_version(),
        torch=torch.__version__,
    )


def resolve_device(name: str) -> "torch.device":
    """The device called `name`; auto: CUDA, else MPS, else the CPU. ConfigError when it is not there."""
    import torch

    if name not in DEVICES:
        raise ConfigError(f"device is {printable(name)}; expected one of {', '.join(DEVICES)}.")
    there = ["cuda"] * torch.cuda.is_available() + ["mps"] * torch.backends.mps.is_available() + ["cpu"]
    if name == "auto":
        return torch.device(there[0])
    if name not in there:
        # a torch that was built without CUDA is the usual reason on a machine that has a GPU
        built = (
            f" (torch {torch.__version__} is built without CUDA)" if name == "cuda" and not torch.version.cuda else ""
        )
        raise ConfigError(
            f"device is {name}, but torch finds none here{built}; there is {' and '.join(there)}. "
            f"Use --device {there[0]} or --device auto."
        )
    return torch.device(name)


def has_bfloat16(device: "torch.device") -> bool:
    """Whether a GPU multiplies bfloat16 by itself: NVIDIA from compute capability 8.0 on, AMD as torch says, Apple
    where a product can be had. What emulates it is slower than float32. Of a CPU nothing is said: there it is measured.
    """
    import torch

    if device.type == "cuda":
        # is_bf16_supported counts emulation on older NVIDIA devices
        is_native = torch.version.hip is not None or torch.cuda.get_device_capability(device) >= (8, 0)
        return is_native and torch.cuda.is_bf16_supported()
    if device.type == "mps":
        try:
            one = torch.ones(1, 1, device=device)
            with torch.autocast(device.type, torch.bfloat16):
                return (one @ one).dtype == torch.bfloat16
        except (RuntimeError, TypeError):  # macOS before 14
            return False
    return False


def process_started_s() -> float:
    """Seconds since this process began, to about 10 ms; where the system does not tell, since this import."""
    imported = time.monotonic() - _IMPORTED_S
    if sys.platform == "linux":
        with suppress(OSError, ValueError, IndexError):
            # proc_pid_stat(5): field 22, in clock ticks after boot; the name in field 2 may hold spaces and brackets
            ticks = int(Path("/proc/self/stat").read_bytes().rpartition(b")")[2].split()[19])
            age = time.clock_gettime(time.CLOCK_BOOTTIME) - ticks / os.sysconf("SC_CLK_TCK")
            if ticks > 0 and age > imported - 0.1:  # some sandboxes write 0, or count from another boot
                return max(age, imported)
    return imported


def keep_freed_memory() -> None:
    """Tells glibc to keep what is freed for the next allocation, for the rest of this process; elsewhere nothing.

    It would hand every block of a few hundred kilobytes back to the system, and take each new one page by page: a third
    of the time of a training step of small layers on a CPU (docs/lab.md). The peak of memory stays the same.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # not glibc
        return
    mallopt(M_MMAP_THRESHOLD, 1 << 30)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    mallopt(M_TOP_PAD, 1 << 26)


def environment() -> dict[str, Any]:
    """What environment.json holds: versions and machine, and nothing about whose it is."""
    import torch

    packages = ("atinuke", "numpy", "tokenizers", "safetensors")
    gpu = torch.cuda.get_device_name(0) if torch.cuda.is_available() else None
    return {
        **{package: _version(package) for package in packages},
        "torch": torch.__version__,
        "python": platform.python_version(),
        "os": _os_name(),
        "cpu": cpu_name(),
        "cores": usable_cores(),
        "threads": torch.get_num_threads(),
        "memory_gib": round(memory_gib()[0], 1),
        "gpu": gpu,
        "cuda": torch.version.cuda if gpu is not None else None,
    }


def usable_cores(root: Path = Path("/")) -> int:
    """Cores that this process may use: of those given to it, as many as the time share of its container amounts to."""
    if sys.platform == "linux":
        given = len(os.sched_getaffinity(0))
    else:
        given = os.cpu_count() or 1
    shares = [quota / period for quota, period in _cpu_quotas(root) if quota > 0 and period > 0]
    return max(1, min([given, *(math.ceil(share) for share in shares)]))


def memory_gib(root: Path = Path("/")) -> tuple[float, float]:
    """Memory in all and still available, in GiB, within the limits of the container."""
    total, available = _system_memory(root)
    for limit, used in _memory_limits(root):
        total = min(total, limit)
        available = min(available, max(limit - used, 0))
    return total / GIB, min(available, total) / GIB


def available_memory_bytes(device: "torch.device") -> float:
    """What is free where `device` keeps its tensors: on a GPU, beside whatever other programs hold of it."""
    import torch

    if device.type == "cuda":
        return float(torch.cuda.mem_get_info(device)[0])
    if device.type == "mps":
        return float(torch.mps.recommended_max_memory() - torch.mps.driver_allocated_memory())
    return memory_gib()[1] * GIB


def matmul_gflops(device: "torch.device", dtype: "torch.dtype", *, at_most_s: float = 0.15) -> float:
    """Measured rate of square matrix products: the best of those that fit into the time. 0 where there are none.

    The size is up to 1024 (8192 on a GPU), and less where a type is emulated and one product would take too long.
    """
    smallest, largest = (128, 1024) if device.type == "cpu" else (1024, 8192)
    try:
        rate = _rate_alone(smallest, device, dtype, at_most_s / 10)
        size = smallest
        while size < largest and 2 * (2 * size) ** 3 / rate < at_most_s / 3:
            size *= 2
        return 2 * size**3 / _fastest_s(size, device, dtype, at_most_s) / 1e9
    except (RuntimeError, TypeError):  # this device does not have the type
        return 0.0


def _rate_alone(size: int, device: "torch.device", dtype: "torch.dtype", at_most_s: float) -> float:
    """A first guess of the rate, per second: on a CPU, that of one thread times the number of threads.

    Small products of several threads say nothing on a busy machine: each waits until all have had their turn.
    """
    import torch

    threads = torch.get_num_threads() if device.type == "cpu" else 1
    try:
        if threads > 1:
            torch.set_num_threads(1)
        _fastest_s(size, device, dtype, 0.0)  # loads libraries
        return threads * 2 * size**3 / _fastest_s(size, device, dtype, at_most_s)
    finally:
        if threads > 1:
            torch.set_num_threads(threads)


def _fastest_s(size: int, device: "torch.device", dtype: "torch.dtype", at_most_s: float) -> float:
    """Seconds of the fastest product, of at least one and of as many as fit into the time."""
    import torch

    factor = torch.full((size, size), 0.5, device=device, dtype=dtype)  # not random: the run's draws stay as they are
    started_s = time.perf_counter()
    fastest_s = _timed_product(factor)
    while time.perf_counter() - started_s + fastest_s < at_most_s:
        fastest_s = min(fastest_s, _timed_product(factor))
    return fastest_s


def find_compiler() -> str | None:
    """The C++ compiler that torch.compile would call here: $CXX, or the one of the system."""
    usual = {"win32": "cl", "darwin": "clang++"}.get(sys.platform, "g++")
    return shutil.which(os.environ.get("CXX", usual))


def cpu_name(root: Path = Path("/")) -> str:
    """The model of the processor, as it names itself."""
    with suppress(OSError):
        for line in (root / "proc/cpuinfo").read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            if key.strip() in ("model name", "Model", "cpu model") and value.strip():
                return " ".join(value.split())
    if sys.platform == "darwin":
        return _ask("sysctl", "-n", "machdep.cpu.brand_string") or platform.machine()
    return platform.processor() or platform.machine() or "unknown"


def _timed_product(factor: "torch.Tensor") -> float:
    started_s = time.perf_counter()
    product = factor @ factor
    product[0, 0].item()  # waits for a device that computes on its own
    return max(time.perf_counter() - started_s, 1e-9)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _os_name() -> str:
    """Linux 6.1 x86_64: system, release up to its second number, architecture."""
    release = ".".join(platform.release().split("-")[0].split(".")[:2])
    return " ".join(part for part in (platform.system(), release, platform.machine()) if part)


def _disk_free_gib(folder: Path) -> float:
    there = next((place for place in (folder, *folder.absolute().parents) if place.exists()), Path())
    return shutil.disk_usage(there).free / GIB


def _system_memory(root: Path) -> tuple[float, float]:
    """Bytes in all and available, whatever container this runs in."""
    with suppress(OSError, ValueError, IndexError, KeyError):
        lines = (root / "proc/meminfo").read_text().splitlines()
        kib = {line.split(":")[0]: int(line.split(":")[1].split()[0]) for line in lines if ":" in line}
        return kib["MemTotal"] * 1024, kib.get("MemAvailable", kib["MemFree"]) * 1024
    if sys.platform == "win32":
        return _windows_memory()
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    # macOS: what nobody uses, and what is only kept in case it is used again
    pages = {line.split(":")[0]: line.split(":")[1].strip(" .") for line in _ask("vm_stat").splitlines() if ":" in line}
    free = [int(pages.get(f"Pages {kind}", "0")) for kind in ("free", "inactive", "speculative")]
    return total, sum(free) * os.sysconf("SC_PAGE_SIZE") or total


def _windows_memory() -> tuple[float, float]:
    import ctypes

    class Status(ctypes.Structure):
        """MEMORYSTATUSEX of the Windows API."""

        _fields_ = [
            ("length", ctypes.c_ulong),
            ("load", ctypes.c_ulong),
            *((name, ctypes.c_ulonglong) for name in ("total", "available", "page_total", "page_available")),
            *((name, ctypes.c_ulonglong) for name in ("virtual_total", "virtual_available", "extended")),
        ]

    status = Status()
    status.length = ctypes.sizeof(Status)
    ctypes.windll.kernel32.GlobalMemoryStatusEx(ctypes.byref(status))  # type: ignore[attr-defined,unused-ignore]
    return float(status.total), float(status.available)


def _memory_limits(root: Path) -> Iterator[tuple[int, int]]:
    """(limit, used) in bytes of every control group that this process is in, without what is given back on demand."""
    for folder in _control_groups(root, ""):
        with suppress(OSError, ValueError):
            yield _number(folder / "memory.max"), _used(folder, "memory.current", "inactive_file")
    for folder in _control_groups(root, "memory"):
        with suppress(OSError, ValueError):
            limit = _number(folder / "memory.limit_in_bytes")
            yield limit, _used(folder, "memory.usage_in_bytes", "total_inactive_file")


def _cpu_quotas(root: Path) -> Iterator[tuple[int, int]]:
    """(quota, period) of processor time, in microseconds, of every control group that this process is in."""
    for folder in _control_groups(root, ""):
        with suppress(OSError, ValueError):
            quota, period = (folder / "cpu.max").read_text().split()
            yield int(quota), int(period)
    for folder in _control_groups(root, "cpu"):
        with suppress(OSError, ValueError):
            yield _number(folder / "cpu.cfs_quota_us"), _number(folder / "cpu.cfs_period_us")


def _control_groups(root: Path, controller: str) -> Iterator[Path]:
    """Folders of this process's groups, innermost first, up to the root. Version 2 where `controller` is empty."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controller not in controllers.split(","):
                continue
            top = root / "sys/fs/cgroup" / controller
            inner = top / path.lstrip("/")
            yield from (place for place in (inner, *inner.parents) if place == top or top in place.parents)


def _used(folder: Path, current: str, reclaimable: str) -> int:
    used = _number(folder / current)
    for line in (folder / "memory.stat").read_text().splitlines():
        if line.startswith(f"{reclaimable} "):
            return used - int(line.split()[1])
    return used


def _number(path: Path) -> int:
    return int(path.read_text())  # "max", for none, is a ValueError like any other word


def _ask(*command: str) -> str:
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=5, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return ""
