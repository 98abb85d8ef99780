"""torchrun --max-restarts: a process is killed, and the training goes on from its last checkpoint by itself."""

import os
import subprocess
import sys
from pathlib import Path

from atinuke.run_folder import RunFolder
from atinuke.testing import TEXT

STEPS = 12
KILLER = """\
import os, pathlib, signal, threading, time

def wait_and_kill():
    metrics = pathlib.Path(os.environ["METRICS"])
    while not metrics.exists() or metrics.read_bytes().count(b"\\n") < 4:
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGKILL)

if os.environ.get("RANK") == "1" and os.environ.get("TORCHELASTIC_RESTART_COUNT") == "0":
    threading.Thread(target=wait_and_kill, daemon=True).start()
"""


def test_torchrun_starts_all_again_and_they_go_on_to_the_end(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text(20 * TEXT)
    (tmp_path / "sitecustomize.py").write_text(KILLER)  # what Python imports first, in every process
    sizes = {"model.model_dim": 16, "model.layer_count": 1, "model.head_count": 2, "model.context": 16, "batch_seqs": 4}
    settings = {**sizes, "dtype": "float32", "checkpoint.every_steps": 1, "model.dropout": 0.1}
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--max-restarts", "1"]
    command = [
        *(*launcher, "-m", "atinuke", "train", "book.txt", "--steps", str(STEPS), "--out", "run", "--quiet"),
        *("--device", "cpu", "--tokenizer", "char"),
        *(part for key, value in settings.items() for part in ("--set", f"{key}={value}")),
    ]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={
            **os.environ,
            **{"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "METRICS": str(tmp_path / "run" / "metrics.jsonl")},
            "PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert "process 1 was lost (killed, or its machine is gone). The same command goes on" in done.stderr
    assert done.stdout == "run\n"  # of two processes, one speaks
    folder = RunFolder(tmp_path / "run")
    assert folder.verify() and folder.read_summary()["finished_at"] is not None
    assert [row["step"] for row in folder.iter_metrics()] == list(range(1, STEPS + 1))
