"""Tags: to spans and back, and the best path against all paths."""

from itertools import pairwise, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from atinuke.tasks.roles.brackets import Span
from atinuke.tasks.roles.tags import IGNORE, Tags

LABELS = ("A0", "A1", "V")


@st.composite
def tagged(draw: st.DrawFn) -> tuple[int, tuple[Span, ...]]:
    length = draw(st.integers(1, 10))
    edges = sorted(draw(st.sets(st.integers(0, length))))
    pairs = pairwise(edges)
    return length, tuple(Span(*pair, draw(st.sampled_from(LABELS))) for pair in pairs if draw(st.booleans()))


def best_of_all(tags: Tags, scores: NDArray[np.float64], predicate: int) -> float:
    """The highest sum among allowed paths, by trying every one."""
    best = -np.inf
    for path in product(range(tags.predicate), repeat=len(scores)):
        follows = all(
            tag == 0 or tag % 2 == 1 or (word > 0 and path[word - 1] in (tag - 1, tag)) for word, tag in enumerate(path)
        )
        if follows and path[predicate] in (5, 6):
            best = max(best, sum(scores[word, tag] for word, tag in enumerate(path)))
    return best


def test_tags_worked_by_hand() -> None:
    tags = Tags(LABELS)
    spans = (Span(0, 2, "A0"), Span(2, 3, "V"), Span(3, 4, "A1"), Span(4, 6, "A1"))
    assert tags.count == 8
    assert tags.of_spans(7, spans).tolist() == [1, 2, 5, 3, 3, 4, 0]
    assert tags.of_predicates(4, [1, 3]).tolist() == [0, 7, 0, 7]
    assert tags.of_predicates(2, []).tolist() == [0, 0]
    assert "A0" in tags and "A9" not in tags


def test_a_label_that_was_not_learned_does_not_count() -> None:
    tags = Tags(LABELS)
    coded = tags.of_spans(3, (Span(0, 2, "AM-TMP"),))
    assert coded.tolist() == [IGNORE, IGNORE, 0]
    assert tags.to_spans(coded) == ()


@given(tagged())
def test_spans_come_back_from_their_tags(given_spans: tuple[int, tuple[Span, ...]]) -> None:
    length, spans = given_spans
    tags = Tags(LABELS)
    assert tags.to_spans(tags.of_spans(length, spans)) == spans


@pytest.mark.parametrize("seed", range(6))
def test_the_best_path_is_the_best_of_all_allowed_ones(seed: int) -> None:
    tags = Tags(LABELS)
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(4, tags.count))
    scores[:, tags.predicate] += 100  # never allowed beside a marked predicate
    path = tags.best_path(scores, predicate=2)
    assert path[2] in (5, 6)
    total = scores[np.arange(4), path].sum()
    assert total == pytest.approx(best_of_all(tags, scores, 2), abs=1e-12)


def test_without_rules_in_the_way_the_best_path_is_the_best_tag_of_each_word() -> None:
    tags = Tags(LABELS)
    expected = [1, 2, 5, 3, 4, 0]
    scores = np.zeros((6, tags.count))
    scores[np.arange(6), expected] = 1.0
    assert tags.best_path(scores, 2).tolist() == expected


def test_a_label_cannot_go_on_where_it_did_not_begin() -> None:
    tags = Tags(LABELS)
    scores = np.zeros((3, tags.count))
    scores[0, 4], scores[1, 2], scores[2, 5] = 9, 9, 9  # I-A1, I-A0, B-V
    spans = tags.to_spans(tags.best_path(scores, 2))
    assert spans == (Span(0, 2, "A0"), Span(2, 3, "V"))  # B-A0 I-A0 has 9; I-A1 has no beginning


def test_numbers_that_are_none_do_no_harm() -> None:
    tags = Tags(LABELS)
    scores = np.full((3, tags.count), np.nan, dtype=np.float32)
    assert len(tags.best_path(scores, 1)) == 3


def test_without_v_among_the_labels_the_predicate_may_have_any_tag() -> None:
    tags = Tags(("A0",))
    scores = np.zeros((1, tags.count))
    scores[0, 1] = 1.0
    assert tags.best_path(scores, 0).tolist() == [1]


def test_predicates_are_words_that_score_higher_as_one() -> None:
    tags = Tags(LABELS)
    scores = np.zeros((3, tags.count), dtype=np.float32)
    scores[1, tags.predicate] = 0.5
    scores[2, 1] = 9.0  # the tags of roles have no say here
    assert tags.to_predicates(scores) == [1]
