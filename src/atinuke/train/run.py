"""`atinuke train`: an assembly in the order of the data."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from atinuke.config import one_line
from atinuke.durable import to_json, write_atomic
from atinuke.errors import ConfigError, DamagedFileError, Interrupted, RunFolderError
from atinuke.machine import environment, keep_freed_memory, probe_machine, process_started_s, resolve_device
from atinuke.models import build_model
from atinuke.run_folder import MetricsWriter, RunFolder
from atinuke.train.checkpoint import Checkpoints
from atinuke.train.config import TrainConfig
from atinuke.train.engine import Engine
from atinuke.train.lessons import lesson_for
from atinuke.train.lessons.lesson import Lesson, Workbench, used_up
from atinuke.train.loop import Observer, StepMetrics, StopRequest, TrainState, fit
from atinuke.train.observers import CheckpointObserver, DisplayObserver, MetricsObserver
from atinuke.train.progress import Display
from atinuke.train.results import first_summary, say_results, score_and_report
from atinuke.train.resuming import (
    Beginning,
    capture,
    clear,
    find_beginning,
    restore,
    save_request,
    settings_fingerprint,
)
from atinuke.train.schedule import Clock, Pace, StepPace, TimePace, TokenPace
from atinuke.weights import load_model, load_weights, save_weights

SAVES = 10
"""Checkpoints over a budget, unless the settings say otherwise."""


def describe(cfg: TrainConfig) -> str:
    """What --dry-run prints: the settings as they would be taken; null is what the planner chooses at the start."""
    return cfg.to_json()


def run(cfg: TrainConfig, display: Display, *, already_s: float | None = None) -> Path:
    """Train a model from nothing, or from where its folder stopped, score it, and return the run folder.

    `already_s`: seconds of the time budget that are used; none: since this process began.
    Raises Interrupted, with what was saved, after Ctrl-C or SIGTERM.
    """
    clock = Clock(process_started_s() if already_s is None else already_s)
    stop = StopRequest()
    with display, stop.listening():
        beginning = find_beginning(cfg, display)
        folder = beginning.folder
        if cfg.init_embeddings is not None and cfg.init_embeddings.resolve() == folder.path.resolve():
            raise ConfigError(
                f"init_embeddings and --out are both {folder.path}; a run cannot begin with its own embeddings. "
                "Give another --out."
            )
        folder.create()
        try:
            with folder.claim(), _processor_settings(), _memory_named():
                return _run(cfg, beginning, clock, stop, display)
        except KeyboardInterrupt:
            raise Interrupted(
                f"Stopped by {stop.signal_name or 'Ctrl-C'}. {folder.path} keeps what was saved before; "
                "the same command goes on from there."
            ) from None


@contextmanager
def _memory_named() -> Iterator[None]:
    """Running out of memory becomes one line that says what to lower."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        is_memory = not isinstance(error, RuntimeError) or isinstance(error, torch.OutOfMemoryError)
        if not is_memory and "not enough memory" not in str(error) and "alloc" not in str(error):
            raise
        raise ConfigError(
            f"The machine's memory is not enough ({one_line(error)[:120]}). "
            "Lower batch_seqs, model.context, model.model_dim or tokenizer.vocab_size with --set."
        ) from error


@contextmanager
def _processor_settings() -> Iterator[None]:
    """Numbers near 0 cost a CPU a hundred times as much as others: they become 0. Afterwards that is as it was."""
    keep_freed_memory()
    threads = torch.get_num_threads()
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_flush_denormal(False)
        torch.set_num_threads(threads)


def _run(cfg: TrainConfig, beginning: Beginning, clock: Clock, stop: StopRequest, display: Display) -> Path:
    folder = beginning.folder
    device = resolve_device(cfg.device)
    machine = probe_machine(device)
    if "OMP_NUM_THREADS" not in os.environ:  # who sets it knows better
        torch.set_num_threads(machine.cores)
    bench = Workbench(device, machine, clock, display)
    kind = lesson_for(cfg)
    if beginning.saved is None:
        material = kind.read(cfg, display)
        if beginning.must_clear:
            clear(folder)
        save_request(folder, cfg)
        lesson = kind.prepare(cfg, material, folder, bench)
        if lesson.tokenizer is not None:
            lesson.tokenizer.save(folder.tokenizer)
        write_atomic(folder.environment, to_json(environment()))
    else:
        lesson = kind.take_up(beginning.saved, folder, display)
    summary = _summary_of(folder, lesson.config)
    if summary is None:
        summary = train(lesson, folder, bench, stop)
    if summary["finished_at"] is None or not folder.checksums.exists():  # the seal comes last: without it, work is left
        model = build_model(lesson.network)
        load_weights(folder.model, model)
        score_and_report(folder, lesson, model.to(device), display)
        folder.seal()
    else:
        display.say(f"{folder.path} is finished. Train on with a larger budget, or start over with --fresh.")
    say_results(lesson, folder.read_summary(), display)
    return folder.path


