"""The one interface of all four kinds: text to ids, ids to text, to and from a file.

The work is done in Rust by the `tokenizers` library; kind char, which is a table look-up, by numpy. Decoding goes
through bytes here for each kind alike, so that text decoded at once and text decoded piece by piece are equal even
for ids that stand for no valid UTF-8, as a model may well sample them.
"""

import codecs
import functools
import hashlib
import operator
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any, SupportsIndex, final

import numpy as np
from numpy.typing import NDArray

from atinuke.errors import DamagedFileError, RunFolderError, SourceError
from atinuke.run_folder import write_atomic
from atinuke.tokenizers.splitting import cut
from atinuke.tokenizers.vocabulary import END_ID, FIRST_BYTE_ID, UNKNOWN_ID, NotOurs, Vocabulary, read_vocabulary

Ids = NDArray[np.int32]

LOSS_NOTE = (
    "A word outside the vocabulary comes back, with the space before it, as one U+FFFD;"
    " so does a rare sign, digit or space outside ASCII."
)

# Handed to Rust in one call: some hundred bytes a token are held there until its ids are copied, 0.4 GB at worst.
_CHARS_PER_CALL = 1_000_000


@final
class Tokenizer:
    """A trained tokenizer. Equal vocabularies give equal ids; nothing about it can be changed."""

    def __init__(self, vocabulary: Vocabulary, json_text: str | None = None) -> None:
        """From a vocabulary; `json_text` is the file that it was read from, if it was."""
        self._rust = vocabulary.build()
        self._json = json_text if json_text is not None else self._rust.to_str(pretty=True) + "\n"
        self._vocabulary = vocabulary
        self._bytes = vocabulary.piece_bytes()
        self.kind = vocabulary.kind
        self.vocab_size = len(vocabulary.pieces)
        self.end_id = END_ID
        self.unknown_id = UNKNOWN_ID if self.kind == "word" else None
        self.is_lossless = self.kind != "word"
        self.loss_note = "" if self.is_lossless else LOSS_NOTE

    def __repr__(self) -> str:
        return f"Tokenizer(kind={self.kind!r}, vocab_size={self.vocab_size})"

    def encode(self, text: str) -> Ids:
        """The ids of `text`, never `end_id`; none for an empty text."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[Ids]:
        """The ids of each text, on all cores. Long texts are cut where that leaves their ids as they are: see `cut`."""
        for text in texts:
            refuse_surrogates(text)
        if self.kind == "char":
            return [np.concatenate([self._encode_chars(chunk) for chunk in ("", *cut(text))]) for text in texts]
        numbered = [(number, chunk) for number, text in enumerate(texts) for chunk in cut(text)]
        parts: list[list[Ids]] = [[np.empty(0, np.int32)] for _ in texts]
        ids_of_chunks = encode_chunks(self._rust, (chunk for _, chunk in numbered))
        for (number, _), ids in zip(numbered, ids_of_chunks, strict=True):
            parts[number].append(ids)
        return [np.concatenate(found) for found in parts]

    def decode(self, ids: Iterable[SupportsIndex]) -> str:
        """The text of `ids`. Bytes that are no valid UTF-8 come out as U+FFFD, and so does the unknown word."""
        return b"".join(map(self.token_bytes, ids)).decode("utf-8", "replace")

    def token_bytes(self, id: SupportsIndex) -> bytes:
        """The bytes that `id` stands for; joined over `encode(text)` they are the text's UTF-8 (all kinds but word).

        `end_id` stands for none; `unknown_id` for U+FFFD, the sign for a character that cannot be shown.
        """
        index = operator.index(id)
        if not 0 <= index < self.vocab_size:
            raise ValueError(f"token id is {index}; expected 0 to {self.vocab_size - 1}, the size of the vocabulary.")
        return self._bytes[index]

    def unknown_bytes(self, text: str) -> int:
        """How many UTF-8 bytes of `text` stand behind unknown words. Bits per byte charges 8 bits for each."""
        if self.unknown_id is None:
            return 0
        lengths = np.array([len(piece) for piece in self._bytes])
        lengths[self.unknown_id] = 0
        return len(text.encode()) - int(lengths[self.encode(text)].sum())

    def save(self, path: Path) -> None:
        """Write `tokenizer.json`, whole or not at all."""
        write_atomic(path, self._json)

    @classmethod
    def load(cls, path: Path) -> "Tokenizer":
        """The tokenizer that `save` wrote to `path`."""
        mend = "Copy it again from where it was made, or train again."
        if path.is_dir():
            raise DamagedFileError(f"{path} is a folder; expected a tokenizer file. {mend}")
        try:
            data = path.read_bytes()
        except OSError as error:
            raise RunFolderError(
                f"{path} cannot be read ({error.strerror}); expected a tokenizer file. {mend}"
            ) from error
        try:
            text = data.decode("utf-8")
            return cls(read_vocabulary(text), text)
        except (UnicodeDecodeError, NotOurs) as error:
            reason = error if isinstance(error, NotOurs) else "it is not UTF-8 text"
            raise DamagedFileError(f"{path} is damaged, or no tokenizer of Atinuke: {reason}. {mend}") from error

    def fingerprint(self) -> str:
        """SHA-256, in hex, of the file that `save` writes."""
        return hashlib.sha256(self._json.encode()).hexdigest()

    @functools.cached_property
    def _id_of_char(self) -> Ids:
        """For each code point its id, or −1 where only its bytes have ids. 4.5 MB, made when first needed."""
        table = np.full(0x110000, -1, np.int32)
        for id in range(FIRST_BYTE_ID + 256, self.vocab_size):
            table[ord(self._vocabulary.pieces[id])] = id
        return table

    def _encode_chars(self, text: str) -> Ids:
        """What the Rust model without merges gives (a test compares them), by one look-up for the whole text."""
        points = np.frombuffer(text.encode("utf-32-le"), dtype="<u4")
        known: Ids = self._id_of_char[points]
        if known.size == 0 or known.min() >= 0:
            return known
        is_spelled = known < 0  # in bytes
        utf8_length = 1 + (points > 0x7F) + (points > 0x7FF) + (points > 0xFFFF)
        is_byte = np.repeat(is_spelled, np.where(is_spelled, utf8_length, 1))
        spelled = points[is_spelled].tobytes().decode("utf-32-le").encode()
        ids = np.empty(is_byte.size, np.int32)
        ids[~is_byte] = known[~is_spelled]
        ids[is_byte] = np.frombuffer(spelled, np.uint8).astype(np.int32) + FIRST_BYTE_ID
        return ids


@final
class TextDecoder:
    """Ids to text as they come: a character appears once its last byte has, so no broken one is ever shown."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def feed(self, id: SupportsIndex) -> str:
        """The text that `id` completes: "" while a character lacks bytes."""
        return self._utf8.decode(self._tokenizer.token_bytes(id))

    def finish(self) -> str:
        """What is left: "" or U+FFFD for a character that was never completed. The decoder is as new afterwards."""
        return self._utf8.decode(b"", final=True)


def encode_chunks(model: Any, chunks: Iterable[str]) -> Iterator[Ids]:
    """The ids that a library tokenizer gives for each chunk, on all cores and in bounded memory."""
    encode = getattr(model, "encode_batch_fast", model.encode_batch)  # the fast one leaves out character offsets
    batch: list[str] = []
    size = 0
    for chunk in chain(chunks, [None]):
        if chunk is not None:
            batch.append(chunk)
            size += len(chunk)
        if chunk is None or size >= _CHARS_PER_CALL:
            for encoding in encode(batch, add_special_tokens=False):
                yield np.array(encoding.ids, np.int32)
            batch, size = [], 0


def refuse_surrogates(text: str) -> None:
    """SourceError for half a UTF-16 pair, which no UTF-8 file can hold and no tokenizer can give back."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        code = f"U+{ord(text[error.start]):04X}"
        raise SourceError(
            f"The text has the lone surrogate {code} at character {error.start}; expected text that UTF-8 can hold."
            " Read it with errors='replace', or remove the character."
        ) from error
