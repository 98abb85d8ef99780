"""Settings: typed, frozen, strict, and complete before anything runs.

Precedence, lowest first: defaults → TOML or JSON file → flags → `--set section.key=value`. Every value remembers
where it was set, so that an error can say so. Unknown keys are refused with the nearest valid name. Why it is as
strict as this: docs/decisions/0003-settings.md.
"""

import difflib
import json
import os
import reprlib
import tomllib
import types
import typing
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo

from atinuke.errors import ConfigError

S = TypeVar("S", bound="Settings")
Origins = dict[tuple[str, ...], str]

LARGEST_FILE_BYTES = 1_000_000
DEEPEST_NESTING = 8  # the deepest setting has three parts; more is a file of something else
MOST_FAULTS = 5
LONGEST_VALUE = 80

SHARED_NAMES = ("--set", "settings=")
"""Ways to give a setting that serve for many: a fault names the setting then."""

# What pydantic's kinds of fault ask for, in our words; other kinds keep pydantic's sentence.
EXPECTED = {
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_parsing_size": "a whole number of a usual size",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "string_type": "text",
    "string_unicode": "text in UTF-8",
    "path_type": "a path",
    "tuple_type": 'a list, such as ["one", "two"]',
    "model_type": "a section with settings of its own",
    "model_attributes_type": "a section with settings of its own",
}


class Settings(BaseModel):
    """Base of every settings class: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _mean_what_is_written(cls, value: object, info: ValidationInfo) -> object:
        """Refuses what would be bent into shape (true as 1, "" as the current folder) and what no file can hold."""
        field = cls.model_fields.get(info.field_name or "")
        kinds = set(_plain_types(field.annotation)) if field else set()
        if isinstance(value, bool) and bool not in kinds and kinds & {int, float}:
            raise ValueError("a number")
        if value == "" and Path in kinds:
            raise ValueError("a path; the folder you are in is '.'")
        for text in value if isinstance(value, list | tuple) else (value,):
            if isinstance(text, str) and ("\0" in text or any("\ud800" <= sign <= "\udfff" for sign in text)):
                raise ValueError("text in UTF-8 without zero bytes")
        return value

    def to_json(self) -> str:
        """The settings as JSON that `read_settings_file` takes back."""
        return json.dumps(self.model_dump(mode="json"), indent=2, ensure_ascii=False) + "\n"


def dotted_names(cls: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """Every setting and section of `cls` as --set takes it: seed, optim, optim.lr …"""
    for name, field in cls.model_fields.items():
        yield prefix + name
        for inner in _plain_types(field.annotation):
            if issubclass(inner, BaseModel):
                yield from dotted_names(inner, f"{prefix}{name}.")


def find_field(cls: type[BaseModel], dotted: str) -> FieldInfo:
    """The field behind a dotted name, with its description, type and default. KeyError where there is none."""
    section, _, rest = dotted.partition(".")
    field = cls.model_fields[section]
    if not rest:
        return field
    inner = next((kind for kind in _plain_types(field.annotation) if issubclass(kind, BaseModel)), None)
    if inner is None:
        raise KeyError(dotted)
    return find_field(inner, rest)


def flat_settings(settings: BaseModel) -> dict[str, Any]:
    """Every value by its dotted name, as JSON has it."""
    flat: dict[str, Any] = {}
    todo: list[tuple[str, Any]] = [("", settings.model_dump(mode="json"))]
    while todo:
        prefix, value = todo.pop()
        if isinstance(value, dict):
            todo += [(f"{prefix}.{key}" if prefix else key, inner) for key, inner in reversed(value.items())]
        else:
            flat[prefix] = value
    return flat


def nearest(word: str, choices: Iterable[str]) -> str:
    """ " Did you mean …?" for the closest choice, or an empty string when nothing is close."""
    found = difflib.get_close_matches(word[:200], list(choices), n=1, cutoff=0.5)
    return f" Did you mean {found[0]}?" if found else ""


def printable(text: str) -> str:
    """`text` on one line: line breaks, control characters and lone surrogates as backslash escapes."""
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def one_line(error: BaseException) -> str:
    """The error's text on one line, without a full stop at the end."""
    return printable(" ".join(str(error).split())).rstrip(".")


def read_settings_file(path: Path) -> dict[str, Any]:
    """The tree in a TOML file, or in the `config.json` of a run."""
    is_json = path.suffix.lower() == ".json"
    try:
        text = _read_text(path)
        tree = _read_json(text) if is_json else tomllib.loads(text)
    except OSError as error:
        inside = f" Is {path / 'config.json'} meant?" if os.path.isfile(path / "config.json") else ""
        _refuse(f"--config {path} cannot be read: {error.strerror}.{inside}", error)
    # ValueError covers both decoders, broken UTF-8 and numbers of thousands of digits.
    except (ValueError, RecursionError) as error:
        _refuse(f"--config {path} is not valid {'JSON' if is_json else 'TOML'}: {one_line(error)}.", error)
    if not isinstance(tree, dict):
        _refuse(f"--config {path} holds a {type(tree).__name__}; expected a table of settings.")
    return tree


