"""Files appear whole or not at all, and damage to them is told."""

import json
import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke import durable
from atinuke.errors import DamagedFileError, RunFolderError

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


def names_in(folder: Path) -> set[str]:
    return {place.name for place in folder.iterdir()}


def two_files(folder: Path) -> None:
    (folder / "a.bin").write_bytes(bytes(range(256)))
    (folder / "inner").mkdir()
    (folder / "inner" / "b.txt").write_text("ìwé\n", encoding="utf-8")


def test_an_atomic_write_puts_exactly_the_given_bytes_there_and_nothing_else(tmp_path: Path) -> None:
    durable.write_atomic(tmp_path / "x", b"\x00\xff\r\n")
    durable.write_atomic(tmp_path / "y", "ẹ́\n")
    assert (tmp_path / "x").read_bytes() == b"\x00\xff\r\n"
    assert (tmp_path / "y").read_bytes() == "ẹ́\n".encode()
    assert names_in(tmp_path) == {"x", "y"}


def test_an_atomic_write_replaces_what_stood_there(tmp_path: Path) -> None:
    durable.write_atomic(tmp_path / "x", "long before")
    durable.write_atomic(tmp_path / "x", "now")
    assert (tmp_path / "x").read_text() == "now"


@pytest.mark.parametrize("failing", ["os.fsync", "os.replace"])
def test_a_write_that_fails_in_any_step_leaves_the_old_content_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str
) -> None:
    path = tmp_path / "summary.json"
    durable.write_atomic(path, "old")

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(failing, refuse)
        with pytest.raises(RunFolderError) as told:
            durable.write_atomic(path, "new")
    assert str(told.value) == (
        f"{path} cannot be written: No space left on device. What stood there before is unchanged. "
        "Free some disk space and run the same command again."
    )
    assert path.read_text() == "old"
    assert names_in(tmp_path) == {"summary.json"}


def test_an_interrupt_in_the_middle_of_a_write_passes_through_and_leaves_no_litter(tmp_path: Path) -> None:
    def fill(path: Path) -> None:
        path.write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        durable.write_file_atomic(tmp_path / "x", fill)
    with pytest.raises(KeyboardInterrupt):
        durable.write_folder_atomic(tmp_path / "y", lambda folder: fill(folder / "z"))
    assert names_in(tmp_path) == set()


def test_a_path_through_a_file_is_refused_in_one_line_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for act in (
        lambda: durable.write_atomic(tmp_path / "file" / "x", "data"),
        lambda: durable.make_folder(tmp_path / "file" / "x"),
        lambda: durable.write_folder_atomic(tmp_path / "file" / "x", two_files),
    ):
        with pytest.raises(RunFolderError) as told:
            act()
        assert str(tmp_path / "file") in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["a\0b", "n" * 300])
def test_an_impossible_folder_name_is_refused_in_one_printable_line(tmp_path: Path, name: str) -> None:
    with pytest.raises(RunFolderError) as told:
        durable.make_folder(tmp_path / name)
    assert str(told.value).isprintable()


def test_a_new_file_has_the_permissions_of_any_new_file_here(tmp_path: Path) -> None:
    def private(path: Path) -> None:
        path.write_text("x")
        path.chmod(0o600)

    (tmp_path / "usual").write_text("x")
    durable.write_file_atomic(tmp_path / "mine", private)
    durable.write_folder_atomic(tmp_path / "folder", lambda folder: private(folder / "mine"))
    usual = stat.S_IMODE((tmp_path / "usual").stat().st_mode)
    assert stat.S_IMODE((tmp_path / "mine").stat().st_mode) == usual
    assert stat.S_IMODE((tmp_path / "folder" / "mine").stat().st_mode) == usual


def test_a_folder_whose_names_cannot_be_synced_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true_open = os.open

    def refuse_folders(path: str, *rest: int, **more: int) -> int:
        if os.path.isdir(path) and not more:
            raise PermissionError(13, "Permission denied")  # what Windows says
        return true_open(path, *rest, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "open", refuse_folders)
        durable.write_atomic(tmp_path / "x", "data")
    assert (tmp_path / "x").read_text() == "data"


def test_a_disk_fault_while_names_are_synced_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    true_fsync = os.fsync

    def fail_on_folders(handle: int) -> None:
        if stat.S_ISDIR(os.fstat(handle).st_mode):
            raise OSError(5, "Input/output error")
        true_fsync(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail_on_folders)
        with pytest.raises(RunFolderError, match="Input/output error"):
            durable.write_atomic(tmp_path / "x", "data")


def test_a_folder_appears_with_checksums_over_all_its_files(tmp_path: Path) -> None:
    durable.write_folder_atomic(tmp_path / "run" / "one", two_files)
    assert names_in(tmp_path / "run") == {"one"}
    listed = json.loads((tmp_path / "run" / "one" / "checksums.json").read_text())["files"]
    # sha256sum of the 256 byte values in order, a published test vector of many libraries
    assert listed["a.bin"] == {
        "bytes": 256,
        "sha256": "40aff2e9d2d8922e47afd4648e6967497158785fbd1da870e7110266bf944880",
    }
    assert set(listed) == {"a.bin", "inner/b.txt"}
    durable.verify_folder(tmp_path / "run" / "one")


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    durable.write_folder_atomic(tmp_path / "one", two_files)
    durable.write_folder_atomic(tmp_path / "one", lambda folder: (folder / "c").write_text("new") and None)
    assert names_in(tmp_path / "one") == {"c", "checksums.json"}
    assert names_in(tmp_path) == {"one"}


