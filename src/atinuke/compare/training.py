"""One training run in a process of its own: its budget counts from its start, and its peak of memory is its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from atinuke.durable import printable, writing

TAIL_BYTES = 8192
LONGEST_LINE = 400
STOPPED = 130


@dataclass(frozen=True)
class Ended:
    """How a process ended."""

    exit_code: int
    """Negative: the signal that killed it."""
    wall_s: float
    peak_memory_mb: float | None
    """Most memory that it, or a compiler that it started, ever held; None where the system does not tell."""
    last_line: str = ""
    """Of what it said; where it was refused, the reason."""

    def reason(self, log: Path) -> str:
        """Why it failed, in one line; `log` is named where the last line of it is not enough."""
        if self.exit_code < 0:
            name = signal.Signals(-self.exit_code).name
            hint = "; the machine may have run out of memory" if name == "SIGKILL" else ""
            return f"killed by {name}{hint}. See {printable(log)}"
        if self.exit_code == 2 and self.last_line:
            return self.last_line
        if self.exit_code == STOPPED:
            return "stopped from outside; the same command goes on from there"
        return f"ended with exit code {self.exit_code}. See {printable(log)}"


class Relay:
    """Hands Ctrl-C and SIGTERM on to the process at work, so that it saves, and remembers that they came."""

    def __init__(self) -> None:
        self.signal_name = ""
        self._pid: int | None = None

    def __bool__(self) -> bool:
        return bool(self.signal_name)

    @contextmanager
    def listening(self) -> Iterator["Relay"]:
        """Handles the signals while the block runs, but for those that this process was told to ignore."""
        before: dict[int, Any] = {}
        try:
            for name in ("SIGINT", "SIGTERM", "SIGHUP"):
                number = getattr(signal, name, None)
                if number is not None and signal.getsignal(number) != signal.SIG_IGN:
                    before[number] = signal.signal(number, self._note)
        except ValueError:  # not the main thread: signals stay with their owner
            pass
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def launch(self, arguments: Sequence[str], log: Path) -> Ended:
        """Runs `python -m atinuke` with these arguments to its end; what it says is added to `log`."""
        started_s = time.perf_counter()
        with writing(log), open(log, "ab") as output:
            said_before = output.tell()
            process = subprocess.Popen(
                [sys.executable, "-m", "atinuke", *arguments],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                # a group of its own: else a terminal's Ctrl-C would reach it twice, and the second one breaks it off
                process_group=None if sys.platform == "win32" else 0,
            )
        self._pid = process.pid
        try:
            exit_code, peak_memory_mb = _wait(process)
        finally:
            self._pid = None
        return Ended(exit_code, time.perf_counter() - started_s, peak_memory_mb, _last_line(log, said_before))

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.signal_name = signal.Signals(number).name
        if self._pid is not None and sys.platform != "win32":  # there the console tells it
            with suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGINT)


def _wait(process: "subprocess.Popen[bytes]") -> tuple[int, float | None]:
    """Exit code, and peak of resident memory in MB (10⁶ bytes)."""
    if sys.platform == "win32":
        return process.wait(), None
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024  # getrusage(2): bytes on macOS, KiB elsewhere
    # Linux counts from before the program was loaded, so a child never shows less than its parent: no torch here
    return process.returncode, usage.ru_maxrss * unit / 1e6


def _last_line(log: Path, start: int) -> str:
    """The last line that is not empty, of what was written from `start` on."""
    try:
        with open(log, "rb") as file:
            end = file.seek(0, os.SEEK_END)
            file.seek(max(start, end - TAIL_BYTES))
            lines = file.read().decode("utf-8", "replace").split("\n")
    except OSError:
        return ""
    return next((printable(line.strip())[:LONGEST_LINE] for line in reversed(lines) if line.strip()), "")
