"""The learning rate over the progress of the budget, and the clock that a time budget runs on."""

import statistics
import time
from collections.abc import Callable
from itertools import pairwise
from typing import Protocol

KEPT_STEPS = 5


def rate_factor(progress: float, warmup_fraction: float, decay_fraction: float) -> float:
    """The part of the peak rate at `progress` ∈ [0, 1]: up, flat, linearly to zero.

    Linear to zero beats a cosine that stops at a tenth (Bergsma et al. 2025, arXiv:2502.15938).
    """
    if warmup_fraction and progress < warmup_fraction:
        # never exactly 0: the first step should count
        return max(progress / warmup_fraction, 0.01)
    return min(1.0, max(0.0, (1.0 - progress) / decay_fraction))


class Clock:
    """Seconds that a run has used: of this process, and of earlier ones that it resumes."""

    def __init__(self, already_s: float = 0.0, now: Callable[[], float] = time.perf_counter) -> None:
        """`already_s`: what was used before this moment."""
        self._now = now
        self._zero_s = now() - already_s

    def elapsed_s(self) -> float:
        """Seconds used so far."""
        return self._now() - self._zero_s

    def add_earlier(self, seconds: float) -> None:
        """Counts what an earlier process used of the same budget."""
        self._zero_s -= seconds


class Progressed(Protocol):
    """What is needed of a `TrainState`."""

    @property
    def step(self) -> int: ...
    @property
    def tokens(self) -> int: ...


class TimePace:
    """Progress by the clock: from `began_s` to what `deadline_s` says, both in seconds of the clock.

    The last step ends before the deadline: a step is taken to last as long as the middle one of the latest five.
    The first does not count, which may be a hundred times as long as the others where it compiles.
    """

    def __init__(self, clock: Clock, began_s: float, deadline_s: Callable[[], float]) -> None:
        self.elapsed_s = clock.elapsed_s
        self._began_s = began_s
        self._deadline_s = deadline_s
        self._is_begun = False
        self._asked_s: list[float] = []

    def progress(self, state: Progressed) -> float:
        """The part of the training time that is used; 1 when no further step fits."""
        now_s, deadline_s = self.elapsed_s(), self._deadline_s()
        if self._is_begun:
            self._asked_s = [*self._asked_s[-KEPT_STEPS:], now_s]
        self._is_begun = True
        steps_s = [later - earlier for earlier, later in pairwise(self._asked_s)]
        if now_s + (statistics.median(steps_s) if steps_s else 0.0) >= deadline_s:
            return 1.0
        return max(0.0, (now_s - self._began_s) / (deadline_s - self._began_s))


class TokenPace:
    """Progress by tokens seen: the same on every machine."""

    def __init__(self, clock: Clock, total_tokens: int) -> None:
        self.elapsed_s = clock.elapsed_s
        self._total_tokens = total_tokens

    def progress(self, state: Progressed) -> float:
        """The part of the tokens that is seen."""
        return state.tokens / self._total_tokens


class StepPace:
    """Progress by steps: the same on every machine."""

    def __init__(self, clock: Clock, total_steps: int) -> None:
        self.elapsed_s = clock.elapsed_s
        self._total_steps = total_steps

    def progress(self, state: Progressed) -> float:
        """The part of the steps that is taken."""
        return state.step / self._total_steps


Pace = TimePace | TokenPace | StepPace
