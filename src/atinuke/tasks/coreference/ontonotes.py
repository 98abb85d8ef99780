"""OntoNotes 5 in the splits of CoNLL-2012: its files found and read.

    train/…/english/…/*.v4_gold_conll     as the task's scripts lay them out; development and test likewise
    train.english.v4_gold_conll           all of a split in one file; dev.… and test.… likewise

The columns are told at https://conll.cemantix.org/2012/data.html; of them the words and the last one are read.
"""

from pathlib import Path

from atinuke.data.rows import RowNotes, read_file
from atinuke.durable import printable
from atinuke.errors import SourceError
from atinuke.tasks.coreference.conll import read_blocks, to_document
from atinuke.tasks.coreference.documents import Document, identity
from atinuke.tasks.coreference.files import ending_in, files_in, folders_of

NAMES = {"train": ("train",), "dev": ("development", "dev"), "test": ("test",)}
"""What folders of a split are called, and what its files begin with."""
GOLD = "gold_conll"
LANGUAGE = "english"


def read_ontonotes(data: Path, split: str, fetch: str, notes: RowNotes) -> list[Document]:
    """The documents of a split, in the order of the names of their files. Where some files are English, all are."""
    folders_of(data, (), fetch)
    paths = _gold_files(data, NAMES[split])
    if not paths:
        names = " or ".join(NAMES[split])
        raise SourceError(f"{printable(data)} has no file *{GOLD} below a folder {names}, nor {names}.*{GOLD}. {fetch}")
    return different([document for path in paths for document in read_documents(path, notes)])


def read_documents(path: Path, notes: RowNotes) -> list[Document]:
    """The documents of one file that have words; the others are counted."""
    return with_words([to_document(block) for block in read_blocks(read_file(str(path), notes), notes)], notes)


def with_words(documents: list[Document], notes: RowNotes) -> list[Document]:
    """Those of which something can be said; the others change no score."""
    for document in documents:
        if not document.word_count:
            notes.skip("no words", str(document.spot))
    return [document for document in documents if document.word_count]


def different(documents: list[Document]) -> list[Document]:
    """The same documents. SourceError where two have one name, which predictions could not tell apart, or for none."""
    if not documents:
        raise SourceError("No document of the split has a word; expected one at least.")
    seen: dict[tuple[str, int], Document] = {}
    for document in documents:
        other = seen.setdefault(identity(document.name, document.part), document)
        if other is not document:
            raise SourceError(
                f"{document.spot} has a document of the name and part of {other.spot}; expected each once. Remove one."
            )
    return documents


def _gold_files(data: Path, names: tuple[str, ...]) -> list[Path]:
    beginnings = tuple(f"{name}." for name in names)
    at_top = [path for path in ending_in(files_in(data), GOLD) if path.name.startswith(beginnings)]
    if at_top:
        return [path for path in at_top if LANGUAGE in path.name.split(".")] or at_top
    below = ending_in(sorted(path for path in data.rglob(f"*{GOLD}*") if path.is_file()), GOLD)
    of_split = [path for path in below if _parts(path, data) & set(names)]
    return [path for path in of_split if LANGUAGE in _parts(path, data)] or of_split


def _parts(path: Path, data: Path) -> set[str]:
    """The names of the folders between `data` and a file."""
    return set(path.relative_to(data).parts[:-1])
