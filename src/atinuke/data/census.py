"""What documents there are: hashes, lengths, repetitions, and what might be held out. Memory stays bounded.

Seventeen bytes per document stay in memory, whatever its length, beside a few times the text that can be held out.
"""

import math
from array import array
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import blake2b
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from atinuke.data.documents import Document
from atinuke.data.picking import SmallestHashes, TextSample
from atinuke.data.sources import Sources
from atinuke.errors import SourceError


class Measured(NamedTuple):
    """A document, or a part of one, as it comes by."""

    ordinal: int
    document: Document
    size: int
    """Bytes of this part."""
    content_hash: int | None
    """Of the whole document; with its last part only."""


class Candidate(NamedTuple):
    """A document that is short enough to be held out."""

    ordinal: int
    text: str
    size: int


@dataclass(frozen=True)
class Census:
    """All documents in reading order."""

    hashes: NDArray[np.uint64]
    sizes: NDArray[np.int64]
    is_first: NDArray[np.bool_]
    """Of its content; the others are repetitions."""
    candidates: list[Candidate]
    """By hash; twice as much text as can be held out, because some will be passed over."""
    end: "TextEnd | None"
    """Of a single document; None when there are more."""

    @property
    def unique(self) -> int:
        """Number of different contents."""
        return int(self.is_first.sum())

    def kept_sizes(self) -> NDArray[np.int64]:
        """Bytes by ordinal, repetitions counted as nothing; a new array."""
        return np.where(self.is_first, self.sizes, 0)


def take_census(sources: Sources, *, validation_bytes: int, sample_bytes: int) -> Census:
    """Read everything once. `sample_bytes` is for the sample of a single text, which is not read again."""
    hashes, sizes = array("Q"), array("q")
    candidates: SmallestHashes[Candidate] = SmallestHashes(2 * validation_bytes)
    end: TextEnd | None = TextEnd(validation_bytes, TextSample(sample_bytes))
    size = 0
    parts: list[str] = []
    for ordinal, document, part_size, content_hash in measure(sources):
        size += part_size
        parts = [*parts, document.text] if size <= validation_bytes else []
        if ordinal > 0:
            end = None
        elif end is not None:
            end.add(0, document.text, part_size)
        if content_hash is not None:
            hashes.append(content_hash)
            sizes.append(size)
            if size <= validation_bytes and candidates.would_keep((content_hash,)):
                candidates.offer((content_hash,), Candidate(ordinal, "".join(parts), size), size)
            size, parts = 0, []
    all_hashes = np.array(hashes, dtype=np.uint64)
    kept = [candidate for _, candidate, _ in candidates.entries()]
    return Census(all_hashes, np.array(sizes, dtype=np.int64), first_of_each(all_hashes), kept, end)


def measure(sources: Sources) -> Iterator[Measured]:
    """The documents of one pass with their ordinals, lengths and hashes."""
    ordinal = 0
    digest = blake2b(digest_size=8)
    for document in sources:
        data = document.text.encode()
        digest.update(data)
        content_hash = int.from_bytes(digest.digest()) if document.is_last else None
        yield Measured(ordinal, document, len(data), content_hash)
        if document.is_last:
            ordinal += 1
            digest = blake2b(digest_size=8)


def measure_again(sources: Sources, hashes: NDArray[np.uint64]) -> Iterator[Measured]:
    """A later pass; SourceError when it does not see the documents that had these hashes in the first one."""
    changed = "SOURCE changed between two readings ({}); run the command again once nothing writes to it."
    count = 0
    for measured in measure(sources):
        if measured.content_hash is not None:
            count += 1
            if count > len(hashes) or int(hashes[count - 1]) != measured.content_hash:
                raise SourceError(changed.format(f"{measured.document.name} is not what was read before"))
        yield measured
    if count != len(hashes):
        raise SourceError(changed.format(f"{len(hashes):,} documents, then {count:,}"))


def first_of_each(hashes: NDArray[np.uint64]) -> NDArray[np.bool_]:
    """True where a value stands for the first time. By sorting: a Python set would take ten times the memory."""
    order = np.argsort(hashes, kind="stable")
    is_first = np.ones(len(hashes), dtype=np.bool_)
    is_first[order[1:]] = hashes[order[1:]] != hashes[order[:-1]]
    return is_first


class TextEnd:
    """The end of a stream of texts, as much as can be held out; what is older goes into the tokenizer's sample."""

    def __init__(self, validation_bytes: int, sample: TextSample):
        self._validation_bytes = validation_bytes
        self._waiting: deque[tuple[int, str, int]] = deque()
        self._waiting_bytes = 0
        self._pieces = 0
        self.sample = sample
        self.chars = 0

    def add(self, ordinal: int, text: str, size: int) -> None:
        """The next text, of `size` bytes."""
        self._waiting.append((ordinal, text, size))
        self._waiting_bytes += size
        self.chars += len(text)
        while self._waiting_bytes - self._waiting[0][2] >= self._validation_bytes:
            ordinal, text, size = self._waiting.popleft()
            self._waiting_bytes -= size
            self._pieces = self.sample.offer(ordinal, self._pieces, text)

    def cut(self, fraction: float) -> dict[int, str]:
        """The held-out text of each ordinal that has some, in reading order; what else is waiting is sampled."""
        if self.chars < 2:
            raise SourceError("SOURCE holds a single character; part of a text is held out, so two is the least.")
        # The training part is rounded down, as others cut the texts that we compare on: text[: int(0.9 * len(text))].
        chars_left = max(1, self.chars - math.floor((1 - fraction) * self.chars))
        bytes_left = self._validation_bytes
        held_out: dict[int, str] = {}
        while chars_left and bytes_left and self._waiting:
            ordinal, text, _ = self._waiting.pop()
            taken = _last(text, chars_left, bytes_left)
            held_out[ordinal] = taken + held_out.get(ordinal, "")
            chars_left -= len(taken)
            bytes_left -= len(taken.encode())
            if len(taken) < len(text):
                self._waiting.append((ordinal, text[: len(text) - len(taken)], 0))
                break
        for ordinal, text, _ in self._waiting:
            self._pieces = self.sample.offer(ordinal, self._pieces, text)
        return {ordinal: held_out[ordinal] for ordinal in sorted(held_out) if held_out[ordinal]}


def _last(text: str, chars: int, size: int) -> str:
    """The last characters of the text, `chars` of them and `size` bytes at most."""
    data = text[-chars:].encode()
    return data[-size:].decode(errors="ignore")  # a character that the cut went through is left to training
