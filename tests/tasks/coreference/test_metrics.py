"""Coreference metrics: the official scorer's own cases, worked by hand, and readable twins.

A chain is written as its mentions: "a bc def" is {a} {b, c} {d, e, f}. The shares are those of TestCases.README of
github.com/conll/reference-coreference-scorers, the names its own.
"""

import sys
from fractions import Fraction
from itertools import combinations, permutations, product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.errors import MissingExtraError
from atinuke.tasks.coreference.assignment import best_sum, require_scipy
from atinuke.tasks.coreference.chains import Chain, match
from atinuke.tasks.coreference.documents import Mention
from atinuke.tasks.coreference.metrics import COUNTED, Counts, ceaf_e, coreferent_pairs, lea, muc, other_pairs
from atinuke.tasks.coreference.scoring import KEYS, METRICS, figures_of, score_clusters

Shares = dict[str, tuple[Fraction, Fraction]]


def clusters(chains: str) -> list[list[Mention]]:
    return [[(ord(letter), ord(letter)) for letter in chain] for chain in chains.split()]


def shares(recall: str, precision: str) -> tuple[Fraction, Fraction]:
    """Sums of fractions, such as "1/4+5/11"."""
    return sum(map(Fraction, recall.split("+")), Fraction()), sum(map(Fraction, precision.split("+")), Fraction())


def half(recall: str, precision: str) -> tuple[Fraction, Fraction]:
    """Of BLANC, which is the mean of two."""
    return tuple(share / 2 for share in shares(recall, precision))  # type: ignore[return-value]


MISSING_AND_FALSE: Shares = {
    "muc": shares("1/3", "1/3"),
    "b3": shares("5/9", "17/42"),
    "ceaf_m": shares("4/6", "4/7"),
    "ceaf_e": shares("22/30", "22/40"),
    "blanc": half("1/4+5/11", "1/4+5/17"),
}

NOTHING: Shares = dict.fromkeys(("mention", "muc", "b3", "ceaf_m", "ceaf_e", "blanc"), shares("0", "0"))

OFFICIAL: list[tuple[str, str, str, Shares]] = [
    ("A1", "a bc def", "a bc def", dict.fromkeys(("muc", "b3", "ceaf_m", "ceaf_e", "blanc"), shares("1", "1"))),
    (
        *("A2", "a bc def", "a de"),
        {
            "muc": shares("1/3", "1"),
            "b3": shares("7/18", "1"),
            "ceaf_m": shares("3/6", "1"),
            "ceaf_e": shares("18/30", "18/20"),
            "blanc": half("1/4+2/11", "1+1"),
        },
    ),
    (
        *("A3", "a bc def", "a bcx defy z"),
        {
            "muc": shares("1", "3/5"),
            "b3": shares("1", "55/108"),
            "ceaf_m": shares("1", "6/9"),
            "ceaf_e": shares("1/3+4/15+6/21", "1/4+4/20+6/28"),
            "blanc": half("1+1", "4/9+11/27"),
        },
    ),
    ("A4", "a bc def", "a bcx dy z", MISSING_AND_FALSE),
    (
        *("A5", "a bc def", "a bcxB dy z"),
        {
            "muc": shares("1/3", "1/4"),
            "b3": shares("5/9", "5/16"),
            "ceaf_m": shares("4/6", "4/8"),
            "ceaf_e": shares("1/3+4/18+2/15", "1/4+4/24+2/20"),
            "blanc": half("1/4+5/11", "1/7+5/21"),
        },
    ),
    (
        *("A6", "a bc def", "a bcx dy Bz"),
        {
            "muc": shares("1/3", "1/4"),
            "b3": shares("5/9", "17/48"),
            "ceaf_m": shares("4/6", "4/8"),
            "ceaf_e": shares("22/30", "22/40"),
            "blanc": half("1/4+5/11", "1/5+5/23"),
        },
    ),
    ("A7", "a bc def", "a bcxb dy z", MISSING_AND_FALSE),
    ("A8", "a bc def", "a bcx dy bz", MISSING_AND_FALSE),
    ("A9", "a bc def", "a bcx dy bbbbbbbbbbz", MISSING_AND_FALSE),
    (
        *("A10", "a bc def", "a b c d e f"),
        {"muc": shares("0", "0"), "b3": shares("3/6", "1"), "blanc": half("1", "11/15")},
    ),
    (
        *("A11", "a bc def", "abcdef"),
        {"muc": shares("1", "3/5"), "b3": shares("1", "7/18"), "blanc": half("1", "4/15")},
    ),
    (
        *("A12", "a bc def", "a x y c d e z"),
        {"muc": shares("0", "0"), "b3": shares("13/36", "4/7"), "blanc": half("5/11", "5/21")},
    ),
    (
        *("A13", "a bc def", "axycdez"),
        {"muc": shares("1/3", "1/6"), "b3": shares("17/36", "6/49"), "blanc": half("1/4", "1/21")},
    ),
    ("B1", "ab cde", "bcx de", {"blanc": shares("7/24", "7/24")}),
    ("C1", "ab cde fg", "bcx de fg", {"blanc": half("2/5+10/16", "2/5+10/16")}),
    ("D1", "12345 67 89ABC", "12345 6789ABC", {"b3": shares("1", "16/21"), "muc": shares("1", "9/10")}),
    ("E1", "12345 67 89ABC", "1234589ABC 67", {"b3": shares("1", "7/12"), "muc": shares("1", "9/10")}),
    ("F1", "ABCD", "AB CD", {"muc": shares("2/3", "1")}),
    ("G1", "AB CD", "ABCD", {"muc": shares("1", "2/3")}),
    ("J1", "ABC", "AC", {"muc": shares("1/2", "1")}),
    ("K1", "BCDEGHJ", "ABC DEF GHI", {"muc": shares("3/6", "3/6")}),
    ("L1", "ABC DEFG", "AB CD FGH", {"muc": shares("2/5", "2/4")}),
    ("M2", "abcdef", "a b c d e f", {"muc": shares("0", "0"), "blanc": shares("0", "0")}),
    ("M3", "abcdef", "ab cde f", {"blanc": shares("4/15", "1")}),
    ("M6", "abcdef", "ab cxy z", {"blanc": shares("1/15", "1/4")}),
    ("N1", "a b c d e f", "a b c d e f", {"muc": shares("0", "0"), "b3": shares("1", "1"), "blanc": shares("1", "1")}),
    ("N3", "a b c d e f", "ab cde f", {"blanc": shares("11/15", "1")}),
    ("N6", "a b c d e f", "ab cxy z", {"blanc": shares("2/15", "2/11")}),
]

