"""A reader of words for the tests: a token for each three letters, 0 around each part."""

from collections.abc import Sequence

import numpy as np
import pytest

from atinuke.tokenizers.reading import Frame, Ids, Pieces

LETTERS = 3


class ThreeLetters:
    """The id of a token is the sum of its letters' codes; a word of spaces has no token."""

    def pieces(self, text: str) -> Pieces:
        raise NotImplementedError

    def frame(self, *parts: Ids) -> Frame:
        ids, segments, begins = [0], [0], []
        for number, part in enumerate(parts):
            begins.append(len(ids))
            ids += [*part.tolist(), 0]
            segments += [min(number, 1)] * (len(part) + 1)
        return Frame(np.array(ids, dtype=np.int64), np.array(segments, dtype=np.int64), tuple(begins))

    def frame_cost(self, parts: int) -> int:
        return 1 + parts

    def words(self, words: Sequence[str]) -> tuple[Ids, Ids]:
        ids: list[int] = []
        firsts = []
        for word in words:
            firsts.append(len(ids))
            stripped = word.strip()
            ids += [sum(map(ord, stripped[at : at + LETTERS])) for at in range(0, len(stripped), LETTERS)]
        first = np.array(firsts, dtype=np.int64)
        return np.array(ids, dtype=np.int64), np.minimum(first, max(len(ids) - 1, 0))


@pytest.fixture
def reader() -> ThreeLetters:
    return ThreeLetters()
