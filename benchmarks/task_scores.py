"""What tuned networks score by the tasks' official rules: from fresh weights, and after pretraining; several seeds.

    python benchmarks/task_scores.py --run runs/novels --seeds 0 1 2 --at-once 2 --out results.json
    python benchmarks/task_scores.py --run runs/novels --tasks sst2 sick --columns here --seeds 0

Each cell is a process of its own, `atinuke finetune RUN --task NAME --data DIR`, with `--from-scratch` in the first
column: the same sizes and tokenizer. Minutes are those of the whole process, scoring included; with --at-once 2 two
of them share the machine, a core each. Results are written after each run; the same command goes on where it stopped.
"""

import argparse
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Lock
from typing import Any

import torch

DATA = Path(os.environ.get("ATINUKE_DATA", "../shared/data"))
FOLDERS = {
    "sst2": "glue/SST-2",
    "cola": "glue/CoLA",
    "mrpc": "glue/MRPC",
    "stsb": "glue/STS-B",
    "rte": "glue/RTE",
    "sick": "sick",
    "roles": "propbank-ewt",
    "squad": "squad-v1.1",
    "gap": "gap-coreference",
    "coreference-litbank": "litbank-coref",
}
COLUMNS = {"scratch": ("--from-scratch",), "here": ()}
TITLES = {"scratch": "from fresh weights", "here": "pretrained"}


def tune_once(arguments: argparse.Namespace, task: str, column: str, seed: int, kept: Path) -> dict[str, Any]:
    """One run, or its last words."""
    out = kept / f"{task}-{column}-{seed}"
    words = ["finetune", str(arguments.run), "--task", task, "--data", str(DATA / FOLDERS[task]), *COLUMNS[column]]
    words += ["--seed", str(seed), *arguments.more]
    row: dict[str, Any] = {"task": task, "column": column, "seed": seed, "command": shlex.join(["atinuke", *words])}
    threads = str(max(1, (os.cpu_count() or 1) // arguments.at_once))
    began_s = time.time()
    finished = subprocess.run(
        [sys.executable, "-m", "atinuke", *words, "--out", str(out), "--quiet"],
        env=os.environ | {"OMP_NUM_THREADS": threads},
        capture_output=True,
        text=True,
    )
    row |= {"minutes": (time.time() - began_s) / 60, "threads": int(threads)}
    if finished.returncode:
        return row | {"error": finished.stderr[-1500:]}
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    (out / "model.safetensors").unlink()  # scores and predictions are what is wanted
    scores = summary["scores"]
    return row | {"scores": scores, "epochs": summary["epochs"], "train_s": summary["elapsed_s"]}


def table(rows: list[dict[str, Any]]) -> list[str]:
    """A row for each task and split: median and range over seeds, by column."""
    done = [row for row in rows if "scores" in row]
    lines = [
        f"| task | split | score | {' | '.join(f'{title} | seeds | minutes' for title in TITLES.values())} |",
        "|---|---|---|" + "---|---|---|" * len(TITLES),
    ]
    for task, split in dict.fromkeys((row["task"], key) for row in done for key in row["scores"]):
        cells = []
        for column in COLUMNS:
            here = [row for row in done if (row["task"], row["column"]) == (task, column) and split in row["scores"]]
            values = [row["scores"][split]["values"][row["scores"][split]["main"]] for row in here]
            if not values:
                cells.append("– | – | –")
                continue
            spread = f" ({min(values):.2f}–{max(values):.2f})" if len(values) > 1 else ""
            minutes = statistics.median(row["minutes"] for row in here)
            seeds = ", ".join(str(row["seed"]) for row in here)
            cells.append(f"{statistics.median(values):.2f}{spread} | {seeds} | {minutes:.1f}")
        told = next(row["scores"][split] for row in done if row["task"] == task and split in row["scores"])
        lines.append(f"| {told['title']} | {told['split']}, {told['items']} | {told['main']} | {' | '.join(cells)} |")
    failed = [row for row in rows if "error" in row]
    return lines + [f"\nFailed: {row['command']}: {row['error'].strip().splitlines()[-1]}" for row in failed]


def main() -> None:
    """Runs what is missing, and prints and saves the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="a run folder to begin with")
    parser.add_argument("--tasks", nargs="+", choices=FOLDERS, default=list(FOLDERS))
    parser.add_argument("--columns", nargs="+", choices=COLUMNS, default=list(COLUMNS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--at-once", type=int, default=1, help="processes that share the machine")
    parser.add_argument("--keep", type=Path, default=Path("runs/tasks"), help="where the tuned runs go")
    parser.add_argument("--more", nargs="+", default=[], help="further words of each command, such as --time=20m")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    rows: list[dict[str, Any]] = []
    if arguments.out and arguments.out.exists():
        rows = [row for row in json.loads(arguments.out.read_text(encoding="utf-8"))["runs"] if "error" not in row]
    known = {(row["task"], row["column"], row["seed"]) for row in rows}
    wanted = [
        (task, column, seed)
        for seed in arguments.seeds
        for task in arguments.tasks
        for column in arguments.columns
        if (task, column, seed) not in known
    ]
    machine = {
        "machine": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "run": arguments.run.name,
    }
    lock = Lock()

    def work(cell: tuple[str, str, int]) -> None:
        row = tune_once(arguments, *cell, arguments.keep)
        with lock:
            rows.append(row)
            figures = {key: each["values"][each["main"]] for key, each in row.get("scores", {}).items()}
            print(*cell, f"{row['minutes']:.1f} min", figures or row.get("error"), file=sys.stderr, flush=True)
            if arguments.out:
                arguments.out.parent.mkdir(parents=True, exist_ok=True)
                arguments.out.write_text(json.dumps({**machine, "runs": rows}, indent=1) + "\n", encoding="utf-8")

    with ThreadPoolExecutor(arguments.at_once) as pool:
        list(pool.map(work, wanted))
    print(f"`python benchmarks/task_scores.py {shlex.join(sys.argv[1:])}`\n", *table(rows), sep="\n")


if __name__ == "__main__":
    main()
