"""How a command line is read: flags that take their words from the settings, and refusals of one line.

typer parses. Added to it here: a flag's meaning and default are read from the setting that it sets, when help is
asked for; flags are shown in groups; and what cannot be meant is refused with the nearest thing that can.
"""

import difflib
import importlib
import os
import shlex
import typing
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar

import typer
from typer.core import TyperCommand, TyperGroup

from atinuke.errors import ConfigError

if TYPE_CHECKING:
    from atinuke.config import Settings

# typer carries a click of its own since 2026 and used the installed one before; of the family of errors about a
# command line it exports BadParameter alone, whose parent is the family's head in both.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]


LONGEST_SHOWN = 60

WHAT, HOW_LONG, WHERE, SETTINGS = "What", "How long", "Where and how", "Every other setting"
HOW_MUCH, WHICH_TOKEN, OUTPUT = "How much", "Which token comes next", "Output"
"""Groups of flags, as help shows them."""


def flag(name: str, metavar: str | None, group: str, more: str = "") -> Any:
    """A flag; `more` is what its setting's own description leaves open."""
    return typer.Option(name, metavar=metavar, rich_help_panel=group, help=more, show_default=False)


def parted(typed: str) -> list[str]:
    """Names that commas or spaces part."""
    return typed.replace(",", " ").split()


def refusal(message: str) -> ConfigError:
    """The error with this message on one line, whatever characters were typed."""
    from atinuke.config import printable

    return ConfigError(printable(message))


