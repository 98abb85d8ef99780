"""`README.md` of a run: its model card. Facts from summary.json, config.json and environment.json, none from memory.

Names are set in code spans and samples in fenced blocks that are longer than any run of backticks inside, so that
nothing the run wrote is read as Markdown or HTML.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from atinuke.durable import write_atomic
from atinuke.report.markup import writable
from atinuke.report.measures import (
    MOST_NAMED,
    amount,
    batch,
    data_facts,
    figures,
    meaning,
    of_items,
    score,
    skips,
    words_of,
)
from atinuke.report.record import (
    NOT_MEASURED,
    RunRecord,
    read_record,
    show_amount,
    show_count,
    show_decimal,
    show_seconds,
    show_short,
)
from atinuke.report.samples import nothing_to_show

MOST_NAMES = 20
TITLES = {"held out": "Held out for validation"}


def write_card(folder: Path, *, shown_as: Path | None = None) -> Path:
    """Writes `folder`/README.md and returns its path; `shown_as` as for `write_report`."""
    path = folder / "README.md"
    write_atomic(path, render_card(read_record(folder, shown_as)))
    return path


def render_card(run: RunRecord) -> str:
    """The whole card."""
    parts = [
        f"# {_plain(run.name)}",
        _what_it_is(run),
        "## Results",
        _results(run),
        *([_plain(score(run).more)] if score(run).more else ()),
        *([meaning(run)] if meaning(run) else ()),
        "## Trained on",
        _data(run),
        "## Network and tokenizer" if run.task.reads_tokens else "## Network",
        _network(run),
        "## Training",
        _training(run),
        "## Samples",
        *_samples(run),
        "## Limits",
        _limits(run),
        "## How to use it",
        *_usage(run),
        "## Machine and versions",
        _listed(run.environment) or NOT_MEASURED,
    ]
    return writable("\n\n".join(parts)) + "\n"


def fenced(text: str, language: str = "text") -> str:
    """A code block that nothing in `text` can end."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text}\n{fence}"


def code(text: str) -> str:
    """A code span of one line that nothing in `text` can end."""
    text = " ".join(text.split()) or " "
    ticks = "`" * (max((len(run) for run in re.findall("`+", text)), default=0) + 1)
    pad = " " if "`" in (text[0], text[-1]) else ""
    return f"{ticks}{pad}{text}{pad}{ticks}"


def _plain(text: str) -> str:
    """Text of one line whose punctuation means nothing to Markdown; addresses stay text as well."""
    return re.sub(r"([\\`*_{}\[\]<>()#|~!&@$]|:(?=/)|(?<=www)\.)", r"\\\1", " ".join(text.split()))


def _listed(facts: Mapping[str, object]) -> str:
    return "\n".join(f"- {_plain(str(key))}: {code(str(value))}" for key, value in facts.items() if value is not None)


def _what_it_is(run: RunRecord) -> str:
    size = run.number("params")
    model = code(run.text("model") or "language")
    of_size = "" if size is None else f" of {show_count(size)} parameters"
    when = f", finished {_plain(run.finished)}" if run.finished and not run.fact("interrupted") else ""
    stopped = " The run was interrupted: what follows is its state at that moment." if run.fact("interrupted") else ""
    return f"A {run.task.noun} ({model}){of_size}, {run.task.origin}{when}.{stopped} {run.task.does}"


