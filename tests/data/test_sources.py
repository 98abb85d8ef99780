import builtins
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from atinuke.data import sources as sources_module
from atinuke.data.sources import Sources
from atinuke.errors import SourceError

Write = Callable[[dict[str, bytes]], Path]


@pytest.fixture
def no_pipes_yet(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sources_module, "_SPOOLED", {})
    yield


def stdin_of(data: bytes) -> io.TextIOWrapper:
    return io.TextIOWrapper(io.BytesIO(data))


def test_every_pass_gives_the_same_documents_in_the_same_order(folder_of: Write) -> None:
    folder = folder_of({f"{name}.txt": name.encode() for name in "zeaqbm"})
    sources = Sources([str(folder)])
    assert list(sources) == list(sources)
    assert [document.text for document in sources] == sorted("zeaqbm")


def test_sources_come_in_the_order_in_which_they_are_named_and_once(folder_of: Write) -> None:
    folder = folder_of({"a.txt": b"a", "b.txt": b"b"})
    specs = [str(folder / "b.txt"), str(folder / "a.txt"), str(folder), str(folder / "*.txt")]
    assert [document.text for document in Sources(specs)] == ["b", "a"]


def test_one_name_alone_may_be_given_without_a_list(folder_of: Write) -> None:
    assert len(list(Sources(str(folder_of({"a.txt": b"a"}))))) == 1


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"\xef\xbb\xbf", "empty"),
        (b" \n\t\n", "only white space"),
        (b"\0\1\2", "binary: a NUL byte at byte 0"),
        (b"PK\x03\x04...", "binary: a zip archive"),
    ],
)
def test_a_single_source_without_text_is_an_error_and_among_others_a_note(
    data: bytes, reason: str, folder_of: Write
) -> None:
    folder = folder_of({"bad.txt": data, "good.txt": b"text"})
    with pytest.raises(SourceError, match=f"bad.txt gives no text: {reason}"):
        list(Sources([str(folder / "bad.txt")]))
    sources = Sources([str(folder / "bad.txt"), str(folder / "good.txt")])
    assert [document.text for document in sources] == ["text"]
    assert [(Path(name).name, why[: len(reason)]) for name, why in sources.notes.skipped] == [("bad.txt", reason)]
    assert sources.notes.skipped_files == 1


def test_an_empty_file_is_refused_before_anything_is_read(folder_of: Write) -> None:
    with pytest.raises(SourceError, match="gives no text: empty"):
        Sources([str(folder_of({"empty.txt": b""}) / "empty.txt")])


def test_when_nothing_is_usable_the_sources_and_reasons_are_named(folder_of: Write) -> None:
    folder = folder_of({"a.bin": b"\0", "b.pdf": b"%PDF-", "c": b"", "d.gz": b"no gzip", "e": b"\n"})
    with pytest.raises(SourceError, match=r"folder gives no text \(.*a.bin: binary.*b.pdf: binary: a PDF.*; …\)"):
        list(Sources([str(folder)]))


