"""How unigram pieces are learnt: against enumeration of every segmentation, and on texts small enough to judge."""

import itertools
import math

import numpy as np
import pytest

from atinuke.tokenizers.unigram import build_lattices, digamma, train_pieces


def segmentations(word: str) -> list[list[str]]:
    """Every way to cut `word`."""
    ways = []
    for breaks in itertools.product([False, True], repeat=len(word) - 1):
        marks = [0, *(i + 1 for i, is_break in enumerate(breaks) if is_break), len(word)]
        ways.append([word[a:b] for a, b in itertools.pairwise(marks)])
    return ways


@pytest.mark.parametrize("words", [[("ab", 1)], [("abab", 3), ("bbba", 2)], [("abcab", 1), ("a", 7)]])
def test_expected_counts_and_best_splits_equal_those_of_all_segmentations(words: list[tuple[str, int]]) -> None:
    numbers: dict[str, int] = {}
    lattices = build_lattices(words, numbers)
    scores = np.log(np.random.default_rng(0).uniform(0.01, 1, len(numbers)))
    expected = dict.fromkeys(numbers, 0.0)
    for word, count in words:
        weights = [math.exp(sum(scores[numbers[piece]] for piece in way)) for way in segmentations(word)]
        for way, weight in zip(segmentations(word), weights, strict=True):
            for piece in way:
                expected[piece] += count * weight / sum(weights)
    assert sum(lattice.expect(scores) for lattice in lattices) == pytest.approx([expected[piece] for piece in numbers])
    splits = {
        word: max(
            (sum(scores[numbers[p]] for p in way) for way in segmentations(word) if len(way) > 1), default=-math.inf
        )
        for word, _ in words
    }
    found = {}
    texts = {number: text for text, number in numbers.items()}
    for lattice in lattices:
        for number, score in zip(lattice.whole_ids(), lattice.split_scores(scores), strict=True):
            found[texts[int(number)]] = score
    assert found == pytest.approx(splits)


def test_digamma_has_the_values_of_the_tables() -> None:
    euler = 0.57721566490153286
    x = np.array([0.5, 1.0, 2.0, 100.0])
    assert digamma(x) == pytest.approx([-euler - 2 * math.log(2), -euler, 1 - euler, 4.600161852738087])


def test_a_frequent_word_becomes_one_piece_and_a_rare_one_does_not() -> None:
    pieces = dict(train_pieces([(" river", 1000), (" bank", 500), (" rib", 2), ("qzx", 1)], 16))
    assert {" river", " bank"} <= set(pieces)
    assert " rib" not in pieces and "qzx" not in pieces
    assert pieces[" river"] > pieces[" bank"]


def test_scores_are_log_probabilities_best_first() -> None:
    learnt = train_pieces([("the", 50), ("then", 20), ("hen", 10), ("ten", 5)], 100)
    scores = [score for _, score in learnt]
    assert scores == sorted(scores, reverse=True)
    assert 0.5 < sum(map(math.exp, scores)) <= 1  # digamma keeps a part of the mass back


@pytest.mark.parametrize("size", [0, 1, 3, 5, 8])
def test_the_size_is_a_ceiling_and_characters_come_first(size: int) -> None:
    learnt = [piece for piece, _ in train_pieces([("abcabc", 10), ("bcbc", 5)], size)]
    assert len(learnt) <= size
    assert len(set(learnt) & set("abc")) == min(size, 3)


def test_characters_beyond_the_coverage_get_no_piece() -> None:
    learnt = dict(train_pieces([("aa", 10_000), ("é", 1)], 10))
    assert "é" not in learnt and "a" in learnt


def test_nothing_to_learn_from_gives_no_pieces() -> None:
    assert train_pieces([], 10) == []
    assert train_pieces([("x" * 1000, 3)], 10) == []
