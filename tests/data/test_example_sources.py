import gzip
import io
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from atinuke.data.example_sources import ExampleNotes, RawExample, first_of_each_kind, iter_raw, labels_of
from atinuke.errors import SourceError

Writer = Callable[[dict[str, bytes]], Path]


def read(*specs: Path | str) -> tuple[list[RawExample], ExampleNotes]:
    notes = ExampleNotes()
    return list(iter_raw([str(spec) for spec in specs], notes)), notes


def found(*specs: Path | str) -> list[tuple[str, object, str]]:
    return [(raw.kind, raw.content, raw.label) for raw in read(*specs)[0]]


def idx(code_and_axes: str, values: bytes) -> bytes:
    return bytes.fromhex("0000" + code_and_axes) + values


TWO_PICTURES = idx("0803 00000002 00000002 00000001", b"\x01\x02\x03\x04")


def zipped(files: dict[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["cat/1.png", "dog/1.png", "pets/dog/2_x.png"], ["cat", "dog", "dog"]),
        (["recordings/0_george_0.wav", "recordings/0_theo_1.wav", "recordings/7_theo_0.wav"], ["0", "0", "7"]),
        (["pets/cat/img_1.png", "pets/cat/img_2.png"], ["cat", "cat"]),  # one beginning tells nothing apart
        (["cat/a_1.png", "cat/b_1.png"], ["cat", "cat"]),  # each beginning once: these are names, not labels
        (["a.png", "b.png"], ["", ""]),
    ],
)
def test_the_label_is_the_folder_or_in_one_folder_how_the_name_begins(names: list[str], labels: list[str]) -> None:
    assert labels_of(names) == labels


def test_a_folder_has_one_folder_for_each_label(folder_of: Writer) -> None:
    folder = folder_of({"cat/1.png": b"c1", "dog/1.JPG": b"d1", "dog/bark.wav": b"woof", "read.me": b"", ".x.png": b""})
    assert found(folder) == [("picture", b"c1", "cat"), ("picture", b"d1", "dog"), ("sound", b"woof", "dog")]
    assert found(f"{folder}/*/1.*") == [("picture", b"c1", "cat"), ("picture", b"d1", "dog")]


def test_an_archive_is_read_like_a_folder_and_in_part(tmp_path: Path) -> None:
    path = tmp_path / "digits.zip"
    names = ["0_ann_0.wav", "0_ann_10.wav", "0_bo_0.wav", "1_ann_0.wav"]
    path.write_bytes(zipped({f"recordings/{name}": name.encode() for name in names} | {"notes.txt": b"x"}))
    assert found(path) == [("sound", name.encode(), name[0]) for name in names]
    part = found(path / "*_[0-4].wav")
    assert [content for _, content, _ in part] == [b"0_ann_0.wav", b"0_bo_0.wav", b"1_ann_0.wav"]
    # Labels are told from all names, so that one label alone is still recognised by how its names begin.
    assert found(path / "recordings/1_*") == [("sound", b"1_ann_0.wav", "1")]


