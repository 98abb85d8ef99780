"""What holds for every file of the package, read as text and as syntax; imports themselves are import-linter's."""

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "atinuke"
MODULES = sorted(PACKAGE.rglob("*.py"))
TORCH_ROOMS = ("models", "train", "generate", "evaluate", "machine.py", "doctor.py", "weights.py")
TORCH_ROOMS += ("library.py", "testing.py", "tasks", "finetune", "export")
"""Where torch may be imported; beside them only data/batches/. A stage's config.py stays free of it."""

UNSAFE_MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml"}
UNSAFE_BUILTINS = {"eval", "exec", "compile", "__import__"}
UNSAFE_ATTRIBUTES = {("torch", "load"), ("os", "system"), ("os", "popen"), ("np", "fromregex")}


def name(module: Path) -> str:
    return module.relative_to(PACKAGE).as_posix()


def imports(tree: ast.AST) -> Iterator[str]:
    """Full names of all modules that are imported anywhere in the tree, in functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def unsafe_parts(tree: ast.AST) -> Iterator[str]:
    """What could run code that a file brings along."""
    yield from (found for found in imports(tree) if found.partition(".")[0] in UNSAFE_MODULES)
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module == "torch":
            yield from ("torch.load" for alias in node.names if alias.name == "load")
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in UNSAFE_BUILTINS:
            yield f"{node.func.id}()"
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if (node.value.id, node.attr) in UNSAFE_ATTRIBUTES:
                yield f"{node.value.id}.{node.attr}"
        if isinstance(node, ast.keyword) and node.arg in ("allow_pickle", "shell"):
            if not (isinstance(node.value, ast.Constant) and node.value.value is False):
                yield f"{node.arg}={ast.unparse(node.value)}"


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("import pickle", ["pickle"]),
        ("def f():\n    from joblib.x import y", ["joblib.x"]),
        ("torch.load('x')", ["torch.load"]),
        ("from torch import load as l", ["torch.load"]),
        ("eval('1')", ["eval()"]),
        ("exec('1')", ["exec()"]),
        ("yaml.load(x)", []),
        ("import yaml", ["yaml"]),
        ("np.load(x, allow_pickle=True)", ["allow_pickle=True"]),
        ("np.load(x, allow_pickle=flag)", ["allow_pickle=flag"]),
        ("np.load(x, allow_pickle=False); model.eval(); re.compile('x'); torch.compile(m)", []),
        ("subprocess.run(x, shell=True)", ["shell=True"]),
    ],
)
def test_the_search_for_unsafe_code_finds_it(code: str, found: list[str]) -> None:
    assert list(unsafe_parts(ast.parse(code))) == found


@pytest.mark.parametrize("module", MODULES, ids=name)
class TestEveryModule:
    def test_runs_nothing_that_a_file_brings_along(self, module: Path) -> None:
        assert list(unsafe_parts(ast.parse(module.read_bytes()))) == []

    def test_says_first_what_it_is_for(self, module: Path) -> None:
        docstring = ast.get_docstring(ast.parse(module.read_bytes()))
        assert docstring and docstring.splitlines()[0].rstrip()[-1] in ".:?", f"{name(module)} needs a docstring"

    def test_imports_torch_only_in_the_rooms_that_compute(self, module: Path) -> None:
        uses_torch = any(found.partition(".")[0] == "torch" for found in imports(ast.parse(module.read_bytes())))
        may = name(module).startswith(TORCH_ROOMS) or name(module).startswith("data/batches/")
        assert may or not uses_torch
        assert not (uses_torch and module.name == "config.py")

    def test_needs_only_what_is_installed_with_it(self, module: Path) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras = [line for lines in project["optional-dependencies"].values() for line in lines]
        core, known = installed_names(project["dependencies"]), installed_names([*project["dependencies"], *extras])
        tree = ast.parse(module.read_bytes())
        outside = {found.partition(".")[0] for found in imports(tree)} - set(sys.stdlib_module_names) - {"atinuke"}
        assert outside <= known, "not in pyproject.toml"
        at_the_top = {found.partition(".")[0] for node in tree.body for found in imports_of(node)}
        assert outside & at_the_top <= core, "an optional library is imported where it is used, not at the top"

    def test_names_no_place_on_somebodys_machine(self, module: Path) -> None:
        assert machine_paths(module) == []


def imports_of(node: ast.stmt) -> Iterator[str]:
    """The modules that a statement at the top of a file imports when the file is."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield from imports(node)


def installed_names(requirements: list[str]) -> set[str]:
    """Import names of requirement lines: "charset-normalizer>=3.3" → charset_normalizer."""
    return {IMPORTED_AS.get(name, name) for name in distribution_names(requirements)}


def distribution_names(requirements: list[str]) -> set[str]:
    """Names of requirement lines: "charset-normalizer>=3.3" → charset_normalizer."""
    return {re.split(r"[<>=!~\[; ]", line)[0].replace("-", "_") for line in requirements}


IMPORTED_AS = {"pillow": "PIL", "scikit_learn": "sklearn"}


def machine_paths(file: Path) -> list[str]:
    text = file.read_text(encoding="utf-8")
    return re.findall(r"(?<![\w.~])/(?:work|tmp|root|home/\w+|Users/\w+)(?![\w-])\S*", text)


OTHER_FILES = sorted(
    path
    for pattern in (
        "*.md",
        "*.toml",
        "*.txt",
        "*.cff",
        "Makefile",
        ".ci/*",
        "docs/**/*",
        "benchmarks/*",
        "examples/**/*",
    )
    for path in ROOT.glob(pattern)
    if path.is_file() and path.suffix not in (".png", ".pyc")
)


@pytest.mark.parametrize("file", OTHER_FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_files_around_the_package_name_no_place_on_somebodys_machine(file: Path) -> None:
    assert machine_paths(file) == []


def test_constraints_hold_names_and_versions_alone() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    assert lines
    for line in lines:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", line), line
    assert lines == sorted(lines, key=str.lower)


def test_constraints_pin_everything_that_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    pinned = {
        line.partition("==")[0].replace("-", "_").lower()
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    }
    asked = [*project["dependencies"], *(line for lines in project["optional-dependencies"].values() for line in lines)]
    assert {wanted.lower() for wanted in distribution_names(asked)} <= pinned
