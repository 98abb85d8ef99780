"""What a run will come to: by the law before it starts, and by its own first losses once it has begun."""

import math
from dataclasses import dataclass

from atinuke.train.planning.law import DEFAULT, Law
from atinuke.train.planning.text_facts import TextFacts

SPREAD = 0.10
"""Half the width of the interval before the first step, as a part of the forecast: texts differ."""

# Fitted on our own grid of novels by benchmarks/planner_grid.py; tests hold them to its results.
FIRST_LOSS = (2.59463, -0.01579, -0.09701)
"""ln(bits per byte of training text around 5 % of the run) = c0 + c1·ln N + c2·ln D, D in bytes over the whole run."""
FIRST_LOSS_SPREAD = 0.015
"""Half the width of the interval at 5 %, as a part of the forecast: twice what is left of the grid's own runs."""
A_FEW, LOW_RATES_POWER = 3.0, 0.09
"""Beyond three passes rates become lower, and losses around 5 % higher: (e/3)^0.09, by two runs on tinyshakespeare."""
REPEATED_POWER = 0.055
"""Text that is passed over e times ends e^0.055 above the law: tinyshakespeare, 192 × 4 thrice, 128 × 4 five times."""


@dataclass(frozen=True)
class Forecast:
    """Bits per byte on held-out text, as they should come out."""

    middle: float
    low: float
    high: float

    @classmethod
    def around(cls, middle: float, spread: float) -> "Forecast":
        """An interval of this part of the middle to each side."""
        return cls(middle, middle * (1 - spread), middle * (1 + spread))


def foretell(parameters: int, tokens: int, text: TextFacts, law: Law = DEFAULT) -> Forecast:
    """By the law, for a text that is harder or easier than the novels of our grid by its `difficulty`."""
    return Forecast.around(text.difficulty * as_of_novels(parameters, tokens, text, law), SPREAD)


def foretell_from_losses(parameters: int, tokens: int, text: TextFacts, seen: float, law: Law = DEFAULT) -> Forecast:
    """By the bits per byte that the run had `seen` on its training text around 5 % of its way; `tokens` in all.

    How much more that is than novels would have taken is how much harder the text is; zlib is not asked any more.
    """
    c0, c1, c2 = FIRST_LOSS
    expected = math.exp(c0 + c1 * math.log(parameters) + c2 * math.log(tokens * text.bytes_per_token))
    expected *= max(1.0, _passes(tokens, text) / A_FEW) ** LOW_RATES_POWER
    spread = FIRST_LOSS_SPREAD * (1 + math.log(_passes(tokens, text)))  # of repetition less is known
    return Forecast.around(seen / expected * as_of_novels(parameters, tokens, text, law), spread)


def as_of_novels(parameters: int, tokens: int, text: TextFacts, law: Law = DEFAULT) -> float:
    """Bits per byte by the law, with what it costs to repeat the text; not yet for how hard this text is."""
    loss = law.loss(parameters, tokens * text.bytes_per_token, text.train_bytes)
    return loss * _passes(tokens, text) ** REPEATED_POWER


def _passes(tokens: int, text: TextFacts) -> float:
    """How often the text is passed over; 1 where it is not read to its end."""
    return max(1.0, tokens / text.train_tokens)
