"""README and docs: every command that stands there can be typed, every link leads somewhere, every table is current."""

import ast
import importlib.util
import re
import shlex
import sys
import tomllib
import types
from pathlib import Path
from typing import Any

import pytest

import atinuke
from atinuke import errors
from atinuke.cli import app, main

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("examples/**/*.md")])
PAGE_IDS = [page.relative_to(ROOT).as_posix() for page in PAGES]
PAGE_OF = {"scale": "scaling-laws"}
"""Pages with another name than their command."""
COMMANDS = [str(getattr(info.callback, "__name__", "")) for info in app.registered_commands]


def blocks(text: str) -> list[tuple[str, str]]:
    """(language, content) of every fenced block."""
    return re.findall(r"^```(\w*)\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)


def typed_lines(text: str) -> list[list[str]]:
    """The words of every command line in the page's blocks of shell, without prompt, comment and redirection."""
    found = []
    for language, content in blocks(text):
        lines = content.splitlines()
        if language in ("sh", "console", "powershell"):
            for line in lines:
                # a backslash is part of a path in one shell and an escape in the others
                line = line.removeprefix("$ ").replace("\\", "/" if language == "powershell" else "\\")
                words = shlex.split(line, comments=True)
                found.append(words[: words.index("<")] if "<" in words else words)
        elif language == "toml" and lines[0].startswith("# atinuke"):
            found.append(shlex.split(lines[0][1:]))
    return [words for words in found if words]


def settings_files(text: str) -> dict[str, str]:
    """Blocks of TOML by the name that their first line gives them."""
    named = {}
    for language, content in blocks(text):
        if language == "toml" and (name := re.match(r"# atinuke .*--config (\S+)", content)):
            named[name[1]] = content
    return named


@pytest.fixture
def stages(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Stand-ins for the stages, noting the settings they were called with."""
    calls: list[Any] = []

    def run(cfg: Any, *others: object, already_s: float | None = None) -> Any:
        calls.append(cfg)
        return Path("runs/x")

    for name, content in {
        "atinuke.train.run": {"run": run, "describe": str},
        "atinuke.machine": {"process_started_s": float},
        "atinuke.generate.run": {"run": run},
        "atinuke.compare.run": {"run": run},
        "atinuke.scale.run": dict.fromkeys(("run", "show_plan"), lambda cfg, out, already_s: run(cfg)),
        "atinuke.plan.run": {"run": run},
        "atinuke.evaluate.run": {"run": lambda cfg: [run(cfg)][1:], "table": str},
        "atinuke.finetune.run": {"run": run, "runs_of": lambda cfg: [cfg]},
        "atinuke.doctor": {"run": list, "print_findings": print},
    }.items():
        monkeypatch.setitem(sys.modules, name, types.SimpleNamespace(**content))
    return calls


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
class TestEveryPage:
    def test_commands_can_be_typed(
        self, page: Path, stages: list[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
    ) -> None:  # fmt: skip
        text = page.read_text(encoding="utf-8")
        for name, content in settings_files(text).items():
            (tmp_path / name).write_text(content, encoding="utf-8")
        monkeypatch.chdir(tmp_path)
        for words in typed_lines(text):
            if Path(words[0]).name == "atinuke":
                assert main(words[1:]) == 0, f"{shlex.join(words)}: {capsys.readouterr().err}"

    def test_make_has_every_target_that_is_named(self, page: Path) -> None:
        targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
        text = page.read_text(encoding="utf-8")
        named = {words[1] for words in typed_lines(text) if words[0] == "make"} | set(
            re.findall(r"`make ([\w-]+)`", text)
        )
        assert named <= targets

    def test_commands_in_a_sentence_exist(self, page: Path) -> None:
        found = re.findall(r"`atinuke ([\w-]+)", page.read_text(encoding="utf-8"))
        assert {word for word in found if not word.startswith("--")} <= {*COMMANDS, "STAGE"}

    def test_links_lead_somewhere(self, page: Path) -> None:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)\s]+)\)", text):
            if target.startswith(("http:", "https:", "mailto:")):
                continue
            path, _, anchor = target.partition("#")
            file = (page.parent / path).resolve() if path else page
            assert file.exists(), f"{target} does not exist"
            if anchor:
                assert anchor in anchors(file), f"{target}: no such heading"

    def test_what_is_quoted_from_the_program_is_current(self, page: Path) -> None:
        text = page.read_text(encoding="utf-8")
        assert tables().updated(text) == text, "run: make docs"


def anchors(page: Path) -> set[str]:
    """The anchors that a page's headings get where Markdown is shown."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def tables() -> Any:
    """docs/write_tables.py as a module."""
    spec = importlib.util.spec_from_file_location("write_tables", ROOT / "docs" / "write_tables.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_search_for_commands_finds_them() -> None:
    page = (
        "```console\n$ atinuke train 'a b' # why\n$ atinuke generate r - < x.txt\n```\n"
        "```toml\n# atinuke train --config c.toml\n```\n"
    )
    assert typed_lines(page) == [
        ["atinuke", "train", "a b"],
        ["atinuke", "generate", "r", "-"],
        ["atinuke", "train", "--config", "c.toml"],
    ]
    assert settings_files(page) == {"c.toml": "# atinuke train --config c.toml\n"}
    assert len(typed_lines((ROOT / "README.md").read_text(encoding="utf-8"))) >= 8


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_page_with_its_help(command: str) -> None:
    page = (ROOT / "docs" / f"{PAGE_OF.get(command, command)}.md").read_text(encoding="utf-8")
    assert page.startswith(f"# atinuke {command}\n")
    assert f"<!-- begin: atinuke {command} --help -->" in page


def test_the_readme_names_every_room() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path in (ROOT / "src" / "atinuke").iterdir():
        if not path.name.startswith(("_", ".")) and path.name != "py.typed":
            assert path.name in readme, f"{path.name} has no phrase in README.md"


def test_the_docs_explain_every_error_that_a_user_can_meet() -> None:
    text = "".join(page.read_text(encoding="utf-8") for page in PAGES)
    kinds = [
        name for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, errors.AtinukeError)
    ]
    assert [name for name in kinds if name != "AtinukeError" and f"`{name}`" not in text] == []


def test_the_layers_in_the_docs_are_those_that_are_checked() -> None:
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    layers = next(contract["layers"] for contract in contracts if contract["type"] == "layers")
    page = (ROOT / "docs" / "decisions" / "0001-imports-point-down.md").read_text(encoding="utf-8")
    assert blocks(page)[0][1].splitlines() == [layer.replace("atinuke.", "") for layer in layers]


@pytest.mark.parametrize("page", PAGES, ids=PAGE_IDS)
def test_python_in_the_pages_uses_what_the_library_has(page: Path) -> None:
    for language, content in blocks(page.read_text(encoding="utf-8")):
        if language == "python":
            tree = ast.parse(content)
            called = {id(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
            for node in ast.walk(tree):
                if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "atinuke":
                    found = getattr(atinuke, node.attr)
                    assert callable(found) or id(node) not in called, f"atinuke.{node.attr} cannot be called"
