"""Files → streams of bytes: decompression and the members of archives, without writing anything to disk.

A stream raises Unusable, and nothing else, when its bytes are damaged, encrypted, unreadable, or grow like a zip
bomb. Truncated gzip, bzip2, xz, zstd and tar are damage: the part before the cut is not silently used.
"""

import bz2
import gzip
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from typing import IO, Any, Protocol, cast

from atinuke.config import one_line
from atinuke.data.documents import Unusable, shown
from atinuke.errors import MissingExtraError

PIECE_BYTES = 1 << 20
GROWTH_LIMIT = 1000
"""Compressed data that grows beyond this factor *and* beyond GROWTH_FLOOR_BYTES is a bomb. Text compresses 2–20×."""
GROWTH_FLOOR_BYTES = 1 << 30
XZ_MEMORY_BYTES = 1 << 28
"""xz states its own dictionary size, up to 4 GiB; `xz -9` needs 65 MiB."""

COMPRESSIONS = {".gz": "gzip", ".bz2": "bzip2", ".xz": "xz", ".zst": "zstd"}
_TAR_ENDINGS = {
    ".tar": "",
    ".tgz": "gzip",
    ".tbz": "bzip2",
    ".tbz2": "bzip2",
    ".txz": "xz",
    ".tzst": "zstd",
    **{f".tar{ending}": kind for ending, kind in COMPRESSIONS.items()},
}


class ByteStream(Protocol):
    """What is read from: `read` gives at most `size` bytes, and b"" at the end."""

    def read(self, size: int = -1, /) -> bytes: ...


@dataclass(frozen=True)
class Member:
    """One file, plain or inside an archive. `name` is as stored; its ending says what it is.

    `opens_once`: a tar is read front to back, so its members are readable only while it stands there.
    """

    name: str
    open: Callable[[], AbstractContextManager[ByteStream]]
    opens_once: bool = False


def compression_of(name: str) -> str:
    """The compression that a name ends with, "gzip" for x.gz; "" for none."""
    return next((kind for ending, kind in COMPRESSIONS.items() if name.lower().endswith(ending)), "")


def without_compression(name: str) -> str:
    """The name without its compression ending."""
    ending = next((ending for ending in COMPRESSIONS if name.lower().endswith(ending)), "")
    return name[: len(name) - len(ending)]


def archive_kind(name: str) -> str:
    """What archive a name says it is: "zip", "tar" (x.tgz and x.tar.xz too), or ""."""
    if name.lower().endswith(".zip"):
        return "zip"
    return "tar" if any(name.lower().endswith(ending) for ending in _TAR_ENDINGS) else ""


def require_zstandard() -> Any:
    """The zstandard library, or the error that says how to install it."""
    try:
        import zstandard
    except ImportError as error:
        raise MissingExtraError.for_extra("Reading .zst files", "zstd") from error
    return zstandard


def iter_members(path: str, name: str) -> Iterator[Member]:
    """The members of the archive at `path`, in its own order, or the file itself when it is none.

    Hidden members are left out, as hidden files in folders are. Unusable when the archive as a whole is damaged.
    """
    kind = archive_kind(name)
    if kind == "zip":
        yield from _zip_members(path, name)
    elif kind == "tar":
        yield from _tar_members(path, name)
    else:
        yield Member(name, lambda: _open_file(path))


@contextmanager
def open_text(member: Member) -> Iterator[ByteStream]:
    """The member's bytes with one layer of compression, if its name says so, taken away."""
    kind = compression_of(member.name)
    with ExitStack() as stack:
        stream = stack.enter_context(member.open())
        yield stack.enter_context(_decompress(stream, kind)) if kind else stream


def read_fully(stream: ByteStream, size: int) -> bytes:
    """`size` bytes, fewer only at the end of the stream."""
    pieces: list[bytes] = []
    while size > 0 and (piece := stream.read(min(size, PIECE_BYTES))):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def iter_pieces(stream: ByteStream) -> Iterator[bytes]:
    """The rest of the stream in pieces of PIECE_BYTES, the last one shorter."""
    while piece := read_fully(stream, PIECE_BYTES):
        yield piece


def is_hidden(member_name: str) -> bool:
    """Whether a member, or a folder above it, is hidden or is what macOS adds to archives."""
    parts = member_name.replace("\\", "/").split("/")
    return any(part == "__MACOSX" or (part.startswith(".") and part not in (".", "..")) for part in parts)


