"""Windows: every token of a context is in one, rows have room, and targets lead back to the answer."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atinuke.errors import ConfigError
from atinuke.tasks.squad.reading import Answer, Question
from atinuke.tasks.squad.windows import QUESTION_TOKENS, window_starts, windows
from atinuke.tasks.task import Row, Spot
from atinuke.tokenizers.reading import Reader


def asked(question: str, context: str, *answers: Answer) -> Question:
    return Question(Spot("dev.json"), "q1", question, context, answers)


def targets_of(row: Row) -> list[int]:
    return [int(target) for target in row.targets]


def text_at(row: Row, context: str, first: int, last: int) -> str:
    begins, ends = row.marks
    return context[begins[first] : ends[last]]


class TestStarts:
    @pytest.mark.parametrize(
        ("count", "room", "expected"),
        [
            (0, 4, [0]),
            (4, 4, [0]),
            (5, 4, [0, 2]),
            (6, 4, [0, 2]),
            (7, 4, [0, 2, 4]),
            (3, 1, [0, 1, 2]),
            (7, 5, [0, 2]),
        ],
    )
    def test_windows_begin_half_a_window_apart(self, count: int, room: int, expected: list[int]) -> None:
        assert window_starts(count, room) == expected

    @given(st.integers(0, 400), st.integers(1, 60))
    def test_every_token_is_in_a_window_and_none_is_empty_or_idle(self, count: int, room: int) -> None:
        starts = window_starts(count, room)
        covered = {token for start in starts for token in range(start, min(start + room, count))}
        assert covered == set(range(count)) and starts[0] == 0
        assert all(start < count for start in starts[1:])
        assert all(start + room < count for start in starts[:-1])  # the last is the first that reaches the end


class TestRows:
    def test_a_short_context_is_one_row_of_question_and_context(self, reader: Reader) -> None:
        question = asked("Which tree ?", "The oak lost its leaves", Answer("oak lost", 4))
        (row,) = windows(7, question, reader, 20, with_targets=True)
        ids = [reader.pieces(text).ids.tolist() for text in (question.question, question.context)]
        assert row.ids.tolist() == [0, *ids[0], 1, *ids[1], 1]
        assert row.segments.tolist() == [0] * 5 + [1] * 6
        assert [mark.tolist() for mark in row.marks] == [
            [0, -1, -1, -1, -1, 0, 4, 8, 13, 17, -1],
            [0, -1, -1, -1, -1, 3, 7, 12, 16, 23, -1],
        ]
        assert targets_of(row) == [6, 7] and row.example == 7
        assert all(target.shape == () and target.dtype == np.int64 for target in row.targets)
        assert all(mark.dtype == np.int64 for mark in row.marks)

    def test_without_targets_nothing_is_told_of_the_answer(self, reader: Reader) -> None:
        (row,) = windows(0, asked("q", "The oak", Answer("oak", 4)), reader, 20, with_targets=False)
        assert row.targets == ()

    def test_a_window_without_the_whole_answer_points_to_its_first_token(self, reader: Reader) -> None:
        # room for 4 words: a b c d · c d e f
        question = asked("q", "a b c d e f", Answer("b c", 2))
        assert [targets_of(row) for row in windows(0, question, reader, 8, with_targets=True)] == [[4, 5], [0, 0]]

    @pytest.mark.parametrize("answers", [(), (Answer("elm", None),), (Answer("  ", 1),)])
    def test_so_do_all_windows_where_there_is_none(self, answers: tuple[Answer, ...], reader: Reader) -> None:
        rows = windows(0, asked("q", "a   c d e f", *answers), reader, 8, with_targets=True)
        assert [targets_of(row) for row in rows] == [[0, 0]] * len(rows)

    def test_of_several_answers_the_first_that_has_a_place_is_learned(self, reader: Reader) -> None:
        question = asked("q", "a b c", Answer("elm", None), Answer("b", 2), Answer("c", 4))
        assert targets_of(windows(0, question, reader, 20, with_targets=True)[0]) == [4, 4]

    def test_an_answer_inside_a_token_takes_the_token(self, reader: Reader) -> None:
        question = asked("q", "In (1987-1990).", Answer("1987", 4))
        (row,) = windows(0, question, reader, 20, with_targets=True)
        assert text_at(row, question.context, *targets_of(row)) == "(1987-1990)."

    def test_a_long_question_is_cut_and_in_short_rows_at_half_of_them(self, reader: Reader) -> None:
        question = asked("w " * 100, "a b c d")
        (row,) = windows(0, question, reader, 384, with_targets=False)
        assert len(row) == QUESTION_TOKENS + 4 + 3
        first = windows(0, question, reader, 13, with_targets=False)[0]
        assert len(first) == 12 and (first.marks[0] >= 0).sum() == 1 + 4

    @pytest.mark.parametrize(("question", "context"), [("", "a b"), ("q", ""), ("", " \n")])
    def test_empty_texts_still_give_a_row(self, question: str, context: str, reader: Reader) -> None:
        (row,) = windows(0, asked(question, context), reader, 20, with_targets=True)
        assert len(row) == 3 + len(question.split()) + len(context.split()) and targets_of(row) == [0, 0]

    @pytest.mark.parametrize("max_tokens", [1, 3, 4])
    def test_rows_without_room_are_refused(self, max_tokens: int, reader: Reader) -> None:
        with pytest.raises(ConfigError, match=f"Rows of {max_tokens} tokens hold no question .* expected 5 at least"):
            windows(0, asked("q", "a"), reader, max_tokens, with_targets=False)
        assert windows(0, asked("q", "a"), reader, 5, with_targets=False)


@st.composite
def questions(draw: Any) -> tuple[Question, int, int]:
    """A question whose answer is some words of its context, the number of these words, and the length of rows."""
    words = draw(st.lists(st.text("abé🌳.", min_size=1, max_size=4), min_size=1, max_size=60))
    gaps = draw(st.lists(st.sampled_from([" ", "  ", "\n", "\u00a0 "]), min_size=len(words), max_size=len(words)))
    context = "".join(word + gap for word, gap in zip(words, gaps, strict=True))
    first = draw(st.integers(0, len(words) - 1))
    last = draw(st.integers(first, min(len(words) - 1, first + 6)))
    places = np.cumsum([0] + [len(word + gap) for word, gap in zip(words, gaps, strict=True)])
    start = int(places[first])
    text = context[start : int(places[last]) + len(words[last])]
    question = " ".join("q" * draw(st.integers(0, 9)))
    return asked(question, context, Answer(text, start)), last - first + 1, draw(st.integers(5, 50))


@settings(deadline=None)
@given(questions())
def test_windows_hold_every_token_and_targets_lead_back_to_the_answer(
    reader: Reader, given_question: tuple[Question, int, int]
) -> None:
    question, answer_tokens, max_tokens = given_question
    rows = windows(3, question, reader, max_tokens, with_targets=True)
    context = reader.pieces(question.context)
    seen: set[tuple[int, int]] = set()
    held = 0
    for row in rows:
        assert len(row) <= max_tokens and row.example == 3
        assert len({len(row.ids), len(row.segments), *(len(mark) for mark in row.marks)}) == 1
        begins, ends = row.marks
        assert begins[0] == ends[0] == 0
        inside = np.flatnonzero(begins[1:] >= 0) + 1
        seen |= {(int(begins[place]), int(ends[place])) for place in inside}
        tokens = [reader.pieces(text_at(row, question.context, place, place)).ids.tolist() for place in inside]
        assert tokens == [[id] for id in row.ids[inside].tolist()]
        first, last = targets_of(row)
        if (first, last) == (0, 0):
            continue
        held += 1
        assert text_at(row, question.context, first, last) == question.answers[0].text
    assert seen == set(zip(context.starts.tolist(), context.ends.tolist(), strict=True))
    room = max_tokens - 3 - min(len(question.question.split()), (max_tokens - 3) // 2)
    assert held or answer_tokens > -(-room // 2)
