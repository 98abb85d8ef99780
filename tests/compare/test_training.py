"""A process of its own for each run: how it ends, what it held, and how Ctrl-C reaches it."""

import os
import signal
import sys
import threading
import time
from pathlib import Path

import pytest

from atinuke.compare.training import Ended, Relay

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and wait4 of POSIX")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program that is started in the place of Python; tests write it."""
    path = tmp_path / "python"
    path.write_text("")
    monkeypatch.setattr(sys, "executable", str(path))
    return path


def write(program: Path, code: str) -> None:
    real = os.path.realpath("/proc/self/exe") if os.path.exists("/proc/self/exe") else "/usr/bin/env python3"
    program.write_text(f"#!{real}\n{code}\n")
    program.chmod(0o755)


def test_what_it_says_is_kept_and_its_last_line_is_the_reason(program: Path, tmp_path: Path) -> None:
    write(program, "import sys; print(sys.argv[1:]); print('ConfigError: no \\x1b[31mroom.\\n\\n', file=sys.stderr)")
    log = tmp_path / "log"
    log.write_text("SourceError: of an earlier call\n")
    ended = Relay().launch(["train", "--seed", "3"], log)
    assert ended.exit_code == 0
    assert "['-m', 'atinuke', 'train', '--seed', '3']" in log.read_text()
    assert ended.last_line == "ConfigError: no \\x1b[31mroom."
    assert Relay().launch(["x"], log).exit_code == 0
    assert log.read_text().startswith("SourceError")


def test_silence_is_not_mistaken_for_what_an_earlier_call_said(program: Path, tmp_path: Path) -> None:
    write(program, "raise SystemExit(2)")
    log = tmp_path / "log"
    log.write_text("SourceError: of an earlier call\n")
    ended = Relay().launch([], log)
    assert (ended.exit_code, ended.last_line) == (2, "")
    assert ended.reason(log) == f"ended with exit code 2. See {log}"


def test_the_peak_of_memory_is_that_of_the_process(program: Path, tmp_path: Path) -> None:
    write(program, "pass")
    small = Relay().launch([], tmp_path / "log").peak_memory_mb
    write(program, "bytearray(600_000_000)[::4096] = b'x' * len(range(0, 600_000_000, 4096))")
    large = Relay().launch([], tmp_path / "log").peak_memory_mb
    assert small is not None and large is not None
    assert large > 600
    assert small <= large


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_is_handed_on_once_and_the_process_may_save(
    program: Path, tmp_path: Path, number: signal.Signals
) -> None:
    ready = tmp_path / "ready"
    write(
        program,
        "import pathlib, signal, sys, time\n"
        "heard = []\n"
        "signal.signal(signal.SIGINT, lambda *_: heard.append(1))\n"
        f"pathlib.Path({str(ready)!r}).touch()\n"
        "deadline = time.monotonic() + 30\n"
        "while not heard and time.monotonic() < deadline: time.sleep(0.01)\n"
        "time.sleep(0.2)\n"
        "print('saved', len(heard))\n"
        "sys.exit(130)",
    )

    def type_ctrl_c() -> None:
        while not ready.exists():
            time.sleep(0.01)
        os.kill(os.getpid(), number)

    typist = threading.Thread(target=type_ctrl_c, daemon=True)
    typist.start()
    before = signal.getsignal(number)
    with Relay().listening() as relay:
        ended = relay.launch([], tmp_path / "log")
    assert signal.getsignal(number) is before
    assert (ended.exit_code, ended.last_line) == (130, "saved 1")
    assert relay.signal_name == number.name


def test_a_process_that_was_killed_is_named_so(program: Path, tmp_path: Path) -> None:
    write(program, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    log = tmp_path / "log"
    ended = Relay().launch([], log)
    assert ended.exit_code == -9
    assert ended.reason(log).startswith("killed by SIGKILL; the machine may have run out of memory. See ")


def test_a_refusal_is_its_own_reason(tmp_path: Path) -> None:
    assert Ended(2, 1.0, None, "SourceError: nothing.").reason(tmp_path) == "SourceError: nothing."
    assert "goes on from there" in Ended(130, 1.0, None, "Stopped").reason(tmp_path)
