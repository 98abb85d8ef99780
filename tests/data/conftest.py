"""Stand-ins shared by the tests of this room."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from numpy.typing import NDArray

from atinuke.data.documents import Document, SourceNotes
from atinuke.data.sources import Sources

settings.register_profile("no deadline", deadline=None)  # another process on the machine is no fault of the code
settings.load_profile("no deadline")


class ByteTokenizer:
    """Ids are UTF-8 bytes, and 256 ends a document."""

    vocab_size = 257
    end_id = 256

    def encode_batch(self, texts: Sequence[str]) -> list[NDArray[np.int32]]:
        return [np.frombuffer(text.encode(), dtype=np.uint8).astype(np.int32) for text in texts]

    def fingerprint(self) -> str:
        return "bytes"


class TextsInMemory(Sources):
    """Documents from a list of texts, in parts of `part_chars`, behind the interface of Sources."""

    def __init__(self, texts: Sequence[str], part_chars: int = 1 << 30):
        self.specs = ("memory",)
        self.texts = list(texts)
        self.part_chars = part_chars
        self.passes = 0

    def __iter__(self) -> Iterator[Document]:
        self.passes += 1
        self.notes = SourceNotes(files=1, documents=len(self.texts))
        for number, text in enumerate(self.texts):
            starts = range(0, len(text), self.part_chars)
            for part, start in enumerate(starts):
                piece = text[start : start + self.part_chars]
                yield Document(f"text {number}", piece, part, is_last=part == len(starts) - 1)


@pytest.fixture
def byte_tokenizer() -> ByteTokenizer:
    return ByteTokenizer()


@pytest.fixture(scope="session")
def in_memory() -> type[TextsInMemory]:
    return TextsInMemory


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    """Writes files into a new folder."""

    def write(files: dict[str, bytes]) -> Path:
        folder = tmp_path / "folder"
        for name, data in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        return folder

    return write
