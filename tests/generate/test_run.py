"""`atinuke generate`: what is written where, as text and as JSON, and that no output can steer a terminal."""

import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.config import build_settings
from atinuke.errors import ConfigError, SourceError
from atinuke.generate import run as stage
from atinuke.generate.config import GenerateConfig, SamplingRules
from atinuke.generate.decode import generate_text
from atinuke.generate.loading import load_trained
from atinuke.generate.run import BETWEEN, run, safe_for_terminal
from atinuke.testing import make_run


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "humpty")


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


class Pieces(io.StringIO):
    """Notes what has been flushed, piece by piece."""

    def __init__(self) -> None:
        super().__init__()
        self.flushed: list[str] = []

    def flush(self) -> None:
        if text := self.getvalue()[len("".join(self.flushed)) :]:
            self.flushed.append(text)


class Gone(io.StringIO):
    """A pipe whose reader leaves after some writes."""

    def __init__(self) -> None:
        super().__init__()
        self.left = 3

    def write(self, text: str) -> int:
        self.left -= 1
        if self.left < 0:
            raise BrokenPipeError
        return super().write(text)


def config(folder: Path, **more: object) -> GenerateConfig:
    return GenerateConfig.model_validate({"run": folder, "tokens": 30, "device": "cpu", **more})


def written(folder: Path, *, stdin: list[str] | None = None, out: io.StringIO | None = None, **more: object) -> str:
    out = io.StringIO() if out is None else out
    run(config(folder, **more), out, stdin)
    return out.getvalue()


def objects(folder: Path, **more: object) -> list[dict[str, object]]:
    return [json.loads(line) for line in written(folder, as_json=True, **more).splitlines()]


def test_the_prompt_and_what_follows_it_are_shown_as_they_come(folder: Path) -> None:
    trained = load_trained(folder, "cpu")
    pieces = list(generate_text(trained.model, trained.tokenizer, "Humpty", tokens=30, seed=5, context=trained.context))
    out = Pieces()
    assert written(folder, prompts=("Humpty",), seed=5, out=out) == "Humpty" + "".join(pieces) + "\n"
    assert out.flushed == ["Humpty", *pieces, "\n"]


def test_json_has_one_object_for_each_completion(folder: Path) -> None:
    found = objects(folder, prompts=("All", "the"), seed=7, count=2)
    assert [(each["prompt"], each["seed"]) for each in found] == [("All", 7), ("All", 8), ("the", 7), ("the", 8)]
    assert all(each.keys() == {"prompt", "completion", "seed", "tokens", "finish_reason"} for each in found)
    assert all(each["finish_reason"] in ("length", "end") for each in found)
    assert all(each["tokens"] == 30 for each in found if each["finish_reason"] == "length")


def test_a_completion_is_the_same_alone_and_among_others(folder: Path) -> None:
    together = objects(folder, prompts=("All", "the", ""), seed=3, count=3)
    for each in together:
        assert objects(folder, prompts=(each["prompt"],), seed=each["seed"]) == [each]


def test_text_and_json_hold_the_same_completions(folder: Path) -> None:
    found = objects(folder, prompts=("All", ""), count=2)
    expected = BETWEEN.join(f"{each['prompt']}{each['completion']}" for each in found) + "\n"
    assert written(folder, prompts=("All", ""), count=2) == expected


