"""Brings up to date what the pages in docs/ quote from the program: the help of each command, the table of settings.

    python docs/write_tables.py [--check]

A page marks such a place with two comments, and whatever stands between them is written anew:

    <!-- begin: atinuke train --help -->                 the help, word for word
    <!-- begin: settings of atinuke.train.config:TrainConfig -->    a table of every --set key
    <!-- begin: table of atinuke.plan.tables:cards -->              what that function returns
    <!-- end -->

--check writes nothing and exits with 1 if a page is out of date; the tests do the same.
"""

import contextlib
import importlib
import io
import os
import re
import sys
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from atinuke.cli import main as atinuke
from atinuke.config import dotted_names, find_field

PLACE = re.compile(r"(<!-- begin: (.+?) -->\n).*?(<!-- end -->)", re.DOTALL)


def updated(page: str) -> str:
    """The page with every marked place written anew."""
    return PLACE.sub(lambda place: f"{place[1]}\n{_content(place[2])}\n\n{place[3]}", page)


def _content(what: str) -> str:
    if what.startswith("atinuke "):
        return f"```text\n{_output(what.split()[1:])}\n```"
    module, _, name = what.partition(" of ")[2].partition(":")
    found = getattr(importlib.import_module(module), name)
    return str(found()) if what.startswith("table of ") else settings_table(found)


def _output(arguments: list[str]) -> str:
    os.environ["COLUMNS"] = "80"  # the same page whatever the terminal
    with contextlib.redirect_stdout(io.StringIO()) as shown:
        atinuke(arguments)
    return shown.getvalue().strip("\n")


def settings_table(cls: type[BaseModel]) -> str:
    """Every setting as --set takes it, with what it is without being set, and what it means."""
    rows = ["| setting | values | default | meaning |", "|---|---|---|---|"]
    for key in dotted_names(cls):
        field = find_field(cls, key)
        if not any(issubclass(kind, BaseModel) for kind in _kinds(field.annotation)):
            rows.append(f"| `{key}` | {_values(field)} | {_default(field.default)} | {field.description} |")
    return "\n".join(rows)


def _values(field: Any) -> str:
    choices = [
        choice for part in _parts(field.annotation) for choice in typing.get_args(part) if isinstance(choice, str | int)
    ]
    if choices:
        return ", ".join(f"`{choice}`" for choice in choices)
    names = {int: "whole number", float: "number", bool: "true or false", str: "text", Path: "path", tuple: "list"}
    kinds = [names[kind] for kind in _kinds(field.annotation) if kind in names]
    bounds = [_bound(each) for each in [*field.metadata, *_metadata(field.annotation)]]
    return ", ".join([*kinds, *filter(None, bounds)])


def _bound(rule: Any) -> str:
    words = {"gt": "more than {}", "ge": "{} or more", "lt": "less than {}", "le": "{} or less"}
    return ", ".join(text.format(f"{getattr(rule, name):,}") for name, text in words.items() if hasattr(rule, name))


def _default(value: object) -> str:
    if value is PydanticUndefined:
        return "needed"
    if value in (None, ()):
        return "–"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _parts(annotation: Any) -> Iterator[Any]:
    """The alternatives of a union, with Annotated taken off."""
    if typing.get_origin(annotation) is typing.Annotated:
        yield from _parts(typing.get_args(annotation)[0])
    elif typing.get_origin(annotation) in (typing.Union, type(int | str)):
        for part in typing.get_args(annotation):
            yield from _parts(part)
    else:
        yield annotation


def _metadata(annotation: Any) -> Iterator[Any]:
    for part in typing.get_args(annotation):
        if typing.get_origin(part) is typing.Annotated:
            yield from typing.get_args(part)[1:]


def _kinds(annotation: Any) -> list[type]:
    kinds = (typing.get_origin(part) or part for part in _parts(annotation))
    return [kind for kind in kinds if isinstance(kind, type) and kind is not type(None)]


def main() -> int:
    """Writes all pages, or names those that are out of date."""
    check, stale = "--check" in sys.argv[1:], []
    for path in sorted(Path(__file__).parent.rglob("*.md")):
        page = path.read_text(encoding="utf-8")
        if (new := updated(page)) != page:
            stale.append(path.name)
            if not check:
                path.write_text(new, encoding="utf-8")
    if stale:
        print(f"{'out of date' if check else 'written'}: {', '.join(stale)}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
