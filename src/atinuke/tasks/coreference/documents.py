"""A document whose mentions are gathered in clusters, one for each person or thing that is spoken of."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, TypeAlias

from atinuke.tasks.task import Spot

Mention: TypeAlias = tuple[int, int]
"""Numbers of the first and the last word, counted from 0 through the whole document."""
Cluster: TypeAlias = tuple[Mention, ...]

SPELLED = {"-LRB-": "(", "-RRB-": ")", "-LSB-": "[", "-RSB-": "]", "-LCB-": "{", "-RCB-": "}", "/.": ".", "/?": "?"}
"""What OntoNotes writes for signs that have a meaning in its own format, and what a network has read."""


@dataclass(frozen=True)
class Document:
    """Sentences of words, and the clusters in the order in which the official scorer meets them."""

    name: str
    part: str
    """Digits as they were written; "" where a document has no parts."""
    sentences: tuple[tuple[str, ...], ...]
    clusters: tuple[Cluster, ...]
    """A mention that is annotated twice stands in them twice, as the scorer counts it twice."""
    spot: Spot

    @property
    def word_count(self) -> int:
        """Of all sentences."""
        return sum(map(len, self.sentences))

    @property
    def sentence_ends(self) -> list[int]:
        """For each sentence the number of the word that follows it."""
        return list(accumulate(map(len, self.sentences)))

    def words_as_read(self) -> list[str]:
        """All words, those of SPELLED as ordinary text has them."""
        return [SPELLED.get(word, word) for sentence in self.sentences for word in sentence]


def identity(name: str, part: str) -> tuple[str, int]:
    """What tells a document from others: "part 0" and "part 000" are one."""
    return name, int(part) if part else -1


def to_prediction(clusters: Sequence[Sequence[Mention]]) -> list[list[list[int]]]:
    """Clusters as JSON has them."""
    return [[[first, last] for first, last in cluster] for cluster in clusters]


def of_prediction(prediction: Any) -> list[list[Mention]]:
    """Clusters of what `to_prediction` made."""
    return [[(int(first), int(last)) for first, last in cluster] for cluster in prediction]
