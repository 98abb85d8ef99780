"""LitBank: about 2,000 words of each of a hundred novels and stories, from an archive or a folder of .conll files.

Bamman, Lewke & Mansoor 2020, "An Annotated Dataset of Coreference in English Literature", LREC. Unlike OntoNotes it
annotates mentions that nothing else refers to, and leaves out what is no person, place, vehicle or organisation.
"""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from atinuke.data.archives import archive_kind, iter_members, iter_pieces, open_text, without_compression
from atinuke.data.decoding import decode, judge
from atinuke.data.documents import Unusable, shown
from atinuke.data.rows import RowNotes, TextFile, read_file
from atinuke.durable import printable
from atinuke.errors import SourceError
from atinuke.tasks.coreference.conll import read_blocks, to_document
from atinuke.tasks.coreference.documents import Document
from atinuke.tasks.coreference.files import ending_in, files_in, folders_of
from atinuke.tasks.coreference.ontonotes import different, with_words

FOLDERS = ("litbank-coref", "coref/conll", "litbank/coref/conll")
ENDING = ".conll"
ARCHIVE = "litbank"
"""What the name of an archive begins with."""

# By number at Project Gutenberg, with which the names begin: the first of the ten folds of cross-validation that the
# authors published (github.com/dbamman/lrec2020-coref, litbank_tenfold_splits/0). All others are trained on.
HELD_OUT = {
    "dev": frozenset((44, 60, 158, 208, 351, 768, 940, 2814, 6053, 15265)),
    "test": frozenset((238, 271, 711, 730, 1023, 1155, 1661, 2807, 6593, 16357)),
}


def read_litbank(data: Path, split: str, fetch: str, notes: RowNotes) -> list[Document]:
    """The documents of a split, in the order of the names of their files."""
    documents = [to_document(block) for file in _texts(data, split, fetch, notes) for block in read_blocks(file, notes)]
    if not documents:
        raise SourceError(
            f"{printable(data)} has no document of {split}: names begin with the number of the book, such as "
            f"1023_bleak_house_brat{ENDING}. {fetch}"
        )
    return different(with_words(documents, notes))


def split_of(name: str) -> str:
    """The split of the file of this name."""
    number = name.partition("_")[0]
    book = int(number) if number.isascii() and number.isdigit() and len(number) < 10 else -1
    return next((split for split, books in HELD_OUT.items() if book in books), "train")


def _texts(data: Path, split: str, fetch: str, notes: RowNotes) -> Iterator[TextFile]:
    """The files of a split, of the first folder that has some, or an archive of them."""
    for folder in folders_of(data, FOLDERS, fetch):
        files = files_in(folder)
        plain = ending_in((path for path in files if not archive_kind(path.name)), ENDING)
        if plain:
            return (read_file(str(path), notes) for path in plain if split_of(path.name) == split)
        archives = [path for path in files if archive_kind(path.name) and path.name.startswith(ARCHIVE)]
        if archives:
            return iter(sorted(_members(archives[0], split), key=lambda file: file.name))
    raise SourceError(f"{printable(data)} has no *{ENDING} file, and no archive {ARCHIVE}*.tar.gz. {fetch}")


def _members(archive: Path, split: str) -> Iterator[TextFile]:
    """The .conll files of a split in an archive, under the names that they have there."""
    try:
        for member in iter_members(str(archive), printable(archive)):
            name = PurePosixPath(member.name).name
            if without_compression(name).endswith(ENDING) and split_of(name) == split:
                with open_text(member) as stream:
                    data = b"".join(iter_pieces(stream))
                yield TextFile(shown(member.name), ENDING, "".join(decode([data], judge([data]))))
    except Unusable as reason:
        raise SourceError(f"{printable(archive)} cannot be used: {reason}. Fetch it again.") from reason
