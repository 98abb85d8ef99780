"""BLEU and chrF of translators trained from nothing under a time budget, each run a whole process.

    python benchmarks/translation.py --pairs multi30k --time 60m --seeds 0 --out results.json
    python benchmarks/translation.py --pairs menyo --time 15m

multi30k   German to English, 29,000 captions, scored on test_2016_flickr (1,000); val (1,014) is held out
menyo      English to Yoruba, MENYO-20k: 10,070 pairs, scored on its test set (6,633); dev (3,397) is held out
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

DATA = Path(os.environ.get("ATINUKE_DATA", "../shared/data"))
M30K, MENYO = DATA / "multi30k", DATA / "menyo-20k"
PAIRS = {
    "multi30k": tuple(
        [str(M30K / f"{part}.{language}.gz") for language in ("de", "en")]
        for part in ("train", "val", "test_2016_flickr")
    ),
    "menyo": tuple([str(MENYO / f"{part}.tsv.gz")] for part in ("train", "dev", "test")),
}


def run(command: list[str]) -> str:
    """What the command prints; its failure ends the benchmark."""
    finished = subprocess.run(command, capture_output=True, text=True)
    if finished.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {finished.returncode}:\n{finished.stderr[-2000:]}")
    return finished.stdout


def train_once(name: str, model: str, seed: int, arguments: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """One run, then its score on the test set."""
    train, held_out, test = PAIRS[name]
    out = folder / f"{name}-{model}-{seed}"
    command = [sys.executable, "-m", "atinuke", "train", "--model", model, "--pairs", *train, "--held-out", *held_out]
    command += ["--time", arguments.time, "--seed", str(seed), "--out", str(out), "--fresh"]
    for setting in [*arguments.set, f"device={arguments.device}"]:
        command += ["--set", setting]
    started_s = time.perf_counter()
    run(command)
    wall_s = time.perf_counter() - started_s
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    kept = ("params", "sizes", "epochs", "steps", "elapsed_s", "time_budget_s", "dtype", "tokens_per_s", "samples")
    row = {"pairs": name, "model": model, "seed": seed, **{key: summary[key] for key in kept}}
    row |= {"wall_s": round(wall_s, 1), "held_out_bleu": summary["score"]["value"]}
    for beam in arguments.beams:
        started_s = time.perf_counter()
        scored = run(
            [sys.executable, "-m", "atinuke", "evaluate", str(out), "--pairs", *test, "--beam", str(beam), "--json"]
        )
        row[f"beam {beam}"] = json.loads(scored) | {"wall_s": round(time.perf_counter() - started_s, 1)}
    row["threads"] = os.environ.get("OMP_NUM_THREADS", "all")
    row["environment"] = json.loads((out / "environment.json").read_text(encoding="utf-8"))
    return row


def main() -> None:
    """Trains and scores, and prints and saves the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", choices=PAIRS, default="multi30k")
    parser.add_argument("--models", nargs="+", default=["seq2seq"])
    parser.add_argument("--time", default="60m")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--beams", type=int, nargs="+", default=[5, 1])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--keep", type=Path, help="Folder for the runs; default: a temporary one.")
    arguments = parser.parse_args()
    if not M30K.is_dir():
        raise SystemExit(f"{M30K} is missing; set ATINUKE_DATA to the folder of data sets.")
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        for seed in arguments.seeds:
            for model in arguments.models:
                found.append(train_once(arguments.pairs, model, seed, arguments, arguments.keep or Path(temporary)))
                print(
                    json.dumps({k: v for k, v in found[-1].items() if k != "environment"}), file=sys.stderr, flush=True
                )
                if arguments.out:  # what was measured stays, whatever comes after
                    arguments.out.parent.mkdir(parents=True, exist_ok=True)
                    arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"`python benchmarks/translation.py {' '.join(sys.argv[1:])}`\n")
    print("| pairs | network | seed | beam | BLEU | chrF | parameters | epochs | training wall s |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in found:
        for beam in arguments.beams:
            scores = row[f"beam {beam}"]
            print(
                f"| {row['pairs']} | {row['model']} | {row['seed']} | {beam} "
                f"| **{scores['bleu']:.2f}** | {scores['chrf']:.2f} "
                f"| {row['params']:,} | {row['epochs']:.1f} | {row['wall_s']:,.0f} |"
            )
    signatures = found[0][f"beam {arguments.beams[0]}"]
    print(f"\nBLEU: {signatures['bleu_signature']}; chrF: {signatures['chrf_signature']}")


if __name__ == "__main__":
    main()
