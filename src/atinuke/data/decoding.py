"""Bytes → text: which encoding a file has, whether it is text at all, and decoding it piece by piece.

UTF-8 is assumed until a byte contradicts it. Only then is the encoding guessed, on a bounded sample, with
charset-normalizer; the guess must then decode every byte strictly or the file is passed over. New lines stay as
they are (`\\r\\n` too) and only a byte order mark is dropped: bits per byte are of the text as it was given.
"""

import codecs
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain

from atinuke.data.documents import PART_CHARS, Unusable

SAMPLE_BYTES = 65_536
"""What the encoding is guessed from: this much from shortly before the first byte that is not ASCII."""

WINDOW_BYTES = 4 * SAMPLE_BYTES
"""A file whose first non-ASCII bytes are UTF-8 for this long is UTF-8; a later fault is a fault, not a guess."""

MAX_CONTROL_SHARE = 0.05
"""Text with more control characters than this is binary (Perl's -B asks for 30 % of odd bytes, on raw bytes)."""

_NON_ASCII = re.compile(rb"[\x80-\xff]")
_NON_ASCII_RUNS = re.compile(rb"[\x80-\xff]+")
_SIGN_IN_WORD = re.compile(r"(?<=[^\W\d_])[^\x00-\x7f\w’·\xad](?=[^\W\d_])")  # as in "lu»oučký"; "l’été" is fine
_CONTROL = re.compile("[\x00-\x07\x0e-\x1a\x1c-\x1f\x7f-\x84\x86-\x9f]")  # all but \b \t \n \v \f \r, escape, and NEL
_MARKS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SIGNATURES = (
    (b"\x1f\x8b", "gzip data without the ending .gz"),
    (b"PK\x03\x04", "a zip archive, or a document made of one, without the ending .zip"),
    (b"BZh", "bzip2 data without the ending .bz2"),
    (b"\xfd7zXZ\x00", "xz data without the ending .xz"),
    (b"\x28\xb5\x2f\xfd", "zstd data without the ending .zst"),
    (b"%PDF-", "a PDF; convert it to text"),
    (b"PAR1", "Parquet; convert it to .jsonl"),
    (b"\x89PNG", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"\x7fELF", "a program"),
)

_PUNCTUATION = "“”„‘’‚–—…«»‹›€£§°·•†©®™´¨\xa0\xad"
_WESTERN = "áàâäãåæçéèêëíìîïñóòôöõøœßúùûüýÿðþ¿¡ªº" + _PUNCTUATION
_CENTRAL = "áâăäąćčçďđéęëěíîĺľłńňóôőöŕřśšşťţúůűüýźžżß" + _PUNCTUATION
_LATIN_LETTERS = {
    "cp1252": frozenset(_WESTERN + _WESTERN.upper()),
    "cp1250": frozenset(_CENTRAL + _CENTRAL.upper()),
    "iso8859_2": frozenset(_CENTRAL + _CENTRAL.upper()),
    "cp1254": frozenset("âäçéğîıöşûüßİĞŞÂÄÇÉÎÖÛÜ" + _PUNCTUATION),
}
"""Letters that text in a Latin code page consists of, most common code page first.

charset-normalizer gives cp1250, cp1252 and cp1257 the same score on French or German and then takes the first by
name, which turns `à` into `ŕ`; the alphabet settles what its score leaves open.
"""


@dataclass(frozen=True)
class Encoding:
    """How a file is decoded; `note` is what the user is told, empty for plain UTF-8."""

    codec: str
    note: str = ""
    drops_incomplete_end: bool = False


UTF8 = Encoding("utf-8")


def judge(chunks: Iterable[bytes]) -> Encoding:
    """The encoding that decodes all of `chunks`; Unusable when there is none or the bytes are no text.

    Holds at most one chunk and WINDOW_BYTES.
    """
    chunks = iter(chunks)
    head = b""
    while len(head) < SAMPLE_BYTES and (more := next(chunks, None)) is not None:  # pipes give little at a time
        head += more
    encoding = _marked(head)
    _refuse_signature(head)
    if encoding is not None:
        return _check(encoding, chain([head], chunks), offset=0)
    offset = 0
    for chunk in chain([head], chunks):
        _refuse_nul(chunk, offset)
        found = _NON_ASCII.search(chunk)
        if found is not None:
            break
        if offset == 0:
            _refuse_controls(chunk[:SAMPLE_BYTES].decode("ascii"))
        offset += len(chunk)
    else:
        return UTF8
    start = max(0, found.start() - 1024)  # some ASCII before the first odd byte helps the guess
    offset += start
    window, is_whole = _fill(chunk[start:], chunks, offset)
    encoding = _decide(window, is_whole, offset)
    return _check(encoding, chain([window], chunks), offset)


def decode(chunks: Iterable[bytes], encoding: Encoding, offset: int = 0) -> Iterator[str]:
    """The text of `chunks`, as pieces that are never empty; Unusable where the encoding does not hold.

    `offset` is where in its file the first chunk begins; errors count from there.
    """
    decoder = codecs.getincrementaldecoder(encoding.codec)()
    for chunk in chunks:
        try:
            text = decoder.decode(chunk)
        except UnicodeDecodeError as error:
            raise Unusable(f"not {encoding.codec} near byte {offset + error.start}") from error
        offset += len(chunk)
        if text:
            yield text
    try:
        text = decoder.decode(b"", final=True)
    except UnicodeDecodeError as error:
        if encoding.drops_incomplete_end:
            return
        raise Unusable(f"not {encoding.codec}: it ends inside a character, at byte {offset}") from error
    if text:
        yield text


