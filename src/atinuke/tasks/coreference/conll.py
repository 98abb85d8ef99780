"""The CoNLL format of coreference → documents, and back: one word on each line, brackets in the last column.

    #begin document (bc/cctv/00/cctv_0000); part 000
    bc/cctv/00/cctv_0000   0   0   Her   …   (7|(3)
    bc/cctv/00/cctv_0000   0   1   dog   …   7)
    bc/cctv/00/cctv_0000   0   2   slept …   -

    #end document

Cells stand between tabs or, where a line has none, between spaces; a blank line ends a sentence. Brackets are read as
scorer.pl (v8.01) reads them: what closes a mention ends the one of its number that was opened last, so that mentions
of different clusters may cross, and those of one cannot. What it ignores or dies of is one line here.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from atinuke.data.documents import shown
from atinuke.data.rows import Row, RowNotes, TextFile, iter_lines
from atinuke.errors import SourceError
from atinuke.tasks.coreference.documents import Cluster, Document, Mention
from atinuke.tasks.task import Spot

NUMBER_COLUMN = 2
WORD_COLUMN = 3
FEWEST_COLUMNS = 5
"""document, part, word number, word, …, coreference."""
NOTHING = frozenset(("-", "_", ""))
UNFILLED = "[WORD]"
"""What stands for a word where a licensed text was left out."""
NAMED = 3
"""So many places are named of mentions that stand twice."""

_BEGIN = re.compile(r"#\s*begin document\b\s*(.*?)\s*")
_NAME = re.compile(r"\((?P<name>.+)\);?(?:\s*part\s+(?P<part>[0-9]{1,18}))?;?")
_END = re.compile(r"\s*#\s*end document\b")
_BRACKET = re.compile(r"\((?P<alone>[0-9]+)\)|\((?P<opens>[0-9]+)|(?P<closes>[0-9]+)\)")
_SPACES = re.compile(r" +")  # Python's own split would part words with a no-break space


@dataclass(frozen=True)
class Block:
    """One document as it stands in a file."""

    name: str
    part: str
    spot: Spot
    sentences: tuple[tuple[Row, ...], ...]
    clusters: tuple[Cluster, ...]
    repeated: tuple[tuple[Mention, Spot], ...]
    """Mentions that stood there before, and where they end."""

    @property
    def word_count(self) -> int:
        """Lines with a word."""
        return sum(map(len, self.sentences))


def read_blocks(file: TextFile, notes: RowNotes) -> list[Block]:
    """The documents of a file, in its order, one at least. SourceError names the line that is malformed.

    Mentions that stand twice, which the official scorer tolerates, are told in `notes`.
    """
    blocks: list[Block] = []
    current: _Open | None = None
    for number, line in enumerate(iter_lines(file.text.removeprefix("\ufeff")), start=1):
        spot = Spot(file.name, number)
        begins = _BEGIN.fullmatch(line)
        if begins is not None:
            if current is not None:
                raise SourceError(f"{current.spot} begins a document that has no #end document before {spot}. Add it.")
            current = _Open(begins[1], spot)
        elif current is None:
            if line.strip():
                raise SourceError(f"{spot} stands in no document; expected #begin document (NAME); part 000 before it.")
        elif _END.match(line):
            blocks.append(current.finish())
            current = None
        elif line.strip():
            current.add(Row(number, _cells(line)))
        else:
            current.end_sentence()
    if current is not None:
        raise SourceError(f"{current.spot} begins a document that has no #end document. Is the file complete?")
    if not blocks:
        raise SourceError(f"{file.name} has no document; expected #begin document (NAME); part 000 and lines of words.")
    _remark_repeated(file, blocks, notes)
    return blocks


def to_document(block: Block) -> Document:
    """The words of a block; SourceError where a line has none, or another number than its place."""
    sentences = tuple(
        tuple(_word(row, place, block.spot.file) for place, row in enumerate(sentence)) for sentence in block.sentences
    )
    return Document(block.name, block.part, sentences, block.clusters, block.spot)


def write_documents(documents: Sequence[Document], clusters: Sequence[Sequence[Sequence[Mention]]]) -> str:
    """The text of a file that scorer.pl reads: document, part, word number, word and brackets, between tabs.

    Mentions of one cluster must not cross each other: the format has no way of saying that they do.
    """
    lines: list[str] = []
    for document, own in zip(documents, clusters, strict=True):
        cells = _bracket_cells(document.word_count, own)
        lines.append(f"#begin document ({document.name});" + (f" part {document.part}" if document.part else ""))
        place = 0
        for sentence in document.sentences:
            for number, word in enumerate(sentence):
                lines.append("\t".join((document.name, document.part or "0", str(number), word, cells[place])))
                place += 1
            lines.append("")
        lines.append("#end document")
    return "\n".join(lines) + "\n"


class _Open:
    """A document of which more lines are to come."""

    def __init__(self, named: str, spot: Spot) -> None:
        found = _NAME.fullmatch(named)
        if found is None:
            raise SourceError(f"{spot} names a document {shown(named)!r}; expected #begin document (NAME); part 000.")
        self.name = found["name"]
        self.part = found["part"] or ""
        self.spot = spot
        self._sentences: list[tuple[Row, ...]] = []
        self._sentence: list[Row] = []
        self._words = 0
        self._opened: dict[str, list[tuple[int, Spot]]] = {}
        self._clusters: dict[str, list[tuple[Mention, Spot]]] = {}

    def add(self, row: Row) -> None:
        spot = Spot(self.spot.file, row.line)
        if len(row.cells) < 2:
            raise SourceError(f"{spot} has one column; expected {FEWEST_COLUMNS} at least, the last for coreference.")
        cell = row.cells[-1].strip()
        if cell not in NOTHING:
            self._take(cell, spot)
        self._sentence.append(row)
        self._words += 1

    def end_sentence(self) -> None:
        if self._sentence:
            self._sentences.append(tuple(self._sentence))
            self._sentence = []

    def finish(self) -> Block:
        self.end_sentence()
        for number, opened in self._opened.items():
            if opened:
                raise SourceError(
                    f"{opened[-1][1]} opens the mention ({number}, which is not closed in its document; expected "
                    f"{number}) beside its last word."
                )
        seen: set[Mention] = set()
        repeated = []
        for cluster in self._clusters.values():
            for mention, spot in cluster:
                if mention in seen:
                    repeated.append((mention, spot))
                seen.add(mention)
        clusters = tuple(tuple(mention for mention, _ in cluster) for cluster in self._clusters.values())
        return Block(self.name, self.part, self.spot, tuple(self._sentences), clusters, tuple(repeated))

    def _take(self, cell: str, spot: Spot) -> None:
        """Brackets of one word: first those of mentions of one word, then what opens, then what closes, as scorer.pl
        takes them. The order decides which of two equal mentions counts as the repeated one."""
        if _BRACKET.sub("", cell).strip("|"):
            raise SourceError(
                f"{spot} has {shown(cell)!r} in its last column; expected - or brackets of coreference like (12, 12), "
                "(3)|(4."
            )
        found = list(_BRACKET.finditer(cell))
        for number in (each["alone"] for each in found if each["alone"]):
            self._clusters.setdefault(number, []).append(((self._words, self._words), spot))
        for number in (each["opens"] for each in found if each["opens"]):
            self._clusters.setdefault(number, [])
            self._opened.setdefault(number, []).append((self._words, spot))
        for number in (each["closes"] for each in found if each["closes"]):
            if not self._opened.get(number):
                raise SourceError(
                    f"{spot} closes a mention {number}) that is not open; expected ({number} before it. Mend the line."
                )
            first, _ = self._opened[number].pop()
            self._clusters[number].append(((first, self._words), spot))


def _cells(line: str) -> list[str]:
    """Empty cells at the end of a line do not count, neither here nor in scorer.pl: LitBank leaves the last one empty
    where others have "-", and the one before it says "_"."""
    if "\t" not in line:
        return _SPACES.split(line.strip(" "))
    cells = line.split("\t")
    while len(cells) > 1 and not cells[-1].strip():
        cells.pop()
    return cells


def _word(row: Row, place: int, file: str) -> str:
    spot = Spot(file, row.line)
    if len(row.cells) < FEWEST_COLUMNS:
        raise SourceError(
            f"{spot} has {len(row.cells)} columns; expected {FEWEST_COLUMNS} at least: document, part, word number, "
            "word, …, coreference."
        )
    number = row.cells[NUMBER_COLUMN].strip()
    if number != str(place):
        raise SourceError(
            f"{spot} has {shown(number)!r} in column {NUMBER_COLUMN + 1}; expected {place}, the number of the word in "
            "its sentence. A blank line ends each sentence."
        )
    word = row.cells[WORD_COLUMN].strip()
    if not word or word == UNFILLED:
        what = "is without its words, which are licensed apart" if word else "has no word"
        raise SourceError(f"{spot} {what} (column {WORD_COLUMN + 1}). Fill them in.")
    return word


def _bracket_cells(word_count: int, clusters: Sequence[Sequence[Mention]]) -> list[str]:
    opens: list[list[str]] = [[] for _ in range(word_count)]
    closes: list[list[str]] = [[] for _ in range(word_count)]
    for number, cluster in enumerate(clusters):
        for first, last in sorted(cluster):
            if first == last:
                opens[first].append(f"({number})")
            else:
                opens[first].append(f"({number}")
                closes[last].append(f"{number})")
    return ["|".join(begun + ended) or "-" for begun, ended in zip(opens, closes, strict=True)]


def _remark_repeated(file: TextFile, blocks: Sequence[Block], notes: RowNotes) -> None:
    places = [str(spot) for block in blocks for _, spot in block.repeated]
    if places:
        named = ", ".join(places[:NAMED]) + (", …" if len(places) > NAMED else "")
        what = "1 mention that stands" if len(places) == 1 else f"{len(places):,} mentions that stand"
        notes.remarks.append(f"{file.name} has {what} there twice ({named}); counted as the official scorer does.")
