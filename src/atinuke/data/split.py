"""Which text is held out, which is trained on, and which is neither: one protocol for every run.

- **A corpus**: whole documents are held out, those with the smallest BLAKE2b hash of their content, a tenth of them
  (`validation_fraction`) and at most `validation_bytes`. Neither names nor reading order have a say, so that equal
  documents fall on the same side.
- **A single text**: its end is held out, the last tenth of its characters and at most `validation_bytes`.
- **A corpus that hashing cannot serve** (see `_choose`): the end of its documents laid end to end in reading order.
  Near-duplicates are not looked for then; two editions of one book are such a case.

From training go: exact repetitions of a document, each content being kept once; and near-duplicates of held-out
documents, see `line_overlap`. The tokenizer's sample is drawn from what remains.
"""

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from atinuke.config import Settings
from atinuke.data.census import Census, TextEnd, measure_again, take_census
from atinuke.data.documents import Document, SourceNotes
from atinuke.data.picking import TextSample, hash64
from atinuke.data.sources import Sources

LINE_CHARS = 20
"""Shorter lines (`else:`, `}`, a speaker's name) recur everywhere and say nothing about copying."""

ENOUGH_BYTES = 32_768
"""Held-out documents of at least this much are enough to measure on, however long the corpus is."""

PIECE_CHARS = 65_536
"""A single text is thinned out in pieces of this length: long against any context, short against the text."""


class SplitRules(Settings):
    """How much text is held out to measure on."""

    validation_fraction: float = Field(0.1, gt=0, le=0.5, description="Part of the text or documents that is held out.")
    validation_bytes: int = Field(
        2_000_000, ge=1_000, le=100_000_000, description="Held-out text at most, in bytes; it is kept in memory."
    )


@dataclass(frozen=True)
class Ledger:
    """By the ordinal of a document in reading order: the hash of its content, and how many of its bytes are trained on.

    0 bytes: held out, or dropped. Fewer than it has: its end is held out.
    """

    hashes: NDArray[np.uint64]
    train_bytes: NDArray[np.int64]


@dataclass(frozen=True)
class Scan:
    """What is known of the sources before anything is encoded."""

    validation: list[str]
    """The held-out texts, one per document."""
    is_single_text: bool
    """One document in all, repetitions aside; the held-out text then goes on where the training text ends."""
    documents: int
    train_documents: int
    train_bytes: int
    train_chars: int | None
    """Of a single text; not counted for a corpus."""
    duplicates: int
    near_duplicates: int
    sample: list[str]
    """Training text for the tokenizer, in pieces of up to 65,536 characters from all over the corpus."""
    notes: SourceNotes
    ledger: Ledger

    @property
    def validation_bytes(self) -> int:
        """UTF-8 bytes of all held-out texts."""
        return sum(len(text.encode()) for text in self.validation)


def scan(sources: Sources, rules: SplitRules, *, sample_bytes: int) -> Scan:
    """Decide what is held out, and take a sample of at most `sample_bytes` of the rest for the tokenizer.

    A single text is read once, a corpus twice: near-duplicates can only be told once the held-out documents are known.
    """
    census = take_census(sources, validation_bytes=rules.validation_bytes, sample_bytes=sample_bytes)
    notes = deepcopy(sources.notes)
    if census.end is not None:
        return _split_end(census, census.end, rules, notes)
    chosen = _choose(census, rules)
    by_documents = _split_documents(sources, census, chosen, notes, sample_bytes) if chosen else None
    if by_documents is not None:
        return by_documents
    return _split_end(census, _read_end(sources, census, rules, sample_bytes), rules, notes)


