"""A disk that remembers: what a kill or a power cut would leave behind at each moment of a piece of work."""

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WATCHED = ("open", "fsync", "rename", "replace", "mkdir", "unlink", "rmdir", "chmod")


class Recorder:
    """Copies `folder` before and after every call that changes the disk, as a kill at that moment would leave it.

    In `after_power_cut`, files that were not synced since they were last written are empty, which is what several
    file systems leave after power is cut.
    """

    def __init__(self, folder: Path, copies: Path) -> None:
        self.folder, self.copies = folder, copies
        self.after_kill: list[Path] = []
        self.after_power_cut: list[Path] = []
        self.log: list[tuple[str, str, str]] = []
        self._synced: dict[int, int] = {}
        self._is_copying = False
        for place in self._places():  # what stood there before is on the disk
            self._synced[place.stat().st_ino] = place.stat().st_mtime_ns

    def watch(self, name: str, true: Callable[..., Any]) -> Callable[..., Any]:
        """`true`, with a copy taken before and after."""

        def call(*args: Any, **more: Any) -> Any:
            if self._is_copying:
                return true(*args, **more)
            self._copy()
            names = [Path(os.fsdecode(each)).name for each in args[:2] if isinstance(each, str | bytes | os.PathLike)]
            if name == "fsync":
                names = [place.name for place in self._places() if place.stat().st_ino == os.fstat(args[0]).st_ino]
            self.log.append((name, *(*names, "", "")[:2]))
            answer = true(*args, **more)
            if name == "fsync":
                found = os.fstat(args[0])
                self._synced[found.st_ino] = found.st_mtime_ns
            self._copy()
            return answer

        return call

    def _places(self) -> list[Path]:
        return [self.folder, *self.folder.rglob("*")]

    def _copy(self) -> None:
        self._is_copying = True
        try:
            kill, cut = (self.copies / f"{kind}-{len(self.after_kill)}" for kind in ("kill", "cut"))
            shutil.copytree(self.folder, kill)
            shutil.copytree(self.folder, cut)
            for place in self._places():
                found = place.stat()
                if stat.S_ISREG(found.st_mode) and self._synced.get(found.st_ino) != found.st_mtime_ns:
                    (cut / place.relative_to(self.folder)).write_bytes(b"")
            self.after_kill.append(kill)
            self.after_power_cut.append(cut)
        finally:
            self._is_copying = False


@pytest.fixture
def record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Path, Callable[[], object]], Recorder]:
    """Runs a piece of work on a folder, and returns every state of the disk on the way."""

    def run(folder: Path, work: Callable[[], object]) -> Recorder:
        recorder = Recorder(folder, tmp_path / "moments")
        with monkeypatch.context() as patch:
            for name in WATCHED:
                patch.setattr(os, name, recorder.watch(name, getattr(os, name)))
            work()
        return recorder

    return run
