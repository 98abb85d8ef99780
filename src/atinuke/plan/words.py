"""Numbers as people read them."""

from collections.abc import Sequence

UNITS = ((1e12, "trillion"), (1e9, "billion"), (1e6, "million"))
GIB, MIB = 2**30, 2**20


def count(number: float) -> str:
    """ "6.92 billion", "41.0 million", "9,800"."""
    for size, name in UNITS:
        if number >= size:
            return f"{number / size:.3g} {name}"
    return f"{number:,.0f}"


def size(number: float) -> str:
    """Bytes in GiB from one on, in MiB below."""
    return f"{number / GIB:,.1f} GiB" if number >= GIB else f"{number / MIB:,.0f} MiB"


def duration(seconds: float) -> str:
    """ "14 days", "5.2 hours", "90 s"."""
    for unit_s, name in ((86_400.0, "days"), (3600.0, "hours"), (60.0, "minutes")):
        if seconds >= 2 * unit_s:
            return f"{seconds / unit_s:,.1f} {name}"
    return f"{seconds:,.0f} s"


def listed(rows: Sequence[tuple[str, str]]) -> str:
    """A name and a text to each line."""
    width = max(len(name) for name, _ in rows)
    return "\n".join(f"{name:<{width}}  {text}" for name, text in rows)