def _results(run: RunRecord) -> str:
    """The score, then what the task has beside it."""
    rows = [(_plain(of_items(run, words_of(run).row)), score(run).shown)]
    for measure in run.task.results:
        for figure in figures(run, measure):
            of = f"{figure.more} ({figure.shown})" if measure.show == "share" and figure.more else figure.shown
            rows.append((_plain(figure.label), _plain(of) if measure.show == "text" else of))
    return "\n".join(["| measure | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _data(run: RunRecord) -> str:
    task = run.task
    names = [code(name) for name in run.sources[:MOST_NAMES]]
    if len(run.sources) > MOST_NAMES:
        names.append(f"{len(run.sources) - MOST_NAMES} more")
    rows = [f"Sources: {', '.join(names) or NOT_MEASURED}"]
    rows += [
        f"{TITLES.get(asked.label, asked.label.capitalize())}: {_plain(amount(run, asked))}" for asked in task.amounts
    ]
    rows += [f"{label.capitalize()}: {code(_shown(fact))}" for label, fact in data_facts(run).items()]
    left_out = [f"{show_count(run.number(key))} {what}{more}" for what, key, more in task.left_out]
    skipped = skips(run)
    left_out.append(
        f"{show_amount(skipped.count, task.skipped_item, None)} that {'was' if skipped.count == 1 else 'were'} skipped "
        "(named with the reason in summary.json)"
    )
    rows.append(f"Left out: {', '.join(left_out)}")
    if task.skipped_item == "file":
        rows.append(f"Files in other encodings than UTF-8: {len(run.re_encoded)}")
    else:
        rows += [f"Skipped: {code(where)}, {code(why)}" for where, why in skipped.rows[:MOST_NAMED]]
    return _bullets(rows)


def _shown(fact: object) -> str:
    """A fact in one line: of a mapping its names with their numbers."""
    if isinstance(fact, Mapping):
        return ", ".join(f"{name}: {value}" for name, value in fact.items())
    return show_count(fact) if isinstance(fact, int | float) else str(fact)


def _network(run: RunRecord) -> str:
    task = run.task
    sizes = [f"`{key}` {run.fact(f'sizes.{key}')}" for key in task.sizes if run.number(f"sizes.{key}") is not None]
    rows = [f"Network: {code(run.text('model') or NOT_MEASURED)}, {', '.join(sizes) or NOT_MEASURED}"]
    if task.reads_tokens:
        per_token = run.number("tokenizer.bytes_per_token")
        told = "" if per_token is None else f", {show_decimal(per_token, 2)} bytes per token on its training text"
        rows += [
            f"Training context: {show_count(run.number('context'))} tokens",
            f"Tokenizer: {code(run.text('tokenizer.kind') or NOT_MEASURED)}, "
            f"{show_count(run.number('tokenizer.vocab_size'))} ids{told}",
        ]
    return _bullets(rows)


def _training(run: RunRecord) -> str:
    budget = run.number("time_budget_s")
    of_budget = f" of a budget of {show_seconds(budget)}" if budget else ""
    unit, (size, what) = run.task.unit, batch(run)
    rows = [
        f"{unit.capitalize()} seen: {show_count(run.tokens_seen)} in {show_count(run.number('steps'))} steps of "
        f"{show_count(size)} {what}, {show_decimal(run.number('epochs'), 2)} passes over the {run.task.material}",
        f"Time: {show_seconds(run.number('elapsed_s'))}{of_budget}, {show_short(run.number('tokens_per_s'))} {unit}/s",
        f"Device: {code(run.text('device') or NOT_MEASURED)}, {code(run.text('dtype') or NOT_MEASURED)}; "
        f"seed {run.text('seed') or NOT_MEASURED}",
        "Every setting: `config.json`. Curves and the plan: `report.html`",
    ]
    return _bullets(rows)


def _samples(run: RunRecord) -> Iterable[str]:
    words = run.task.samples
    if not run.samples:
        yield nothing_to_show(run)
    elif words.layout == "rows":
        prompt, text, reference = words.labels
        yield f"{words.title}: {prompt}, {text}, {reference}."
        yield "\n".join(f"- {code(row)}: {code(said)}, {reference} {code(right)}" for row, said, right in run.samples)
    elif words.layout == "parts":
        for sample in run.samples:
            parts = [(label, part) for label, part in zip(words.labels, sample, strict=True) if label]
            yield fenced("\n".join(f"{label + ':':<11}{part}" for label, part in parts))
    else:
        for at, (prompt, text, _) in enumerate(run.samples, start=1):
            begins = f", of which the prompt is {code(prompt)}" if prompt.strip() else ", without a prompt"
            yield f"Sample {at}{begins}:"
            yield fenced(prompt + text)


def _limits(run: RunRecord) -> str:
    context = show_count(run.number("context"))
    rows = [of_items(run, limit).replace("{context}", context) for limit in run.task.limits]
    own, rival = run.number(run.task.score_key), run.number(words_of(run).rival)
    if own is not None and rival is not None and own >= rival:
        rows.append("On unseen text it does not do better than counting bytes (the 5-gram model above).")
    if run.text("tokenizer.loss_note"):
        rows.append(_plain(run.text("tokenizer.loss_note") or ""))
    return _bullets(rows)


def _usage(run: RunRecord) -> Iterable[str]:
    yield fenced("\n".join(run.commands.values()), "sh")
    yield fenced(f"import atinuke\n\nrun = atinuke.load({run.shown_as!r})\n{run.task.python}", "python")


def _bullets(rows: Iterable[str]) -> str:
    return "\n".join(f"- {row.rstrip('.')}." for row in rows)
