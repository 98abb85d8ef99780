"""From prepared data to the saved model: the part of `run.py` that a time budget is for."""

import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import torch

from atinuke.data.batches.batch import BatchSource
from atinuke.durable import to_json, write_atomic, write_file_atomic
from atinuke.errors import DamagedFileError, Interrupted, RunFolderError
from atinuke.run_folder import MetricsWriter, RunFolder
from atinuke.train.checkpoint import Checkpoints, LoadedCheckpoint, load_checkpoint
from atinuke.train.config import TrainConfig
from atinuke.train.engine import Engine
from atinuke.train.lessons.lesson import Lesson, Workbench, used_up
from atinuke.train.loop import Observer, Progress, StepMetrics, StopRequest, TrainState, fit
from atinuke.train.micro_batches import remembered
from atinuke.train.observers import CheckpointObserver, DisplayObserver, MetricsObserver, Saver
from atinuke.train.parallel.ranks import Ranks, without_a_word
from atinuke.train.parallel.sharing import SharedBatches, SharedPace, decided_by_first
from atinuke.train.planning.memory import refuse_without_room
from atinuke.train.progress import Display
from atinuke.train.results import first_summary
from atinuke.train.resuming import capture, newest_checkpoint, restore, settings_fingerprint
from atinuke.train.schedule import Clock, StepPace, TimePace, TokenPace
from atinuke.weights import load_model, save_weights

SAVES = 10
"""Checkpoints over a budget, unless the settings say otherwise."""


def train(lesson: Lesson, folder: RunFolder, bench: Workbench, stop: StopRequest) -> None:
    """Writes the trained model, and a summary without scores. Raises Interrupted when stopped early."""
    cfg, clock, display, ranks = lesson.config, bench.clock, bench.display, bench.ranks
    display.phase("training")
    torch.manual_seed(cfg.seed)
    refuse_without_room(lesson.network, cfg, ranks.memory_bytes(bench.device))
    micro_batch_seqs = lesson.micro_batch_seqs(bench)
    if micro_batch_seqs not in (None, cfg.parallel.micro_batch_seqs):
        display.say(f"Memory has room for {micro_batch_seqs} rows at once: each step is made in parts.")
    model = lesson.build()
    checkpoints = Checkpoints(folder.state, keep=cfg.checkpoint.keep)
    loaded = _newest_for_all(checkpoints, display, ranks)
    identity = {"corpus": lesson.fingerprint, "settings": settings_fingerprint(cfg)}
    if loaded is None:
        lesson.begin(model, display)
        ranks.copy_from_first(model)
    else:
        _refuse_another_run(loaded.state, identity, folder)
    engine = Engine.build(model, cfg, lesson.objective, bench.device, bench.machine, ranks)
    engine.rules.micro_batches = remembered(folder, micro_batch_seqs, display.say, ranks)
    state = engine.state
    began_s = clock.elapsed_s()
    if loaded is not None:
        restore(state, loaded, engine.layout)
        clock.add_earlier(loaded.state["elapsed_s"])
        began_s = loaded.state["began_s"]
        display.say(f"Going on from step {state.step:,} ({loaded.state['elapsed_s']:.1f} s used).")
    if ranks.is_first:
        _keep_settings(folder, cfg)
    estimate = lesson.estimator(bench.device, engine.autocast)
    saver = CheckpointObserver(
        _saver(checkpoints, ranks),
        capture=lambda state: capture(
            state,
            {**identity, "began_s": began_s, "elapsed_s": clock.elapsed_s(), "saving_s": saver.slowest_save_s},
            engine.layout,
        ),
        is_due=_save_rule(cfg, clock, ranks),
        estimate_val_loss=lambda: estimate(engine.scored),
        is_finished=lambda state: not should_stop(),
    )
    pace, should_stop = _pace(cfg, clock, began_s, saver, stop, ranks)
    if loaded is None:
        # there is always a good checkpoint, and we know how long one takes
        saver.save(state, with_score=False, wait=True)
    elif cfg.budget.time_s is not None:
        saver.slowest_save_s = float(loaded.state["saving_s"])
    if state.step == 0 and pace.progress(state) >= 1.0:
        raise used_up(cfg, clock)
    if ranks.size > 1:
        display.say(f"{ranks.size} processes share each step.")
    batches = _batches(lesson, bench)
    with _observers(lesson, folder, state, saver, display, ranks) as observers:
        stop.is_patient = True
        fit(state, batches, engine.rules, pace, [*observers, *lesson.watchers(batches, display)], should_stop)
    if should_stop():
        raise _stopped(
            ranks,
            f"{_who(stop)} at step {state.step:,}; the state is saved in {folder.path}. "
            "The same command goes on from there.",
        )
    if ranks.is_first:
        _save_trained(lesson, engine, checkpoints, folder, bench)
    stop.is_patient = False
    if stop:
        raise _stopped(
            ranks,
            f"{_who(stop)}; the trained model is saved in {folder.path}. "
            "The same command scores it and writes the report.",
        )


