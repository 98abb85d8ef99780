"""What the user calls SOURCE → the files it stands for, sorted, hidden ones left out, symlink loops survived."""

import difflib
import fnmatch
import os
import stat
import sysconfig
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from atinuke.data.documents import shown
from atinuke.errors import SourceError

STANDARD_LIBRARY = "the running Python's own standard library"
_STDLIB_WITHOUT = frozenset(
    {"site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test", "encodings"}
)


@dataclass(frozen=True, slots=True)
class FoundFile:
    """A regular file to read. `name` is as the user would write it (not yet printable) and ends with its suffix.

    There can be a million of them, so each is kept small.
    """

    path: str
    name: str
    key: str  # relative to its SOURCE, "/" between folders: the same wherever the folder lies
    size: int
    modified_ns: int
    identity: int  # of the file on its disk: one under two names is read once; 0 where the system knows none


@dataclass
class Found:
    """The files of all SOURCEs, and what in them could not be opened: (name, reason)."""

    files: list[FoundFile]
    problems: list[tuple[str, str]]


def find_files(spec: str) -> Found:
    """The files of one SOURCE: a file, a folder, or a glob. SourceError when there are none.

    A literal name goes before a pattern, so `notes[1].txt` finds the file of that name.
    """
    if not spec or "\0" in spec:
        raise SourceError(f"SOURCE {spec!r} is no name; expected a file, a folder, a glob, or - for standard input.")
    if os.path.isdir(spec):
        found = _found_under(spec, [spec])
    elif os.path.lexists(spec):
        found = _found_under(os.path.dirname(spec), [spec])
        if found.problems:
            raise SourceError(f"SOURCE {shown(spec)} cannot be read: {found.problems[0][1]}.")
    elif any(char in spec for char in "*?["):
        found = _found_under(_fixed_folder(spec), list(_expand(spec)))
    else:
        raise SourceError(_missing(spec))
    if not found.files:
        raise SourceError(_nothing_in(spec, found.problems))
    return found


def find_standard_library() -> Found:
    """The .py files of the running Python's standard library, some ten megabytes.

    Left out: installed packages; the tests (more than half of all, mostly tables and repeated assertions, some
    deliberately in broken encodings); `encodings` (character tables that differ in a few lines each) and the
    build's own variables, which would make the held-out text easier than Python is.
    """
    folder = sysconfig.get_path("stdlib")
    found = _found_under(folder, [folder], _STDLIB_WITHOUT)
    kept = [
        file
        for file in found.files
        if file.key.endswith(".py") and file.size and not file.key.startswith("_sysconfigdata")
    ]
    if not kept:
        raise SourceError(
            f"No SOURCE was given, and {STANDARD_LIBRARY} ({shown(folder)}) has no .py files here; give a SOURCE."
        )
    return Found([replace(file, name=file.key) for file in kept], [])


