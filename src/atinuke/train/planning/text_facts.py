"""What the planner knows about a text before anything is trained on it."""

import statistics
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from atinuke.tokenizers.tokenizer import Tokenizer

MEASURED_PIECES, PIECE_CHARACTERS = 75, 4000
HELD_OUT_PIECES = 250
COMPRESSED_PIECES, COMPRESSED_BYTES = 8, 32_000
ORDINARY_PROSE = 3.4
"""zlib's bits per byte of the novels that our grid was trained on."""


@dataclass(frozen=True)
class TextFacts:
    """How much text there is, how its tokens are, and how hard it is to foretell."""

    train_bytes: int
    bytes_per_token: float
    difficulty: float = 1.0
    """zlib's bits per byte, as a part of what they are for novels: source code is about 0.65."""

    held_out_ratio: float = 1.0
    """Tokens in a byte of the held-out text, as a part of what they are in the training text: above 1 where the
    tokenizer knows its words less well."""

    @property
    def train_tokens(self) -> int:
        """Tokens in one pass over the training text."""
        return max(1, int(self.train_bytes / self.bytes_per_token))

    @classmethod
    def measure(cls, train_bytes: int, tokenizer: Tokenizer, sample: Sequence[str], held_out: Sequence[str]) -> Self:
        """Measured on about 300 KB of the sample and 1 MB of what is held out, spread over them."""
        each = bytes_per_token(tokenizer, sample)
        text = "".join(held_out)
        pieces = [text[start : start + PIECE_CHARACTERS] for start in range(0, len(text), PIECE_CHARACTERS)]
        held_out_each = bytes_per_token(tokenizer, pieces, HELD_OUT_PIECES) if text else each
        return cls(train_bytes, each, difficulty(sample), each / held_out_each)


def bytes_per_token(tokenizer: Tokenizer, sample: Sequence[str], at_most: int = MEASURED_PIECES) -> float:
    """UTF-8 bytes behind a token, on about so many pieces of 4,000 characters, spread over the sample."""
    pieces = [text[:PIECE_CHARACTERS] for text in sample[:: max(1, len(sample) // at_most)]]
    tokens = sum(len(ids) for ids in tokenizer.encode_batch(pieces))
    return sum(len(piece.encode()) for piece in pieces) / max(tokens, 1)


def difficulty(sample: Sequence[str]) -> float:
    """The middle of zlib's bits per byte over a few pieces, as a part of what novels take; 1 for too little text."""
    text = "".join(sample).encode()
    if len(text) < COMPRESSED_BYTES:
        return 1.0
    last = len(text) - COMPRESSED_BYTES
    starts = [last * number // (COMPRESSED_PIECES - 1) for number in range(COMPRESSED_PIECES)]
    rates = [8 * len(zlib.compress(text[start : start + COMPRESSED_BYTES], 9)) / COMPRESSED_BYTES for start in starts]
    return statistics.median(rates) / ORDINARY_PROSE
