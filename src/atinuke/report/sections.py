"""The lower half of the report: the plan and how it went, the data, the environment, the commands.

The planner and the machine decide which facts there are, so these sections show whatever mappings and tables they
find, with units read from the names (`elapsed_s`, `bytes`, `memory_gib`).
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from atinuke.report.markup import Html, join, tag
from atinuke.report.measures import Skips, amount, data_facts, skips
from atinuke.report.record import (
    NOT_MEASURED,
    SIZE_NAMES,
    RunRecord,
    show_bytes,
    show_count,
    show_seconds,
)

MOST_FILES = 200  # skipped files listed by name; the rest are counted
NOTED = ("batch_tokens", "batch_rows", "dtype", "seed")
COLORS = (  # c0 … c8
    "training",
    "reading",
    "tokenizer",
    "encoding",
    "planning",
    "saving",
    "scoring",
    "sampling",
    "compiling",
)
TITLES = {"considered": "Sizes that were considered", "measured": "What was measured"}


def plan(run: RunRecord) -> Html:
    """What was measured and chosen, the forecast beside the outcome, and where the time went."""
    facts = run.fact("plan")
    facts = dict(facts) if isinstance(facts, Mapping) else {}
    forecast = {key.removeprefix("expected_"): facts.pop(key) for key in list(facts) if key.startswith("expected_")}
    forecast |= _mapping(facts.pop("forecast", None))
    outcome = _outcome(run) | _mapping(facts.pop("outcome", None))
    chosen = {key: run.fact(f"sizes.{key}") for key in run.task.sizes if run.fact(f"sizes.{key}") is not None}
    noted = ("context", *NOTED) if run.task.reads_tokens else NOTED
    chosen |= {key: run.fact(key) for key in noted if run.fact(key) is not None}
    chosen |= _mapping(facts.pop("chosen", None))
    is_foretold = bool(forecast) or run.task.is_planned
    cards = [
        _card("Chosen", _facts(chosen), "card" if is_foretold else "card wide"),
        *([_card("Forecast and outcome", _forecast(forecast, outcome))] if is_foretold else ()),
        *(_card(title, body, "card wide") for title, body in _rest(facts)),
    ]
    return tag(
        "section",
        tag("h2", "The plan, and how it went"),
        _card("Where the time went", _timeline(run)),
        tag("div", *cards, class_="columns"),
    )


def data(run: RunRecord) -> Html:
    """What was read, what was held out, what was left out, and how text became tokens."""
    task = run.task
    facts: dict[str, Any] = {asked.label: amount(run, asked) for asked in task.amounts}
    facts |= {f"{what} left out": run.fact(key) for what, key, _ in task.left_out}
    facts |= data_facts(run)
    facts[f"passes over the training {task.material}"] = run.number("epochs")
    cards = [_card(task.material.capitalize(), join(_facts(facts, gaps=NOT_MEASURED), _sources(run)))]
    if task.reads_tokens:
        cards.append(_card("Tokens", _facts(_tokens(run), gaps=NOT_MEASURED)))
    item = task.skipped_item
    skipped = skips(run)
    cards.append(_files(f"Skipped {item}s", item, skipped, "reason", f"Every {item} could be read."))
    if item == "file":
        found = Skips(len(run.re_encoded), run.re_encoded)
        cards.append(_files("Files in other encodings", item, found, "read as", "All text was UTF-8."))
    return tag("section", tag("h2", "Data"), tag("div", *cards, class_="columns data"))


def _sources(run: RunRecord) -> Html | None:
    if len(run.sources) < 2:
        return None
    return tag("details", tag("summary", f"{len(run.sources)} sources"), tag("p", ", ".join(run.sources)))


def _tokens(run: RunRecord) -> dict[str, Any]:
    tokens = _mapping(run.fact("tokenizer"))
    words = {"kind": tokens.get("kind"), "vocab_size": tokens.get("vocab_size")}
    if run.task.in_bits or "bytes_per_token" in tokens:
        words["bytes per token"] = tokens.get("bytes_per_token")
    if tokens.get("loss_note"):
        words["what decoding loses"] = tokens["loss_note"]
    return words


def environment(run: RunRecord) -> Html:
    """The machine and the versions, and every setting of the run."""
    settings = json.dumps(run.config, indent=2, ensure_ascii=False)
    details = tag("details", tag("summary", "All settings (config.json)"), tag("pre", settings)) if run.config else None
    body = _facts(run.environment) if run.environment else tag("p", NOT_MEASURED, class_="quiet")
    return tag("section", tag("h2", "Machine and settings"), tag("div", body, details, class_="card"))


def commands(run: RunRecord) -> Html:
    """What to type next."""
    rows = [tag("div", tag("h3", what), tag("pre", command)) for what, command in run.commands.items()]
    return tag("section", tag("h2", "What to type next"), tag("div", *rows, class_="card commands"))


def _card(title: str, body: Html, kind: str = "card") -> Html:
    return tag("div", tag("h3", title), body, class_=kind)


def _mapping(found: Any) -> dict[str, Any]:
    return dict(found) if isinstance(found, Mapping) else {}


def _outcome(run: RunRecord) -> dict[str, Any]:
    """What a forecast can be held against, by the names that a planner would use."""
    steps, batch_tokens = run.number("steps"), run.number("batch_tokens")
    found = {
        # of masked text only some of the tokens that are read are counted as seen
        "tokens": run.tokens_seen if steps is None or batch_tokens is None else steps * batch_tokens,
        "bytes_per_token": run.number("tokenizer.bytes_per_token"),
        "nats": run.number("train_loss"),
        "loss": run.number("train_loss"),
    }
    names = ("epochs", "steps", "tokens_per_s", "elapsed_s", "val_bpb", "train_bpb", "train_loss", "params")
    return {key: value for key, value in (found | {key: run.number(key) for key in names}).items() if value is not None}


def _timeline(run: RunRecord) -> Html:
    spans = [(str(name), float(span_s)) for name, span_s in run.fact("timeline") or [] if float(span_s) > 0]
    total_s = math.fsum(span_s for _, span_s in spans)
    if not total_s:
        return tag("p", NOT_MEASURED, class_="quiet")
    parts, keys = [], []
    for at, (name, span_s) in enumerate(spans):
        color = f"c{COLORS.index(name) if name in COLORS else at % len(COLORS)}"
        told = f"{name}: {show_seconds(span_s)}, {span_s / total_s:.1%}"
        parts.append(tag("span", class_=color, style=f"flex:{span_s:.6g} 1 0", title=told))
        share = f"{show_seconds(span_s)} · {span_s / total_s:.1%}"
        keys.append(tag("li", tag("i", class_=color), name, " ", tag("b", share)))
    return join(tag("div", *parts, class_="split", aria_hidden="true"), tag("ul", *keys, class_="keys"))


def _forecast(forecast: Mapping[str, Any], outcome: Mapping[str, Any]) -> Html:
    if not forecast:
        return tag("p", NOT_MEASURED, class_="quiet")
    rows = []
    for key, guess in forecast.items():
        came = outcome.get(key)
        is_comparable = isinstance(guess, int | float) and isinstance(came, int | float) and guess
        change = f"{came / guess - 1:+.1%}" if is_comparable else ""
        rows.append((_words(key), _value(key, guess), _value(key, came, NOT_MEASURED), change.replace("-", "−")))
    return _table(("", "forecast", "outcome", "difference"), rows)


def _rest(facts: Mapping[str, Any]) -> Iterable[tuple[str, Html]]:
    """Tables and groups of the plan under their own titles, and what is left together at the end."""
    single: dict[str, Any] = {}
    for key, value in facts.items():
        if _is_table(value):
            columns = list(dict.fromkeys(name for row in value for name in row))
            rows = [tuple(_value(name, row.get(name)) for name in columns) for row in value]
            yield TITLES.get(key, _words(key).capitalize()), _table(tuple(map(_words, columns)), rows)
        elif isinstance(value, Mapping) and value:
            yield TITLES.get(key, _words(key).capitalize()), _facts(value)
        else:
            single[key] = value
    if single:
        yield "Also noted", _facts(single)


def _is_table(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(row, Mapping) for row in value)


def _facts(facts: Mapping[str, Any], gaps: str = "–") -> Html:
    """A list of names and values; a mapping inside gives one row for each of its own."""
    rows: list[Html] = []
    for key, value in facts.items():
        inner = value.items() if isinstance(value, Mapping) else [("", value)]
        for part, found in inner:
            rows.append(tag("dt", " · ".join(filter(None, (_words(str(key)), _words(str(part)))))))
            rows.append(tag("dd", _value(str(part or key), found, gaps)))
    return tag("dl", *rows, class_="facts") if rows else tag("p", NOT_MEASURED, class_="quiet")


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Html:
    """The first column is text; the others stand to the right when all that they hold looks like numbers."""
    is_number = [at > 0 and all(_looks_like_number(row[at]) for row in rows) for at in range(len(head))]

    def line(cell: str, texts: Sequence[str]) -> Html:
        return tag("tr", *(tag(cell, text, class_="n" if is_number[at] else None) for at, text in enumerate(texts)))

    body = tag("tbody", *(line("td", row) for row in rows))
    return tag("div", tag("table", tag("thead", line("th", head)), body, class_="facts"), class_="scroll")


def _looks_like_number(text: str) -> bool:
    return text.lstrip("+−-")[:1].isdigit() or text in ("", "–", NOT_MEASURED)


def _files(title: str, item: str, found: Skips, why: str, none: str) -> Html:
    """What was named, file by file or reason by reason; how many more there are is said below."""
    if not found.count:
        return _card(title, tag("p", none, class_="quiet"))
    shown = found.rows[:MOST_FILES]
    is_by_file = item == "file"
    more = found.count - len(shown) if is_by_file else len(found.rows) - len(shown)
    table = _table((item if is_by_file else "where", why), shown) if shown else None
    rest = tag("p", f"and {show_count(more)} more", class_="quiet") if more > 0 else None
    label = f"{show_count(found.count)} {item}{'' if found.count == 1 else 's'}"
    return _card(title, tag("details", tag("summary", label), table, rest, open="" if len(shown) <= 5 else None))


def _words(key: str) -> str:
    """A name for people; the paper's size names are names already."""
    if key in SIZE_NAMES:
        return key
    for unit in ("_s", "_bytes", "_gib"):
        if key.endswith(unit) and not key.endswith("_per_s"):
            key = key.removesuffix(unit)
    return key.replace("_per_s", "/s").replace("_", " ")


def _value(key: str, value: Any, gap: str = "–") -> str:
    """A value for people, in the unit that its name says."""
    if value is None:
        return gap
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        if not math.isfinite(value):
            return str(value)
        if key.endswith("_s") and not key.endswith("_per_s"):
            return show_seconds(value)
        if key == "bytes" or key.endswith("_bytes"):
            return show_bytes(value)
        if key.endswith("_gib"):
            return f"{value:.1f} GiB"
        if key == "seed":
            return str(value)
        return f"{value:,.0f}" if value == int(value) or abs(value) >= 1e4 else f"{value:.4g}"
    if isinstance(value, str):
        return value
    if isinstance(value, list | tuple) and not any(isinstance(item, Mapping | list) for item in value):
        return ", ".join(_value(key, item) for item in value) or "none"
    return json.dumps(value, ensure_ascii=False)
