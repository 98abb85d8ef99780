"""Start and end logits of the windows of a question → the words of its paragraph that answer it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from atinuke.tasks.task import Row

LONGEST_ANSWER = 30
"""Tokens of an answer at most, as in BERT's recipe."""
NEVER = -1e9
"""Logit of what cannot be: its probability is 0, and sums of a few stay finite in float32."""


class Span(NamedTuple):
    """Tokens from `first` to `last`, both included, and their start and end logits added."""

    score: float
    first: int
    last: int


class Found(NamedTuple):
    """What the windows of a question say together."""

    text: str
    """The best answer, cut from the context; empty where no token could be one."""
    score: float
    """Of that answer."""
    no_answer: float
    """Of there being none: start and end logit of the first token (Devlin et al. 2019, §4.3), of all windows the
    smallest, since most windows hold no answer even where the paragraph does."""


def best_span(starts: NDArray[np.float64], ends: NDArray[np.float64], longest: int = LONGEST_ANSWER) -> Span:
    """The best of all spans of up to `longest` tokens: starts (n,), ends (n,), n > 0. Of equal ones the shortest, then
    the first.

    Exact, where a search among the best 20 starts and ends is not, and cheap: one addition per length.
    """
    best = Span(-np.inf, 0, 0)
    for more in range(min(longest, len(starts))):
        sums = starts[: len(starts) - more] + ends[more:]
        first = int(sums.argmax())
        if sums[first] > best.score:
            best = Span(float(sums[first]), first, first + more)
    return best


def find_answer(context: str, rows: Sequence[Row], logits: Sequence[NDArray[Any]]) -> Found:
    """The best answer over all windows of a question. `logits`: for each row (T or more, 2), start and end; what is no
    token of the context does not count, masked or not."""
    best = Found("", NEVER, np.inf)
    for row, each in zip(rows, logits, strict=True):
        known = np.nan_to_num(each[: len(row)].astype(np.float64), nan=NEVER, posinf=-NEVER, neginf=NEVER)
        best = best._replace(no_answer=min(best.no_answer, float(known[0].sum())))
        begins, ends = row.marks
        inside = np.flatnonzero(begins[1:] >= 0) + 1
        if not len(inside):
            continue  # no token is left of such a context
        span = best_span(known[inside, 0], known[inside, 1])
        if span.score > best.score:
            text = context[begins[inside[span.first]] : ends[inside[span.last]]].strip()
            best = best._replace(text=text, score=span.score)
    return best
