"""`atinuke scale`: a text and a time → a ladder of runs, one after another; laws, a checked forecast, a picture."""

import json
import shlex
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TextIO

from atinuke.config import build_settings, one_line
from atinuke.data.sources import short_name
from atinuke.durable import printable, to_json, write_atomic
from atinuke.errors import AtinukeError, Interrupted
from atinuke.run_folder import RunFolder
from atinuke.scale.config import ScaleConfig, command_of
from atinuke.scale.ladder import fit_last
from atinuke.scale.laws import Laws, find_laws
from atinuke.scale.picture import draw, require_pictures
from atinuke.scale.preparing import Shared, load_shared, prepare, save_shared, shared_folder, survey
from atinuke.scale.results import Scaling, read_walls, rows_of
from atinuke.scale.table import forecast_line, page, plan_table, result_line, tables
from atinuke.scale.training import is_finished, is_laid_out, lay_out, train_one
from atinuke.series.folder import SETTINGS, find_folder
from atinuke.series.settings import differences
from atinuke.train.planning.fit import require_scipy
from atinuke.train.progress import Progress

RESULTS = "scale.json"
TABLE = "table.md"
PICTURES = ("picture.png", "picture.svg")


def show_plan(cfg: ScaleConfig, out: TextIO, *, already_s: float = 0.0) -> None:
    """What --dry-run prints: the ladder, after reading and measuring. Nothing is written."""
    with Progress() as display:
        shared = survey(cfg, display, already_s=already_s).shared
    rows = rows_of(shared.ladder, cfg.chosen_seeds)
    seconds_of = {(step.size.parameters, step.tokens): step.seconds for step in shared.ladder.steps}
    seconds = [seconds_of[row.parameters, row.tokens] for row in rows]
    print(plan_table(rows, seconds, shared.text.bytes_per_token), file=out)
    total_s = sum(seconds)
    print(
        f"\n{len(rows)} runs, {total_s:.0f} s; {shared.spent_s:.0f} s to prepare; {cfg.chosen_time_s:g} s given.",
        file=out,
    )


def run(cfg: ScaleConfig, out: TextIO, *, already_s: float = 0.0) -> None:
    """Trains what is not trained yet, and writes tables to `out` (or scale.json, where that is asked for).

    `already_s`: seconds of the time that are used. Raises Interrupted after Ctrl-C, with what is done; AtinukeError
    at the end when runs have failed.
    """
    require_pictures()
    require_scipy()
    folder = find_folder(
        cfg.out,
        f"scale-{short_name(cfg.train.data.sources)}",
        "a ladder",
        lambda there: differences(build_settings(ScaleConfig, file=there), cfg.lasting),
    )
    try:
        scaling, laws = _train(cfg, folder, already_s)
    except KeyboardInterrupt:
        raise Interrupted(
            f"Stopped. {printable(folder)} keeps what was done before; the same command goes on from there."
        ) from None
    if cfg.as_json:
        print(json.dumps(json.loads(to_json(scaling.to_json(laws.to_json()))), ensure_ascii=False), file=out)
    else:
        print(tables(scaling, laws), file=out)
        print(f"\nTable    {folder / TABLE}\nPicture  {folder / PICTURES[0]}", file=out)
    failed = [row for row in scaling.rows if row.status != "finished"]
    if failed:
        raise AtinukeError(
            f"{len(failed)} of {len(scaling.rows)} runs failed ({'; '.join(row.name for row in failed)}); "
            f"{printable(folder / TABLE)} says why. The same command tries them again."
        )


def _train(cfg: ScaleConfig, folder: Path, already_s: float) -> tuple[Scaling, Laws]:
    """Prepares what is not prepared, trains what is not trained, writes what it came to."""
    home = RunFolder(folder)
    shared = load_shared(folder)
    if shared is None:
        with Progress() as display:
            found = survey(cfg, display, already_s=already_s)  # says what is wrong before anything is written
            home.create()
            with home.claim():
                write_atomic(folder / SETTINGS, cfg.lasting.to_json())
                shared = prepare(found, folder, display)
    with home.claim():
        scaling = _begin(cfg, shared, folder)
        for number in range(len(scaling.rows)):
            scaling, shared = _train_next(scaling, number, cfg, shared, folder)
        return scaling, _write(scaling, folder)


