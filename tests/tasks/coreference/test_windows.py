"""Documents as rows: windows of whole sentences, marks that find each word, mentions counted from the first row."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.tasks.coreference import windows
from atinuke.tasks.coreference.documents import Document, Mention
from atinuke.tasks.coreference.windows import cut, rows_of
from atinuke.tasks.task import Row, Spot
from atinuke.tokenizers.reading import Reader

DocumentOf = Callable[..., Document]


def mentions(row: Row) -> list[tuple[int, ...]]:
    return sorted(zip(*(each.tolist() for each in row.targets), strict=True))


class TestCutting:
    @pytest.mark.parametrize(
        "sizes, ends, room, expected",
        [
            ([1] * 6, [2, 4, 6], 4, [(0, 4), (4, 6)]),
            ([1] * 6, [2, 4, 6], 5, [(0, 4), (4, 6)]),
            ([1] * 6, [2, 4, 6], 6, [(0, 6)]),
            ([1] * 6, [1, 6], 3, [(0, 1), (1, 4), (4, 6)]),  # a sentence that is too long is cut where it has to be
            ([1, 9, 1], [3], 4, [(0, 1), (1, 2), (2, 3)]),  # and a word that is too long stands alone
            ([0, 0, 2], [3], 2, [(0, 3)]),  # words without a token of their own
        ],
    )
    def test_worked_by_hand(
        self, sizes: list[int], ends: list[int], room: int, expected: list[tuple[int, int]]
    ) -> None:
        edges = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        assert cut(ends, edges, room) == expected

    @given(st.lists(st.lists(st.integers(0, 5), min_size=1, max_size=6), min_size=1, max_size=6), st.integers(1, 12))
    def test_every_word_is_in_one_window_that_has_room_for_it(self, sentences: list[list[int]], room: int) -> None:
        sizes = [size for sentence in sentences for size in sentence]
        ends = np.cumsum([len(sentence) for sentence in sentences]).tolist()
        edges = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        found = cut(ends, edges, room)
        assert [word for begin, end in found for word in range(begin, end)] == list(range(len(sizes)))
        for begin, end in found:
            assert edges[end] - edges[begin] <= room or end == begin + 1
            if end not in ends:  # cut inside a sentence, which does not fit into one window
                inside = next(number for number, each in enumerate(ends) if each > begin)
                start = ends[inside - 1] if inside else 0
                assert edges[ends[inside]] - edges[begin] > room and start <= begin


class TestRows:
    def test_worked_by_hand(self, reader: Reader, document_of: DocumentOf) -> None:
        # tokens: Eliz abe th | ran | . of six and more letters there are several
        document = document_of("Elizabeth ran. She fell badly", [(0, 0), (2, 2)], [(4, 4)])
        (row,) = rows_of(7, document, reader, 64, with_targets=True)
        firsts, lasts, sentences = row.marks
        assert firsts.tolist() == [1, 4, 5, 6, 8] and lasts.tolist() == [3, 4, 5, 7, 9]
        assert sentences.tolist() == [0, 0, 1, 1, 1]
        assert len(row) == 11 and row.example == 7 and row.place == (0,)
        assert mentions(row) == [(0, 0, 0), (2, 2, 0), (4, 4, 1)]
        assert all(each.dtype == np.int64 for each in (*row.marks, *row.targets, row.ids, row.segments))

    def test_targets_stand_in_the_first_row(self, reader: Reader, document_of: DocumentOf) -> None:
        document = document_of("one two. a b. c d", [(0, 0), (4, 5)])
        rows = rows_of(0, document, reader, 4, with_targets=True)
        assert [len(row) for row in rows] == [4, 4, 4] and [len(row.marks[0]) for row in rows] == [2, 2, 2]
        assert [row.marks[2].tolist() for row in rows] == [[0, 0], [1, 1], [2, 2]]
        assert mentions(rows[0]) == [(0, 0, 0), (4, 5, 0)]
        assert all(len(each) == 0 and each.dtype == np.int64 for row in rows[1:] for each in row.targets)
        assert all(row.targets == () for row in rows_of(0, document, reader, 4, with_targets=False))

    def test_a_mention_annotated_twice_is_of_the_first_cluster(self, reader: Reader, document_of: DocumentOf) -> None:
        (row,) = rows_of(0, document_of("a b", [(0, 0), (1, 1)], [(1, 1), (1, 1)]), reader, 9, with_targets=True)
        assert mentions(row) == [(0, 0, 0), (1, 1, 0)]

    def test_long_documents_are_trained_on_in_part(
        self, reader: Reader, document_of: DocumentOf, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(windows, "MOST_TRAINED_TOKENS", 8)
        clusters: list[list[Mention]] = [[(word, word) for word in range(12)]]
        document = document_of(". ".join(["a b"] * 6), *clusters)
        begins = set()
        for number in range(40):
            rows = rows_of(number, document, reader, 4, with_targets=True)
            assert len(rows) == 2 and len({row.place for row in rows}) == 1
            (begin,) = rows[0].place
            begins.add(begin)
            assert mentions(rows[0]) == [(word, word, 0) for word in range(4)]  # counted from the first row
            again = rows_of(number, document, reader, 4, with_targets=True)
            assert all((one.ids == other.ids).all() for one, other in zip(rows, again, strict=True))
            assert rows[0].marks[2].tolist() == [begin // 2] * 2
        assert begins == {0, 2, 4, 6, 8}  # whichever stretch
        assert len(rows_of(0, document, reader, 4, with_targets=False)) == 6  # all of it is answered

    def test_a_document_without_words_has_no_row(self, reader: Reader) -> None:
        assert rows_of(0, Document("d", "", (), (), Spot("f")), reader, 9, with_targets=True) == []

    def test_ontonotes_signs_are_read_as_others_write_them(self, reader: Reader) -> None:
        spelled = Document("d", "", (("-LRB-", "ha", "-RRB-", "/."),), (), Spot("f"))
        plain = Document("d", "", (("(", "ha", ")", "."),), (), Spot("f"))
        ours, theirs = (rows_of(0, each, reader, 32, with_targets=False)[0].ids for each in (spelled, plain))
        assert ours.tolist() == theirs.tolist()

    @given(
        st.lists(st.lists(st.text("abc", min_size=1, max_size=20), min_size=1, max_size=8), min_size=1, max_size=5),
        st.integers(4, 20),
    )
    def test_marks_find_the_tokens_of_every_word(
        self, reader: Reader, sentences: list[list[str]], max_tokens: int
    ) -> None:
        document = Document("d", "", tuple(map(tuple, sentences)), (), Spot("f", 1))
        rows = rows_of(0, document, reader, max_tokens, with_targets=False)
        words = [word for sentence in sentences for word in sentence]
        found: list[tuple[Row, int, int]] = []
        for row in rows:
            assert len(row) <= max_tokens and len({len(mark) for mark in row.marks}) == 1
            found += [(row, first, last) for first, last in zip(row.marks[0], row.marks[1], strict=True)]
        assert len(found) == len(words)
        for word, (row, first, last) in zip(words, found, strict=True):
            ids = reader.pieces(word).ids
            if len(ids) <= max_tokens - 2:
                assert row.ids[first : last + 1].tolist() == ids.tolist()
            else:  # a word that is too long for a row is cut
                assert row.ids[first : last + 1].tolist() == ids[: max_tokens - 2].tolist()