def train(lesson: Lesson, folder: RunFolder, bench: Workbench, stop: StopRequest) -> dict[str, Any]:
    """From prepared data to the saved model, and a summary without scores. Raises Interrupted when stopped early."""
    cfg, clock, display = lesson.config, bench.clock, bench.display
    display.phase("training")
    torch.manual_seed(cfg.seed)
    engine = Engine.build(build_model(lesson.network), cfg, lesson.objective, bench.device, bench.machine)
    state = engine.state
    batches = lesson.batches(bench.device)
    checkpoints = Checkpoints(folder.state, keep=cfg.checkpoint.keep)
    loaded = restore(state, checkpoints, display)
    if loaded is not None:
        clock.add_earlier(loaded.state["elapsed_s"])
        display.say(f"Going on from step {state.step:,} ({loaded.state['elapsed_s']:.1f} s used).")
    began_s = loaded.state["began_s"] if loaded is not None else clock.elapsed_s()
    identity = {"corpus": lesson.fingerprint, "settings": settings_fingerprint(cfg)}
    if loaded is not None:
        _refuse_another_run(loaded.state, identity, folder)
    _keep_settings(folder, cfg)
    estimate = lesson.estimator(bench.device, engine.autocast)
    saver = CheckpointObserver(
        checkpoints,
        capture=lambda state: capture(
            state, {**identity, "began_s": began_s, "elapsed_s": clock.elapsed_s(), "saving_s": saver.slowest_save_s}
        ),
        is_due=_save_rule(cfg, clock),
        estimate_val_loss=lambda: estimate(state.model),
        is_finished=lambda state: not stop,
    )
    if loaded is None:
        lesson.begin(state.model, display)
        saver.save(state, with_score=False)  # there is always a good checkpoint, and we know how long one takes
    elif cfg.budget.time_s is not None:
        saver.slowest_save_s = float(loaded.state["saving_s"])
    if state.step == 0 and _pace(cfg, clock, began_s, saver).progress(state) >= 1.0:
        raise used_up(cfg, clock)
    pace = _pace(cfg, clock, began_s, saver)
    with MetricsWriter(folder.metrics) as writer:
        writer.truncate_after(state.step)
        observers: list[Observer] = [saver, MetricsObserver(writer), DisplayObserver(display, lesson.bytes_per_token)]
        stop.is_patient = True
        fit(state, batches, engine.rules, pace, observers, lambda: bool(stop))
        writer.sync()
    if stop:
        raise Interrupted(
            f"Stopped by {stop.signal_name} at step {state.step:,}; the state is saved in {folder.path}. "
            "The same command goes on from there."
        )
    _save_trained(lesson, state, checkpoints, folder, bench)
    stop.is_patient = False
    if stop:
        raise Interrupted(
            f"Stopped by {stop.signal_name}; the trained model is saved in {folder.path}. "
            "The same command scores it and writes the report."
        )
    return folder.read_summary()


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
    lesson: Lesson, state: TrainState, checkpoints: Checkpoints, folder: RunFolder, bench: Workbench
) -> None:
    """model.safetensors, and what is known before scoring; the time budget ends here."""
    bench.display.phase("saving")
    folder.unseal()
    if lesson.keeps_best:
        _keep_the_best(state, checkpoints, bench.display)
    save_weights(folder.model, state.model)
    summary = first_summary(lesson, state, folder, bench.device, bench.display.timeline)
    write_atomic(folder.summary, to_json(summary | {"elapsed_s": round(bench.clock.elapsed_s(), 3)}))


def _keep_settings(folder: RunFolder, cfg: TrainConfig) -> None:
    """Writes config.json for a new run, or one with a larger budget, once it is certain that it can go on."""
    if not folder.config.exists() or folder.config.read_text(encoding="utf-8") != cfg.to_json():
        folder.unseal()
        write_atomic(folder.config, cfg.to_json())


def _summary_of(folder: RunFolder, cfg: TrainConfig) -> dict[str, Any] | None:
    """The summary of a run that has trained for all of its budget; None when there is still something to train."""
    if not folder.summary.exists():
        return None
    summary = folder.read_summary()
    return summary if summary["budget"] == cfg.budget.model_dump(mode="json") else None


def _pace(cfg: TrainConfig, clock: Clock, began_s: float, saver: CheckpointObserver) -> Pace:
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


def _save_rule(cfg: TrainConfig, clock: Clock) -> Callable[[StepMetrics], bool]:
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


def _keep_the_best(state: TrainState, checkpoints: Checkpoints, display: Display) -> None:
    """Goes back to the checkpoint with the lowest estimate, where the text was repeated too often since."""
    best = checkpoints.best()
    if best is None or state.last_val is None or best.score is None or best.score >= state.last_val[1]:
        return
    load_model(state.model, best.tensors["model"])
    display.say(f"The weights of step {best.step:,} did better on held-out text than the last ones; they are kept.")