class _Guarded:
    """A stream that turns every failure of the library beneath it into Unusable, and stops bombs.

    `source` counts the compressed bytes taken so far, for the factor; None: nothing is decompressed.
    """

    def __init__(self, inner: ByteStream, what: str, source: "_Counted | None" = None):
        self._inner = inner
        self._what = what
        self._source = source
        self._given = 0

    def read(self, size: int = -1, /) -> bytes:
        try:
            data = self._inner.read(size)
        except (Unusable, MissingExtraError):
            raise
        except Exception as error:  # on hostile bytes these libraries raise a dozen types; all mean the same
            raise Unusable(_reason(error, self._what)) from error
        self._given += len(data)
        if self._source is not None and self._given > max(GROWTH_FLOOR_BYTES, GROWTH_LIMIT * self._source.taken):
            raise Unusable(f"{self._what} that grows more than {GROWTH_LIMIT}-fold, beyond {self._given:,} bytes")
        return data


class _Counted:
    """A stream that counts what was taken from it."""

    def __init__(self, inner: ByteStream):
        self._inner = inner
        self.taken = 0

    def read(self, size: int = -1, /) -> bytes:
        data = self._inner.read(size)
        self.taken += len(data)
        return data


class _Fixed:
    """Stands for a source whose compressed size is known beforehand."""

    def __init__(self, taken: int):
        self.taken = taken


def _reason(error: Exception, what: str) -> str:
    if isinstance(error, OSError) and error.errno is not None:
        return f"unreadable: {error.strerror}"
    text = one_line(error) or type(error).__name__
    return f"damaged {what}: {shown(text[:1].lower() + text[1:])}" if what else f"unreadable: {shown(text)}"


@contextmanager
def _open_file(path: str) -> Iterator[ByteStream]:
    try:
        file = open(path, "rb")
    except OSError as error:
        raise Unusable(_reason(error, "")) from error
    with file:
        yield _Guarded(cast(ByteStream, file), "")


@contextmanager
def _decompress(packed: ByteStream, kind: str) -> Iterator[ByteStream]:
    source = _Counted(packed)
    if kind == "gzip":
        with gzip.GzipFile(fileobj=cast(IO[bytes], source), mode="rb") as inner:
            yield _Guarded(cast(ByteStream, inner), kind, source)
    else:
        yield _Guarded(_Frames(source, *_DECODERS[kind]()), kind, source)


class _Frame(Protocol):
    """One compressed frame or stream, as bz2.BZ2Decompressor has it."""

    eof: bool
    needs_input: bool
    unused_data: bytes

    def decompress(self, data: bytes, max_length: int) -> bytes: ...


class _ZstdFrame:
    """zstandard's decompression object behind bz2's interface; its output per call cannot be bounded, only its input.

    zstandard's own stream_reader ends quietly at a truncated frame, so it is not used.
    """

    needs_input = True

    def __init__(self, inner: Any):
        self._inner = inner

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    @property
    def unused_data(self) -> bytes:
        return bytes(self._inner.unused_data)

    def decompress(self, data: bytes, max_length: int) -> bytes:
        return bytes(self._inner.decompress(data))


def _bzip2() -> tuple[Callable[[], _Frame], int]:
    return cast(Callable[[], _Frame], bz2.BZ2Decompressor), 1 << 16


def _xz() -> tuple[Callable[[], _Frame], int]:
    return lambda: cast(_Frame, lzma.LZMADecompressor(memlimit=XZ_MEMORY_BYTES)), 1 << 16


def _zstd() -> tuple[Callable[[], _Frame], int]:
    # A 4-byte block can stand for 128 KiB, so 1 KiB of input gives at most 32 MiB.
    library = require_zstandard()
    return lambda: cast(_Frame, _ZstdFrame(library.ZstdDecompressor().decompressobj())), 1 << 10


_DECODERS: dict[str, Callable[[], tuple[Callable[[], _Frame], int]]] = {"bzip2": _bzip2, "xz": _xz, "zstd": _zstd}


