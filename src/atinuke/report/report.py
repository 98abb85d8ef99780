"""`report.html`: one run on one page that needs nothing else, neither a server nor the network.

The page is put together here from the run's own files, with every figure and sample readable without JavaScript;
`page/` holds its template, style and script, and uPlot, which draws the curves. Whatever the run wrote (samples,
names, prompts) is text to this page: `markup` escapes it, and the content security policy would run nothing else.
"""

import base64
import hashlib
from importlib import resources
from pathlib import Path

from atinuke.durable import write_atomic
from atinuke.report.curves import curve_data, loss_picture, measured
from atinuke.report.markup import Html, fill, join, json_block, tag
from atinuke.report.record import (
    NOT_MEASURED,
    PROTOCOL,
    RunRecord,
    read_record,
    show_count,
    show_decimal,
    show_list,
    show_seconds,
    show_short,
)
from atinuke.report.sections import commands, data_facts, environment, plan

CHARTS = (
    ("loss", "Loss", "How badly the next token was foreseen: lower is better."),
    ("tokens_per_s", "Speed", "Training tokens per second."),
    ("lr", "Learning rate", "As the schedule set it."),
    ("grad_norm", "Gradient norm", "Before any clipping."),
)
CHOICES = {
    "x": ("Along", (("elapsed_s", "time"), ("tokens", "tokens"), ("step", "steps"))),
    "y": ("Loss in", (("bits", "bits/byte"), ("nats", "nats/token"))),
}


def write_report(folder: Path, *, shown_as: Path | None = None) -> Path:
    """Writes `folder`/report.html from the run's files and returns its path.

    `shown_as` is the run folder as the commands on the page should name it, where that is not `folder` (a folder
    that is still being put together). What the run has not written is shown as "not measured".
    """
    path = folder / "report.html"
    write_atomic(path, render_report(read_record(folder, shown_as)))
    return path


def render_report(run: RunRecord) -> str:
    """The whole page."""
    library, script = _page_file("uPlot.iife.min.js"), _page_file("report.js")
    policy = (
        f"default-src 'none'; style-src 'unsafe-inline'; script-src {_source_hash(library)} {_source_hash(script)}; "
        "img-src data:; base-uri 'none'; form-action 'none'"
    )
    return fill(
        _page_file("report.html"),
        {
            "policy": join(policy),
            "title": join(f"{run.name} · Atinuke training report"),
            "styles": join(_page_file("uPlot.min.css"), _page_file("report.css")),
            "header": _header(run),
            "figures": _figures(run),
            "curves": _curves(run),
            "sections": join(_samples(run), plan(run), data_facts(run), environment(run), commands(run)),
            "footer": _footer(run),
            "licence": _page_file("uPlot.LICENSE"),
            "data": json_block(_script_data(run)),
            "library": library,
            "script": script,
        },
    )


def _page_file(name: str) -> Html:
    """A file of ours or uPlot's, which is markup, style or script as it stands."""
    return Html((resources.files("atinuke.report") / "page" / name).read_text(encoding="utf-8").strip())


