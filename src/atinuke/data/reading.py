"""One file → its documents: text whole or in parts, .jsonl line by line, archives member by member.

A file that fits in memory is judged and decoded at once. A longer one is first read to its end without giving
anything (its encoding is then known, and that it is whole), and read again to give its parts; the verdict is kept,
so that later passes over the same sources skip the first reading. A tar cannot be reopened at a member, so the
whole tar is judged first.
"""

import json
from collections.abc import Iterable, Iterator
from itertools import chain

from atinuke.config import one_line
from atinuke.data.archives import (
    Member,
    archive_kind,
    compression_of,
    iter_members,
    iter_pieces,
    open_text,
    read_fully,
    without_compression,
)
from atinuke.data.decoding import UTF8, Encoding, decode, gather_parts, judge
from atinuke.data.documents import Document, SourceNotes, Unusable, shown, to_parts
from atinuke.data.finding import FoundFile
from atinuke.errors import SourceError

WHOLE_BYTES = 4_000_000
"""A file up to this long is held in memory and is one part (a character has at least one byte)."""

MAX_LINE_BYTES = 1 << 25
"""A line of .jsonl has to be parsed whole; longer ones are skipped, so that memory stays bounded."""

Verdict = Encoding | str  # how to decode, or the reason for passing over
Verdicts = dict[tuple[str, int], Verdict]  # by (path, ordinal of the member); long texts and tars only
WHOLE_FILE = -1  # the ordinal under which a verdict on the whole of a file is kept


def read_documents(file: FoundFile, notes: SourceNotes, verdicts: Verdicts) -> Iterator[Document]:
    """The documents of one file, in the order in which they stand; what is passed over goes into `notes`."""
    before = notes.documents
    try:
        if archive_kind(file.name) == "tar":
            _judge_tar(file, verdicts)
        for ordinal, member in enumerate(iter_members(file.path, file.name)):
            yield from _read_member(member, (file.path, ordinal), notes, verdicts)
    except Unusable as reason:
        _refuse_partial(file.name, reason, notes.documents > before and archive_kind(file.name) == "tar")
        notes.skip(file.name, str(reason))
    notes.files += notes.documents > before


def _read_member(member: Member, key: tuple[str, int], notes: SourceNotes, verdicts: Verdicts) -> Iterator[Document]:
    name = shown(member.name)
    given = 0
    try:
        for document in _documents_of(member, key, notes, verdicts):
            given += 1
            notes.bytes += len(document.text.encode())
            notes.documents += document.is_last
            yield document
    except Unusable as reason:
        _refuse_partial(name, reason, given > 0)
        notes.skip(name, str(reason))


def _refuse_partial(name: str, reason: Unusable, is_partial: bool) -> None:
    """What was judged sound and fails half-way has changed since; half of it must not stay in the corpus."""
    if is_partial:
        raise SourceError(f"SOURCE {name} changed while it was being read ({reason}); run the command again.")


def _documents_of(member: Member, key: tuple[str, int], notes: SourceNotes, verdicts: Verdicts) -> Iterator[Document]:
    inner = without_compression(member.name)
    if compression_of(inner) or archive_kind(inner) or archive_kind(member.name):
        raise Unusable("an archive inside an archive, or compressed twice; unpack it first")
    name = shown(member.name)
    read = _json_documents if _is_jsonl(member) else _text_documents
    with open_text(member) as stream:
        head = read_fully(stream, WHOLE_BYTES + 1)
        if len(head) <= WHOLE_BYTES:
            yield from read(name, [head], _examine(member, [head]), notes)
            return
        pieces = chain([head], iter_pieces(stream))
        if member.opens_once:
            yield from read(name, pieces, _sound(verdicts[key]), notes)
            return
        if key not in verdicts:
            verdicts[key] = _verdict(member, pieces)
    encoding = _sound(verdicts[key])
    with open_text(member) as stream:
        yield from read(name, iter_pieces(stream), encoding, notes)


def _judge_tar(file: FoundFile, verdicts: Verdicts) -> None:
    """Read the whole tar once: Unusable when it is damaged anywhere; verdicts on its long members are kept."""
    whole = (file.path, WHOLE_FILE)
    if whole not in verdicts:
        try:
            for ordinal, member in enumerate(iter_members(file.path, file.name)):
                _judge_tar_member(member, (file.path, ordinal), verdicts)
            verdicts[whole] = UTF8
        except Unusable as reason:
            verdicts[whole] = str(reason)
    _sound(verdicts[whole])


