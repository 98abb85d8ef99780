"""How long this machine takes for a training step, measured on random tokens."""

import statistics
import time
from collections.abc import Callable

import torch

from atinuke.data.batches.batch import Batch
from atinuke.machine import Machine, available_memory_bytes
from atinuke.models import ModelConfig, build_model
from atinuke.train.config import TrainConfig
from atinuke.train.engine import Engine
from atinuke.train.micro_batches import MicroBatches
from atinuke.train.objectives import Objective
from atinuke.train.planning.memory import count_parameters, rows_with_room

StepTimer = Callable[[ModelConfig, int], float]
"""(network, batch_seqs) → seconds of one training step on this machine."""
LONGEST_TIMED_S = 2.0
"""A step that is foretold to take longer is not timed whole."""
FORETOLD_PART = 0.3
"""Of the machine's fastest matrix products, for that foretelling."""
WARM_UP_STEPS = 2


def step_timer(
    cfg: TrainConfig,
    objective: Objective,
    random_batch: Callable[[ModelConfig, int], Batch],
    device: torch.device,
    machine: Machine,
) -> StepTimer:
    """Times steps of `cfg`, not compiled; the random state of the process is left as it was.

    Of a step that would take long, a part is timed, and twice that part: the rest follows.
    """
    flops_per_s = FORETOLD_PART * 1e9 * max(machine.fp32_gflops, machine.bf16_gflops, 1.0)
    plain = cfg.model_copy(update={"compile": False})

    def seconds(network: ModelConfig, batch_seqs: int) -> float:
        row_s = 6 * count_parameters(network).multiplied * network.context / flops_per_s
        rows = min(batch_seqs, max(1, int(LONGEST_TIMED_S / row_s)))
        if device.type == "cpu":
            rows = rows_with_room(network, plain, rows, available_memory_bytes(device))
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            engine = Engine.build(build_model(network), plain, objective, device, machine)
            engine.rules.micro_batches = MicroBatches(rows)

            def timed_s(count: int) -> float:
                batch = random_batch(network, count).to(device)
                return measure_step_s(lambda: engine.step_on(batch), at_most_s=0.6)

            part_s = timed_s(rows)
            if rows == batch_seqs:
                return part_s
            further_s = max(timed_s(2 * rows) - part_s, 0.1 * part_s)
        return part_s + (batch_seqs / rows - 1) * further_s

    return seconds


def measure_step_s(step: Callable[[], object], *, at_most_s: float) -> float:
    """Seconds of one training step: the middle one of a few after two to warm up, for about `at_most_s` in all.

    Of slow steps there is one after the two, however long they took: the first ones of a large batch take memory that
    the process never had, page by page, and were measured at a third of the speed of those that follow.
    """
    started_s = time.perf_counter()
    times: list[float] = []
    while len(times) < 4 or (time.perf_counter() - started_s < at_most_s and len(times) < 12):
        before_s = time.perf_counter()
        step()
        times.append(time.perf_counter() - before_s)
        if len(times) > WARM_UP_STEPS and time.perf_counter() - started_s > 3 * at_most_s:
            break
    return statistics.median(times[WARM_UP_STEPS:])