def _begin(cfg: ScaleConfig, shared: Shared, folder: Path) -> Scaling:
    """All rows, those of earlier calls with what they came to."""
    walls_s = read_walls(folder / RESULTS)
    rows = [replace(row, wall_s=walls_s.get(row.folder)) for row in rows_of(shared.ladder, cfg.chosen_seeds)]
    return Scaling(
        tuple(rows),
        shared.text,
        shlex.join(["atinuke", "scale", *command_of(cfg, folder)]),
        cfg.chosen_time_s,
        shared.spent_s,
        shared.config.model_dump(mode="json"),
        shared_folder(folder).read_environment(),
    )


def _train_next(
    scaling: Scaling, number: int, cfg: ScaleConfig, shared: Shared, folder: Path
) -> tuple[Scaling, Shared]:
    """Trains the run of this number, unless that was done before. The last one takes what time is left."""
    row = scaling.rows[number]
    home, label = RunFolder(folder / row.folder), f"{number + 1}/{len(scaling.rows)}"
    if row.is_held_out and not is_laid_out(home):
        ladder = fit_last(shared.ladder, shared.terms(len(cfg.chosen_seeds)), scaling.time_s - scaling.elapsed_s)
        shared = replace(shared, ladder=ladder)
        save_shared(folder, shared)
        row = replace(row, tokens=ladder.steps[-1].tokens)
        _say(forecast_line(row, scaling.text, find_laws(scaling)))
    step = next(
        step
        for step in shared.ladder.steps
        if (step.size.parameters, step.tokens, step.is_held_out) == (row.parameters, row.tokens, row.is_held_out)
    )
    asked, facts = shared.run_config(step, row.seed, home.path)
    if is_finished(home, asked):
        row = row.finished(home)
        _say(f"{label} {row.name}: done before, {result_line(row)}")
        return scaling.with_row(row), shared
    _say(f"{label} {row.name}:{' goes on' if is_laid_out(home) else ''}")
    if not is_laid_out(home):
        lay_out(home, asked, facts, shared_folder(folder))
    started_s, before_s = time.perf_counter(), row.wall_s or 0.0
    try:
        train_one(asked, home.path.with_name(f"{row.folder}.log"))
        row = row.finished(home)
    except AtinukeError as error:
        row = replace(row, status="failed", error=one_line(error))
    except (Interrupted, KeyboardInterrupt):
        row = replace(row, status="interrupted", wall_s=round(before_s + time.perf_counter() - started_s, 2))
        scaling = scaling.with_row(row)
        _write(scaling, folder)
        raise Interrupted(
            f"Stopped: {len(scaling.finished)} of {len(scaling.rows)} runs are done, and what they came to is in "
            f"{printable(folder / TABLE)}. The same command goes on from there."
        ) from None
    row = replace(row, wall_s=round(before_s + time.perf_counter() - started_s, 2))
    _say(f"{label} {result_line(row)}")
    scaling = scaling.with_row(row)
    write_atomic(folder / RESULTS, to_json(scaling.to_json(None)) + "\n")
    return scaling, shared


def _write(scaling: Scaling, folder: Path) -> Laws:
    """Writes the tables, the picture and scale.json, and returns the laws that are in them."""
    laws = find_laws(scaling)
    write_atomic(folder / RESULTS, to_json(scaling.to_json(laws.to_json())) + "\n")
    write_atomic(folder / TABLE, page(scaling, laws, folder))
    if scaling.fitted:
        draw(scaling, laws, folder, PICTURES)
    return laws


def _say(line: str) -> None:
    print(printable(line), file=sys.stderr, flush=True)