def test_an_unreadable_file_is_an_error_alone_and_a_note_among_others(
    folder_of: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of({"closed.txt": b"text", "open.txt": b"text"})
    original = builtins.open

    def refuse(path: Any, *args: Any, **kwargs: Any) -> Any:
        if str(path).endswith("closed.txt"):
            raise PermissionError(13, "Permission denied")
        return original(path, *args, **kwargs)

    monkeypatch.setattr(builtins, "open", refuse)
    with pytest.raises(SourceError, match="unreadable: Permission denied"):
        Sources([str(folder / "closed.txt")])
    sources = Sources([str(folder)])
    assert len(list(sources)) == 1
    assert sources.notes.skipped == [(f"{folder}/closed.txt", "unreadable: Permission denied")]


def test_re_encoded_files_are_named(folder_of: Write) -> None:
    french = "Où sont les élèves ? À l'école, bien sûr. "
    folder = folder_of({"a.txt": french.encode("cp1252"), "b.txt": french.encode("utf-16"), "c.txt": french.encode()})
    sources = Sources([str(folder)])
    assert [document.text for document in sources] == [french] * 3
    assert sources.notes.re_encoded == [(f"{folder}/a.txt", "cp1252"), (f"{folder}/b.txt", "utf-16")]


def test_notes_are_of_the_latest_full_pass(folder_of: Write) -> None:
    sources = Sources([str(folder_of({"a.txt": b"abc", "b.txt": b"\0", "c.jsonl": b'{"text": "\\u00e9"}\n[]\n'}))])
    assert sources.notes.documents == 0
    for _ in range(2):
        list(sources)
        notes = sources.notes
        assert (notes.files_found, notes.files, notes.documents, notes.bytes) == (3, 2, 2, 5)
        assert (notes.skipped_files, notes.skipped_lines) == (1, 1)


# --- Standard input ---


@pytest.mark.usefixtures("no_pipes_yet")
def test_standard_input_is_read_once_however_often_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", stdin_of("from a pipe: é".encode()))
    first, second = Sources(["-"]), Sources(["-"])
    for sources in (first, first, second):
        assert [(document.name, document.text) for document in sources] == [("-", "from a pipe: é")]
    assert first.name == "stdin"


@pytest.mark.usefixtures("no_pipes_yet")
def test_another_standard_input_is_not_taken_for_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    for text in ("one", "two"):
        monkeypatch.setattr(sys, "stdin", stdin_of(text.encode()))
        assert [document.text for document in Sources(["-"])] == [text]


@pytest.mark.usefixtures("no_pipes_yet")
@pytest.mark.parametrize("stdin", [None, b""])
def test_no_standard_input_is_an_error(stdin: bytes | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None if stdin is None else stdin_of(stdin))
    with pytest.raises(SourceError, match="SOURCE - "):
        Sources(["-"])


@pytest.mark.usefixtures("no_pipes_yet")
def test_a_full_disk_under_standard_input_is_explained(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(sys, "stdin", stdin_of(b"text"))
    monkeypatch.setattr(shutil, "copyfileobj", full)
    with pytest.raises(SourceError, match=r"No space left on device.*TMPDIR"):
        Sources(["-"])


# --- Names ---


@pytest.mark.parametrize(
    "name",
    [b"new\nline.txt", b"\x1b[31mred.txt", b"[red]x<b>.txt", b"caf\xe9.txt", "\u202egpj.txt".encode(), b"n" * 250],
)
def test_hostile_names_are_read_and_shown_on_one_line(name: bytes, tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path) + b"/" + name[:20]
    os.mkdir(folder)
    for kind, data in {
        b"": b"fine",
        b".bin": b"\0",
        b".jsonl": b'{"text": "row"}\nno\n',
        b".l1": b"\xe9t\xe9 d\xe9j\xe0",
    }.items():
        with open(folder + b"/" + name[: 240 - len(kind)] + kind, "wb") as file:
            file.write(data)
    sources = Sources([os.fsdecode(folder)])
    assert sorted(document.text for document in sources) == ["fine", "row", "été déjà"]
    assert all(document.name.isprintable() for document in sources)
    notes = sources.notes
    assert (notes.skipped_files, notes.skipped_lines, notes.re_encoded_count) == (1, 1, 1)
    assert all(text.isprintable() for pair in notes.skipped + notes.re_encoded for text in pair)
    assert all(line.isprintable() for line in notes.describe())
    with pytest.raises(SourceError) as caught:
        list(Sources([os.fsdecode(folder + b"/" + name[:236] + b".bin")]))
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    ("specs", "name"),
    [
        (["a/tinyshakespeare/input.txt.gz"], "tinyshakespeare"),
        (["My Novels (2nd)"], "my-novels-2nd"),
        (["novels.tar.gz"], "novels"),
        (["corpus/*.txt"], "here"),
        (["wiki/data/**/*.txt"], "wiki"),
        (["one.txt", "two.txt", "three.txt"], "one-and-2-more"),
        (["Ìwé.txt"], "ìwé"),
        (["x" * 200 + ".txt"], "x" * 40),
    ],
)
def test_a_run_folder_can_be_named_after_the_sources(
    specs: list[str], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    for spec in specs:
        path = Path(spec.replace("**/", "").replace("*", "f"))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"text")
    assert Sources(specs).name == name


# --- Limits and changes ---


def test_max_bytes_reads_the_same_part_of_the_files_wherever_they_lie(folder_of: Write, tmp_path: Path) -> None:
    folder = folder_of({f"{number:03}.txt": b"x" * (100 + number) for number in range(60)})
    sources = Sources([str(folder)], max_bytes=2000)
    chosen = [Path(document.name).name for document in sources]
    sizes = [int(name[:3]) + 100 for name in chosen]
    assert 1850 < sum(sizes) <= 2000
    assert chosen == sorted(chosen)
    assert (sources.notes.files_found, sources.notes.files_chosen) == (60, len(chosen))
    moved = shutil.copytree(folder, tmp_path / "elsewhere")
    assert [Path(document.name).name for document in Sources([str(moved)], max_bytes=2000)] == chosen


def test_max_bytes_keeps_one_file_at_least_and_all_when_they_fit(folder_of: Write) -> None:
    folder = folder_of({"a.txt": b"x" * 50, "b.txt": b"y" * 40, "c.txt": b""})
    assert [document.text for document in Sources([str(folder)], max_bytes=10)] == ["y" * 40]
    assert len(list(Sources([str(folder)], max_bytes=90))) == 2


@pytest.mark.parametrize("change", ["longer", "gone", "same length"])
def test_a_file_that_changes_between_passes_is_an_error(change: str, folder_of: Write) -> None:
    path = folder_of({"a.txt": b"text", "b.txt": b"text"}) / "b.txt"
    sources = Sources([str(path.parent)])
    list(sources)
    if change == "gone":
        path.unlink()
    else:
        path.write_bytes(b"text!" if change == "longer" else b"TEXT")
        os.utime(path, ns=(1, 1))
    with pytest.raises(SourceError, match=r"b\.txt changed since reading began"):
        list(sources)


def test_a_long_file_is_looked_through_once_and_not_on_later_passes(
    folder_of: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    from atinuke.data import reading

    judged: list[str] = []
    original = reading.judge
    monkeypatch.setattr(reading, "judge", lambda pieces: (judged.append("once"), original(pieces))[1])
    monkeypatch.setattr(reading, "WHOLE_BYTES", 10)
    sources = Sources([str(folder_of({"a.txt": b"a long text, it seems"}))])
    assert list(sources) == list(sources)
    assert judged == ["once"]


def test_reading_sources_needs_no_torch() -> None:
    code = "import sys, atinuke.data.sources, atinuke.data.split, atinuke.data.corpus; print('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout.strip() == b"False"


def test_no_document_of_a_jsonl_file_is_lost_when_lines_straddle_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atinuke.data.reading.WHOLE_BYTES", 10)
    monkeypatch.setattr("atinuke.data.archives.PIECE_BYTES", 7)
    texts = [f"text {number} é" * (number + 1) for number in range(20)]
    path = tmp_path / "x.jsonl"
    path.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    assert [document.text for document in Sources([str(path)])] == texts