class _Frames:
    """The decompressed bytes of one or more frames, one after the other. Ending inside a frame is an EOFError.

    Python's own BZ2File and LZMAFile set no limit to memory and pass over garbage after the last frame.
    """

    def __init__(self, packed: ByteStream, new_frame: Callable[[], _Frame], input_bytes: int):
        self._packed = packed
        self._new_frame = new_frame
        self._input_bytes = input_bytes
        self._frame: _Frame | None = None  # None between frames
        self._unused = b""
        self._ready = b""
        self._frames = 0

    def read(self, size: int = -1, /) -> bytes:
        while not self._ready and self._step():
            pass
        size = len(self._ready) if size < 0 else size
        data, self._ready = self._ready[:size], self._ready[size:]
        return data

    def _step(self) -> bool:
        """Decompress a little more into `_ready`; False at the proper end."""
        packed = b""
        if self._frame is None:
            packed = self._next_frame_bytes()
            if not packed and self._frames:
                return False
            self._frame = self._new_frame()
            self._frames += 1
        elif self._frame.needs_input:
            packed = self._packed.read(self._input_bytes)
        if not packed and self._frame.needs_input:
            raise EOFError("it ends too early")
        self._ready = self._frame.decompress(packed, PIECE_BYTES)
        if self._frame.eof:
            self._unused, self._frame = self._frame.unused_data, None
        return True

    def _next_frame_bytes(self) -> bytes:
        """The first bytes of the next frame, b"" when there is none. xz may pad its streams with zeros."""
        packed = self._unused.lstrip(b"\0")
        while not packed and (more := self._packed.read(self._input_bytes)):
            packed = more.lstrip(b"\0")
        return packed


def _zip_members(path: str, name: str) -> Iterator[Member]:
    try:
        archive = zipfile.ZipFile(path)
    except Exception as error:  # see _Guarded
        raise Unusable(_reason(error, "zip")) from error
    with archive:
        for info in archive.infolist():
            if not info.is_dir() and not is_hidden(info.filename):
                yield Member(f"{name}/{info.filename}", _zip_opener(archive, info))


def _zip_opener(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Callable[[], AbstractContextManager[ByteStream]]:
    @contextmanager
    def opener() -> Iterator[ByteStream]:
        if info.flag_bits & 1:
            raise Unusable("encrypted")
        try:
            inner = archive.open(info)
        except Exception as error:  # see _Guarded; also compression methods that Python does not know
            raise Unusable(_reason(error, "zip")) from error
        with inner:
            yield _Guarded(cast(ByteStream, inner), "zip", cast(_Counted, _Fixed(info.compress_size)))

    return opener


class _StrictTarInfo(tarfile.TarInfo):
    """Makes a damaged header in the middle an error; tarfile itself takes it for the end of the archive."""

    @classmethod
    def fromtarfile(cls, tarfile_: tarfile.TarFile) -> "_StrictTarInfo":
        try:
            return super().fromtarfile(tarfile_)
        except tarfile.HeaderError as error:
            if type(error).__name__ == "EOFHeaderError":  # two blocks of zeros: the proper end
                raise
            raise tarfile.ReadError(f"{one_line(error)} at byte {tarfile_.offset}") from error


def _tar_members(path: str, name: str) -> Iterator[Member]:
    ending = max((ending for ending in _TAR_ENDINGS if name.lower().endswith(ending)), key=len)
    kind = _TAR_ENDINGS[ending]
    what = f"tar ({kind})" if kind else "tar"
    with ExitStack() as stack:
        stream = stack.enter_context(_open_file(path))
        if kind:
            stream = stack.enter_context(_decompress(stream, kind))
        with _wrapped(what):
            archive = stack.enter_context(
                tarfile.open(fileobj=cast(IO[bytes], stream), mode="r|", tarinfo=_StrictTarInfo)
            )
        while True:
            with _wrapped(what):
                info = archive.next()
            if info is None:
                break
            cast(Any, archive).members.clear()  # or a million members would be remembered
            if info.isreg() and not is_hidden(info.name):
                yield Member(f"{name}/{info.name}", _tar_opener(archive, info, what), opens_once=True)
        for _ in iter_pieces(stream):  # to the end, where the compressed stream's checksum stands
            pass


def _tar_opener(
    archive: tarfile.TarFile, info: tarfile.TarInfo, what: str
) -> Callable[[], AbstractContextManager[ByteStream]]:
    @contextmanager
    def opener() -> Iterator[ByteStream]:
        with _wrapped(what):
            inner = archive.extractfile(info)
        yield _Guarded(cast(ByteStream, cast(BufferedIOBase, inner)), what)

    return opener


@contextmanager
def _wrapped(what: str) -> Iterator[None]:
    """Failures of the archive library inside this block are Unusable."""
    try:
        yield
    except (Unusable, MissingExtraError):
        raise
    except Exception as error:  # see _Guarded
        raise Unusable(_reason(error, what)) from error