def _who(stop: StopRequest) -> str:
    return f"Stopped by {stop.signal_name}" if stop else "Stopped through another process"


def _stopped(ranks: Ranks, message: str) -> BaseException:
    """What a run ends with that was asked to stop; of several processes, one says it."""
    return Interrupted(message) if ranks.is_first else without_a_word(Interrupted.exit_code)


def _newest_for_all(checkpoints: Checkpoints, display: Display, ranks: Ranks) -> LoadedCheckpoint | None:
    """The checkpoint that training goes on from; of several processes, one verifies it."""
    loaded = newest_checkpoint(checkpoints, display) if ranks.is_first else None
    path = ranks.share(None if loaded is None else loaded.path)
    return load_checkpoint(path, verify=False) if path is not None and loaded is None else loaded


def _batches(lesson: Lesson, bench: Workbench) -> BatchSource:
    if bench.ranks.size == 1:
        return lesson.batches(bench.device)
    return SharedBatches(lesson.batches(torch.device("cpu")), bench.ranks, bench.device)


def _saver(checkpoints: Checkpoints, ranks: Ranks) -> Saver:
    if ranks.size == 1:
        return checkpoints
    from atinuke.train.parallel.checkpoints import SharedCheckpoints

    return SharedCheckpoints(checkpoints, ranks)


@contextmanager
def _observers(
    lesson: Lesson, folder: RunFolder, state: TrainState, saver: CheckpointObserver, display: Display, ranks: Ranks
) -> Iterator[list[Observer]]:
    """Who looks on: all processes save, and the first one keeps the metrics and speaks."""
    if not ranks.is_first:
        yield [saver]
        return
    with MetricsWriter(folder.metrics) as writer:
        writer.truncate_after(state.step)
        yield [saver, MetricsObserver(writer), DisplayObserver(display, lesson.bytes_per_token)]
        writer.sync()


def _refuse_another_run(saved: Mapping[str, Any], identity: Mapping[str, str], folder: RunFolder) -> None:
    """What the checkpoint was made with has to be what is there now; a changed digit in a file would still read."""
    if saved["corpus"] != identity["corpus"]:
        raise RunFolderError(f"{folder.data} is not the data that this run began with; start over with --fresh.")
    if saved.get("settings", identity["settings"]) != identity["settings"]:
        raise DamagedFileError(
            f"{folder.config} is damaged: it does not hold the settings that this run began with. "
            "Restore it from a copy, or start over with --fresh."
        )


