"""HTML that text cannot break out of: whatever is not `Html` is escaped on its way in."""

import html
import json
import re
from collections.abc import Mapping
from typing import Any

_VOID = {"br", "hr", "input", "link", "meta"}
# Inside <script> only these could end the element, begin a comment, or (in old engines) end a line.
_UNSAFE_IN_SCRIPT = {"<": "\\u003c", ">": "\\u003e", "&": "\\u0026", "\u2028": "\\u2028", "\u2029": "\\u2029"}


class Html(str):
    """Text that is markup already; made by `tag`, `join` and `fill` only."""


def tag(name: str, /, *children: "str | Html | None", **attributes: "str | int | float | None") -> Html:
    """`<name …>children</name>`. `class_` and `for_` lose their underscore, `aria_label` becomes aria-label.

    An attribute or child that is None is left out.
    """
    written = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(writable(str(value)))}"'
        for key, value in attributes.items()
        if value is not None
    )
    if name in _VOID:
        return Html(f"<{name}{written}>")
    return Html(f"<{name}{written}>{join(*children)}</{name}>")


def join(*children: str | Html | None) -> Html:
    """The children one after the other, escaped where they are plain text."""
    parts = (child if isinstance(child, Html) else html.escape(writable(child)) for child in children if child)
    return Html("".join(parts))


def json_block(tree: Any) -> Html:
    """`tree` as JSON that is safe between `<script type="application/json">` and `</script>`."""
    text = json.dumps(tree, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return Html(writable("".join(_UNSAFE_IN_SCRIPT.get(sign, sign) for sign in text)))


def fill(template: str, parts: Mapping[str, Html]) -> Html:
    """The template with each `{{name}}` replaced, once: what is put in is not looked at again."""
    return Html(re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template))


def writable(text: str) -> str:
    """`text` with what UTF-8 or HTML cannot hold (lone surrogates, control characters) as U+FFFD."""
    return re.sub("[\ud800-\udfff\x00-\x08\x0b\x0c\x0e-\x1f\x7f]", "\ufffd", text)