def build_settings(
    cls: type[S],
    *,
    file: Path | None = None,
    flags: Mapping[str, Any] | None = None,
    flag_names: Mapping[str, str] | None = None,
    assignments: Iterable[str] = (),
    one_of: Sequence[str] = (),
) -> S:
    """The validated settings from all layers.

    `flags` maps dotted keys to values (None: not given), `flag_names` dotted keys to what the user typed for them;
    `assignments` are the texts after `--set`. `one_of` lists keys of which only one may be set: a higher layer that
    sets one clears what lower layers said of the others.
    Raises ConfigError naming the key, what came, where it was set, and the fix.
    """
    tree: dict[str, Any] = {}
    origins: Origins = {}
    if file is not None:
        _merge(tree, read_settings_file(file), f"{file}", origins)
    given = {key: value for key, value in (flags or {}).items() if value is not None}
    typed = dict(_read_assignment(text) for text in assignments)
    names = {key: _flag(key) for key in given} | dict(flag_names or {})
    for layer, name in ((given, names), (typed, dict.fromkeys(typed, "--set"))):
        if any(key in one_of and value is not None for key, value in layer.items()):
            _clear(tree, set(one_of) - set(layer))
        for key, value in layer.items():
            _assign(tree, key, value, name[key], origins)
    return validate(cls, tree, origins)


def validate(cls: type[S], tree: Mapping[str, Any], origins: Origins | None = None) -> S:
    """The settings in `tree`, or a ConfigError with one clause for each thing that is wrong."""
    try:
        return cls.model_validate(tree)
    except ValidationError as error:
        found = error.errors(include_url=False)
        faults = [_describe(cls, fault, tree, origins or {}) for fault in found[:MOST_FAULTS]]
        more = f" And {len(found) - MOST_FAULTS:,} more." if len(found) > MOST_FAULTS else ""
        _refuse(" ".join(faults) + more, error)


def _refuse(message: str, cause: BaseException | None = None) -> NoReturn:
    raise ConfigError(printable(message)) from cause


def _flag(key: str) -> str:
    return f"--{key.split('.')[-1].replace('_', '-')}"


def _read_text(path: Path) -> str:
    # Bounded, so that a device or a data file given by mistake is not read to its end.
    with path.open("rb") as stream:
        data = stream.read(LARGEST_FILE_BYTES + 1)
    if len(data) > LARGEST_FILE_BYTES:
        raise ValueError(f"it is larger than {LARGEST_FILE_BYTES:,} bytes, so it holds something else")
    return data.decode("utf-8-sig")  # some editors put a byte order mark first


def _read_json(text: str) -> Any:
    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        table = dict(pairs)
        if len(table) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ValueError(f"the key {twice!r} is there twice")
        return table

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not a number")

    return json.loads(text, object_pairs_hook=unique, parse_constant=refuse)


