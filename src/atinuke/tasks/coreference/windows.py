"""A document → the rows of one batch: windows of whole sentences, which the network reads one by one.

Windows do not overlap ("independent" in Joshi et al. 2019, arXiv:1908.09091, who found overlap to bring nothing); what
is said across them is for the head to find, which has the vectors of all.
"""

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from atinuke.data.picking import hash64
from atinuke.tasks.coreference.documents import Document, Mention
from atinuke.tasks.task import Row
from atinuke.tokenizers.reading import Ids, Reader

MOST_TRAINED_TOKENS = 4096
"""A longer document is trained on in part: the head compares all spans with all others. Eight windows of 512."""

Window = tuple[int, int]
"""Number of the first word, and of the one after the last."""


def rows_of(number: int, document: Document, reader: Reader, max_tokens: int, *, with_targets: bool) -> list[Row]:
    """The windows of example `number`, in their order, one at least where the document has a word.

    Marks, for each word: places of its first and its last token in the row, and the number of its sentence. Targets,
    in the first row, for each mention: numbers of its first and last word, and of its cluster; in the others nothing.
    Words are counted from the beginning of the first row, which is word `place[0]` of the document.
    """
    if not document.word_count:
        return []
    ids, firsts = reader.words(document.words_as_read())
    edges = np.append(firsts, len(ids)).astype(np.int64)
    ends = document.sentence_ends
    room = max(1, max_tokens - reader.frame_cost(1))
    windows = cut(ends, edges, room)
    if with_targets:
        windows = _stretch(windows, max(1, MOST_TRAINED_TOKENS // max_tokens), number)
    begin, end = windows[0][0], windows[-1][1]
    sentences = np.searchsorted(np.array(ends), np.arange(document.word_count), side="right").astype(np.int64)
    rows: list[Row] = []
    for window in windows:
        part, first, last = _tokens(ids, edges, window, room)
        frame = reader.frame(part)
        marks = (first + frame.begins[0], last + frame.begins[0], sentences[window[0] : window[1]])
        targets: tuple[Ids, ...] = ()
        if with_targets:
            mentions = _mentions(document, begin, end) if not rows else _EMPTY
            targets = (mentions[:, 0], mentions[:, 1], mentions[:, 2])
        rows.append(Row(frame.ids, frame.segments, number, marks, targets, (begin,)))
    return rows


def cut(sentence_ends: Sequence[int], edges: Ids, room: int) -> list[Window]:
    """Windows of at most `room` tokens, each ending with a sentence; only a sentence that is longer is cut.

    `edges` (words + 1): number of the token with which each word begins, and of all tokens. A word of more tokens than
    there is room for has a window of its own, which is then too long.
    """
    word_count = len(edges) - 1
    windows: list[Window] = []
    begin = 0
    while begin < word_count:
        fits = int(np.searchsorted(edges, edges[begin] + room, side="right")) - 1
        end = min(max(fits, begin + 1), word_count)
        whole = bisect_right(sentence_ends, end)
        if whole and sentence_ends[whole - 1] > begin:
            end = sentence_ends[whole - 1]
        windows.append((begin, end))
        begin = end
    return windows


def _stretch(windows: list[Window], most: int, number: int) -> list[Window]:
    """At most so many windows in a row; which ones depends on the number of the example alone."""
    begin = hash64(str(number).encode()) % max(1, len(windows) - most + 1)
    return windows[begin : begin + most]


def _tokens(ids: Ids, edges: Ids, window: Window, room: int) -> tuple[Ids, Ids, Ids]:
    """The tokens of a window, and of each of its words the places of the first and the last one there.

    A word that has no token of its own stands where the next one does, or the last.
    """
    begin, end = window
    part = ids[edges[begin] : edges[end]][:room]
    highest = max(len(part) - 1, 0)
    first = np.clip(edges[begin:end] - edges[begin], 0, highest)
    last = np.clip(edges[begin + 1 : end + 1] - edges[begin] - 1, first, highest)
    return part, first, last


_EMPTY: NDArray[np.int64] = np.zeros((0, 3), dtype=np.int64)


def _mentions(document: Document, begin: int, end: int) -> Ids:
    """(mentions, 3): first word, last word and cluster of those that lie between two words, counted from the first.

    A mention that is annotated twice is of the cluster that has it first.
    """
    home: dict[Mention, int] = {}
    for number, cluster in enumerate(document.clusters):
        for first, last in cluster:
            if begin <= first and last < end:
                home.setdefault((first - begin, last - begin), number)
    found = [(first, last, number) for (first, last), number in home.items()]
    return np.array(found, dtype=np.int64).reshape(len(found), 3)
