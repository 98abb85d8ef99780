"""`atinuke compare`: networks, seeds and one budget → runs, one after another; a table and a picture after each."""

import json
import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, TextIO

from atinuke.compare.config import CompareConfig, command_of
from atinuke.compare.picture import draw, require_pictures
from atinuke.compare.results import Comparison, Row, environment_of, is_finished, read_measured
from atinuke.compare.table import page, result_line, table
from atinuke.compare.training import STOPPED, Ended, Relay
from atinuke.config import build_settings, one_line
from atinuke.data.sources import Sources
from atinuke.durable import printable, to_json, write_atomic
from atinuke.errors import AtinukeError, Interrupted, RunFolderError
from atinuke.run_folder import RunFolder
from atinuke.series.folder import SETTINGS, find_folder
from atinuke.series.settings import differences
from atinuke.train.config import TrainConfig

RESULTS = "compare.json"
TABLE = "table.md"
PICTURES = ("picture.png", "picture.svg")


def run(cfg: CompareConfig, out: TextIO) -> None:
    """Trains what is not trained yet, and writes the table to `out` (or compare.json, where that is asked for).

    Raises Interrupted after Ctrl-C, with what is done; AtinukeError at the end when runs have failed.
    """
    require_pictures()
    name = _name(cfg)
    for network in cfg.networks:  # whatever is wrong with the settings is said before anything is written
        cfg.run_config(network, cfg.chosen_seeds[0], Path("out"))
    folder = find_folder(
        cfg.out,
        f"compare-{name}",
        "a comparison",
        lambda settings: differences(build_settings(TrainConfig, file=settings), cfg.train),
    )
    with Relay().listening() as relay:
        home = RunFolder(folder)
        home.create()
        with home.claim():
            write_atomic(folder / SETTINGS, cfg.train.to_json())
            comparison = _begin(cfg, folder)
            comparison = _train_all(cfg, comparison, folder, relay)
    if cfg.as_json:
        print(json.dumps(json.loads(to_json(comparison.to_json())), ensure_ascii=False), file=out)
    else:
        print(table(comparison), file=out)
        print(f"\nTable    {folder / TABLE}\nPicture  {folder / PICTURES[0]}", file=out)
    failed = [row for row in comparison.rows if row.status != "finished"]
    if failed:
        raise AtinukeError(
            f"{len(failed)} of {len(comparison.rows)} runs failed ({'; '.join(row.name for row in failed)}); "
            f"{printable(folder / TABLE)} says why. The same command tries them again."
        )


def _train_all(cfg: CompareConfig, comparison: Comparison, folder: Path, relay: Relay) -> Comparison:
    """Every network within each seed, so that what changes on the machine meanwhile meets all alike."""
    count = len(comparison.rows)
    for number, row in enumerate(comparison.rows, start=1):
        run_folder, label = RunFolder(folder / row.folder), f"{number}/{count} {row.name}"
        if row.status == "finished":
            _say(f"{label}: done before, {result_line(row)}")
            continue
        if relay:
            break
        goes_on = " goes on" if (run_folder.state / "request.json").exists() else ""
        _say(f"{label}:{goes_on} for {_budget(cfg.train)}, into {run_folder.path}")
        arguments = [
            *("train", "--config", str(folder / SETTINGS), "--model", row.network, "--seed", str(row.seed)),
            *("--out", str(run_folder.path)),
        ]
        log = folder / f"{row.folder}.log"
        row = _after(row, relay.launch(arguments, log), run_folder, log, was_stopped=bool(relay))
        _say(f"{label}: {result_line(row)}")
        rows = tuple(row if row.folder == each.folder else each for each in comparison.rows)
        comparison = replace(comparison, rows=rows, environment=_environment(rows, folder))
        _write(comparison, folder)
    if relay and any(row.status in ("waiting", "interrupted") for row in comparison.rows):
        raise Interrupted(
            f"Stopped by {relay.signal_name}: {len(comparison.finished)} of {count} runs are done, and what they came "
            f"to is in {folder / TABLE}. The same command goes on from there."
        )
    return comparison


def _after(row: Row, ended: Ended, run_folder: RunFolder, log: Path, *, was_stopped: bool) -> Row:
    """The row of a run whose process has ended."""
    peaks = [peak for peak in (row.peak_memory_mb, ended.peak_memory_mb) if peak is not None]
    row = replace(
        row, wall_s=round((row.wall_s or 0.0) + ended.wall_s, 2), peak_memory_mb=round(max(peaks), 1) if peaks else None
    )
    if ended.exit_code == 0:
        try:
            return row.finished(run_folder)
        except RunFolderError as error:
            return replace(row, status="failed", error=one_line(error))
    if was_stopped and (ended.exit_code < 0 or ended.exit_code in (1, STOPPED)):  # 1: broken off while it started
        return replace(row, status="interrupted", error=None)
    return replace(row, status="failed", error=ended.reason(log))


def _begin(cfg: CompareConfig, folder: Path) -> Comparison:
    """All rows, those of earlier calls with what they came to; compare.json is written, so that `folder` is ours."""
    measured = read_measured(folder / RESULTS)
    rows = []
    for seed in cfg.chosen_seeds:
        for network in cfg.networks:
            row = Row(network, seed, f"{network}-seed{seed}")
            wall_s, peak_memory_mb = measured.get((network, seed), (None, None))
            row = replace(row, wall_s=wall_s, peak_memory_mb=peak_memory_mb)
            run_folder = RunFolder(folder / row.folder)
            if is_finished(run_folder, cfg.run_config(network, seed, run_folder.path)):
                row = row.finished(run_folder)
            rows.append(row)
    command = shlex.join(["atinuke", "compare", *command_of(cfg, folder)])
    settings = cfg.train.model_dump(mode="json")
    comparison = Comparison(tuple(rows), command, settings, _environment(rows, folder))
    _write(comparison, folder)
    return comparison


def _write(comparison: Comparison, folder: Path) -> None:
    write_atomic(folder / RESULTS, to_json(comparison.to_json()) + "\n")
    write_atomic(folder / TABLE, page(comparison, folder))
    if comparison.finished:
        draw(comparison, folder, PICTURES)


def _environment(rows: list[Row] | tuple[Row, ...], folder: Path) -> dict[str, Any]:
    return environment_of(RunFolder(folder / row.folder) for row in rows if row.status == "finished")


def _name(cfg: CompareConfig) -> str:
    """What is read, in a word fit for a folder; SourceError when it is not there."""
    files = [*cfg.train.data.pairs, *cfg.train.data.held_out]
    if files:
        Sources(files)
    return Sources(cfg.train.data.pairs or cfg.train.data.sources).name


def _budget(train: TrainConfig) -> str:
    budget = train.budget
    if budget.time_s is not None:
        return f"{budget.time_s:g} s"
    return f"{budget.steps:,} steps" if budget.steps is not None else f"{budget.tokens or 0:,} tokens"


def _say(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)
