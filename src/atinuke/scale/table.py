"""The tables of a ladder: what is planned, what the runs came to, what the laws say. Markdown, aligned for reading."""

import math
from collections.abc import Sequence
from pathlib import Path

from atinuke.scale.laws import FAR, Laws
from atinuke.scale.results import Row, Scaling
from atinuke.series.tables import aligned, machine_line
from atinuke.train.planning.fit import COVERAGE, PowerLaw
from atinuke.train.planning.law import Law
from atinuke.train.planning.text_facts import TextFacts

NAMES = {"e": "E", "a": "A", "alpha": "α", "b": "B", "beta": "β"}
POWERS = {"N": "parameters", "D": "bytes seen", "C": "operations"}
PERCENT = f"{100 * COVERAGE:.0f} %"


def plan_table(rows: Sequence[Row], seconds: Sequence[float], bytes_per_token: float) -> str:
    """What --dry-run shows."""
    lines = [("run", "width × layers", "parameters N", "tokens", "bytes D", "seconds", "")]
    for number, (row, each_s) in enumerate(zip(rows, seconds, strict=True), start=1):
        shape = f"{row.model_dim} × {row.layer_count}"
        note = "held out, takes the time that is left" if row.is_held_out else f"seed {row.seed}"
        seen = short(row.tokens * bytes_per_token)
        lines.append((str(number), shape, f"{row.parameters:,}", f"{row.tokens:,}", seen, f"{each_s:.0f}", note))
    return "\n".join(aligned(lines, left=(1, -1)))


def tables(scaling: Scaling, laws: Laws) -> str:
    """Runs, laws, the check, the best sizes, and what has to be known to read them."""
    parts = [_runs(scaling, laws), _law_lines(laws)]
    if laws.best:
        parts.append(_best_table(laws))
    notes = [*_notes(scaling, laws), *scaling.notes()]
    return "\n\n".join([*parts, "\n".join(f"- {note}" for note in notes)])


def page(scaling: Scaling, laws: Laws, folder: Path) -> str:
    """What table.md holds: the command, the tables, the picture, the machine."""
    lines = [f"# {folder.name}", "", "```sh", scaling.command, "```", "", tables(scaling, laws)]
    if scaling.fitted:
        lines += ["", "![Loss against parameters, bytes and operations](picture.png)"]
    if scaling.environment:
        lines += ["", machine_line(scaling.environment)]
    return "\n".join(lines) + "\n"


def result_line(row: Row) -> str:
    """What a run came to, in one line."""
    if row.bits_per_byte is None:
        stopped = "stopped; what it learned is saved" if row.status == "interrupted" else row.status
        return f"{row.status}: {row.error}" if row.error else stopped
    speed = row.figures.get("tokens_per_s") or 0.0
    return f"{row.bits_per_byte:.4f} bits per byte, {speed:,.0f} tokens/s, {row.wall_s or 0.0:.0f} s"


def check_line(laws: Laws) -> str:
    """The forecast and what was reached; empty without."""
    check = laws.check
    if check is None:
        return ""
    low, high = check.interval
    where = "inside" if check.is_inside else "OUTSIDE"
    return (
        f"Forecast of the held-out run: {check.predicted:.4f} bits per byte ({PERCENT}: {low:.4f} to {high:.4f}); "
        f"reached {check.reached:.4f}, {where} the interval, {100 * check.relative_error:+.2f} % off."
    )


def forecast_line(row: Row, text: TextFacts, laws: Laws) -> str:
    """What the law says of the held-out run, before that is trained."""
    if laws.fit is None:
        return f"No forecast: {laws.reason}"
    seen_bytes = row.tokens * text.bytes_per_token
    middle = laws.fit.law.loss(row.parameters, seen_bytes, text.train_bytes)
    low, high = laws.fit.interval(row.parameters, seen_bytes, text.train_bytes)
    return (
        f"{law_line(laws.fit.law)}; it foretells {middle:.4f} ({PERCENT}: {low:.4f} to {high:.4f}) for a larger run, "
        "which is trained now to check that."
    )


