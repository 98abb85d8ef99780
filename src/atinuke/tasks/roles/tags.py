"""Spans ↔ a tag for each word (B, I, O: Ramshaw & Marcus 1995, arXiv:cmp-lg/9505040), and the best tags that fit.

    0           outside            1 + 2k      label k begins here
    2L + 1      a predicate        2 + 2k      label k goes on

The last is said of words where no predicate is marked; so that both questions share one set of tags, and one loss.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atinuke.tasks.roles.brackets import Span
from atinuke.tasks.roles.sentence import PREDICATE

OUTSIDE = 0
IGNORE = -100
"""That of `data/batches/batch.py`, which cannot be read without torch."""

Numbers = NDArray[np.int64]


class Tags:
    """The tags of `labels`."""

    def __init__(self, labels: Sequence[str]) -> None:
        self.labels = tuple(labels)
        self._numbers = {label: number for number, label in enumerate(self.labels)}
        self.count = 2 * len(self.labels) + 2
        self.predicate = self.count - 1

    def __contains__(self, label: object) -> bool:
        return label in self._numbers

    def of_spans(self, length: int, spans: Iterable[Span]) -> Numbers:
        """(length,): the tag of each word; IGNORE inside a span whose label is none of these."""
        tags = np.full(length, OUTSIDE, dtype=np.int64)
        for start, end, label in spans:
            number = self._numbers.get(label)
            if number is None:
                tags[start:end] = IGNORE
                continue
            tags[start:end] = 2 + 2 * number
            tags[start] = 1 + 2 * number
        return tags

    def of_predicates(self, length: int, predicates: Iterable[int]) -> Numbers:
        """(length,): the tag of each word where its predicates are to be found."""
        tags = np.full(length, OUTSIDE, dtype=np.int64)
        tags[list(predicates)] = self.predicate
        return tags

    def to_spans(self, tags: Numbers) -> tuple[Span, ...]:
        """The spans of tags that `best_path` allows."""
        spans: list[Span] = []
        for word, tag in enumerate(tags.tolist()):
            if not OUTSIDE < tag < self.predicate:
                continue
            number, goes_on = divmod(tag - 1, 2)
            if goes_on:
                spans[-1] = spans[-1]._replace(end=word + 1)
            else:
                spans.append(Span(word, word + 1, self.labels[number]))
        return tuple(spans)

    def to_predicates(self, scores: NDArray[Any]) -> list[int]:
        """The words whose score (T, count) is higher as a predicate than as none."""
        found: list[int] = np.flatnonzero(scores[:, self.predicate] > scores[:, OUTSIDE]).tolist()
        return found

    def best_path(self, scores: NDArray[Any], predicate: int) -> Numbers:
        """(T,): the tags of the highest sum of `scores` (T, count), among those in which "goes on" follows a tag of its
        own label and the word `predicate` is V (Viterbi 1967). Scores need not be normalised: each word has one tag.
        """
        scores = np.nan_to_num(scores.astype(np.float64), nan=0.0)
        scores[:, self.predicate] = -np.inf
        own = self._numbers.get(PREDICATE)
        if own is not None:
            others = np.ones(self.count, dtype=bool)
            others[[1 + 2 * own, 2 + 2 * own]] = False
            scores[predicate, others] = -np.inf
        begin = np.arange(1, self.predicate, 2)
        inside = begin + 1
        total = scores[0].copy()
        total[inside] = -np.inf
        came_from = np.zeros(scores.shape, dtype=np.int64)
        for word in range(1, len(scores)):
            best = int(total.argmax())
            before = np.full(self.count, total[best])
            came_from[word] = best
            # only what has begun goes on
            is_first = total[begin] > total[inside]
            came_from[word, inside] = np.where(is_first, begin, inside)
            before[inside] = np.where(is_first, total[begin], total[inside])
            total = before + scores[word]
        path = np.empty(len(scores), dtype=np.int64)
        tag = int(total.argmax())
        for word in range(len(scores) - 1, -1, -1):
            path[word] = tag
            tag = int(came_from[word, tag])
        return path
