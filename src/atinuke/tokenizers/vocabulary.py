"""What a tokenizer is made of, and its one file format: the `tokenizer.json` of the `tokenizers` library.

The file is a plain library file, so transformers' PreTrainedTokenizerFast loads it and gives the same ids. Two things
of ours have to live in it: the kind, and a checksum, because a flipped letter in a vocabulary is still valid JSON. The
library refuses keys that it does not know, but keeps the split pattern as it is, and a regular expression may carry a
comment: the pattern begins with `(?#atinuke KIND CHECKSUM)`.

Ids are laid out alike in each kind: 0 is the document separator; then the 256 bytes (word: the unknown word); then
the rest. Neither is registered with the library as a special token, for then a text that spells it would become it.
"""

import hashlib
import json
import math
import os
import re
from dataclasses import dataclass
from typing import Any

import tokenizers as rust

# Without a value in this variable, older versions of the library print advice whenever a process that used it forks. A
# forked child has lost the library's threads and would wait for them for ever, so there it is told to do without.
os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=lambda: os.environ.update(TOKENIZERS_PARALLELISM="false"))

KINDS = ("char", "word", "bpe", "unigram")

END = "<|end|>"
END_ID = 0
UNKNOWN = "<unk>"
UNKNOWN_ID = 1
FIRST_BYTE_ID = 1
BYTE_COUNT = 256

_MARK = re.compile(r"\(\?#atinuke (" + "|".join(KINDS) + r") ([0-9a-f]{16})\)")


class NotOurs(Exception):
    """A file's content is no tokenizer of ours; the text says why, as the end of a sentence."""


def _byte_alphabet() -> list[str]:
    """The printable character that byte-level BPE writes for each byte (Radford et al. 2019; the library has it too).

    Printable Latin-1 bytes stand for themselves, the others for U+0100 onwards, in order.
    """
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in printable else next(others)) for byte in range(BYTE_COUNT)]


BYTE_CHARS = _byte_alphabet()
BYTE_PIECES = [f"<0x{byte:02X}>" for byte in range(BYTE_COUNT)]
RESERVED = {
    "char": (END, *BYTE_PIECES),
    "word": (END, UNKNOWN),
    "bpe": (END, *BYTE_CHARS),
    "unigram": (END, *BYTE_PIECES),
}


@dataclass(frozen=True)
class Vocabulary:
    """All that decides a tokenizer: `pieces` in the order of their ids, and what its model needs beside them."""

    kind: str
    pattern: str  # without the mark
    pieces: tuple[str, ...]
    merges: tuple[tuple[str, str], ...] = ()  # bpe, first to last
    scores: tuple[float, ...] = ()  # unigram: log probability of each piece, in nats

    def checksum(self) -> str:
        """16 hex digits of SHA-256 over everything above."""
        parts = [self.kind, self.pattern, self.pieces, self.merges, self.scores]
        return hashlib.sha256(json.dumps(parts, separators=(",", ":")).encode()).hexdigest()[:16]

    def build(self) -> rust.Tokenizer:
        """The library's tokenizer for this vocabulary."""
        ids = {piece: id for id, piece in enumerate(self.pieces)}
        marked = f"(?#atinuke {self.kind} {self.checksum()})" + self.pattern
        split = rust.pre_tokenizers.Split(rust.Regex(marked), "isolated")
        fuse = rust.decoders.Fuse()
        match self.kind:
            case "bpe":
                tokenizer = rust.Tokenizer(rust.models.BPE(vocab=ids, merges=list(self.merges)))
                to_bytes = rust.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
                tokenizer.pre_tokenizer = rust.pre_tokenizers.Sequence([split, to_bytes])
                tokenizer.decoder = rust.decoders.ByteLevel()
                return tokenizer
            case "char":
                tokenizer = rust.Tokenizer(rust.models.BPE(vocab=ids, merges=[], byte_fallback=True))
                tokenizer.decoder = rust.decoders.Sequence([rust.decoders.ByteFallback(), fuse])
            case "unigram":
                # The model insists on an unknown id. With all bytes at hand it is never given.
                scored = list(zip(self.pieces, self.scores, strict=True))
                tokenizer = rust.Tokenizer(rust.models.Unigram(scored, END_ID, True))
                tokenizer.decoder = rust.decoders.Sequence([rust.decoders.ByteFallback(), fuse])
            case _:
                tokenizer = rust.Tokenizer(rust.models.WordLevel(vocab=ids, unk_token=UNKNOWN))
                tokenizer.decoder = fuse
        tokenizer.pre_tokenizer = split
        return tokenizer

    def piece_bytes(self) -> list[bytes]:
        """For each id the UTF-8 bytes that it stands for: none for the separator, those of U+FFFD for an unknown."""
        if self.kind == "bpe":
            of_char = {char: bytes([byte]) for byte, char in enumerate(BYTE_CHARS)}
            return [b"", *(b"".join(of_char[char] for char in piece) for piece in self.pieces[1:])]
        if self.kind == "word":
            return [b"", "\ufffd".encode(), *(piece.encode() for piece in self.pieces[2:])]
        single = [bytes([byte]) for byte in range(BYTE_COUNT)]
        return [b"", *single, *(piece.encode() for piece in self.pieces[FIRST_BYTE_ID + BYTE_COUNT :])]


