"""Texts and their translations: read from the files that people keep them in, and a part of them held out."""

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass

from atinuke.data.documents import shown
from atinuke.data.picking import hash64
from atinuke.data.rows import DELIMITERS, RowNotes, TextFile, iter_cells, iter_lines, iter_objects, read_file
from atinuke.data.sources import Sources
from atinuke.errors import SourceError

Pair = tuple[str, str]
"""Source, target."""

HELD_OUT_FRACTION = 0.05
HELD_OUT_PAIRS = 1_000
TABLES = (*DELIMITERS, ".jsonl")


@dataclass(frozen=True)
class Pairs:
    """Pairs in reading order; both sides hold more than white space, and none around it."""

    pairs: list[Pair]
    name: str
    """Short, fit for a folder: "multi30k"."""
    specs: tuple[str, ...]
    notes: RowNotes
    """What was passed over, and why."""

    def __len__(self) -> int:
        return len(self.pairs)

    def texts(self) -> Iterator[str]:
        """Both sides of each pair in turn, as a tokenizer of both languages wants to learn from them."""
        for source, target in self.pairs:
            yield source
            yield target


# --- Reading ---


def read_pairs(specs: Sequence[str]) -> Pairs:
    """The pairs of some files, each plain or compressed (.gz .bz2 .xz .zst). A file is, by its ending,

    - .tsv, .tab or .csv: source and target are its first two columns. A first row whose two cells are single words
      ("English", "Yoruba") names the columns. For quote signs see `iter_cells`.
    - .jsonl: {"source": …, "target": …}, or {"translation": {"de": …, "en": …}}, where the first row's first
      language is the source of all rows and its second the target.
    - anything else: lines of one language. Such files come in couples, source then target, and line n of the one
      translates line n of the other.

    SourceError for couples of unequal length, and when no pair is left. A pair with an empty side is skipped.
    """
    specs = (specs,) if isinstance(specs, str) else tuple(specs)
    if not specs:
        raise SourceError("--pairs names no files; expected de.txt en.txt, or a .tsv or .jsonl file of pairs.")
    notes = RowNotes()
    pairs: list[Pair] = []
    waiting: TextFile | None = None  # the source side of a couple
    for spec in specs:
        file = read_file(spec, notes)
        if waiting is not None:
            if file.ending in TABLES:
                raise SourceError(f"{file.name} holds both sides; expected the translations of {waiting.name}.")
            pairs += _keep(_coupled(waiting, file), notes)
            waiting = None
        elif file.ending in DELIMITERS:
            pairs += _keep(_from_table(file, notes), notes)
        elif file.ending == ".jsonl":
            pairs += _keep(_from_objects(file, notes), notes)
        else:
            waiting = file
    if waiting is not None:
        raise SourceError(
            f"{waiting.name} has no translations; give files in couples, as de.txt en.txt, or a .tsv or .jsonl file."
        )
    if not pairs:
        reasons = "; ".join(f"{reason}: {count:,}" for reason, count in notes.counts.items())
        named = ", ".join(map(shown, specs))
        raise SourceError(f"{named} gives no pairs ({reasons or 'no rows'}). Give files with a text on both sides.")
    return Pairs(pairs, Sources([specs[0]]).name, specs, notes)


def _keep(rows: Iterator[tuple[str, str, str]], notes: RowNotes) -> Iterator[Pair]:
    """The rows (place, source, target) that are pairs."""
    for place, source, target in rows:
        source, target = _trimmed(source), _trimmed(target)
        if not source or not target:
            both = not source and not target
            notes.skip("both sides empty" if both else f"empty {'target' if source else 'source'}", place)
        elif _is_half_character(source) or _is_half_character(target):
            notes.skip("half of a surrogate pair, which is no character", place)
        else:
            yield source, target


def _trimmed(text: str) -> str:
    """Without white space and byte order marks around it; pasting puts those marks inside tables."""
    return text.strip().strip("\ufeff").strip()


def _is_half_character(text: str) -> bool:
    return any("\ud800" <= sign <= "\udfff" for sign in text)


def _coupled(sources: TextFile, targets: TextFile) -> Iterator[tuple[str, str, str]]:
    source_lines, target_lines = list(iter_lines(sources.text)), list(iter_lines(targets.text))
    if len(source_lines) != len(target_lines):
        raise SourceError(
            f"{sources.name} has {len(source_lines):,} lines and {targets.name} has {len(target_lines):,}; expected "
            "as many, line n of the one translating line n of the other. Find where they come apart."
        )
    for number, (source, target) in enumerate(zip(source_lines, target_lines, strict=True), start=1):
        yield f"{sources.name}:{number}", source, target


