"""The .jsonl reader; text files are covered beside what they are read with."""

import gzip
import io
import json
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.data import reading
from atinuke.data.documents import Document
from atinuke.data.sources import Sources
from atinuke.errors import SourceError

TEXTS = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: not text.isspace())


def sources_of(data: bytes, folder: Path) -> Sources:
    path = folder / "rows.jsonl"
    path.write_bytes(data)
    return Sources([str(path)])


@given(st.lists(TEXTS, min_size=1), st.booleans(), st.sampled_from(["\n", "\r\n", "\n\n  \n"]), st.booleans())
def test_every_row_is_a_document(texts: list[str], ascii_only: bool, end: str, ends_with_line: bool) -> None:
    rows = [json.dumps({"id": 1, "text": text}, ensure_ascii=ascii_only) for text in texts]
    data = end.join(rows) + (end if ends_with_line else "")
    with tempfile.TemporaryDirectory() as folder:
        documents = list(sources_of(data.encode(), Path(folder)))
    assert [document.text for document in documents] == texts
    assert all(document.is_last for document in documents)


@given(
    st.binary(max_size=400) | st.lists(st.sampled_from([b'{"text": "ok"}', b"{", b"[1]", b"\xff", b""])).map(b"\n".join)
)
def test_any_bytes_are_rows_or_counted_or_refused(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        try:
            sources = sources_of(data, Path(folder))
            documents = list(sources)
        except SourceError as error:
            assert str(error).isprintable()
        else:
            lines = [line for line in data.split(b"\n") if line.strip()]
            assert len(documents) + sources.notes.skipped_lines == len(lines)


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"not json", "not JSON"),
        (b'{"text": "cut', "not JSON"),
        (b'{"txt": "a"}', "no field text"),
        (b'["text"]', "not a JSON object"),
        (b'"text"', "not a JSON object"),
        (b'{"text": 3}', "not a text"),
        (b'{"text": null}', "not a text"),
        (b'{"text": ""}', "is empty"),
        (b'{"text": " \\n"}', "is empty"),
        (b'{"text": "\\ud800"}', "surrogate"),
        (b'{"text": "caf\xe9"}', "not UTF-8"),
        (b'{"text": ' + b"[" * 100_000, "not JSON"),
        (b'{"text": "a", "n": ' + b"9" * 5000 + b"}", "not JSON"),
        (b'{"text": "' + b"x" * 2000 + b'"}', "longer than 1,000 bytes"),
    ],
)
def test_a_line_that_is_no_row_is_skipped_filesed_and_named(
    line: bytes, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if reason.startswith("longer"):
        monkeypatch.setattr(reading, "MAX_LINE_BYTES", 1000)
    sources = sources_of(b'{"text": "first"}\n' + line + b'\n{"text": "last"}', tmp_path)
    assert [document.text for document in sources] == ["first", "last"]
    assert (sources.notes.skipped_files, sources.notes.skipped_lines) == (0, 1)
    [(name, why)] = sources.notes.skipped
    assert name.endswith("rows.jsonl:2")
    assert reason in why


def test_documents_are_named_by_their_line(tmp_path: Path) -> None:
    documents = list(sources_of(b'\n{"text": "a"}\n\n{"text": "b"}\n', tmp_path))
    assert [document.name.rpartition("/")[2] for document in documents] == ["rows.jsonl:2", "rows.jsonl:4"]


def test_a_byte_order_mark_before_the_first_row_does_no_harm(tmp_path: Path) -> None:
    assert [document.text for document in sources_of(b'\xef\xbb\xbf{"text": "a"}\n', tmp_path)] == ["a"]


def test_a_file_without_any_row_is_an_error_that_says_what_was_wrong_first(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no line is a JSON object with a text.*at first: no field text"):
        list(sources_of(b'{"content": "a"}\n' * 5, tmp_path))


def test_a_long_text_in_a_row_comes_in_parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("atinuke.data.documents.PART_CHARS", 10)
    documents = list(sources_of(json.dumps({"text": "abcdefghij" * 3 + "k"}).encode(), tmp_path))
    assert [document.text for document in documents] == ["abcdefghij"] * 3 + ["k"]
    assert [(document.part, document.is_last) for document in documents] == [
        (0, False),
        (1, False),
        (2, False),
        (3, True),
    ]


ROWS = "".join(json.dumps({"text": f"row {number}"}) + "\n" for number in range(50)).encode()


def packed(name: str) -> bytes:
    """ROWS as rows.jsonl in a container of this name."""
    if name.endswith(".jsonl.gz"):
        return gzip.compress(ROWS)
    buffer = io.BytesIO()
    if name.endswith(".zip"):
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr("rows.jsonl", ROWS)
    else:
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            info = tarfile.TarInfo("rows.jsonl")
            info.size = len(ROWS)
            tar.addfile(info, io.BytesIO(ROWS))
    return buffer.getvalue()


@pytest.mark.parametrize("name", ["rows.jsonl.gz", "rows.zip", "rows.tar.gz"])
@pytest.mark.parametrize("whole_bytes", [10, 4_000_000])
def test_rows_in_containers_are_documents_and_none_is_given_from_a_truncated_one(
    name: str, whole_bytes: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "WHOLE_BYTES", whole_bytes)
    path = tmp_path / name
    path.write_bytes(packed(name))
    sources = Sources([str(path)])
    for _ in range(2):
        assert [document.text for document in sources] == [f"row {number}" for number in range(50)]
    path.write_bytes(packed(name)[:-9])
    given: list[Document] = []
    with pytest.raises(SourceError, match="damaged"):
        given.extend(Sources([str(path)]))
    assert given == []
