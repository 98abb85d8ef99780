"""What a run made of held-out data: text that it went on with, or what it wrote beside what is right."""

from atinuke.report.markup import Html, join, tag
from atinuke.report.measures import score
from atinuke.report.record import NOT_MEASURED, RunRecord


def samples(run: RunRecord) -> Html:
    """The section of samples, laid out as the run's task asks for."""
    words = run.task.samples
    if run.samples:
        body = {"text": _texts, "parts": _parts, "rows": _rows}[words.layout](run)
    else:
        body = tag("p", nothing_to_show(run), class_="quiet")
    return tag("section", tag("h2", words.title), body)


def nothing_to_show(run: RunRecord) -> str:
    """Why there are no samples: where those answered wrongly are shown, a run may have none."""
    return run.task.samples.none if run.task.samples.none and score(run).number is not None else NOT_MEASURED


def _texts(run: RunRecord) -> Html:
    figures = [
        tag(
            "figure",
            tag("figcaption", f"Sample {at}, " + ("the prompt is marked" if prompt else "without a prompt")),
            tag("pre", tag("mark", prompt) if prompt else None, tag("span", text), dir="auto"),
            class_="card",
        )
        for at, (prompt, text, _) in enumerate(run.samples, start=1)
    ]
    return tag("div", *figures, class_="samples")


def _parts(run: RunRecord) -> Html:
    labels = run.task.samples.labels
    figures = []
    for at, sample in enumerate(run.samples, start=1):
        parts = [
            join(tag("dt", label), tag("dd", tag("pre", tag("span", part), dir="auto")))
            for label, part in zip(labels, sample, strict=True)
            if label
        ]
        figures.append(tag("figure", tag("figcaption", f"Sample {at}"), tag("dl", *parts), class_="card"))
    return tag("div", *figures, class_="samples parts")


def _rows(run: RunRecord) -> Html:
    head = tag("thead", tag("tr", *(tag("th", label) for label in run.task.samples.labels)))
    rows = [tag("tr", *(tag("td", part, dir="auto") for part in sample)) for sample in run.samples]
    return tag("div", tag("table", head, tag("tbody", *rows), class_="facts"), class_="card scroll")
