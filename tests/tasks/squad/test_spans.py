"""The best span: exact, within its length, in the context alone, and over all windows."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from atinuke.tasks.squad.reading import Question
from atinuke.tasks.squad.spans import LONGEST_ANSWER, NEVER, best_span, find_answer
from atinuke.tasks.squad.windows import windows
from atinuke.tasks.task import Row, Spot
from atinuke.tokenizers.reading import Reader

CONTEXT = "The  oak lost\nits leaves "


def rows_of(reader: Reader, context: str, max_tokens: int = 20) -> list[Row]:
    question = Question(Spot("dev.json"), "q1", "q", context, ())
    return windows(0, question, reader, max_tokens, with_targets=False)


def logits_of(row: Row, starts: dict[int, float], ends: dict[int, float], extra: int = 0) -> NDArray[np.float32]:
    """Zeros, but for these places; `extra` rows of padding that look good."""
    logits = np.zeros((len(row) + extra, 2), dtype=np.float32)
    logits[len(row) :] = 99
    for column, given_logits in enumerate((starts, ends)):
        for place, value in given_logits.items():
            logits[place, column] = value
    return logits


class TestBestSpan:
    def test_the_end_does_not_come_before_the_start(self) -> None:
        assert best_span(np.array([0.0, 1, 5]), np.array([9.0, 2, 0])) == (9.0, 0, 0)

    def test_equal_spans_are_decided_by_length_then_place(self) -> None:
        assert best_span(np.zeros(5), np.zeros(5)) == (0.0, 0, 0)
        assert best_span(np.array([1.0, 0, 1]), np.array([0.0, 1, 0])) == (2.0, 0, 1)

    def test_spans_are_no_longer_than_30_tokens(self) -> None:
        starts, ends = np.zeros(60), np.zeros(60)
        starts[0], ends[LONGEST_ANSWER], ends[LONGEST_ANSWER - 1] = 5, 9, 3
        assert best_span(starts, ends) == (9.0, 30, 30)
        ends[LONGEST_ANSWER] = 2
        assert best_span(starts, ends) == (8.0, 0, 29)

    @given(st.data(), st.integers(1, 12), st.integers(1, 6))
    def test_no_span_is_better(self, data: st.DataObject, count: int, longest: int) -> None:
        numbers = st.lists(st.integers(-9, 9), min_size=count, max_size=count)
        starts, ends = (np.array(data.draw(numbers), dtype=np.float64) for _ in range(2))
        found = best_span(starts, ends, longest)
        spans = [(first, last) for first in range(count) for last in range(first, min(count, first + longest))]
        assert found.score == max(starts[first] + ends[last] for first, last in spans)
        assert (found.first, found.last) in spans and found.score == starts[found.first] + ends[found.last]


class TestFindAnswer:
    def test_the_text_is_cut_from_the_context_as_it_stands(self, reader: Reader) -> None:
        (row,) = rows_of(reader, CONTEXT)  # [0] q [1] The oak lost its leaves [1]
        found = find_answer(CONTEXT, [row], [logits_of(row, {4: 3}, {6: 4}, extra=5)])
        assert (found.text, found.score, found.no_answer) == ("oak lost\nits", 7.0, 0.0)

    def test_question_special_tokens_and_padding_are_no_answer(self, reader: Reader) -> None:
        (row,) = rows_of(reader, CONTEXT)
        loud = {place: 50.0 for place in (0, 1, 2, 8)}
        found = find_answer(CONTEXT, [row], [logits_of(row, loud | {5: 1}, loud | {5: 1}, extra=3)])
        assert (found.text, found.score, found.no_answer) == ("lost", 2.0, 100.0)

    def test_the_best_window_answers_and_the_least_sure_one_says_whether_there_is_none(self, reader: Reader) -> None:
        rows = rows_of(reader, "a b c d e f", 8)  # a b c d · c d e f
        logits = [
            logits_of(rows[0], {0: 4, 4: 2}, {0: 4, 5: 2}),
            logits_of(rows[1], {0: -3, 5: 2}, {0: 1, 6: 3}),
        ]
        found = find_answer("a b c d e f", rows, logits)
        assert (found.text, found.score, found.no_answer) == ("e f", 5.0, -2.0)

    def test_masked_logits_change_nothing(self, reader: Reader) -> None:
        (row,) = rows_of(reader, CONTEXT)
        logits = logits_of(row, {4: 3, 1: 8}, {6: 4, 1: 8})
        masked = np.where((row.marks[0] < 0)[:, None], np.float32(NEVER), logits)
        assert find_answer(CONTEXT, [row], [masked]) == find_answer(CONTEXT, [row], [logits])

    def test_a_context_without_tokens_has_no_answer(self, reader: Reader) -> None:
        (row,) = rows_of(reader, "  ")
        found = find_answer("  ", [row], [logits_of(row, {}, {})])
        assert found == ("", NEVER, 0.0)

    @pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
    def test_numbers_that_are_none_are_no_error(self, value: float, reader: Reader) -> None:
        (row,) = rows_of(reader, CONTEXT)
        found = find_answer(CONTEXT, [row], [np.full((len(row), 2), value, dtype=np.float32)])
        assert np.isfinite([found.score, found.no_answer]).all() and found.text in CONTEXT
