"""The learning rate over the progress of the budget, and the clock that a time budget runs on."""

import time
from collections.abc import Callable


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


class TimePace:
    """Progress by the clock: from `began_s` to `deadline_s`, both in seconds of the clock.

    The last step ends before the deadline: a step is taken to last as long as the latest ones did on average.
    """

    def __init__(self, clock: Clock, began_s: float, deadline_s: float) -> None:
        self.elapsed_s = clock.elapsed_s
        self._began_s = began_s
        self._deadline_s = deadline_s
        self._asked_s: float | None = None
        self._step_s = 0.0

    def progress(self, tokens: int) -> float:
        """The part of the training time that is used; 1 when no further step fits."""
        now_s = self.elapsed_s()
        if self._asked_s is not None:
            latest_s = now_s - self._asked_s
            # one slow step (a save, another program) must not end the run early
            self._step_s = latest_s if self._step_s == 0.0 else 0.8 * self._step_s + 0.2 * latest_s
        self._asked_s = now_s
        if now_s + self._step_s >= self._deadline_s:
            return 1.0
        return max(0.0, (now_s - self._began_s) / (self._deadline_s - self._began_s))


class TokenPace:
    """Progress by tokens seen: the same on every machine."""

    def __init__(self, clock: Clock, total_tokens: int) -> None:
        self.elapsed_s = clock.elapsed_s
        self._total_tokens = total_tokens

    def progress(self, tokens: int) -> float:
        """The part of the tokens that is seen."""
        return tokens / self._total_tokens


Pace = TimePace | TokenPace
