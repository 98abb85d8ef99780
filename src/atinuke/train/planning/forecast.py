"""What a run will come to: by the law before it starts, and by its own first losses once it has begun."""

import math
from dataclasses import dataclass

from atinuke.train.planning.law import DEFAULT, Law
from atinuke.train.planning.text_facts import TextFacts

FORECAST_AT = 0.05
"""The part of a run after which its first losses say enough."""
SPREAD = 0.10
"""Half the width of the interval before the first step, as a part of the forecast: texts differ."""

# Fitted on our own grid of novels by benchmarks/planner_grid.py; tests hold them to its results.
FIRST_OVER_LAST = (0.32364, 0.00858, -0.00213, 0.0101, 0.00368, -0.0066, -0.11063, 0.01306, 0.00914)
"""ln of what the bits per byte early in a run are of those in the end, both of held-out text: `course_terms`."""
COURSE_SPREAD = 0.015
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
    parameters: int,
    tokens: int,
    text: TextFacts,
    seen: float,
    *,
    part: float = FORECAST_AT,
    vocab_size: int | None = None,
) -> Forecast:
    """By the bits per byte that the run had `seen` on its training text after this `part` of its `tokens`.

    What a byte of held-out text costs more is told by its tokens; where these are fewer it does not cost less (27 runs
    of a minute: docs/lab.md). How hard the text is shows in what was seen.
    """
    terms = course_terms(parameters, tokens * text.bytes_per_token, part)
    course = math.exp(sum(c * term for c, term in zip(FIRST_OVER_LAST, terms, strict=True)))
    fewer_ids = (GRID_VOCABULARY / (vocab_size or GRID_VOCABULARY)) ** VOCABULARY_POWER
    # of repetition, and of held-out text that is unlike the rest, less is known
    spread = COURSE_SPREAD * (1 + math.log(_passes(tokens, text))) + abs(math.log(text.held_out_ratio)) / 2
    return Forecast.around(seen * max(text.held_out_ratio, 1.0) * fewer_ids / course, spread)


def course_terms(parameters: int, seen_bytes: float, part: float = FORECAST_AT) -> tuple[float, ...]:
    """What FIRST_OVER_LAST is linear in, from the middle of the grid; not far beyond it, where products would grow.

    `seen_bytes`: in all. A run on the clock has had less than 5 % of them after 5 % of its time if it was compiled.
    """
    n = min(max(math.log(parameters / 1e6), -3.0), 3.0)
    d = min(max(math.log(seen_bytes / 2e6), -2.0), 4.0)
    s = min(max(math.log(part / FORECAST_AT), -1.0), 1.0)
    return 1.0, n, d, n * d, n**2, d**2, s, s * n, s * d


def as_of_novels(parameters: int, tokens: int, text: TextFacts, law: Law = DEFAULT) -> float:
    """Bits per byte by the law, with what it costs to repeat the text; not yet for how hard this text is."""
    loss = law.loss(parameters, tokens * text.bytes_per_token, text.train_bytes)
    return loss * _passes(tokens, text) ** REPEATED_POWER


def _passes(tokens: int, text: TextFacts) -> float:
    """How often the text is passed over; 1 where it is not read to its end."""
    return max(1.0, tokens / text.train_tokens)
