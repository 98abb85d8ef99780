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
from atinuke.report.figures import results
from atinuke.report.markup import Html, fill, join, json_block, tag
from atinuke.report.measures import meaning, words_of
from atinuke.report.record import NOT_MEASURED, RunRecord, read_record, show_list, show_seconds, show_short
from atinuke.report.samples import samples
from atinuke.report.sections import commands, data, environment, plan

CHARTS = (  # {unit}, {loss}: words of the task
    ("loss", "Loss", "{loss}"),
    ("tokens_per_s", "Speed", "Training {unit} per second."),
    ("lr", "Learning rate", "As the schedule set it."),
    ("grad_norm", "Gradient norm", "Before any clipping."),
)
CHOICES = {
    "x": ("Along", (("elapsed_s", "time"), ("tokens", "{unit}"), ("step", "steps"))),
    "y": ("Loss in", (("bits", "bits/byte"), ("nats", "{loss_unit}"))),
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
            "figures": results(run),
            "curves": _curves(run),
            "sections": join(samples(run), plan(run), data(run), environment(run), commands(run)),
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
        "unit": run.task.unit,
        "bytes_per_token": run.number("tokenizer.bytes_per_token") if run.task.in_bits else None,
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


def _curves(run: RunRecord) -> Html:
    if not len(run.metrics["step"]):
        return tag("p", f"No step was recorded: {NOT_MEASURED}.", class_="quiet")
    in_bits = run.task.in_bits and run.number("tokenizer.bytes_per_token") is not None
    drawn = measured(run.metrics)
    figures = [
        tag(
            "figure",
            tag("figcaption", tag("b", title), tag("span", _of_task(about, run) if name in drawn else NOT_MEASURED)),
            _plot(name, title, run) if name in drawn else None,
            class_="card wide" if name == "loss" else "card needs-script",
        )
        for name, title, about in CHARTS
    ]
    return join(
        _tools(run, in_bits),
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
    still = (
        tag(
            "noscript",
            loss_picture(run.metrics, run.task.loss_unit.replace("/", " per ")),
            tag("p", note, class_="quiet"),
        )
        if name == "loss"
        else None
    )
    place = tag(
        "div",
        class_="plot needs-script",
        data_chart=name,
        tabindex=0,
        role="group",
        aria_label=f"{title}: arrow keys move the reading",
    )
    return join(place, still)


def _of_task(words: str, run: RunRecord) -> str:
    task = run.task
    return words.format(unit=task.unit, loss=task.loss_about, loss_unit=task.loss_unit)


def _tools(run: RunRecord, in_bits: bool) -> Html:
    groups = []
    for name, (legend, choices) in CHOICES.items():
        offered = [choice for choice in choices if in_bits or choice[0] != "bits"]
        buttons: list[Html] = []
        for at, (value, label) in enumerate(offered):
            key = f"{name}-{value}"
            buttons.append(tag("input", type="radio", name=name, id=key, value=value, checked="" if at == 0 else None))
            buttons.append(tag("label", _of_task(label, run), for_=key))
        groups.append(tag("fieldset", tag("legend", legend), tag("span", *buttons, class_="segments")))
    log = tag("label", tag("input", type="checkbox", id="log-y"), "logarithmic loss", class_="check")
    return tag("div", *groups, log, class_="tools", hidden="")


def _footer(run: RunRecord) -> Html:
    version = run.environment.get("atinuke")
    made = f"Made by atinuke{f' {version}' if version else ''} from the files of this run folder; it loads nothing."
    # Where the top of the page holds the score against a rival, what the score is has its place here.
    return join(tag("p", meaning(run)) if words_of(run).rival else None, tag("p", made))
