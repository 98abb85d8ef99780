"""One run of one racer as a process of its own: its command, its time, its score. race.py says which runs, and when."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
OURS = "atinuke"
PEERS = ("hf", "litgpt", "x-transformers")
MODEL_FILES = {
    OURS: "run/model.safetensors",
    "hf": "run/model.safetensors",
    "litgpt": "run/litgpt/final/lit_model.pth",
    "x-transformers": "run/model.pt",
}
NOT_WANTED = {"litgpt": ["torchvision"]}
"""litdata asks for it and needs it for pictures only; a build for another torch than the one here stops the import."""
CALIBRATION_S = 12.0
"""Seconds of warm steps from which the time per step is known."""
TARGET = 0.985
"""Part of the time that a calibrated number of steps is meant to fill: the machine is not equally fast all the time."""
ENDING_S = {"hf": 1.0, "litgpt": 3.0, "x-transformers": 1.0}
OVERRUN = 1.1
"""A peer without a clock may take so many times its budget; its overrun stands in the results."""


class RacerError(Exception):
    """A racer gave no model; its last words."""


class TooLate(RacerError):
    """It had to be ended."""

    def __init__(self, after_s: float) -> None:
        super().__init__(f"had not ended after {after_s:.0f} s")
        self.after_s = after_s


@dataclass(frozen=True)
class Entry:
    """Who races, and how it is set."""

    racer: str
    kind: str
    """shipped, tuned, or ours."""
    name: str
    settings: dict[str, Any]

    @property
    def needs_steps(self) -> bool:
        """Its schedule wants to know beforehand how many steps there will be."""
        return self.racer == "litgpt" or self.settings.get("schedule") == "steps"


def budget_group(seconds: float) -> str:
    """Under which heading of settings.toml a budget falls."""
    return "short" if seconds <= 180 else "medium" if seconds <= 1800 else "long"


def entries(racer: str, kinds: tuple[str, ...], seconds: float, *, our_settings: tuple[str, ...] = ()) -> list[Entry]:
    """A racer's settings for this budget; of ours what --set says, which is nothing in a race that counts."""
    if racer == OURS:
        return [Entry(OURS, "ours", " ".join(our_settings) or "planned", {"set": our_settings})]
    told = tomllib.loads((HERE / racer / "settings.toml").read_text(encoding="utf-8"))
    found = []
    for kind in kinds:
        base = told[kind].get("all", {})
        for name, own in told[kind][budget_group(seconds)].items():
            found.append(Entry(racer, kind, name, _merged(base, own)))
    return found


