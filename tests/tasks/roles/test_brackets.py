"""Brackets: a worked column, what is refused, and the way there and back."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.tasks.roles.brackets import BracketError, Span, cells_of, spans_of

LABELS = st.sampled_from(["A0", "A1", "C-A1", "R-A0", "AM-TMP", "V", "ARG1-DSP"])


@st.composite
def columns(draw: st.DrawFn) -> tuple[int, tuple[Span, ...]]:
    """A length, and spans that do not overlap."""
    length = draw(st.integers(1, 12))
    edges = sorted(draw(st.sets(st.integers(0, length))))
    spans = [Span(start, end, draw(LABELS)) for start, end in itertools.pairwise(edges) if draw(st.booleans())]
    return length, tuple(spans)


def test_a_column_worked_by_hand() -> None:
    cells = ["(A1*", "*", "*)", "*", "(V*)", "(C-A1*)", "(R-A0*)"]
    spans = (Span(0, 3, "A1"), Span(4, 5, "V"), Span(5, 6, "C-A1"), Span(6, 7, "R-A0"))
    assert spans_of(cells) == spans
    assert cells_of(7, spans) == cells


def test_a_closing_bracket_may_repeat_its_label() -> None:
    assert spans_of(["(A1*", "*A1)", "(V*V)"]) == (Span(0, 2, "A1"), Span(2, 3, "V"))


@pytest.mark.parametrize(
    ("cells", "word", "reason"),
    [
        (["(A0*", "*"], 0, "(A0* is not closed before the sentence ends"),
        (["*", "*)"], 1, "*) closes a bracket that was not opened"),
        (["(A0*))", "*"], 0, "(A0*)) closes a bracket that was not opened"),
        (["(A0*", "(A1*", "*))"], 1, "(A1* begins inside (A0*; expected arguments of one predicate not to nest"),
        (["(A0(A1*", "*))"], 0, "(A1* begins inside (A0*; expected arguments of one predicate not to nest"),
        (["(A0*", "*A1)"], 1, "A1) closes (A0*; expected brackets that do not cross"),
        (["*", ""], 1, " is no cell of brackets; expected *, (LABEL*, *) or (LABEL*)"),
        (["A0"], 0, "A0 is no cell of brackets; expected *, (LABEL*, *) or (LABEL*)"),
        (["(*)"], 0, "(*) is no cell of brackets; expected *, (LABEL*, *) or (LABEL*)"),
        (["(A0**)"], 0, "(A0**) is no cell of brackets; expected *, (LABEL*, *) or (LABEL*)"),
        (["(A 0*)"], 0, "(A 0*) is no cell of brackets; expected *, (LABEL*, *) or (LABEL*)"),
    ],
)
def test_what_is_not_balanced_is_refused_with_its_word(cells: list[str], word: int, reason: str) -> None:
    with pytest.raises(BracketError) as caught:
        spans_of(cells)
    assert (caught.value.word, caught.value.reason) == (word, reason)


def test_a_huge_cell_is_cut_where_it_is_named() -> None:
    with pytest.raises(BracketError) as caught:
        spans_of(["(" * 100_000])
    assert len(caught.value.reason) < 300


@given(columns())
def test_spans_come_back_from_their_cells(column: tuple[int, tuple[Span, ...]]) -> None:
    length, spans = column
    cells = cells_of(length, spans)
    assert len(cells) == length
    assert spans_of(cells) == spans


@given(st.lists(st.text(alphabet="()*A0 -", max_size=6), max_size=5))
def test_any_text_is_read_or_refused(cells: list[str]) -> None:
    try:
        spans = spans_of(cells)
    except BracketError as error:
        assert 0 <= error.word < len(cells)
        return
    assert spans_of(cells_of(len(cells), spans)) == spans


@pytest.mark.parametrize("spans", [[Span(0, 2, "A0"), Span(1, 3, "A1")], [Span(2, 4, "A0")], [Span(1, 1, "A0")]])
def test_spans_that_fit_no_column_are_refused(spans: list[Span]) -> None:
    with pytest.raises(ValueError, match="overlaps another, or leaves the 3 words"):
        cells_of(3, spans)
