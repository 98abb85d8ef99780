"""Where several runs go: a new folder, an empty one, or their own."""

from pathlib import Path

import pytest

from atinuke.errors import ConfigError, RunFolderError
from atinuke.series.folder import find_folder


def same(settings: Path) -> list[str]:
    return []


def other(settings: Path) -> list[str]:
    return ["seeds is 0 there and 1 here"]


def unreadable(settings: Path) -> list[str]:
    raise ConfigError("not valid JSON.")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_a_new_folder_an_empty_one_and_their_own_are_taken() -> None:
    for _ in range(2):
        assert find_folder(Path("out"), "x", "a ladder", other) == Path("out")
        Path("out").mkdir(exist_ok=True)
    Path("out/settings.json").touch()
    assert find_folder(Path("out"), "x", "a ladder", same) == Path("out")


@pytest.mark.parametrize(
    ("content", "differing", "said"),
    [
        ("diary.txt", same, "exists and holds something else than a ladder; choose another name or empty it"),
        ("settings.json", other, "holds another ladder: seeds is 0 there and 1 here"),
        ("settings.json", unreadable, r"holds a ladder whose settings.json cannot be read \(not valid JSON\)"),
    ],
)
def test_a_folder_of_something_else_is_refused(content: str, differing: object, said: str) -> None:
    Path("out").mkdir()
    Path("out", content).touch()
    with pytest.raises(RunFolderError, match=f"--out out {said}"):
        find_folder(Path("out"), "x", "a ladder", differing)  # type: ignore[arg-type]


def test_a_file_is_refused() -> None:
    Path("out").touch()
    with pytest.raises(RunFolderError, match="--out out is a file; expected a folder"):
        find_folder(Path("out"), "x", "a ladder", same)


def test_without_a_name_the_first_that_is_free_is_taken() -> None:
    Path("runs/x").mkdir(parents=True)
    Path("runs/x/settings.json").touch()
    Path("runs/x-2").touch()
    assert find_folder(None, "x", "a ladder", other) == Path("runs/x-3")
    assert find_folder(None, "x", "a ladder", same) == Path("runs/x")
