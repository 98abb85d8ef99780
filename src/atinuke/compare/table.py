"""The table of a comparison, as Markdown that is aligned for reading as it stands."""

from pathlib import Path
from statistics import median

from atinuke.compare.results import BITS_PER_BYTE, Comparison, Row, spread
from atinuke.series.tables import aligned, machine_line

APART = "\\*"
"""Beside a network whose score is of another kind. Escaped: a bare star could begin emphasis."""
BASELINE = "byte 5-gram"


def table(comparison: Comparison) -> str:
    """One line for each network, best first, then the baseline; notes below."""
    measure = comparison.measure
    unit = "score" if measure is None else measure.name
    lines = [
        ("network", "parameters", "tokens seen", "tokens/s", "peak memory MB", f"{unit}: median (each seed)"),
        *(_cells(comparison, network) for network in comparison.ranking()),
    ]
    if comparison.baselines:
        lines.append((BASELINE, "–", "–", "–", "–", spread(comparison.baselines, 4)))
    return "\n".join([*aligned(lines), "", *(f"- {note}" for note in _notes(comparison))])


def page(comparison: Comparison, folder: Path) -> str:
    """What table.md holds: the command, the table, the picture, the machine."""
    machine = comparison.environment
    lines = [f"# {folder.name}", "", "```sh", comparison.command, "```", "", table(comparison)]
    if comparison.finished:
        lines += ["", "![Scores and curves](picture.png)"]
    if machine:
        lines += ["", machine_line(machine)]
    return "\n".join(lines) + "\n"


def result_line(row: Row) -> str:
    """What a run came to, in one line."""
    if row.score is None:
        stopped = "stopped; what it learned is saved" if row.status == "interrupted" else row.status
        return f"{row.status}: {row.error}" if row.error else stopped
    parts = [f"{_number(row.score.value, row.score.name)} {row.score.name}"]
    for key, unit in (("params", "parameters"), ("train_tokens", "tokens"), ("tokens_per_s", "tokens/s")):
        if (value := row.figures.get(key)) is not None:
            parts.append(f"{value:,.0f} {unit}")
    if row.peak_memory_mb is not None:
        parts.append(f"{row.peak_memory_mb:,.0f} MB")
    return ", ".join(parts)


def _cells(comparison: Comparison, network: str) -> tuple[str, ...]:
    rows = [row for row in comparison.of(network) if row.score is not None]

    def figures(key: str) -> list[float]:
        return [float(value) for row in rows if (value := row.figures.get(key)) is not None]

    def middle(key: str) -> str:
        return f"{median(values):,.0f}" if (values := figures(key)) else "–"

    peaks = [row.peak_memory_mb for row in rows if row.peak_memory_mb is not None]
    name = network + (APART if comparison.stands_apart(network) else "")
    return (
        name,
        spread(figures("params")),
        middle("train_tokens"),
        middle("tokens_per_s"),
        f"{max(peaks):,.0f}" if peaks else "–",
        _scores(comparison, network),
    )


def _scores(comparison: Comparison, network: str) -> str:
    rows = comparison.of(network)
    found = [row.score for row in rows if row.score is not None]
    if not found:
        return "–"
    each = " ".join("–" if row.score is None else _number(row.score.value, row.score.name) for row in rows)
    unit = f" {found[0].name}" if comparison.stands_apart(network) else ""
    return f"{_number(median(score.value for score in found), found[0].name)}{unit} ({each})"


def _notes(comparison: Comparison) -> list[str]:
    measure = comparison.measure
    unit = "a score" if measure is None else measure.name
    notes = []
    if measure is not None:
        seeds = " ".join(map(str, comparison.seeds))
        what = "on held-out text" if measure.name == BITS_PER_BYTE else measure.note
        notes.append(
            f"Seeds {seeds}. {unit}: {measure.is_better} is better{what and f'; {what}'}. "
            "Tokens seen and tokens/s: medians over the seeds. Peak memory: the most that the process of one run held."
        )
    if comparison.baselines:
        notes.append(f"{BASELINE}: a table of which byte follows which four, counted on the same text, without a seed.")
    for network in comparison.networks:
        if comparison.stands_apart(network):
            score = next(row.score for row in comparison.of(network) if row.score is not None)
            notes.append(
                f"{APART} {network}: {score.name}, not comparable with {unit}. Each token is guessed from both its "
                "sides, which makes that easier and gives no probability to a text."
            )
    done, count = len(comparison.finished), len(comparison.rows)
    if done < count:
        notes.append(f"{done} of {count} runs are done.")
    return notes + comparison.notes()


def _number(value: float, name: str) -> str:
    return f"{value:.4f}" if "bits" in name or "nats" in name else f"{value:.2f}"
