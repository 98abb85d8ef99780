"""Tables: what counts as a number, what is asked, what is held out, and the run's copy."""

import csv
import gzip
import io
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_iris

from atinuke.data.rows import RowNotes
from atinuke.data.tables import Table, TableSet, Task, read_table, split_table, write_table
from atinuke.errors import DamagedFileError, RunFolderError, SourceError

# The article's table: is it a leaf or a flower?
GARDEN = "R,G,B,Volume,Kind\n32,107,56,11.2,leaf\n241,200,4,59.5,flower\n0,0,0,0,leaf\n-1.5e1,.5,1,+2,flower\n"


def write(folder: Path, text: str, name: str = "garden.csv") -> str:
    path = folder / name
    data = text.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return str(path)


def table_of(labels: list[str], numbers: list[float] | None = None) -> Table:
    classes = tuple(sorted(set(labels)))
    values = numbers if numbers is not None else list(range(len(labels)))
    ids = np.array([classes.index(label) for label in labels], dtype=np.int64)
    column = np.array(values, dtype=np.float32)[:, None]
    return Table(("x",), column, ids, classes, "label", "memory", ("memory",), RowNotes())


class TestReading:
    @pytest.mark.parametrize("name", ["garden.csv", "garden.tsv", "garden.csv.gz", "garden.txt", "garden"])
    def test_numbers_and_classes_come_out_as_they_stand(self, name: str, tmp_path: Path) -> None:
        text = GARDEN.replace(",", "\t") if "tsv" in name else GARDEN.replace(",", ";") if name == "garden" else GARDEN
        table = read_table(write(tmp_path, text, name), "Kind")
        assert table.columns == ("R", "G", "B", "Volume")
        expected = [[32, 107, 56, 11.2], [241, 200, 4, 59.5], [0, 0, 0, 0], [-15, 0.5, 1, 2]]
        np.testing.assert_array_equal(table.numbers, np.array(expected, dtype=np.float32))
        assert table.classes == ("flower", "leaf") and table.labels.tolist() == [1, 0, 1, 0]
        assert (table.numbers.dtype, table.labels.dtype, table.task) == (np.float32, np.int64, "classification")
        assert (len(table), table.label, table.notes.skipped) == (4, "Kind", 0)

    def test_the_iris_table_is_what_scikit_learn_has(self, tmp_path: Path) -> None:
        iris = load_iris()
        text = io.StringIO(newline="")
        rows = csv.writer(text)
        rows.writerow(["Id", *iris.feature_names, "Species"])
        for number, (values, kind) in enumerate(zip(iris.data, iris.target, strict=True)):
            rows.writerow([f"no {number}", *values, iris.target_names[kind]])
        table = read_table(write(tmp_path, text.getvalue()))
        np.testing.assert_allclose(table.numbers, iris.data, rtol=1e-6)
        assert table.labels.tolist() == iris.target.tolist()
        assert table.classes == tuple(sorted(iris.target_names))
        assert table.notes.remarks == ["Left out column Id: it holds no number."]

    @pytest.mark.parametrize(
        ("cell", "reason"),
        [
            ("", "missing in column G"),
            ("  ", "missing in column G"),
            ("green", "not a number in column G"),
            ("nan", "not a number in column G"),
            ("inf", "not a number in column G"),
            ("1e39", "not a number in column G"),
            ("1_0", "not a number in column G"),
            ('"1,5"', "not a number in column G"),
        ],
    )
    def test_a_cell_without_a_number_skips_its_row_and_says_where(self, cell: str, reason: str, tmp_path: Path) -> None:
        spec = write(tmp_path, GARDEN + f"1,{cell},3,4,leaf\n")
        table = read_table(spec, "Kind")
        assert len(table) == 4
        assert table.notes.places == {reason: [f"{spec}:6"]}

    def test_rows_of_another_length_and_rows_without_a_label_are_skipped(self, tmp_path: Path) -> None:
        table = read_table(write(tmp_path, GARDEN + "1,2,3,leaf\n\n1,2,3,4,\n1,2,3,4,leaf,5\n"), "Kind")
        assert table.notes.counts == {
            "another number of cells than the header has": 2,
            "missing in column Kind": 1,
        }

    @pytest.mark.parametrize(
        ("labels", "task", "expected"),
        [
            (["leaf", "flower"], None, "classification"),
            (["0", "1", "1"], None, "classification"),
            (["1.5", "2.5"], None, "regression"),
            ([str(number) for number in range(30)], None, "regression"),
            (["1", "2"], "regression", "regression"),
            (["1.5", "2.5"], "classification", "classification"),
        ],
    )
    def test_what_is_asked_follows_from_the_labels_unless_it_is_said(
        self, labels: list[str], task: Task | None, expected: Task, tmp_path: Path
    ) -> None:
        table = read_table(write(tmp_path, "x,y\n" + "".join(f"1,{label}\n" for label in labels)), None, task)
        assert table.task == expected
        if expected == "regression":
            assert table.labels.dtype == np.float32 and table.labels.tolist() == [float(label) for label in labels]

    def test_numbers_as_classes_are_in_their_own_order(self, tmp_path: Path) -> None:
        assert read_table(write(tmp_path, "x,y\n1,10\n2,9\n3,0\n")).classes == ("0", "9", "10")

    def test_a_class_of_which_every_row_was_skipped_is_none(self, tmp_path: Path) -> None:
        table = read_table(write(tmp_path, "x,y\n1,c\nbad,b\n2,a\n"))
        assert (table.classes, table.labels.tolist()) == (("a", "c"), [1, 0])

    def test_a_table_to_score_with_has_the_columns_and_classes_of_the_other(self, tmp_path: Path) -> None:
        first = read_table(write(tmp_path, "a,b,y\n1,2,u\n3,4,v\n"))
        other = write(tmp_path, "b,y,a,c\n6,v,5,0\n7,w,8,0\n", "test.csv")
        held_out = read_table(other, like=first)
        assert held_out.numbers.tolist() == [[5, 6]]
        assert (held_out.labels.tolist(), held_out.classes) == ([1], ("u", "v"))
        assert held_out.notes.places == {"unknown class in column y": [f"{other}:3"]}
        with pytest.raises(SourceError, match="has no column b, which was trained on"):
            read_table(write(tmp_path, "a,y\n1,u\n", "less.csv"), like=first)

    def test_rows_of_unknown_classes_can_be_kept_behind_the_known(self, tmp_path: Path) -> None:
        like = Table.without_rows(("a", "b"), "y", ("u", "v"))
        text = "b,y,a\n1,v,2\n3,w,4\n5,x,6\n7,w,8\n9,,9\n"
        found = read_table(write(tmp_path, text), like=like, keep_unknown=True)
        assert (found.classes, found.labels.tolist()) == (("u", "v", "w", "x"), [1, 2, 3, 2])
        assert found.numbers.tolist() == [[2, 1], [4, 3], [6, 5], [8, 7]]
        assert found.notes.remarks == ["3 rows are of a class that was not trained on: w, x."]
        assert found.notes.counts == {"missing in column y": 1}
        prices = read_table(write(tmp_path, "b,y,a\n1,0,2\n1,z,2\n"), like=Table.without_rows(("b",), "y", ()))
        assert (prices.task, prices.labels.tolist()) == ("regression", [0.0])

    def test_files_with_equal_columns_are_one_table(self, tmp_path: Path) -> None:
        one = write(tmp_path, "x,y\n1,a\n", "1.csv")
        two = write(tmp_path, "x,y\n2,b\n", "2.csv")
        assert read_table([one, two]).numbers.tolist() == [[1], [2]]
        with pytest.raises(SourceError, match="other columns than"):
            read_table([one, write(tmp_path, "z,y\n2,b\n", "3.csv")])

    @pytest.mark.parametrize(
        ("text", "label", "said"),
        [
            (GARDEN, "kind", r"has no column kind; its columns are R, G, B, Volume, Kind\. Did you mean Kind\?"),
            ("1,2\n3,4\n", None, "begins with numbers; expected a first row that names the columns"),
            ("x,x\n1,a\n", None, "two columns of the name x"),
            ("x\n1\n", None, "has one column, x; expected two at least"),
            ("x,y\n", None, r"gives no row to learn from \(no rows below the header\)"),
            ("x,z,y\n1,?,a\n?,2,b\n", None, r"no row to learn from \(not a number in column z: 1; not a number in"),
            ("x,y\nred,a\nblue,b\n", None, "has no numbers in its columns x"),
            ("x,y\n1,a\n2,a\n", None, "holds one class only, a; expected two at least"),
            ("x,y\n1,\n", None, "no row to learn from"),
            (" \n", None, "is empty"),
        ],
    )
    def test_what_gives_no_table_is_refused_in_one_line(
        self, text: str, label: str | None, said: str, tmp_path: Path
    ) -> None:
        with pytest.raises(SourceError, match=said) as caught:
            read_table(write(tmp_path, text), label)
        assert "\n" not in str(caught.value)

    @given(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
        | st.lists(st.sampled_from(["x", "1", "2.5", ",", ",", ";", "\n", "\n", '"', " ", "nan", "ß"])).map("".join)
    )
    def test_any_text_is_a_table_or_refused(self, text: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            try:
                table = read_table(write(Path(folder), text))
            except SourceError as error:
                assert "\n" not in str(error)
                return
        assert np.isfinite(table.numbers).all() and len(table.labels) == len(table) > 0
        assert not table.classes or set(table.labels.tolist()) == set(range(len(table.classes)))


class TestHoldingOut:
    @given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), min_size=1, max_size=60))
    def test_no_row_is_on_both_sides_and_every_class_stays_in_training(self, rows: list[tuple[str, int]]) -> None:
        table = table_of([label for label, _ in rows], [float(number) for _, number in rows])
        try:
            train, held_out = split_table(table)
        except SourceError as error:
            assert "can be spared" in str(error)
            return

        def content(part: Table) -> list[tuple[float, int]]:
            return list(zip(part.numbers[:, 0].tolist(), part.labels.tolist(), strict=True))

        assert sorted(content(train) + content(held_out)) == sorted(content(table))
        assert not set(content(train)) & set(content(held_out))
        assert set(train.labels.tolist()) == set(table.labels.tolist())
        assert 1 <= len(held_out) <= max(1, round(0.1 * len(table)))

    def test_a_tenth_is_held_out_whatever_the_order(self) -> None:
        labels = ["a", "b"] * 100
        _, held_out = split_table(table_of(labels))
        _, again = split_table(table_of(labels[::-1], [float(number) for number in range(199, -1, -1)]))
        assert len(held_out) == 20
        assert sorted(held_out.numbers[:, 0]) == sorted(again.numbers[:, 0])

    def test_what_is_given_to_score_with_stays_whole_and_leaves_training(self) -> None:
        train, held_out = split_table(table_of(["a", "b", "a"], [1, 2, 3]), table_of(["a", "b"], [3, 3]))
        assert train.numbers[:, 0].tolist() == [1, 2]
        assert held_out.numbers[:, 0].tolist() == [3, 3]
        assert train.notes.counts == {"also among the held-out rows": 1}
        with pytest.raises(SourceError, match="none is left to train on"):
            split_table(table_of(["a", "b"], [1, 2]), table_of(["b", "a"], [2, 1]))