def line_overlap(text: str, held_out: set[str]) -> tuple[int, int]:
    """How many characters of the text stand in lines that a held-out document has too, and how many it has in all.

    A document is a near-duplicate when the first is at least half of the second. Lines are compared without the white
    space around them, and only those of LINE_CHARS or more; white space around lines counts in neither number.

    After CCNet (arXiv:1911.00359 §3.1), which drops paragraphs that occur elsewhere, by their hashes; here a whole
    document goes or stays, so that none is left with holes, and the lines themselves are compared. It finds copies
    with lines added, left out, reordered or indented anew. It does not find copies with a small change in most lines
    or with lines broken elsewhere, nor short quotations; and a text that shares half of itself as boilerplate goes.
    """
    lines = [line.strip() for line in text.split("\n")]
    shared = sum(len(line) for line in lines if len(line) >= LINE_CHARS and line in held_out)
    return shared, sum(map(len, lines))


def training_documents(sources: Sources, scan: Scan, *, max_bytes: int | None = None) -> Iterator[Document]:
    """The training text in reading order; SourceError when the sources are not what `scan` read.

    With `max_bytes`, about so many bytes of it, the same every time and from all over: of a corpus the documents with
    the smallest hashes, the last of which is cut short; of a single text pieces of PIECE_CHARS or less.
    """
    if max_bytes is None or max_bytes >= scan.train_bytes:
        return _whole(sources, scan.ledger.hashes, scan.ledger.train_bytes)
    if scan.is_single_text:
        return _thinned(sources, scan, max_bytes)
    return _whole(sources, scan.ledger.hashes, _allot(scan.ledger, max_bytes))


# --- A corpus: whole documents ---


