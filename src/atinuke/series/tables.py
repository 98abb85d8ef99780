"""Tables in Markdown that are aligned for reading as they stand."""

from collections.abc import Mapping, Sequence
from typing import Any


def aligned(lines: Sequence[Sequence[str]], *, left: Sequence[int] = (0, -1)) -> list[str]:
    """The lines of a table, its head first; columns are set to the right but for those in `left`."""
    count = len(lines[0])
    to_the_left = {column % count for column in left}
    widths = [max(len(line[column]) for line in lines) for column in range(count)]

    def padded(cells: Sequence[str]) -> str:
        texts = [
            cell.ljust(width) if column in to_the_left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(texts)} |"

    rules = ["-" * width if column in to_the_left else "-" * (width - 1) + ":" for column, width in enumerate(widths)]
    return [padded(lines[0]), f"| {' | '.join(rules)} |", *(padded(line) for line in lines[1:])]


def machine_line(environment: Mapping[str, Any]) -> str:
    """Processor and versions in one line, from environment.json."""
    facts = [environment.get("cpu"), f"{environment.get('cores')} cores", environment.get("gpu"), environment.get("os")]
    versions = [f"{name} {environment[name]}" for name in ("atinuke", "torch", "python") if environment.get(name)]
    return f"Machine: {', '.join([str(fact) for fact in facts if fact] + versions)}."
