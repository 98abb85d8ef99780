"""Tables of text: cells come out as they were written, and what is malformed is named with its line."""

import csv
import io
import json
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.data.rows import RowNotes
from atinuke.errors import SourceError
from atinuke.tasks.tsv import TextTable, read_csv, read_json_lines, read_tsv

FolderOf = Callable[[Mapping[str, str]], Path]

CELLS = st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs"), exclude_characters="\ufeff"), max_size=8)
ROWS = st.lists(st.lists(CELLS, min_size=3, max_size=3).filter(lambda cells: "".join(cells).strip()), max_size=6)
COLUMNS = ["index", "sentence", "label"]


def cells(table: TextTable) -> list[list[str]]:
    return [list(row.cells.values()) for row in table.rows]


class TestTabs:
    @given(rows=ROWS, end=st.sampled_from(["\n", "\r\n"]), has_last_end=st.booleans(), has_header=st.booleans())
    def test_what_stands_between_tabs_comes_back(
        self, rows: list[list[str]], end: str, has_last_end: bool, has_header: bool
    ) -> None:
        lines = ["\t".join(line) for line in [COLUMNS, *rows]]
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "table.tsv"
            path.write_bytes((end.join(lines) + end * has_last_end).encode())
            table = read_tsv(path, RowNotes(), None if has_header else COLUMNS)
            assert table.columns == tuple(COLUMNS)
            assert cells(table) == (rows if has_header else [COLUMNS, *rows])

    def test_a_quote_sign_is_a_letter_even_where_quoting_holds(self, folder_of: FolderOf) -> None:
        data = folder_of({"train.tsv": 'sentence\tlabel\n"Go!"\t1\n"a\t0\n'})
        assert cells(read_tsv(data / "train.tsv", RowNotes())) == [['"Go!"', "1"], ['"a', "0"]]

    def test_white_space_stays_and_rows_know_their_lines(self, folder_of: FolderOf) -> None:
        data = folder_of({"t.tsv.gz": "\ufeff #1 String\t label \r\n\r\n a \t1\r\n \t \r\nb\u2028c\t0"})
        table = read_tsv(data / "t.tsv.gz", RowNotes())
        assert table.columns == ("#1 String", "label")
        assert [(row.spot.line, row["#1 String"]) for row in table.rows] == [(3, " a "), (5, "b\u2028c")]

    @pytest.mark.parametrize(("line", "count"), [("a", "1 cell"), ("a\t1\tb", "3 cells"), ("a\t1\t", "3 cells")])
    def test_another_number_of_cells_is_refused_with_its_line(self, line: str, count: str, folder_of: FolderOf) -> None:
        data = folder_of({"t.tsv": f"sentence\tlabel\nfine\t1\n\n{line}\n"})
        table = read_tsv(data / "t.tsv", RowNotes())
        with pytest.raises(SourceError, match=rf"t\.tsv:4 has {count} between tabs; expected 2, one for each column"):
            cells(table)

    def test_it_is_passed_over_and_counted_where_the_published_file_has_some(self, folder_of: FolderOf) -> None:
        data = folder_of({"t.tsv": "sentence\tlabel\na\nb\t1\n"})
        notes = RowNotes()
        assert cells(read_tsv(data / "t.tsv", notes, skip_broken=True)) == [["b", "1"]]
        assert notes.places == {"another number of cells than there are columns": [f"{data / 't.tsv'}:2"]}

    def test_a_row_may_end_before_columns_that_it_may_lack(self, folder_of: FolderOf) -> None:
        data = folder_of({"t.tsv": "a\tb\tc\n1\n1\t2\n1\t2\t3\n"})
        found = [dict(row.cells) for row in read_tsv(data / "t.tsv", RowNotes(), may_lack=("b", "c")).rows]
        assert found == [{"a": "1"}, {"a": "1", "b": "2"}, {"a": "1", "b": "2", "c": "3"}]
        with pytest.raises(SourceError, match=r"t\.tsv:2 has 1 cell between tabs; expected 3"):
            cells(read_tsv(data / "t.tsv", RowNotes(), may_lack=("a", "c")))

    def test_a_missing_column_is_named_and_those_that_there_are(self, folder_of: FolderOf) -> None:
        data = folder_of({"t.tsv": "index\tsentense\tlabel\n0\ta\t1\n"})
        table = read_tsv(data / "t.tsv", RowNotes())
        with pytest.raises(
            SourceError, match=r"has no column sentence; its columns are index, sentense, label\. Did y"
        ):
            table.require("label", "sentence")

    def test_two_columns_of_one_name_are_refused(self, folder_of: FolderOf) -> None:
        with pytest.raises(SourceError, match=r"t\.tsv has 2 columns of the name a"):
            read_tsv(folder_of({"t.tsv": "a\tb\ta\n1\t2\t3\n"}) / "t.tsv", RowNotes())

    @pytest.mark.parametrize("text", ["", "\n\n", " \t \n"])
    def test_an_empty_file_is_refused(self, text: str, folder_of: FolderOf) -> None:
        with pytest.raises(SourceError, match="is empty"):
            read_tsv(folder_of({"t.tsv": text}) / "t.tsv", RowNotes())

    def test_a_file_that_is_no_text_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "t.tsv").write_bytes(b"a\tb\n\0\t1\n")
        with pytest.raises(SourceError, match="NUL"):
            read_tsv(tmp_path / "t.tsv", RowNotes())

    def test_a_row_of_a_huge_cell_is_read(self, folder_of: FolderOf) -> None:
        long = "word " * 100_000
        assert cells(read_tsv(folder_of({"t.tsv": f"a\tb\n{long}\t1\n"}) / "t.tsv", RowNotes())) == [[long, "1"]]


