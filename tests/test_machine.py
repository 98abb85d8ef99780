"""What is said of this machine is what the system says, within the limits of its container."""

import ctypes
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from atinuke import machine
from atinuke.errors import ConfigError

GIB = 2**30
HUGE = 9223372036854771712  # what version 1 of control groups says when there is no limit


def write_tree(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


MEMINFO = (
    "MemTotal:       16777216 kB\nMemFree:         1048576 kB\nMemAvailable:    8388608 kB\nHugePages_Total:       0\n"
)


def test_a_probe_fits_what_the_system_says() -> None:
    found = machine.probe_machine("cpu")
    assert 1 <= found.cores <= (os.cpu_count() or 1)
    assert 0 < found.memory_available_gib <= found.memory_gib
    assert found.fp32_gflops > 0 and found.bf16_gflops >= 0
    assert found.device == "cpu" and found.torch == torch.__version__
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.disk_free_gib > 0
    assert (found.gpu_name is None) == (found.gpu_count == 0)


def test_a_probe_leaves_the_random_state_alone() -> None:
    before = torch.get_rng_state()
    machine.probe_machine("cpu")
    assert torch.equal(torch.get_rng_state(), before)


def test_free_space_is_found_for_a_folder_that_does_not_exist_yet(tmp_path: Path) -> None:
    assert machine._disk_free_gib(tmp_path / "not" / "yet") > 0


def test_the_clock_of_the_process_agrees_with_who_started_it() -> None:
    code = "import atinuke.machine as m; print(m.process_started_s(), flush=True)"
    before_s = time.monotonic()
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    lived_s = time.monotonic() - before_s
    assert 0.0 < float(child.stdout) <= lived_s + 0.02


def test_time_before_the_import_counts_where_the_system_tells() -> None:
    code = (
        "import sys, time; time.sleep(0.3); import atinuke.machine as machine; "
        "print(machine.process_started_s(), 'torch' in sys.modules)"
    )
    child = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    age, torch_is_loaded = child.stdout.split()
    assert float(age) >= (0.29 if sys.platform == "linux" else 0.0)
    assert torch_is_loaded == "False"


def test_where_the_system_does_not_tell_the_count_begins_at_the_import(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.sys, "platform", "other")
    monkeypatch.setattr(machine, "_IMPORTED_S", time.monotonic() - 5)
    assert 5 <= machine.process_started_s() < 10


def test_time_goes_on_between_two_questions() -> None:
    first = machine.process_started_s()
    time.sleep(0.05)
    assert 0.03 <= machine.process_started_s() - first < 5


def test_memory_is_what_the_system_says_where_nothing_limits_it(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"proc/meminfo": MEMINFO, "proc/self/cgroup": "0::/\n"})
    assert machine.memory_gib(root) == (16.0, 8.0)


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        (
            {
                "proc/self/cgroup": "0::/a/b\n",
                "sys/fs/cgroup/a/b/memory.max": "max\n",
                "sys/fs/cgroup/a/memory.max": f"{4 * GIB}\n",
                "sys/fs/cgroup/a/memory.current": f"{3 * GIB}\n",
                "sys/fs/cgroup/a/memory.stat": f"anon 5\ninactive_file {GIB}\n",
            },
            (4.0, 2.0),
        ),
        (
            {
                "proc/self/cgroup": "5:cpu,cpuacct:/\n4:memory:/box/7\n0::/\n",
                "sys/fs/cgroup/memory/memory.limit_in_bytes": f"{HUGE}\n",
                "sys/fs/cgroup/memory/memory.usage_in_bytes": "0\n",
                "sys/fs/cgroup/memory/memory.stat": "cache 0\n",
                "sys/fs/cgroup/memory/box/7/memory.limit_in_bytes": f"{2 * GIB}\n",
                "sys/fs/cgroup/memory/box/7/memory.usage_in_bytes": f"{3 * GIB}\n",
                "sys/fs/cgroup/memory/box/7/memory.stat": f"inactive_file 1\ntotal_inactive_file {2 * GIB}\n",
            },
            (2.0, 1.0),
        ),
        (
            {  # a container that sees its own group as the top, under the name it has outside
                "proc/self/cgroup": "0::/docker/0123\n",
                "sys/fs/cgroup/memory.max": f"{GIB}\n",
                "sys/fs/cgroup/memory.current": f"{5 * GIB}\n",
                "sys/fs/cgroup/memory.stat": "",
            },
            (1.0, 0.0),
        ),
    ],
    ids=["version 2", "version 1", "container"],
)
def test_memory_ends_at_the_limit_of_the_container(
    tmp_path: Path, files: dict[str, str], expected: tuple[float, float]
) -> None:
    assert machine.memory_gib(write_tree(tmp_path, {"proc/meminfo": MEMINFO, **files})) == expected


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "max 100000\n"}, 8),
        ({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/a/cpu.max": "150000 100000\n"}, 2),
        ({"proc/self/cgroup": "0::/a\n", "sys/fs/cgroup/cpu.max": "20000 100000\n"}, 1),
        (
            {
                "proc/self/cgroup": "3:cpu,cpuacct:/b\n",
                "sys/fs/cgroup/cpu/b/cpu.cfs_quota_us": "300000\n",
                "sys/fs/cgroup/cpu/b/cpu.cfs_period_us": "100000\n",
                "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
                "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
            },
            3,
        ),
        ({}, 8),
    ],
    ids=["no limit", "one and a half", "a fifth", "version 1", "no groups"],
)
def test_cores_are_those_given_and_at_most_the_share_of_the_container(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    assert machine.usable_cores(write_tree(tmp_path, files)) == expected


def test_the_processor_names_itself(tmp_path: Path) -> None:
    root = write_tree(tmp_path, {"proc/cpuinfo": "processor\t: 0\nmodel name\t: Some   CPU @ 2GHz\n"})
    assert machine.cpu_name(root) == "Some CPU @ 2GHz"
    assert machine.cpu_name()


def test_a_type_that_the_device_lacks_has_the_rate_zero(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: torch.Tensor) -> float:
        raise RuntimeError('"addmm_impl_cpu_" not implemented')

    monkeypatch.setattr(machine, "_timed_product", refuse)
    assert machine.matmul_gflops(torch.device("cpu"), torch.bfloat16) == 0.0


@pytest.mark.parametrize(("gflops", "sizes"), [(100.0, [128, 1024]), (0.1, [128])], ids=["fast", "emulated"])
def test_a_slow_type_is_measured_on_small_products_and_the_rate_comes_out(
    monkeypatch: pytest.MonkeyPatch, gflops: float, sizes: list[int]
) -> None:
    clock_s, seen = 0.0, []

    def pretend(factor: torch.Tensor) -> float:
        nonlocal clock_s
        span_s = 2 * len(factor) ** 3 / gflops / 1e9
        clock_s += span_s
        seen.append(len(factor))
        return span_s

    threads = torch.get_num_threads()
    monkeypatch.setattr(machine, "_timed_product", pretend)
    monkeypatch.setattr(machine.time, "perf_counter", lambda: clock_s)
    assert machine.matmul_gflops(torch.device("cpu"), torch.float32) == pytest.approx(gflops)
    assert sorted(set(seen)) == sizes
    assert clock_s < 0.25
    assert torch.get_num_threads() == threads


def test_the_compiler_is_the_one_that_cxx_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", sys.executable)
    assert machine.find_compiler() == sys.executable
    monkeypatch.setenv("CXX", str(tmp_path / "nothing"))
    assert machine.find_compiler() is None


def test_the_environment_can_be_saved_and_does_not_say_whose_it_is() -> None:
    found = machine.environment()
    text = json.dumps(found)
    assert found["torch"] == torch.__version__ and found["atinuke"] and found["python"] and found["threads"] >= 1
    assert socket.gethostname() not in text.split('"')
    assert str(Path.home()) not in text and os.getcwd() not in text and sys.prefix not in text


def test_the_processor_is_always_there_and_auto_finds_something() -> None:
    assert machine.resolve_device("cpu") == torch.device("cpu")
    assert machine.resolve_device("auto").type in ("cpu", "cuda", "mps")


@pytest.mark.parametrize(
    ("has_cuda", "has_mps", "auto"), [(True, False, "cuda"), (False, True, "mps"), (False, False, "cpu")]
)
def test_auto_takes_the_fastest_that_is_there_and_others_are_refused_with_what_is(
    monkeypatch: pytest.MonkeyPatch, has_cuda: bool, has_mps: bool, auto: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: has_mps)
    assert machine.resolve_device("auto").type == auto
    for name, is_there in (("cuda", has_cuda), ("mps", has_mps)):
        if not is_there:
            with pytest.raises(ConfigError, match=rf"device is {name}.*there is .*cpu.*Use --device {auto}"):
                machine.resolve_device(name)


def test_an_unknown_device_is_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(ConfigError, match=r"device is tpu\\x07; expected one of auto, cpu, cuda, mps"):
        machine.resolve_device("tpu\x07")


def test_keeping_freed_memory_twice_does_no_harm() -> None:
    machine.keep_freed_memory()
    before = torch.arange(1_000_000)
    machine.keep_freed_memory()
    assert torch.equal(before + 0, torch.arange(1_000_000))


def test_glibc_accepts_what_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[int, int]] = []
    results: list[int] = []
    real = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None

    class Library:
        @staticmethod
        def mallopt(what: int, value: int) -> int:
            told.append((what, value))
            results.append(1 if real is None else real(what, value))
            return results[-1]

    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: Library)
    machine.keep_freed_memory()
    assert {what for what, _ in told} == {-1, -2, -3}  # M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD
    assert all(0 < value < 2**31 for _, value in told)  # mallopt takes an int
    assert results == [1, 1, 1]  # mallopt(3): 1 on success


