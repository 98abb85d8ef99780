"""A question and its paragraph → rows for the network: the question before each of some windows over the paragraph.

A paragraph that is longer than a row gives windows, each beginning half a window after the last, as in Devlin et al.
2019 (arXiv:1810.04805, §4.2): so an answer of up to half a window stands whole in one of them.
"""

import numpy as np
from numpy.typing import NDArray

from atinuke.errors import ConfigError
from atinuke.tasks.squad.reading import Question
from atinuke.tasks.task import Row
from atinuke.tokenizers.reading import Pieces, Reader

QUESTION_TOKENS = 64
"""Longer questions are cut, in short rows at half of the row."""
NOWHERE = -1
"""Mark of a token that no answer begins or ends with; also what batches are padded with."""


def windows(number: int, question: Question, reader: Reader, max_tokens: int, *, with_targets: bool) -> list[Row]:
    """The rows of a question, at least one, none longer than `max_tokens`.

    `marks`: two arrays (T,), the characters of the context at which each token begins and ends, NOWHERE for what is not
    of the context. The first token of a row stands for "no answer", with the empty text from 0 to 0.

    `targets`: the places of the first and the last token of the answer (of several the first that has a place). In a
    window that does not hold all of it, and for a question without one, both are 0, in SQuAD 1.1 too: there the network
    learns to expect nothing of such windows, which it will meet as often when it is asked.
    """
    room = max_tokens - reader.frame_cost(2)
    if room < 2:
        raise ConfigError(
            f"Rows of {max_tokens} tokens hold no question with its paragraph; expected {reader.frame_cost(2) + 2} at "
            "least, and sensibly 128 or more. Begin with a network of a longer context."
        )
    asked = reader.pieces(question.question).ids[: min(QUESTION_TOKENS, room // 2)]
    context = reader.pieces(question.context)
    room -= len(asked)
    answer = _answer_tokens(context, question)
    rows = []
    for start in window_starts(len(context), room):
        part = slice(start, start + room)
        frame = reader.frame(asked, context.ids[part])
        first = frame.begins[1]
        inside = slice(first, first + len(context.ids[part]))
        marks = (
            _marks(len(frame.ids), inside, context.starts[part]),
            _marks(len(frame.ids), inside, context.ends[part]),
        )
        targets: tuple[NDArray[np.int64], ...] = ()
        if with_targets:
            is_whole = answer is not None and start <= answer[0] and answer[1] < start + room
            places = (first - start + answer[0], first - start + answer[1]) if answer and is_whole else (0, 0)
            targets = tuple(np.array(place, dtype=np.int64) for place in places)
        rows.append(Row(frame.ids, frame.segments, number, marks, targets))
    return rows


def window_starts(count: int, room: int) -> list[int]:
    """Where windows of `room` tokens begin over `count` of them, half a window apart, so that each is in one."""
    step = max(1, room // 2)
    return [number * step for number in range(1 + max(0, -(-(count - room) // step)))]


def _answer_tokens(context: Pieces, question: Question) -> tuple[int, int] | None:
    """The first and the last token that share a character with the answer; None where there is none."""
    for answer in question.answers:
        if answer.start is not None:
            end = answer.start + len(answer.text)
            shared = np.flatnonzero((context.ends > answer.start) & (context.starts < end))
            if len(shared):
                return int(shared[0]), int(shared[-1])
    return None


def _marks(length: int, inside: slice, places: NDArray[np.int64]) -> NDArray[np.int64]:
    marks = np.full(length, NOWHERE, dtype=np.int64)
    marks[0] = 0
    marks[inside] = places
    return marks
