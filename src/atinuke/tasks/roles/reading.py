"""The files of three corpora → sentences with propositions.

PropBank-EWT      train.gold_conll                                cells between tabs
CoNLL-2005        train/words/*.words and train/props/*.props     words apart from propositions, as the task had them
CoNLL-2012        …/train/…/english/…/*.v4_gold_conll             OntoNotes 5, with coreference in the last column

Each may be compressed. CoNLL-2005 and OntoNotes are licensed by the LDC; the format of the latter two is told at
https://www.cs.upc.edu/~srlconll/ and https://conll.cemantix.org/2012/data.html.
"""

from collections.abc import Iterable
from pathlib import Path

from atinuke.data.archives import without_compression
from atinuke.data.documents import shown
from atinuke.data.rows import RowNotes, read_file
from atinuke.durable import printable
from atinuke.errors import SourceError
from atinuke.tasks.roles.columns import Layout, blocks_of, propositions_of, sentence_of
from atinuke.tasks.roles.sentence import Sentence
from atinuke.tasks.task import Spot

EWT = Layout(number=2, word=3, lemma=6, frame=7, arguments=8)
"""document, sentence, word number, word, part of speech, parse, lemma, roleset, arguments …"""
ONTONOTES = Layout(number=2, word=3, lemma=6, frame=7, arguments=11, behind=1, trusts_v=True)
"""document, part, word number, word, part of speech, parse, lemma, frameset, word sense, speaker, named entities,
arguments …, coreference; a lemma stands beside words with a sense too, a frameset beside predicates alone."""
PROPS = Layout(lemma=0, frame=0, arguments=1, has_sense=False)
"""lemma, arguments …"""

CONLL05_FOLDERS = {"train": "train", "dev": "devel", "test": "test.wsj", "test-brown": "test.brown"}
CONLL12_FOLDERS = {"train": ("train",), "dev": ("development", "dev"), "test": ("test",)}
GOLD = "gold_conll"


def read_ewt(data: Path, split: str, notes: RowNotes) -> list[Sentence]:
    """PropBank-EWT: `SPLIT.gold_conll` in the folder `data`."""
    path = _only(data, f"{split}.{GOLD}")
    file = read_file(str(path), notes)
    return _some([sentence_of(file.name, block, EWT, notes) for block in blocks_of(file, "\t")], path)


def read_conll12(data: Path, split: str, notes: RowNotes) -> list[Sentence]:
    """OntoNotes: all files `*gold_conll` below a folder of the split's name, or beginning with it (`dev.english…`).

    Where some lie below a folder `english`, those of other languages are left out.
    """
    paths = _gold_files(data, CONLL12_FOLDERS[split])
    if not paths:
        names = " or ".join(CONLL12_FOLDERS[split])
        raise SourceError(
            f"{printable(data)} has no file *{GOLD} below a folder {names}, nor {names}.*{GOLD}; expected those of "
            f"OntoNotes for {split}."
        )
    sentences: list[Sentence] = []
    for path in paths:
        file = read_file(str(path), notes)
        blocks = blocks_of(file, None, has_comments=True)
        sentences += _some([sentence_of(file.name, block, ONTONOTES, notes) for block in blocks], path)
    return sentences


def read_conll05(data: Path, split: str, notes: RowNotes) -> list[Sentence]:
    """CoNLL-2005: all `words/X.words` and `props/X.props` in the folder of the split, or one `SPLIT.words` and
    `SPLIT.props`."""
    folder = data / CONLL05_FOLDERS[split]
    pairs: list[tuple[Path, Path]] = []
    if (folder / "props").is_dir():
        for props in _with_ending(_files_in(folder / "props"), ".props"):
            stem = without_compression(props.name).removesuffix(".props")
            pairs.append((_only(folder / "words", f"{stem}.words"), props))
        if not pairs:
            raise SourceError(f"{printable(folder / 'props')} has no file *.props; expected those of {split}.")
    else:
        name = CONLL05_FOLDERS[split]
        name = name if any(data.glob(f"{name}.props*")) else split
        pairs.append((_only(data, f"{name}.words"), _only(data, f"{name}.props")))
    sentences: list[Sentence] = []
    for words, props in pairs:
        sentences += _some(_joined(words, props, notes), props)
    return sentences


def _joined(words: Path, props: Path, notes: RowNotes) -> list[Sentence]:
    """The sentences of a file of words and one of propositions, which have the same lines."""
    word_file, prop_file = read_file(str(words), notes), read_file(str(props), notes)
    word_blocks, prop_blocks = list(blocks_of(word_file, None)), list(blocks_of(prop_file, None))
    sentences: list[Sentence] = []
    for ours, theirs in zip(word_blocks, prop_blocks, strict=False):
        if len(ours) != len(theirs):
            raise SourceError(
                f"{prop_file.name}:{theirs[0].line}: the sentence has {len(theirs)} lines, and {word_file.name}:"
                f"{ours[0].line} has {len(ours)} words; expected one line for each word."
            )
        propositions = propositions_of(prop_file.name, theirs, PROPS, notes)
        text = tuple(row.cells[0] for row in ours)
        sentences.append(Sentence(text, propositions, Spot(prop_file.name, theirs[0].line)))
    if len(word_blocks) != len(prop_blocks):
        raise SourceError(
            f"{prop_file.name} has {len(prop_blocks):,} sentences, and {word_file.name} has {len(word_blocks):,}; "
            "expected the same ones in both."
        )
    return sentences


# --- Finding files ---


def _only(folder: Path, name: str) -> Path:
    """The file `name` in `folder`, plain or compressed; SourceError where there is none, or two."""
    found = [path for path in _files_in(folder) if without_compression(path.name) == name]
    if len(found) == 1:
        return found[0]
    if found:
        names = f"{printable(found[0].name)} and {printable(found[1].name)}"
        raise SourceError(f"{printable(folder)} has {names}; expected one of them. Remove the other.")
    raise SourceError(f"{printable(folder)} has no file {shown(name)}, plain or compressed (.gz, .bz2, .xz, .zst).")


def _files_in(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    except OSError as error:
        raise SourceError(f"{printable(folder)} cannot be read: {error.strerror}; expected a folder.") from error


def _with_ending(paths: Iterable[Path], ending: str) -> list[Path]:
    return [path for path in paths if without_compression(path.name).endswith(ending)]


def _gold_files(data: Path, folders: tuple[str, ...]) -> list[Path]:
    beginnings = tuple(f"{name}." for name in folders)
    at_top = [path for path in _with_ending(_files_in(data), GOLD) if path.name.startswith(beginnings)]
    below = sorted(path for path in data.rglob(f"*{GOLD}*") if path.is_file() and path.parent != data)
    of_split = [path for path in _with_ending(below, GOLD) if _parts(path, data) & set(folders)]
    english = [path for path in of_split if "english" in _parts(path, data)]
    return at_top or english or of_split


def _parts(path: Path, data: Path) -> set[str]:
    """The names of the folders between `data` and a file."""
    return set(path.relative_to(data).parts[:-1])


def _some(sentences: list[Sentence], path: Path) -> list[Sentence]:
    if not sentences:
        raise SourceError(f"{printable(path)} has no sentence; expected one word on each line.")
    return sentences
