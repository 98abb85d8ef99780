"""Stop texts: never shown, not even their beginning, and the same whatever the pieces."""

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

from atinuke.generate.stopping import StopTexts

letters = st.text("ab\n", max_size=24)
stop_lists = st.lists(st.text("ab\n", min_size=1, max_size=5), max_size=3)


def shown(text: str, stops: list[str], cuts: list[int]) -> tuple[list[str], bool]:
    """What appears of `text` when it comes in pieces, and whether a stop text ended it."""
    gate = StopTexts(stops)
    borders = [0, *sorted({min(cut, len(text)) for cut in cuts}), len(text)]
    pieces = []
    for start, end in pairwise(borders):
        pieces.append(gate.feed(text[start:end]))
        if gate.is_found:
            return pieces, True
    return [*pieces, gate.finish()], False


def as_described(text: str, stops: list[str]) -> tuple[str, bool]:
    """The rule, character by character: the first stop text to be complete wins, of two the longer."""
    for end in range(1, len(text) + 1):
        complete = [stop for stop in stops if text[:end].endswith(stop)]
        if complete:
            return text[: end - len(max(complete, key=len))], True
    return text, False


@given(letters, stop_lists, st.lists(st.integers(0, 24), max_size=8))
@settings(max_examples=500, deadline=None)
def test_the_result_follows_the_rule_and_not_the_pieces(text: str, stops: list[str], cuts: list[int]) -> None:
    pieces, is_found = shown(text, stops, cuts)
    assert ("".join(pieces), is_found) == as_described(text, stops)


@given(letters, stop_lists, st.lists(st.integers(0, 24), max_size=8))
@settings(max_examples=300, deadline=None)
def test_what_is_shown_never_ends_on_a_beginning_of_a_stop_text_that_then_comes(
    text: str, stops: list[str], cuts: list[int]
) -> None:
    expected, _ = as_described(text, stops)
    so_far = ""
    for piece in shown(text, stops, cuts)[0]:
        so_far += piece
        assert expected.startswith(so_far), "something was shown that had to be taken back"


def test_a_stop_text_over_several_pieces_is_never_shown_even_partly() -> None:
    assert shown("one END two", ["END"], [5, 6]) == (["one ", "", ""], True)


def test_a_beginning_that_turns_out_harmless_appears_with_the_next_piece() -> None:
    gate = StopTexts(["\n\n"])
    assert gate.feed("a\n") == "a"
    assert gate.feed("b") == "\nb"
    assert not gate.is_found


def test_text_appears_at_once_where_there_is_nothing_to_stop_at() -> None:
    assert StopTexts(()).feed("abc") == "abc"
