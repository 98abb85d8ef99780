"""How much of its time `atinuke train` uses, measured from outside: process start to saved model, as a part of T.

    python benchmarks/budget_kept.py --times 30s 1m 2m 5m 30m --seeds 0 1 2 3 --out results.json
    python benchmarks/budget_kept.py --times --races benchmarks/results/*-race-*/results.json --out results.json

Two clocks: the file time of model.safetensors minus the time at which the process was asked for, and the run's own
`elapsed_s`. --races adds the runs of ours in results of race.py. Results are written after each run; the same command
goes on where it stopped.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from race import seconds_of

DATA = Path(os.environ.get("ATINUKE_DATA", "../shared/data"))


def train_once(python: str, source: Path, budget_s: float, seed: int, folder: Path) -> dict[str, Any]:
    """One run; how long it took by either clock, or its last words."""
    out = folder / "run"
    command = [python, "-m", "atinuke", "train", str(source), "--time", f"{budget_s:g}s", "--seed", str(seed)]
    row: dict[str, Any] = {"budget_s": budget_s, "seed": seed, "source": source.name, "origin": "budget_kept"}
    row["load_before"] = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    started_s = time.time()
    finished = subprocess.run([*command, "--out", str(out), "--fresh"], capture_output=True, text=True)
    if finished.returncode:
        return row | {"error": finished.stderr[-1500:]}
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    saved_s = (out / "model.safetensors").stat().st_mtime - started_s
    return row | {"wall_s": saved_s, "elapsed_s": summary["elapsed_s"], "bpb": summary["val_bpb"]}


def of_race(path: Path) -> list[dict[str, Any]]:
    """Our finished runs in the results of a race."""
    runs = [row for row in json.loads(path.read_text(encoding="utf-8"))["runs"] if row["racer"] == "atinuke"]
    kept = ("budget_s", "seed", "wall_s", "elapsed_s", "bpb", "load_before")
    return [{**{k: row[k] for k in kept}, "source": row["text"], "origin": "race"} for row in runs if "bpb" in row]


def table(rows: list[dict[str, Any]]) -> list[str]:
    """A row for each budget, and one for all."""
    lines = [
        "| T | runs | used of T, least | median | most | own clock, least | most | within 0.97–1.00 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    done = [row for row in rows if "wall_s" in row]
    for budget_s in [*sorted({row["budget_s"] for row in done}), None]:
        mine = [row for row in done if budget_s in (None, row["budget_s"])]
        if not mine:
            continue
        used = [row["wall_s"] / row["budget_s"] for row in mine]
        own = [row["elapsed_s"] / row["budget_s"] for row in mine]
        within = sum(0.97 <= part <= 1.0 for part in used)
        lines.append(
            f"| {'all' if budget_s is None else f'{budget_s:g} s'} | {len(mine)} | {min(used):.4f} "
            f"| {statistics.median(used):.4f} | {max(used):.4f} | {min(own):.4f} | {max(own):.4f} "
            f"| {within} of {len(mine)} |"
        )
    failed = [row for row in rows if "error" in row]
    lines += [f"\nFailed: {row['budget_s']:g} s, seed {row['seed']}." for row in failed]
    return lines


def main() -> None:
    """Runs what is missing, and prints and saves the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--text", type=Path, default=DATA / "tinyshakespeare" / "input.txt.gz")
    parser.add_argument("--times", type=seconds_of, nargs="*", default=[30.0, 60.0, 120.0, 300.0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3])
    parser.add_argument("--races", type=Path, nargs="*", default=[], help="results.json of race.py")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has atinuke")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.times and not arguments.text.exists():
        raise SystemExit(f"{arguments.text} is missing; set ATINUKE_DATA to the folder of data sets.")
    rows: list[dict[str, Any]] = []
    if arguments.out and arguments.out.exists():
        rows = json.loads(arguments.out.read_text(encoding="utf-8"))
        rows = [row for row in rows if row["origin"] != "race" and "error" not in row]
    for seed in arguments.seeds:
        for budget_s in arguments.times:
            if any(
                (row["budget_s"], row["seed"], row["source"]) == (budget_s, seed, arguments.text.name) for row in rows
            ):
                continue
            with tempfile.TemporaryDirectory(prefix="budget-") as folder:
                rows.append(train_once(arguments.python, arguments.text, budget_s, seed, Path(folder)))
            print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
            if arguments.out:
                arguments.out.parent.mkdir(parents=True, exist_ok=True)
                arguments.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    rows += [row for path in arguments.races for row in of_race(path)]
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(f"`python benchmarks/budget_kept.py {' '.join(sys.argv[1:])}`\n", *table(rows), sep="\n")


if __name__ == "__main__":
    main()
