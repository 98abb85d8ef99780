"""Counted words → the pieces of a unigram model and their log probabilities (Kudo 2018, arXiv:1804.10959, §3.2).

Start from all frequent substrings, estimate probabilities by expectation maximisation over all segmentations, drop the
pieces that the likelihood misses least, repeat until the vocabulary has its size. We differ from SentencePiece in that
characters beyond 99.95 % of the sample get no piece (their bytes spell them), and in that the loss of a piece is its
expected count times what its best other spelling costs.

Words of one length are segmented together: a *cell* is a substring of a word; a row of an array is one cell, a column
one word. Sums run in a fixed order, so the result does not depend on threads.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ids = NDArray[np.int32]
Texts = NDArray[np.object_]

LONGEST_PIECE = 16  # characters
LONGEST_WORD = 32  # characters; longer pieces of text are encoded as well, but teach nothing
MOST_CELLS = 2_000_000  # bounds memory (about 100 bytes a cell): the most frequent words that fit are learnt from
CHAR_COVERAGE = 0.9995
SEEDS_PER_PIECE = 8
KEPT_PER_ROUND = 0.75
EM_STEPS_PER_ROUND = 2
SPARE = 1.1  # the last round leaves this many times the wanted pieces; the most probable of them stay
BYTES_PENALTY = 10.0  # nats below the worst piece, as the library scores a character without a piece
LEAST_COUNT = 0.5  # a piece expected less often is dropped


@dataclass(frozen=True)
class Lattice:
    """All words of one length. Of N pieces, N stands for "a character spelt in bytes" and N + 1 for "no piece"."""

    length: int
    spans: list[tuple[int, int]]  # where each cell starts and ends, by start
    ids: Ids  # (cells, words)
    counts: Floats  # (words,)

    def expect(self, scores: Floats) -> Floats:
        """The expected count of each id over all segmentations, weighted by probability; scores in nats."""
        of_cell = scores[self.ids]
        forward = np.full((self.length + 1, len(self.counts)), -np.inf)
        backward = forward.copy()
        forward[0] = backward[-1] = 0.0
        for cell, (start, end) in enumerate(self.spans):
            forward[end] = np.logaddexp(forward[end], forward[start] + of_cell[cell])
        for cell, (start, end) in reversed(list(enumerate(self.spans))):
            backward[start] = np.logaddexp(backward[start], backward[end] + of_cell[cell])
        starts, ends = np.array(self.spans).T
        share = np.exp(forward[starts] + of_cell + backward[ends] - forward[-1]) * self.counts
        return np.bincount(self.ids.ravel(), share.ravel(), len(scores)).astype(np.float64)

    def split_scores(self, scores: Floats) -> Floats:
        """For each word the log probability of its best segmentation into two pieces or more."""
        best = np.full((self.length + 1, len(self.counts)), -np.inf)
        best[0] = 0.0
        for cell, (start, end) in enumerate(self.spans):
            if end - start < self.length:
                best[end] = np.maximum(best[end], best[start] + scores[self.ids[cell]])
        found: Floats = best[-1]
        return found

    def whole_ids(self) -> Ids:
        """The id of each word as one piece; only for words no longer than a piece."""
        whole: Ids = self.ids[self.spans.index((0, self.length))]
        return whole


@dataclass(frozen=True)
class Model:
    """Pieces with their scores, and all words as lattices of these pieces. The first `char_count` pieces never go."""

    char_count: int
    pieces: Texts
    scores: Floats  # log probabilities, nats
    expected: Floats  # counts
    words: list[Lattice]
    spellings: list[Lattice]  # the pieces longer than a character, each as a word of its own

    def fitted(self) -> "Model":
        """After one step of expectation maximisation, without the pieces that are hardly ever used."""
        extended = self._extended_scores()
        expected = np.sum([lattice.expect(extended) for lattice in self.words], axis=0)[: len(self.pieces)]
        is_char = np.arange(len(self.pieces)) < self.char_count
        kept = self._only(np.flatnonzero(is_char | (expected >= LEAST_COUNT)), np.maximum(expected, LEAST_COUNT))
        return replace(kept, scores=digamma(kept.expected) - digamma(kept.expected.sum(keepdims=True)))

    def pruned(self, count: int) -> "Model":
        """Without the pieces whose loss costs least; `count` pieces stay, characters before all."""
        extended = self._extended_scores()
        loss = np.full(len(extended), np.inf)
        for lattice in self.spellings:
            whole = lattice.whole_ids()
            otherwise = lattice.split_scores(extended)
            is_piece = whole < len(self.pieces)
            ids = whole[is_piece]
            loss[ids] = self.expected[ids] * (self.scores[ids] - otherwise[is_piece])
        # Rounded, so that no last digit decides between two pieces.
        longer = range(self.char_count, len(self.pieces))
        ranked = sorted(longer, key=lambda id: (-round(float(loss[id]), 6), self.pieces[id]))
        return self._only(np.array([*range(self.char_count), *ranked][: max(count, self.char_count)]), self.expected)

    def best(self, size: int) -> list[tuple[str, float]]:
        """All characters and the most probable of the other pieces, `size` in total, best first."""
        scored = [(piece, round(float(score), 4)) for piece, score in zip(self.pieces, self.scores, strict=True)]
        longer = sorted(scored[self.char_count :], key=_best_first)[: size - self.char_count]
        return sorted([*scored[: self.char_count], *longer], key=_best_first)

    def _extended_scores(self) -> Floats:
        """The scores, then those of "a character spelt in bytes" and of "no piece"."""
        return np.array([*self.scores, self.scores.min() - BYTES_PENALTY, -np.inf])

    def _only(self, kept: NDArray[np.intp], expected: Floats) -> "Model":
        """The model of the `kept` ids alone, renumbered in that order."""
        table = np.full(len(self.pieces) + 2, len(kept) + 1, np.int32)
        table[kept] = np.arange(len(kept))
        table[len(self.pieces)] = len(kept)
        words, spellings = _renumber(self.words, table), _renumber(self.spellings, table)
        return Model(self.char_count, self.pieces[kept], self.scores[kept], expected[kept], words, spellings)


def train_pieces(counts: Iterable[tuple[str, int]], size: int) -> list[tuple[str, float]]:
    """At most `size` pieces with their scores (nats, rounded to 4 digits), best first.

    `counts` says how often each word (a piece of the split pattern) occurs, most frequent first.
    """
    model = _start(counts, size)
    if not model.char_count:
        return []
    while True:
        for _ in range(EM_STEPS_PER_ROUND):
            model = model.fitted()
        if len(model.pieces) <= max(size * SPARE, model.char_count):
            return model.best(size)
        model = model.pruned(max(int(size * SPARE), int(len(model.pieces) * KEPT_PER_ROUND)))


def build_lattices(words: Iterable[tuple[str, int]], numbers: dict[str, int]) -> list[Lattice]:
    """The words by their length. `numbers` gives each substring its number, and takes those that it lacks."""
    by_length: dict[int, list[tuple[str, int]]] = {}
    for word, count in words:
        by_length.setdefault(len(word), []).append((word, count))
    lattices = []
    for length, same in sorted(by_length.items()):
        spans = [(i, j) for i in range(length) for j in range(i + 1, min(i + LONGEST_PIECE, length) + 1)]
        cells = [[numbers.setdefault(word[i:j], len(numbers)) for i, j in spans] for word, _ in same]
        ids = np.ascontiguousarray(np.array(cells, np.int32).T)
        lattices.append(Lattice(length, spans, ids, np.array([count for _, count in same], np.float64)))
    return lattices


def digamma(x: Floats) -> Floats:
    """ψ(x) for x ≥ 0.5, by recurrence and the asymptotic series (Abramowitz and Stegun 6.3.5, 6.3.18).

    exp(ψ(count)) instead of the count makes rare pieces rarer still, which prunes better (SentencePiece does so too).
    """
    shift = np.zeros_like(x)
    for _ in range(6):
        shift -= 1 / x
        x = x + 1
    square = 1 / x**2
    return shift + np.log(x) - 0.5 / x - square * (1 / 12 - square * (1 / 120 - square / 252))


def _words_that_fit(counts: Iterable[tuple[str, int]]) -> Iterator[tuple[str, int]]:
    cells = 0
    for word, count in counts:
        if len(word) > LONGEST_WORD:
            continue
        longest = min(LONGEST_PIECE, len(word))
        cells += longest * len(word) - longest * (longest - 1) // 2
        if cells > MOST_CELLS:
            return
        yield word, count


def _start(counts: Iterable[tuple[str, int]], size: int) -> Model:
    """The model of all seeds, scored by how often each occurs (equal scores end with more tokens a text)."""
    numbers: dict[str, int] = {}
    words = build_lattices(_words_that_fit(counts), numbers)
    seen = _count(words, len(numbers))
    chars, seeds = _choose_seeds([(text, float(seen[number])) for text, number in numbers.items()], size)
    spellings = build_lattices([(seed, 1) for seed in seeds], numbers)
    pieces: Texts = np.array([*chars, *seeds], dtype=object)
    own_numbers = [numbers[piece] for piece in pieces]
    to_id = np.array([len(pieces) + (len(text) > 1) for text in numbers], np.int32)
    to_id[own_numbers] = np.arange(len(pieces))
    frequencies = seen[own_numbers]
    scores = np.log(frequencies / frequencies.sum())
    return Model(len(chars), pieces, scores, frequencies, _renumber(words, to_id), _renumber(spellings, to_id))


def _count(words: Sequence[Lattice], number_count: int) -> Floats:
    """How often each substring occurs, in any place."""
    seen = np.zeros(number_count)
    for lattice in words:
        weights = np.broadcast_to(lattice.counts, lattice.ids.shape)
        seen += np.bincount(lattice.ids.ravel(), weights.ravel(), number_count)
    return seen


def _choose_seeds(counted: Sequence[tuple[str, float]], size: int) -> tuple[list[str], list[str]]:
    """The characters that get a piece for good, and the longer substrings that compete for the rest."""
    singles = sorted(((text, count) for text, count in counted if len(text) == 1), key=_best_first)
    covered = np.cumsum([count for _, count in singles])
    enough = int(np.searchsorted(covered, CHAR_COVERAGE * covered[-1])) + 1 if singles else 0
    longer = [(text, count * len(text)) for text, count in counted if len(text) > 1 and count > 1]
    seeds = sorted(longer, key=_best_first)[: SEEDS_PER_PIECE * size]
    return [text for text, _ in singles[: min(enough, size)]], [text for text, _ in seeds]


def _renumber(lattices: Sequence[Lattice], table: Ids) -> list[Lattice]:
    return [replace(lattice, ids=table[lattice.ids]) for lattice in lattices]


def _best_first(item: tuple[str, float]) -> tuple[float, str]:
    return -item[1], item[0]
