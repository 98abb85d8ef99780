"""What the user names as examples → files, bytes and labels, one at a time; nothing is decoded here but listings.

- **idx pictures** such as `train-images-idx3-ubyte.gz`; their labels lie beside them as `train-labels-idx1-ubyte.gz`.
- **A folder, a glob or an archive** of pictures and sounds. What lies in several folders is labelled by its folder;
  what lies in one, by its name up to the first `_` where the names tell several labels so, else by that folder.
- **A part of an archive**: `recordings.zip/*_[0-4].wav`, a pattern for the names of its members.
- **A listing**: .jsonl, .csv or .tsv with the columns `label`, one of `picture`, `sound` (paths from the listing's own
  folder) and `text`, and perhaps `question`.
"""

import fnmatch
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from atinuke.config import nearest, one_line
from atinuke.data.archives import archive_kind, iter_members, open_text, read_fully, without_compression
from atinuke.data.documents import MAX_NAMED, Unusable, shown
from atinuke.data.finding import find_files
from atinuke.data.pictures import PICTURE_ENDINGS, Picture, read_idx
from atinuke.data.rows import DELIMITERS, RowNotes, iter_cells, iter_objects, read_file
from atinuke.data.sounds import SOUND_ENDINGS
from atinuke.errors import SourceError

Kind = Literal["picture", "sound", "text"]
KINDS: tuple[Kind, ...] = get_args(Kind)
LISTING_ENDINGS = (".jsonl", ".csv", ".tsv")

MOST_FILE_BYTES = 1 << 28
"""A longer file is no picture or sound to learn a label from."""


@dataclass(frozen=True)
class RawExample:
    """One example as found. `content`: a file's bytes, a picture from an idx file, or a text."""

    name: str
    kind: Kind
    content: bytes | Picture | str
    label: str
    question: str = ""


@dataclass
class ExampleNotes:
    """What was passed over, and what was brought into another form."""

    skipped: int = 0
    named: list[tuple[str, str]] = field(default_factory=list)
    """(name, reason) of the first that were passed over."""
    remarks: list[str] = field(default_factory=list)
    changes: dict[str, list[str]] = field(default_factory=dict)
    """By what was done ("resized to 28 × 28"): the names, up to MAX_NAMED of them."""
    change_counts: dict[str, int] = field(default_factory=dict)

    def skip(self, name: str, reason: str) -> None:
        """Count an example that cannot be used."""
        self.skipped += 1
        if len(self.named) < MAX_NAMED:
            self.named.append((shown(name), reason))

    def absorb(self, rows: RowNotes) -> None:
        """Count what the reading of a listing counted."""
        self.skipped += rows.skipped
        self.remarks += rows.remarks
        self.named += [(place, reason) for reason, places in rows.places.items() for place in places]
        del self.named[MAX_NAMED:]

    def change(self, name: str, what: str) -> None:
        """Count an example that was brought into another form."""
        self.change_counts[what] = self.change_counts.get(what, 0) + 1
        names = self.changes.setdefault(what, [])
        if len(names) < MAX_NAMED:
            names.append(shown(name))

    def describe(self, named: int = 3) -> list[str]:
        """Sentences for people, one line each. Not markup: print them raw."""
        lines = list(self.remarks)
        for what, count in self.change_counts.items():
            some = ", ".join(self.changes[what][:named])
            were = "was" if count == 1 else "were"
            lines.append(f"{counted(count, 'example')} {were} {what}: {some}{', …' if count > named else ''}.")
        if self.skipped:
            some = ", ".join(f"{name} ({reason})" for name, reason in self.named[:named])
            lines.append(f"Skipped {counted(self.skipped, 'example')}: {some}{', …' if self.skipped > named else ''}.")
        return lines


def iter_raw(specs: Sequence[str], notes: ExampleNotes) -> Iterator[RawExample]:
    """The examples of all `specs`, in order; SourceError for a spec that is none."""
    for spec in specs:
        archive, pattern = _split_archive(spec)
        if archive:
            yield from _in_archive(archive, pattern, notes)
        elif (form := _form(spec)) == "listing":
            yield from _in_listing(spec, notes)
        elif form == "idx":
            yield from _in_idx(spec)
        else:
            yield from _in_files(spec, notes)


def first_of_each_kind(specs: Sequence[str]) -> dict[Kind, str]:
    """The name of the first example of each kind that there is, by names and listings alone: no content is read.

    SourceError for a spec that is none; what is damaged is left for the reading itself to say.
    """
    found: dict[Kind, str] = {}
    for spec in specs:
        for name, kind in _iter_kinds(spec):
            found.setdefault(kind, name)
    return found


