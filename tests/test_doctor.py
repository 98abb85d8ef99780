"""The doctor says one true line about each thing, and how to mend what is missing."""

import dataclasses
import importlib.util
import io
import tomllib
from pathlib import Path

import pytest

from atinuke import doctor
from atinuke.doctor import Finding
from atinuke.machine import Machine

FOR_DEVELOPERS = {"test", "check", "bench"}

PLAIN = Machine(
    device="cpu",
    cores=2,
    cpu="Some CPU",
    memory_gib=16.0,
    memory_available_gib=12.0,
    disk_free_gib=50.0,
    fp32_gflops=100.0,
    bf16_gflops=250.0,
    compiler="/usr/bin/g++",
    has_python_headers=True,
    gpu_name=None,
    gpu_memory_gib=None,
    gpu_count=0,
    has_mps=False,
    os="Linux 6.1 x86_64",
    python="3.11.7",
    torch="2.13.0",
)


@pytest.fixture
def examine(monkeypatch: pytest.MonkeyPatch):
    """Findings about `PLAIN` with some facts changed, by subject."""
    monkeypatch.setattr(doctor.shutil, "which", lambda _: None)

    def findings(**facts: object) -> dict[str, Finding]:
        monkeypatch.setattr(doctor, "probe_machine", lambda _: dataclasses.replace(PLAIN, **facts))
        found = doctor.run()
        assert len({each.subject for each in found}) == len(found)
        return {each.subject: each for each in found}

    return findings


def test_the_doctor_finds_something_about_everything_on_this_machine() -> None:
    found = doctor.run()
    subjects = ["python", "torch", "cores", "memory", "disk", "float32", "bfloat16", "gpu", "compiler", *doctor.EXTRAS]
    assert [each.subject for each in found] == subjects
    assert all(each.text and "\n" not in each.text for each in found)


def test_on_a_sound_machine_nothing_is_missing(examine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: object())
    found = examine()
    assert {each.status for each in found.values()} == {"ok", "note"}
    assert [each.subject for each in found.values() if each.status == "note"] == ["gpu"]


@pytest.mark.parametrize(
    ("gflops", "status", "words"),
    [
        (250.0, "ok", "2.5 × float32; it pays, and training uses it"),
        (129.0, "note", "1.3 × float32; it does not pay"),
        (10.0, "note", "0.1 × float32; it does not pay"),
        (0.0, "note", "not available"),
    ],
)
def test_bfloat16_is_judged_by_what_was_measured(examine, gflops: float, status: str, words: str) -> None:
    found = examine(bf16_gflops=gflops)["bfloat16"]
    assert found.status == status and words in found.text


def test_little_memory_or_disk_is_a_note(examine) -> None:
    found = examine(memory_available_gib=0.5, disk_free_gib=0.5)
    assert found["memory"].status == "note" and "0.5 GiB available" in found["memory"].text
    assert found["disk"].status == "note" and "--out" in found["disk"].text


def test_a_gpu_is_named_and_a_driver_that_torch_cannot_use_is_told(examine, monkeypatch: pytest.MonkeyPatch) -> None:
    found = examine(gpu_name="Some GPU", gpu_memory_gib=23.7, gpu_count=2, device="cuda")
    assert found["gpu"] == Finding("ok", "gpu", "2 × Some GPU, 23.7 GiB")
    assert "on cuda" in found["float32"].text
    assert examine(has_mps=True)["gpu"].status == "ok"
    assert examine()["gpu"].status == "note"
    monkeypatch.setattr(doctor.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert examine()["gpu"].status == "missing" and "pip install" in examine()["gpu"].text


def test_what_torch_compile_needs_is_named_when_it_is_missing(examine) -> None:
    assert examine()["compiler"].status == "ok"
    without = examine(compiler=None)["compiler"]
    assert without.status == "missing" and "torch.compile" in without.text
    without = examine(has_python_headers=False)["compiler"]
    assert without.status == "missing" and "Python.h" in without.text


def test_a_missing_extra_comes_with_its_purpose_and_the_command_that_installs_it(
    examine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    found = examine()
    for extra, (_, purpose) in doctor.EXTRAS.items():
        assert found[extra].status == "missing"
        assert purpose in found[extra].text and f"pip install 'atinuke[{extra}]'" in found[extra].text


def test_every_extra_for_users_is_looked_at() -> None:
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8"))
    assert set(doctor.EXTRAS) == set(project["project"]["optional-dependencies"]) - FOR_DEVELOPERS


def test_a_torch_that_cannot_be_loaded_is_a_finding_and_no_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: str) -> None:
        raise ImportError("libtorch.so:\n cannot open")

    monkeypatch.setattr(doctor, "resolve_device", fail)
    found = doctor.run()
    assert found[0].status == "missing" and "libtorch.so: cannot open" in found[0].text
    assert {"cores", "memory"} <= {each.subject for each in found}


def test_the_report_is_plain_lines_when_it_is_not_for_a_terminal() -> None:
    out = io.StringIO()
    long = "x" * 300
    doctor.print_findings([Finding("ok", "cores", "2 [bold]usable[/bold]"), Finding("missing", "gpu", long)], out)
    assert out.getvalue() == f"ok       cores     2 [bold]usable[/bold]\nmissing  gpu       {long}\n"


def test_on_a_terminal_the_same_lines_are_coloured_and_names_are_no_markup(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        """Says that it is one."""

        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    out = Terminal()
    doctor.print_findings([Finding("ok", "gpu", "[red]x\x1b[31m"), Finding("note", "disk", "y" * 300)], out)
    first, second, rest = out.getvalue().split("\n")
    assert "\x1b[32mok" in first and r"[red]x\x1b[31m" in first
    assert "y" * 300 in second and rest == ""