def _choose(census: Census, rules: SplitRules) -> dict[int, str]:
    """The held-out documents by ordinal, or none when hashing cannot serve this corpus.

    In the order of their hashes, as many as the fraction asks for, passing over those that would bring the held-out
    text beyond `validation_bytes` or a quarter of all text. If nothing fits, the first that is at most half of all
    text, as happens with two to four documents. None when all are too long for that, or when what was chosen is too
    little to measure on (a note beside a book): less than a quarter of the fraction and less than ENOUGH_BYTES.
    """
    total = int(census.kept_sizes().sum())
    count = max(1, round(rules.validation_fraction * census.unique))
    room = min(rules.validation_bytes, total // 4)
    chosen: dict[int, str] = {}
    used = 0
    for ordinal, text, size in census.candidates:
        if len(chosen) < count and used + size <= room:
            chosen[ordinal] = text
            used += size
    if not chosen:
        for ordinal, text, size in census.candidates:
            if 2 * size <= total:
                chosen, used = {ordinal: text}, size
                break
    wanted = min(rules.validation_fraction * total, rules.validation_bytes)
    return chosen if used >= min(wanted / 4, ENOUGH_BYTES) else {}


def _split_documents(
    sources: Sources, census: Census, chosen: dict[int, str], notes: SourceNotes, sample_bytes: int
) -> Scan | None:
    """Second pass over a corpus: near-duplicates and the sample. None when nothing would be left to train on."""
    train_bytes = census.kept_sizes()
    train_bytes[list(chosen)] = 0
    held_out_lines = {
        line for text in chosen.values() for line in map(str.strip, text.split("\n")) if len(line) >= LINE_CHARS
    }
    sample = TextSample(sample_bytes)
    pending = sample.empty_twin()  # of a document in parts, which all parts together judge
    near_duplicates = shared = total = pieces = 0
    for ordinal, document, _, _ in measure_again(sources, census.hashes):
        if not train_bytes[ordinal]:
            continue
        part_shared, part_total = line_overlap(document.text, held_out_lines)
        shared, total = shared + part_shared, total + part_total
        is_near = shared > 0 and 2 * shared >= total
        if document.is_last and document.part == 0:
            if not is_near:
                sample.offer(ordinal, 0, document.text)
        else:
            pieces = pending.offer(ordinal, pieces, document.text)
            if document.is_last:
                if not is_near:
                    sample.merge(pending)
                pieces, pending = 0, sample.empty_twin()
        if document.is_last:
            near_duplicates += is_near
            train_bytes[ordinal] *= not is_near
            shared = total = 0
    if not train_bytes.any():
        return None
    validation = [chosen[ordinal] for ordinal in sorted(chosen)]
    return _result(census, train_bytes, validation, near_duplicates, None, sample, notes)


# --- A single text, or a corpus as one: its end ---


def _read_end(sources: Sources, census: Census, rules: SplitRules, sample_bytes: int) -> TextEnd:
    """Second pass over a corpus whose documents do not serve: all of them as one text."""
    end = TextEnd(rules.validation_bytes, TextSample(sample_bytes))
    for ordinal, document, size, _ in measure_again(sources, census.hashes):
        if census.is_first[ordinal]:
            end.add(ordinal, document.text, size)
    return end


def _split_end(census: Census, end: TextEnd, rules: SplitRules, notes: SourceNotes) -> Scan:
    held_out = end.cut(rules.validation_fraction)
    train_bytes = census.kept_sizes()
    for ordinal, text in held_out.items():
        train_bytes[ordinal] -= len(text.encode())
    train_chars = end.chars - sum(map(len, held_out.values())) if census.unique == 1 else None
    return _result(census, train_bytes, list(held_out.values()), 0, train_chars, end.sample, notes)


def _result(
    census: Census,
    train_bytes: NDArray[np.int64],
    validation: list[str],
    near_duplicates: int,
    train_chars: int | None,
    sample: TextSample,
    notes: SourceNotes,
) -> Scan:
    return Scan(
        validation=validation,
        is_single_text=census.unique == 1,
        documents=len(census.hashes),
        train_documents=int(np.count_nonzero(train_bytes)),
        train_bytes=int(train_bytes.sum()),
        train_chars=train_chars,
        duplicates=len(census.hashes) - census.unique,
        near_duplicates=near_duplicates,
        sample=sample.texts(),
        notes=notes,
        ledger=Ledger(census.hashes, train_bytes),
    )


# --- Later passes: the training text ---


def _whole(sources: Sources, hashes: NDArray[np.uint64], allotted: NDArray[np.int64]) -> Iterator[Document]:
    """Of each document the first `allotted` bytes, fewer where that would cut a character."""
    given = part = 0
    for ordinal, document, size, _ in measure_again(sources, hashes):
        left = int(allotted[ordinal]) - given
        if left > 0:
            text = document.text if size <= left else document.text.encode()[:left].decode(errors="ignore")
            given += min(size, left)
            if text:
                yield Document(document.name, text, part, is_last=size >= left)
                part += 1
        if document.is_last:
            given = part = 0


def _allot(ledger: Ledger, max_bytes: int) -> NDArray[np.int64]:
    """Bytes by ordinal: documents in the order of their hashes until `max_bytes` are used up."""
    most = max(max_bytes, 4)  # a character has up to four bytes, and there must be one
    order = np.argsort(ledger.hashes, kind="stable")
    wanted = ledger.train_bytes[order]
    used_before = np.cumsum(wanted) - wanted
    allotted = np.zeros_like(wanted)
    allotted[order] = np.clip(most - used_before, 0, wanted)
    return allotted


def _thinned(sources: Sources, scan: Scan, max_bytes: int) -> Iterator[Document]:
    """Pieces of a single text, chosen by the hash of their number, in reading order.

    The last piece is always among them: the held-out text goes on from it.
    """
    assert scan.train_chars is not None
    length = max(1, min(PIECE_CHARS, scan.train_chars * max_bytes // (4 * scan.train_bytes)))
    count = -(-scan.train_chars // length)
    wanted = max(1, min(count, round(count * max_bytes / scan.train_bytes)))
    by_hash = sorted(range(count - 1), key=lambda number: hash64(number.to_bytes(8)))
    chosen = {count - 1, *by_hash[: wanted - 1]}
    number, part, pending = 0, 0, ""
    for document in _whole(sources, scan.ledger.hashes, scan.ledger.train_bytes):
        pending += document.text
        start = 0
        while len(pending) - start >= length or (document.is_last and start < len(pending)):
            if number in chosen:
                yield Document(document.name, pending[start : start + length], part, is_last=number == count - 1)
                part += 1
            start += length
            number += 1
        pending = pending[start:]
