"""Choosing spans that may be mentions, and gathering linked ones in clusters: what needs no network."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from atinuke.tasks.coreference.documents import Mention

MAX_WIDTH = 30
"""Longest span in words, as in Lee et al. 2018. Of LitBank's 29,103 mentions 61 are longer, and each further word costs
as much as these thirty do each."""
SPANS_PER_WORD = 0.4
"""So many spans are kept for each word of a document (Lee et al. 2017, §4)."""

Places = NDArray[np.int64]


def choose_spans(scores: NDArray[np.float32], most: int) -> tuple[Places, Places]:
    """First and last words of the best spans, sorted by both; no two of them cross (Lee et al. 2017, §3.2).

    `scores` (words, MAX_WIDTH): of the span that begins with a word and has so many words more; −∞ where there is
    none. At most `most` are chosen.
    """
    word_count, widths = scores.shape
    flat = scores.ravel()
    order = np.argsort(-flat, kind="stable")
    # of the spans chosen so far: the last word of the longest that begins here, the first of the longest that ends here
    reaches_to = [-1] * word_count
    reaches_from = [word_count] * word_count
    chosen: list[Mention] = []
    for place in order.tolist():
        if len(chosen) == most or flat[place] == -np.inf:
            break
        first, width = divmod(place, widths)
        last = first + width
        if any(reaches_to[word] > last for word in range(first + 1, last + 1)):
            continue
        if any(reaches_from[word] < first for word in range(first, last)):
            continue
        reaches_to[first] = max(reaches_to[first], last)
        reaches_from[last] = min(reaches_from[last], first)
        chosen.append((first, last))
    chosen.sort()
    return (
        np.array([first for first, _ in chosen], dtype=np.int64),
        np.array([last for _, last in chosen], dtype=np.int64),
    )


def clusters_of(
    spans: Sequence[Mention],
    mention_scores: NDArray[np.float32],
    antecedents: Places,
    scores: NDArray[np.float32],
    *,
    keeps_singletons: bool,
) -> list[list[Mention]]:
    """Each span follows its best antecedent, if that scores above 0, into its cluster.

    `antecedents` (K, A): numbers of earlier spans; `scores` (K, A): of the links to them, −∞ where there is none.
    A span without any link is a cluster of its own where such are kept and its mention score is above 0.
    """
    home: dict[int, list[Mention]] = {}
    for number, span in enumerate(spans):
        best = int(np.argmax(scores[number]))
        if scores[number, best] > 0:
            antecedent = int(antecedents[number, best])
            cluster = home.setdefault(antecedent, [spans[antecedent]])
            cluster.append(span)
            home[number] = cluster
    if keeps_singletons:
        for number, span in enumerate(spans):
            if number not in home and mention_scores[number] > 0:
                home[number] = [span]
    clusters = {id(cluster): cluster for cluster in home.values()}
    return sorted(clusters.values())