def test_a_stop_text_ends_the_completion_and_is_not_shown(folder: Path) -> None:
    whole = str(objects(folder)[0]["completion"])
    stop = whole[len(whole) // 2 :][:3]
    found = objects(folder, stop=(stop,))[0]
    assert found["completion"] == whole[: whole.index(stop)]
    assert found["finish_reason"] == "stop"


def test_prompts_come_from_stdin_line_by_line_as_they_arrive(folder: Path) -> None:
    out = Pieces()
    lines_read_after: list[int] = []

    def lines() -> Iterator[str]:
        for line in ("one\n", "\n", "two\r\n", "three"):
            lines_read_after.append(out.getvalue().count("\n"))
            yield line

    run(config(folder, prompts=("-",), as_json=True), out, lines())
    assert [json.loads(line)["prompt"] for line in out.getvalue().splitlines()] == ["one", "two", "three"]
    assert lines_read_after == [0, 1, 1, 2]


def test_stdin_that_is_not_text_is_refused_in_one_line(folder: Path) -> None:
    broken = io.TextIOWrapper(io.BytesIO(b"good\n\xff\xfe bad\n"), encoding="utf-8")
    with pytest.raises(SourceError, match="0xff") as caught:
        run(config(folder, prompts=("-",)), io.StringIO(), broken)
    assert "\n" not in str(caught.value)


def test_no_prompts_on_stdin_write_nothing(folder: Path) -> None:
    assert written(folder, prompts=("-",), stdin=[]) == ""


@given(st.text())
def test_a_terminal_gets_no_control_character_but_line_feed_and_tab(text: str) -> None:
    safe = safe_for_terminal(text)
    assert not [sign for sign in safe if (ord(sign) < 32 and sign not in "\n\t") or 127 <= ord(sign) < 160]
    assert len(safe) == len(text)
    assert all(after == before for before, after in zip(text, safe, strict=True) if before.isprintable())


def test_escapes_in_prompt_and_output_reach_a_pipe_but_no_terminal(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage, "generate_text", lambda *_, **__: Recited(["\x1b[2J", "\x9b31m", "ok\n"]))
    assert written(folder, prompts=("\x1b]0;title\x07",), out=Terminal()) == "␛]0;title␇␛[2J\ufffd31mok\n\n"
    assert written(folder, prompts=("a",)) == "a\x1b[2J\x9b31mok\n\n"
    line = written(folder, prompts=("a",), as_json=True, out=Terminal())
    assert line.isascii() and line.rstrip("\n").isprintable()
    assert json.loads(line)["completion"] == "\x1b[2J\x9b31mok\n"


def test_markup_is_shown_as_it_is(folder: Path) -> None:
    assert written(folder, prompts=("[bold]x[/bold] <b>",), out=Terminal()).startswith("[bold]x[/bold] <b>")


def test_a_reader_that_leaves_ends_the_writing(folder: Path) -> None:
    with pytest.raises(BrokenPipeError):  # which the command line ends on quietly
        written(folder, out=Gone(), tokens=200)


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("temperature", "-1", "0 (always the likeliest token) or more"),
        ("temperature", "nan", "a finite number"),
        ("top_k", "0", "1 or more, or none for all tokens"),
        ("top_k", "1.5", "a whole number"),
        ("top_p", "1.5", "more than 0 and at most 1"),
        ("repetition_penalty", "0", "more than 0; 1 changes nothing"),
        ("tokens", "0", "more than 0"),
        ("count", "-1", "more than 0"),
        ("seed", "-1", "0 or more"),
        ("stop", ("",), "texts of at least one character"),
        ("device", "tpu", "cpu"),
    ],
)
def test_a_setting_out_of_range_is_refused_with_the_flag_that_set_it(key: str, value: object, expected: str) -> None:
    with pytest.raises(ConfigError) as caught:
        build_settings(GenerateConfig, flags={"run": "runs/x", key: value})
    message = str(caught.value)
    assert f"--{key.replace('_', '-')}" in message
    assert expected in message
    assert message.isprintable(), "more than one line"


def test_the_settings_hold_the_sampling_rules_and_their_defaults() -> None:
    assert GenerateConfig(run=Path("x")).rules == SamplingRules()
    asked = build_settings(GenerateConfig, flags={"run": "x", "top_k": "5", "top_p": "0.5", "temperature": "0"})
    assert asked.rules == SamplingRules(temperature=0, top_k=5, top_p=0.5)


class Recited:
    """A completion with given pieces."""

    seed, token_count, finish_reason = 0, 3, "length"

    def __init__(self, pieces: list[str]) -> None:
        self._pieces = pieces

    def __iter__(self) -> Iterator[str]:
        return iter(self._pieces)
