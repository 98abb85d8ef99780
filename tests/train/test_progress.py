"""The display: what it says, what it refuses to obey, and that it never stands in training's way."""

import io
import re
import sys
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.train.progress import Display, Progress, Quiet, plain_text


class Clock:
    """Seconds that pass when told to."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE", "LINES"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    yield Terminal()


def visible(stream: io.StringIO) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]|\r", "", stream.getvalue())


def test_a_plain_log_has_a_line_for_each_phase_with_its_time_and_what_it_reached(clock: Clock) -> None:
    log = io.StringIO()
    with Progress(time_budget_s=100, stream=log, clock=clock) as display:
        display.phase("reading")
        display.update(note="3 documents")
        clock.now_s += 1.25
        display.phase("training")
        display.update(step=7, loss=2.5, bits_per_byte=1.8, lr=0.003, tokens_per_s=12345)
        clock.now_s += 70
    assert log.getvalue().splitlines() == [
        "reading: 1.2 s, 3 documents",
        "training: 1:10, step 7, loss 2.500, 1.800 bits/byte, 12.3k tokens/s",
    ]


def test_a_plain_log_gets_a_training_line_every_twentieth_of_a_long_time_budget(clock: Clock) -> None:
    log = io.StringIO()
    with Progress(time_budget_s=400, stream=log, clock=clock) as display:
        display.phase("training")
        for step in range(4000):
            display.update(step=step, loss=1.0)
            clock.now_s += 0.1
        lines = log.getvalue().splitlines()
    assert 18 <= len(lines) <= 20
    assert lines[0] == "training 5%: step 200, loss 1.000, 6:20 left"


def test_a_plain_log_gets_at_most_a_line_every_five_seconds_on_a_short_budget(clock: Clock) -> None:
    log = io.StringIO()
    with Progress(total_steps=300, stream=log, clock=clock) as display:
        display.phase("training")
        for step in range(300):
            display.update(step=step)
            clock.now_s += 0.1
        lines = log.getvalue().splitlines()
    assert lines == [
        f"training {step / 300:.0%}: step {step}, 0:{30 - step // 10:02} left" for step in range(50, 300, 50)
    ]


def test_a_budget_counts_what_was_spent_before_the_display_began(clock: Clock) -> None:
    display = Progress(time_budget_s=100, spent_s=40, stream=io.StringIO(), clock=clock)
    display.phase("training")
    clock.now_s += 10
    assert (display.part, display.left_s) == (0.5, 50)


@pytest.mark.parametrize("name", ["scoring", "sampling"])
def test_phases_after_the_saved_model_do_not_count_against_the_budget(name: str, clock: Clock) -> None:
    display = Progress(time_budget_s=100, stream=io.StringIO(), clock=clock)
    display.phase(name)  # type: ignore[arg-type]
    assert display.part is None
    assert display.left_s is None


def test_the_time_left_for_steps_is_the_mean_step_times_the_steps_to_come(clock: Clock) -> None:
    display = Progress(total_steps=100, stream=io.StringIO(), clock=clock)
    display.phase("training")
    display.update(step=10)
    assert display.left_s is None
    clock.now_s += 20
    display.update(step=20)
    assert (display.part, display.left_s) == (0.2, 160)


@pytest.mark.parametrize("kind", [Quiet, Progress])
def test_the_timeline_adds_up_each_phase_in_the_order_of_first_starts(kind: type, clock: Clock) -> None:
    display: Display = kind(clock=clock) if kind is Quiet else kind(stream=io.StringIO(), clock=clock)
    with display:
        for name, span_s in (("training", 3), ("saving", 1), ("training", 4), ("scoring", 2)):
            display.phase(name)  # type: ignore[arg-type]
            clock.now_s += span_s
        assert display.timeline == [("training", 7), ("saving", 1), ("scoring", 2)]
    clock.now_s += 100
    assert display.timeline == [("training", 7), ("saving", 1), ("scoring", 2)]


def test_a_quiet_display_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with Quiet() as display:
        display.phase("training")
        display.update(step=1, loss=2.0)
        display.say("hello")
    assert capsys.readouterr() == ("", "")


def test_a_terminal_sees_the_bar_and_the_numbers_on_one_line(terminal: Terminal, clock: Clock) -> None:
    with Progress(time_budget_s=100, stream=terminal, clock=clock) as display:
        display.phase("training")
        clock.now_s += 50
        display.update(step=1234, loss=2.5, bits_per_byte=1.8, lr=0.003, tokens_per_s=12345)
        display._live.refresh()  # type: ignore[union-attr]
        drawn = visible(terminal)
    assert re.search(
        r"training  ━+  50%  step 1,234  loss 2.500  1.800 bits/byte  lr 0.003  12.3k tokens/s  0:50 left", drawn
    )


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 100, 200])
def test_the_live_line_fits_the_terminal(
    columns: int, terminal: Terminal, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    with Progress(time_budget_s=100, stream=terminal, clock=clock) as display:
        display.phase("training")
        display.update(step=1234, loss=2.5, bits_per_byte=1.8, lr=0.003, tokens_per_s=12345, note="n" * 30)
        display._live.refresh()  # type: ignore[union-attr]
        lines = visible(terminal).split("\n")
    assert max(map(len, lines)) <= columns
    assert any("loss" in line for line in lines) == (columns >= 60)


def test_what_is_said_stays_above_the_live_line_and_is_never_markup(terminal: Terminal) -> None:
    with Progress(stream=terminal) as display:
        display.phase("sampling")
        display.say("[bold red]not bold[/] [/nothing] :smile: \x1b[31mnot red\x1b[0m <b>")
    assert "[bold red]not bold[/] [/nothing] :smile: not red <b>" in visible(terminal)
    assert "\x1b[31m" not in terminal.getvalue()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_an_interruption_leaves_the_terminal_usable_and_the_phase_named(
    error: type[BaseException], terminal: Terminal, clock: Clock
) -> None:
    with pytest.raises(error), Progress(stream=terminal, clock=clock) as display:
        display.phase("training")
        clock.now_s += 2
        raise error
    assert terminal.getvalue().rstrip().endswith("\x1b[?25h")  # the cursor is shown again
    assert re.search(r"training +stopped after 2\.0 s", visible(terminal))
    assert display._live is not None
    assert not display._live.is_started


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_a_stream_that_breaks_does_not_stop_training(
    stream: type[io.StringIO], clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TERM", "xterm-256color")

    def broken(text: str) -> int:
        raise OSError(5, "Input/output error")

    out = stream()
    with Progress(time_budget_s=100, stream=out, clock=clock) as display:
        display.phase("reading")
        monkeypatch.setattr(out, "write", broken)
        display.say("lost")
        display.phase("training")
        clock.now_s += 30
        display.update(step=1)
    assert display.timeline == [("reading", 0), ("training", 30)]


def test_a_log_in_another_encoding_gets_what_it_can_write(clock: Clock) -> None:
    raw = io.BytesIO()
    with Progress(stream=io.TextIOWrapper(raw, encoding="ascii", write_through=True), clock=clock) as display:
        display.phase("reading")
        display.update(note="12 × 64")
        display.say("Yorùbá \ud800")
    assert raw.getvalue() == b"Yor?b? ?\nreading: 0.0 s, 12 ? 64\n"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a\x1b[2J\x1b[1;31mb\x9b5mc", "abc"),
        ("a\x1b]0;title\x07b\x1b]8;;http://x\x1b\\c", "abc"),
        ("a\x1bPdcs\x9cb\x1bcc\x1b(0d", "abcd"),
        ("kept\x90 to the end of the text", "kept to the end of the text"),  # no terminator: nothing is swallowed
        ("a\rb\x08\x00\x07c\td\ne", "abc\td\ne"),
        ("admin\u202etxt.exe\u2066", "admintxt.exe"),
        ("ẹ̀kọ́ 日本 😀", "ẹ̀kọ́ 日本 😀"),
        ("end\x1b", "end"),
    ],
)
def test_control_characters_and_escape_sequences_are_taken_out(text: str, expected: str) -> None:
    assert plain_text(text) == expected


@given(st.text(st.sampled_from("ab\n\t[]0;m\x1b\x9b\x9d\x07\\\x90\x9cP]\u202e\ud800")))
def test_nothing_that_a_terminal_obeys_survives(text: str) -> None:
    cleaned = plain_text(text)
    assert not set(cleaned) & {*map(chr, range(32)), *map(chr, range(127, 160)), "\u202e", "\ud800"} - {"\n", "\t"}
    assert plain_text(cleaned) == cleaned


def test_standard_error_is_the_stream_unless_another_is_given(capsys: pytest.CaptureFixture[str]) -> None:
    with Progress() as display:
        display.say("here")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "here\n")
    assert display._stream is sys.stderr
