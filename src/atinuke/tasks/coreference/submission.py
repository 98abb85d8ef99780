"""Predicted clusters as they are handed in: the CoNLL format, which scorer.pl compares with the key."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from atinuke.data.documents import shown
from atinuke.data.rows import RowNotes, read_file
from atinuke.durable import make_folder, printable, write_atomic
from atinuke.errors import SourceError
from atinuke.tasks.coreference.chains import match
from atinuke.tasks.coreference.conll import Block, read_blocks, write_documents
from atinuke.tasks.coreference.documents import Document, identity, of_prediction, to_prediction

RESPONSE_FILE = "response.conll"
KEY_FILE = "key.conll"
"""The truth in the same format, so that the official scorer can be asked: scorer.pl all key.conll response.conll."""
MOST_REPEATED = 10
"""scorer.pl v8.01 scores no response with more mentions of the key that stand in it twice."""
NAMED = 3


def write_response(folder: Path, documents: Sequence[Document], predictions: Sequence[Any]) -> list[Path]:
    """Response and key, in the folder."""
    make_folder(folder)
    write_atomic(folder / RESPONSE_FILE, write_documents(documents, [of_prediction(each) for each in predictions]))
    write_atomic(folder / KEY_FILE, write_documents(documents, [document.clusters for document in documents]))
    return [folder / RESPONSE_FILE, folder / KEY_FILE]


def read_response(path: Path, documents: Sequence[Document], notes: RowNotes) -> list[Any]:
    """The prediction for each document, from the file `path` or the folder that it lies in.

    A document that the response has not counts as one without mentions, as scorer.pl has it, and is told in `notes`.
    SourceError for one that is not among `documents`, that comes twice, or that has another number of words.
    """
    path = path / RESPONSE_FILE if os.path.isdir(path) else path
    places = {identity(document.name, document.part): place for place, document in enumerate(documents)}
    found: dict[int, Block] = {}
    for block in read_blocks(read_file(str(path), notes), notes):
        place = places.get(identity(block.name, block.part))
        if place is None:
            raise SourceError(
                f"{block.spot} has the document {_title(block)}, which is none of those asked for; expected some of "
                f"{_title(documents[0]) if documents else 'none'} …"
            )
        if place in found:
            raise SourceError(f"{block.spot} has the document {_title(block)} a second time; expected it once.")
        if block.word_count != documents[place].word_count:
            raise SourceError(
                f"{block.spot}: {_title(block)} has {block.word_count:,} words; expected as many as "
                f"{documents[place].spot} has: {documents[place].word_count:,}, one on each line."
            )
        found[place] = block
    _refuse_repeated(found, documents, path)
    missing = [document for place, document in enumerate(documents) if place not in found]
    if missing:
        names = ", ".join(map(_title, missing[:NAMED])) + (", …" if len(missing) > NAMED else "")
        notes.remarks.append(
            f"{printable(path)} lacks {len(missing):,} of {len(documents):,} documents, which count as having no "
            f"mentions ({names})."
        )
    return [to_prediction(found[place].clusters if place in found else ()) for place in range(len(documents))]


def _refuse_repeated(found: dict[int, Block], documents: Sequence[Document], path: Path) -> None:
    repeated = sum(match(documents[place].clusters, block.clusters).repeated for place, block in found.items())
    if repeated > MOST_REPEATED:
        spots = [spot for block in found.values() for _, spot in block.repeated]
        raise SourceError(
            f"{printable(path)} has {repeated:,} mentions twice (the first at {spots[0]}); the official scorer takes "
            f"{MOST_REPEATED} at most. Give each mention to one cluster."
        )


def _title(document: Document | Block) -> str:
    return shown(f"({document.name})" + (f" part {document.part}" if document.part else ""))
