"""Figures: by hand, as scikit-learn and scipy have them, and where a formula leaves them open."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, matthews_corrcoef, mean_squared_error

from atinuke.tasks.sentences import metrics

Pairs = list[tuple[int, int]]

TWO_CLASSES = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=40)
CLASSES = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=40)
RATINGS = st.lists(st.tuples(st.integers(-20, 20), st.integers(-20, 20)), min_size=3, max_size=40)


def ids(pairs: Pairs) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    gold, found = np.array(pairs, dtype=np.int64).T
    return gold, found


def numbers(pairs: Pairs) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    gold, found = np.array(pairs, dtype=np.float64).T / 4  # with ties
    return gold, found


class TestClasses:
    def test_by_hand(self) -> None:
        # of class 1: two found, one missed, one taken for it; of class 0: none found
        gold, found = np.array([1, 1, 1, 0]), np.array([1, 0, 1, 1])
        assert metrics.accuracy(gold, found) == 50
        assert metrics.f1(gold, found) == pytest.approx(100 * 2 / 3)
        assert metrics.matthews(gold, found) == pytest.approx(100 * (2 * 0 - 1 * 1) / (3 * 3 * 1 * 1) ** 0.5)
        assert metrics.macro_f1(gold, found) == pytest.approx(100 / 3)

    @given(TWO_CLASSES)
    def test_as_scikit_learn_has_two(self, pairs: Pairs) -> None:
        gold, found = ids(pairs)
        assert metrics.accuracy(gold, found) == pytest.approx(100 * accuracy_score(gold, found))
        assert metrics.f1(gold, found) == pytest.approx(100 * f1_score(gold, found, zero_division=0))

    @given(CLASSES)
    def test_as_scikit_learn_has_several(self, pairs: Pairs) -> None:
        gold, found = ids(pairs)
        assume(len({*gold.tolist(), *found.tolist()}) > 1)  # of one class alone scikit-learn warns
        expected = f1_score(gold, found, average="macro", zero_division=0)
        assert metrics.macro_f1(gold, found) == pytest.approx(100 * expected)
        assert metrics.matthews(gold, found) == pytest.approx(100 * matthews_corrcoef(gold, found), abs=1e-9)

    @given(CLASSES)
    def test_all_right_is_a_hundred_per_cent(self, pairs: Pairs) -> None:
        gold, _ = ids(pairs)
        assert metrics.accuracy(gold, gold) == metrics.macro_f1(gold, gold) == 100
        assert metrics.matthews(gold, gold) == pytest.approx(100 if len(set(gold.tolist())) > 1 else 0)

    def test_a_constant_prediction_says_nothing(self) -> None:
        gold, zeros = np.array([0, 1, 1, 2]), np.zeros(4, dtype=np.int64)
        assert metrics.matthews(gold, zeros) == metrics.matthews(zeros, gold) == 0
        assert metrics.f1(gold, zeros) == metrics.f1(zeros, zeros) == 0

    def test_as_many_rows_as_qqp_has_do_not_overflow(self) -> None:
        gold = np.arange(400_000) % 2
        assert metrics.matthews(gold, gold) == pytest.approx(100)
        assert metrics.matthews(gold, 1 - gold) == pytest.approx(-100)


class TestNumbers:
    def test_by_hand(self) -> None:
        gold, found = np.array([1.0, 2.0, 3.0, 4.0]), np.array([2.0, 1.0, 3.0, 3.0])
        # differences from the mean: −1.5 −0.5 0.5 1.5 and −0.25 −1.25 0.75 0.75
        assert metrics.pearson(gold, found) == pytest.approx(100 * 2.5 / (5 * 2.75) ** 0.5)
        # ranks: 1 2 3 4 and 2 1 3.5 3.5
        assert metrics.spearman(gold, found) == pytest.approx(100 * 3.5 / (5 * 4.5) ** 0.5)
        assert metrics.mean_squared_error(gold, found) == 0.75

    @given(RATINGS)
    def test_as_scipy_has_them(self, pairs: Pairs) -> None:
        gold, found = numbers(pairs)
        assert metrics.mean_squared_error(gold, found) == pytest.approx(mean_squared_error(gold, found))
        assume(len(set(gold.tolist())) > 1 and len(set(found.tolist())) > 1)  # of a constant scipy warns
        assert metrics.pearson(gold, found) == pytest.approx(100 * pearsonr(gold, found).statistic, abs=1e-9)
        assert metrics.spearman(gold, found) == pytest.approx(100 * spearmanr(gold, found).statistic, abs=1e-9)

    @given(RATINGS, st.floats(1e-3, 1e3), st.floats(-100, 100))
    def test_scale_and_origin_do_not_matter(self, pairs: Pairs, scale: float, origin: float) -> None:
        gold, found = numbers(pairs)
        assert metrics.pearson(gold, scale * found + origin) == pytest.approx(metrics.pearson(gold, found), abs=1e-6)

    @pytest.mark.parametrize("value", [0.0, 0.1, -3.3, 1e308])
    def test_a_constant_prediction_says_nothing(self, value: float) -> None:
        gold, constant = np.array([0.5, 1.0, 4.0, 2.0, 0.1]), np.full(5, value)
        assert metrics.pearson(gold, constant) == metrics.spearman(gold, constant) == 0
        assert metrics.pearson(constant, gold) == metrics.spearman(constant, gold) == 0
        assert metrics.pearson(gold[:1], gold[:1]) == 0

    def test_no_number_is_too_large_or_too_small(self) -> None:
        gold = np.array([1.0, 2.0, 4.0])
        for scale in (1e307, 1e-300, 1e-320):
            assert metrics.pearson(gold, gold * scale) == pytest.approx(100, abs=1e-3)
            assert metrics.spearman(gold, gold * scale) == pytest.approx(100)
