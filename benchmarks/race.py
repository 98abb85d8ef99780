"""Atinuke and its peers in turn on one machine: same training bytes, same clock, one scorer, several seeds.

    python benchmarks/race.py --install .peers                # once: an environment for each peer; some minutes
    python benchmarks/race.py --text input.txt.gz --time 2m --settings all --peers .peers --out results.json
    python benchmarks/race.py --novels --time 10m --settings tuned --peers .peers --out results.json

**Text.** Our own split, written to files once (peers/corpus.py): peers read the training files, `atinuke train` the
original, and all are scored on the same validation bytes by peers/scoring.py; `own_bpb` is what our summary says.
**Time.** From process start to saved model, everything included: reading, tokenizer, imports, compiling. The score
comes after it. One racer runs at a time, with all cores and (unless --caches warm) empty compiler caches.
**Peers.** transformers' Trainer (hf), `litgpt pretrain` (litgpt), x-transformers' own loop (x-transformers), each with
`shipped` settings, its project's defaults at a size that trains here, and `tuned` ones, the best of three by hand
(peers/*/settings.toml): on the first seed all three run, on the others the one that scored best, which is generous.
Where a schedule wants the number of steps, a short try before the race tells it, uncounted, which is generous too;
tuned Trainer and x-transformers decay by the clock. A peer that takes longer than its budget is not cut before 1.1 × T.
**Results** are written after each run; the same command goes on where it stopped, and tries again what failed.
"""

import argparse
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from peers.contest import OURS, PEERS, Contest, Entry, RacerError, TooLate, budget_group, entries, install

DATA = Path(os.environ.get("ATINUKE_DATA", "../shared/data"))
NOVELS = DATA / "english-novels" / "100_english_novels.tar.gz"
HERE = Path(__file__).resolve().parent


def seconds_of(text: str) -> float:
    """90s, 2m, 1h30m → seconds."""
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s)?", text)
    if not text or found is None:
        raise argparse.ArgumentTypeError(f"{text} is no time; write it as 90s, 10m or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return 3600.0 * hours + 60 * minutes + seconds


class Results:
    """results.json: machine, calibrations and runs, kept up to date on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.told: dict[str, Any] = {"machine": None, "peers": {}, "calibrations": {}, "runs": []}
        if path.exists():
            self.told = json.loads(path.read_text(encoding="utf-8"))

    def save(self) -> None:
        """Writes beside the file and takes its place, so that a stop leaves the one or the other."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        beside = self.path.with_suffix(".writing")
        beside.write_text(json.dumps(self.told, indent=1) + "\n", encoding="utf-8")
        beside.replace(self.path)

    def runs(self, **wanted: Any) -> list[dict[str, Any]]:
        """Finished runs with these values."""
        return [row for row in self.told["runs"] if "bpb" in row and all(row[k] == v for k, v in wanted.items())]

    def put(self, identity: dict[str, Any], figures: dict[str, Any]) -> dict[str, Any]:
        """Keeps a run in the place of what failed under the same identity."""
        runs = self.told["runs"]
        self.told["runs"] = [row for row in runs if any(row[k] != v for k, v in identity.items())]
        row = {**identity, **figures, "ended_at": datetime.now(UTC).isoformat(timespec="seconds")}
        self.told["runs"].append(row)
        self.save()
        return row


def planned(arguments: argparse.Namespace, results: Results, common: dict[str, Any]) -> Iterator[tuple[Entry, int]]:
    """Runs in turn, seed by seed. After the first seed only the best of a peer's tuned settings goes on."""
    kinds = ("shipped", "tuned") if arguments.settings == "all" else (arguments.settings,)
    first = arguments.seeds[0]
    for seed in arguments.seeds:
        for racer in arguments.racers:
            known = entries(racer, kinds, arguments.time, our_settings=tuple(arguments.set))
            if arguments.only:
                known = [entry for entry in known if entry.name in arguments.only or racer == OURS]
            if seed != first:
                tuned = [entry for entry in known if entry.kind == "tuned"]
                best = best_of(tuned, results, {**common, "seed": first})
                known = [entry for entry in known if entry.kind != "tuned" or entry is best]
            for entry in known:
                yield entry, seed


def best_of(tuned: list[Entry], results: Results, common: dict[str, Any]) -> Entry | None:
    """The settings with the fewest bits per byte on the first seed."""
    scores = {}
    for entry in tuned:
        for row in results.runs(**common, racer=entry.racer, kind=entry.kind, name=entry.name):
            scores[entry.name] = row["bpb"]
    return min((e for e in tuned if e.name in scores), key=lambda e: scores[e.name], default=None)


def race_once(contest: Contest, entry: Entry, seed: int, results: Results, common: dict[str, Any]) -> dict[str, Any]:
    """One run, or what went wrong with it, kept."""
    identity = {**common, "racer": entry.racer, "kind": entry.kind, "name": entry.name, "seed": seed}
    with tempfile.TemporaryDirectory(prefix="race-", ignore_cleanup_errors=True) as folder:
        figures: dict[str, Any] = {"settings": entry.settings}
        try:
            steps = steps_for(contest, entry, results, identity, Path(folder)) if entry.needs_steps else None
            figures["asked_steps"] = steps
            return results.put(identity, figures | contest.run(entry, seed, steps, Path(folder) / "racer"))
        except TooLate as error:
            return results.put(identity, figures | {"error": str(error), "wall_s": error.after_s})
        except (RacerError, OSError, KeyError, ValueError) as error:
            return results.put(identity, figures | {"error": f"{type(error).__name__}: {error}"})


def steps_for(contest: Contest, entry: Entry, results: Results, identity: dict[str, Any], folder: Path) -> int:
    """From the calibration of these settings, made now if it is missing, and from their earlier runs."""
    key = "/".join((entry.racer, entry.kind, budget_group(contest.seconds), entry.name, identity["text"]))
    calibrations = results.told["calibrations"]
    if key not in calibrations:
        calibrations[key] = contest.calibrate(entry, folder / "calibration")
        results.save()
    same = {name: value for name, value in identity.items() if name != "seed"}
    earlier = [row for row in results.told["runs"] if all(row[k] == v for k, v in same.items()) and "wall_s" in row]
    return contest.steps_after(entry, calibrations[key], earlier)


def table(results: Results) -> list[str]:
    """A row for each racer, setting, text and budget, the best first."""
    lines = [
        "| text | time | racer | settings | val bpb, median | each seed | wall / time | parameters | million tokens |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[Any, ...], list[dict[str, Any]]] = {}
    for row in results.told["runs"]:
        groups.setdefault(tuple(row[k] for k in ("text", "budget_s", "racer", "kind", "name")), []).append(row)

    def median(rows: list[dict[str, Any]]) -> float:
        return statistics.median([row["bpb"] for row in rows if "bpb" in row] or [float("inf")])

    for key, rows in sorted(groups.items(), key=lambda item: (*item[0][:2], median(item[1]))):
        text, budget_s, racer, kind, name = key
        done = [row for row in rows if "bpb" in row]
        start = f"| {text} | {budget_s:g} s | {racer} | {kind}: {name} "
        if not done:
            lines.append(f"{start}| failed | {rows[0]['error'].splitlines()[0][:80]} | | | |")
            continue
        used = [row["wall_s"] / budget_s for row in done]
        lines.append(
            f"{start}| **{median(rows):.4f}** | {' '.join(format(row['bpb'], '.4f') for row in done)} "
            f"| {min(used):.3f}–{max(used):.3f} | {done[0]['params'] / 1e6:.2f} M "
            f"| {statistics.median(row['tokens'] for row in done) / 1e6:.2f} |"
        )
    ours = results.runs(racer=OURS)
    if ours:
        apart = max(abs(row["bpb"] - row["own_bpb"]) for row in ours)
        lines += ["", f"Our own score of our runs differs from the common scorer's by at most {apart:.6f}."]
    return lines


def asked() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--install", type=Path, metavar="DIR", help="make the peers' environments there, and stop")
    what.add_argument("--text", type=Path, help="race on this text")
    what.add_argument("--novels", action="store_true", help=f"race on the novels: {NOVELS}")
    parser.add_argument("--time", type=seconds_of, default=seconds_of("2m"))
    parser.add_argument("--racers", nargs="+", choices=(OURS, *PEERS), default=[OURS, *PEERS])
    parser.add_argument("--settings", choices=("tuned", "shipped", "all"), default="all")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="of the peers' settings only these")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--peers", type=Path, default=Path(".peers"), help="folder of their environments")
    parser.add_argument("--python", default=sys.executable, help="the interpreter that has atinuke")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="a setting of atinuke train")
    parser.add_argument("--caches", choices=("cold", "warm"), default="cold", help="compiler caches of earlier runs")
    parser.add_argument("--max-minutes", type=float, help="begin no run that would end later than this")
    parser.add_argument("--out", type=Path, help="results.json; an existing one is continued")
    return parser.parse_args()


