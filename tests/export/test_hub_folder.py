"""hf:NAME_OR_DIR: what is taken as it is, what is fetched, and what is said when that fails."""

import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from atinuke.errors import ConfigError, MissingExtraError
from atinuke.export.hub_folder import hub_folder


class Hub:
    """Stands in for huggingface_hub: remembers what was asked."""

    def __init__(self, answer: Path | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def snapshot_download(self, name: str, **options: Any) -> str:
        self.asked.append((name, options))
        if isinstance(self.answer, Exception):
            raise self.answer
        return str(self.answer)


def install(monkeypatch: pytest.MonkeyPatch, hub: Hub) -> None:
    module = ModuleType("huggingface_hub")
    module.snapshot_download = hub.snapshot_download  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "huggingface_hub", module)


@pytest.mark.parametrize("ahead", ["", "hf:"])
def test_a_folder_that_exists_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ahead: str) -> None:
    hub = Hub(RuntimeError("nobody may ask"))
    install(monkeypatch, hub)
    assert hub_folder(f"{ahead}{tmp_path}") == tmp_path
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert hub_folder(f"{ahead}owner/name") == Path("owner/name")
    assert not hub.asked


@pytest.mark.parametrize("name", ["bert-base-uncased", "owner/a.name_2"])
def test_a_name_is_fetched_without_pickles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    hub = Hub(tmp_path)
    install(monkeypatch, hub)
    assert hub_folder(f"hf:{name}") == tmp_path
    (asked, options) = hub.asked[0]
    assert asked == name
    assert not any("bin" in pattern or pattern == "*" for pattern in options["allow_patterns"])


def test_without_a_connection_a_folder_is_asked_for_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, Hub(OSError("no route to host\nCheck your connection.")))
    with pytest.raises(ConfigError, match=r"hf:a/b could not be fetched \(no route to host Check your connection\)\."):
        hub_folder("hf:a/b")
    with pytest.raises(ConfigError, match="give the folder") as caught:
        hub_folder("hf:a/b")
    assert "\n" not in str(caught.value)


def test_without_the_library_its_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(MissingExtraError, match=r"atinuke\[hub\]"):
        hub_folder("hf:bert-base-uncased")


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("", "an empty name names no network"),
        ("hf:", "names no network"),
        ("hf:a\0b", "names no network"),
        ("no/such/folder", "does not exist; expected a folder, or hf:NAME"),
        ("hf:no/such/folder", "no name on the hub"),
        ("hf:../elsewhere", "no name on the hub"),
        ("hf:ö", "no name on the hub"),
        ("hf:" + "x" * 5000 + "/a/b", "no name on the hub"),
    ],
)
def test_what_is_neither_folder_nor_name_is_refused(spec: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        hub_folder(spec)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    with pytest.raises(ConfigError, match="is a file; expected the folder"):
        hub_folder(tmp_path / "model.safetensors")