@pytest.mark.parametrize(
    ("pattern", "reason"), [("/*_nobody_*", r"no member named \*_nobody_\*"), ("", "no pictures or sounds in it")]
)
def test_an_archive_without_what_is_asked_for_says_so(pattern: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "digits.zip"
    path.write_bytes(zipped({"a/1.wav": b"", "b/1.wav": b""} if pattern else {"a/notes.txt": b""}))
    with pytest.raises(SourceError, match=f"digits.zip has {reason}"):
        read(f"{path}{pattern}")


def test_a_damaged_archive_is_an_error_and_a_damaged_member_a_counted_skip(tmp_path: Path) -> None:
    path = tmp_path / "pets.zip"
    data = zipped({"cat/1.png": b"meow meow", "dog/1.png": b"woof woof"})
    path.write_bytes(data.replace(b"woof", b"wolf", 1))
    examples, notes = read(path)
    assert [raw.label for raw in examples] == ["cat"]
    assert notes.skipped == 1 and "damaged zip" in notes.named[0][1] and "dog/1.png" in notes.named[0][0]
    path.write_bytes(data[:40])
    with pytest.raises(SourceError, match=r"pets.zip cannot be read: damaged zip"):
        read(path)


@pytest.mark.parametrize("ending", ["", ".gz"])
def test_idx_pictures_find_their_labels_beside_them(ending: str, folder_of: Writer) -> None:
    files = {"a-images-idx3-ubyte": TWO_PICTURES, "a-labels-idx1-ubyte": idx("0801 00000002", b"\x07\x03")}
    folder = folder_of({name + ending: gzip.compress(data) if ending else data for name, data in files.items()})
    examples, _ = read(folder / f"a-images-idx3-ubyte{ending}")
    assert [raw.label for raw in examples] == ["7", "3"]
    assert [raw.content.tolist() for raw in examples] == [[[[1]], [[2]]], [[[3]], [[4]]]]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({}, "has no labels beside it; expected a-labels-idx1-ubyte in the same folder"),
        ({"a-labels-idx1-ubyte": idx("0801 00000003", b"123")}, "has 2 pictures and .* holds 3 values of uint8"),
        ({"a-labels-idx1-ubyte": idx("0801 00000003", b"1")}, "a-labels-idx1-ubyte is not a whole idx file"),
        ({"a-images-idx3-ubyte": idx("0801 00000002", b"12")}, "holds 2 values of uint8; expected pictures"),
        ({"a-images-idx3-ubyte": idx("0804 00000001000000010000000100000002", b"12")}, "has 2 channels"),
    ],
)
def test_idx_pictures_without_fitting_labels_are_refused(
    files: dict[str, bytes], reason: str, folder_of: Writer
) -> None:
    folder = folder_of({"a-images-idx3-ubyte": TWO_PICTURES} | files)
    with pytest.raises(SourceError, match=reason):
        read(folder / "a-images-idx3-ubyte")


def test_a_listing_names_files_from_its_own_folder_and_holds_texts(folder_of: Writer) -> None:
    rows = [
        {"picture": "seen/1.png", "label": "cat"},
        {"sound": "heard.wav", "label": 4, "question": "Which digit?"},
        {"text": " a fine film\n", "label": True},
        {"text": "x", "picture": None, "label": " bad ", "question": None},
    ]
    listing = "\n".join(json.dumps(row) for row in rows).encode()
    folder = folder_of({"list.jsonl": listing, "seen/1.png": b"meow", "heard.wav": b"four"})
    examples, notes = read(folder / "list.jsonl")
    assert [(raw.kind, raw.content, raw.label, raw.question) for raw in examples] == [
        ("picture", b"meow", "cat", ""),
        ("sound", b"four", "4", "Which digit?"),
        ("text", " a fine film\n", "true", ""),
        ("text", "x", "bad", ""),
    ]
    assert notes.skipped == 0 and notes.describe() == []