def _read_assignment(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    key = key.strip()
    if not equals or not all(key.split(".")):
        _refuse(f"--set {_shown(text)} is not an assignment; expected --set section.key=value.")
    if not value.strip():
        _refuse(f"--set {_shown(text)} has no value; expected --set {key}=value (null: as if it were not set).")
    return key, _parse(value.strip())


def _parse(value: str) -> Any:
    """A --set value: TOML where it parses (3e-4, true, [1, 2], "text"), otherwise the text itself."""
    if value in ("null", "none"):
        return None
    try:
        tree = tomllib.loads(f"value = {value}")
    # ValueError: not TOML, or a number of thousands of digits. RecursionError: brackets without end.
    except (ValueError, RecursionError):
        return value
    return tree["value"] if len(tree) == 1 else value  # a line break in it could start a second key


def _merge(
    tree: dict[str, Any], extra: Mapping[str, Any], origin: str, origins: Origins, at: tuple[str, ...] = ()
) -> None:
    if len(at) > DEEPEST_NESTING:
        _refuse(f"{'.'.join(at)} (from {origin}) nests deeper than any setting does.")
    for key, value in extra.items():
        here = (*at, str(key))
        if isinstance(value, Mapping):
            _merge(tree.setdefault(key, {}), value, origin, origins, here)
        else:
            tree[key] = value
        origins[here] = origin


def _assign(tree: dict[str, Any], dotted: str, value: Any, origin: str, origins: Origins) -> None:
    *parents, last = dotted.split(".")
    if len(parents) > DEEPEST_NESTING:
        _refuse(f"{_shortened(dotted)} (from {origin}) nests deeper than any setting does.")
    node = tree
    for depth, part in enumerate(parents):
        child = node.setdefault(part, {})
        if not isinstance(child, dict):
            section = ".".join(parents[: depth + 1])
            _refuse(f"{dotted} (from {origin}): {section} is a plain value, not a section.")
        node = child
    node[last] = value
    origins[(*parents, last)] = origin


def _clear(tree: dict[str, Any], keys: Iterable[str]) -> None:
    for key in keys:
        *parents, last = key.split(".")
        node: Any = tree
        for part in parents:
            node = node.get(part) if isinstance(node, dict) else None
        if isinstance(node, dict):
            node.pop(last, None)


def _describe(cls: type[BaseModel], fault: Any, tree: Mapping[str, Any], origins: Origins) -> str:
    """One sentence or two: the key, what came, where it was set, what was expected, the nearest valid name."""
    location = tuple(str(part) for part in fault["loc"])
    key = _shortened(".".join(location)) or "the settings"
    origin = _origin(location, origins)
    came_from = f" (from {origin})" if origin else ""
    if fault["type"] == "extra_forbidden":
        return f"{key}{came_from} is not a setting.{_suggest(cls, location)}"
    if fault["type"] == "missing":
        return f"{key} is missing; it has no default."
    came = _value_at(tree, fault)
    said = fault["msg"].removeprefix("Value error, ").removeprefix("Input should be ").rstrip(".")
    if fault["type"] == "value_error" and isinstance(came, Mapping | Settings):
        return f"{key}{came_from}: {said}."  # a check across fields tells its own story
    bounds = {name: f"{bound:,.15g}" for name, bound in fault.get("ctx", {}).items() if isinstance(bound, int | float)}
    expected = EXPECTED[fault["type"]].format_map(bounds) if fault["type"] in EXPECTED else said
    suggestion = ""
    if fault["type"] == "literal_error" and isinstance(came, str):
        suggestion = nearest(came, [part.strip(" '") for part in said.replace(" or ", ",").split(",")])
    # A flag or an argument is known by its own name; a key from elsewhere by the place where it stands.
    is_own_name = origin is not None and (origin.startswith("--") or origin.endswith("="))
    subject = origin if is_own_name and origin not in SHARED_NAMES else f"{key}{came_from}"
    return f"{subject} is {_shown(came)}; expected {expected}.{suggestion}"


def _value_at(tree: Mapping[str, Any], fault: Any) -> Any:
    """What was written at the fault's place, rather than what a validator had made of it by then."""
    node: Any = tree
    for part in fault["loc"]:
        if not (isinstance(node, Mapping) and part in node):
            return fault.get("input")
        node = node[part]
    return node


def _origin(location: tuple[str, ...], origins: Origins) -> str | None:
    """Where the value there was set: it, what it lies in, or something within it."""
    for length in range(len(location), 0, -1):
        if location[:length] in origins:
            return origins[location[:length]]
    return next((origins[key] for key in origins if location and key[: len(location)] == location), None)


ELSEWHERE = {
    "learning_rate": "lr",
    "batch_size": "batch_seqs",
    "d_model": "model_dim",
    "n_embd": "model_dim",
    "hidden_size": "model_dim",
    "d_ff": "hidden_dim",
    "intermediate_size": "hidden_dim",
    "n_head": "head_count",
    "n_heads": "head_count",
    "num_heads": "head_count",
    "n_layer": "layer_count",
    "n_layers": "layer_count",
    "num_layers": "layer_count",
    "block_size": "context",
    "seq_len": "context",
    "max_steps": "steps",
}
"""What other projects call it; no spelling is near enough to guess these."""


def _suggest(cls: type[BaseModel], location: tuple[str, ...]) -> str:
    """The nearest setting: a like name anywhere, sooner in the same section; else a like path."""
    known = list(dotted_names(cls))
    last = ELSEWHERE.get(location[-1], location[-1])[:200]
    key = ".".join((*location[:-1], last))[:200]

    def likeness(name: str) -> float:
        section, _, own = name.rpartition(".")
        is_beside = section == ".".join(location[:-1])
        return difflib.SequenceMatcher(None, last, own).ratio() + 0.05 * is_beside

    best = max(known, key=likeness)
    if likeness(best) >= 0.6:
        return f" Did you mean {best}?"
    return nearest(key, [name for name in known if name.startswith(".".join(location[:-1]) + ".")]) or nearest(
        key, known
    )


def _shown(value: object) -> str:
    """What came, as Python writes it, short whatever its size or depth."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = LONGEST_VALUE
    try:
        return _shortened(short.repr(value))
    except ValueError:  # Python writes no whole number of more than 4,300 digits
        return "a number of thousands of digits"


def _shortened(text: str) -> str:
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _plain_types(annotation: Any) -> Iterator[type]:
    """The classes that a union or an annotated type is made of."""
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        yield annotation
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType, typing.Annotated):
        for part in typing.get_args(annotation):
            yield from _plain_types(part)
