"""How long `atinuke --help` takes: a fresh process each time, from start to exit.

    python benchmarks/help_time.py [--runs 10] [--out results.json]

The claim behind it: under half a second, because no torch is imported. A bare `python -c pass` is timed in turn with
it, so that the machine's own share can be seen. The first pair is not counted: it fills the file cache.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path

COMMANDS = {
    "atinuke --help": [sys.executable, "-m", "atinuke", "--help"],
    "python -c pass": [sys.executable, "-c", "pass"],
}


def wall_s(command: list[str]) -> float:
    """Seconds of one process."""
    started_s = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started_s


def measure(runs: int) -> dict[str, list[float]]:
    """Seconds by command, in the order of the runs; the commands take turns."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for run in range(runs + 1):
        for name, command in COMMANDS.items():
            seconds = wall_s(command)
            if run > 0:
                times[name].append(seconds)
    return times


def environment() -> dict[str, object]:
    """What the numbers depend on."""
    return {
        "date": time.strftime("%Y-%m-%d"),
        "command": " ".join(sys.argv),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in ("atinuke", "typer")},
    }


def table(times: dict[str, list[float]]) -> str:
    """The results in Markdown."""
    lines = ["| command | runs | median s | min s | max s |", "|---|---:|---:|---:|---:|"]
    for name, seconds in times.items():
        median, least, most = statistics.median(seconds), min(seconds), max(seconds)
        lines.append(f"| `{name}` | {len(seconds)} | {median:.3f} | {least:.3f} | {most:.3f} |")
    return "\n".join(lines)


def main() -> None:
    """Times both commands and prints a table; the JSON goes to --out or follows the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10, help="of each command")
    parser.add_argument("--out", type=Path, help="file for the JSON")
    args = parser.parse_args()
    if args.runs < 1:
        parser.error(f"--runs is {args.runs}; expected 1 or more")
    times = measure(args.runs)
    print(table(times))
    results = {
        name: {"median_s": statistics.median(found), "min_s": min(found), "max_s": max(found), "runs_s": found}
        for name, found in times.items()
    }
    report = json.dumps({"environment": environment(), "results": results}, indent=1)
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(report + "\n", encoding="utf-8")
    else:
        print(report)


if __name__ == "__main__":
    main()
