"""Rows: where words and predicates stand in them, and what happens to sentences that are too long."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.errors import ConfigError
from atinuke.tasks.roles.brackets import Span
from atinuke.tasks.roles.rows import WordTokens, rows_of
from atinuke.tasks.roles.sentence import Proposition, Sentence
from atinuke.tasks.roles.tags import Tags
from atinuke.tasks.task import Row, Spot
from atinuke.tokenizers.reading import Reader

TAGS = Tags(("A0", "A1", "V"))
SPOT = Spot("memory", 1)


def sentence_of(words: str, *propositions: tuple[int, tuple[Span, ...]]) -> Sentence:
    made = tuple(Proposition(predicate, "", "", spans) for predicate, spans in propositions)
    return Sentence(tuple(words.split()), made, SPOT)


def rows(sentence: Sentence, reader: Reader, max_tokens: int = 64, finds: bool = False) -> list[Row]:
    return rows_of(7, sentence, TAGS, reader, max_tokens, finds_predicates=finds, with_targets=True)


# the mor|nin|g lar|k sin|gs: one token for each three letters
LARK = sentence_of(
    "the morning lark sings", (3, (Span(0, 3, "A0"), Span(3, 4, "V"))), (2, (Span(1, 2, "A1"), Span(2, 3, "V")))
)


def test_a_row_worked_by_hand(reader: Reader) -> None:
    row, _ = rows(LARK, reader)
    assert len(row) == 1 + 8 + 1 + 2 + 1  # <end> sentence <end> predicate <end>
    assert row.segments.tolist() == [0, 0, 0, 0, 0, 0, 0, 1, 1, 0, 1, 1, 1]
    assert row.ids[10:12].tolist() == row.ids[7:9].tolist()
    places, predicate = row.marks
    assert places.tolist() == [1, 2, 5, 7]
    assert predicate.tolist() == [7, 10, 3]
    assert row.targets[0].tolist() == [1, 2, 2, 5]
    assert (row.place, row.example) == ((3, 0, 4), 7)


def test_predicates_are_looked_for_where_none_is_marked(reader: Reader) -> None:
    *_, row = rows(LARK, reader, finds=True)
    assert len(row) == 1 + 8 + 1
    assert row.segments.tolist() == [0] * 10
    assert row.marks[1].tolist() == [-1, -1, -1]
    assert row.targets[0].tolist() == [0, 0, TAGS.predicate, TAGS.predicate]
    assert row.place == (-1, 0, 4)


def test_without_predicates_there_is_a_row_only_to_look_for_them(reader: Reader) -> None:
    plain = sentence_of("oh yes")
    assert rows(plain, reader) == []
    (row,) = rows(plain, reader, finds=True)
    assert row.targets[0].tolist() == [0, 0]
    again = Sentence(plain.words, (), SPOT, is_searched=False)
    assert rows(again, reader, finds=True) == []


def test_without_targets_a_row_has_none(reader: Reader) -> None:
    row = rows_of(0, LARK, TAGS, reader, 64, finds_predicates=False, with_targets=False)[0]
    assert row.targets == ()


@pytest.mark.parametrize(
    ("predicate", "room", "kept"),
    [
        (0, 5, (0, 5)),  # what is left out stands on the right
        (8, 5, (4, 9)),  # or on the left
        (4, 5, (2, 7)),  # or on both sides
        (4, 4, (3, 7)),
        (1, 5, (0, 5)),
        (4, 9, (0, 9)),
        (4, 1, (4, 5)),
        (4, 0, (4, 5)),  # the predicate stays, whatever room there is
    ],
)
def test_words_far_from_the_predicate_go_first(
    predicate: int, room: int, kept: tuple[int, int], reader: Reader
) -> None:
    assert WordTokens.of("a b c d e f g h i".split(), reader).around(predicate, room) == kept


def test_a_cut_row_keeps_its_targets_and_places_together(reader: Reader) -> None:
    sentence = sentence_of("a b c d e f g h i", (6, (Span(3, 6, "A0"), Span(6, 7, "V"), Span(7, 9, "A1"))))
    (row,) = rows(sentence, reader, max_tokens=3 + 1 + 4)
    assert row.place == (6, 5, 9)
    assert len(row) == 8
    assert row.marks[0].tolist() == [1, 2, 3, 4]
    assert row.marks[1].tolist() == [2, 6, 1]
    assert row.targets[0].tolist() == [2, 5, 3, 4]
    assert row.ids[row.marks[0]].tolist() == [ord(letter) for letter in "fghi"]


def test_a_predicate_that_is_too_long_itself_is_cut(reader: Reader) -> None:
    sentence = sentence_of("see " + "w" * 300, (1, (Span(1, 2, "V"),)))
    (row,) = rows(sentence, reader, max_tokens=20)
    assert len(row) == 20
    assert row.place == (1, 1, 2)
    assert row.marks[1].tolist() == [1, 11, 0]
    assert row.segments.tolist() == [0] + [1] * 9 + [0] + [1] * 9


@given(st.lists(st.text("abc", min_size=1, max_size=9), min_size=1, max_size=20), st.integers(1, 12), st.data())
def test_parts_have_every_word_once_and_windows_their_predicate(
    words: list[str], room: int, data: st.DataObject
) -> None:
    begins = np.cumsum([0] + [-(-len(word) // 3) for word in words]).astype(np.int64)
    tokens = WordTokens(np.zeros(begins[-1], dtype=np.int64), begins[:-1], begins[1:])
    parts = tokens.parts(room)
    assert [word for start, end in parts for word in range(start, end)] == list(range(len(words)))
    assert all(end - start == 1 or begins[end] - begins[start] <= room for start, end in parts)
    predicate = data.draw(st.integers(0, len(words) - 1))
    start, end = tokens.around(predicate, room)
    assert start <= predicate < end
    assert end - start == 1 or begins[end] - begins[start] <= room


def test_a_word_without_tokens_shares_its_neighbours(reader: Reader) -> None:
    sentence = Sentence(("ab", " ", "cd", " "), (Proposition(1, "", "", ()), Proposition(3, "", "", ())), SPOT)
    first, second = rows(sentence, reader)
    assert first.marks[0].tolist() == [1, 2, 2, 2]
    assert first.marks[1][2] == 1 and second.marks[1][2] == 3
    assert all(0 <= place < len(row) for row in (first, second) for place in (*row.marks[0], *row.marks[1][:2]))


def test_signs_of_treebanks_are_spelled_as_in_text(reader: Reader) -> None:
    (row,) = rows(sentence_of("-LRB- x -RRB-", (1, ())), reader)
    assert row.ids[row.marks[0]].tolist() == [ord("("), ord("x"), ord(")")]


def test_rows_without_room_for_a_word_are_refused(reader: Reader) -> None:
    with pytest.raises(ConfigError, match="at most 5 tokens leave none for a sentence, as 5 are needed around it"):
        rows(LARK, reader, max_tokens=5)
