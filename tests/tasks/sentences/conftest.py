"""Stand-ins shared by the tests of this room."""

import bz2
import gzip
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from atinuke.tokenizers.reading import Frame, Ids, Pieces

settings.register_profile("no deadline", deadline=None)  # another process on the machine is no fault of the code
settings.load_profile("no deadline")


class LetterReader:
    """Ids are code points, and 0 stands around each part."""

    def pieces(self, text: str) -> Pieces:
        places = np.arange(len(text), dtype=np.int64)
        return Pieces(np.array([ord(letter) for letter in text], dtype=np.int64), places, places + 1)

    def frame(self, *parts: Ids) -> Frame:
        ids, segments, begins = [0], [0], []
        for number, part in enumerate(parts):
            begins.append(len(ids))
            ids += [*part.tolist(), 0]
            segments += [number] * (len(part) + 1)
        return Frame(np.array(ids, dtype=np.int64), np.array(segments, dtype=np.int64), tuple(begins))

    def frame_cost(self, parts: int) -> int:
        return 1 + parts

    def words(self, words: object) -> tuple[Ids, Ids]:
        raise NotImplementedError


@pytest.fixture
def letter_reader() -> LetterReader:
    return LetterReader()


@pytest.fixture
def folder_of(tmp_path: Path) -> Callable[[Mapping[str, str]], Path]:
    """Writes texts as files of a folder, compressed where their names say so."""

    def write(files: Mapping[str, str]) -> Path:
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            data = text.encode()
            packed = gzip.compress(data) if name.endswith(".gz") else bz2.compress(data)
            path.write_bytes(packed if name.endswith((".gz", ".bz2")) else data)
        return tmp_path

    return write