def _judge_tar_member(member: Member, key: tuple[str, int], verdicts: Verdicts) -> None:
    try:
        with open_text(member) as stream:
            head = read_fully(stream, WHOLE_BYTES + 1)
            if len(head) > WHOLE_BYTES:
                verdicts[key] = _verdict(member, chain([head], iter_pieces(stream)))
    except Unusable:
        pass  # only this member's fault, which reading it meets again; a fault of the tar stops the next step here


def _is_jsonl(member: Member) -> bool:
    return without_compression(member.name).lower().endswith(".jsonl")


def _examine(member: Member, pieces: Iterable[bytes]) -> Encoding:
    """Read everything: the encoding of a text; for .jsonl, whose lines are judged one by one, that it is whole."""
    if not _is_jsonl(member):
        return judge(pieces)
    for _ in pieces:
        pass
    return UTF8


def _verdict(member: Member, pieces: Iterable[bytes]) -> Verdict:
    try:
        return _examine(member, pieces)
    except Unusable as reason:
        return str(reason)


def _sound(verdict: Verdict) -> Encoding:
    if isinstance(verdict, str):
        raise Unusable(verdict)
    return verdict


def _text_documents(name: str, pieces: Iterable[bytes], encoding: Encoding, notes: SourceNotes) -> Iterator[Document]:
    parts = gather_parts(decode(pieces, encoding))
    text = next(parts, "")
    following = next(parts, None)
    if following is None and (not text or text.isspace()):
        raise Unusable("empty" if not text else "only white space")
    if encoding.note:
        notes.re_encode(name, encoding.note)
    number = 0
    while following is not None:
        yield Document(name, text, number, is_last=False)
        text, following, number = following, next(parts, None), number + 1
    yield Document(name, text, number)


def _json_documents(name: str, pieces: Iterable[bytes], encoding: Encoding, notes: SourceNotes) -> Iterator[Document]:
    """One document per line; `encoding` is always UTF-8, which JSON prescribes."""
    count = 0
    first_fault = "it has no lines"
    for number, line in enumerate(_iter_lines(pieces), start=1):
        if line is not None and not line.strip():
            continue
        try:
            text = _text_of_line(line, is_first=number == 1)
        except Unusable as reason:
            notes.skip_line(name, number, str(reason))
            first_fault = str(reason) if first_fault == "it has no lines" else first_fault
            continue
        parts = list(to_parts(text))
        for part, piece in enumerate(parts):
            yield Document(f"{name}:{number}", piece, part, is_last=part == len(parts) - 1)
        count += 1
    if not count:
        raise Unusable(f'no line is a JSON object with a text in its field "text"; at first: {first_fault}')


def _iter_lines(pieces: Iterable[bytes]) -> Iterator[bytes | None]:
    """The lines without their ends; None for one longer than MAX_LINE_BYTES, which is never held whole."""
    pending: list[bytes] = []
    length = 0
    for piece in pieces:
        first, *others = piece.split(b"\n")
        length += len(first)
        pending = [*pending, first] if length <= MAX_LINE_BYTES else []
        for line in others:
            yield b"".join(pending) if length <= MAX_LINE_BYTES else None
            pending, length = [line], len(line)
    if length:
        yield b"".join(pending) if length <= MAX_LINE_BYTES else None


def _text_of_line(line: bytes | None, is_first: bool) -> str:
    if line is None:
        raise Unusable(f"longer than {MAX_LINE_BYTES:,} bytes")
    try:
        row = json.loads(line.decode("utf-8-sig" if is_first else "utf-8"))
    except UnicodeDecodeError as error:
        raise Unusable("not UTF-8") from error
    except (ValueError, RecursionError) as error:
        raise Unusable(f"not JSON: {shown(one_line(error))}") from error
    if not isinstance(row, dict) or "text" not in row:
        raise Unusable("no field text" if isinstance(row, dict) else "not a JSON object")
    text = row["text"]
    if not isinstance(text, str) or not text or text.isspace():
        raise Unusable("the field text is empty" if isinstance(text, str) else "the field text is not a text")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Unusable("half of a surrogate pair, which is no character") from error
    return text