class Stages(TyperGroup):
    """`atinuke` itself: knows the commands, and the one that was probably meant."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        try:
            return super().parse_args(ctx, args)
        except UsageError as error:
            flag = _typed(str(getattr(error, "option_name", "")))
            owners = [stage for stage in self.commands if flag in _flag_names(self.commands[stage], ctx)]
            hint = f"it belongs after a command, as in atinuke {owners[0]} {flag}" if owners else "see atinuke --help"
            raise refusal(f"{flag} is not a flag of atinuke itself; {hint}.") from None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        name = args[0]
        if name not in self.commands:
            close = difflib.get_close_matches(name[:50].lower(), self.commands, n=1, cutoff=0.5)
            meant = f"Did you mean {close[0]}?" if close else f"There are {', '.join(self.commands)}."
            if os.path.exists(name):
                meant = f"To train on it: atinuke train {shlex.quote(name)}"
            raise refusal(f"{_typed(name)!r} is not a command of atinuke. {meant}")
        return super().resolve_command(ctx, args)


class Stage(TyperCommand):
    """A command whose flags set the settings of its stage."""

    summary: ClassVar[str] = ""
    """What `atinuke --help` says of it."""
    examples: ClassVar[tuple[str, ...]] = ()
    """Lines that could be typed, for its own help."""
    settings: ClassVar[str] = ""
    """Where they are defined, as module:Class; imported when they are needed."""
    keys: ClassVar[Mapping[str, str]] = {}
    """Parameter → dotted setting."""
    free_text: ClassVar[tuple[str, ...]] = ()
    """Parameters that hold text for its own sake, which may be empty and may begin with a dash."""
    greedy: ClassVar[tuple[str, ...]] = ()
    """Flags that take all words up to the next flag: --pairs de.txt en.txt."""

    @classmethod
    def closing(cls) -> str | None:
        """What stands below the flags in its help."""
        # the first line keeps typer from joining the others
        return "\n  ".join(("\b\nExamples:", *cls.examples)) if cls.examples else None

    @classmethod
    def settings_class(cls) -> "type[Settings]":
        """The class behind `settings`."""
        module, _, name = cls.settings.partition(":")
        found: type[Settings] = getattr(importlib.import_module(module), name)
        return found

    @classmethod
    def given(cls, ctx: typer.Context) -> dict[str, Any]:
        """What was typed, as `build_settings` takes it: values by dotted key, and the names that the user knows."""
        values = {key: ctx.params.get(name) for name, key in cls.keys.items()}
        names = {cls.keys[param.name]: _shown_name(param) for param in ctx.command.params if param.name in cls.keys}
        return {
            "flags": {key: value for key, value in values.items() if value not in (None, False, [], ())},
            "flag_names": names,
        }

    # --- refusing -------------------------------------------------------------------------------------------------

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        self._refuse_swallowed_flags(ctx, args)
        args = list(self._one_each(args))
        try:
            _, too_many, order = self.make_parser(ctx).parse_args(args=list(args))
            for param in order:
                if param.param_type_name == "option" and not _repeats(param) and order.count(param) > 1:
                    raise refusal(f"{_shown_name(param)} is given {order.count(param)} times; give it once.")
            if too_many:
                quotes = " Put quotes round a text of several words." if self.free_text else ""
                raise refusal(f"{_typed(too_many[0])!r} is one argument too many; expected {self._usage(ctx)}.{quotes}")
            rest = super().parse_args(ctx, args)
        except UsageError as error:
            raise refusal(self._explain(ctx, error)) from None
        for param in self.params:
            value = ctx.params.get(param.name)
            if param.name not in self.free_text and (value == "" or (isinstance(value, list) and "" in value)):
                raise refusal(f"{_shown_name(param)} is an empty text; give a value or leave it out.")
        return rest

    def _one_each(self, args: Sequence[str]) -> Iterator[str]:
        """--pairs a b as --pairs a --pairs b, which is what typer can read."""
        flag = ""
        for number, word in enumerate(args):
            if word == "--":
                if flag and args[number - 1] == flag:  # typer would take the dashes for its value
                    raise refusal(f"{flag} needs a value, as in {flag} {self._metavar_of(flag)}.")
                yield from args[number:]
                return
            if flag and not (word.startswith("-") and word != "-"):
                yield from (flag, word)
                continue
            if flag and args[number - 1] == flag:
                yield flag  # nothing follows it: typer says so
            flag = word if word in self.greedy else ""
            if not flag:
                yield word
        if flag and args[-1] == flag:
            yield flag

    def _refuse_swallowed_flags(self, ctx: Any, args: Sequence[str]) -> None:
        """--out --seed 1 would write into a folder called --seed."""
        known = _flag_names(self, ctx)
        for flag, value in pairwise(args[: args.index("--")] if "--" in args else args):
            if known.get(flag, False) and value in known:
                raise refusal(
                    f"{flag} needs a value and {value} follows, a flag itself; "
                    f"if it is the value, write {flag}={value}."
                )

    def _explain(self, ctx: Any, error: Exception) -> str:
        """One of typer's refusals in our words."""
        kind, known = type(error).__name__, _flag_names(self, ctx)
        flag = _typed(str(getattr(error, "option_name", "")))
        if kind == "NoSuchOption":
            return f"{flag} is not a flag of {ctx.command_path}.{self._nearest(flag, known)}"
        if kind == "BadOptionUsage":
            return (
                f"{flag} needs a value, as in {flag} {self._metavar_of(flag)}."
                if known.get(flag)
                else f"{flag} takes no value."
            )
        if kind == "MissingParameter":
            return f"{_shown_name(getattr(error, 'param', None))} is missing; expected {self._usage(ctx)}."
        format_message = getattr(error, "format_message", error.__str__)
        return f"{ctx.command_path}: {format_message()}"

    def _nearest(self, flag: str, known: Mapping[str, bool]) -> str:
        close = difflib.get_close_matches(flag[:50], known, n=1, cutoff=0.65)
        if close:
            return f" Did you mean {close[0]}?"
        if "--set" in known:
            from atinuke.config import dotted_names

            name = flag.lstrip("-").replace("-", "_")
            namesakes = [key for key in dotted_names(self.settings_class()) if key.rpartition(".")[2] == name]
            if namesakes:
                return f" It is a setting: --set {namesakes[0]}=VALUE."
        if self.free_text:
            return " A text that begins with - goes last, after -- on its own."
        return ""

    def _usage(self, ctx: Any) -> str:
        return " ".join([ctx.command_path, *self.collect_usage_pieces(ctx)])

    def _metavar_of(self, flag: str) -> str:
        return next(self._metavar(param) for param in self.params if flag in param.opts)

    # --- help -----------------------------------------------------------------------------------------------------

    def collect_usage_pieces(self, ctx: Any) -> list[str]:
        pieces = []
        for param in self.params:
            if param.param_type_name == "argument":
                name = _shown_name(param) + ("…" if param.nargs != 1 else "")
                pieces.append(name if param.required else f"[{name}]")
        return [*pieces, "[--flags]"]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            names = ", ".join(sorted(param.opts, key=len))
            row = (f"{names} {self._metavar(param)}".strip(), self._help(param))
            if param.param_type_name == "argument":
                row = (_shown_name(param), row[1])
            groups.setdefault(getattr(param, "rich_help_panel", None) or "Other", []).append(row)
        for name, rows in groups.items():
            with formatter.section(name):
                formatter.write_dl(rows)

    def _metavar(self, param: Any) -> str:
        if getattr(param, "is_flag", False):
            return ""
        choices = typing.get_args(self._field(param).annotation) if param.metavar is None else ()
        return param.metavar or "|".join(str(choice) for choice in choices)

    def _help(self, param: Any) -> str:
        """The setting's own sentence, what the command adds, and the default."""
        own = getattr(param, "help", None) or ""
        if param.name not in self.keys or getattr(param, "is_flag", False):
            return own
        field = self._field(param)
        has_none = field.is_required() or field.default in (None, (), ("",))
        default = "" if has_none else f"Default: {field.default}."
        return " ".join(part for part in (field.description or "", own, default) if part)

    def _field(self, param: Any) -> Any:
        from atinuke.config import find_field

        return find_field(self.settings_class(), self.keys[param.name])


def _flag_names(command: Any, ctx: Any) -> dict[str, bool]:
    """Every flag of a command, and whether it takes a value."""
    return {
        name: not getattr(param, "is_flag", False)
        for param in command.get_params(ctx)
        if param.param_type_name == "option"
        for name in param.opts
    }


def _typed(text: str) -> str:
    return text if len(text) <= LONGEST_SHOWN else text[: LONGEST_SHOWN - 1] + "…"


def _repeats(param: Any) -> bool:
    return bool(getattr(param, "multiple", False) or getattr(param, "is_flag", False))


def _shown_name(param: Any) -> str:
    """What the user knows a parameter by: --time, or SOURCE."""
    if param.param_type_name == "option":
        return str(max(param.opts, key=len))
    return str(param.metavar or param.name).upper()
