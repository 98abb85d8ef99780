"""Picking by hash: which texts to keep depends on what they say, not on the order in which they are read."""

import hashlib
import heapq
from operator import itemgetter
from typing import Generic, TypeVar

Kept = TypeVar("Kept")


def hash64(data: bytes) -> int:
    """64 bits of BLAKE2b: the same on every machine, and as good as random over texts."""
    return int.from_bytes(hashlib.blake2b(data, digest_size=8).digest())


def _negated(key: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(-number for number in key)


class SmallestHashes(Generic[Kept]):
    """Of all that is offered, what has the smallest keys, as much as fits into `max_size` together.

    One pass, and memory for `max_size` only. What is kept is exactly the longest run of offers, in the order of their
    keys, whose sizes sum to at most `max_size`; the order of the offers does not matter. A second offer under the same
    key is let pass.
    """

    def __init__(self, max_size: int):
        self._max_size = max_size
        # (negated key, kept, size): heapq has the smallest on top. Keys differ, so nothing else is ever compared.
        self._heap: list[tuple[tuple[int, ...], Kept, int]] = []
        self._keys: set[tuple[int, ...]] = set()
        self._size = 0
        self._limit: tuple[int, ...] | None = None  # the smallest key that had to go; all above it go too

    def would_keep(self, key: tuple[int, ...]) -> bool:
        """Whether an offer under this key has a chance; saves making the offer."""
        return (self._limit is None or key < self._limit) and key not in self._keys

    def offer(self, key: tuple[int, ...], kept: Kept, size: int) -> None:
        """Keep this, and let go of what no longer fits, which may be this."""
        if not self.would_keep(key):
            return
        heapq.heappush(self._heap, (_negated(key), kept, size))
        self._keys.add(key)
        self._size += size
        while self._size > self._max_size:
            self._limit = self._let_go()

    def merge(self, other: "SmallestHashes[Kept]") -> None:
        """The same as if everything that `other` was offered had been offered here; both have the same `max_size`."""
        for key, kept, size in other.entries():
            self.offer(key, kept, size)
        if other._limit is not None and self.would_keep(other._limit):
            self._limit = other._limit
            while self._heap and _negated(self._heap[0][0]) > self._limit:
                self._let_go()

    def _let_go(self) -> tuple[int, ...]:
        rank, _, size = heapq.heappop(self._heap)
        key = _negated(rank)
        self._size -= size
        self._keys.discard(key)
        return key

    def entries(self) -> list[tuple[tuple[int, ...], Kept, int]]:
        """(key, what was kept, size), smallest key first."""
        return [
            (_negated(rank), kept, size) for rank, kept, size in sorted(self._heap, key=itemgetter(0), reverse=True)
        ]


class TextSample:
    """Pieces of texts, spread evenly over all that is offered, together at most `max_bytes` of UTF-8."""

    PIECE_CHARS = 65_536

    def __init__(self, max_bytes: int):
        self._max_bytes = max_bytes
        # A character has at most 4 bytes, so that even a small sample has room for one piece.
        self._piece_chars = max(1, min(self.PIECE_CHARS, max_bytes // 4))
        self._pieces: SmallestHashes[str] = SmallestHashes(max_bytes)

    def offer(self, ordinal: int, first_piece: int, text: str) -> int:
        """Offer a text, or a part of one whose pieces are counted from `first_piece`; the count for the next part."""
        for start in range(0, len(text), self._piece_chars):
            piece = text[start : start + self._piece_chars]
            data = piece.encode()
            key = (hash64(data), ordinal, first_piece)
            if self._pieces.would_keep(key):
                self._pieces.offer(key, piece, len(data))
            first_piece += 1
        return first_piece

    def empty_twin(self) -> "TextSample":
        """Another sample under the same rules, for a text of which it is not known yet whether it counts."""
        return TextSample(self._max_bytes)

    def merge(self, other: "TextSample") -> None:
        """The same as if all that was offered to another sample had been offered here."""
        self._pieces.merge(other._pieces)

    def texts(self) -> list[str]:
        """The pieces in reading order."""
        return [piece for _, piece, _ in sorted(self._pieces.entries(), key=lambda entry: entry[0][1:])]
