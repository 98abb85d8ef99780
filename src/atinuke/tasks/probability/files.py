"""JSON lines of a task: from a file, the files of a folder, or an archive of them."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from atinuke.config import one_line
from atinuke.data.archives import archive_kind, iter_members, iter_pieces, open_text, without_compression
from atinuke.data.documents import Unusable, shown
from atinuke.durable import reading
from atinuke.errors import SourceError
from atinuke.tasks.task import Spot


def files_of(data: Path, endings: tuple[str, ...], what: str) -> list[Path]:
    """`data` itself where it is a file, or the files in it that end so (compressed or not), by name."""
    if data.is_file():
        return [data]
    if not data.is_dir():
        raise SourceError(f"--data {shown(str(data))} does not exist; expected {what}.")
    with reading(data):
        names = sorted(path for path in data.rglob("*") if path.is_file())
    found = [path for path in names if without_compression(path.name).endswith(endings) or path.name.endswith(endings)]
    if not found:
        raise SourceError(
            f"--data {shown(str(data))} has no file that ends in {' or '.join(endings)}; expected {what}."
        )
    return found


def iter_texts(path: Path) -> Iterator[tuple[str, str]]:
    """(name, text) of a file, or of each file in an archive. SourceError where it cannot be read as UTF-8."""
    try:
        for member in iter_members(str(path), path.name):
            name = shown(member.name if archive_kind(path.name) else str(path))
            with open_text(member) as stream:
                data = b"".join(iter_pieces(stream))
            try:
                yield name, data.decode("utf-8-sig")
            except UnicodeDecodeError as error:
                raise SourceError(
                    f"{name} is not UTF-8 (byte {error.start}); expected text. Fetch it again."
                ) from error
    except Unusable as reason:
        raise SourceError(f"{shown(str(path))} cannot be used: {reason}. Fetch it again.") from reason


def iter_objects(name: str, text: str) -> Iterator[tuple[Spot, dict[str, Any]]]:
    """The JSON object of each line that is not blank; SourceError for a line that is none."""
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        spot = Spot(name, number)
        try:
            value = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise SourceError(f"{spot} is not JSON: {one_line(error)}. Fetch the file again.") from error
        if not isinstance(value, dict):
            raise SourceError(f"{spot} is no JSON object; expected one on each line. Fetch the file again.")
        yield spot, value


def text_of(spot: Spot, value: dict[str, Any], key: str) -> str:
    """The text under `key`; SourceError where there is none."""
    found = value.get(key)
    if not isinstance(found, str) or not found.strip():
        what = "no" if key not in value else "an empty" if found == "" else "no text as"
        raise SourceError(f'{spot} has {what} "{key}"; expected a sentence there. Fetch the file again.')
    return found
