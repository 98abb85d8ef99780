"""What the tests of SQuAD share: a reader whose tokens are words."""

import re
from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from atinuke.tokenizers.reading import Frame, Pieces

Ids = NDArray[np.int64]


class WordReader:
    """Words between white space are tokens, numbered as they come; rows are [0] A [1] B [1], as BERT's are."""

    def __init__(self) -> None:
        self.ids: dict[str, int] = {}

    def pieces(self, text: str) -> Pieces:
        """One token for each word."""
        found = list(re.finditer(r"\S+", text))
        ids = [self.ids.setdefault(each.group(), len(self.ids) + 2) for each in found]
        columns = (ids, [each.start() for each in found], [each.end() for each in found])
        return Pieces(*(np.array(column, dtype=np.int64) for column in columns))

    def frame(self, *parts: Ids) -> Frame:
        """A token before the first part and one after each."""
        ids, segments, begins = [0], [0], []
        for number, part in enumerate(parts):
            begins.append(len(ids))
            ids += [*part.tolist(), 1]
            segments += [number] * (len(part) + 1)
        return Frame(np.array(ids, dtype=np.int64), np.array(segments, dtype=np.int64), tuple(begins))

    def frame_cost(self, parts: int) -> int:
        """The tokens that `frame` adds."""
        return 1 + parts

    def words(self, words: Sequence[str]) -> tuple[Ids, Ids]:
        """One token for each word."""
        return self.pieces(" ".join(words)).ids, np.arange(len(words), dtype=np.int64)


@pytest.fixture(scope="session")
def reader() -> WordReader:
    """A reader without memory of its own but for the numbers of words."""
    return WordReader()
