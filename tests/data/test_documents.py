import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.data.documents import MAX_NAMED, SourceNotes, shown


@given(st.text(st.characters()))
def test_any_name_is_shown_on_one_bounded_line_without_control_characters(name: str) -> None:
    line = shown(name)
    assert line.isprintable()
    assert len(line) <= 160
    line.encode()


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("a\nb", "a\\nb"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202etxt.exe", "\\u202etxt.exe"),
        ("caf\udce9", "caf\\udce9"),
        ("[bold]x[/bold] <b>", "[bold]x[/bold] <b>"),
        ("Ọ̀rọ̀ 猫.txt", "Ọ̀rọ̀ 猫.txt"),
    ],
)
def test_names_keep_what_can_be_read(name: str, expected: str) -> None:
    assert shown(name) == expected


def test_notes_count_everything_and_name_the_first() -> None:
    notes = SourceNotes(files_found=9, files_chosen=4, files=3, documents=5, bytes=1234)
    for number in range(MAX_NAMED + 50):
        notes.skip(f"f{number}", "empty")
        notes.skip_line("x.jsonl", number, "not JSON")
        notes.re_encode(f"g{number}", "cp1252")
    assert (notes.skipped_files, notes.skipped_lines, notes.re_encoded_count) == (250, 250, 250)
    assert len(notes.named_files) == len(notes.named_lines) == len(notes.re_encoded) == MAX_NAMED
    assert notes.skipped == notes.named_files + notes.named_lines
    lines = notes.describe()
    assert lines[0] == "Read 5 documents from 3 files: 1,234 bytes of text."
    assert "4 of 9 files" in lines[1]
    assert "250 files were not UTF-8: g0 (cp1252), g1 (cp1252), g2 (cp1252), …." in lines[2]
    assert lines[3].startswith("Skipped 250 files: f0 (empty), ")
    assert lines[4].startswith("Skipped 250 lines: x.jsonl:0 (not JSON), ")