def counted(count: int, noun: str) -> str:
    """ "1 sound", "2,100 sounds"."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def kind_of(name: str) -> Kind | None:
    """What a file name says that its content is: "picture", "sound", or None."""
    lower = name.lower()
    if lower.endswith(PICTURE_ENDINGS):
        return "picture"
    return "sound" if lower.endswith(SOUND_ENDINGS) else None


def labels_of(names: Sequence[str]) -> list[str]:
    """The label of each file, by the rule above; "" where the names say nothing. "/" stands between folders."""
    folders = [name.rpartition("/")[0].rpartition("/")[2] for name in names]
    if len({name.rpartition("/")[0] for name in names}) > 1:
        return folders
    stems = [name.rpartition("/")[2] for name in names]
    beginnings = [stem.partition("_")[0].strip() for stem in stems]
    tells_labels = 1 < len(set(beginnings)) < len(names) and all("_" in stem for stem in stems)
    return beginnings if tells_labels else folders


def _iter_kinds(spec: str) -> Iterator[tuple[str, Kind]]:
    archive, pattern = _split_archive(spec)
    form = "archive" if archive else _form(spec)
    if form == "idx":
        yield spec, "picture"
    elif form == "listing":
        for number, row in _listed_rows(spec, RowNotes()):
            kinds = _kinds_in(row)
            if len(kinds) == 1:
                yield f"{spec}:{number}", kinds[0]
    else:
        for name in _member_names(archive, pattern) if archive else [file.name for file in find_files(spec).files]:
            if (kind := kind_of(name)) is not None:
                yield name, kind


def _member_names(path: str, pattern: str) -> list[str]:
    try:
        return [member.name for member in iter_members(path, path) if _matches(member.name[len(path) + 1 :], pattern)]
    except Unusable:
        return []


def _form(spec: str) -> Literal["listing", "idx", "files"]:
    name = os.path.basename(without_compression(spec)).lower()
    if os.path.isfile(spec) and name.endswith(LISTING_ENDINGS):
        return "listing"
    return "idx" if os.path.isfile(spec) and "idx" in name and kind_of(name) is None else "files"


# --- Folders, globs, archives ---


def _in_files(spec: str, notes: ExampleNotes) -> Iterator[RawExample]:
    found = find_files(spec)
    files = [(file, kind) for file in found.files if (kind := kind_of(file.name)) is not None]
    if not files:
        raise SourceError(_no_examples(spec, [file.key for file in found.files]))
    for path, reason in found.problems:
        notes.skip(path, reason)
    labels = labels_of([os.path.abspath(file.path).replace(os.sep, "/") for file, _ in files])
    for (file, kind), label in zip(files, labels, strict=True):
        try:
            yield RawExample(file.name, kind, _read_file(file.path), _checked(label, "label"))
        except Unusable as reason:
            notes.skip(file.name, str(reason))


def _in_archive(path: str, pattern: str, notes: ExampleNotes) -> Iterator[RawExample]:
    """The members whose names match; their labels are told from the names of all."""
    try:
        names = [name for member in iter_members(path, path) if kind_of(name := member.name[len(path) + 1 :])]
        labels = dict(zip(names, labels_of(names), strict=True))
        chosen = {name for name in names if _matches(name, pattern)}
        if not chosen:
            what = f"no member named {shown(pattern)}" if names else "no pictures or sounds in it"
            raise SourceError(f"examples {shown(path)} has {what}; its members are matched with their folders.")
        for member in iter_members(path, path):
            name = member.name[len(path) + 1 :]
            if name not in chosen:
                continue
            try:
                with open_text(member) as stream:
                    content = _bounded(read_fully(stream, MOST_FILE_BYTES + 1), MOST_FILE_BYTES)
                kind = kind_of(name)
                assert kind is not None
                yield RawExample(member.name, kind, content, _checked(labels[name], "label"))
            except Unusable as reason:
                notes.skip(member.name, str(reason))
    except Unusable as reason:
        raise SourceError(f"examples {shown(path)} cannot be read: {reason}. Make or download it again.") from reason


def _split_archive(spec: str) -> tuple[str, str]:
    """The archive that a spec names, and the pattern after it; "" for none."""
    place = Path(spec)
    for candidate in (place, *place.parents):
        if archive_kind(candidate.name) and candidate.is_file():
            return str(candidate), place.relative_to(candidate).as_posix() if candidate != place else "*"
    return "", ""


def _matches(name: str, pattern: str) -> bool:
    return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name.rpartition("/")[2], pattern)


def _read_file(path: str) -> bytes:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would be waited for, perhaps for ever
            raise Unusable("not a regular file")
        with open(path, "rb") as file:
            return _bounded(file.read(MOST_FILE_BYTES + 1), MOST_FILE_BYTES)
    except (OSError, ValueError) as error:  # ValueError: a NUL in a name from a listing
        raise Unusable(getattr(error, "strerror", None) or one_line(error)) from error


def _bounded(data: bytes, most: int) -> bytes:
    if len(data) > most:
        raise Unusable(f"longer than {most:,} bytes")
    return data


def _no_examples(spec: str, names: Sequence[str]) -> str:
    listing = next((name for name in names if without_compression(name).lower().endswith(LISTING_ENDINGS)), "")
    idx = next((name for name in names if "idx" in name.lower() and "images" in name.lower()), "")
    hint = f" Is {shown(listing or idx)} meant? Give that file itself." if listing or idx else ""
    return (
        f"examples {shown(spec)} has no pictures or sounds.{hint} Expected idx pictures, a .jsonl, .csv or .tsv, or a "
        f"folder or archive of {' '.join(PICTURE_ENDINGS[:2])} {' '.join(SOUND_ENDINGS[:2])} … files."
    )


# --- idx ---


def _in_idx(spec: str) -> Iterator[RawExample]:
    pictures = read_idx(Path(spec))
    if pictures.dtype != "uint8" or pictures.ndim not in (3, 4) or 0 in pictures.shape:
        sizes = " × ".join(map(str, pictures.shape))
        raise SourceError(
            f"examples {shown(spec)} holds {sizes} values of {pictures.dtype}; expected pictures: count × rows × "
            "columns of uint8. Give the file of the pictures; their labels are found beside it."
        )
    if pictures.ndim == 4 and pictures.shape[3] not in (1, 3):
        raise SourceError(f"examples {shown(spec)} has {pictures.shape[3]} channels; expected 1 or 3.")
    beside = _labels_beside(spec)
    labels = read_idx(beside)
    if labels.shape != pictures.shape[:1] or labels.dtype.kind not in "iu":
        raise SourceError(
            f"examples {shown(spec)} has {len(pictures):,} pictures and {shown(str(beside))} holds "
            f"{' × '.join(map(str, labels.shape))} values of {labels.dtype}; expected one whole number for each."
        )
    for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        yield RawExample(f"{spec}[{number}]", "picture", picture.reshape(*picture.shape[:2], -1), str(int(label)))


def _labels_beside(spec: str) -> Path:
    """train-images-idx3-ubyte.gz → train-labels-idx1-ubyte, compressed or not."""
    folder, name = os.path.split(spec)
    bare = without_compression(name)
    wanted = bare.replace("images", "labels").replace("idx3", "idx1").replace("idx4", "idx1")
    for candidate in dict.fromkeys((wanted + name[len(bare) :], wanted, wanted + ".gz")):
        path = Path(folder, candidate)
        if candidate != name and path.is_file():
            return path
    raise SourceError(f"examples {shown(spec)} has no labels beside it; expected {shown(wanted)} in the same folder.")


# --- Listings ---


def _in_listing(spec: str, notes: ExampleNotes) -> Iterator[RawExample]:
    folder = os.path.dirname(spec)
    remembered = RowNotes()
    count = 0
    for number, row in _listed_rows(spec, remembered):
        try:
            yield _example_of(f"{spec}:{number}", row, folder)
            count += 1
        except Unusable as reason:
            remembered.skip(str(reason), f"{shown(spec)}:{number}")
    notes.absorb(remembered)
    if not count:
        raise SourceError(
            f"examples {shown(spec)} has no usable row (at first: {next(iter(remembered.counts), 'it has none')}). "
            "Expected label, one of picture, sound and text, and perhaps question in each row."
        )


def _listed_rows(spec: str, notes: RowNotes) -> Iterator[tuple[int, dict[str, Any]]]:
    file = read_file(spec, notes)
    if file.ending == ".jsonl":
        yield from iter_objects(file, notes)
        return
    rows = iter_cells(file.text, DELIMITERS[file.ending])
    header = [name.strip().lower() for name in next(rows).cells]  # read_file refuses a file without rows
    if "label" not in header or not set(header) & set(KINDS):
        raise SourceError(
            f"examples {shown(spec)} has the columns {shown(', '.join(header))}; expected label, and picture, sound "
            f"or text.{'' if 'label' in header else nearest('label', header)}"
        )
    for row in rows:
        if len(row.cells) == len(header):
            yield row.line, dict(zip(header, row.cells, strict=True))
        else:
            notes.skip(f"not {len(header)} cells, as the header has", f"{file.name}:{row.line}")


def _example_of(name: str, row: dict[str, Any], folder: str) -> RawExample:
    kinds = _kinds_in(row)
    if len(kinds) != 1:
        raise Unusable(f"{' and '.join(kinds) or 'none of picture, sound and text'}; expected one of the three")
    kind = kinds[0]
    value = row[kind]
    if not isinstance(value, str) or not value.strip():
        raise Unusable(f"the field {kind} is {'empty' if isinstance(value, str) else 'not a text'}")
    label = _checked(_plain(row.get("label"), "label"), "label")
    question = _checked(_plain(row.get("question", ""), "question"), "question", may_be_empty=True)
    content = _checked(value, kind) if kind == "text" else _read_file(os.path.join(folder, value))
    return RawExample(name, kind, content, label, question)


def _kinds_in(row: dict[str, Any]) -> list[Kind]:
    return [kind for kind in KINDS if row.get(kind) not in (None, "")]


def _plain(value: Any, what: str) -> str:
    """A label as text: 3 and true are as good as "3" and "true"."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str | int | float):
        return str(value).strip()
    if value is None and what == "question":
        return ""
    raise Unusable(f"no {what}" if value is None else f"the field {what} is not a text")


def _checked(text: str, what: str, may_be_empty: bool = False) -> str:
    if not text and not may_be_empty:
        raise Unusable(f"no {what}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise Unusable(f"the {what} has half of a surrogate pair, which is no character") from error
    return text
