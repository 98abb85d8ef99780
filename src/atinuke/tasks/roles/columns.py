"""Sentences written in columns, one word on each line and a blank line behind each sentence → their propositions.

One column says which words are predicates, by anything but "-"; the last columns are brackets, one for each of them.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from atinuke.data.documents import shown
from atinuke.data.rows import Row, RowNotes, TextFile, iter_lines
from atinuke.errors import SourceError
from atinuke.tasks.roles.brackets import BracketError, Span, spans_of
from atinuke.tasks.roles.sentence import PREDICATE, Proposition, Sentence
from atinuke.tasks.task import Spot

NOTHING = "-"
UNFILLED = "[WORD]"
"""What stands for a word where a licensed text was left out."""
FRAMES_DIFFER = "another number of frames than of columns; there predicates are where the columns have V"
_SPACES = re.compile(r"[ \t]+")


@dataclass(frozen=True)
class Layout:
    """Which columns, from 0, hold what. Arguments stand from `arguments` on, without the last `behind` columns."""

    lemma: int
    frame: int
    """Says which words are predicates; NOTHING beside the others."""
    arguments: int
    behind: int = 0
    word: int | None = None
    number: int | None = None
    """Counts the words of a sentence, from 0."""
    has_sense: bool = True
    """Whether the frame column is a sense, and not the lemma once more."""
    trusts_v: bool = False
    """Whether V tells the predicates where their number is not that of the columns."""


def blocks_of(file: TextFile, delimiter: str | None, *, has_comments: bool = False) -> Iterator[list[Row]]:
    """The lines of each sentence, by cells; `delimiter` None: spaces and tabs, as many as there are. (Python's own
    split would part words with a no-break space.) Lines that begin with # are comments where there are such."""
    block: list[Row] = []
    for number, line in enumerate(iter_lines(file.text.removeprefix("\ufeff")), start=1):
        if has_comments and line.startswith("#"):
            continue
        if line.strip():
            cells = line.split(delimiter) if delimiter is not None else _SPACES.split(line.strip(" \t"))
            block.append(Row(number, cells))
        elif block:
            yield block
            block = []
    if block:
        yield block


def sentence_of(name: str, block: Sequence[Row], layout: Layout, notes: RowNotes) -> Sentence:
    """One sentence of the file `name`, whose layout has words."""
    assert layout.word is not None
    propositions = propositions_of(name, block, layout, notes)
    words = []
    for place, row in enumerate(block):
        word = row.cells[layout.word].strip()
        if not word or word == UNFILLED:
            what = "is without its words, which are licensed apart" if word else "has no word"
            raise SourceError(f"{name}:{row.line} {what} (column {layout.word + 1}). Fill them in.")
        if layout.number is not None and row.cells[layout.number].strip() != str(place):
            raise SourceError(
                f"{name}:{row.line} has {shown(row.cells[layout.number])} in column {layout.number + 1}; expected "
                f"{place}, the number of the word in its sentence. A blank line ends each sentence."
            )
        words.append(word)
    return Sentence(tuple(words), propositions, Spot(name, block[0].line))


def propositions_of(name: str, block: Sequence[Row], layout: Layout, notes: RowNotes) -> tuple[Proposition, ...]:
    """The predicates of a sentence and their arguments. SourceError names the line that does not fit."""
    width = len(block[0].cells)
    fewest = layout.arguments + layout.behind
    if width < fewest:
        raise SourceError(
            f"{name}:{block[0].line} has {_counted(width, 'column')}; expected {fewest} at least. Is it a file of this "
            "format?"
        )
    for row in block:
        if len(row.cells) != width:
            raise SourceError(
                f"{name}:{row.line} has {_counted(len(row.cells), 'column')}; expected {width}, as line "
                f"{block[0].line} has, where the sentence begins."
            )
    columns = range(layout.arguments, width - layout.behind)
    spans = [_spans(name, block, column) for column in columns]
    places = [place for place, row in enumerate(block) if row.cells[layout.frame].strip() != NOTHING]
    if len(places) != len(columns):
        places = _places_of_v(name, block, layout, places, spans, notes)
    return tuple(
        Proposition(
            predicate=place,
            lemma=_cell(block[place].cells[layout.lemma]),
            sense=_cell(block[place].cells[layout.frame]) if layout.has_sense else "",
            spans=arguments,
        )
        for place, arguments in zip(places, spans, strict=True)
    )


def _spans(name: str, block: Sequence[Row], column: int) -> tuple[Span, ...]:
    try:
        return spans_of([row.cells[column].strip() for row in block])
    except BracketError as error:
        place = f"{name}:{block[error.word].line}, column {column + 1}"
        raise SourceError(f"{place}: {error.reason}. Mend the line.") from error


def _places_of_v(
    name: str,
    block: Sequence[Row],
    layout: Layout,
    places: Sequence[int],
    spans: Sequence[tuple[Span, ...]],
    notes: RowNotes,
) -> list[int]:
    """Where the predicates are by the V of their columns; SourceError where that is not to be trusted, or not there."""
    found = [span.start for arguments in spans for span in arguments if span.label == PREDICATE]
    if layout.trusts_v and len(found) == len(spans) and found == sorted(set(found)):
        if not any(FRAMES_DIFFER in remark for remark in notes.remarks):  # once is enough
            notes.remarks.append(f"{name}:{block[0].line}, and maybe others, have {FRAMES_DIFFER}.")
        return found
    # where there are too many predicates, the first without a column is named; else the sentence
    line = block[places[len(spans)] if len(places) > len(spans) else 0].line
    raise SourceError(
        f"{name}:{line}: the sentence has {_counted(len(places), 'predicate')} in column {layout.frame + 1}, and "
        f"{_counted(len(spans), 'column')} of arguments; expected one for each predicate."
    )


def _cell(cell: str) -> str:
    return "" if cell.strip() == NOTHING else cell.strip()


def _counted(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