def read_vocabulary(text: str) -> Vocabulary:
    """The vocabulary in the text of a `tokenizer.json`; NotOurs if anything in it is not as `build` would write it."""
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotOurs("it is not valid JSON") from error
    try:
        kind, checksum, pattern = _read_mark(tree["pre_tokenizer"])
        vocabulary = _read_model(kind, pattern, tree["model"])
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise NotOurs("it was not written by Atinuke") from error
    if vocabulary.checksum() != checksum:
        raise NotOurs("its vocabulary differs from its checksum")
    if not _agree(tree, json.loads(_build_checked(vocabulary).to_str())):
        raise NotOurs("it holds settings that Atinuke did not write")
    return vocabulary


def _read_mark(section: Any) -> tuple[str, str, str]:
    """Kind, checksum, and the pattern behind the mark, from the `pre_tokenizer` section."""
    split = section["pretokenizers"][0] if section["type"] == "Sequence" else section
    marked = split["pattern"]["Regex"]
    mark = _MARK.match(marked)
    if mark is None:
        raise ValueError("no mark")
    return mark[1], mark[2], marked[mark.end() :]


def _read_model(kind: str, pattern: str, model: Any) -> Vocabulary:
    scores: tuple[float, ...] = ()
    if kind == "unigram":
        pieces = tuple(piece for piece, _ in model["vocab"])
        scores = tuple(float(score) for _, score in model["vocab"])
        if not all(map(math.isfinite, scores)):
            raise ValueError("a score is not a number")
    else:
        ids: dict[str, int] = model["vocab"]
        pieces = tuple(sorted(ids, key=ids.__getitem__))
        if [ids[piece] for piece in pieces] != list(range(len(pieces))):
            raise ValueError("ids are missing or double")
    reserved = RESERVED[kind]
    if pieces[: len(reserved)] != reserved or len(set(pieces)) != len(pieces) or not all(pieces):
        raise ValueError("the reserved pieces are not in their places")
    merges = tuple((left, right) for left, right in model.get("merges", ()))
    return Vocabulary(kind, pattern, pieces, merges, scores)


def _build_checked(vocabulary: Vocabulary) -> rust.Tokenizer:
    """`build`, with whatever the library raises turned into NotOurs. Only a forged checksum gets that far."""
    try:
        return vocabulary.build()
    except BaseException as error:
        # A panic in Rust arrives as pyo3_runtime.PanicException, which is no Exception and cannot be imported.
        if isinstance(error, Exception) or type(error).__module__ == "pyo3_runtime":
            raise NotOurs("the tokenizers library does not accept it") from error
        raise


def _agree(found: Any, expected: Any) -> bool:
    """Whether all that a file says is what we would write. A key may lack (an older library), none may be new."""
    if isinstance(found, dict) and isinstance(expected, dict):
        return all(key in expected and _agree(value, expected[key]) for key, value in found.items())
    if isinstance(found, list) and isinstance(expected, list):
        return len(found) == len(expected) and all(map(_agree, found, expected))
    return type(found) is type(expected) and bool(found == expected)
