import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from atinuke.data.sources import Sources
from atinuke.errors import SourceError

Write = Callable[[dict[str, bytes]], Path]


def names(spec: Path | str, base: Path) -> list[str]:
    """The names of the documents, relative to `base`."""
    return [os.path.relpath(document.name, base) for document in Sources([str(spec)])]


def test_a_folder_is_read_with_what_hangs_below_sorted_and_without_hidden_names(folder_of: Write) -> None:
    folder = folder_of({n: b"x" for n in ["b.txt", "a/z.md", "a/b/c", "a.txt", ".hidden", ".git/config", "a/.b/c"]})
    assert names(folder, folder) == ["a/b/c", "a/z.md", "a.txt", "b.txt"]


def test_a_hidden_file_that_is_asked_for_is_read(folder_of: Write) -> None:
    folder = folder_of({".hidden": b"x"})
    assert names(folder / ".hidden", folder) == [".hidden"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.txt", ["a.txt", "b.txt"]),
        ("?.txt", ["a.txt", "b.txt"]),
        ("[ab].*", ["a.txt", "b.txt"]),
        ("**/*.txt", ["sub/c.txt", "sub/deep/d.txt", "a.txt", "b.txt"]),
        ("**", ["sub/deep/d.txt", "sub/c.txt", "sub/c.md", "a.txt", "b.txt"]),
        ("sub/**/d.txt", ["sub/deep/d.txt"]),
        ("su*", ["sub/deep/d.txt", "sub/c.txt", "sub/c.md"]),
        ("*/*.md", ["sub/c.md"]),
        (".*", [".e.txt"]),
        ("**/deep/**", ["sub/deep/d.txt"]),
    ],
)
def test_globs_match_as_a_shell_would(pattern: str, expected: list[str], folder_of: Write) -> None:
    files = ["a.txt", "b.txt", "sub/c.txt", "sub/c.md", "sub/deep/d.txt", ".e.txt", "sub/.f/g.txt"]
    folder = folder_of({name: b"x" for name in files})
    assert sorted(names(folder / pattern, folder)) == sorted(expected)


def test_relative_patterns_start_here(folder_of: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder_of({"a.txt": b"x", "sub/b.txt": b"y"}))
    assert [document.name for document in Sources(["**/*.txt"])] == ["a.txt", "sub/b.txt"]
    assert [document.name for document in Sources(["."])] == ["./a.txt", "./sub/b.txt"]


def test_a_file_whose_name_looks_like_a_pattern_is_found_by_its_name(folder_of: Write) -> None:
    folder = folder_of({"notes[1].txt": b"x", "notes1.txt": b"y"})
    assert names(folder / "notes[1].txt", folder) == ["notes[1].txt"]


@pytest.mark.parametrize("spec", ["", "**/*.txt", "*", "**"])
def test_symlink_loops_end_and_each_file_comes_once(spec: str, folder_of: Write) -> None:
    folder = folder_of({"a.txt": b"x", "sub/b.txt": b"y"})
    for link, target in {
        "loop": folder,
        "sub/up": folder,
        "sub/self": folder / "sub",
        "twin.txt": folder / "a.txt",
    }.items():
        (folder / link).symlink_to(target)
    assert sorted(names(folder / spec, folder)) == ["a.txt", "sub/b.txt"]


def test_a_linked_folder_elsewhere_is_followed(folder_of: Write, tmp_path: Path) -> None:
    folder = folder_of({"a.txt": b"x"})
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "b.txt").write_bytes(b"y")
    (folder / "link").symlink_to(elsewhere)
    assert names(folder, folder) == ["a.txt", "link/b.txt"]


def test_broken_links_and_pipes_in_a_folder_are_noted_and_do_not_block(folder_of: Write) -> None:
    folder = folder_of({"a.txt": b"x"})
    (folder / "broken").symlink_to(folder / "nowhere")
    os.mkfifo(folder / "pipe")
    sources = Sources([str(folder)])
    assert len(list(sources)) == 1
    assert sources.notes.skipped == [
        (f"{folder}/broken", "No such file or directory"),
        (f"{folder}/pipe", "neither a file nor a folder"),
    ]


def test_a_pipe_that_is_asked_for_is_read_once_and_kept(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(b"through a pipe",))
    writer.start()
    sources = Sources([str(pipe)])
    writer.join()
    assert [document.text for document in sources] == ["through a pipe"]
    assert [document.text for document in Sources([str(pipe)])] == ["through a pipe"]


def test_a_missing_file_is_an_error_that_offers_the_nearest_name(folder_of: Write) -> None:
    folder = folder_of({"tinyshakespeare.txt": b"x", "other.txt": b"y"})
    with pytest.raises(SourceError, match=r"does not exist\. Did you mean .*/tinyshakespeare\.txt\?"):
        Sources([str(folder / "other.txt"), str(folder / "tinyshakespear.txt")])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("nowhere/at/all.txt", "does not exist, nor does its folder"),
        ("https://example.org/a.txt", "is an address"),
        ("hf:dataset", "is an address"),
        ("", "is no name"),
        ("a\0b", "is no name"),
        ("x" * 5000, "does not exist"),
        ("no*match", "pattern that matches no file"),
        ("/dev/null", "neither a file nor a folder"),
    ],
)
def test_a_source_that_is_not_there_is_explained_in_one_line(
    spec: str, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SourceError, match=message) as caught:
        Sources([spec])
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_a_folder_without_files_is_an_error(folder_of: Write) -> None:
    folder = folder_of({".hidden": b"x"})
    with pytest.raises(SourceError, match="folder without files"):
        Sources([str(folder)])


def test_a_folder_that_may_not_be_looked_into_is_noted(folder_of: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = folder_of({"a.txt": b"x", "closed/b.txt": b"y"})
    original = os.listdir

    def listdir(path: str) -> list[str]:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return original(path)

    monkeypatch.setattr(os, "listdir", listdir)
    sources = Sources([str(folder)])
    assert len(list(sources)) == 1
    assert sources.notes.skipped == [(f"{folder}/closed", "Permission denied")]


def test_without_a_source_the_standard_library_is_read() -> None:
    sources = Sources()
    by_name = {document.name: document.text for document in sources}
    assert sources.name == "stdlib"
    assert "def format_help" in by_name["argparse.py"]
    assert sum(map(len, by_name.values())) > 2_000_000
    assert not any(name.startswith(("test/", "site-packages/", "encodings/")) for name in by_name)
    assert all(name.endswith(".py") for name in by_name)
    assert sources.notes.skipped == []
