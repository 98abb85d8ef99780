"""A passage → one row, with the places of its pronoun and of both names; a long text is cut around these."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from atinuke.tasks.coreference.gap import Passage, Stretch
from atinuke.tasks.task import Row
from atinuke.tokenizers.reading import Ids, Pieces, Reader

A, B, NEITHER = range(3)
"""Classes. No passage has both names meant; one that had would be learned as A."""

Place = tuple[int, int]
"""First and last token."""


def row_of(number: int, passage: Passage, reader: Reader, max_tokens: int, *, with_targets: bool) -> Row:
    """The row of example `number`. Its mark: first and last token of the pronoun, of A and of B, (6,)."""
    pieces = reader.pieces(passage.text)
    places = [place_of(pieces, stretch) for stretch in (passage.pronoun, *passage.names)]
    kept = nearest_tokens(len(pieces), places, max(1, max_tokens - reader.frame_cost(1)))
    frame = reader.frame(pieces.ids[kept])
    # where each token stands now; one that was cut away, where the next one that was kept does
    flat = np.array(places, dtype=np.int64).ravel()
    mark = np.minimum(np.searchsorted(kept, flat), max(len(kept) - 1, 0)).astype(np.int64) + frame.begins[0]
    targets: tuple[NDArray[np.int64], ...] = ()
    if with_targets:
        targets = (np.array(A if passage.is_meant[0] else B if passage.is_meant[1] else NEITHER, dtype=np.int64),)
    return Row(frame.ids, frame.segments, number, (mark,), targets)


def place_of(pieces: Pieces, stretch: Stretch) -> Place:
    """The tokens that a stretch of the text shares a character with; a neighbour where it shares none."""
    begin, end = stretch
    highest = max(len(pieces) - 1, 0)
    first = min(int(np.searchsorted(pieces.ends, begin, side="right")), highest)
    last = min(int(np.searchsorted(pieces.starts, end, side="left")) - 1, highest)
    return first, max(first, last)


def nearest_tokens(count: int, places: Sequence[Place], room: int) -> Ids:
    """Numbers of at most `room` of `count` tokens, in their order: those nearest to any of the places."""
    numbers = np.arange(count, dtype=np.int64)
    if count <= room:
        return numbers
    distances = np.min([np.maximum(np.maximum(first - numbers, numbers - last), 0) for first, last in places], axis=0)
    return np.sort(np.argsort(distances, kind="stable")[:room]).astype(np.int64)
