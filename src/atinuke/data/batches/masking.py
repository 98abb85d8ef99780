"""Which tokens of a row are hidden, and behind what; and the random bits that decide it."""

import unicodedata
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from atinuke.tokenizers.tokenizer import Tokenizer

MASKED_PART, RANDOM_PART = 0.8, 0.1
"""Of the chosen tokens; the rest stays as it is, so that the network has to keep what it reads."""

# numpy promises the bits of Philox for ever; one seed gives independent streams by the last word of its counter
ORDER, ROWS, KINDS, SAMPLE = 0, 1, 2, 3

Ids = NDArray[np.int64]
Flags = NDArray[np.bool_]
Bits = NDArray[np.uint64]


def word_starts(tokenizer: Tokenizer) -> Flags:
    """For each id, whether a word begins with it: its text begins with anything but a letter, digit or mark.

    So a space belongs to the word after it; a word right after a line feed or a bracket goes with that.
    """
    return np.array([_begins_word(tokenizer.token_bytes(id)) for id in range(tokenizer.vocab_size)])


def _begins_word(piece: bytes) -> bool:
    if piece[:1] >= b"\x80":
        try:
            first = piece.decode()[:1]
        except UnicodeDecodeError:
            return False  # part of a character: of a letter, most likely
        return not (first.isalnum() or _is_mark(first))
    return not piece[:1].isalnum()


def _is_mark(character: str) -> bool:
    """Accents that combine with the letter before them, as in the Yoruba ẹ̀."""
    return unicodedata.category(character).startswith("M")


@dataclass(frozen=True)
class Masking:
    """Which tokens are hidden, and behind what: Devlin et al. 2019, arXiv:1810.04805, §3.1 and A.1."""

    mask_id: int
    end_id: int
    """Never hidden, and never what something hides behind."""
    vocab_size: int
    """Real ids: random ones are drawn from 0 … vocab_size − 1."""
    share: float = 0.15
    """Part of each row's tokens that is chosen, rounded to whole tokens; at least one."""
    word_starts: Flags | None = None
    """For each id whether it begins a word; then words are chosen whole. None: each token by itself."""

    def __post_init__(self) -> None:
        assert self.mask_id >= self.vocab_size > 1 and 0 <= self.end_id < self.vocab_size, self

    def hide(self, tokens: Ids, may_hide: Flags, bits: Bits) -> tuple[Ids, Flags]:
        """`tokens` (B, T) with some hidden, and which were chosen, by 3·T random bits (uint64) for each row."""
        length = tokens.shape[1]
        chosen = self._choose(tokens, may_hide & (tokens != self.end_id), bits[:, :length])
        roll = fractions(bits[:, length : 2 * length])
        random_ids = (bits[:, 2 * length : 3 * length] % np.uint64(self.vocab_size - 1)).astype(np.int64)
        random_ids += random_ids >= self.end_id
        hidden = np.where(chosen & (roll < MASKED_PART + RANDOM_PART), random_ids, tokens)
        return np.where(chosen & (roll < MASKED_PART), self.mask_id, hidden), chosen

    def _choose(self, tokens: Ids, may_hide: Flags, bits: Bits) -> Flags:
        """Words in a random order, until their tokens are as near to the share as whole words allow.

        The original skips words that would exceed the share and goes on, which favours short words; here none is.
        """
        most = np.maximum(1, np.rint(self.share * may_hide.sum(axis=1))).astype(np.int64)[:, None]
        inside, size = self._words(tokens, may_hide, most)
        first = np.arange(tokens.size).reshape(tokens.shape) - inside
        # what may not be hidden comes last; the tokens of a word share its rank and stay together in a stable sort
        rank = np.where(may_hide, bits.ravel()[first] >> np.uint64(1), np.uint64(2**64 - 1))
        order = np.argsort(rank, axis=1, kind="stable")
        start = np.arange(tokens.shape[1]) - np.take_along_axis(inside, order, axis=1)
        end = start + np.take_along_axis(size, order, axis=1)
        chosen = np.zeros(tokens.shape, dtype=np.bool_)
        np.put_along_axis(chosen, order, start + end <= 2 * most, axis=1)
        return chosen & may_hide

    def _words(self, tokens: Ids, may_hide: Flags, most: Ids) -> tuple[Ids, Ids]:
        """For each token, how many of its word stand before it, and how many tokens the word has.

        A word longer than `most` tokens, as in scripts without spaces, counts as several.
        """
        if self.word_starts is None:
            return np.zeros_like(tokens), np.ones_like(tokens)
        is_start = self.word_starts[tokens] | ~may_hide
        is_start[:, 1:] |= ~may_hide[:, :-1]
        is_start[:, 0] = True
        places = np.arange(tokens.size)
        first = np.maximum.accumulate(np.where(is_start.ravel(), places, 0))
        is_start |= (places - first).reshape(tokens.shape) % most == 0
        first = np.maximum.accumulate(np.where(is_start.ravel(), places, 0))
        size = np.bincount(first, minlength=tokens.size)[first]
        return (places - first).reshape(tokens.shape), size.reshape(tokens.shape)


def row_bits(seed: int, position: int, rows: int, count: int) -> Bits:
    """(rows, count) random uint64, those of a row depending on `seed` and its own position alone."""
    return np.stack([stream(seed, row, ROWS).random_raw(count) for row in range(position, position + rows)])


def stream(seed: int, number: int, kind: int) -> np.random.Philox:
    """The random bits of one epoch, row or batch; `kind` says of which."""
    return np.random.Philox(
        key=np.array([seed % 2**64, number], dtype=np.uint64), counter=np.array([0, 0, 0, kind], dtype=np.uint64)
    )


def below(bits: Bits, limits: Ids) -> Ids:
    """Whole numbers from 0 to limits − 1; limits far below 2^64 make them as good as uniform."""
    return (bits % limits.astype(np.uint64)).astype(np.int64)


def fractions(bits: Bits) -> NDArray[np.float64]:
    """Uniform numbers in [0, 1)."""
    return (bits >> np.uint64(11)).astype(np.float64) * 2.0**-53
