"""Text as a Hugging Face network reads it: its own tokenizer, its own special tokens around the parts of a row.

No torch here. In a tuned run: tokenizer.json, as it was found, and reader.json, the special ids and the size of the
vocabulary.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

import numpy as np

from atinuke.config import one_line
from atinuke.durable import JSON, printable, read_json, reading, to_json, write_atomic
from atinuke.errors import ConfigError, DamagedFileError, SourceError
from atinuke.export.hub_settings import read_hub_settings
from atinuke.export.hub_vocabulary import TOKENIZER, Framing, Unreadable, build, highest_id, read_tokenizer
from atinuke.tokenizers.reading import Frame, Ids, Pieces, first_tokens
from atinuke.tokenizers.tokenizer import refuse_surrogates

READER = "reader.json"


@final
class HubReader:
    """A `Reader`: [CLS] A [SEP] B [SEP], <s> A </s></s> B </s>, or <s> A </s> B </s>, by family.

    A special token that a text spells is letters like any other.
    """

    def __init__(self, json_text: str, framing: Framing, vocab_size: int) -> None:
        """From the text of a tokenizer.json. `Unreadable` where it is none, or has ids beyond the network's."""
        self._rust = build(json_text)
        self._json = json_text
        self.framing = framing
        self.vocab_size = vocab_size
        special = (*framing.opening, *framing.between, *framing.closing)
        last = max(highest_id(self._rust), max(special))
        if last >= vocab_size or min(special) < 0:
            raise Unreadable(f"it gives ids up to {last}, and the network has {vocab_size}")

    def pieces(self, text: str) -> Pieces:
        """The tokens of `text`, with their characters; SourceError for what the tokenizer cannot read."""
        refuse_surrogates(text)
        try:
            encoding = self._rust.encode(text, add_special_tokens=False)
        except Exception as error:  # a word that is unknown to a vocabulary without a token for unknown words
            raise SourceError(f"The network's tokenizer cannot read a text: {one_line(error)}.") from error
        starts = [_after_white_space(text, start, end) for start, end in encoding.offsets]
        ends = np.array([end for _, end in encoding.offsets], dtype=np.int64)
        # never back: what a normalizer has put in stands where the next character does
        return Pieces(
            np.array(encoding.ids, dtype=np.int64), np.array(starts, dtype=np.int64), np.maximum.accumulate(ends)
        )

    def frame(self, *parts: Ids) -> Frame:
        """The parts with the special tokens around them; each part's segment goes to the end of what closes it."""
        opening = np.array(self.framing.opening, dtype=np.int64)
        ids, segments, begins = [opening], [np.zeros(len(opening), dtype=np.int64)], []
        length = len(opening)
        for number, part in enumerate(parts):
            is_last = number == len(parts) - 1
            after = np.array(self.framing.closing if is_last else self.framing.between, dtype=np.int64)
            segment = min(number, 1) if self.framing.has_segments else 0
            begins.append(length)
            ids += [part, after]
            segments.append(np.full(len(part) + len(after), segment, dtype=np.int64))
            length += len(part) + len(after)
        return Frame(np.concatenate(ids), np.concatenate(segments), tuple(begins))

    def frame_cost(self, parts: int) -> int:
        """Special tokens that a frame of so many parts adds; of one part at least."""
        return len(self.framing.opening) + (parts - 1) * len(self.framing.between) + len(self.framing.closing)

    def words(self, words: Sequence[str]) -> tuple[Ids, Ids]:
        """Of words joined by single spaces."""
        return first_tokens(self.pieces(" ".join(words)), words)

    def save(self, folder: Path) -> None:
        """Writes tokenizer.json and reader.json into `folder`, each whole or not at all."""
        framing = self.framing
        facts: dict[str, JSON] = {
            "opening": list(framing.opening),
            "between": list(framing.between),
            "closing": list(framing.closing),
            "has_segments": framing.has_segments,
            "vocab_size": self.vocab_size,
        }
        write_atomic(folder / TOKENIZER, self._json)
        write_atomic(folder / READER, to_json(facts) + "\n")

    @classmethod
    def load(cls, folder: Path) -> "HubReader":
        """What `save` wrote into `folder`; DamagedFileError names the file that is not as it was."""
        facts = read_json(folder / READER)
        opening, between, closing = (_ids(folder, facts, key) for key in ("opening", "between", "closing"))
        has_segments, vocab_size = facts.get("has_segments"), facts.get("vocab_size")
        if not isinstance(has_segments, bool) or isinstance(vocab_size, bool) or not isinstance(vocab_size, int):
            raise _damaged(folder / READER, "has_segments or vocab_size is missing")
        path = folder / TOKENIZER
        with reading(path):
            raw = path.read_bytes()
        try:
            return cls(raw.decode(), Framing(opening, between, closing, has_segments), vocab_size)
        except (UnicodeDecodeError, Unreadable) as error:
            raise _damaged(path, str(error) if isinstance(error, Unreadable) else "it is not UTF-8 text") from error

    @classmethod
    def of_folder(cls, folder: Path) -> "HubReader":
        """How the network in a Hugging Face folder reads text; ConfigError names what is missing or does not fit."""
        settings = read_hub_settings(folder)
        text, framing = read_tokenizer(folder, settings)
        try:
            return cls(text, framing, settings.network.vocab_size)
        except Unreadable as reason:
            raise ConfigError(f"{printable(folder)} has a tokenizer that does not fit: {reason}.") from reason


def _after_white_space(text: str, start: int, end: int) -> int:
    """Behind the white space that a token begins with, unless it holds nothing else."""
    place = start
    while place < end and text[place].isspace():
        place += 1
    return place if place < end else start


def _ids(folder: Path, facts: dict[str, Any], key: str) -> tuple[int, ...]:
    value = facts.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(id, int) for id in value):
        raise _damaged(folder / READER, f"{key} is no list of ids")
    return tuple(value)


def _damaged(path: Path, reason: str) -> DamagedFileError:
    return DamagedFileError(f"{printable(path)} is damaged: {reason}. Restore it from a copy, or tune again.")