def _source_hash(script: str) -> str:
    """What the policy calls this very script: no other one runs, nor any handler written into an attribute."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"


def _script_data(run: RunRecord) -> dict[str, object]:
    return {
        "bytes_per_token": run.number("tokenizer.bytes_per_token"),
        "val_bpb": run.number("val_bpb"),
        "baseline_bpb": run.number("baseline_5gram_bpb"),
        "curves": curve_data(run.metrics),
    }


def _header(run: RunRecord) -> Html:
    size = run.number("params")
    model = run.text("model") or "language"
    article = "An" if model[:1].lower() in "aeiou" else "A"
    parts = [f"{article} {model} model" + ("" if size is None else f" of {show_short(size)} parameters")]
    parts.append(f", trained from nothing on {show_list(run.sources)}" if run.sources else ", trained from nothing")
    parts.append("" if run.number("elapsed_s") is None else f" in {show_seconds(run.number('elapsed_s'))}")
    parts.append(f" on {run.text('device')}" if run.text("device") else "")
    parts.append(f" ({run.text('dtype')})" if run.text("dtype") else "")
    lede = "".join(parts) + "."
    if run.finished:
        lede += f" {'Stopped' if run.fact('interrupted') else 'Finished'} {run.finished}."
    notice = None
    if run.fact("interrupted"):
        notice = tag("p", "This run was interrupted; what follows is its state at that moment.", class_="notice")
    return join(
        tag("p", "Atinuke · training report", class_="eyebrow"),
        tag("h1", run.name),
        tag("p", lede, class_="lede"),
        notice,
    )


def _figures(run: RunRecord) -> Html:
    copied, total = run.number("copied_8grams.copied"), run.number("copied_8grams.total")
    share = NOT_MEASURED if copied is None or not total else f"{copied / total:.1%}"
    of = f"{show_count(copied)} of {show_count(total)} in the samples" if total else "samples too short to tell"
    steps, epochs = run.number("steps"), run.number("epochs")
    seen = [f"{show_count(steps)} steps"] if steps is not None else []
    seen += [f"{epochs:.2f} passes over the text"] if epochs is not None else []
    batch = "" if run.number("batch_tokens") is None else f"{show_count(run.number('batch_tokens'))} tokens per step"
    tiles = [
        _tile("Train/val gap", show_decimal(run.number("gap_bpb")), "bits/byte; wide: learned by heart"),
        _tile("Parameters", show_short(run.number("params")), _shape(run)),
        _tile("Tokens seen", show_short(run.tokens_seen), ", ".join(seen)),
        _tile("Time used", *_time(run)),
        _tile("Tokens per second", show_short(run.number("tokens_per_s")), batch),
        _tile("Copied 8-grams", share, of if copied is not None else ""),
    ]
    return tag("section", _hero(run), *tiles, class_="figures", aria_label="Results")


def _hero(run: RunRecord) -> Html:
    score, rival = run.number("val_bpb"), run.number("baseline_5gram_bpb")
    rows = [
        ("Training text", run.number("train_bpb"), "bar"),
        ("Unseen text", score, "bar model"),
        ("Byte 5-gram, unseen text", rival, "bar rival"),
    ]
    longest = max((value for _, value, _ in rows if value is not None), default=1.0) or 1.0
    bars: list[Html] = []
    for label, value, kind in rows:
        width = None if value is None else f"width:{72 * value / longest:.2f}%"
        bar = tag("span", class_=kind, style=width) if width else None
        bars += [tag("dt", label), tag("dd", tag("span", bar, show_decimal(value), class_="track"))]
    verdict = None
    if score is not None and rival:
        change = f"{abs(1 - score / rival):.1%} {'fewer' if score < rival else 'more'} bits"
        verdict = f"On unseen text the model needs {change} than counting bytes does (5-gram, Kneser-Ney)."
    per_token = run.number("val_token_perplexity")
    perplexity = "" if per_token is None else f" Perplexity per token: {per_token:.1f}."
    return tag(
        "div",
        tag(
            "div",
            tag("div", show_decimal(score), class_="value none" if score is None else "value"),
            tag("div", "bits per byte on unseen text", class_="label"),
            tag("p", f"Lower is better; 8 is knowing nothing.{perplexity}", class_="quiet"),
        ),
        tag("div", tag("dl", *bars, class_="bars"), tag("p", verdict, class_="verdict quiet") if verdict else None),
        class_="card hero",
    )


def _tile(label: str, value: str, more: str | Html) -> Html:
    kind = "value none" if value == NOT_MEASURED else "value"
    return tag(
        "div",
        tag("div", label, class_="label"),
        tag("div", value, class_=kind),
        tag("div", more, class_="more"),
        class_="card tile",
    )


def _shape(run: RunRecord) -> str:
    layers, width, heads = (run.number(f"sizes.{key}") for key in ("layer_count", "model_dim", "head_count"))
    facts = [
        f"{layers:.0f} layers" if layers else "",
        f"width {width:.0f}" if width else "",
        f"{heads:.0f} heads" if heads else "",
    ]
    return ", ".join(fact for fact in facts if fact)


def _time(run: RunRecord) -> tuple[str, Html]:
    used, budget = run.number("elapsed_s"), run.number("time_budget_s")
    if used is None or not budget:
        return show_seconds(used), join("no time budget")
    meter = tag("span", style=f"width:{min(100.0, 100 * used / budget):.1f}%")
    return show_seconds(used), join(
        tag("div", meter, class_="meter", aria_hidden="true"), f"{used / budget:.1%} of {show_seconds(budget)}"
    )


def _curves(run: RunRecord) -> Html:
    if not len(run.metrics["step"]):
        return tag("p", f"No step was recorded: {NOT_MEASURED}.", class_="quiet")
    in_bits = run.number("tokenizer.bytes_per_token") is not None
    drawn = measured(run.metrics)
    figures = [
        tag(
            "figure",
            tag("figcaption", tag("b", title), tag("span", about if name in drawn else NOT_MEASURED)),
            _plot(name, title, run) if name in drawn else None,
            class_="card wide" if name == "loss" else "card needs-script",
        )
        for name, title, about in CHARTS
    ]
    return join(
        _tools(in_bits),
        tag("div", *figures, class_="charts"),
        tag(
            "p",
            "Drag across a chart to look closer, double-click to go back. Arrow keys move the reading of a chart.",
            class_="quiet needs-script",
        ),
        tag("p", id="reading", class_="unseen", aria_live="polite"),
    )


def _plot(name: str, title: str, run: RunRecord) -> Html:
    note = (
        "JavaScript, which draws the curves, is off. The line is the smoothed loss, the dots are validation estimates."
    )
    still = tag("noscript", loss_picture(run.metrics), tag("p", note, class_="quiet")) if name == "loss" else None
    place = tag(
        "div",
        class_="plot needs-script",
        data_chart=name,
        tabindex=0,
        role="group",
        aria_label=f"{title}: arrow keys move the reading",
    )
    return join(place, still)


def _tools(in_bits: bool) -> Html:
    groups = []
    for name, (legend, choices) in CHOICES.items():
        offered = [choice for choice in choices if in_bits or choice[0] != "bits"]
        buttons: list[Html] = []
        for at, (value, label) in enumerate(offered):
            key = f"{name}-{value}"
            buttons.append(tag("input", type="radio", name=name, id=key, value=value, checked="" if at == 0 else None))
            buttons.append(tag("label", label, for_=key))
        groups.append(tag("fieldset", tag("legend", legend), tag("span", *buttons, class_="segments")))
    log = tag("label", tag("input", type="checkbox", id="log-y"), "logarithmic loss", class_="check")
    return tag("div", *groups, log, class_="tools", hidden="")


def _samples(run: RunRecord) -> Html:
    figures = [
        tag(
            "figure",
            tag("figcaption", f"Sample {at}, " + ("the prompt is marked" if prompt else "without a prompt")),
            tag("pre", tag("mark", prompt) if prompt else None, tag("span", text), dir="auto"),
            class_="card",
        )
        for at, (prompt, text) in enumerate(run.samples, start=1)
    ]
    body = tag("div", *figures, class_="samples") if figures else tag("p", NOT_MEASURED, class_="quiet")
    return tag("section", tag("h2", "What it writes"), body)


def _footer(run: RunRecord) -> Html:
    version = run.environment.get("atinuke")
    made = f"Made by atinuke{f' {version}' if version else ''} from the files of this run folder; it loads nothing."
    return join(tag("p", PROTOCOL), tag("p", made))