def gather_parts(texts: Iterable[str]) -> Iterator[str]:
    """The same text in parts of at most PART_CHARS characters, which end with a line where there are lines."""
    pending = ""
    for text in texts:
        pending += text
        while len(pending) > PART_CHARS:
            newline = pending.rfind("\n", PART_CHARS - PART_CHARS // 8, PART_CHARS)
            cut = newline + 1 if newline >= 0 else PART_CHARS
            yield pending[:cut]
            pending = pending[cut:]
    if pending:
        yield pending


def _marked(head: bytes) -> Encoding | None:
    for mark, codec in _MARKS:
        if head.startswith(mark):
            return Encoding(codec, note="" if codec == "utf-8-sig" else codec)
    return None


def _refuse_signature(head: bytes) -> None:
    for signature, what in _SIGNATURES:
        if head.startswith(signature):
            raise Unusable(f"binary: {what}")


def _refuse_nul(chunk: bytes, offset: int) -> None:
    at = chunk.find(0)
    if at >= 0:
        raise Unusable(f"binary: a NUL byte at byte {offset + at}")


def _refuse_controls(text: str) -> None:
    sample = text[:SAMPLE_BYTES]
    if len(_CONTROL.findall(sample)) > MAX_CONTROL_SHARE * len(sample):
        raise Unusable("binary: too many control characters")


def _fill(window: bytes, chunks: Iterator[bytes], offset: int) -> tuple[bytes, bool]:
    """At least WINDOW_BYTES of the stream, and whether that is the rest of it."""
    while len(window) < WINDOW_BYTES:
        chunk = next(chunks, None)
        if chunk is None:
            return window, True
        window += chunk
    return window, False


def _check(encoding: Encoding, chunks: Iterable[bytes], offset: int) -> Encoding:
    """The encoding itself, once everything has been decoded with it."""
    is_wide = encoding.codec in ("utf-16", "utf-32")
    is_first = True
    for text in decode(_without_nul(chunks, offset, is_wide), encoding, offset):
        if is_wide and "\0" in text:
            raise Unusable(f"binary: NUL characters in {encoding.codec}")
        if is_first:
            _refuse_controls(text)
            is_first = False
    return encoding


def _without_nul(chunks: Iterable[bytes], offset: int, is_wide: bool) -> Iterator[bytes]:
    for chunk in chunks:
        if not is_wide:
            _refuse_nul(chunk, offset)
        offset += len(chunk)
        yield chunk


def _decide(window: bytes, is_whole: bool, offset: int) -> Encoding:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(window, final=is_whole)
        return UTF8
    except UnicodeDecodeError as error:
        fault = error
    text = window[:WINDOW_BYTES].decode("utf-8", errors="replace")
    broken = text.count("\ufffd")
    sound = sum(char > "\x7f" for char in text) - broken
    if is_whole and fault.reason == "unexpected end of data" and sound >= 1:
        return Encoding("utf-8", "utf-8, without its incomplete last character", drops_incomplete_end=True)
    if sound >= 4 * broken:  # mostly UTF-8: another encoding would turn the sound part into rubbish
        raise Unusable(f"broken UTF-8 at byte {offset + fault.start}")
    codec = guess_codec(window)
    if codec is None:
        raise Unusable(f"not UTF-8 at byte {offset + fault.start}, nor any encoding that could be told")
    return Encoding(codec, note=codec)


def guess_codec(window: bytes) -> str | None:
    """The likeliest codec of bytes that are not UTF-8, or None. Only codecs that hold ASCII are considered."""
    from charset_normalizer import from_bytes  # here: most runs never need it

    sample = _whole_characters(window[:SAMPLE_BYTES])
    scores: dict[str, float] = {}  # codec → coherence, likeliest first
    for match in from_bytes(sample):
        for codec in (match.encoding, *match.could_be_from_charset):
            if _holds_ascii(codec):
                scores.setdefault(codec, match.coherence)
    if not scores:
        return None
    runs = _NON_ASCII_RUNS.findall(sample)
    if sum(map(len, runs)) < 1.5 * len(runs):  # odd bytes stand alone among ASCII: accents in a Latin script
        return _latin_codec(sample, scores) or next(iter(scores))
    return next(iter(scores))


def _latin_codec(sample: bytes, scores: dict[str, float]) -> str | None:
    """The code page whose alphabet the odd bytes fit best, when it fits well."""
    ranked: list[tuple[float, float, str]] = []
    for codec, letters in _LATIN_LETTERS.items():
        try:
            decoded = sample.decode(codec)
        except UnicodeDecodeError:
            continue
        odd = [char for char in decoded if char > "\x7f"]
        fit = (sum(char in letters for char in odd) - len(_SIGN_IN_WORD.findall(decoded))) / len(odd)
        if fit >= 0.8:
            ranked.append((round(fit, 2), scores.get(codec, 0.0), codec))
    # max keeps the first of equals: the most common code page
    return max(ranked, key=lambda entry: entry[:2])[2] if ranked else None


def _holds_ascii(codec: str) -> bool:
    plain = b"abc XYZ 019\n"
    try:
        return plain.decode(codec) == plain.decode("ascii")
    except (UnicodeDecodeError, LookupError):
        return False


def _whole_characters(sample: bytes) -> bytes:
    """The sample cut after its last space or new line, neither of which is ever the second half of a character."""
    if len(sample) < SAMPLE_BYTES:
        return sample
    cut = max(sample.rfind(b" "), sample.rfind(b"\n")) + 1
    return sample[:cut] if cut > SAMPLE_BYTES // 2 else sample