def law_line(law: Law) -> str:
    """With its numbers."""
    return f"L(N, D) = {law.e:.4g} + {law.a:.4g} · N^-{law.alpha:.3f} + {law.b:.4g} · D^-{law.beta:.3f} bits per byte"


def short(number: float) -> str:
    """1,234,567 as 1.23 M."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if abs(number) >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g}"


def _runs(scaling: Scaling, laws: Laws) -> str:
    head = ("width × layers", "parameters N", "bytes D", "passes", "operations C", "bits per byte", "law", "seed")
    lines = [head]
    for row in scaling.rows:
        shape = f"{row.model_dim} × {row.layer_count}{', held out' if row.is_held_out else ''}"
        if row.bits_per_byte is None:
            seen = short(row.tokens * scaling.text.bytes_per_token)
            lines.append((shape, f"{row.parameters:,}", seen, "–", "–", row.status, "–", str(row.seed)))
            continue
        point = row.point(scaling.text)
        by_law = "–"
        if laws.fit is not None:
            by_law = f"{laws.fit.law.loss(point.parameters, point.seen_bytes, point.unique_bytes):.4f}"
        cells = (
            f"{row.parameters:,}", short(point.seen_bytes), f"{row.figures['epochs']:.2f}", short(row.flops()),
            f"{row.bits_per_byte:.4f}", by_law, str(row.seed),
        )  # fmt: skip
        lines.append((shape, *cells))
    return "\n".join(aligned(lines, left=(0,)))


def _law_lines(laws: Laws) -> str:
    if laws.fit is None:
        return f"No law yet: {laws.reason}"
    law, within = laws.fit.law, laws.fit.intervals
    lines = [
        law_line(law),
        "",
        *aligned(
            [
                ("constant", "value", f"{PERCENT} interval"),
                *(
                    (sign, f"{getattr(law, name):.4g}", f"{within[name][0]:.4g} to {within[name][1]:.4g}")
                    for name, sign in NAMES.items()
                ),
                *(_power_cells(name, power) for name, power in laws.powers.items()),
            ]
        ),
    ]
    if line := check_line(laws):
        lines += ["", line]
    return "\n".join(lines)


def _power_cells(name: str, power: PowerLaw | str) -> tuple[str, str, str]:
    what = f"L({name}), exponent"
    if isinstance(power, str):
        return what, "–", "too few points"
    low, high = power.interval
    return what, f"{power.exponent:.4f}", f"{low:.4f} to {high:.4f}"


def _best_table(laws: Laws) -> str:
    head = ("on this machine", "best N", "tokens", "bytes D", "passes", "bits per byte", f"{PERCENT} interval")
    lines = [head]
    for best in laws.best:
        low, high = best.interval
        cells = (
            short(best.parameters), short(best.tokens), short(best.seen_bytes), f"{best.epochs:.1f}",
            f"{best.bits_per_byte:.3f}", f"{low:.3f} to {high:.3f}",
        )  # fmt: skip
        lines.append((best.budget + (" \\*" if best.is_far else ""), *cells))
    return "\n".join(aligned(lines))


def _notes(scaling: Scaling, laws: Laws) -> list[str]:
    notes = [
        "N: parameters of the matrices inside the blocks. D: bytes of training text seen. C: 6 operations for each "
        "of these parameters and tokens. Bits per byte on held-out text; lower is better."
    ]
    if laws.fit is not None:
        law = laws.fit.law
        grows = law.beta / (law.alpha + law.beta)
        notes.append(
            f"For twice the operations, the best N is {2**grows:.2f} times as large and the best D "
            f"{2 ** (1 - grows):.2f} times, as long as no text is repeated."
        )
        worst = max(abs(math.expm1(residual)) for residual in laws.fit.residuals)
        notes.append(
            f"The law is at most {100 * worst:.2f} % off the {len(scaling.fitted)} runs that it was fitted to."
        )
    for name, power in laws.powers.items():
        if isinstance(power, str):
            notes.append(f"L({name}) over {POWERS[name]}: {power}")
    if any(best.is_far for best in laws.best):
        notes.append(f"\\* more than {FAR:.0f} times the work of the largest run here: a guess.")
    return notes
