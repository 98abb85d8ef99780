"""Settings of several runs: what differs between two of them, and the words that ask for them again."""

import json
from collections.abc import Iterable
from typing import Any

from atinuke.config import Settings, flat_settings


def differences(there: Settings, here: Settings) -> list[str]:
    """ "key is A there and B here" for each setting that differs."""
    before, now = flat_settings(there), flat_settings(here)
    return [
        f"{key} is {as_toml(before.get(key))} there and {as_toml(now.get(key))} here"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]


def assignments_of(settings: Settings, standard: Settings, besides: Iterable[str]) -> list[str]:
    """--set KEY=VALUE for each setting that is not the standard one, and not among those said in another way."""
    usual, said = flat_settings(standard), frozenset(besides)
    words = []
    for key, value in flat_settings(settings).items():
        if key not in said and value != usual.get(key):
            words += ["--set", f"{key}={'null' if value is None else as_toml(value)}"]
    return words


def as_toml(value: Any) -> str:
    """A value as --set takes it, TOML. JSON is that too, unless it writes 😀 as two escapes."""
    return json.dumps(value, ensure_ascii=False)
