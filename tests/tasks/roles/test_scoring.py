"""The score: cases worked by hand, and one whose figures srl-eval.pl printed."""

import pytest

from atinuke.tasks.roles.brackets import Span, spans_of
from atinuke.tasks.roles.scoring import arguments_of, predicate_count, table_of, tally

GIVE = ["(A0*)", "(AM-MOD*)", "(V*)", "(A2*)", "(A1*", "*)"]

# What srl-eval.pl (srlconll 1.1) prints for these sentences. In the third it finds another lemma, and counts all
# arguments as missed; in the last, a predicate that the key does not have, and passes over it.
KEY = [
    {2: [*GIVE, "*", "*"], 6: ["*", "*", "*", "(A0*)", "*", "*", "(V*)", "(AM-TMP*)"]},
    {2: ["(A1*", "*)", "(V*)", "(C-A1*", "*)", "*", "*"], 6: ["*", "*", "(A1*)", "*", "*", "(R-A0*)", "(V*)"]},
    {1: ["(A1*)", "(V*)"]},
    {0: ["(V*)"]},
    {},
]
SAID = [
    {
        2: ["(A0*)", "(AM-MOD*)", "(V*)", "(A1*)", "(A1*", "*)", "*", "*"],
        6: ["*", "*", "*", "(A0*)", "*", "*", "(V*)", "(AM-TMP*)"],
    },
    {2: ["(A1*", "*)", "(V*)", "(C-A1*", "*", "*)", "*"], 6: ["*", "*", "(C-A1*)", "*", "*", "(A0*)", "(V*)"]},
    {},
    {0: ["(V*)"]},
    {1: ["(A1*)", "(V*)"]},
]
PRINTED = """\
Number of Sentences    :           5
Number of Propositions :           6
Percentage of perfect props :  33.33

              corr.  excess  missed    prec.    rec.      F1
------------------------------------------------------------
   Overall        6       3       4    66.67   60.00   63.16
----------
        A0        2       1       0    66.67  100.00   80.00
        A1        2       2       2    50.00   50.00   50.00
        A2        0       0       1     0.00    0.00    0.00
    AM-MOD        1       0       0   100.00  100.00  100.00
    AM-TMP        1       0       0   100.00  100.00  100.00
      R-A0        0       0       1     0.00    0.00    0.00
------------------------------------------------------------
         V        5       0       1   100.00   83.33   90.91
------------------------------------------------------------
"""


def spans(columns: list[dict[int, list[str]]]) -> list[dict[int, tuple[Span, ...]]]:
    return [{predicate: spans_of(cells) for predicate, cells in each.items()} for each in columns]


def f1_of(key: list[str], said: list[str]) -> tuple[int, int, int]:
    count = tally(spans([{0: key}]), spans([{0: said}])).overall
    return count.correct, count.excess, count.missed


def test_the_table_is_what_srl_eval_prints() -> None:
    assert table_of(tally(spans(KEY), spans(SAID))) == PRINTED


def test_end_to_end_what_the_key_does_not_have_is_in_excess() -> None:
    counted = tally(spans(KEY), spans(SAID), finds_predicates=True)
    assert (counted.overall.correct, counted.overall.excess, counted.overall.missed) == (6, 4, 4)
    assert counted.overall.f1 == pytest.approx(60.0)
    assert (counted.propositions, counted.without_key) == (6, 1)
    predicates = predicate_count(spans(KEY), spans(SAID))
    assert (predicates.correct, predicates.excess, predicates.missed) == (5, 1, 1)
    assert predicates.f1 == pytest.approx(100 * 5 / 6)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (GIVE, (4, 0, 0)),  # V is not counted
        (["(A0*)", "(AM-MOD*)", "(V*)", "(A1*)", "(A1*", "*)"], (3, 1, 1)),  # one of the wrong label
        (["(A0*)", "(AM-MOD*)", "(V*)", "(A2*)", "(A1*)", "*"], (3, 1, 1)),  # one too short
        (["(A0*", "*)", "(V*)", "*", "*", "*"], (0, 1, 4)),
        (["(A0*)", "(AM-MOD*)", "*", "(A2*)", "(A1*", "*)"], (4, 0, 0)),
        (["*"] * 6, (0, 0, 4)),
    ],
)
def test_arguments_worked_by_hand(said: list[str], expected: tuple[int, int, int]) -> None:
    assert f1_of(GIVE, said) == expected


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (["(A1*", "*)", "(V*)", "(C-A1*", "*)"], (1, 0, 0)),
        (["(A1*", "*)", "(V*)", "*", "*"], (0, 1, 1)),  # half an argument is none
        (["(A1*", "*)", "(V*)", "(C-A1*)", "*"], (0, 1, 1)),
        (["(A1*", "*)", "(V*)", "(A1*", "*)"], (0, 2, 1)),  # two arguments are not one of two pieces
        (["(A1*", "*)", "(V*)", "(C-A0*", "*)"], (0, 2, 1)),
    ],
)
def test_an_argument_of_two_pieces_is_right_as_a_whole(said: list[str], expected: tuple[int, int, int]) -> None:
    assert f1_of(["(A1*", "*)", "(V*)", "(C-A1*", "*)"], said) == expected


def test_a_continuation_of_nothing_is_an_argument_of_its_own() -> None:
    assert f1_of(["(A1*)", "(V*)"], ["(C-A1*)", "(V*)"]) == (1, 0, 0)
    # what it continues must stand before it
    assert arguments_of(spans_of(["(C-A1*)", "(A1*)"])) == {("A1", ((0, 1),)), ("A1", ((1, 2),))}


def test_a_continuation_belongs_to_the_last_of_its_label() -> None:
    found = arguments_of(spans_of(["(A1*)", "(A1*)", "(C-A1*)", "(C-A1*)", "(C-R-A0*)"]))
    assert found == {("A1", ((0, 1),)), ("A1", ((1, 2), (2, 3), (3, 4))), ("R-A0", ((4, 5),))}


def test_perfect_is_without_a_miss_and_without_excess() -> None:
    key = spans([{0: ["(V*)", "(A1*)"], 1: ["(A0*)", "(V*)"]}, {0: ["(V*)"]}])
    said = spans([{0: ["*", "(A1*)"], 1: ["(A0*)", "(V*)"]}, {0: ["(A1*)"]}])
    counted = tally(key, said)
    assert (counted.perfect, counted.propositions) == (2, 3)
    assert counted.perfect_propositions == pytest.approx(200 / 3)


def test_nothing_at_all_scores_zero() -> None:
    counted = tally([{}], [{}])
    figures = (counted.overall.precision, counted.overall.recall, counted.overall.f1, counted.perfect_propositions)
    assert figures == (0.0, 0.0, 0.0, 0.0)
    assert "Number of Propositions :           0" in table_of(counted)
