"""Bits per byte of tinyshakespeare after a time budget that includes everything: several seeds, whole processes.

    python benchmarks/time_to_quality.py --time 2m --seeds 0 1 2 --out results.json

Each run is `atinuke train` in a process of its own, from process start; the wall clock is read outside it. The final
scoring comes after the budget and is in `wall_s`, not in `elapsed_s`.
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

DATA = Path(os.environ.get("ATINUKE_DATA", "../shared/data"))


def train_once(
    source: Path, time_budget: str, seed: int, model: str, settings: list[str], folder: Path
) -> dict[str, Any]:
    """One run; the figures of its summary and the wall clock around it."""
    out = folder / f"{model}-{seed}"
    command = [sys.executable, "-m", "atinuke", "train", str(source), "--time", time_budget, "--seed", str(seed)]
    command += ["--model", model, "--out", str(out), "--fresh"]
    for setting in settings:
        command += ["--set", setting]
    started_s = time.perf_counter()
    finished = subprocess.run(command, capture_output=True, text=True)
    wall_s = time.perf_counter() - started_s
    if finished.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {finished.returncode}:\n{finished.stderr[-2000:]}")
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    kept = (
        "val_bpb",
        "val_bytes",
        "train_bpb",
        "baseline_5gram_bpb",
        "params",
        "train_tokens",
        "epochs",
        "tokens_per_s",
    )
    kept += ("elapsed_s", "time_budget_s", "dtype", "context", "batch_tokens", "timeline")
    row = {"model": model, "seed": seed, "wall_s": round(wall_s, 1), **{key: summary[key] for key in kept}}
    row["vocab_size"] = summary["tokenizer"]["vocab_size"]
    row["sizes"] = summary["sizes"]
    row["environment"] = json.loads((out / "environment.json").read_text(encoding="utf-8"))
    return row


def main() -> None:
    """Runs every model and seed in turn, and prints and saves the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=DATA / "tinyshakespeare" / "input.txt.gz")
    parser.add_argument("--time", default="2m")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--models", nargs="+", default=["atinuke"])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if not arguments.source.exists():
        raise SystemExit(f"{arguments.source} is missing; set ATINUKE_DATA to the folder of data sets.")
    settings = [*arguments.set, f"device={arguments.device}"]
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for seed in arguments.seeds:
            for model in arguments.models:
                rows.append(train_once(arguments.source, arguments.time, seed, model, settings, Path(folder)))
                shown = {key: value for key, value in rows[-1].items() if key not in ("environment", "timeline")}
                print(json.dumps(shown), file=sys.stderr, flush=True)
    table = [
        "| model | seeds | val_bpb median | val_bpb of each | elapsed of budget | tokens/s median |",
        "|---|---|---|---|---|---|",
    ]
    for model in arguments.models:
        mine = [row for row in rows if row["model"] == model]
        scores = [row["val_bpb"] for row in mine]
        used = [row["elapsed_s"] / row["time_budget_s"] for row in mine]
        table.append(
            f"| {model} | {' '.join(str(row['seed']) for row in mine)} | **{statistics.median(scores):.4f}** "
            f"| {' '.join(f'{score:.4f}' for score in scores)} | {min(used):.3f}–{max(used):.3f} "
            f"| {statistics.median(row['tokens_per_s'] for row in mine):,.0f} |"
        )
    print(f"`python benchmarks/time_to_quality.py {' '.join(sys.argv[1:])}`\n", *table, sep="\n")
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
