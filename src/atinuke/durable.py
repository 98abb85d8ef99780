"""Files that a kill, a full disk or a power cut cannot damage, and that tell when something else did.

Everything is written beside its place under a temporary name, forced to the disk, and only then renamed. Whoever
reads it back finds the old content or the new one, never a part. Checksums tell later damage; what cannot be written
or read becomes one line that names the file, the reason, and what stays good.
"""

import errno
import hashlib
import json
import math
import os
import secrets
import shutil
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, TypeAlias

from atinuke import config
from atinuke.errors import DamagedFileError, RunFolderError

if sys.platform != "win32":
    import fcntl

JSON: TypeAlias = "bool | int | float | str | Sequence[JSON] | Mapping[str, JSON] | None"

CHECKSUMS = "checksums.json"
TEMPORARY = ".atinuke-"  # and eight hex digits and ".tmp": what a killed write leaves, and nobody else's files
REPLACED = ".replaced"  # after the name of a folder, for the moment between two renames
MENDS = {
    errno.ENOSPC: "Free some disk space and run the same command again.",
    errno.EDQUOT: "Free some of your quota and run the same command again.",
    errno.EFBIG: "Raise the limit on file sizes (ulimit -f), or choose another disk.",
    errno.EROFS: "Choose a folder that can be written.",
    errno.EACCES: "Choose a folder that you may write to.",
    errno.EPERM: "Choose a folder that you may write to.",
    errno.ENOTDIR: "A part of this path is a file; choose another folder.",
    errno.EEXIST: "A file of this name is in the way; choose another folder.",
    errno.ENAMETOOLONG: "Choose a shorter name.",
    errno.EIO: "The disk reports a fault; choose another disk.",
}


def printable(name: str | os.PathLike[str]) -> str:
    """A file name that is safe to show: control, direction and undecodable characters appear as escapes."""
    return config.printable(os.fspath(name))


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns any OSError inside into one line that names `path`."""
    try:
        yield
    except FileNotFoundError as error:
        raise RunFolderError(f"{printable(path)} is missing.") from error
    except OSError as error:
        raise RunFolderError(f"{printable(path)} cannot be read: {error.strerror or error}.") from error


@contextmanager
def writing(path: Path, stays: str = "") -> Iterator[None]:
    """Turns any OSError inside into one line: `path`, the reason, what stays good (`stays`), and what to do."""
    try:
        yield
    except OSError as error:
        mend = MENDS.get(error.errno or 0, "")
        parts = (f"{printable(path)} cannot be written: {error.strerror or error}.", stays, mend)
        raise RunFolderError(" ".join(part for part in parts if part)) from error


# --- JSON ----------------------------------------------------------------------------------------------------------


def to_json(value: JSON, *, indent: int | None = 2) -> str:
    """JSON text. NaN and infinity, which JSON does not have, become null."""
    return json.dumps(_without_nan(value), indent=indent, ensure_ascii=False, allow_nan=False)


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file. DamagedFileError, naming the file, for anything that is not one."""
    with reading(path):
        raw = path.read_bytes()
    try:
        value = json.loads(raw.decode("utf-8"))
    except (ValueError, RecursionError) as error:  # ValueError: bad UTF-8, bad JSON, a number of 5000 digits
        reason = " ".join(str(error).split()).rstrip(".")
        raise DamagedFileError(f"{printable(path)} is damaged: it is not valid JSON ({reason}).") from error
    if not isinstance(value, dict):
        raise DamagedFileError(f"{printable(path)} is damaged: expected a JSON object, found a {type(value).__name__}.")
    return value


def encode(text: str) -> bytes:
    """UTF-8; a lone surrogate, which an odd file name can hold, becomes its escape, which JSON reads back."""
    return text.encode("utf-8", "backslashreplace")


def _without_nan(value: JSON) -> JSON:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {key: _without_nan(inner) for key, inner in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_without_nan(inner) for inner in value]
    return value


# --- Atomic writes -------------------------------------------------------------------------------------------------


def write_atomic(path: Path, data: bytes | str) -> None:
    """Puts `data` at `path`, whole or not at all, and durably. Text is written as UTF-8."""
    content = data if isinstance(data, bytes) else encode(data)
    write_file_atomic(path, lambda temporary: _write_new(temporary, content))


def write_file_atomic(path: Path, fill: Callable[[Path], None]) -> None:
    """Lets `fill` write a file elsewhere on the same disk, then puts it at `path`, whole or not at all, and durably."""
    stays = "What stood there before is unchanged." if path.exists() else ""
    with writing(path, stays), _temporary_folder(path.parent) as temporary:
        new = temporary / path.name
        fill(new)
        _settle(new)
        os.replace(new, path)
        sync_folder(path.parent)


def write_folder_atomic(final: Path, fill: Callable[[Path], None], *, stays: str = "") -> None:
    """Lets `fill` write files into a new folder, adds checksums.json, and puts it at `final`, whole or not at all.

    A folder that stood there is replaced. No system renames onto a folder that is not empty, so the old one steps
    aside as NAME.replaced for the moment between two renames: look there too, where only one such folder is kept.
    """
    make_folder(final.parent)
    with writing(final, stays), _temporary_folder(final.parent) as temporary:
        fill(temporary)
        files = sorted(place for place in temporary.rglob("*") if place.is_file())
        for file in files:
            _settle(file)
        names = [file.relative_to(temporary).as_posix() for file in files]
        _write_new(temporary / CHECKSUMS, encode(_checksums_text(temporary, names)))
        _settle(temporary / CHECKSUMS)
        for folder in {file.parent for file in files} | {temporary}:
            sync_folder(folder)
        _swap_in(temporary, final)


