"""What training shows while it runs: one live line in a terminal, a few plain lines elsewhere, or nothing.

`update` only notes the newest numbers; drawing happens twice a second beside the training, so that a step pays
about a microsecond. A display never stops training: a stream that breaks is left alone.
"""

import re
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Literal, Protocol, Self, TextIO

from rich.console import Console, ConsoleOptions, RenderResult
from rich.live import Live
from rich.text import Text

Phase = Literal[
    "reading", "tokenizer", "encoding", "planning", "compiling", "training", "saving", "scoring", "sampling"
]

DRAWINGS_PER_S = 2
LINE_EVERY_S = 5.0  # plain lines are at least this far apart ...
LINE_EVERY_PART = 0.05  # ... and one is due after this part of the budget ...
LINE_AT_LATEST_S = 60.0  # ... or after this time
AFTER_THE_BUDGET = ("scoring", "sampling")  # the budget ends with the saved model
SHORTEST_BAR = 10

# Escape sequences: CSI with its parameters; OSC, DCS and the like where they end on the same line; the short ones.
_ESCAPES = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"
    r"|(?:\x1b[PX\]^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c\n]*(?:\x07|\x9c|\x1b\\)"
    r"|\x1b[ -/]*[0-~]?"
)
# Whatever else is a control character but no line break or tab, and the signs that reorder the rest of a line.
_CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


class Display(Protocol):
    """Where training reports to; a context manager, entered before the first phase."""

    @property
    def timeline(self) -> list[tuple[str, float]]:
        """(phase, seconds) in the order of their first start; the running phase up to now."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def phase(self, name: Phase) -> None:
        """The phase before ends here, and `name` begins."""

    def update(
        self,
        *,
        step: int | None = None,
        loss: float | None = None,
        bits_per_byte: float | None = None,
        lr: float | None = None,
        tokens_per_s: float | None = None,
        note: str | None = None,
    ) -> None:
        """The newest numbers (loss in nats per token); None leaves what was there. `note` is free, short text."""

    def say(self, text: str) -> None:
        """A message that stays; plain text, whatever it holds."""


@dataclass(slots=True)
class _Numbers:
    """The newest of everything; cleared when a phase begins."""

    step: int | None = None
    loss: float | None = None
    bits_per_byte: float | None = None
    lr: float | None = None
    tokens_per_s: float | None = None
    note: str = ""


class _PhaseClock:
    """Seconds spent in each phase, and in the whole."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._ended: dict[str, float] = {}
        self._began_s = clock()
        self.phase: Phase | None = None

    def begin(self, name: Phase | None) -> None:
        now_s = self._clock()
        if self.phase is not None:
            self._ended[self.phase] = self._ended.get(self.phase, 0.0) + now_s - self._began_s
        if name is not None:
            self._ended.setdefault(name, 0.0)  # keeps the order of first starts
        self.phase, self._began_s = name, now_s

    @property
    def in_phase_s(self) -> float:
        return self._clock() - self._began_s

    @property
    def timeline(self) -> list[tuple[str, float]]:
        running = self.in_phase_s
        return [(name, spent + (running if name == self.phase else 0.0)) for name, spent in self._ended.items()]


