"""Each container gives the text that went in, and never a part of it when it is damaged."""

import bz2
import gzip
import io
import lzma
import random
import struct
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from atinuke.data import archives
from atinuke.data.sources import Sources
from atinuke.errors import AtinukeError, MissingExtraError, SourceError

TEXT = "Ọ̀rọ̀ àkọ́kọ́ nínú ìwé yìí.\nThe second line is plain.\n" * 40


def zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(data)


def zipped(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data, compress_type=compression)
    return buffer.getvalue()


def tarred(members: dict[str, bytes], mode: str = "w") -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode=mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gz": lambda data: gzip.compress(data, mtime=0),
    "bz2": bz2.compress,
    "xz": lzma.compress,
    "zst": zstd,
}
CONTAINERS: dict[str, Callable[[bytes], bytes]] = {
    "book.txt": bytes,
    "book": bytes,
    **{f"book.txt.{ending}": compress for ending, compress in COMPRESS.items()},
    "BOOK.TXT.GZ": COMPRESS["gz"],
    "book.zip": lambda data: zipped({"book.txt": data}),
    "stored.zip": lambda data: zipped({"book.txt": data}, zipfile.ZIP_STORED),
    "lzma.zip": lambda data: zipped({"book.txt": data}, zipfile.ZIP_LZMA),
    "nested.zip": lambda data: zipped({"a/book.txt.gz": COMPRESS["gz"](data)}),
    "book.tar": lambda data: tarred({"a/book.txt": data}),
    **{
        f"book.{ending}": lambda data, kind=kind: COMPRESS[kind](tarred({"book.txt": data}))  # type: ignore[misc]
        for ending, kind in {
            "tar.gz": "gz",
            "tgz": "gz",
            "tar.bz2": "bz2",
            "tbz2": "bz2",
            "tar.xz": "xz",
            "txz": "xz",
            "tar.zst": "zst",
        }.items()
    },
    "nested.tar.gz": lambda data: COMPRESS["gz"](tarred({"book.txt.xz": COMPRESS["xz"](data)})),
}


def read(path: Path) -> list[str]:
    """The texts of the documents at `path`; parts joined."""
    texts: list[str] = []
    is_new = True
    for document in Sources([str(path)]):
        texts = [*texts, document.text] if is_new else [*texts[:-1], texts[-1] + document.text]
        is_new = document.is_last
    return texts