# What scorer.pl v8.01 printed for mentions that stand twice: in the key, in one chain and in two; and in the response,
# where the key has them not. And for responses without anything right, and without anything.
REPEATED: list[tuple[str, str, str, Shares]] = [
    (
        *("one chain of the key", "aab cd", "ab c d"),
        {
            "mention": shares("1", "1"),
            "muc": shares("1/3", "1"),
            "b3": shares("7/15", "1"),
            "ceaf_m": shares("4/5", "1"),
            "ceaf_e": shares("28/30", "28/45"),
            "blanc": half("1/3+1", "1+4/5"),
        },
    ),
    (
        *("two chains of the key", "ab bc", "abc"),
        {
            "mention": shares("1", "1"),
            "muc": shares("1/2", "1/2"),
            "b3": shares("3/4", "2/3"),
            "ceaf_m": shares("2/4", "2/3"),
            "ceaf_e": shares("4/10", "4/5"),
            "blanc": half("1", "2/3"),
        },
    ),
    (
        *("one chain of the response", "ab cd", "ab xx"),
        {
            "mention": shares("2/4", "2/3"),
            "muc": shares("1/2", "1/2"),
            "b3": shares("2/4", "2/4"),
            "ceaf_m": shares("2/4", "2/4"),
            "ceaf_e": shares("1/2", "1/2"),
            "blanc": half("1/2", "1/2"),
        },
    ),
    (
        *("two chains of the response", "ab cd", "abx cx"),
        {
            "mention": shares("3/4", "3/4"),
            "muc": shares("1/2", "1/3"),
            "b3": shares("5/8", "11/30"),
            "ceaf_m": shares("3/4", "3/5"),
            "ceaf_e": shares("13/20", "13/20"),
            "blanc": half("1/2+2/4", "1/4+2/6"),
        },
    ),
    (
        *("a whole chain", "a bc", "bc bc"),
        {
            "mention": shares("2/3", "1"),
            "muc": shares("1", "1"),
            "b3": shares("2/3", "1"),
            "ceaf_m": shares("2/3", "1"),
            "ceaf_e": shares("1/2", "1"),
            "blanc": half("1", "1"),
        },
    ),
    (
        *("everywhere", "aab bcd e", "abx cdx ee y"),
        {
            "mention": shares("1", "5/7"),
            "muc": shares("1/4", "1/4"),
            "b3": shares("10/21", "10/24"),
            "ceaf_m": shares("6/7", "6/8"),
            "ceaf_e": shares("8/9", "8/12"),
            "blanc": half("2/5+8/10", "2/6+8/20"),
        },
    ),
    ("nothing right", "ab", "x yy", NOTHING),
    ("nothing", "abc", "", NOTHING),
]