def _from_table(file: TextFile, notes: RowNotes) -> Iterator[tuple[str, str, str]]:
    for number, row in enumerate(iter_cells(file.text, DELIMITERS[file.ending])):
        if len(row.cells) < 2:
            notes.skip("only one column", f"{file.name}:{row.line}")
        elif number == 0 and _names_columns(row.cells):
            names = " and ".join(shown(_trimmed(cell)) for cell in row.cells[:2])
            notes.remarks.append(f"{file.name}: took its first row for the names of its columns, {names}.")
        else:
            yield f"{file.name}:{row.line}", row.cells[0], row.cells[1]


def _names_columns(cells: list[str]) -> bool:
    """Whether both are single words. At worst one pair of a word each is lost, and that is said."""
    first, second = (_trimmed(cell).replace("-", "").replace("_", "") for cell in cells[:2])
    return first.isalnum() and second.isalnum() and first != second


def _from_objects(file: TextFile, notes: RowNotes) -> Iterator[tuple[str, str, str]]:
    languages: tuple[str, str] | None = None
    for number, row in iter_objects(file, notes):
        place = f"{file.name}:{number}"
        inner = row.get("translation")
        if isinstance(inner, dict) and languages is None and len(inner) >= 2:
            first, second, *_ = inner
            languages = first, second
            notes.remarks.append(f"{file.name}: the source is {shown(first)} and the target is {shown(second)}.")
        if isinstance(inner, dict) and languages is not None:
            source, target = inner.get(languages[0]), inner.get(languages[1])
        else:
            source, target = row.get("source"), row.get("target")
        if isinstance(source, str) and isinstance(target, str):
            yield place, source, target
        else:
            notes.skip("no texts in its fields source and target, nor in translation", place)


# --- Holding out ---


def split_pairs(pairs: Pairs, held_out: Pairs | None = None) -> tuple[Pairs, Pairs]:
    """What is trained on, and what is held out to score with; no pair is in both.

    All pairs of one source fall on the same side. `held_out`, when given, stays whole, and pairs of its sources go
    from training, counted. Otherwise the pairs of the sources with the smallest BLAKE2b hashes are held out, a
    twentieth and at most 1,000; reading order has no say.
    """
    if held_out is not None:
        known, sources = set(held_out.pairs), {source for source, _ in held_out.pairs}
        notes = deepcopy(pairs.notes)
        kept: list[Pair] = []
        for number, pair in enumerate(pairs.pairs, start=1):
            if pair in known:
                notes.skip("also among the held-out pairs", f"pair {number}")
            elif pair[0] in sources:
                notes.skip("its source is held out, with another target", f"pair {number}")
            else:
                kept.append(pair)
        if not kept:
            raise SourceError(
                f"The sources of all {len(pairs):,} pairs are held out, so none is left to train on. Give others."
            )
        return Pairs(kept, pairs.name, pairs.specs, notes), held_out
    most = max(1, min(HELD_OUT_PAIRS, round(HELD_OUT_FRACTION * len(pairs))))
    by_source: dict[str, list[int]] = {}
    for number, (source, _) in enumerate(pairs.pairs):
        by_source.setdefault(source, []).append(number)
    if len(by_source) < 2:
        raise SourceError(
            f"There are {len(pairs):,} pairs of one source text; at least two are needed, as one is held out to score "
            "with. Give more pairs, or others to score with (--held-out)."
        )
    chosen: set[int] = set()
    for source in sorted(by_source, key=lambda source: (hash64(source.encode()), source)):
        if len(chosen) + len(by_source[source]) <= most:
            chosen.update(by_source[source])
    if not chosen:  # every source occurs more often than `most` allows: the rarest of them goes, whole
        fewest = min(len(numbers) for numbers in by_source.values())
        chosen.update(next(numbers for numbers in by_source.values() if len(numbers) == fewest))
    train = [pair for number, pair in enumerate(pairs.pairs) if number not in chosen]
    test = [pair for number, pair in enumerate(pairs.pairs) if number in chosen]
    return Pairs(train, pairs.name, pairs.specs, pairs.notes), Pairs(test, pairs.name, pairs.specs, RowNotes())
