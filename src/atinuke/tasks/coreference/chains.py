"""Key and response of a document as chains of numbers, as scorer.pl (v8.01) matches their mentions.

Mentions match when they begin and end with the same words. What stands twice is not thrown out alike everywhere:

- in the response, a mention of the key counts where it stands first; a chain that is left empty is none;
- in the response, a mention that the key has not stays as often as it stands;
- in the key, all stay, under one number.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from atinuke.tasks.coreference.documents import Mention

Chain = tuple[int, ...]


@dataclass(frozen=True)
class Chains:
    """Numbers of mentions; one that is in key and response has the same number in both."""

    key: tuple[Chain, ...]
    response: tuple[Chain, ...]
    found: int
    """Mentions of the key that the response has."""
    key_mentions: int
    """Different ones."""
    response_mentions: int
    repeated: int
    """Mentions of the response that were taken out, being of the key and there already."""

    @cached_property
    def overlaps(self) -> NDArray[np.float64]:
        """(key chains, response chains): how many mentions each two share."""
        # a mention of the key is in one chain of the response at most
        place = {mention: number for number, chain in enumerate(self.response) for mention in chain}
        shared = np.zeros((len(self.key), len(self.response)))
        for number, chain in enumerate(self.key):
            for mention in chain:
                if mention in place:
                    shared[number, place[mention]] += 1
        return shared


def match(key: Sequence[Sequence[Mention]], response: Sequence[Sequence[Mention]]) -> Chains:
    """The clusters of one document, matched."""
    all_of_key = [mention for cluster in key for mention in cluster]
    numbers = {mention: number for number, mention in enumerate(all_of_key)}
    taken: set[Mention] = set()
    kept: list[list[Mention]] = []
    repeated = 0
    for cluster in response:
        own: list[Mention] = []
        for mention in cluster:
            if mention in taken:
                repeated += 1
                continue
            if mention in numbers:
                taken.add(mention)
            own.append(mention)
        if own:
            kept.append(own)
    key_mentions = len(numbers)
    for mention in (mention for cluster in kept for mention in cluster):
        if mention not in numbers:
            numbers[mention] = len(all_of_key) + len(numbers)
    return Chains(
        key=_numbered(key, numbers),
        response=_numbered(kept, numbers),
        found=len(taken),
        key_mentions=key_mentions,
        response_mentions=len({mention for cluster in kept for mention in cluster}),
        repeated=repeated,
    )


def _numbered(clusters: Sequence[Sequence[Mention]], numbers: dict[Mention, int]) -> tuple[Chain, ...]:
    return tuple(tuple(numbers[mention] for mention in cluster) for cluster in clusters)