@pytest.mark.parametrize(("name", "delimiter"), [("films.csv", ","), ("films.tsv", "\t"), ("films.csv.gz", ",")])
def test_a_table_with_a_header_is_a_listing_too(name: str, delimiter: str, folder_of: Writer) -> None:
    text = 'Label,Text,id\ngood,"so, so\ngood",1\nbad,dull,2\nbad,dull\n'.replace(",", delimiter)
    data = text.replace(f'"so{delimiter}', '"so,').encode()
    folder = folder_of({name: gzip.compress(data) if name.endswith(".gz") else data})
    examples, notes = read(folder / name)
    assert [(raw.content, raw.label) for raw in examples] == [("so, so\ngood", "good"), ("dull", "bad")]
    assert notes.skipped == 1
    (sentence,) = notes.describe()
    assert sentence.startswith("Skipped 1 example: ") and "(not 3 cells, as the header has)" in sentence


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('{"text": "x"}', "no label"),
        ('{"text": "x", "label": ""}', "no label"),
        ('{"text": "x", "label": []}', "the field label is not a text"),
        ('{"text": "  ", "label": "a"}', "the field text is empty"),
        ('{"text": 3, "label": "a"}', "the field text is not a text"),
        ('{"label": "a"}', "none of picture, sound and text; expected one of the three"),
        ('{"text": "x", "sound": "y.wav", "label": "a"}', "sound and text; expected one of the three"),
        ('{"picture": "gone.png", "label": "a"}', "No such file or directory"),
        ('{"text": "\\ud800", "label": "a"}', "half of a surrogate pair"),
        ('{"text": "x", "label": "a", "question": {}}', "the field question is not a text"),
        ("[1]", "not a JSON object"),
        ("{", "not JSON"),
    ],
)
def test_a_row_that_cannot_be_used_is_counted_with_its_line(line: str, reason: str, folder_of: Writer) -> None:
    folder = folder_of({"list.jsonl": f'{{"text": "t", "label": "l"}}\n{line}\n'.encode()})
    examples, notes = read(folder / "list.jsonl")
    assert len(examples) == notes.skipped == 1
    assert "list.jsonl:2" in notes.named[0][0] and reason in notes.named[0][1]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.csv", b"text,lable\nx,y\n", "has the columns text, lable; expected label, .* Did you mean lable"),
        ("a.csv", b"label,words\nx,y\n", "has the columns label, words; expected label, and picture, sound or text"),
        ("a.csv", b"label,text\n,y\n", r"has no usable row \(at first: no label\)"),
        ("a.jsonl", b"{}\n", r"has no usable row \(at first: none of picture, sound and text"),
        ("a.csv", b"label,text\n", r"has no usable row \(at first: it has none\)"),
        ("a.csv", b"", "is empty"),
        ("a.txt", b"words", "a.txt has no pictures or sounds"),
    ],
)
def test_what_is_no_listing_is_refused_in_one_line(name: str, data: bytes, reason: str, folder_of: Writer) -> None:
    with pytest.raises(SourceError, match=reason) as caught:
        read(folder_of({name: data}) / name)
    assert "\n" not in str(caught.value)


def test_a_folder_that_holds_a_listing_or_idx_files_asks_for_the_file_itself(folder_of: Writer) -> None:
    folder = folder_of({"train-images-idx3-ubyte.gz": b"", "t10k-images-idx3-ubyte.gz": b""})
    with pytest.raises(SourceError, match=r"has no pictures or sounds. Is t10k-images-idx3-ubyte.gz meant\?"):
        read(folder)


def test_what_does_not_exist_is_refused_with_the_nearest_name(folder_of: Writer) -> None:
    folder = folder_of({"films.csv": b"label,text\n"})
    with pytest.raises(SourceError, match=r"does not exist. Did you mean .*films.csv"):
        read(folder / "film.csv")


def test_a_pipe_that_a_listing_names_is_skipped_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "a.png").write_bytes(b"a")
    listing = tmp_path / "list.csv"
    listing.write_text("picture,label\npipe.png,x\na.png,y\n")
    examples, notes = read(listing)
    assert [raw.label for raw in examples] == ["y"]
    assert notes.named == [(f"{listing}:2", "not a regular file")]


def test_the_first_of_each_kind_is_told_without_reading_contents(folder_of: Writer, tmp_path: Path) -> None:
    folder = folder_of({"cat/1.png": b"", "cat/2.png": b"", "dog/bark.wav": b""})
    listing, idx_file, archive = tmp_path / "l.jsonl", tmp_path / "x-images-idx3-ubyte", tmp_path / "a.zip"
    listing.write_text('{"text": "a", "label": "b"}\n{"sound": "gone.wav", "label": "b"}\n')
    idx_file.write_bytes(b"")
    archive.write_bytes(zipped({"a/1.wav": b"", "b/2.png": b""}))
    assert first_of_each_kind([str(folder)]) == {
        "picture": f"{folder}/cat/1.png",
        "sound": f"{folder}/dog/bark.wav",
    }
    assert first_of_each_kind([str(listing)]) == {"text": f"{listing}:1", "sound": f"{listing}:2"}
    assert first_of_each_kind([str(listing), str(idx_file)])["picture"] == str(idx_file)
    assert first_of_each_kind([f"{archive}/*.png"]) == {"picture": f"{archive}/b/2.png"}
    archive.write_bytes(b"no archive")
    assert first_of_each_kind([str(archive)]) == {}