class TestTheRunsCopy:
    @pytest.mark.parametrize("text", [GARDEN, "x,y\n" + "".join(f"{n},{n}.5\n" for n in range(20))])
    def test_reopening_gives_the_same_table(self, text: str, tmp_path: Path) -> None:
        train, held_out = split_table(read_table(write(tmp_path, text)))
        written = write_table(train, held_out, tmp_path / "data")
        opened = TableSet.open(tmp_path / "data")
        for one, other in ((opened.train, train), (opened.held_out, held_out)):
            np.testing.assert_array_equal(one.numbers, other.numbers)
            np.testing.assert_array_equal(one.labels, other.labels)
            assert (one.columns, one.classes, one.label, one.task) == (
                other.columns,
                other.classes,
                other.label,
                other.task,
            )
        assert opened.fingerprint == written.fingerprint
        assert opened.facts["train_rows"] + opened.facts["held_out_rows"] == len(train) + len(held_out)

    @pytest.mark.parametrize("name", ["index.json", "train/numbers.npy", "held_out/labels.npy", "checksums.json"])
    @pytest.mark.parametrize("harm", ["gone", "cut", "changed"])
    def test_damage_is_told_with_the_name_of_the_file(self, name: str, harm: str, tmp_path: Path) -> None:
        write_table(*split_table(table_of(["a", "b"] * 10)), tmp_path / "data")
        path = tmp_path / "data" / name
        data = path.read_bytes()
        if harm == "gone":
            path.unlink()
        else:
            path.write_bytes(data[:-3] if harm == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
        with pytest.raises(DamagedFileError) as caught:
            TableSet.open(tmp_path / "data")
        assert path.name in str(caught.value) and "\n" not in str(caught.value)

    def test_a_missing_folder_is_told(self, tmp_path: Path) -> None:
        with pytest.raises(RunFolderError, match="does not exist"):
            TableSet.open(tmp_path / "data")