LEA: list[tuple[str, str, str, Shares]] = [
    # the worked example of Moosavi & Strube 2016
    ("paper", "abc defg", "ab cd fghi", {"lea": shares("1/7+4/42", "2/8+4/48")}),
    # a chain of one is resolved where it stands alone in both
    ("alone", "a bc", "a b c", {"lea": shares("1/3", "1/3")}),
    ("missing", "a bc def", "a de", {"lea": shares("1/6+3/18", "1")}),
    ("merged", "a b", "ab", {"lea": shares("0", "0")}),
]


@pytest.mark.parametrize(
    "key, response, expected",
    [pytest.param(key, response, each, id=name) for name, key, response, each in OFFICIAL + REPEATED + LEA],
)
def test_worked_cases(key: str, response: str, expected: Shares) -> None:
    figures, _ = figures_of([(clusters(key), clusters(response))])
    for name, (recall, precision) in expected.items():
        found = figures[name]
        assert (found.recall, found.precision) == pytest.approx((float(recall), float(precision)), abs=1e-12), name
        if name != "blanc":  # there F1 is the mean of two
            both = float(recall + precision)
            f1 = 2 * float(recall * precision) / both if both else 0.0
            assert found.f1 == pytest.approx(f1, abs=1e-12), name


def test_what_blanc_calls_f1_is_the_mean_of_two() -> None:
    figures, _ = figures_of([(clusters("a bc def"), clusters("a bcx dy z"))])
    coreferent, others = 2 * (1 / 4) ** 2 / (2 / 4), 2 * (5 / 11) * (5 / 17) / (5 / 11 + 5 / 17)
    assert figures["blanc"].f1 == pytest.approx((coreferent + others) / 2)


def test_figures_of_a_split_are_of_the_counts_of_all_documents() -> None:
    # MUC: 1 of 3 links and 3 of 3 make 4 of 6; the mean of both shares would be 2/3
    first = (clusters("a bc def"), clusters("a bcx dy z"))
    second = (clusters("abcd"), clusters("abcd"))
    values, _ = score_clusters([first, second])
    assert values["muc_recall"] == pytest.approx(100 * 4 / 6) and values["muc_precision"] == pytest.approx(100 * 4 / 6)
    assert values["conll_f1"] == pytest.approx((values["muc_f1"] + values["b3_f1"] + values["ceaf_e_f1"]) / 3)
    assert tuple(values) == KEYS


def test_repeated_mentions_are_counted() -> None:
    _, repeated = figures_of([(clusters("a bc def"), clusters("a bcx dy bbbz")), (clusters("ab"), clusters("xx"))])
    assert repeated == 3


def test_a_split_without_any_mention_scores_nothing() -> None:
    values, _ = score_clusters([([], []), ([], [])])
    assert set(values.values()) == {0.0}


# --- Twins and laws ---

LETTERS = st.sampled_from("abcdefg")
CHAINS = st.lists(st.lists(LETTERS, min_size=1, max_size=4).map("".join), max_size=4).map(" ".join)


@st.composite
def partitions(draw: st.DrawFn) -> str:
    """Chains of which no two share a mention."""
    found: dict[int, str] = {}
    for letter in draw(st.lists(LETTERS, unique=True)):
        number = draw(st.integers(0, 3))
        found[number] = found.get(number, "") + letter
    return " ".join(found.values())


@given(partitions())
def test_what_is_equal_to_the_key_is_perfect(key: str) -> None:
    figures, _ = figures_of([(clusters(key), clusters(key))])
    assert all(figures[name].f1 == pytest.approx(1) or not key for name in METRICS if name not in ("muc", "blanc"))
    links = sum(len(chain) - 1 for chain in key.split())
    assert figures["muc"].f1 == pytest.approx(1.0 if links else 0.0)