@pytest.mark.parametrize("error", [OSError, TypeError, AttributeError])
def test_where_there_is_no_mallopt_nothing_happens(monkeypatch: pytest.MonkeyPatch, error: type[Exception]) -> None:
    asked: list[object] = []

    def library(name: object) -> object:
        asked.append(name)
        if error is AttributeError:
            return object()
        raise error

    monkeypatch.setattr(machine.ctypes, "CDLL", library)
    machine.keep_freed_memory()
    assert asked == [None]


@pytest.mark.parametrize(
    ("hip", "capability", "says", "expected"),
    [
        (None, (9, 0), True, True),
        (None, (8, 0), True, True),
        (None, (7, 5), True, False),  # torch counts emulation
        (None, (7, 0), False, False),
        ("6.2", (9, 0), True, True),
        ("6.2", (9, 0), False, False),
    ],
    ids=["H100", "A100", "T4", "V100", "MI300", "an older AMD"],
)
def test_a_gpu_has_bfloat16_where_it_multiplies_it_by_itself(
    monkeypatch: pytest.MonkeyPatch, hip: str | None, capability: tuple[int, int], says: bool, expected: bool
) -> None:
    monkeypatch.setattr(torch.version, "hip", hip)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device=None: capability)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: says)
    assert machine.has_bfloat16(torch.device("cuda")) is expected


@pytest.mark.parametrize("trouble", [RuntimeError("bfloat16 is only supported on macOS 14 or newer"), TypeError("no")])
def test_an_apple_gpu_has_bfloat16_where_a_product_can_be_had(
    monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    ones = torch.ones

    def on_a_cpu(*shape: int, device: object) -> torch.Tensor:
        return ones(*shape)

    def in_vain(*shape: int, device: object) -> torch.Tensor:
        raise trouble

    autocast = torch.autocast
    monkeypatch.setattr(torch, "autocast", lambda kind, dtype: autocast("cpu", dtype))
    monkeypatch.setattr(torch, "ones", on_a_cpu)
    assert machine.has_bfloat16(torch.device("mps"))
    monkeypatch.setattr(torch, "ones", in_vain)
    assert not machine.has_bfloat16(torch.device("mps"))


def test_of_a_cpu_nothing_is_asked() -> None:
    assert not machine.has_bfloat16(torch.device("cpu"))