class Quiet:
    """A display that shows nothing and still keeps the timeline: for use as a library."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._phases = _PhaseClock(clock)

    @property
    def timeline(self) -> list[tuple[str, float]]:
        return self._phases.timeline

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._phases.begin(None)

    def phase(self, name: Phase) -> None:
        self._phases.begin(name)

    def update(
        self,
        *,
        step: int | None = None,
        loss: float | None = None,
        bits_per_byte: float | None = None,
        lr: float | None = None,
        tokens_per_s: float | None = None,
        note: str | None = None,
    ) -> None:
        pass

    def say(self, text: str) -> None:
        pass


class Progress:
    """The display of the command line, on standard error unless another stream is given.

    The bar runs over `time_budget_s`, of which `spent_s` were gone before this object was made, in all phases up to
    saving; or over `total_steps` while training; with neither there is no bar.
    """

    def __init__(
        self,
        *,
        time_budget_s: float | None = None,
        total_steps: int | None = None,
        spent_s: float = 0.0,
        stream: TextIO | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._time_budget_s, self._total_steps = time_budget_s, total_steps
        self._clock = clock
        self._started_s = clock() - spent_s
        self._stream = sys.stderr if stream is None else stream
        self._phases = _PhaseClock(clock)
        self._numbers = _Numbers()
        self._first_step: tuple[int, float] | None = None  # the first step seen in this phase, and when
        self._live = _live_on(self._stream, self)
        self._line_s, self._line_part = -LINE_AT_LATEST_S, 0.0  # when, and how far, the last plain line was

    @property
    def timeline(self) -> list[tuple[str, float]]:
        return self._phases.timeline

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end_phase("" if kind is None else "stopped after ")
        self._phases.begin(None)
        if self._live is not None:
            with suppress(OSError, ValueError):
                self._live.stop()

    def phase(self, name: Phase) -> None:
        self._end_phase()
        self._phases.begin(name)
        self._numbers = _Numbers()
        self._first_step = None
        self._line_s = self._clock()  # the first plain line of a phase is due after LINE_EVERY_S
        self._line_part = self.part or 0.0

    def update(
        self,
        *,
        step: int | None = None,
        loss: float | None = None,
        bits_per_byte: float | None = None,
        lr: float | None = None,
        tokens_per_s: float | None = None,
        note: str | None = None,
    ) -> None:
        numbers = self._numbers
        if step is not None:
            numbers.step = step
            if self._first_step is None:
                self._first_step = (step, self._clock())
        if loss is not None:
            numbers.loss = loss
        if bits_per_byte is not None:
            numbers.bits_per_byte = bits_per_byte
        if lr is not None:
            numbers.lr = lr
        if tokens_per_s is not None:
            numbers.tokens_per_s = tokens_per_s
        if note is not None:
            numbers.note = note
        if self._live is None and self._clock() - self._line_s >= LINE_EVERY_S:
            self._plain_line()

    def say(self, text: str) -> None:
        self._print(Text(plain_text(text, self._encoding)))

    @property
    def part(self) -> float | None:
        """How much of the budget is used, 0 to 1; None where this phase counts against none."""
        if self._phases.phase is None or self._phases.phase in AFTER_THE_BUDGET:
            return None
        if self._time_budget_s:
            return min(1.0, (self._clock() - self._started_s) / self._time_budget_s)
        if self._total_steps and self._phases.phase == "training":
            return min(1.0, (self._numbers.step or 0) / self._total_steps)
        return None

    @property
    def left_s(self) -> float | None:
        """Seconds until the budget ends: exact for time, the mean step so far for steps; None while unknown."""
        if self.part is None:
            return None
        if self._time_budget_s:
            return max(0.0, self._time_budget_s - (self._clock() - self._started_s))
        first, step = self._first_step, self._numbers.step  # once: the drawing thread reads while training writes
        if first is None or step is None or self._total_steps is None or step <= first[0]:
            return None
        return (self._clock() - first[1]) / (step - first[0]) * max(0, self._total_steps - step)

    @property
    def _encoding(self) -> str:
        return getattr(self._stream, "encoding", None) or "utf-8"

    def _facts(self) -> list[tuple[int, str]]:
        """(importance, text) from left to right; the least important go first where the line is short."""
        numbers = self._numbers
        facts = [
            (5, f"step {numbers.step:,}" if numbers.step is not None else ""),
            (7, f"loss {numbers.loss:.3f}" if numbers.loss is not None else ""),
            (6, f"{numbers.bits_per_byte:.3f} bits/byte" if numbers.bits_per_byte is not None else ""),
            (1, f"lr {numbers.lr:.2g}" if numbers.lr is not None else ""),
            (3, f"{_short(numbers.tokens_per_s)} tokens/s" if numbers.tokens_per_s is not None else ""),
            (2, plain_text(numbers.note, self._encoding).replace("\n", " ")),
        ]
        return [(importance, text) for importance, text in facts if text]

    def _end_phase(self, how: str = "") -> None:
        """The line that stays of a phase; in a plain log it also says what the phase has reached."""
        if self._phases.phase is None:
            return
        facts = [text for importance, text in self._facts() if importance != 1]
        spent = f"{how}{_seconds(self._phases.in_phase_s)}"
        if self._live is None:
            self._print(Text(f"{self._phases.phase}: {', '.join([spent, *facts])}"))
        else:
            line = Text.assemble(
                (f"{self._phases.phase:<10}", "bold"), (f"{spent:>8}", ""), style="dim" if not how else ""
            )
            self._print(line.append("  " + "  ".join(facts)))

    def _plain_line(self) -> None:
        now_s, part = self._clock(), self.part
        advanced = part is not None and part - self._line_part >= LINE_EVERY_PART
        if not advanced and now_s - self._line_s < LINE_AT_LATEST_S:
            return
        self._line_s, self._line_part = now_s, part or 0.0
        share = f" {part:.0%}" if part is not None else ""
        left = [f"{_minutes(self.left_s)} left"] if self.left_s is not None else []
        facts = [text for _, text in self._facts()]
        self._print(Text(f"{self._phases.phase}{share}: {', '.join([*facts, *left])}"))

    def _print(self, line: Text) -> None:
        # A stream that is closed, full or gone must not cost a training run.
        with suppress(OSError, ValueError):
            if self._live is None:
                self._stream.write(line.plain + "\n")
                self._stream.flush()
            else:
                self._live.console.print(line, highlight=False, soft_wrap=True)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The live line, fitted to the width: phase, bar, numbers, time left."""
        phase = self._phases.phase  # once, as above
        if phase is None:
            return
        part, left_s, facts = self.part, self.left_s, self._facts()
        clock = f"{_minutes(left_s)} left" if left_s is not None else _minutes(self._phases.in_phase_s)
        width = min(options.max_width, console.width) - 1  # the last column makes some terminals wrap
        head = f"{phase:<10}"
        share = f" {part:>4.0%}" if part is not None else ""

        def used() -> int:
            return len(head) + len(share) + sum(len(text) + 2 for _, text in facts) + len(clock) + 2

        while facts and used() + SHORTEST_BAR > width:
            facts.remove(min(facts))
        line = Text(head, style="bold", no_wrap=True, overflow="crop", end="")
        if part is not None:
            full, empty = ("━", "━") if self._encoding.lower().replace("-", "").startswith("utf") else ("=", "-")
            cells = min(40, width - used())
            filled = round(max(0, cells) * part)
            line.append(full * filled, "not bold cyan").append(empty * (cells - filled), "not bold bright_black")
        line.append(share, "not bold")
        for _, text in facts:
            line.append(f"  {text}", "not bold")
        yield line.append(f"  {clock}", "not bold dim")


