"""What one Atinuke sees, hears and reads: accuracy on held-out examples, each run a whole process under a time budget.

    python benchmarks/digits.py --runs mnist --time 12m --seeds 0 1 2 --out results.json
    python benchmarks/digits.py --runs spoken spoken-by-speaker text together --time 3m

mnist               60,000 written digits to learn from, the 10,000 of the test set held out
spoken              spoken digits; of each speaker and digit the recordings 0 to 4 are held out
spoken-by-speaker   the same; all recordings of one speaker are held out, each speaker in turn
text                SST-2, a phrase and whether it is positive; the development set is held out
together            one network on mnist, spoken and text at once, scored on each
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

import atinuke.data.rows as rows

DATA = Path(os.environ.get("ATINUKE_DATA", "../shared/data"))
SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")


def write_text_examples(folder: Path) -> tuple[Path, Path]:
    """SST-2 as labelled examples: training phrases and the development set."""
    written = []
    for part, name in (("train", "train.tsv.gz"), ("dev", "dev.tsv")):
        file = rows.read_file(str(DATA / "glue" / "SST-2" / name), rows.RowNotes())
        _, *phrases = rows.iter_cells(file.text, "\t")
        path = folder / f"sst2-{part}.jsonl"
        with open(path, "w", encoding="utf-8") as out:
            for row in phrases:
                label = {"0": "negative", "1": "positive"}[row.cells[1].strip()]
                out.write(json.dumps({"text": row.cells[0].strip(), "label": label}) + "\n")
        written.append(path)
    return written[0], written[1]


def sources(run: str, folder: Path) -> list[tuple[str, list[str], list[str]]]:
    """(name, examples, held out) of each training run behind the name of a row."""
    mnist, spoken = DATA / "mnist", DATA / "free-spoken-digit-dataset" / "recordings.zip"
    seen = ([str(mnist / "train-images-idx3-ubyte.gz")], [str(mnist / "t10k-images-idx3-ubyte.gz")])
    heard = ([str(spoken)], [f"{spoken}/*_[0-4].wav"])
    if run == "mnist":
        return [(run, *seen)]
    if run == "spoken":
        return [(run, *heard)]
    if run == "spoken-by-speaker":
        return [(f"{run} {speaker}", heard[0], [f"{spoken}/*_{speaker}_*.wav"]) for speaker in SPEAKERS]
    read = tuple([str(path)] for path in write_text_examples(folder))
    if run == "text":
        return [(run, *read)]
    return [(run, seen[0] + heard[0] + read[0], seen[1] + heard[1] + read[1])]


def train_once(
    name: str, examples: list[str], held_out: list[str], seed: int, arguments: argparse.Namespace, folder: Path
) -> dict[str, Any]:
    """One run; the figures of its summary and the wall clock around it."""
    out = folder / f"{name.replace(' ', '-')}-{seed}"
    command = [sys.executable, "-m", "atinuke", "train", "--examples", *examples, "--held-out", *held_out]
    command += ["--time", arguments.time, "--seed", str(seed), "--out", str(out), "--fresh"]
    for setting in [*arguments.set, f"device={arguments.device}"]:
        command += ["--set", setting]
    started_s = time.perf_counter()
    finished = subprocess.run(command, capture_output=True, text=True)
    wall_s = time.perf_counter() - started_s
    if finished.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {finished.returncode}:\n{finished.stderr[-2000:]}")
    summary = json.loads((out / "summary.json").read_text(encoding="utf-8"))
    kept = ("params", "sizes", "epochs", "steps", "elapsed_s", "time_budget_s", "dtype", "accuracy_by_kind")
    return {
        "run": name,
        "seed": seed,
        "accuracy": summary["score"]["value"],
        **{key: summary[key] for key in kept},
        "wall_s": round(wall_s, 1),
        "threads": os.environ.get("OMP_NUM_THREADS", "all"),
        "environment": json.loads((out / "environment.json").read_text(encoding="utf-8")),
    }


def main() -> None:
    """Trains every run with every seed, and prints and saves the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    names = ("mnist", "spoken", "spoken-by-speaker", "text", "together")
    parser.add_argument("--runs", nargs="+", choices=names, default=["mnist"])
    parser.add_argument("--time", default="12m")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if not (DATA / "mnist").is_dir():
        raise SystemExit(f"{DATA / 'mnist'} is missing; set ATINUKE_DATA to the folder of data sets.")
    found = []
    with tempfile.TemporaryDirectory() as temporary:
        for run in arguments.runs:
            for name, examples, held_out in sources(run, Path(temporary)):
                for seed in arguments.seeds:
                    found.append(train_once(name, examples, held_out, seed, arguments, Path(temporary)))
                    shown = {key: value for key, value in found[-1].items() if key != "environment"}
                    print(json.dumps(shown), file=sys.stderr, flush=True)
                    if arguments.out:  # what was measured stays, whatever comes after
                        arguments.out.parent.mkdir(parents=True, exist_ok=True)
                        arguments.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(f"`python benchmarks/digits.py {' '.join(sys.argv[1:])}`\n", *table(found), sep="\n")


def table(found: list[dict[str, Any]]) -> list[str]:
    """One line for each run and kind of example."""
    lines = [
        "| run | examples | seeds | accuracy median | accuracy of each | wall clock s |",
        "|---|---|---|---|---|---|",
    ]
    for name in dict.fromkeys(row["run"] for row in found):
        mine = [row for row in found if row["run"] == name]
        for kind in mine[0]["accuracy_by_kind"]:
            scores = [
                100 * row["accuracy_by_kind"][kind]["right"] / row["accuracy_by_kind"][kind]["total"] for row in mine
            ]
            lines.append(
                f"| {name} | {kind}, {mine[0]['accuracy_by_kind'][kind]['total']:,} "
                f"| {' '.join(str(row['seed']) for row in mine)} | **{statistics.median(scores):.2f} %** "
                f"| {' '.join(f'{score:.2f}' for score in scores)} | {max(row['wall_s'] for row in mine):,.0f} |"
            )
    return lines


if __name__ == "__main__":
    main()