@given(partitions(), partitions())
def test_recall_is_the_precision_of_the_other_way_round(one: str, other: str) -> None:
    there = figures_of([(clusters(one), clusters(other))])[0]
    back = figures_of([(clusters(other), clusters(one))])[0]
    for name in ("mention", "muc", "b3", "ceaf_m", "ceaf_e", "lea"):
        assert (there[name].recall, there[name].precision) == pytest.approx((back[name].precision, back[name].recall))


@given(CHAINS, CHAINS)
def test_the_alignment_of_ceaf_is_the_best_of_all(key: str, response: str) -> None:
    chains = match(clusters(key), clusters(response))

    def similarity(one: Chain, other: Chain) -> float:
        return 2 * sum(mention in other for mention in one) / (len(one) + len(other))

    fewer, more = sorted((chains.key, chains.response), key=len)
    in_order = fewer is chains.key
    best = max(
        sum(
            similarity(*((one, other) if in_order else (other, one))) for one, other in zip(fewer, chosen, strict=False)
        )
        for chosen in permutations(more)
    )
    assert ceaf_e(chains).key_found == pytest.approx(best)


@given(CHAINS, CHAINS)
def test_the_pairs_of_blanc_are_sets(key: str, response: str) -> None:
    chains = match(clusters(key), clusters(response))

    def coreferent(given_chains: tuple[Chain, ...]) -> set[tuple[int, ...]]:
        return {tuple(sorted(pair)) for chain in given_chains for pair in combinations(chain, 2)}

    def others(given_chains: tuple[Chain, ...]) -> set[tuple[int, ...]]:
        return {tuple(sorted(pair)) for two in combinations(given_chains, 2) for pair in product(*two)}

    for pairs, count in ((coreferent, coreferent_pairs), (others, other_pairs)):
        ours, theirs = pairs(chains.key), pairs(chains.response)
        both = len(ours & theirs)
        assert count(chains) == Counts(both, len(ours), both, len(theirs))


@given(CHAINS, CHAINS)
def test_muc_counts_partitions_as_vilain_et_al_define_it(key: str, response: str) -> None:
    chains = match(clusters(key), clusters(response))
    mentions = [mention for chain in (*chains.key, *chains.response) for mention in chain]
    if len(mentions) != len(set(mentions)) + chains.found:
        return  # their definition knows no repeated mentions
    home = {mention: number for number, chain in enumerate(chains.response) for mention in chain}
    missing = sum(len({home.get(mention, -1 - mention) for mention in chain}) - 1 for chain in chains.key)
    links = sum(len(chain) - 1 for chain in chains.key)
    assert muc(chains).key_found == links - missing and muc(chains).key == links


@given(partitions(), partitions())
def test_the_links_of_lea_are_pairs(key: str, response: str) -> None:
    chains = match(clusters(key), clusters(response))

    def links(chain: Chain) -> set[tuple[int, ...]]:
        return set(combinations(sorted(chain), 2)) if len(chain) > 1 else {(chain[0], chain[0])}

    def resolved(ours: tuple[Chain, ...], theirs: tuple[Chain, ...]) -> float:
        known = {link for chain in theirs for link in links(chain)}
        return sum(len(chain) * len(links(chain) & known) / len(links(chain)) for chain in ours)

    found = lea(chains)
    assert found.key_found == pytest.approx(resolved(chains.key, chains.response))
    assert found.response_right == pytest.approx(resolved(chains.response, chains.key))


@given(partitions(), CHAINS)
def test_shares_are_shares(key: str, response: str) -> None:
    # of a key whose mentions stand once: CEAF gives a chain of the key that says one thing twice more than there is
    chains = match(clusters(key), clusters(response))
    for name, metric in COUNTED.items():
        counts = metric(chains)
        assert min(counts.key_found, counts.key, counts.response_right, counts.response) >= 0, name
        assert counts.response_right <= counts.response + 1e-9, name


def test_a_missing_scipy_is_said_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "scipy", None)
    monkeypatch.setitem(sys.modules, "scipy.optimize", None)
    with pytest.raises(MissingExtraError, match=r"atinuke\[tasks\]"):
        require_scipy()
    with pytest.raises(MissingExtraError, match=r"atinuke\[tasks\]"):
        best_sum(match(clusters("a"), clusters("a")).overlaps)
