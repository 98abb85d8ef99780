"""MUC, B³, CEAF, BLANC and LEA of one document, as counts that add up over documents.

The first five count as scorer.pl v8.01 does, twins and repeated mentions included (Pradhan et al. 2014, "Scoring
Coreference Partitions of Predicted Mentions: A Reference Implementation"), LEA as Moosavi & Strube 2016 ("Which
Coreference Evaluation Metric Do You Trust?", §4) define it. Nowhere is a response changed to have the key's mentions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from atinuke.tasks.coreference.assignment import best_sum
from atinuke.tasks.coreference.chains import Chain, Chains


class Figures(NamedTuple):
    """Shares from 0 to 1."""

    recall: float
    precision: float
    f1: float


@dataclass(frozen=True)
class Counts:
    """How much of the key the response has, and how much of the response is right. A metric has its own units."""

    key_found: float = 0.0
    key: float = 0.0
    response_right: float = 0.0
    response: float = 0.0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.key_found + other.key_found,
            self.key + other.key,
            self.response_right + other.response_right,
            self.response + other.response,
        )

    @property
    def figures(self) -> Figures:
        """What has nothing to be divided by is 0, as MUC is where all clusters have one mention."""
        recall = self.key_found / self.key if self.key else 0.0
        precision = self.response_right / self.response if self.response else 0.0
        f1 = 2 * recall * precision / (recall + precision) if recall + precision else 0.0
        return Figures(recall, precision, f1)


def mentions(chains: Chains) -> Counts:
    """Mentions whose first and last words are right."""
    return Counts(chains.found, chains.key_mentions, chains.found, chains.response_mentions)


def muc(chains: Chains) -> Counts:
    """Links: a chain of n mentions has n − 1 (Vilain et al. 1995)."""
    home = {mention: number for number, chain in enumerate(chains.key) for mention in chain}
    right = 0
    for chain in chains.response:
        known = [home[mention] for mention in chain if mention in home]
        right += len(known) - len(set(known))
    return Counts(right, _links(chains.key), right, _links(chains.response))


def b_cubed(chains: Chains) -> Counts:
    """Mentions, each by how much its two chains share (Bagga & Baldwin 1998)."""
    home = {mention: number for number, chain in enumerate(chains.key) for mention in chain}
    members = [set(chain) for chain in chains.key]
    found = right = 0.0
    for chain in chains.response:
        homes = [home[mention] for mention in chain if mention in home]
        shared = {number: sum(mention in members[number] for mention in chain) for number in set(homes)}
        for number in homes:
            found += shared[number] / len(chains.key[number])
            right += shared[number] / len(chain)
    return Counts(found, _size(chains.key), right, _size(chains.response))


def ceaf_m(chains: Chains) -> Counts:
    """Mentions of chains that are aligned one to one, so that most are shared: φ₃ of Luo 2005."""
    common = best_sum(chains.overlaps)
    return Counts(common, _size(chains.key), common, _size(chains.response))


def ceaf_e(chains: Chains) -> Counts:
    """Chains, each by its Dice similarity with the one it is aligned with: φ₄ of Luo 2005."""
    sizes = _lengths(chains.key)[:, None] + _lengths(chains.response)[None, :]
    common = best_sum(2 * chains.overlaps / sizes)
    return Counts(common, len(chains.key), common, len(chains.response))


def lea(chains: Chains) -> Counts:
    """Mentions, each by the share of its chain's links that are resolved; a chain of one has a link to itself."""
    key, response = _lengths(chains.key), _lengths(chains.response)
    both_alone = (chains.overlaps == 1) & (key[:, None] == 1) & (response[None, :] == 1)
    links = chains.overlaps * (chains.overlaps - 1) / 2 + both_alone
    return Counts(
        float((key * links.sum(axis=1) / _own_links(key)).sum()),
        float(key.sum()),
        float((response * links.sum(axis=0) / _own_links(response)).sum()),
        float(response.sum()),
    )


def coreferent_pairs(chains: Chains) -> Counts:
    """Pairs of mentions in one chain: a half of BLANC."""
    return _common(_pairs(chains.key)[0], _pairs(chains.response)[0])


def other_pairs(chains: Chains) -> Counts:
    """Pairs of mentions of different chains: the other half of BLANC."""
    return _common(_pairs(chains.key)[1], _pairs(chains.response)[1])


def blanc(coreferent: Counts, others: Counts) -> Figures:
    """Mean of both kinds of pairs; of the one that the key has, where it has but one (Luo et al. 2014, §3)."""
    kinds = [counts.figures for counts in (coreferent, others) if counts.key]
    if not kinds:
        return Figures(0.0, 0.0, 0.0)
    return Figures(*(sum(each) / len(kinds) for each in zip(*kinds, strict=True)))


COUNTED: Mapping[str, Callable[[Chains], Counts]] = {
    "muc": muc,
    "b3": b_cubed,
    "ceaf_e": ceaf_e,
    "ceaf_m": ceaf_m,
    "coreferent_pairs": coreferent_pairs,
    "other_pairs": other_pairs,
    "lea": lea,
    "mention": mentions,
}
"""What is added up over the documents of a split."""

_BEYOND_MENTIONS = 2**31
"""More than any document has."""


def _links(chains: Sequence[Chain]) -> int:
    return sum(len(chain) - 1 for chain in chains if chain)


def _size(chains: Sequence[Chain]) -> int:
    return sum(map(len, chains))


def _lengths(chains: Sequence[Chain]) -> NDArray[np.float64]:
    return np.array([len(chain) for chain in chains], dtype=np.float64)


def _own_links(lengths: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.maximum(lengths * (lengths - 1) / 2, 1)


def _pairs(chains: Sequence[Chain]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pairs within a chain, and pairs of two chains, each once and as one number; a mention that stands twice makes a
    pair with itself."""
    mentions = np.array([mention for chain in chains for mention in chain], dtype=np.int64)
    chain_of = np.array([number for number, chain in enumerate(chains) for _ in chain], dtype=np.int64)
    left, right = np.triu_indices(len(mentions), k=1)
    lower = np.minimum(mentions[left], mentions[right])
    higher = np.maximum(mentions[left], mentions[right])
    pairs = lower * _BEYOND_MENTIONS + higher
    is_one_chain = chain_of[left] == chain_of[right]
    return np.unique(pairs[is_one_chain]), np.unique(pairs[~is_one_chain])


def _common(key: NDArray[np.int64], response: NDArray[np.int64]) -> Counts:
    common = len(np.intersect1d(key, response, assume_unique=True))
    return Counts(common, len(key), common, len(response))