def _merged(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """Tables within are merged too: a setting says only what it changes."""
    tables = {k: {**base.get(k, {}), **v} for k, v in own.items() if isinstance(v, dict)}
    return {**base, **own, **tables}


def environment_python(folder: Path) -> Path:
    """The interpreter of a virtual environment."""
    return folder / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def install(folder: Path) -> None:
    """A virtual environment for each peer: their pins clash. torch first, so that nothing replaces it."""
    for peer in PEERS:
        home, requirements = folder / peer, HERE / peer / "requirements.txt"
        python = str(environment_python(home))
        subprocess.run([sys.executable, "-m", "venv", str(home)], check=True)
        torch = next(line for line in requirements.read_text(encoding="utf-8").splitlines() if line.startswith("torch"))
        for what in ([torch], ["-r", str(requirements)]):
            subprocess.run([python, "-m", "pip", "install", "--disable-pip-version-check", *what], check=True)
        if peer in NOT_WANTED:
            subprocess.run([python, "-m", "pip", "uninstall", "--yes", *NOT_WANTED[peer]], check=True)


@dataclass(frozen=True)
class Contest:
    """What all runs of a race share."""

    corpus: Path
    source: Path
    """What `atinuke train` is given: it holds out the same text by itself."""
    validation_bytes: int
    seconds: float
    peers: Path
    python: str
    warm_caches: bool

    def run(self, entry: Entry, seed: int, steps: int | None, folder: Path) -> dict[str, Any]:
        """One run from process start to its score. RacerError when it leaves no model that can be scored."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        started_s = time.time()
        command = self._command(entry, seed, steps, folder, started_s)
        exit_s = self._watch(entry, command, folder, self._limit_s(entry))
        saved_s = (folder / MODEL_FILES[entry.racer]).stat().st_mtime - started_s
        row: dict[str, Any] = {"wall_s": round(saved_s, 2), "exit_s": round(exit_s, 2), "load_before": load}
        row |= self._told(entry, folder)
        row |= self._score(entry, folder)
        if row["val_bytes"] != self.validation_bytes:
            raise RacerError(f"scored {row['val_bytes']} bytes instead of {self.validation_bytes}")
        if entry.racer == OURS and row["own_val_bytes"] != self.validation_bytes:
            raise RacerError(f"held out {row['own_val_bytes']} bytes instead of {self.validation_bytes}")
        return row

    def calibrate(self, entry: Entry, folder: Path) -> dict[str, Any]:
        """How long a peer takes until its steps are warm, and how long a step takes. It is not counted."""
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        command = self._command(entry, 0, None, folder, time.time())
        command += ["--calibrate", str(min(CALIBRATION_S, self.seconds / 4))]
        self._watch(entry, command, folder, 1800 + self.seconds)
        told = self._told(entry, folder)
        return {name: told[name] for name in ("ready_s", "step_s", "warm_steps", "steps")}

    def steps_after(self, entry: Entry, calibration: dict[str, Any], earlier: list[dict[str, Any]]) -> int:
        """Optimizer steps that fill the budget, as its user would choose them: from a short try, then from real runs.

        RacerError when not even a few fit.
        """
        target_s, ready_s = TARGET * self.seconds - ENDING_S[entry.racer], calibration["ready_s"]
        steps = calibration["warm_steps"] + int((target_s - ready_s) / calibration["step_s"])
        for row in earlier:
            used = row["wall_s"] / self.seconds
            steps = row["asked_steps"]
            if not 0.95 <= used <= 1.0:
                steps = int(steps * max(0.0, target_s - ready_s) / max(1e-9, row["wall_s"] - ready_s))
        if steps < 5:
            raise RacerError(f"warm after {ready_s:.0f} s: no step fits into {self.seconds:.0f} s")
        return steps

    def _limit_s(self, entry: Entry) -> float:
        return self.seconds + 1800 if entry.racer == OURS else self.seconds * OVERRUN + 3

    def _python(self, racer: str) -> str:
        return self.python if racer == OURS else str(environment_python(self.peers / racer).absolute())

    def _command(self, entry: Entry, seed: int, steps: int | None, folder: Path, started_s: float) -> list[str]:
        run = str(folder / "run")
        if entry.racer == OURS:
            command = [self.python, "-m", "atinuke", "train", str(self.source), "--time", f"{self.seconds:g}s"]
            command += [part for setting in entry.settings["set"] for part in ("--set", setting)]
            return [*command, "--seed", str(seed), "--out", run]
        command = [self._python(entry.racer), str(HERE / entry.racer / "train.py"), "--corpus", str(self.corpus)]
        command += ["--out", run, "--started", repr(started_s), "--seconds", f"{self.seconds:g}", "--seed", str(seed)]
        return [*command, "--settings", json.dumps(entry.settings), *(["--steps", str(steps)] if steps else [])]

    def _environment(self, entry: Entry, folder: Path) -> dict[str, str]:
        """Both cores for whoever runs; a compiler cache that is empty, or the racer's own from earlier runs."""
        caches = self.peers / "caches" / entry.racer if self.warm_caches else folder / "caches"
        kept = {k: v for k, v in os.environ.items() if k not in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "PYTHONPATH")}
        return {**kept, "TORCHINDUCTOR_CACHE_DIR": str(caches.absolute()), "HF_HUB_OFFLINE": "1"}

    def _watch(self, entry: Entry, command: list[str], folder: Path, limit_s: float) -> float:
        """Seconds until the process ended, with the processes that it began."""
        began_s = time.monotonic()
        environment = self._environment(entry, folder)
        with open(folder / "log.txt", "wb") as log:
            process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=environment, start_new_session=True
            )
            try:
                code = process.wait(limit_s)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                if process.poll() is None:
                    _end(process)
        if code is None:
            raise TooLate(limit_s)
        if code:
            raise RacerError(f"ended with {code}: {_last_words(folder / 'log.txt')}")
        return time.monotonic() - began_s

    def _told(self, entry: Entry, folder: Path) -> dict[str, Any]:
        """What the racer itself says of its run."""
        if entry.racer != OURS:
            return json.loads((folder / "run" / "run.json").read_text(encoding="utf-8"))
        summary = json.loads((folder / "run" / "summary.json").read_text(encoding="utf-8"))
        kept = ("elapsed_s", "epochs", "tokens_per_s", "dtype", "context", "batch_tokens", "sizes", "timeline", "plan")
        row = {name: summary[name] for name in kept if name in summary}
        row |= {"own_bpb": summary["val_bpb"], "own_val_bytes": summary["val_bytes"]}
        return row | {"tokens": summary["train_tokens"], "steps": summary.get("steps")}

    def _score(self, entry: Entry, folder: Path) -> dict[str, Any]:
        name = "ours" if entry.racer == OURS else entry.racer
        command = [self._python(entry.racer), str(HERE / "scoring.py"), "--peer", name]
        command += ["--run", str(folder / "run"), "--corpus", str(self.corpus)]
        done = subprocess.run(command, capture_output=True, text=True, env=self._environment(entry, folder))
        if done.returncode:
            raise RacerError(f"scoring ended with {done.returncode}: {done.stderr[-1500:]}")
        return json.loads(done.stdout.strip().splitlines()[-1])


def _end(process: "subprocess.Popen[bytes]") -> None:
    """Ends a racer with all processes that it began."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()
    process.wait()


def _last_words(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-1500:]
