"""What the planner's choice costs against the best of 25 choices by hand: five shapes, each with five batches.

    python benchmarks/planner_regret.py --time 1m --workers 2 --out regret.json

Each run is `atinuke train TEXT --time T` in a process of its own, on one thread; `--workers` of them at a time, so that
all share the machine alike. The 25 get vocabulary, context, rates and everything else from the planner as well, and no
time is taken from them for choosing. Then the best of them and the planner's own choice run side by side, once for each
of `--seeds`, since machines are faster and slower by the minute: the regret is between these. Finished runs are in
`--out` and are not repeated.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

DATA = Path(os.environ.get("ATINUKE_DATA", "../shared/data"))
SHAPES = ((64, 2), (96, 3), (128, 4), (192, 4), (256, 5))
BATCH_TOKENS = (512, 1024, 2048, 4096, 8192)


def train(text: Path, time: str, seed: int, settings: list[str]) -> dict[str, Any]:
    """What one run came to."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "atinuke", "train", str(text), "--time", time, "--seed", str(seed), "--quiet"]
        command += ["--out", f"{folder}/run", *(word for setting in settings for word in ("--set", setting))]
        threads = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
        done = subprocess.run(command, env=os.environ | threads, capture_output=True, text=True)
        if done.returncode:
            return {"settings": settings, "seed": seed, "error": done.stderr.strip()[-500:]}
        summary = json.loads(Path(folder, "run", "summary.json").read_text(encoding="utf-8"))
    phases: dict[str, float] = {}
    for phase, seconds in summary["timeline"]:
        phases[phase] = phases.get(phase, 0.0) + seconds
    return {
        "settings": settings,
        "seed": seed,
        "val_bpb": summary["val_bpb"],
        "train_tokens": summary["train_tokens"],
        "batch_tokens": summary["batch_tokens"],
        "elapsed_s": summary["elapsed_s"],
        "planning_s": round(phases.get("planning", 0.0), 3),
        "model_dim": summary["sizes"]["model_dim"],
        "layer_count": summary["sizes"]["layer_count"],
        "plan": summary["plan"],
    }


def main() -> None:
    """Trains the planner's choice and the 25, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=DATA / "english-novels" / "100_english_novels.tar.gz")
    parser.add_argument("--time", default="1m")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="of the best and the planner")
    parser.add_argument("--context", type=int, default=128)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    wanted: list[tuple[int, list[str]]] = [
        (0, [f"model.model_dim={dim}", f"model.layer_count={layers}", f"batch_seqs={batch // arguments.context}"])
        for dim, layers in SHAPES
        for batch in BATCH_TOKENS
    ]
    rows: list[dict[str, Any]] = []
    if arguments.out and arguments.out.exists():
        rows = json.loads(arguments.out.read_text(encoding="utf-8"))["rows"]
    known = {(row["seed"], tuple(row["settings"])) for row in rows}

    def one(run: tuple[int, list[str]]) -> None:
        seed, settings = run
        if (seed, tuple(settings)) in known:
            return
        rows.append(train(arguments.source, arguments.time, seed, settings))
        print(json.dumps({key: value for key, value in rows[-1].items() if key != "plan"}), file=sys.stderr, flush=True)
        if arguments.out:
            arguments.out.parent.mkdir(parents=True, exist_ok=True)
            from atinuke.machine import environment

            facts = {"environment": environment(), "time": arguments.time, "rows": rows}
            arguments.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")

    with ThreadPoolExecutor(arguments.workers) as pool:
        list(pool.map(one, wanted))
    grid = [row for row in rows if "val_bpb" in row and row["settings"] and row["seed"] == 0]
    best = min(grid, key=lambda row: row["val_bpb"])
    for seed in arguments.seeds:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(one, [(seed, []), (seed, best["settings"])]))
    by_run = {(row["seed"], tuple(row["settings"])): row for row in rows}
    ours = [by_run[seed, ()] for seed in arguments.seeds]
    theirs = [by_run[seed, tuple(best["settings"])] for seed in arguments.seeds]
    print(f"`python benchmarks/planner_regret.py {' '.join(sys.argv[1:])}`\n")
    print("| model_dim × layers | " + " | ".join(f"{batch:,}" for batch in BATCH_TOKENS) + " |")
    print("|---|" + "---:|" * len(BATCH_TOKENS))
    for dim, layers in SHAPES:
        found = {row["batch_tokens"]: row["val_bpb"] for row in grid if row["model_dim"] == dim}
        cells = " | ".join(f"{found[batch]:.4f}" if batch in found else "–" for batch in BATCH_TOKENS)
        print(f"| {dim} × {layers} | {cells} |")
    chosen = ", ".join(f"{row['model_dim']} × {row['layer_count']} with {row['batch_tokens']:,} tokens" for row in ours)
    print(f"\nThe planner: {chosen}; {', '.join(format(row['val_bpb'], '.4f') for row in ours)}.")
    best_of_25 = f"{best['model_dim']} × {best['layer_count']} with {best['batch_tokens']:,} tokens, the best of the 25"
    print(f"Beside them, {best_of_25}: {', '.join(format(row['val_bpb'], '.4f') for row in theirs)}.")
    ratios = [mine["val_bpb"] / other["val_bpb"] for mine, other in zip(ours, theirs, strict=True)]
    print(f"Regret: {100 * (statistics.median(ratios) - 1):+.2f} % (median).")
    shares = [row["planning_s"] / row["elapsed_s"] for row in ours]
    print(f"Planning took {100 * min(shares):.1f} to {100 * max(shares):.1f} % of the time.")


if __name__ == "__main__":
    main()
