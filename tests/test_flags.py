"""Flags that take several words: --pairs a b is --pairs a --pairs b, and what cannot be meant is refused."""

from typing import Any

import pytest
import typer
from hypothesis import given, settings
from hypothesis import strategies as st

from atinuke.cli import app
from atinuke.errors import ConfigError

STAGES: Any = typer.main.get_command(app).commands  # type: ignore[attr-defined]
WORDS = st.text(min_size=1, max_size=6).filter(lambda word: not word.startswith("-")) | st.just("-")
TRAIN_FLAGS = ("--pairs", "--examples", "--held-out")


def parsed(stage: str, *args: str) -> dict[str, Any]:
    """What was typed, by parameter; what was not is left out."""
    found = STAGES[stage].make_context(stage, list(args)).params
    return {name: value for name, value in found.items() if value not in (None, False, [], ())}


def refusal(stage: str, *args: str) -> str:
    with pytest.raises(ConfigError) as caught:
        parsed(stage, *args)
    assert str(caught.value).isprintable()
    return str(caught.value)


def test_a_flag_takes_all_words_up_to_the_next_flag() -> None:
    assert parsed("train", "--pairs", "de.txt", "en.txt", "--time", "1m") == {
        "pairs": ["de.txt", "en.txt"],
        "time": "1m",
    }
    assert parsed("generate", "run", "--input", "a.png", "b.wav", "--json") == {
        "run": "run",
        "input": ["a.png", "b.wav"],
        "as_json": True,
    }
    assert parsed("compare", "gpt", "book.txt", "--seeds", "0", "1", "2") == {
        "words": ["gpt", "book.txt"],
        "seeds": ["0", "1", "2"],
    }


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(TRAIN_FLAGS), st.lists(WORDS, min_size=1, max_size=3)), max_size=4))
def test_words_in_a_row_are_the_same_as_the_flag_repeated(groups: list[tuple[str, list[str]]]) -> None:
    in_a_row = [part for flag, words in groups for part in (flag, *words)]
    repeated = [part for flag, words in groups for word in words for part in (flag, word)]
    asked: dict[str, list[str]] = {}
    for flag, words in groups:
        asked.setdefault(flag.lstrip("-").replace("-", "_"), []).extend(words)
    assert parsed("train", *in_a_row) == parsed("train", *repeated) == asked


@settings(max_examples=30, deadline=None)
@given(st.lists(st.sampled_from([*TRAIN_FLAGS, "--pairs=x", "--time", "--quiet"]) | WORDS, max_size=8))
def test_a_line_that_is_written_out_stays_as_it_is(args: list[str]) -> None:
    [stage] = [STAGES["train"]]
    once = list(stage._one_each(args))
    assert list(stage._one_each(once)) == once


@settings(max_examples=30, deadline=None)
@given(st.lists(WORDS, max_size=4), st.lists(WORDS, max_size=3))
def test_words_before_the_flag_and_behind_a_double_dash_are_none_of_its_own(
    before: list[str], behind: list[str]
) -> None:
    found = parsed("train", *before, "--pairs", "a", "b", "--", *behind)
    assert found["pairs"] == ["a", "b"]
    assert found.get("source", []) == [*before, *behind]


def test_behind_a_double_dash_even_a_flag_is_a_word() -> None:
    assert parsed("train", "--pairs", "a", "--", "--pairs", "b") == {"pairs": ["a"], "source": ["--pairs", "b"]}


def test_with_an_equals_sign_it_takes_that_word_alone() -> None:
    assert parsed("train", "--pairs=a", "--pairs=b") == {"pairs": ["a", "b"]}
    assert parsed("train", "--pairs=a", "b") == {"pairs": ["a"], "source": ["b"]}
    assert parsed("train", "--pairs=--odd") == {"pairs": ["--odd"]}


def test_a_single_dash_is_a_word() -> None:
    assert parsed("generate", "run", "--input", "-", "a.png") == {"run": "run", "input": ["-", "a.png"]}


@pytest.mark.parametrize("args", [["--pairs"], ["--pairs", "a", "--pairs"], ["--pairs", "--"], ["--pairs", "--", "a"]])
def test_nothing_after_it_is_refused(args: list[str]) -> None:
    assert refusal("train", *args) == "--pairs needs a value, as in --pairs FILE…."


def test_a_flag_after_it_is_refused_and_said_how_it_could_be_meant() -> None:
    assert refusal("train", "--pairs", "--time", "1m") == (
        "--pairs needs a value and --time follows, a flag itself; if it is the value, write --pairs=--time."
    )


def test_an_empty_word_is_refused() -> None:
    assert refusal("train", "--pairs", "a", "") == "--pairs is an empty text; give a value or leave it out."


def test_a_flag_that_takes_one_word_still_takes_one() -> None:
    assert "one argument too many" in refusal("generate", "run", "prompt", "--tokens", "5", "more")
    assert refusal("train", "--time", "1m", "--time", "2m") == "--time is given 2 times; give it once."