def _save_trained(
    lesson: Lesson, engine: Engine, checkpoints: Checkpoints, folder: RunFolder, bench: Workbench
) -> None:
    """model.safetensors, and what is known before scoring; the time budget ends here."""
    state = engine.state
    bench.display.phase("saving")
    folder.unseal()
    better = _better_one(state, checkpoints, bench.display) if lesson.keeps_best else None
    if bench.ranks.size == 1:
        if better is not None:
            load_model(state.model, better.tensors["model"])
        save_weights(folder.model, state.model)
    else:  # this process may hold a part of them; the checkpoint holds all
        chosen = better or checkpoints.newest_good()
        assert chosen is not None
        weights = chosen.path / "model.safetensors"
        write_file_atomic(folder.model, partial(_copy, weights))
    summary = first_summary(lesson, state, folder, bench.device, bench.display.timeline)
    summary |= {"processes": bench.ranks.size, "micro_batch_seqs": engine.rules.micro_batches.at_most}
    write_atomic(folder.summary, to_json(summary | {"elapsed_s": round(bench.clock.elapsed_s(), 3)}))


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)


def _keep_settings(folder: RunFolder, cfg: TrainConfig) -> None:
    """Writes config.json for a new run, or one with a larger budget, once it is certain that it can go on."""
    if not folder.config.exists() or folder.config.read_text(encoding="utf-8") != cfg.to_json():
        folder.unseal()
        write_atomic(folder.config, cfg.to_json())


def _pace(
    cfg: TrainConfig, clock: Clock, began_s: float, saver: CheckpointObserver, stop: StopRequest, ranks: Ranks
) -> tuple[Progress, Callable[[], bool]]:
    """How far the run is, and whether it is to stop; several processes agree on both."""
    pace = _own_pace(cfg, clock, began_s, saver)
    if ranks.size == 1:
        return pace, lambda: bool(stop)
    shared = SharedPace(pace, ranks, stop)
    return shared, lambda: shared.must_stop


def _own_pace(
    cfg: TrainConfig, clock: Clock, began_s: float, saver: CheckpointObserver
) -> TimePace | TokenPace | StepPace:
    if cfg.budget.steps is not None:
        return StepPace(clock, cfg.budget.steps)
    if cfg.budget.tokens is not None:
        return TokenPace(clock, cfg.budget.tokens)
    assert cfg.budget.time_s is not None
    time_s = cfg.budget.time_s

    def deadline_s() -> float:
        # what comes between the last step and the saved model: a checkpoint with its score, and the weights
        return time_s - min(0.2 + 2 * saver.slowest_save_s + 0.004 * time_s, 0.04 * time_s)

    return TimePace(clock, began_s, deadline_s)


def _save_rule(cfg: TrainConfig, clock: Clock, ranks: Ranks) -> Callable[[StepMetrics], bool]:
    """When to save, in all processes alike."""
    rule = _own_save_rule(cfg, clock)
    return rule if ranks.size == 1 else decided_by_first(rule, ranks)


def _own_save_rule(cfg: TrainConfig, clock: Clock) -> Callable[[StepMetrics], bool]:
    """By the clock when the budget is time; by steps otherwise, so that a repeated run saves at the same steps."""
    if cfg.budget.time_s is not None and cfg.checkpoint.every_steps is None:
        every_s = cfg.checkpoint.every_s or max(10.0, cfg.budget.time_s / SAVES)
        saved_s = [clock.elapsed_s()]

        def is_due(metrics: StepMetrics) -> bool:
            if metrics.elapsed_s - saved_s[0] < every_s:
                return False
            saved_s[0] = metrics.elapsed_s
            return True

        return is_due
    if cfg.checkpoint.every_steps is not None or cfg.budget.steps is not None:
        every_steps = cfg.checkpoint.every_steps or max(1, (cfg.budget.steps or 0) // SAVES)
        return lambda metrics: metrics.step % every_steps == 0
    every_tokens = max(1, (cfg.budget.tokens or 0) // SAVES)
    return lambda metrics: metrics.tokens // every_tokens > (metrics.tokens - metrics.targets) // every_tokens


def _better_one(state: TrainState, checkpoints: Checkpoints, display: Display) -> LoadedCheckpoint | None:
    """An earlier checkpoint with a lower estimate than the last, where the text was repeated too often since."""
    best = checkpoints.best()
    if best is None or state.last_val is None or best.score is None or best.score >= state.last_val[1]:
        return None
    display.say(f"The weights of step {best.step:,} did better on held-out text than the last ones; they are kept.")
    return best
