"""A document, what is remembered about those that were read or skipped, and names that are safe to show."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from atinuke.durable import printable

PART_CHARS = 4_000_000
"""A document longer than this comes in parts, so that no step needs the whole of a long file in memory."""

MAX_NAMED = 200
"""So many skipped or re-encoded items are named; further ones are only counted, or notes would grow without bound."""

MAX_NAME_CHARS = 160


@dataclass(frozen=True)
class Document:
    """One text, or one part of a long one: parts share a name, count from 0, and the last says so."""

    name: str
    text: str
    part: int = 0
    is_last: bool = True


class Unusable(Exception):
    """A file, or a member of an archive, that is passed over; its text is the reason. It never leaves this room."""


@dataclass
class SourceNotes:
    """What one full pass over the sources read and what it passed over. `bytes` counts the text as UTF-8."""

    files_found: int = 0
    files_chosen: int = 0  # fewer than found when `max_bytes` let only some in
    files: int = 0  # files that gave at least one document
    documents: int = 0
    bytes: int = 0
    re_encoded: list[tuple[str, str]] = field(default_factory=list)  # (name, encoding), the first MAX_NAMED
    re_encoded_count: int = 0
    skipped_files: int = 0  # and members of archives
    named_files: list[tuple[str, str]] = field(default_factory=list)  # (name, reason), the first MAX_NAMED
    skipped_lines: int = 0  # of .jsonl files
    named_lines: list[tuple[str, str]] = field(default_factory=list)  # (name:line, reason), the first MAX_NAMED

    @property
    def skipped(self) -> list[tuple[str, str]]:
        """(name, reason) of the first skipped files, then of the first skipped lines."""
        return self.named_files + self.named_lines

    def skip(self, name: str, reason: str) -> None:
        """Count a file or member that gave no document."""
        self.skipped_files += 1
        if len(self.named_files) < MAX_NAMED:
            self.named_files.append((name, reason))

    def skip_line(self, name: str, line_number: int, reason: str) -> None:
        """Count a line of a .jsonl file that gave no document."""
        self.skipped_lines += 1
        if len(self.named_lines) < MAX_NAMED:
            self.named_lines.append((f"{name}:{line_number}", reason))

    def re_encode(self, name: str, encoding: str) -> None:
        """Count a file that was not plain UTF-8."""
        self.re_encoded_count += 1
        if len(self.re_encoded) < MAX_NAMED:
            self.re_encoded.append((name, encoding))

    def describe(self, named: int = 3) -> list[str]:
        """Sentences for people, one line each; at most `named` examples per sentence. Not markup: print them raw."""
        lines = [f"Read {self.documents:,} documents from {self.files:,} files: {self.bytes:,} bytes of text."]
        if self.files_chosen < self.files_found:
            lines.append(f"Chose {self.files_chosen:,} of {self.files_found:,} files to stay within the byte limit.")
        if self.re_encoded_count:
            lines.append(f"{self.re_encoded_count:,} files were not UTF-8: {_examples(self.re_encoded, named)}.")
        if self.skipped_files:
            lines.append(f"Skipped {self.skipped_files:,} files: {_examples(self.named_files, named)}.")
        if self.skipped_lines:
            lines.append(f"Skipped {self.skipped_lines:,} lines: {_examples(self.named_lines, named)}.")
        return lines


def shown(name: str) -> str:
    """The name on one line: control, direction and undecodable characters as escapes, the middle of long names cut."""
    name = printable(name)
    if len(name) > MAX_NAME_CHARS:
        half = MAX_NAME_CHARS // 2 - 1
        name = f"{name[:half]}…{name[-half:]}"
    return name


def to_parts(text: str) -> Iterator[str]:
    """The text in pieces of at most PART_CHARS characters."""
    for start in range(0, len(text), PART_CHARS):
        yield text[start : start + PART_CHARS]


def _examples(pairs: list[tuple[str, str]], named: int) -> str:
    shown = ", ".join(f"{name} ({note})" for name, note in pairs[:named])
    return f"{shown}, …" if len(pairs) > named else shown
