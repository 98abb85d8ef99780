"""The scaling law L(N, D) = E + (A·N^-α + B·D'^-β)^γ: what a network of N parameters makes of D bytes.

Hoffmann et al. 2022, arXiv:2203.15556, eq. 2, where γ is 1; below 1 the two lacks are joined as in Kaplan et al. 2020,
arXiv:2001.08361, eq. 1.5, so that a small network gains less from more text. Repeated data as in Muennighoff et al.
2023, arXiv:2305.16264, eq. 5.
Where we differ: N counts the matrices inside the blocks alone, not embeddings and read-out, which at our sizes would
hide it; D is bytes of training text and L bits per byte, so that neither depends on the vocabulary. `fit.py` finds the
constants.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

LARGEST_PARAMETERS = 1e15
SEARCH_ROUNDS = 100
"""Each leaves two thirds of the range: together they reach the precision of a float."""


@dataclass(frozen=True)
class Point:
    """What one run came to."""

    parameters: float
    """Of the block matrices."""
    seen_bytes: float
    """Training text that it saw, repetitions counted."""
    bits_per_byte: float
    unique_bytes: float | None = None
    """Training text there is; None: nothing was repeated."""


@dataclass(frozen=True)
class Law:
    """The constants of the law, and how soon repeated text is worth nothing."""

    e: float
    """Bits per byte that no size and no text would take away."""
    a: float
    alpha: float
    b: float
    beta: float
    repeat_r: float = 15.4
    """R* of Muennighoff et al., appendix A: after so many repetitions, one more is worth 1/e of new text."""
    gamma: float = 1.0
    """How much the lack of size and that of text are felt together: 1, each by itself."""

    def loss(self, parameters: float, seen_bytes: float, unique_bytes: float | None = None) -> float:
        """Bits per byte to expect; with `unique_bytes`, what is seen beyond them is repetition and counts for less."""
        worth = self.effective_bytes(seen_bytes, unique_bytes)
        return float(self.e + (self.a * parameters**-self.alpha + self.b * worth**-self.beta) ** self.gamma)

    def effective_bytes(self, seen_bytes: float, unique_bytes: float | None = None) -> float:
        """D', new text that would be worth as much: U + U·R*·(1 − e^(−R/R*)), where R = D/U − 1 is the repetitions."""
        if unique_bytes is None or seen_bytes <= unique_bytes:
            return seen_bytes
        repetitions = seen_bytes / unique_bytes - 1
        return unique_bytes * (1 - self.repeat_r * math.expm1(-repetitions / self.repeat_r))

    def compute_optimal(self, flops: float, flops_per_param_byte: float) -> tuple[float, float]:
        """(parameters, bytes) of least loss where flops = flops_per_param_byte · N · D, every byte new.

        Hoffmann et al., eq. 4, whatever γ is. The 6 operations that a parameter costs per token are 6 / bytes_per_token
        here.
        """
        work = flops / flops_per_param_byte
        g = (self.alpha * self.a / (self.beta * self.b)) ** (1 / (self.alpha + self.beta))
        parameters = g * work ** (self.beta / (self.alpha + self.beta))
        return parameters, work / parameters

    def best_size(
        self,
        bytes_for: Callable[[float], float],
        *,
        unique_bytes: float | None = None,
        smallest: float = 1.0,
        largest: float = LARGEST_PARAMETERS,
    ) -> float:
        """The number of parameters of least loss, where a network of N gets to see `bytes_for(N)`.

        For whatever a machine does that no product N · D says: the fixed price of a step, repeated text. Finds the one
        minimum where log bytes_for falls ever faster over log N, as it does when a step takes c + k·N seconds: the
        logarithm of each term of the loss is then convex in log N.
        """
        low, high = math.log(smallest), math.log(largest)

        def loss(log_parameters: float) -> float:
            parameters = math.exp(log_parameters)
            return self.loss(parameters, bytes_for(parameters), unique_bytes)

        for _ in range(SEARCH_ROUNDS):
            third = (high - low) / 3
            if loss(low + third) <= loss(high - third):
                high -= third
            else:
                low += third
        return math.exp((low + high) / 2)


# Fitted by benchmarks/planner_grid.py to its own runs (benchmarks/results/2026-11-23-planner_grid): networks of 0.1 to
# 3.9 million parameters on 0.8 to 50 MB of novels; largest residual 0.7 %.
DEFAULT = Law(e=1.257979, a=7.298716, alpha=0.3221005, b=401.9727, beta=0.4719887, gamma=0.6195783)