def plain_text(text: str, encoding: str = "utf-8") -> str:
    """`text` with nothing in it that a terminal would obey or its encoding cannot write; line breaks and tabs stay."""
    text = _CONTROLS.sub("", _ESCAPES.sub("", text))
    return text.encode(encoding, "replace").decode(encoding)


def _live_on(stream: TextIO, drawing: Progress) -> Live | None:
    """A live display where the stream is a terminal that can move its cursor; None elsewhere."""
    if not stream.isatty():
        return None
    console = Console(file=stream)
    if not console.is_terminal or console.is_dumb_terminal:
        return None
    return Live(
        console=console,
        get_renderable=lambda: drawing,
        refresh_per_second=DRAWINGS_PER_S,
        transient=True,
        # What others print goes above the line, but never from a file or pipe onto this terminal.
        redirect_stdout=sys.stdout.isatty(),
        redirect_stderr=sys.stderr.isatty(),
    )


def _short(count: float) -> str:
    """950 · 12.3k · 4.56M, three digits."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if count >= size:
            return f"{count / size:#.3g}".rstrip(".") + unit
    return f"{count:.0f}"


def _seconds(span_s: float) -> str:
    return f"{span_s:.1f} s" if span_s < 60 else _minutes(span_s)


def _minutes(span_s: float) -> str:
    """0:42 · 12:05 · 3:07:30."""
    minutes, seconds = divmod(round(span_s), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"
