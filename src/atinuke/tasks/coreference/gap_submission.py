"""Answers for GAP as its scorer reads them: id, A-coref, B-coref between tabs, without a header."""

import os
from collections.abc import Sequence
from pathlib import Path

from atinuke.data.documents import shown
from atinuke.data.rows import RowNotes
from atinuke.durable import make_folder, printable, write_atomic
from atinuke.errors import SourceError
from atinuke.tasks.coreference.gap import Passage, truth_in
from atinuke.tasks.coreference.gap_scoring import Answer
from atinuke.tasks.tsv import read_tsv

FILE = "answers.tsv"
COLUMNS = ("ID", "A-coref", "B-coref")
NAMED = 3


def write_answers(folder: Path, passages: Sequence[Passage], answers: Sequence[Answer]) -> list[Path]:
    """answers.tsv in the folder; a passage that is not answered is left out."""
    make_folder(folder)
    lines = [
        "\t".join((passage.id, *(str(bool(said)).upper() for said in answer)))
        for passage, answer in zip(passages, answers, strict=True)
        if answer != (None, None)
    ]
    write_atomic(folder / FILE, "".join(f"{line}\n" for line in lines))
    return [folder / FILE]


def read_answers(path: Path, passages: Sequence[Passage], notes: RowNotes) -> list[Answer]:
    """The answer for each passage, in order, from the file `path` or the folder that it lies in.

    As the official scorer has it, of two rows for one passage the first counts, and a passage without a row is missed
    on both names: `notes` tell of these. SourceError for an id of no passage, and for what is not TRUE or FALSE.
    """
    path = path / FILE if os.path.isdir(path) else path
    asked = {passage.id for passage in passages}
    found: dict[str, Answer] = {}
    for row in read_tsv(path, notes, COLUMNS).rows:
        id = row["ID"].strip().removeprefix("\ufeff")
        if not found and id.lower() == "id":
            continue  # a header, which the official scorer takes for the answer to a passage that is not there
        if id not in asked:
            expected = f"such as {shown(passages[0].id)!r}" if passages else "none"
            raise SourceError(f"{row.spot} answers for {shown(id)!r}, which is no passage here; expected {expected}.")
        answer = (
            truth_in(row["A-coref"], f"{row.spot}: A-coref"),
            truth_in(row["B-coref"], f"{row.spot}: B-coref"),
        )
        if id in found:
            notes.skip("a second answer for a passage", f"{row.spot}: {shown(id)}")
            continue
        found[id] = answer
    missing = [passage.id for passage in passages if passage.id not in found]
    if missing:
        names = ", ".join(map(shown, missing[:NAMED])) + (", …" if len(missing) > NAMED else "")
        notes.remarks.append(
            f"{printable(path)} has no answer for {len(missing):,} of {len(passages):,} passages, which count as "
            f"missed ({names})."
        )
    return [found.get(passage.id, (None, None)) for passage in passages]