def test_when_the_new_folder_cannot_take_its_place_the_old_one_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    durable.write_folder_atomic(tmp_path / "one", two_files)
    true_rename = os.rename

    def refuse_new(source: Path, target: Path) -> None:
        if str(source).endswith(".tmp"):
            raise OSError(30, "Read-only file system")
        true_rename(source, target)

    with monkeypatch.context() as patch:
        patch.setattr(os, "rename", refuse_new)
        with pytest.raises(RunFolderError, match=r"Read-only file system\. The old one stays\."):
            durable.write_folder_atomic(tmp_path / "one", lambda _: None, stays="The old one stays.")
    durable.verify_folder(tmp_path / "one")
    assert names_in(tmp_path) == {"one"}


def test_only_leftovers_of_killed_writes_are_cleaned_away(tmp_path: Path) -> None:
    (tmp_path / ".atinuke-0a1b2c3d.tmp" / "deep").mkdir(parents=True)
    (tmp_path / ".atinuke-notes").mkdir()
    (tmp_path / "x.tmp").write_text("a file of the user")
    durable.clean_leftovers(tmp_path)
    assert names_in(tmp_path) == {".atinuke-notes", "x.tmp"}


@pytest.mark.parametrize("name", ["a.bin", "inner/b.txt", "checksums.json"])
@pytest.mark.parametrize("at", [0.0, 0.5, 1.0])
def test_one_changed_bit_anywhere_is_found_and_the_file_named(tmp_path: Path, name: str, at: float) -> None:
    durable.write_folder_atomic(tmp_path / "one", two_files)
    path = tmp_path / "one" / name
    whole = path.read_bytes()
    place = round(at * (len(whole) - 1))
    for bit in range(8):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << bit]) + whole[place + 1 :])
        with pytest.raises(DamagedFileError, match=name):
            durable.verify_folder(tmp_path / "one")
    path.write_bytes(whole)
    durable.verify_folder(tmp_path / "one")


@pytest.mark.parametrize("name", ["a.bin", "inner/b.txt", "checksums.json"])
def test_a_file_cut_short_lengthened_or_gone_is_found_and_named(tmp_path: Path, name: str) -> None:
    durable.write_folder_atomic(tmp_path / "one", two_files)
    path = tmp_path / "one" / name
    whole = path.read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], whole[:-2], whole + b"x"):
        path.write_bytes(damaged)
        with pytest.raises(DamagedFileError, match=name):
            durable.verify_folder(tmp_path / "one")
    path.unlink()
    with pytest.raises(DamagedFileError, match=name):
        durable.verify_folder(tmp_path / "one")


@pytest.mark.parametrize("listed", ["/etc/hostname", "../outside", "inner/../../outside"])
def test_checksums_of_a_stranger_do_not_make_us_read_outside_the_folder(tmp_path: Path, listed: str) -> None:
    (tmp_path / "outside").write_text("")
    (tmp_path / "one").mkdir()
    durable.write_checksums(tmp_path / "one", [])
    sums = {listed: {"sha256": durable.sha256_file(tmp_path / "outside"), "bytes": 0}}
    own = durable._own_sum(sums)
    (tmp_path / "one" / "checksums.json").write_text(json.dumps({"files": sums, "sha256": own}))
    with pytest.raises(DamagedFileError, match="missing"):
        durable.verify_folder(tmp_path / "one")


@given(json_values)
def test_json_comes_back_as_it_was_given_even_with_lone_surrogates(value: durable.JSON) -> None:
    raw = durable.encode(durable.to_json({"value": value}))
    assert json.loads(raw.decode()) == {"value": value}


@given(st.text(st.characters(codec=None, categories=["Cs", "L"])))
def test_text_with_lone_surrogates_comes_back_from_json(text: str) -> None:
    assert json.loads(durable.encode(durable.to_json([text])).decode()) == [text]


def test_json_has_null_where_a_number_is_not_finite() -> None:
    text = durable.to_json({"a": [float("nan"), (float("inf"), 1.5)], "b": {"c": -float("inf")}}, indent=None)
    assert text == '{"a": [null, [null, 1.5]], "b": {"c": null}}'


@pytest.mark.parametrize(
    "content",
    [b"", b"{", b"[1]", b"null", b"\xff{}", b"[" * 100_000, b'{"a": ' + b"9" * 5000 + b"}", b'{"a": 1}x'],
    ids=["empty", "cut", "list", "null", "not UTF-8", "deep", "huge number", "more behind"],
)
def test_a_file_that_is_no_json_object_is_named_in_one_line(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "summary.json").write_bytes(content)
    with pytest.raises(DamagedFileError, match=r"summary\.json is damaged") as told:
        durable.read_json(tmp_path / "summary.json")
    assert "\n" not in str(told.value)


def test_a_json_file_that_is_missing_or_a_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"nothing\.json is missing"):
        durable.read_json(tmp_path / "nothing.json")
    with pytest.raises(RunFolderError, match="cannot be read"):
        durable.read_json(tmp_path)


@given(st.text())
def test_a_shown_name_is_printable_and_plain_names_are_shown_as_they_are(name: str) -> None:
    shown = durable.printable(name)
    assert shown.isprintable()
    assert (shown == name) == name.isprintable()
