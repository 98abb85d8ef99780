"""Text → token ids with their character places, framed as a network knows its rows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from atinuke.errors import ConfigError
from atinuke.tokenizers.tokenizer import Tokenizer

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class Pieces:
    """The tokens of a text, without special ones, and the characters that each stands for."""

    ids: Ids
    starts: Ids
    """Where each begins; after the white space that it begins with, unless it holds nothing else."""
    ends: Ids
    """Where each ends, exclusive. Tokens that share a character overlap there."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True)
class Frame:
    """Parts of a row with the special tokens around them."""

    ids: Ids
    segments: Ids
    begins: tuple[int, ...]
    """Place of the first token of each part."""


class Reader(Protocol):
    """How a network's text is read."""

    def pieces(self, text: str) -> Pieces:
        """The tokens of `text`, with their places."""

    def frame(self, *parts: Ids) -> Frame:
        """One or more parts as one row; the first token is a special one."""

    def frame_cost(self, parts: int) -> int:
        """Special tokens that a frame of so many parts adds."""

    def words(self, words: Sequence[str]) -> tuple[Ids, Ids]:
        """The ids of words joined by spaces, and for each word the number of its first token."""


class OurReader:
    """Rows of a network that was trained here: <end> A <end> B <end>, the separator standing around each part."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        if not tokenizer.is_lossless:
            raise ConfigError(
                f"The run's tokenizer is of kind {tokenizer.kind}, which forgets unknown words and where they stood; "
                "expected char, bpe or unigram. Train a run with --tokenizer bpe."
            )
        self.tokenizer = tokenizer
        self._sizes = np.array([len(tokenizer.token_bytes(id)) for id in range(tokenizer.vocab_size)], dtype=np.int64)

    def pieces(self, text: str) -> Pieces:
        """By the bytes of each token: joined they are the text."""
        ids = self.tokenizer.encode(text).astype(np.int64)
        data = text.encode()
        begins_char = (np.frombuffer(data, np.uint8) & 0xC0) != 0x80
        # of each byte, and of the end, the number of the character that it belongs to
        char_of = np.append(np.cumsum(begins_char) - 1, len(text)).astype(np.int64)
        edges = np.concatenate([[0], np.cumsum(self._sizes[ids])]).astype(np.int64)
        starts = char_of[edges[:-1]]
        ends = np.maximum(char_of[np.maximum(edges[1:] - 1, 0)] + 1, starts) if len(ids) else starts
        return Pieces(ids, _after_white_space(text, starts, ends), ends)

    def frame(self, *parts: Ids) -> Frame:
        """<end> A <end> B <end>: segment 1 is B and what follows, as in training on pairs of sentences."""
        end = np.array([self.tokenizer.end_id], dtype=np.int64)
        pieces, segments, begins = [end], [np.zeros(1, dtype=np.int64)], []
        length = 1
        for number, part in enumerate(parts):
            begins.append(length)
            pieces += [part, end]
            segments.append(np.full(len(part) + 1, min(number, 1), dtype=np.int64))
            length += len(part) + 1
        return Frame(np.concatenate(pieces), np.concatenate(segments), tuple(begins))

    def frame_cost(self, parts: int) -> int:
        """One separator before the first part, and one after each."""
        return 1 + parts

    def words(self, words: Sequence[str]) -> tuple[Ids, Ids]:
        """Of words joined by single spaces."""
        return first_tokens(self.pieces(" ".join(words)), words)


def first_tokens(pieces: Pieces, words: Sequence[str]) -> tuple[Ids, Ids]:
    """The ids, and the first token of each word of a text that is `words` joined by single spaces.

    A word without a token of its own shares the one that follows, or the last.
    """
    lengths = np.array([len(word) for word in words], dtype=np.int64)
    begins = np.concatenate([[0], np.cumsum(lengths + 1)[:-1]]).astype(np.int64) if len(words) else lengths
    first = np.searchsorted(pieces.ends, begins, side="right").astype(np.int64)  # the first that ends after it begins
    return pieces.ids, np.minimum(first, max(len(pieces) - 1, 0))


def _after_white_space(text: str, starts: Ids, ends: Ids) -> Ids:
    """Starts moved behind the white space that a token begins with, where it holds more than that."""
    is_space = np.array([char.isspace() for char in text] + [False])
    if not is_space.any() or not len(starts):
        return starts
    # of each place, the next one that is not white space
    places = np.where(is_space, len(text), np.arange(len(text) + 1))
    ahead = np.minimum.accumulate(places[::-1])[::-1]
    moved = ahead[np.minimum(starts, len(text))]
    return np.where(moved < ends, moved, starts).astype(np.int64)