def _missing(spec: str) -> str:
    if "://" in spec or spec.startswith("hf:"):
        return f"SOURCE {shown(spec)} is an address; only what lies on this machine is read: download it first."
    folder, name = os.path.split(spec)
    try:
        names = [other for other in os.listdir(folder or ".") if not other.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return f"SOURCE {shown(spec)} does not exist, nor does its folder."
    except OSError as error:
        return f"SOURCE {shown(spec)} cannot be looked up: {error.strerror}."
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    suggestion = f" Did you mean {shown(os.path.join(folder, near[0]))}?" if near else ""
    return f"SOURCE {shown(spec)} does not exist.{suggestion}"


def _nothing_in(spec: str, problems: list[tuple[str, str]]) -> str:
    what = "is a folder without files" if os.path.isdir(spec) else "is a pattern that matches no file"
    reasons = "; ".join(f"{shown(name)}: {reason}" for name, reason in problems[:3]) or "hidden ones do not count"
    return f"SOURCE {shown(spec)} {what} ({reasons}); give a file, a folder, or a pattern with text in it."


def _found_under(base: str, entries: list[str], without: frozenset[str] = frozenset()) -> Found:
    """The regular files that `entries` are or hold, each once; keys are relative to `base`.

    What hangs below is passed over when its name is in `without`.
    """
    files: list[FoundFile] = []
    problems: list[tuple[str, str]] = []
    for entry in entries:
        for path in _walk(entry, problems, without):
            try:
                status = os.stat(path)
            except OSError as error:
                problems.append((path, error.strerror or "cannot be opened"))
                continue
            if stat.S_ISREG(status.st_mode):
                key = os.path.relpath(path, base or ".").replace(os.sep, "/")
                files.append(FoundFile(path, path, key, status.st_size, status.st_mtime_ns, identify(status)))
            else:
                problems.append((path, "neither a file nor a folder"))
    return Found(without_repeats(files), sorted(set(problems)))


def without_repeats(files: list[FoundFile]) -> list[FoundFile]:
    """The files sorted by name, each file on the disk once: under its shortest name, as symlinks lengthen names."""
    shortest: dict[int | str, FoundFile] = {}
    for file in files:
        name = file.identity or file.path
        other = shortest.setdefault(name, file)
        if (file.key.count("/"), file.key) < (other.key.count("/"), other.key):
            shortest[name] = file
    return sorted(shortest.values(), key=lambda file: file.key.replace("/", "\0"))  # folder by folder


def identify(status: os.stat_result) -> int:
    """Device and inode as one number."""
    return status.st_dev << 64 | status.st_ino if status.st_ino else 0


def _walk(entry: str, problems: list[tuple[str, str]], without: frozenset[str]) -> Iterator[str]:
    """`entry` itself when it is no folder, else the paths below it that are none; each folder is entered once."""
    waiting = [entry]
    entered: set[tuple[int, int]] = set()
    while waiting:
        path = waiting.pop()
        if not os.path.isdir(path):
            yield path
            continue
        try:
            status = os.stat(path)
            if (status.st_dev, status.st_ino) in entered:
                continue  # a symlink led back here
            entered.add((status.st_dev, status.st_ino))
            names = sorted(os.listdir(path), reverse=True)
        except OSError as error:
            problems.append((path, error.strerror or "cannot be opened"))
            continue
        waiting += [os.path.join(path, name) for name in names if not name.startswith(".") and name not in without]


def _fixed_folder(pattern: str) -> str:
    """The folder before the first part of the pattern that has a wildcard."""
    parts = Path(pattern).parts
    wild = next(index for index, part in enumerate(parts) if any(char in part for char in "*?["))
    return str(Path(*parts[:wild])) if wild else ""


def _expand(pattern: str) -> Iterator[str]:
    """The paths that match, each once. `**` stands for any number of folders.

    The standard glob follows symlink loops until the operating system refuses, which two loops make endless.
    """
    base = _fixed_folder(pattern)
    rest = Path(pattern).parts[len(Path(base).parts) if base else 0 :]
    yield from dict.fromkeys(_match(base, rest, set()))


Entered = set[tuple[int, int, int]]  # device, inode, and how many parts of the pattern were left


def _match(folder: str, parts: tuple[str, ...], entered: Entered) -> Iterator[str]:
    """Matches of `parts` below `folder`; `entered` holds the folders that `**` has been through."""
    part, rest = parts[0], parts[1:]
    if part == "**":
        yield from _match_any_depth(folder, rest, entered)
        return
    for name in _listed(folder):
        if fnmatch.fnmatch(name, part) and (part.startswith(".") or not name.startswith(".")):
            path = os.path.join(folder, name)
            if not rest:
                yield path
            elif os.path.isdir(path):
                yield from _match(path, rest, entered)


def _match_any_depth(folder: str, rest: tuple[str, ...], entered: Entered) -> Iterator[str]:
    try:
        status = os.stat(folder or ".")
    except OSError:
        return
    here = (status.st_dev, status.st_ino, len(rest))
    if here in entered:
        return
    entered.add(here)
    if rest:
        yield from _match(folder, rest, entered)
    for name in _listed(folder):
        path = os.path.join(folder, name)
        if name.startswith("."):
            continue
        if os.path.isdir(path):
            yield from _match_any_depth(path, rest, entered)
        elif not rest:
            yield path


def _listed(folder: str) -> list[str]:
    try:
        return sorted(os.listdir(folder or "."))
    except OSError:
        return []
