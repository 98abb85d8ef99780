"""Which spans are kept, and which are gathered in one cluster."""

from itertools import product

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from atinuke.tasks.coreference.spans import choose_spans, clusters_of


def table(words: int, widths: int, scores: dict[tuple[int, int], float]) -> np.ndarray:
    """Scores by first and last word; −∞ elsewhere."""
    found = np.full((words, widths), -np.inf, dtype=np.float32)
    for (first, last), score in scores.items():
        found[first, last - first] = score
    return found


def chosen(scores: np.ndarray, most: int) -> list[tuple[int, int]]:
    firsts, lasts = choose_spans(scores, most)
    assert firsts.dtype == lasts.dtype == np.int64
    return list(zip(firsts.tolist(), lasts.tolist(), strict=True))


class TestChoosing:
    def test_the_best_come_first_and_leave_sorted(self) -> None:
        scores = table(4, 3, {(2, 2): 3, (0, 0): 1, (1, 1): 2})
        assert chosen(scores, 2) == [(1, 1), (2, 2)]
        assert chosen(scores, 9) == [(0, 0), (1, 1), (2, 2)]

    def test_what_crosses_a_better_one_is_left_out(self) -> None:
        # (1, 3) crosses (0, 2); one that lies inside, one that begins or ends with it, and one around it do not
        scores = table(6, 6, {(0, 2): 9, (1, 3): 8, (1, 2): 7, (0, 1): 6, (0, 5): 5, (2, 4): 4, (1, 1): 3})
        # so do (0, 1) and (1, 2), which share a word, and (2, 4) and (0, 2)
        assert chosen(scores, 9) == [(0, 2), (0, 5), (1, 1), (1, 2)]

    @given(
        st.integers(1, 6).flatmap(
            lambda words: st.lists(
                st.one_of(st.just(-np.inf), st.integers(-3, 3).map(float)), min_size=words * 3, max_size=words * 3
            ).map(lambda scores: np.array(scores, dtype=np.float32).reshape(words, 3))
        ),
        st.integers(1, 8),
    )
    def test_as_the_readable_twin_has_it(self, scores: np.ndarray, most: int) -> None:
        words, widths = scores.shape
        scores = np.where(np.add.outer(np.arange(words), np.arange(widths)) < words, scores, -np.inf)
        scores = scores.astype(np.float32)
        spans = [(first, first + width) for first, width in product(range(words), range(widths))]
        order = sorted(range(len(spans)), key=lambda place: (-scores.ravel()[place], place))
        kept: list[tuple[int, int]] = []
        for place in order:
            first, last = spans[place]
            crosses = any(a < first <= b < last or first < a <= last < b for a, b in kept)
            if scores.ravel()[place] > -np.inf and not crosses and len(kept) < most:
                kept.append((first, last))
        assert chosen(scores, most) == sorted(kept)


class TestGathering:
    SPANS = ((0, 0), (1, 1), (2, 2), (3, 3))
    ANTECEDENTS = np.array([[0, 0], [0, 0], [1, 0], [2, 1]])

    def gathered(self, scores: list[list[float]], mentions: list[float], keeps: bool) -> list[list[tuple[int, int]]]:
        arrays = (np.array(mentions, dtype=np.float32), self.ANTECEDENTS, np.array(scores, dtype=np.float32))
        return clusters_of(self.SPANS, *arrays, keeps_singletons=keeps)

    def test_links_are_followed_through(self) -> None:
        none = -np.inf
        scores = [[none, none], [0.5, none], [-1, 0.2], [0.3, 2]]
        assert self.gathered(scores, [0, 0, 0, 0], False) == [[(0, 0), (1, 1), (2, 2), (3, 3)]]

    def test_a_link_that_scores_nothing_is_none(self) -> None:
        none = -np.inf
        scores = [[none, none], [0, none], [-1, -2], [1, -1]]
        assert self.gathered(scores, [1, -1, 1, 1], False) == [[(2, 2), (3, 3)]]
        assert self.gathered(scores, [1, -1, 1, 1], True) == [[(0, 0)], [(2, 2), (3, 3)]]

    def test_two_clusters_grow_side_by_side(self) -> None:
        none = -np.inf
        scores = [[none, none], [-1, none], [-1, 1], [-1, 1]]
        assert self.gathered(scores, [0] * 4, False) == [[(0, 0), (2, 2)], [(1, 1), (3, 3)]]
