"""Each process takes its rows of the same batch, and all keep to the clock of the first and stop together."""

from collections.abc import Callable

import torch

from atinuke.data.batches.batch import Batch, BatchSource
from atinuke.train.loop import Progress, StepMetrics, StopRequest, TrainState
from atinuke.train.parallel.ranks import Ranks


class SharedBatches:
    """The rows of this process, of batches that are the same however many processes there are."""

    def __init__(self, batches: BatchSource, ranks: Ranks, device: torch.device) -> None:
        """`batches` are on the CPU, so that only the own rows go to `device`."""
        self._batches = batches
        self._ranks = ranks
        self._device = device

    def batch(self, position: int) -> Batch:
        """Tokens and places of the whole batch, rows of this process."""
        return self._batches.batch(position).parts(self._ranks.data_size)[self._ranks.data_rank].to(self._device)


class SharedPace:
    """The first process's clock, and a stop of any, agreed on before each step."""

    def __init__(self, pace: Progress, ranks: Ranks, stop: StopRequest) -> None:
        self._pace = pace
        self._ranks = ranks
        self._stop = stop
        self.must_stop = False
        """Whether one of the processes was asked to stop, when they last agreed."""

    def elapsed_s(self) -> float:
        """Seconds used, by the clock of this process."""
        return self._pace.elapsed_s()

    def progress(self, state: TrainState) -> float:
        """What the first process makes of it."""
        own = self._pace.progress(state) if self._ranks.is_first else 0.0
        progress, stops = self._ranks.sum(torch.tensor([own, float(bool(self._stop))], dtype=torch.float64)).tolist()
        self.must_stop = stops > 0
        return progress


def decided_by_first(is_due: Callable[[StepMetrics], bool], ranks: Ranks) -> Callable[[StepMetrics], bool]:
    """The rule, as the first process finds it: clocks differ, and all have to do the same."""

    def is_due_for_all(metrics: StepMetrics) -> bool:
        own = ranks.is_first and is_due(metrics)
        return bool(ranks.sum(torch.tensor(float(own))) > 0)

    return is_due_for_all
