"""How many steps it saves to begin with the embeddings of another run: English first, then Yoruba.

    python benchmarks/embeddings_saving.py --steps 400 --seeds 0 1 2 --out results.json

A network learns the English side of MENYO-20k. Then its Yoruba side, with a tokenizer of its own, is learned from fresh
embeddings and from inherited ones (`--init-embeddings`), same seeds, same steps, each a whole process. The estimate on
held-out text is taken every few steps; saved are the steps that the inherited run needs less to come to where the
fresh one ends.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from atinuke.data.pairs import read_pairs

DATA = Path(os.environ.get("ATINUKE_DATA", "../shared/data"))
EVERY_STEPS = 20


def train(source: Path, steps: int, seed: int, out: Path, *more: str) -> dict[str, Any]:
    """One run; its summary and its estimates by step."""
    command = [sys.executable, "-m", "atinuke", "train", str(source), "--steps", str(steps), "--seed", str(seed)]
    command += ["--out", str(out), "--fresh", "--set", f"checkpoint.every_steps={EVERY_STEPS}", *more]
    finished = subprocess.run(command, capture_output=True, text=True)
    if finished.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {finished.returncode}:\n{finished.stderr[-2000:]}")
    said = [line for line in (finished.stdout + finished.stderr).splitlines() if line.startswith("Embeddings of")]
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    return {
        "seed": seed,
        "val_bpb": summary["val_bpb"],
        "params": summary["params"],
        "bytes_per_token": summary["bytes_per_token"],
        "estimates": [[row["step"], row["val_loss"]] for row in rows if "val_loss" in row],
        "said": [line.partition(": ")[2] for line in said],
    }


def steps_to(goal: float, estimates: list[list[float]]) -> float | None:
    """The first step whose estimate is at most `goal`; None where it is never reached."""
    return next((step for step, loss in estimates if loss <= goal), None)


def main() -> None:
    """Trains the donor and all pairs of runs, and prints and saves the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--donor-steps", type=int, default=800)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    menyo = DATA / "menyo-20k" / "train.tsv.gz"
    if not menyo.exists():
        raise SystemExit(f"{menyo} is missing; set ATINUKE_DATA to the folder of data sets.")
    pairs = read_pairs([str(menyo)]).pairs
    found: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        english, yoruba = folder / "english.txt", folder / "yoruba.txt"
        english.write_text("\n".join(source for source, _ in pairs), encoding="utf-8")
        yoruba.write_text("\n".join(target for _, target in pairs), encoding="utf-8")
        donor = train(english, arguments.donor_steps, 0, folder / "donor")
        for seed in arguments.seeds:
            for start in ("fresh", "inherited"):
                more = ["--init-embeddings", str(folder / "donor")] if start == "inherited" else []
                found.append(
                    {"start": start, **train(yoruba, arguments.steps, seed, folder / f"{start}-{seed}", *more)}
                )
                print(json.dumps(found[-1]), file=sys.stderr, flush=True)
    print(f"`python benchmarks/embeddings_saving.py {' '.join(sys.argv[1:])}`\n")
    print("| seed | fresh, bits per byte | inherited, bits per byte | steps to where fresh ends | saved |")
    print("|---|---|---|---|---|")
    shares = []
    for seed in arguments.seeds:
        fresh, inherited = (
            next(row for row in found if row["seed"] == seed and row["start"] == start)
            for start in ("fresh", "inherited")
        )
        needed = steps_to(fresh["estimates"][-1][1], inherited["estimates"])
        shares.append(0.0 if needed is None else 1 - needed / arguments.steps)
        shown = "not reached" if needed is None else f"{needed:,.0f} of {arguments.steps:,}"
        print(f"| {seed} | {fresh['val_bpb']:.4f} | {inherited['val_bpb']:.4f} | {shown} | {100 * shares[-1]:.0f} % |")
    print(f"\nMedian saving: {100 * statistics.median(shares):.0f} % of the steps. {' '.join(found[-1]['said'])}")
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps({"donor": donor, "runs": found}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
