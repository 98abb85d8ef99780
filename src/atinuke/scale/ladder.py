"""The ladder: which sizes are trained on how many tokens, so that all of it fits the time. Numbers in, numbers out.

Sizes double from rung to rung, and each is trained on two to four lengths, which double as well. A larger network gets
longer ones, by the root of its size: were all lengths alike, then two of them could not tell B from β; were they
in proportion, the largest network would take all the time. One run more, of the next size on a longer text than any
other, is trained last and kept out of the fit: the forecast is checked on it.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from atinuke.errors import ConfigError
from atinuke.train.planning.law import DEFAULT

SHAPES = ((5, 4), (5, 3), (4, 3), (3, 3), (3, 2))
"""(sizes, lengths), richest first; the last one is the least that a law can be fitted on."""
FEWEST_STEPS = 100
"""Of the shortest run: with fewer, the loss says how a network warms up."""
MOST_OVERHEAD = 0.25
"""Part of the time that may go into beginning and scoring runs; a ladder of fewer runs has less of it."""
SPENT_PART = 0.95
"""Of the time that is left; the rest is for a machine that slows down a little."""
LEAST_LAST_PART = 0.5
"""The last run takes what time is left, but at least this part of what was planned, and at most twice that."""
BISECTIONS = 60


@dataclass(frozen=True)
class Size:
    """A network of the ladder, and how fast this machine trains it."""

    rung: int
    """Of the planner's own ladder of shapes."""
    model_dim: int
    layer_count: int
    parameters: int
    """Of the block matrices."""
    tokens_per_s: float
    overhead_s: float
    """What a run takes beside its steps: beginning, saving, scoring."""


@dataclass(frozen=True)
class Step:
    """One run of the ladder, for each seed."""

    size: Size
    tokens: int
    is_held_out: bool = False

    @property
    def seconds(self) -> float:
        """What it will take."""
        return self.size.overhead_s + self.tokens / self.size.tokens_per_s


@dataclass(frozen=True)
class Ladder:
    """All runs, in the order in which they are trained: smallest work first, the one held out last."""

    steps: tuple[Step, ...]

    def seconds(self, seeds: int) -> float:
        """What all will take; the held-out run is trained with one seed."""
        return sum(step.seconds * (1 if step.is_held_out else seeds) for step in self.steps)


@dataclass(frozen=True)
class Terms:
    """What a ladder has to keep to."""

    seeds: int
    bytes_per_token: float
    batch_tokens: Callable[[float], int]
    """Tokens of one step, in a run of so many."""

    def fewest_tokens(self) -> int:
        """Of the shortest run."""
        tokens = FEWEST_STEPS * self.batch_tokens(0)
        return FEWEST_STEPS * self.batch_tokens(tokens)

    def whole_steps(self, tokens: float) -> int:
        """The next number of tokens that is full batches, so that what is asked is what is seen."""
        batch = self.batch_tokens(tokens)
        whole = max(1, math.ceil(tokens / batch)) * batch
        # so many may ask for a larger batch
        return whole if self.batch_tokens(whole) == batch else self.whole_steps(whole)


def plan_ladder(sizes: Sequence[Size], terms: Terms, *, time_s: float, spent_s: float) -> Ladder:
    """The richest ladder that fits into what is left of `time_s`, of the sizes that are best in such a time.

    ConfigError, with the smallest time that would do, where not even three sizes on two lengths fit.
    """
    left_s = SPENT_PART * (time_s - spent_s)
    for shape in SHAPES:
        found = [
            ladder for ladder in _ladders(sizes, terms, shape, left_s) if _is_thrifty(ladder, shape, left_s, terms)
        ]
        if found:
            return min(found, key=lambda ladder: _distance(ladder, terms))
    least = _ladder(sizes[: SHAPES[-1][0] + 1], terms, SHAPES[-1], terms.fewest_tokens())
    needed_s = math.ceil(spent_s + least.seconds(terms.seeds) / SPENT_PART) + 1
    raise ConfigError(
        f"--time {time_s:g}s is too short: {spent_s:.0f} s go into reading, the tokenizer and measuring, and the "
        f"smallest ladder ({SHAPES[-1][0]} sizes on {SHAPES[-1][1]} lengths, and a larger run to check the forecast "
        f"on) takes {least.seconds(terms.seeds):.0f} s on this machine. Give --time {needed_s}s or more"
        f"{', or fewer seeds' if terms.seeds > 1 else ''}."
    )


def fit_last(ladder: Ladder, terms: Terms, left_s: float) -> Ladder:
    """`ladder` with a held-out run that takes what time is left, within `LEAST_LAST_PART`."""
    last = ladder.steps[-1]
    tokens = (left_s - last.size.overhead_s) * last.size.tokens_per_s
    tokens = min(max(tokens, LEAST_LAST_PART * last.tokens), last.tokens / LEAST_LAST_PART)
    return Ladder((*ladder.steps[:-1], replace(last, tokens=terms.whole_steps(tokens))))


def _ladders(sizes: Sequence[Size], terms: Terms, shape: tuple[int, int], left_s: float) -> Iterator[Ladder]:
    """One for each size to begin with, as long as the time allows."""
    count = shape[0] + 1
    for first in range(len(sizes) - count + 1):
        chosen = sizes[first : first + count]
        low, high = float(terms.fewest_tokens()), left_s * chosen[0].tokens_per_s
        if low > high or _ladder(chosen, terms, shape, low).seconds(terms.seeds) > left_s:
            return
        for _ in range(BISECTIONS):
            middle = math.sqrt(low * high)
            if _ladder(chosen, terms, shape, middle).seconds(terms.seeds) <= left_s:
                low = middle
            else:
                high = middle
        yield _ladder(chosen, terms, shape, low)


def _ladder(sizes: Sequence[Size], terms: Terms, shape: tuple[int, int], shortest: float) -> Ladder:
    """Of these sizes, the last of which is held out; `shortest` is what the smallest sees at least."""
    steps = []
    for number, size in enumerate(sizes):
        is_last = number == len(sizes) - 1
        grown = shortest * math.sqrt(size.parameters / sizes[0].parameters)
        for doubling in range(shape[1]):
            if not is_last or doubling == shape[1] - 1:
                steps.append(Step(size, terms.whole_steps(grown * 2**doubling), is_last))
    return Ladder(tuple(sorted(steps, key=lambda step: (step.is_held_out, step.size.parameters * step.tokens))))


def _is_thrifty(ladder: Ladder, shape: tuple[int, int], left_s: float, terms: Terms) -> bool:
    overhead_s = sum(step.size.overhead_s for step in ladder.steps) * terms.seeds
    return shape == SHAPES[-1] or overhead_s <= MOST_OVERHEAD * left_s


def _distance(ladder: Ladder, terms: Terms) -> float:
    """How far the longest run of the middle size is from the size that is best for its work, by our own law."""
    fitted = [step for step in ladder.steps if not step.is_held_out]
    sizes = sorted({step.size.parameters for step in fitted})
    middle = max(
        (step for step in fitted if step.size.parameters == sizes[len(sizes) // 2]), key=lambda step: step.tokens
    )
    parameters, seen_bytes = middle.size.parameters, middle.tokens * terms.bytes_per_token
    best, _ = DEFAULT.compute_optimal(float(parameters) * seen_bytes, 1.0)
    return abs(math.log(best / parameters))
