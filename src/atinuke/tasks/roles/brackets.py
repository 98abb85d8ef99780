"""A column of brackets ↔ spans: how the CoNLL shared tasks write the arguments of one predicate, a cell for each word.

    All     (A1*      Span(0, 3, "A1"): `end` is the word after the last
    the     *
    men     *)
    were    *
    there   (V*)      Span(4, 5, "V")

Continued arguments (C-A1) and references (R-A1) are labels like any other here; `scoring.py` knows what they mean.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from atinuke.data.documents import shown

NO_ARGUMENT = "*"
_CELL = re.compile(r"((?:\([^()*\s]+)*)\*((?:[^()*\s]*\))*)")


class Span(NamedTuple):
    """Words `start` to `end`, exclusive, and what they are to the predicate."""

    start: int
    end: int
    label: str


class BracketError(ValueError):
    """What is wrong with a column, and the number of the word beside which it is."""

    def __init__(self, word: int, reason: str) -> None:
        super().__init__(reason)
        self.word = word
        self.reason = reason


def spans_of(cells: Sequence[str]) -> tuple[Span, ...]:
    """The spans of a column, in the order of their words. BracketError where it is not balanced.

    A closing bracket may repeat its label, `*A1)`, as the files of CoNLL-2004 do. Arguments of one predicate neither
    nest nor cross, so that one is open at a time.
    """
    spans: list[Span] = []
    begun: tuple[int, str] | None = None
    for word, cell in enumerate(cells):
        if cell == NO_ARGUMENT:
            continue
        match = _CELL.fullmatch(cell)
        if match is None:
            raise BracketError(word, f"{shown(cell)} is no cell of brackets; expected *, (LABEL*, *) or (LABEL*)")
        for label in match[1].split("(")[1:]:
            if begun is not None:
                inside = f"({shown(label)}* begins inside ({shown(begun[1])}*"
                raise BracketError(word, f"{inside}; expected arguments of one predicate not to nest")
            begun = (word, label)
        for closed in match[2].split(")")[:-1]:
            if begun is None:
                raise BracketError(word, f"{shown(cell)} closes a bracket that was not opened")
            start, label = begun
            if closed not in ("", label):
                crossing = f"{shown(closed)}) closes ({shown(label)}*"
                raise BracketError(word, f"{crossing}; expected brackets that do not cross")
            spans.append(Span(start, word + 1, label))
            begun = None
    if begun is not None:
        raise BracketError(begun[0], f"({shown(begun[1])}* is not closed before the sentence ends")
    return tuple(spans)


def cells_of(length: int, spans: Iterable[Span]) -> list[str]:
    """The column of a sentence of `length` words. ValueError when spans overlap or leave the sentence."""
    cells = [NO_ARGUMENT] * length
    taken = 0
    for start, end, label in sorted(spans):
        if not taken <= start < end <= length:
            raise ValueError(f"span {start}:{end} ({label}) overlaps another, or leaves the {length} words.")
        taken = end
        cells[start] = f"({label}{cells[start]}"
        cells[end - 1] += ")"
    return cells
