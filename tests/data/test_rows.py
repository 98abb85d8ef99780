"""Lines, cells and objects of files that hold one example per row."""

import bz2
import csv
import gzip
import io
import json
import lzma
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.data.rows import NAMED_PLACES, RowNotes, TextFile, iter_cells, iter_lines, iter_objects, read_file
from atinuke.errors import SourceError

CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n\0"), max_size=8)
ROWS = st.lists(st.lists(CELLS, min_size=2, max_size=4), min_size=1, max_size=6)


def cells(text: str, delimiter: str = "\t") -> list[list[str]]:
    return [row.cells for row in iter_cells(text, delimiter)]


@given(st.lists(st.text(st.characters(exclude_characters="\n\r")), max_size=5), st.sampled_from(["\n", "\r\n"]))
def test_each_end_of_a_line_makes_one_line_whatever_else_looks_like_one(lines: list[str], end: str) -> None:
    assert list(iter_lines("".join(line + end for line in lines))) == lines


def test_the_last_line_may_lack_its_end_and_separators_inside_stay() -> None:
    assert list(iter_lines("a\u2028b\x85c\n\nd")) == ["a\u2028b\x85c", "", "d"]


@given(ROWS, st.sampled_from("\t,"))
def test_what_pythons_csv_writes_comes_back(rows: list[list[str]], delimiter: str) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows(rows)
    assert cells(text.getvalue(), delimiter) == [row for row in rows if any(cell.strip() for cell in row)]


@given(ROWS)
def test_where_quoting_is_broken_quote_signs_are_letters(rows: list[list[str]]) -> None:
    rows = [[cell.replace("\t", "") for cell in row] for row in [['"Go', "went he."], ['"Go" he', "x"], *rows]]
    text = "\n".join("\t".join(row) for row in rows)
    assert cells(text) == [row for row in rows if any(cell.strip() for cell in row)]


def test_rows_know_the_line_on_which_they_begin() -> None:
    text = 'a\tb\n\n"one\ntwo"\tc\nd\te\n'
    assert [(row.line, row.cells) for row in iter_cells(text, "\t")] == [
        (1, ["a", "b"]),
        (3, ["one\ntwo", "c"]),
        (5, ["d", "e"]),
    ]


def test_a_cell_may_be_longer_than_python_lets_one_be_and_its_limit_stays() -> None:
    before, long = csv.field_size_limit(), "ab,\n" * 37_500  # 150,000 characters
    assert len(long) > before
    for rows in ([["x", long], ["1", "2"]], [[long[: before + 1], "2"]]):
        text = io.StringIO(newline="")
        csv.writer(text).writerows(rows)
        assert cells(text.getvalue(), ",") == rows
        assert csv.field_size_limit() == before
    assert len(cells('a,"b\n' + long, ",")) > 2  # broken quoting is still none, however long
    assert csv.field_size_limit() == before


def test_a_line_that_is_no_object_is_skipped_with_its_place() -> None:
    notes = RowNotes()
    file = TextFile("rows.jsonl", ".jsonl", '{"a": 1}\n\n[1]\n{\n' + "[" * 100_000 + '\n{"b": 2}')
    assert list(iter_objects(file, notes)) == [(1, {"a": 1}), (6, {"b": 2})]
    assert notes.counts == {"not a JSON object": 1, "not JSON": 2}
    assert notes.places["not a JSON object"] == ["rows.jsonl:3"]


@given(st.text(st.characters(codec="utf-8"), max_size=60))
def test_any_text_of_objects_is_given_or_counted(text: str) -> None:
    notes = RowNotes()
    given_rows = list(iter_objects(TextFile("x", ".jsonl", text), notes))
    assert len(given_rows) + notes.skipped == sum(bool(line.strip()) for line in iter_lines(text))


@pytest.mark.parametrize(
    ("ending", "pack"), [("", bytes), (".gz", gzip.compress), (".bz2", bz2.compress), (".xz", lzma.compress)]
)
def test_a_file_is_read_through_its_compression(ending: str, pack: object, tmp_path: Path) -> None:
    assert callable(pack)
    path = tmp_path / f"Rows.TSV{ending}"
    path.write_bytes(pack("é\tß\n".encode()))
    file = read_file(str(path), RowNotes())
    assert (file.text, file.ending) == ("é\tß\n", ".tsv")


def test_another_encoding_is_told(tmp_path: Path) -> None:
    path = tmp_path / "lines.de"
    path.write_bytes("Grüße aus Köln, wo die Straßen schön und die Häuser hoch sind.\n".encode("utf-16"))
    notes = RowNotes()
    assert read_file(str(path), notes).text.startswith("Grüße")
    assert notes.describe("pairs") == [f"{path} was not UTF-8: read as utf-16."]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("a.tsv", b"", "is empty"),
        ("a.tsv", b" \n\n", "is empty"),
        ("a.tsv", b"\x00\x01\x02", "cannot be used: binary"),
        ("a.tsv.gz", b"a\tb\n", "cannot be used: damaged gzip"),
        ("a.tsv.gz", gzip.compress(b"a\tb\n" * 99, mtime=0)[:-9], "cannot be used: damaged gzip"),
        ("a.zip", b"PK", "is an archive"),
        ("a.tar.gz", b"PK", "is an archive"),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_line(name: str, data: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    with pytest.raises(SourceError) as caught:
        read_file(str(tmp_path / name), RowNotes())
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_several_files_are_refused(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
    with pytest.raises(SourceError, match=r"is 2 files; rows are read from one file each"):
        read_file(str(tmp_path), RowNotes())


def test_a_missing_file_is_named_with_its_nearest_neighbour(tmp_path: Path) -> None:
    (tmp_path / "pairs.tsv").write_text("a\tb")
    with pytest.raises(SourceError, match=r"does not exist\. Did you mean .*pairs\.tsv"):
        read_file(str(tmp_path / "pair.tsv"), RowNotes())


def test_notes_count_everything_and_name_a_few() -> None:
    notes = RowNotes(remarks=["Read it."])
    for number in range(100):
        notes.skip("too short", f"x:{number}")
    notes.skip("too long", "y:1")
    assert notes.skipped == 101
    assert len(notes.places["too short"]) == NAMED_PLACES
    assert notes.describe("rows", named=2) == [
        "Read it.",
        "Skipped 100 rows: too short (x:0, x:1, …).",
        "Skipped 1 row: too long (y:1).",
    ]
    assert json.loads(json.dumps(notes.facts()))[1] == ["too long", 1, ["y:1"]]
