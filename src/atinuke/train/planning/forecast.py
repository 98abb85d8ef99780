"""What a run will come to: by the law before it starts, and by its own first losses once it has begun."""

import math
from dataclasses import dataclass

from atinuke.train.planning.law import DEFAULT, Law
from atinuke.train.planning.text_facts import TextFacts

SPREAD = 0.10
"""Half the width of the interval before the first step, as a part of the forecast: texts differ."""

# Fitted on our own grid of novels by benchmarks/planner_grid.py; tests hold them to its results.
FIRST_LOSS = (0.98536, -0.00274, -0.08246, 0.00812, 0.00585)
"""ln(bits per byte of held-out text around 5 % of the run), as its training text has it, by `first_loss_terms`."""
FIRST_LOSS_SPREAD = 0.015
"""Half the width of the interval at 5 %, as a part of the forecast: thrice what is left of the grid's own runs."""
GRID_VOCABULARY, VOCABULARY_POWER = 2048, 0.032
"""With fewer ids than the grid's, first losses are lower beside what comes: six runs of one and two minutes."""
REPEATED_POWER = 0.05
"""Text that is passed over e times ends e^0.05 above the law: eleven runs on tinyshakespeare, 1 to 9.5 passes, less 7 %
for its held-out end, lie within 3 % of that. The first losses of a run show it by themselves."""


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


def foretell_from_losses(
    parameters: int, tokens: int, text: TextFacts, seen: float, *, vocab_size: int | None = None, law: Law = DEFAULT
) -> Forecast:
    """By the bits per byte that the run had `seen` on its training text around 5 % of its way; `tokens` in all.

    How much more that is than novels would have taken is how much harder the text is; zlib is not asked any more.
    """
    seen_bytes = tokens * text.bytes_per_token
    expected = math.exp(
        sum(c * term for c, term in zip(FIRST_LOSS, first_loss_terms(parameters, seen_bytes), strict=True))
    )
    harder = (
        seen * text.held_out_ratio / expected * (GRID_VOCABULARY / (vocab_size or GRID_VOCABULARY)) ** VOCABULARY_POWER
    )
    # of repetition, and of held-out text that is unlike the rest, less is known
    spread = FIRST_LOSS_SPREAD * (1 + math.log(_passes(tokens, text))) + abs(math.log(text.held_out_ratio)) / 2
    return Forecast.around(harder * law.loss(parameters, seen_bytes, text.train_bytes), spread)


def first_loss_terms(parameters: int, seen_bytes: float) -> tuple[float, ...]:
    """What FIRST_LOSS is linear in, around the middle of the grid; not far beyond it where a product would grow."""
    n, d = math.log(parameters / 1e6), math.log(seen_bytes / 2e6)
    near_n, near_d = min(max(n, -3.0), 2.5), min(max(d, -2.0), 3.5)
    return 1.0, n, d, near_n * near_d, near_n**2


def as_of_novels(parameters: int, tokens: int, text: TextFacts, law: Law = DEFAULT) -> float:
    """Bits per byte by the law, with what it costs to repeat the text; not yet for how hard this text is."""
    loss = law.loss(parameters, tokens * text.bytes_per_token, text.train_bytes)
    return loss * _passes(tokens, text) ** REPEATED_POWER


def _passes(tokens: int, text: TextFacts) -> float:
    """How often the text is passed over; 1 where it is not read to its end."""
    return max(1.0, tokens / text.train_tokens)