def make_folder(folder: Path) -> None:
    """Creates `folder` and its missing parents, durably."""
    with writing(folder):
        try:
            for place in reversed([place for place in (folder, *folder.parents) if not place.is_dir()]):
                place.mkdir(exist_ok=True)
                sync_folder(place.parent)
        except ValueError as error:  # a NUL, or a character that this system has no bytes for
            raise RunFolderError(f"{printable(folder)} cannot be a folder: {error}. Choose another name.") from error


def discard_folder(folder: Path) -> None:
    """Deletes a folder, if it can. It loses its name first, so that half of it is never taken for the whole."""
    with suppress(OSError):
        nameless = folder.with_name(_temporary_name())
        os.rename(folder, nameless)
        shutil.rmtree(nameless, ignore_errors=True)


def clean_leftovers(folder: Path) -> None:
    """Deletes what killed writes left in `folder`. For whoever is alone in writing there: `RunFolder.claim`."""
    for leftover in folder.glob(f"{TEMPORARY}*.tmp"):
        shutil.rmtree(leftover, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """Makes the names in `folder` durable, where the system can: Windows cannot, nor can some network disks."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except PermissionError:
        return  # Windows opens no folders; elsewhere a folder may be writable and not readable
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF):
            raise
    finally:
        os.close(handle)


def _swap_in(temporary: Path, final: Path) -> None:
    aside = final.with_name(final.name + REPLACED)
    if final.exists():
        discard_folder(aside)  # `final` stands, so this can only be a leftover
        os.rename(final, aside)
    try:
        os.rename(temporary, final)
    except OSError:
        if not final.exists() and aside.exists():
            os.rename(aside, final)
        raise
    sync_folder(final.parent)
    discard_folder(aside)


def _temporary_name() -> str:
    return f"{TEMPORARY}{secrets.token_hex(4)}.tmp"


@contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    folder = parent / _temporary_name()
    folder.mkdir()
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)  # after a success it is empty, or renamed and no longer here


def _write_new(path: Path, content: bytes) -> None:
    with open(path, "xb") as file:
        file.write(content)


def _settle(file: Path) -> None:
    """Forces a finished file to the disk, and gives it the permissions that a new file has here."""
    with suppress(OSError):  # safetensors makes files that only their owner may read; some disks know no permissions
        file.chmod(file.parent.stat().st_mode & 0o666)
    with open(file, "rb+") as handle:  # open for writing: Windows syncs no other
        os.fsync(handle.fileno())
        if sys.platform == "darwin":  # there fsync stops at the cache of the drive; this goes through it
            with suppress(OSError):
                fcntl.fcntl(handle.fileno(), fcntl.F_FULLFSYNC)


# --- Checksums -----------------------------------------------------------------------------------------------------


def sha256_file(path: Path) -> str:
    """The SHA-256 of a file's bytes, as hex; read in pieces."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def write_checksums(folder: Path, names: Collection[str]) -> None:
    """Writes checksums.json over the files `names` of `folder`: {"files": {name: {sha256, bytes}}, "sha256": own}."""
    with reading(folder):
        text = _checksums_text(folder, names)
    write_atomic(folder / CHECKSUMS, text)


def verify_folder(folder: Path, names: Collection[str] = ()) -> None:
    """Returns when what `folder` lists in checksums.json, or the part of it in `names`, is what was written.

    Otherwise DamagedFileError names the first file that is not. A file that is not listed is not looked at.
    """
    path = folder / CHECKSUMS
    if folder.is_dir() and not path.exists():
        raise DamagedFileError(f"{printable(path)} is missing, so nothing in this folder can be trusted.")
    listed = read_json(path)
    files = listed.get("files")
    if not isinstance(files, dict) or listed.get("sha256") != _own_sum(files):
        raise DamagedFileError(f"{printable(path)} is damaged: its own checksum differs.")
    for name, expected in files.items():
        if not names or name in names:
            _verify_file(folder, name, expected)


def _verify_file(folder: Path, name: str, expected: Any) -> None:
    path = folder / name
    place = PurePosixPath(name)
    if place.is_absolute() or ".." in place.parts or not path.is_file():
        raise DamagedFileError(f"{printable(path)} is missing.")
    with reading(path):
        found = {"sha256": "", "bytes": path.stat().st_size}
        if isinstance(expected, dict) and found["bytes"] != expected.get("bytes"):
            lengths = f"it has {found['bytes']} bytes; {expected.get('bytes')} were written"
            raise DamagedFileError(f"{printable(path)} is damaged: {lengths}.")
        if expected != found | {"sha256": sha256_file(path)}:
            raise DamagedFileError(f"{printable(path)} is damaged: its checksum differs from what was written.")


def _checksums_text(folder: Path, names: Collection[str]) -> str:
    files: dict[str, JSON] = {
        name: {"sha256": sha256_file(folder / name), "bytes": (folder / name).stat().st_size} for name in sorted(names)
    }
    return to_json({"files": files, "sha256": _own_sum(files)}) + "\n"


def _own_sum(files: Mapping[str, JSON]) -> str:
    return hashlib.sha256(encode(to_json(files))).hexdigest()
