"""`atinuke train`: an assembly in the order of the data."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from atinuke.config import one_line
from atinuke.durable import to_json, write_atomic
from atinuke.errors import ConfigError, Interrupted
from atinuke.machine import environment, keep_freed_memory, probe_machine, process_started_s, resolve_device
from atinuke.run_folder import RunFolder
from atinuke.train.config import TrainConfig
from atinuke.train.lessons import lesson_for
from atinuke.train.lessons.lesson import Lesson, Workbench
from atinuke.train.loop import StopRequest
from atinuke.train.micro_batches import is_out_of_memory
from atinuke.train.parallel.handover import Handover
from atinuke.train.parallel.ranks import Ranks, launch
from atinuke.train.progress import Display, Quiet
from atinuke.train.results import say_results, score_and_report
from atinuke.train.resuming import Beginning, clear, find_beginning, save_request
from atinuke.train.schedule import Clock
from atinuke.train.training import train
from atinuke.weights import load_weights


def describe(cfg: TrainConfig) -> str:
    """What --dry-run prints: the settings as they would be taken; null is what the planner chooses at the start."""
    return cfg.to_json()


def run(
    cfg: TrainConfig, display: Display, *, already_s: float | None = None, kind: type[Lesson] | None = None
) -> Path:
    """Train a model from nothing, or from where its folder stopped, score it, and return the run folder.

    `already_s`: seconds of the time budget that are used; none: since this process began. `kind`: what is learned;
    none: what fits the data and the network. Of several processes, which torchrun starts, the first prepares, speaks,
    writes and scores; the others train with it. Raises Interrupted, with what was saved, after Ctrl-C or SIGTERM.
    """
    clock = Clock(process_started_s() if already_s is None else already_s)
    stop = StopRequest()
    device = resolve_device(cfg.device)
    with (
        stop.listening(),
        launch(cfg.parallel, device) as ranks,
        display if ranks.is_first else Quiet() as shown,
        _processor_settings(),
        _memory_named(),
    ):
        handover = Handover(ranks)
        if not ranks.is_first:
            lesson, folder = handover.take()
            _train_what_is_left(lesson, folder, Workbench(device, probe_machine(device), clock, shown, ranks), stop)
            ranks.wait()
            return folder.path
        with handover.or_refusal():
            return _lead(cfg, kind or lesson_for(cfg), handover, device, ranks, clock, stop, shown)


def _lead(
    cfg: TrainConfig,
    kind: type[Lesson],
    handover: Handover,
    device: torch.device,
    ranks: Ranks,
    clock: Clock,
    stop: StopRequest,
    display: Display,
) -> Path:
    """The work of a process that is alone, or the first of several."""
    beginning = find_beginning(cfg, display)
    folder = beginning.folder
    for name, begun in (("init", cfg.init), ("init_embeddings", cfg.init_embeddings)):
        if begun is not None and begun.resolve() == folder.path.resolve():
            raise ConfigError(
                f"{name} and --out are both {folder.path}; a run cannot begin with itself. Give another --out."
            )
    folder.create()
    try:
        with folder.claim():
            bench = _bench(device, clock, display, ranks)
            lesson = _lesson(cfg, kind, beginning, bench)
            handover.give(lesson, folder)
            _train_what_is_left(lesson, folder, bench, stop)
            _score_what_is_left(lesson, folder, bench)
            ranks.wait()
    except KeyboardInterrupt:
        raise Interrupted(
            f"Stopped by {stop.signal_name or 'Ctrl-C'}. {folder.path} keeps what was saved before; "
            "the same command goes on from there."
        ) from None
    say_results(lesson, folder.read_summary(), display)
    return folder.path


@contextmanager
def _memory_named() -> Iterator[None]:
    """Running out of memory becomes one line that says what to lower."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
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


def _bench(device: torch.device, clock: Clock, display: Display, ranks: Ranks) -> Workbench:
    machine = probe_machine(device)
    if "OMP_NUM_THREADS" not in os.environ:  # who sets it knows better
        torch.set_num_threads(machine.cores)
    return Workbench(device, machine, clock, display, ranks)


def _lesson(cfg: TrainConfig, kind: type[Lesson], beginning: Beginning, bench: Workbench) -> Lesson:
    """What the run learns: prepared, or taken up from where it was left."""
    folder = beginning.folder
    if beginning.saved is not None:
        return kind.take_up(beginning.saved, folder, bench.display)
    material = kind.read(cfg, bench.display)
    if beginning.must_clear:
        clear(folder)
    save_request(folder, cfg)
    lesson = kind.prepare(cfg, material, folder, bench)
    if lesson.tokenizer is not None:
        lesson.tokenizer.save(folder.tokenizer)
    write_atomic(folder.environment, to_json(environment()))
    return lesson


def _train_what_is_left(lesson: Lesson, folder: RunFolder, bench: Workbench, stop: StopRequest) -> None:
    """Trains, unless the run has used all of its budget."""
    if bench.ranks.share(_summary_of(folder, lesson.config) is None):
        train(lesson, folder, bench, stop)


def _score_what_is_left(lesson: Lesson, folder: RunFolder, bench: Workbench) -> None:
    """Scores and reports, unless that is done. The seal comes last: without it, work is left."""
    if folder.read_summary()["finished_at"] is not None and folder.checksums.exists():
        bench.display.say(f"{folder.path} is finished. Train on with a larger budget, or start over with --fresh.")
        return
    model = lesson.build()
    load_weights(folder.model, model)
    score_and_report(folder, lesson, model.to(bench.device), bench.display)
    folder.seal()


def _summary_of(folder: RunFolder, cfg: TrainConfig) -> dict[str, Any] | None:
    """The summary of a run that has trained for all of its budget; None when there is still something to train."""
    if not folder.summary.exists():
        return None
    summary = folder.read_summary()
    return summary if summary["budget"] == cfg.budget.model_dump(mode="json") else None