def main() -> None:
    """Runs what is missing, and prints the table."""
    arguments = asked()
    if arguments.install is not None:
        install(arguments.install)
        return
    if arguments.out is None:
        raise SystemExit("--out results.json is needed: runs are long, and the same command goes on from there.")
    from peers.corpus import export

    from atinuke.machine import environment

    source: Path = NOVELS if arguments.novels else arguments.text
    if not source.exists():
        raise SystemExit(f"{source} is missing; set ATINUKE_DATA to the folder of data sets.")
    name = "novels" if arguments.novels else source.name.partition(".")[0].replace("input", source.parent.name)
    corpus = (arguments.peers / "corpora" / name).absolute()
    told = export(source, corpus)
    contest = Contest(
        corpus=corpus,
        source=source.absolute(),
        validation_bytes=int(str(told["validation_bytes"])),
        seconds=arguments.time,
        peers=arguments.peers,
        python=arguments.python,
        warm_caches=arguments.caches == "warm",
    )
    results = Results(arguments.out)
    results.told["machine"] = environment()
    results.told["peers"] = {
        peer: (HERE / "peers" / peer / "requirements.txt").read_text(encoding="utf-8").split() for peer in PEERS
    }
    results.told.setdefault("corpora", {})[name] = told
    common = {"text": name, "budget_s": arguments.time, "caches": arguments.caches}
    began_s = time.monotonic()
    for entry, seed in planned(arguments, results, common):
        identity = {"racer": entry.racer, "kind": entry.kind, "name": entry.name, "seed": seed}
        if results.runs(**common, **identity):
            continue
        left_s = (arguments.max_minutes or float("inf")) * 60 - (time.monotonic() - began_s)
        if left_s < 1.1 * arguments.time + 60:
            print("--max-minutes is used up; the same command goes on from here.", file=sys.stderr)
            break
        row = race_once(contest, entry, seed, results, common)
        figures = {key: row.get(key) for key in ("bpb", "own_bpb", "wall_s", "steps", "error") if row.get(key)}
        print(json.dumps({**identity, **figures}), file=sys.stderr, flush=True)
    print(f"`python benchmarks/race.py {' '.join(sys.argv[1:])}`\n", *table(results), sep="\n")


if __name__ == "__main__":
    main()
