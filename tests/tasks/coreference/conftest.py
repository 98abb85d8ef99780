"""Stand-ins shared by the tests of coreference."""

import re
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from atinuke.tasks.coreference.documents import Document
from atinuke.tasks.task import Spot
from atinuke.tokenizers.reading import Frame, Ids, Pieces, first_tokens

settings.register_profile("no deadline", deadline=None)  # another process on the machine is no fault of the code
settings.load_profile("no deadline")


class ThreeLetters:
    """Reads words as tokens of at most three characters; 0 stands around parts."""

    def pieces(self, text: str) -> Pieces:
        places = [
            (place, min(place + 3, word.end())) for word in re.finditer(r"\S+", text) for place in _every_third(word)
        ]
        ids = [1 + zlib.crc32(text[start:end].encode()) % 96 for start, end in places]
        starts, ends = [start for start, _ in places], [end for _, end in places]
        return Pieces(*(np.array(each, dtype=np.int64) for each in (ids, starts, ends)))

    def frame(self, *parts: Ids) -> Frame:
        pieces = [np.zeros(1, dtype=np.int64)]
        begins = []
        for part in parts:
            begins.append(sum(map(len, pieces)))
            pieces += [part, np.zeros(1, dtype=np.int64)]
        ids = np.concatenate(pieces)
        return Frame(ids, np.zeros_like(ids), tuple(begins))

    def frame_cost(self, parts: int) -> int:
        return 1 + parts

    def words(self, words: Sequence[str]) -> tuple[Ids, Ids]:
        return first_tokens(self.pieces(" ".join(words)), words)


def _every_third(word: re.Match[str]) -> range:
    return range(word.start(), word.end(), 3)


@pytest.fixture(scope="session")
def reader() -> ThreeLetters:
    return ThreeLetters()


@pytest.fixture(scope="session")
def document_of() -> Callable[..., Document]:
    """A document of sentences written with spaces and full stops: "a b. c d e"."""

    def build(text: str, *clusters: Sequence[tuple[int, int]], name: str = "book") -> Document:
        sentences = tuple(tuple(sentence.split()) for sentence in text.split("."))
        return Document(name, "000", sentences, tuple(map(tuple, clusters)), Spot("book.conll", 1))

    return build


@pytest.fixture
def write_file(tmp_path: Path) -> Callable[[str, str], Path]:
    """Writes a file below a new folder, and gives the folder."""

    def write(name: str, text: str) -> Path:
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        return tmp_path / "data"

    return write
