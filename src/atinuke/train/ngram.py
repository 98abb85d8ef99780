"""What simple counting achieves on the same text: the byte 5-gram baseline, and how much of a sample was copied.

Only numpy. N-grams are packed into whole numbers (the oldest byte highest) and counted by sorting, so that ten
megabytes take seconds, and the memory is bounded by the number of different n-grams rather than by the text.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Self, TypeAlias

import numpy as np
from numpy.typing import NDArray

from atinuke.errors import SourceError

ALPHABET = 256  # the bytes; the interpolation ends in 1/ALPHABET for each
MAX_ORDER = 8  # eight bytes fill a uint64
MAX_TRAIN_BYTES = 32_000_000  # more text moves the 5-gram's score by little and costs memory and time
MAX_GRAMS = 3_000_000  # different n-grams held; 32 MB of English prose has half a million, noise would have 32
GRAMS_AT_ONCE = 1_000_000  # counted or scored in one go
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)  # where the counts are too few or too even to estimate any

Grams: TypeAlias = NDArray[np.uint64]
Counts: TypeAlias = NDArray[np.int64]
Floats: TypeAlias = NDArray[np.float64]


def five_gram_bpb(
    train: Iterable[bytes],
    validation: Sequence[bytes],
    *,
    max_train_bytes: int = MAX_TRAIN_BYTES,
    order: int = 5,
) -> float:
    """Bits per byte of `validation` under a byte n-gram model counted on the first `max_train_bytes` of `train`.

    Each item is one document (or one part of a long one): no byte sees history from before its own item's start.
    `ByteNGrams` says which model this is, and how much text it was counted on.
    """
    return ByteNGrams.count(train, order=order, max_train_bytes=max_train_bytes).bits_per_byte(validation)


@dataclass(frozen=True)
class _Level:
    """The counts of one order, sorted: n-grams, and the same grouped by context (all bytes but the last)."""

    grams: Grams
    counts: Counts
    contexts: Grams
    totals: Counts  # sum of the counts in each context
    spread: Floats  # sum of the discounts in each context: the mass that goes to the order below
    discounts: Floats  # what a count of 0, 1, 2, or more gives up


class ByteNGrams:
    """Interpolated modified Kneser-Ney over bytes.

    Chen & Goodman 1999, "An empirical study of smoothing techniques for language modeling", §3 (modified
    Kneser-Ney): the highest order uses counts, each lower one the number of different bytes seen before an n-gram,
    and three discounts per order come from the counts of counts (their eq. 17). We differ in three places: a
    document's start counts as one more "different byte before"; the lowest order is interpolated with 1/256, so
    that every byte has probability above zero; and where the counts of counts allow no estimate the discounts are
    `FALLBACK_DISCOUNTS`, which happens in the lowest orders, whose 256 bytes have all been seen often.
    """

    def __init__(self, levels: list[_Level], train_bytes: int, is_capped: bool) -> None:
        self._levels = levels  # levels[k] predicts a byte from k bytes of history
        self.order = len(levels)
        self.train_bytes = train_bytes  # bytes counted
        self.is_capped = is_capped  # True where the training text went on

    @classmethod
    def count(cls, train: Iterable[bytes], *, order: int = 5, max_train_bytes: int = MAX_TRAIN_BYTES) -> Self:
        """The model of the first `max_train_bytes` of `train`, or fewer where those hold over `MAX_GRAMS` n-grams.

        An empty text gives 1/256 for every byte.
        """
        if not 1 <= order <= MAX_ORDER:
            raise ValueError(f"order is {order}; expected 1 to {MAX_ORDER}")
        windows = _Windows(train, order, max_train_bytes)
        grams, counts = np.empty(0, np.uint64), np.empty(0, np.int64)
        for some in windows:
            grams, counts = _merge(grams, counts, some)
            if len(grams) > MAX_GRAMS:
                windows.is_capped = True
                break
        levels = [_level(grams, counts)]
        for length in range(order - 1, 0, -1):
            # Each different longer n-gram is one different byte before its last `length` bytes; so is a text's start.
            ends = np.concatenate([grams & _mask(length), windows.starts(length)[0]])
            grams, counts = _unique_counts(ends)
            levels.append(_level(grams, counts))
        return cls(levels[::-1], windows.bytes, windows.is_capped)

    def probabilities(self, grams: Grams, length: int) -> Floats:
        """P(last byte | the bytes before it) for packed n-grams of `length` bytes, 1 to `order`."""
        found = np.full(len(grams), 1.0 / ALPHABET)
        for level, history in zip(self._levels[:length], range(length), strict=True):
            found = _interpolate(level, grams & _mask(history + 1), found)
        return found

    def bits_per_byte(self, validation: Iterable[bytes]) -> float:
        """Summed −log2 probability of every byte, divided by the number of bytes."""
        bits = 0.0
        windows = _Windows(validation, self.order)
        for some in windows:
            grams, counts = _unique_counts(some)
            bits -= float(counts @ np.log2(self.probabilities(grams, self.order)))
        for length in range(1, self.order):
            grams, counts = windows.starts(length)
            bits -= float(counts @ np.log2(self.probabilities(grams, length)))
        if not windows.bytes:
            raise SourceError("The validation text is empty: there is nothing to score. Give more text.")
        return bits / windows.bytes


class _Windows:
    """The packed n-grams of the texts, about `GRAMS_AT_ONCE` at a time; those that begin a text are kept apart.

    Together they hold each byte once, as the last of its n-gram.
    """

    def __init__(self, texts: Iterable[bytes], order: int, max_bytes: int | None = None) -> None:
        self._texts, self._order, self._max_bytes = texts, order, max_bytes
        self._starts: list[Counter[int]] = [Counter() for _ in range(order)]
        self.bytes = 0  # read so far
        self.is_capped = False  # True where the texts went on after max_bytes

    def starts(self, length: int) -> tuple[Grams, Counts]:
        """The sorted different n-grams of `length` < order bytes that begin a text, and how often each does."""
        found = sorted(self._starts[length].items())
        return np.array([gram for gram, _ in found], np.uint64), np.array([count for _, count in found], np.int64)

    def __iter__(self) -> Iterator[Grams]:
        waiting: list[Grams] = []
        count = 0
        for text in self._capped():
            for length in range(1, min(self._order, len(text) + 1)):
                self._starts[length][int.from_bytes(text[:length], "big")] += 1
            self.bytes += min(len(text), self._order - 1)
            for begin in range(0, len(text) - self._order + 1, GRAMS_AT_ONCE):
                some = _pack(text[begin : begin + GRAMS_AT_ONCE + self._order - 1], self._order)
                waiting.append(some)
                count += len(some)
                if count >= GRAMS_AT_ONCE:
                    self.bytes += count
                    yield np.concatenate(waiting)
                    waiting, count = [], 0
        if waiting:
            self.bytes += count
            yield np.concatenate(waiting)

    def _capped(self) -> Iterator[bytes]:
        """The texts up to `max_bytes`; the one that crosses the limit is cut."""
        room = self._max_bytes
        for text in self._texts:
            if room is None:
                yield text
                continue
            self.is_capped = self.is_capped or len(text) > room
            yield text[:room]
            room -= min(len(text), room)
            if self.is_capped:
                return


def _pack(text: bytes, order: int) -> Grams:
    """Each run of `order` bytes as one number, in the order of the text."""
    raw = np.frombuffer(text, np.uint8)
    packed = np.zeros(len(raw) - order + 1, np.uint64)
    for offset in range(order):
        packed <<= np.uint64(8)
        packed |= raw[offset : offset + len(packed)]
    return packed


def _merge(grams: Grams, counts: Counts, some: Grams) -> tuple[Grams, Counts]:
    """The sorted table with some more n-grams counted in."""
    new, new_counts = _unique_counts(some)
    every = np.concatenate([grams, new])
    order = np.argsort(every, kind="stable")  # stable is timsort here, which merges two sorted runs in one pass
    every = every[order]
    first = _firsts(every)
    return every[first], np.add.reduceat(np.concatenate([counts, new_counts])[order], first)


def _unique_counts(some: Grams) -> tuple[Grams, Counts]:
    """Sorted different values and how often each came (np.unique does the same, with more copies)."""
    ordered = np.sort(some)
    first = _firsts(ordered)
    return ordered[first], np.diff(first, append=len(ordered))


def _firsts(ordered: Grams) -> Counts:
    """Where each new value begins in a sorted array."""
    is_new = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=is_new[1:])
    return np.flatnonzero(is_new)


def _mask(length: int) -> np.uint64:
    """Keeps the last `length` bytes of a packed n-gram."""
    return np.uint64((1 << 8 * length) - 1)


def _level(grams: Grams, counts: Counts) -> _Level:
    """The table of one order, with its discounts and the sums that each context needs."""
    discounts = _discounts(counts)
    contexts = grams >> np.uint64(8)
    first = _firsts(contexts)
    given_up = discounts[np.minimum(counts, 3)]
    return _Level(
        grams=grams,
        counts=counts,
        contexts=contexts[first],
        totals=np.add.reduceat(counts, first) if len(first) else counts,
        spread=np.add.reduceat(given_up, first) if len(first) else given_up,
        discounts=discounts,
    )


def _discounts(counts: Counts) -> Floats:
    """What an n-gram gives up that was counted 0, 1, 2, or 3 and more times (Chen & Goodman 1999, eq. 17)."""
    n1, n2, n3, n4 = (int(np.count_nonzero(counts == times)) for times in (1, 2, 3, 4))
    if n1 and n2 and n3 and n4:
        y = n1 / (n1 + 2 * n2)
        one, two, more = 1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3
        if 0 < one < 1 and 0 < two < 2 and 0 < more < 3:
            return np.array([0.0, one, two, more])
    return np.array([0.0, *FALLBACK_DISCOUNTS])


def _interpolate(level: _Level, grams: Grams, below: Floats) -> Floats:
    """One order's probabilities; `below` are those of the order under it for the same n-grams."""
    at, has_context = _find(level.contexts, grams >> np.uint64(8))
    if not has_context.any():
        return below
    where, is_seen = _find(level.grams, grams)
    counts = np.where(is_seen, level.counts[where], 0)
    kept = counts - level.discounts[np.minimum(counts, 3)]
    mixed = (kept + level.spread[at] * below) / level.totals[at]
    return np.where(has_context, mixed, below)