@pytest.mark.parametrize("name", CONTAINERS)
@pytest.mark.parametrize("is_long", [False, True])
def test_every_container_gives_the_text_that_went_in(
    name: str, is_long: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_long:  # by lowering what counts as long
        monkeypatch.setattr("atinuke.data.reading.WHOLE_BYTES", 100)
        monkeypatch.setattr("atinuke.data.decoding.PART_CHARS", 300)
        monkeypatch.setattr(archives, "PIECE_BYTES", 64)
    path = tmp_path / name
    path.write_bytes(CONTAINERS[name](TEXT.encode()))
    sources = Sources([str(path)])
    first, second = list(sources), list(sources)
    assert "".join(document.text for document in first) == TEXT
    assert first == second
    assert [document.part for document in first] == list(range(len(first)))
    assert [document.is_last for document in first] == [False] * (len(first) - 1) + [True]
    assert (len(first) > 5) == is_long
    assert (sources.notes.files, sources.notes.documents, sources.notes.bytes) == (1, 1, len(TEXT.encode()))


@pytest.mark.parametrize("name", ["x.gz", "x.bz2", "x.xz", "x.zst", "x.tar", "x.tar.gz", "x.zip"])
@pytest.mark.parametrize("whole_bytes", [100, 4_000_000])
def test_no_truncated_file_gives_a_part_of_its_text(
    name: str, whole_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atinuke.data.reading.WHOLE_BYTES", whole_bytes)
    make = (
        CONTAINERS.get(name)
        or {**COMPRESS, "tar": CONTAINERS["book.tar"]}.get(name[2:])
        or CONTAINERS["book." + name[2:]]
    )
    noise = random.Random(0)
    text = "".join(chr(noise.randrange(97, 123)) for _ in range(600))  # hard to compress, so that cuts hit data
    data = make(text.encode())
    path = tmp_path / name
    for length in range(1, len(data), max(1, len(data) // 120)):
        path.write_bytes(data[:length])
        try:
            assert read(path) == [text]  # only padding was cut off
            assert name == "x.tar"
        except SourceError as error:
            assert "damaged" in str(error) or "empty" in str(error)


@pytest.mark.parametrize("kind", COMPRESS)
def test_a_flipped_bit_is_found_by_the_checksum(kind: str, tmp_path: Path) -> None:
    data = bytearray(COMPRESS[kind](TEXT.encode()))
    path = tmp_path / f"x.txt.{kind}"
    noise = random.Random(0)
    for _ in range(60):
        place, bit = noise.randrange(len(data)), 1 << noise.randrange(8)
        data[place] ^= bit
        path.write_bytes(data)
        try:
            assert read(path) == [TEXT]  # a time stamp, or a flag that says nothing about the content
        except SourceError:
            pass
        data[place] ^= bit


def test_a_damaged_header_inside_a_tar_is_not_taken_for_its_end(tmp_path: Path) -> None:
    data = bytearray(tarred({"a.txt": b"first text\n", "b.txt": b"second text\n"}))
    data[1024 + 150] ^= 0xFF  # in the checksum of the second header
    path = tmp_path / "x.tar"
    path.write_bytes(data)
    with pytest.raises(SourceError, match="damaged tar"):
        read(path)


@pytest.mark.parametrize("kind", COMPRESS)
@pytest.mark.parametrize("padding", [b"", b"\0" * 4, b"\0" * 200_000])
def test_several_compressed_streams_in_one_file_are_one_text(kind: str, padding: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"x.txt.{kind}"
    path.write_bytes(COMPRESS[kind](b"one\n") + padding + COMPRESS[kind](b"two\n") + padding)
    assert read(path) == ["one\ntwo\n"]


@pytest.mark.parametrize("kind", COMPRESS)
def test_garbage_after_the_compressed_data_is_damage(kind: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.txt.{kind}"
    path.write_bytes(COMPRESS[kind](b"one\n") + b"garbage")
    with pytest.raises(SourceError, match="damaged"):
        read(path)


@given(
    st.sampled_from(["x.gz", "x.bz2", "x.xz", "x.zst", "x.zip", "x.tar", "x.tgz", "x.tar.xz", "x.jsonl.gz", "x.txt"]),
    st.binary(max_size=2000),
    st.sampled_from([b"", b"\x1f\x8b\x08\x00", b"BZh9", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd", b"PK\x03\x04"]),
)
def test_any_bytes_under_any_ending_are_read_or_refused_in_one_line(name: str, data: bytes, start: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(start + data)
        try:
            read(path)
        except AtinukeError as error:
            assert str(error).isprintable()


@given(st.sampled_from(["book.zip", "nested.zip", "book.tar", "book.tar.gz"]), st.data())
def test_archives_with_changed_bytes_are_read_or_refused(name: str, data: st.DataObject) -> None:
    content = bytearray(CONTAINERS[name](b"some text that is long enough\n"))
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name
        path.write_bytes(content)
        try:
            read(path)
        except AtinukeError as error:
            assert str(error).isprintable()


def test_members_are_documents_and_hidden_ones_are_not(tmp_path: Path) -> None:
    members = {"b.txt": b"b", "a/c.txt": b"c", ".hidden": b"h", "__MACOSX/._b.txt": b"m", "a/.git/x": b"g", "a/": b""}
    for name, make in {"x.zip": zipped, "x.tar": tarred}.items():
        (tmp_path / name).write_bytes(
            make({key: value for key, value in members.items() if key != "a/" or make is zipped})
        )
        documents = list(Sources([str(tmp_path / name)]))
        assert [document.text for document in documents] == ["b", "c"]
        assert documents[1].name == f"{tmp_path}/{name}/a/c.txt"


def test_links_and_devices_in_a_tar_are_let_pass(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
            info = tarfile.TarInfo(f"odd{kind!r}")
            info.type, info.linkname = kind, "/etc/passwd"
            archive.addfile(info)
        info = tarfile.TarInfo("a.txt")
        info.size = 4
        archive.addfile(info, io.BytesIO(b"text"))
    (tmp_path / "x.tar").write_bytes(buffer.getvalue())
    assert read(tmp_path / "x.tar") == ["text"]


def test_an_unusable_member_is_skipped_and_the_others_are_read(tmp_path: Path) -> None:
    members = {
        "bin": b"\0\1",
        "twice.txt.gz.gz": b"",
        "inner.zip": zipped({"a": b"a"}),
        "cut.gz": gzip.compress(b"x")[:-3],
    }
    for name, make in {"x.zip": zipped, "x.tar.gz": lambda files: gzip.compress(tarred(files))}.items():
        (tmp_path / name).write_bytes(make({**members, "ok.txt": b"fine"}))
        sources = Sources([str(tmp_path / name)])
        assert [document.text for document in sources] == ["fine"]
        reasons = dict(sources.notes.skipped)
        at = f"{tmp_path}/{name}"
        assert "NUL" in reasons[f"{at}/bin"]
        assert "inside an archive" in reasons[f"{at}/inner.zip"]
        assert "compressed twice" in reasons[f"{at}/twice.txt.gz.gz"]
        assert "damaged gzip" in reasons[f"{at}/cut.gz"]
        assert sources.notes.skipped_files == 4


def test_an_encrypted_member_is_skipped_with_its_reason(tmp_path: Path) -> None:
    data = bytearray(zipped({"secret.txt": b"psst", "open.txt": b"hello"}))
    data[6] |= 1  # general purpose flag of the first local header
    central = data.index(b"PK\x01\x02")
    data[central + 8] |= 1
    (tmp_path / "x.zip").write_bytes(data)
    sources = Sources([str(tmp_path / "x.zip")])
    assert [document.text for document in sources] == ["hello"]
    assert sources.notes.skipped == [(f"{tmp_path}/x.zip/secret.txt", "encrypted")]


def test_a_zip_method_that_python_does_not_know_is_named(tmp_path: Path) -> None:
    data = bytearray(zipped({"a.txt": b"psst"}, zipfile.ZIP_STORED))
    for header, field in ((0, 8), (data.index(b"PK\x01\x02"), 10)):
        struct.pack_into("<H", data, header + field, 97)
    (tmp_path / "x.zip").write_bytes(data)
    with pytest.raises(SourceError, match="compression method"):
        read(tmp_path / "x.zip")


@pytest.mark.parametrize("name", ["x.txt.gz", "x.txt.bz2", "x.txt.xz", "x.txt.zst", "x.zip", "x.tar.gz", "x.tar.xz"])
def test_a_bomb_is_stopped(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "GROWTH_LIMIT", 50)
    monkeypatch.setattr(archives, "GROWTH_FLOOR_BYTES", 2_000_000)
    make = {**COMPRESS, **{key.removeprefix("book."): value for key, value in CONTAINERS.items()}}
    (tmp_path / name).write_bytes(make[name.removeprefix("x.").removeprefix("txt.")](b"a" * 8_000_000))
    with pytest.raises(SourceError, match="grows more than 50-fold"):
        read(tmp_path / name)


def test_text_that_compresses_well_is_no_bomb(tmp_path: Path) -> None:
    text = "all work and no play\n" * 300_000
    (tmp_path / "x.txt.gz").write_bytes(gzip.compress(text.encode()))
    assert "".join(read(tmp_path / "x.txt.gz")) == text


def test_an_xz_file_cannot_ask_for_memory_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "XZ_MEMORY_BYTES", 100_000)
    (tmp_path / "x.txt.xz").write_bytes(lzma.compress(TEXT.encode()))
    with pytest.raises(SourceError, match="damaged xz: memory usage limit"):
        read(tmp_path / "x.txt.xz")


def test_a_missing_zstandard_is_named_with_its_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.txt.zst").write_bytes(zstd(b"text"))
    monkeypatch.setitem(sys.modules, "zstandard", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'atinuke\[zstd\]'"):
        Sources([str(tmp_path / "x.txt.zst")])


def test_a_million_tar_members_would_not_be_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.tar").write_bytes(tarred({f"{number}.txt": b"t" for number in range(50)}))
    opened: list[tarfile.TarFile] = []
    original = tarfile.open
    monkeypatch.setattr(tarfile, "open", lambda **options: (opened.append(original(**options)), opened[-1])[1])
    for member in archives.iter_members(str(tmp_path / "x.tar"), "x.tar"):
        with member.open() as stream:
            assert stream.read() == b"t"
        assert len(opened[0].members) == 0  # type: ignore[attr-defined]
    assert len(opened) == 1