class TestQuotedCells:
    @given(ROWS, st.sampled_from(",;\t"))
    def test_what_pythons_csv_writes_comes_back(self, rows: list[list[str]], delimiter: str) -> None:
        text = io.StringIO(newline="")
        csv.writer(text, delimiter=delimiter, quoting=csv.QUOTE_ALL).writerows([COLUMNS, *rows])
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "table.csv"
            path.write_bytes(text.getvalue().encode())
            assert cells(read_csv(path, RowNotes())) == rows

    def test_a_cell_may_hold_commas_and_new_lines(self, folder_of: FolderOf) -> None:
        data = folder_of({"t.csv": 'text,label\n"one,\ntwo",1\nb,0\n'})
        assert [(row.spot.line, row["text"]) for row in read_csv(data / "t.csv", RowNotes()).rows] == [
            (2, "one,\ntwo"),
            (4, "b"),
        ]

    def test_another_number_of_cells_is_refused_with_its_line(self, folder_of: FolderOf) -> None:
        data = folder_of({"t.csv": "text,label\na,b,1\n"})
        with pytest.raises(SourceError, match=r"t\.csv:2 has 3 cells between ,; expected 2"):
            cells(read_csv(data / "t.csv", RowNotes()))

    def test_a_file_of_delimiters_alone_is_refused(self, folder_of: FolderOf) -> None:
        with pytest.raises(SourceError, match="only blank cells"):
            read_csv(folder_of({"t.csv": ",,\n,,\n"}) / "t.csv", RowNotes())


class TestObjects:
    @given(st.lists(st.fixed_dictionaries({"text": CELLS, "label": CELLS}), min_size=1, max_size=5))
    def test_texts_of_objects_come_back(self, objects: list[dict[str, str]]) -> None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "t.jsonl"
            path.write_text("\n".join(json.dumps(each) for each in objects))
            table = read_json_lines(path, RowNotes())
            assert set(table.columns) == {"text", "label"}
            assert [dict(row.cells) for row in table.rows] == objects

    def test_numbers_and_truth_values_are_texts_and_others_no_cells(self, folder_of: FolderOf) -> None:
        line = '{"a": 1, "b": 2.5, "c": true, "d": null, "e": ["x"], "f": {"g": "h"}}\n'
        table = read_json_lines(folder_of({"t.jsonl": "\n" + line}) / "t.jsonl", RowNotes())
        (row,) = table.rows
        assert table.columns == ("a", "b", "c", "d", "e", "f")
        assert row.cells == {"a": "1", "b": "2.5", "c": "true"}
        with pytest.raises(SourceError, match=r"t\.jsonl:2 has no text in d"):
            row["d"]

    @pytest.mark.parametrize(
        ("line", "message"),
        [
            ("{", "is not JSON"),
            ('{"text": 1' + "0" * 5000 + "}", "is not JSON"),
            ("[" * 100_000, "is not JSON"),
            ('["a"]', "holds a JSON list"),
            ("null", "holds a JSON NoneType"),
            ('{"text": "\\ud800"}', "has half of a surrogate pair in text"),
        ],
        ids=["half", "huge number", "deep", "list", "null", "surrogate"],
    )
    def test_a_line_that_is_none_is_refused(self, line: str, message: str, folder_of: FolderOf) -> None:
        data = folder_of({"t.jsonl": '{"text": "fine"}\n' + line + "\n"})
        with pytest.raises(SourceError, match=rf"t\.jsonl:2 {message}"):
            cells(read_json_lines(data / "t.jsonl", RowNotes()))
