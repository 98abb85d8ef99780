"""The top of the report: the figure that counts, what it means, and the tiles below it."""

from atinuke.report.markup import Html, join, tag
from atinuke.report.measures import Figure, batch, figures, meaning, score, words_of
from atinuke.report.record import NOT_MEASURED, RunRecord, show_count, show_seconds, show_short


def results(run: RunRecord) -> Html:
    """All figures of the run."""
    unit = run.task.unit
    steps, epochs = run.number("steps"), run.number("epochs")
    seen = [f"{show_count(steps)} steps"] if steps is not None else []
    seen += [f"{epochs:.2f} passes over the {run.task.material}"] if epochs is not None else []
    size, what = batch(run)
    own = [_tile(figure.label, figure.shown, figure.more) for tile in run.task.tiles for figure in figures(run, tile)]
    tiles = [
        *own[:1],
        _tile("Parameters", show_short(run.number("params")), shape(run)),
        _tile(f"{unit.capitalize()} seen", show_short(run.tokens_seen), ", ".join(seen)),
        _tile("Time used", *_time(run)),
        _tile(
            f"{unit.capitalize()} per second",
            show_short(run.number("tokens_per_s")),
            "" if size is None else f"{show_count(size)} {what} per step",
        ),
        *own[1:],
    ]
    return tag("section", _hero(run), *tiles, class_="figures", aria_label="Results")


def shape(run: RunRecord) -> str:
    """5 layers, width 128, 4 heads."""
    sizes = [(words, run.number(f"sizes.{key}")) for key, words in run.task.shape]
    shown = [(words.format(f"{size:.0f}"), size) for words, size in sizes if size]
    return ", ".join(words.removesuffix("s") if size == 1 else words for words, size in shown)


def _hero(run: RunRecord) -> Html:
    found, words = score(run), words_of(run)
    also = [] if words.also is None else [figure for figure in figures(run, words.also) if figure.number is not None]
    told = " ".join(filter(None, (words.reading, *(f"{figure.label}: {figure.shown}." for figure in also))))
    verdict = _against_rival(run) if words.rival else meaning(run)
    return tag(
        "div",
        tag(
            "div",
            tag("div", found.shown, class_="value none" if found.number is None else "value"),
            tag("div", found.label, class_="label"),
            tag("p", told, class_="quiet"),
            tag("p", found.more, class_="quiet note") if found.more else None,
        ),
        tag("div", _bars(run), tag("p", verdict, class_="verdict quiet") if verdict else None),
        class_="card hero",
    )


def _bars(run: RunRecord) -> Html | None:
    words = words_of(run)
    shown = [(figure, bar.look) for bar in words.bars for figure in figures(run, bar)]
    if not shown:
        return None
    longest = words.full or max((figure.number for figure, _ in shown if figure.number is not None), default=1.0) or 1.0
    parts: list[Html] = []
    for figure, look in shown:
        parts += [
            tag("dt", figure.label),
            tag("dd", tag("span", _bar(figure, look, longest), figure.shown, class_="track")),
        ]
    return tag("dl", *parts, class_="bars")


def _bar(figure: Figure, look: str, longest: float) -> Html | None:
    if figure.number is None:
        return None
    return tag("span", class_=f"bar {look}".strip(), style=f"width:{72 * max(0.0, figure.number) / longest:.2f}%")


def _against_rival(run: RunRecord) -> str:
    """How the score stands to that of counting; nothing where one of the two was not measured."""
    own, rival = run.number(run.task.score_key), run.number(words_of(run).rival)
    if own is None or not rival:
        return ""
    change = f"{abs(1 - own / rival):.1%} {'fewer' if own < rival else 'more'} bits"
    return f"On unseen text the model needs {change} than counting bytes does (5-gram, Kneser-Ney)."


def _tile(label: str, value: str, more: str | Html) -> Html:
    kind = "value none" if value == NOT_MEASURED else "value"
    return tag(
        "div",
        tag("div", label, class_="label"),
        tag("div", value, class_=kind),
        tag("div", more, class_="more"),
        class_="card tile",
    )


def _time(run: RunRecord) -> tuple[str, Html]:
    used, budget = run.number("elapsed_s"), run.number("time_budget_s")
    if used is None or not budget:
        return show_seconds(used), join("no time budget")
    meter = tag("span", style=f"width:{min(100.0, 100 * used / budget):.1f}%")
    return show_seconds(used), join(
        tag("div", meter, class_="meter", aria_hidden="true"), f"{used / budget:.1%} of {show_seconds(budget)}"
    )