def _find(table: Grams, wanted: Grams) -> tuple[Counts, NDArray[np.bool_]]:
    """Where each wanted value stands in the sorted table (any valid index where it does not), and whether it does."""
    if not len(table):
        return np.zeros(len(wanted), np.int64), np.zeros(len(wanted), bool)
    at = np.minimum(np.searchsorted(table, wanted), len(table) - 1)
    return at, table[at] == wanted


def copied_share(samples: Iterable[str], training_texts: Iterable[str], n: int = 8) -> tuple[int, int]:
    """(copied, total): how many of the samples' word n-grams stand word for word in the training texts.

    A word is a longest run without white space, case and punctuation included, so "The end." and "the end" differ;
    the white space between words (one space, or a line break and an indent) does not count. Every place in a sample
    counts, a repeated n-gram as often as it stands there. A sample of fewer than `n` words adds none: (0, 0) for
    short samples, and for scripts that are written without spaces. Nothing reaches over a text's end; the training
    texts are read once, and what is held is the samples' own n-grams and one block of words.
    """
    if n < 1:
        raise ValueError(f"n is {n}; expected 1 or more")
    wanted: Counter[tuple[str, ...]] = Counter()
    for sample in samples:
        words = sample.split()
        wanted.update(tuple(words[at : at + n]) for at in range(len(words) - n + 1))
    total = wanted.total()
    # An n-gram is looked for only where its longest word stands: long words are rare, so little is compared.
    anchors: dict[str, list[tuple[int, tuple[str, ...]]]] = {}
    for gram in wanted:
        place = max(range(n), key=lambda at: len(gram[at]))
        anchors.setdefault(gram[place], []).append((place, gram))
    missing = set(wanted)
    for text in training_texts if missing else ():
        for words in _word_blocks(text, n):
            for at in [at for at, word in enumerate(words) if word in anchors]:
                missing.difference_update(
                    gram
                    for place, gram in anchors[words[at]]
                    if at >= place and tuple(words[at - place : at - place + n]) == gram
                )
        if not missing:
            break
    return total - sum(wanted[gram] for gram in missing), total


def _word_blocks(text: str, overlap: int, block_chars: int = 1_000_000) -> Iterator[list[str]]:
    """The words of `text` in blocks, each beginning with the last `overlap` − 1 words of the block before."""
    before: list[str] = []
    cut = ""  # the beginning of a word that the block's end has cut
    for begin in range(0, len(text), block_chars):
        block = cut + text[begin : begin + block_chars]
        words = block.split()
        is_last = begin + block_chars >= len(text)
        cut = words.pop() if words and not is_last and not block[-1].isspace() else ""
        yield before + words
        before = (before + words)[-(overlap - 1) :] if overlap > 1 else []
