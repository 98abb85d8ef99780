"""What `tasks` and `scores` name, read from a run and written for people."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from atinuke.report.record import NOT_MEASURED, RunRecord, show_amount, show_count, show_decimal, show_list
from atinuke.report.scores import SCORES, Measure, Score, Show
from atinuke.report.tasks import Amount

PARTS = ("right", "copied")  # what a share of a total is called in summary.json
MOST_NAMED = 12
NAMED_PLACES = 3


@dataclass(frozen=True)
class Figure:
    """One figure as it is shown. `number` is in the unit of a bar: percent for shares; None where not measured."""

    label: str
    shown: str
    number: float | None
    more: str = ""


@dataclass(frozen=True)
class Skips:
    """What could not be used: how many, and (where, why) of those that the run named."""

    count: int
    rows: list[tuple[str, str]]


def figures(run: RunRecord, measure: Measure) -> list[Figure]:
    """The figure that `measure` names; one for each name where the run holds several, none where it holds no name."""
    found = run.fact(measure.key)
    if isinstance(found, Mapping) and found and all(isinstance(inner, Mapping) for inner in found.values()):
        return [_share(measure.label.replace("{name}", f"{name}s"), inner, measure) for name, inner in found.items()]
    if measure.show == "share":
        return [_share(measure.label, found, measure)] if "{name}" not in measure.label else []
    number = _counted(found) if measure.show == "count" else run.number(measure.key)
    shown = (run.text(measure.key) or NOT_MEASURED) if measure.show == "text" else show_number(number, measure.show)
    more = run.text(measure.about_key) if measure.about_key else measure.about
    return [Figure(measure.label, shown, number, more or "")]


def show_number(number: float | None, show: Show) -> str:
    """2.213 · 46.3 · 97.53% · 1,024."""
    if number is None:
        return NOT_MEASURED
    match show:
        case "percent":
            return f"{number:.2f}%"
        case "count":
            return show_count(number)
        case _:
            return show_decimal(number, 1 if show == "tenths" else 3).replace("-", "−")


def words_of(run: RunRecord) -> Score:
    """What the run's score means: by the name that it has, else by that which its task expects.

    A name that is not known here is shown as it stands, with the run's own word for which way is better.
    """
    name = run.text("score.name") or run.task.scores[0]
    known = SCORES.get(name)
    if known is None:
        better = run.text("score.is_better")
        reading = f"{better.capitalize()} is better." if better in ("lower", "higher") else ""
        return Score(headline=f"{name}, held out", row=f"{name}, held out", reading=reading, meaning="")
    return known


def score(run: RunRecord) -> Figure:
    """The figure at the top; `more` is the run's own note."""
    words, number = words_of(run), run.number(run.task.score_key)
    return Figure(words.headline, show_number(number, words.show), number, run.text("score.note") or "")


def meaning(run: RunRecord) -> str:
    """One sentence on how the score came about."""
    return of_items(run, words_of(run).meaning)


def of_items(run: RunRecord, words: str) -> str:
    """`words` with the name of what the run's task learns from."""
    return words.replace("{items}", f"{run.task.item}s")


def amount(run: RunRecord, asked: Amount) -> str:
    """9,000 pictures and 20 sounds · 285 pairs, 38.3 kB."""
    found = run.fact(asked.key)
    size = run.number(asked.bytes_key) if asked.bytes_key else None
    if isinstance(found, Mapping):
        kinds = [(str(kind), count) for kind, count in found.items() if isinstance(count, int | float)]
        return " and ".join(show_amount(count, kind, None) for kind, count in kinds) or NOT_MEASURED
    return show_amount(run.number(asked.key), asked.noun, size)


def batch(run: RunRecord) -> tuple[float | None, str]:
    """What one step takes, and what that is called."""
    rows = run.number("batch_rows")
    return (run.number("batch_tokens"), "tokens") if rows is None else (rows, f"{run.task.item}s")


def data_facts(run: RunRecord) -> dict[str, Any]:
    """What else there is to know of the data, by its label; what the run does not have is left out."""
    facts: dict[str, Any] = {}
    for label, keys in run.task.facts:
        values = [run.fact(key) for key in keys]
        if all(value in (None, 0, [], {}) for value in values):
            continue
        if isinstance(values[0], list):
            facts[label] = show_list(map(str, values[0]), MOST_NAMED)
        elif len(values) > 1:
            facts[label] = " × ".join(str(value) for value in values if value is not None)
        else:
            facts[label] = values[0]
    return facts


def skips(run: RunRecord) -> Skips:
    """What the run could not read or use, with the reasons. Files are named one by one, pairs and rows by reason."""
    data = run.fact("data")
    data = data if isinstance(data, Mapping) else {}
    rows: list[tuple[str, str]] = []
    count = 0
    for key, remark in (("skipped", ""), ("named_skips", ""), ("held_out_skipped", ", held out")):
        for row in data[key] if isinstance(data.get(key), list) else ():
            if not isinstance(row, list) or len(row) < 2:
                continue
            if len(row) > 2 and isinstance(row[1], int) and isinstance(row[2], list):
                places = ", ".join(map(str, row[2][:NAMED_PLACES])) + (", …" if row[1] > NAMED_PLACES else "")
                rows.append((f"{show_amount(row[1], run.task.item, None)}{remark}: {places}", str(row[0])))
                count += row[1]
            else:
                rows.append((str(row[0]), str(row[1])))
                count += 1
    counted = run.number("data.skipped_files") or run.number("data.skipped") or 0
    return Skips(max(count, int(counted)), rows)


def _share(label: str, found: Any, measure: Measure) -> Figure:
    facts = found if isinstance(found, Mapping) else {}
    part = next((facts[name] for name in PARTS if isinstance(facts.get(name), int | float)), None)
    total = facts.get("total")
    if part is None or not isinstance(total, int | float):
        return Figure(label, NOT_MEASURED, None)
    if not total:
        return Figure(label, NOT_MEASURED, None, measure.gap)
    return Figure(label, f"{part / total:.1%}", 100 * part / total, f"{part:,} of {total:,} {measure.about}".strip())


def _counted(found: Any) -> float | None:
    """A number as it is; of a mapping of numbers their sum; of a list its length."""
    if isinstance(found, bool):
        return None
    if isinstance(found, int | float):
        return found
    if isinstance(found, Mapping):
        return sum(value for value in found.values() if isinstance(value, int | float))
    return len(found) if isinstance(found, list) else None
