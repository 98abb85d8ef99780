"""`README.md` of a run: its model card. Facts from summary.json, config.json and environment.json, none from memory.

Names are set in code spans and samples in fenced blocks that are longer than any run of backticks inside, so that
nothing the run wrote is read as Markdown or HTML.
"""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from atinuke.durable import write_atomic
from atinuke.report.markup import writable
from atinuke.report.record import (
    NOT_MEASURED,
    PROTOCOL,
    SIZE_NAMES,
    RunRecord,
    read_record,
    show_count,
    show_decimal,
    show_documents,
    show_seconds,
    show_short,
)

MOST_NAMES = 20


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
        PROTOCOL,
        "## Trained on",
        _data(run),
        "## Network and tokenizer",
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
    return (
        f"A language model ({model}){of_size}, trained from nothing with Atinuke{when}.{stopped} "
        "It predicts the next token of text like the text that it was trained on."
    )


def _results(run: RunRecord) -> str:
    copied, total = run.number("copied_8grams.copied"), run.number("copied_8grams.total")
    share = NOT_MEASURED
    if copied is not None and total is not None:
        share = f"{show_count(copied)} of {show_count(total)}" + (f" ({copied / total:.1%})" if total else "")
    rows = [
        ("bits per byte, unseen text", show_decimal(run.number("val_bpb"))),
        ("bits per byte, training text", show_decimal(run.number("train_bpb"))),
        ("gap between the two", show_decimal(run.number("gap_bpb"))),
        ("bits per byte of a byte 5-gram model, unseen text", show_decimal(run.number("baseline_5gram_bpb"))),
        ("perplexity per token, unseen text", show_decimal(run.number("val_token_perplexity"), 1)),
        ("word 8-grams of the samples that stand in the training text", share),
    ]
    return "\n".join(["| measure | value |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows)])


def _data(run: RunRecord) -> str:
    names = [code(name) for name in run.sources[:MOST_NAMES]]
    if len(run.sources) > MOST_NAMES:
        names.append(f"{len(run.sources) - MOST_NAMES} more")
    skipped, re_encoded = (len(run.pairs[key]) for key in ("skipped", "re_encoded"))
    rows = [
        f"Sources: {', '.join(names) or NOT_MEASURED}",
        f"Read: {show_documents(run.number('data.documents'), run.number('data.bytes'))}",
        f"Trained on: {show_documents(run.number('data.train_documents'), run.number('train_bytes'))}",
        f"Held out for validation: {show_documents(run.number('data.validation_documents'), run.number('val_bytes'))}",
        f"Left out: {show_count(run.number('data.duplicates'))} duplicates, "
        f"{show_count(run.number('data.near_duplicates'))} near-duplicates of held-out text, "
        f"{skipped} files that were skipped (named with the reason in summary.json)",
        f"Files in other encodings than UTF-8: {re_encoded}",
    ]
    return _bullets(rows)


def _network(run: RunRecord) -> str:
    sizes = [f"`{key}` {run.fact(f'sizes.{key}')}" for key in SIZE_NAMES if run.number(f"sizes.{key}") is not None]
    kind = run.text("tokenizer.kind")
    per_token = show_decimal(run.number("tokenizer.bytes_per_token"), 2)
    rows = [
        f"Network: {code(run.text('model') or NOT_MEASURED)}, {', '.join(sizes) or NOT_MEASURED}",
        f"Training context: {show_count(run.number('context'))} tokens",
        f"Tokenizer: {code(kind or NOT_MEASURED)}, {show_count(run.number('tokenizer.vocab_size'))} ids, "
        f"{per_token} bytes per token on its training text",
    ]
    return _bullets(rows)


def _training(run: RunRecord) -> str:
    budget = run.number("time_budget_s")
    of_budget = f" of a budget of {show_seconds(budget)}" if budget else ""
    rows = [
        f"Tokens seen: {show_count(run.tokens_seen)} in {show_count(run.number('steps'))} steps of "
        f"{show_count(run.number('batch_tokens'))}, {show_decimal(run.number('epochs'), 2)} passes over the text",
        f"Time: {show_seconds(run.number('elapsed_s'))}{of_budget}, {show_short(run.number('tokens_per_s'))} tokens/s",
        f"Device: {code(run.text('device') or NOT_MEASURED)}, {code(run.text('dtype') or NOT_MEASURED)}; "
        f"seed {run.text('seed') or NOT_MEASURED}",
        "Every setting: `config.json`. Curves and the plan: `report.html`",
    ]
    return _bullets(rows)


def _samples(run: RunRecord) -> Iterable[str]:
    if not run.samples:
        yield NOT_MEASURED
    for at, (prompt, text) in enumerate(run.samples, start=1):
        begins = f", of which the prompt is {code(prompt)}" if prompt.strip() else ", without a prompt"
        yield f"Sample {at}{begins}:"
        yield fenced(prompt + text)


def _limits(run: RunRecord) -> str:
    score, rival = run.number("val_bpb"), run.number("baseline_5gram_bpb")
    rows = [
        "It knows nothing but its training text, holds nothing for true, and was not taught to follow instructions.",
        f"It learned on windows of {show_count(run.number('context'))} tokens and sees only the end of longer text.",
        "Its samples can repeat training text word for word; the licence of that text is not known to this card.",
    ]
    if score is not None and rival is not None and score >= rival:
        rows.append("On unseen text it does not do better than counting bytes (the 5-gram model above).")
    if run.text("tokenizer.loss_note"):
        rows.append(_plain(run.text("tokenizer.loss_note") or ""))
    return _bullets(rows)


def _usage(run: RunRecord) -> Iterable[str]:
    yield fenced("\n".join(run.commands.values()), "sh")
    yield fenced(
        f'import atinuke\n\nrun = atinuke.load({run.shown_as!r})\nprint(run.generate("Once upon a time", tokens=200))',
        "python",
    )


def _bullets(rows: Iterable[str]) -> str:
    return "\n".join(f"- {row.rstrip('.')}." for row in rows)
