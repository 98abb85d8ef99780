"""A sentence → rows for the network: one for each predicate, and those in which predicates are looked for.

    <end> All the men were there <end> there <end>       the predicate is marked by its segment, and said again
          0   0   0   0    1            1
    <end> All the men were there <end>                   none is marked: which words are predicates?

A row that would be too long loses words, one after the other, on the side where more stand between the predicate and
the end of what is left. Where predicates are looked for a long sentence is parted instead, each word in one part.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from atinuke.errors import ConfigError
from atinuke.tasks.roles.sentence import Sentence
from atinuke.tasks.roles.tags import Tags
from atinuke.tasks.task import Row
from atinuke.tokenizers.reading import Reader

Ids = NDArray[np.int64]

NOWHERE = -1
MOST_COPIED = 8
"""Tokens of the predicate that are said again; words of more are addresses and the like."""
SPELLINGS = {
    "-LRB-": "(",
    "-RRB-": ")",
    "-LSB-": "[",
    "-RSB-": "]",
    "-LCB-": "{",
    "-RCB-": "}",
    "``": '"',
    "''": '"',
    "/.": ".",
    "/?": "?",
    "/-": "-",
}
"""What treebanks write for signs, and the signs: text that networks are pretrained on has those."""


@dataclass(frozen=True)
class WordTokens:
    """The tokens of a sentence, and which of them are whose."""

    ids: Ids
    begins: Ids
    """(words,): the first token of each word."""
    ends: Ids
    """(words,): behind its last."""

    @classmethod
    def of(cls, words: Sequence[str], reader: Reader) -> Self:
        """As `reader` has them."""
        ids, begins = reader.words([_spelled(word) for word in words])
        # a word without a token of its own shares the next one, or the last
        ends = np.maximum(np.append(begins[1:], len(ids)), np.minimum(begins + 1, len(ids)))
        return cls(ids, begins, ends)

    def __len__(self) -> int:
        return len(self.begins)

    def around(self, predicate: int, room: int) -> tuple[int, int]:
        """The words, from and to, that stay where at most `room` tokens may; `predicate` always does."""
        start, end = 0, len(self)
        while end - start > 1 and self.ends[end - 1] - self.begins[start] > room:
            if predicate - start >= end - 1 - predicate:
                start += 1
            else:
                end -= 1
        return start, end

    def parts(self, room: int) -> list[tuple[int, int]]:
        """All words in stretches of at most `room` tokens; a word of more stands alone."""
        parts: list[tuple[int, int]] = []
        start = 0
        for end in range(1, len(self) + 1):
            if end == len(self) or self.ends[end] - self.begins[start] > room:
                parts.append((start, end))
                start = end
        return parts


@dataclass(frozen=True)
class Place:
    """What a row is about, as `Row.place` keeps it."""

    predicate: int
    """NOWHERE where predicates are looked for."""
    start: int
    end: int
    """The words of the sentence that the row has."""


def rows_of(
    number: int,
    sentence: Sentence,
    tags: Tags,
    reader: Reader,
    max_tokens: int,
    *,
    finds_predicates: bool,
    with_targets: bool,
) -> list[Row]:
    """The rows of sentence `number`: none where it has no predicate and none is looked for.

    Marks: places of the first tokens of the words, (n,); and of the predicate (3,) its place in the sentence, that of
    its copy, and its number among the row's words, or NOWHERE. Targets: the words' tags, (n,).
    """
    tokens = WordTokens.of(sentence.words, reader)
    length = len(tokens)
    rows: list[Row] = []
    for each in sentence.propositions:
        copy = reader.words([_spelled(sentence.words[each.predicate])])[0][:MOST_COPIED]
        room = _room(max_tokens, reader.frame_cost(2) + len(copy))
        start, end = tokens.around(each.predicate, room)
        targets = (tags.of_spans(length, each.spans)[start:end],) if with_targets else ()
        rows.append(_row(number, tokens, Place(each.predicate, start, end), room, reader, targets, copy))
    if finds_predicates and sentence.is_searched:
        room = _room(max_tokens, reader.frame_cost(1))
        known = tags.of_predicates(length, sentence.spans)
        for start, end in tokens.parts(room):
            targets = (known[start:end],) if with_targets else ()
            rows.append(_row(number, tokens, Place(NOWHERE, start, end), room, reader, targets))
    return rows


def _row(
    number: int,
    tokens: WordTokens,
    place: Place,
    room: int,
    reader: Reader,
    targets: tuple[Ids, ...],
    copy: Ids | None = None,
) -> Row:
    """One row; without a `copy` of its predicate, none is marked."""
    words = slice(place.start, place.end)
    first = int(tokens.begins[place.start])
    part = tokens.ids[first : tokens.ends[place.end - 1]][:room]
    frame = reader.frame(part) if copy is None else reader.frame(part, copy)
    begin = frame.begins[0]
    last = begin + max(len(part) - 1, 0)
    places = np.minimum(begin + tokens.begins[words] - first, last)
    segments = frame.segments.copy()
    marked = np.full(3, NOWHERE, dtype=np.int64)
    if copy is not None:
        own = place.predicate - place.start
        behind = min(begin + int(tokens.ends[place.predicate]) - first, last + 1)
        segments[places[own] : behind] = 1
        marked = np.array([places[own], frame.begins[1], own], dtype=np.int64)
    return Row(
        ids=frame.ids,
        segments=segments,
        example=number,
        marks=(places, marked),
        targets=targets,
        place=(place.predicate, place.start, place.end),
    )


def _spelled(word: str) -> str:
    return SPELLINGS.get(word, word)


def _room(max_tokens: int, taken: int) -> int:
    if max_tokens <= taken:
        raise ConfigError(
            f"Rows of at most {max_tokens} tokens leave none for a sentence, as {taken} are needed around it; "
            "expected more. Raise task.max_tokens, or take a network of a longer context."
        )
    return max_tokens - taken
