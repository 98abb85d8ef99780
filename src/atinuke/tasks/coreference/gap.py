"""GAP: paragraphs of Wikipedia in which a pronoun may mean one of two names, as many of women as of men.

Webster et al. 2018, "Mind the GAP" (arXiv:1810.05201). A file has a header and eleven columns between tabs; offsets
count characters of the text from 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from atinuke.data.documents import shown
from atinuke.data.rows import RowNotes
from atinuke.durable import printable
from atinuke.errors import SourceError
from atinuke.tasks.coreference.files import only_file
from atinuke.tasks.task import Spot
from atinuke.tasks.tsv import TextRow, read_tsv

FILES = {"train": "gap-development.tsv", "dev": "gap-validation.tsv", "test": "gap-test.tsv"}
"""The authors call development what is learned from, and validation what choices are made on."""
FOLDERS = ("gap-coreference",)
COLUMNS = ("ID", "Text", "Pronoun", "Pronoun-offset", "A", "A-offset", "A-coref", "B", "B-offset", "B-coref")

Gender = Literal["masculine", "feminine"]
GENDERS: Mapping[str, Gender] = {
    "she": "feminine",
    "her": "feminine",
    "hers": "feminine",
    "he": "masculine",
    "his": "masculine",
    "him": "masculine",
}
"""Of pronouns; GAP has no reflexive ones."""
TRUTHS = {"true": True, "false": False}

Stretch = tuple[int, int]
"""The first character, and the one after the last."""


@dataclass(frozen=True)
class Passage:
    """A text, a pronoun in it, and two names; the pronoun means one of them or neither."""

    id: str
    text: str
    pronoun: Stretch
    names: tuple[Stretch, Stretch]
    """A and B."""
    is_meant: tuple[bool, bool]
    gender: Gender
    spot: Spot


def read_passages(data: Path, split: str, fetch: str, notes: RowNotes) -> list[Passage]:
    """The passages of a split, in file order, one at least. SourceError names the line that is not as published."""
    path = only_file(data, FOLDERS, FILES[split], fetch)
    table = read_tsv(path, notes)
    table.require(*COLUMNS)
    passages: dict[str, Passage] = {}
    for row in table.rows:
        passage = _passage(row)
        if passage.id in passages:
            raise SourceError(
                f"{row.spot} has the id {shown(passage.id)!r} of {passages[passage.id].spot}; expected each once."
            )
        passages[passage.id] = passage
    if not passages:
        raise SourceError(f"{printable(path)} has a header and no row; expected one passage on each line.")
    return list(passages.values())


def truth_in(cell: str, where: str) -> bool:
    """TRUE or FALSE, in whatever case."""
    truth = TRUTHS.get(cell.strip().lower())
    if truth is None:
        raise SourceError(f"{where} is {shown(cell)!r}; expected TRUE or FALSE.")
    return truth


def _passage(row: TextRow) -> Passage:
    pronoun = row["Pronoun"]
    gender = GENDERS.get(pronoun.lower())
    if gender is None:
        raise SourceError(f"{row.spot} asks for {shown(pronoun)!r}; expected a pronoun: {', '.join(GENDERS)}.")
    return Passage(
        id=row["ID"].strip(),
        text=row["Text"],
        pronoun=_stretch(row, "Pronoun"),
        names=(_stretch(row, "A"), _stretch(row, "B")),
        is_meant=(
            truth_in(row["A-coref"], f"{row.spot}: A-coref"),
            truth_in(row["B-coref"], f"{row.spot}: B-coref"),
        ),
        gender=gender,
        spot=row.spot,
    )


def _stretch(row: TextRow, column: str) -> Stretch:
    """Where the words of a column stand in the text; SourceError where they do not stand there."""
    words, offset = row[column], row[f"{column}-offset"].strip()
    begin = int(offset) if offset.isascii() and offset.isdigit() and len(offset) < 10 else -1
    end = begin + len(words)
    if begin < 0 or not words or row["Text"][begin:end] != words:
        raise SourceError(
            f"{row.spot}: {shown(words)!r} does not stand in the text at {shown(offset)!r} ({column}-offset); expected "
            "the number of its first character, from 0."
        )
    return begin, end
