"""The official figures, worked by hand."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.tasks.squad.scoring import normalise, score_answers, score_with_no_answers, word_f1


class TestWords:
    @pytest.mark.parametrize(
        ("text", "expected"),
        [
            ("The  Cat's, a cat!", "cats cat"),
            ("an Athenian anthem", "athenian anthem"),
            ("the-cat", "thecat"),  # punctuation goes before articles do
            ("\t$1,000\n", "1000"),
            ("“The” cat", "“ ” cat"),  # only ASCII's punctuation goes
            ("Ọ̀yọ́", "ọ̀yọ́"),
            ("A", ""),
            ("", ""),
        ],
    )
    def test_case_punctuation_articles_and_spaces_do_not_count(self, text: str, expected: str) -> None:
        assert normalise(text) == expected

    @pytest.mark.parametrize(
        ("prediction", "gold", "expected"),
        [
            ("the cat", "cat", 1.0),  # articles go
            ("the cat sat", "a cat", 2 / 3),  # P 1/2, R 1
            ("cat cat", "cat", 2 / 3),  # the second cat is in excess
            ("big black cat", "black dog", 0.4),  # P 1/3, R 1/2
            ("dog", "cat", 0.0),
        ],
    )
    def test_f1_is_over_words(self, prediction: str, gold: str, expected: float) -> None:
        for empty_may_agree in (False, True):
            found = word_f1(normalise(prediction), normalise(gold), empty_may_agree=empty_may_agree)
            assert found == pytest.approx(expected, abs=1e-12)

    @given(st.text("ab the,", max_size=20), st.text("ab the,", max_size=20))
    def test_f1_is_symmetric_between_0_and_1_and_1_for_equals(self, one: str, other: str) -> None:
        first, second = normalise(one), normalise(other)
        found = word_f1(first, second, empty_may_agree=True)
        assert found == pytest.approx(word_f1(second, first, empty_may_agree=True), abs=1e-12)
        assert 0 <= found <= 1 + 1e-12
        assert found == pytest.approx(1) or sorted(first.split()) != sorted(second.split())


class TestVersion1:
    def test_the_mean_is_over_all_questions_and_a_missing_one_is_wrong(self) -> None:
        golds = [["cat"], ["dog"], ["big black cat"]]
        assert score_answers(golds, ["The cat.", None, "black dog"]) == pytest.approx(
            {"f1": 100 * (1 + 0 + 0.4) / 3, "exact_match": 100 / 3}
        )

    def test_the_best_of_several_answers_counts_for_each_figure(self) -> None:
        assert score_answers([["dog", "a black cat"]], ["black cat"]) == {"f1": 100.0, "exact_match": 100.0}
        assert score_answers([["dog", "cat", "black cat sat"]], ["cat sat"]) == pytest.approx(
            {"f1": 80.0, "exact_match": 0.0}  # P 1, R 2/3
        )

    def test_texts_without_words_match_exactly_and_share_no_word(self) -> None:
        assert score_answers([["the"]], ["a"]) == {"f1": 0.0, "exact_match": 100.0}


GOLDS = (["blue cat"], ["dog"], [], [])
SAID = ("cat", "", "", "bird")
# exact 0 0 1 0; F1 2/3 0 1 0


class TestVersion2:
    def test_both_kinds_of_question_have_figures_of_their_own(self) -> None:
        assert score_with_no_answers(GOLDS, SAID) == pytest.approx(
            {
                "f1": 100 * (2 / 3 + 1) / 4,
                "exact": 25.0,
                "HasAns_f1": 100 / 3,
                "HasAns_exact": 0.0,
                "NoAns_f1": 50.0,
                "NoAns_exact": 50.0,
            }
        )

    def test_a_kind_that_is_not_there_has_none(self) -> None:
        assert set(score_with_no_answers([["cat"]], ["cat"])) == {"f1", "exact", "HasAns_f1", "HasAns_exact"}
        assert set(score_with_no_answers([[]], [""])) == {"f1", "exact", "NoAns_f1", "NoAns_exact"}

    def test_the_best_threshold_is_found_among_the_numbers(self) -> None:
        # answering nothing gives 2 of 4; then cat +2/3 (exact +0), bird −1, "" 0, "" 0
        found = score_with_no_answers(GOLDS, SAID, [0.1, 0.9, 0.8, 0.3])
        assert found["best_f1"] == pytest.approx(100 * (2 + 2 / 3) / 4) and found["best_f1_thresh"] == 0.1
        assert (found["best_exact"], found["best_exact_thresh"]) == (50.0, 0.0)
        without = score_with_no_answers(GOLDS, SAID)
        assert {key: value for key, value in found.items() if not key.startswith("best")} == without

    def test_a_number_above_1_takes_the_answer_back(self) -> None:
        found = score_with_no_answers(GOLDS, SAID, [0.1, 0.9, 0.8, 1.5])
        assert found["NoAns_exact"] == 100.0 and found["f1"] == pytest.approx(100 * (2 / 3 + 2) / 4)
        found = score_with_no_answers(GOLDS, SAID, [1.5, 0.9, 0.8, 0.3])
        assert found["HasAns_f1"] == 0.0 and found["best_f1"] == 50.0  # nothing is worth its risk: bird comes first

    def test_equal_numbers_are_walked_through_in_the_order_of_their_file(self) -> None:
        golds, said = [["cat"], []], ["cat", "bird"]
        first = score_with_no_answers(golds, said, [0.5, 0.5], [0, 1])
        assert (first["best_f1"], first["best_f1_thresh"]) == (100.0, 0.5)
        other = score_with_no_answers(golds, said, [0.5, 0.5], [1, 0])
        assert (other["best_f1"], other["best_f1_thresh"]) == (50.0, 0.0)

    def test_an_answer_without_words_is_matched_by_none(self) -> None:
        assert score_with_no_answers([["the"]], ["a"])["f1"] == 100.0
        assert score_with_no_answers([["the", "cat"]], ["a"])["f1"] == 0.0  # "the" does not count beside another
        assert score_with_no_answers([["cat"]], [""])["exact"] == 0.0

    def test_a_missing_prediction_is_wrong_even_where_there_is_no_answer(self) -> None:
        assert score_with_no_answers([[], []], [None, ""])["exact"] == 50.0
