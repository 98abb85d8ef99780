"""The byte n-gram baseline against the textbook's formulae, and the copied share against a plain search."""

import itertools
import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atinuke.errors import SourceError
from atinuke.train import ngram
from atinuke.train.ngram import ByteNGrams, copied_share, five_gram_bpb

PROSE = (
    b"It was the best of times, it was the worst of times, it was the age of wisdom, it was the age of foolishness, "
    b"it was the epoch of belief, it was the epoch of incredulity, it was the season of Light, it was the season of "
    b"Darkness, it was the spring of hope, it was the winter of despair."
)


class TextbookKneserNey:
    """Modified Kneser-Ney with dictionaries, one probability at a time, as Chen & Goodman 1999 write it."""

    def __init__(self, train: Sequence[bytes], order: int) -> None:
        self.counts: dict[int, dict[bytes, int]] = {order: Counter()}
        for text in train:
            self.counts[order].update(text[at : at + order] for at in range(len(text) - order + 1))
        for length in range(order - 1, 0, -1):
            before: dict[bytes, set[bytes]] = defaultdict(set)
            for gram in self.counts[length + 1]:
                before[gram[1:]].add(gram[:1])
            for text in train:
                if len(text) >= length:
                    before[text[:length]].add(b"start")
            self.counts[length] = {gram: len(found) for gram, found in before.items()}

    def discount(self, length: int, count: int) -> float:
        times = Counter(self.counts[length].values())
        n1, n2, n3, n4 = (times[i] for i in (1, 2, 3, 4))
        estimates = ngram.FALLBACK_DISCOUNTS
        if n1 and n2 and n3 and n4:
            y = n1 / (n1 + 2 * n2)
            found = (1 - 2 * y * n2 / n1, 2 - 3 * y * n3 / n2, 3 - 4 * y * n4 / n3)
            if all(0 < d < most for d, most in zip(found, (1, 2, 3), strict=True)):
                estimates = found
        return 0.0 if count == 0 else estimates[min(count, 3) - 1]

    def probability(self, gram: bytes) -> float:
        if not gram:
            return 1 / 256
        below = self.probability(gram[1:])
        counts = self.counts[len(gram)]
        here = {byte: counts.get(gram[:-1] + bytes([byte]), 0) for byte in range(256)}
        total = sum(here.values())
        if total == 0:
            return below
        given_up = sum(self.discount(len(gram), count) for count in here.values())
        count = here[gram[-1]]
        return (count - self.discount(len(gram), count)) / total + given_up / total * below

    def bits_per_byte(self, texts: Sequence[bytes], order: int) -> float:
        grams = [text[max(0, at + 1 - order) : at + 1] for text in texts for at in range(len(text))]
        return -sum(math.log2(self.probability(gram)) for gram in grams) / len(grams)


def packed(grams: Sequence[bytes]) -> np.ndarray:
    return np.array([int.from_bytes(gram, "big") for gram in grams], np.uint64)


def test_a_bigram_model_of_abab_gives_the_probabilities_worked_out_by_hand() -> None:
    # Pairs: ab twice, ba once. Different bytes before a: b and the start, so 2; before b: a, so 1; together 3.
    # So few counts take the fallback discounts 0.5, 1 and 1.5 for counts of 1, 2 and more.
    model = ByteNGrams.count([b"abab"], order=2)
    p_a = (2 - 1) / 3 + (1 + 0.5) / 3 / 256
    p_b = (1 - 0.5) / 3 + (1 + 0.5) / 3 / 256
    assert model.probabilities(packed([b"a", b"b"]), 1) == pytest.approx([p_a, p_b])
    expected = {b"ab": (2 - 1 + 1 * p_b) / 2, b"aa": 1 * p_a / 2, b"ba": (1 - 0.5) + 0.5 * p_a, b"za": p_a}
    assert model.probabilities(packed(list(expected)), 2) == pytest.approx(list(expected.values()))
    assert model.bits_per_byte([b"ab"]) == pytest.approx(-(math.log2(p_a) + math.log2(expected[b"ab"])) / 2)


@pytest.mark.parametrize("order", [1, 2, 3, 5, 8])
def test_the_score_equals_the_textbook_formula_computed_with_dictionaries(order: int) -> None:
    train = [PROSE[:150], PROSE[150:], b"it", b"", b"\x00\xff" * 3]
    validation = [b"it was the sum of", b"\xff unseen \x80", b"i", b""]
    expected = TextbookKneserNey(train, order).bits_per_byte(validation, order)
    assert five_gram_bpb(train, validation, order=order) == pytest.approx(expected, rel=1e-12)


def test_the_prose_has_counts_enough_to_estimate_its_discounts() -> None:
    """Otherwise the comparison above would try the fallback alone."""
    book = TextbookKneserNey([PROSE], 3)
    assert [book.discount(3, 1), book.discount(3, 2)] != list(ngram.FALLBACK_DISCOUNTS[:2])


@settings(max_examples=60, deadline=None)
@given(
    train=st.lists(st.text("ab\u00e9", max_size=40).map(str.encode), max_size=4),
    history=st.binary(max_size=4) | st.text("ab\u00e9", max_size=2).map(str.encode),
)
def test_the_probabilities_of_all_bytes_after_any_history_sum_to_one(train: list[bytes], history: bytes) -> None:
    model = ByteNGrams.count(train, order=5)
    every = model.probabilities(packed([history + bytes([byte]) for byte in range(256)]), len(history) + 1)
    assert every.min() > 0
    assert every.sum() == pytest.approx(1, abs=1e-9)


def test_an_empty_training_text_leaves_eight_bits_for_every_byte() -> None:
    assert five_gram_bpb([], [b"any text"]) == pytest.approx(8)


def test_a_text_is_not_read_into_the_next_one() -> None:
    apart = five_gram_bpb([PROSE], [b"it was", b" the a"])
    together = five_gram_bpb([PROSE], [b"it was the a"])
    assert apart > together


def test_text_counted_in_many_small_blocks_gives_the_same_model(monkeypatch: pytest.MonkeyPatch) -> None:
    train, validation = [PROSE, b"tiny", PROSE[::-1]], [PROSE[20:90], b"it"]
    whole = five_gram_bpb(train, validation)
    monkeypatch.setattr(ngram, "GRAMS_AT_ONCE", 7)
    assert five_gram_bpb(train, validation) == pytest.approx(whole, rel=1e-12)


def test_training_text_past_the_cap_is_neither_counted_nor_read() -> None:
    def texts() -> Iterator[bytes]:
        yield PROSE[:60]
        yield PROSE[60:]
        raise AssertionError("read past the cap")

    model = ByteNGrams.count(texts(), max_train_bytes=100)
    assert (model.train_bytes, model.is_capped) == (100, True)
    same = ByteNGrams.count([PROSE[:60], PROSE[60:100]], max_train_bytes=100)
    assert (same.train_bytes, same.is_capped) == (100, False)
    assert model.bits_per_byte([PROSE]) == same.bits_per_byte([PROSE])


def test_counting_stops_where_the_text_holds_too_many_different_n_grams(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ngram, "GRAMS_AT_ONCE", 10)
    monkeypatch.setattr(ngram, "MAX_GRAMS", 25)
    model = ByteNGrams.count([PROSE])
    assert model.is_capped
    assert model.train_bytes == 30 + 4  # three blocks of ten n-grams and the four bytes before the first


def test_an_empty_validation_text_is_one_line_to_the_user() -> None:
    with pytest.raises(SourceError, match="validation text is empty"):
        five_gram_bpb([PROSE], [b""])


def test_an_order_that_cannot_be_packed_is_refused() -> None:
    with pytest.raises(ValueError, match="expected 1 to 8"):
        ByteNGrams.count([PROSE], order=9)


def test_copied_eight_grams_are_those_that_stand_word_for_word_in_the_training_text() -> None:
    training = "One two three four\n    five six seven eight nine. Then something else came about quite slowly."
    assert copied_share(["one two three four five six seven eight nine."], [training]) == (1, 2)  # "one" is not "One"
    assert copied_share(["One two\tthree four five six seven eight nine. "], [training]) == (2, 2)
    assert copied_share(["One two three four five six seven eight nine"], [training]) == (1, 2)  # no full stop


def test_a_repeated_eight_gram_counts_as_often_as_the_sample_has_it() -> None:
    eight = "a b c d e f g h"
    assert copied_share([eight, eight, f"{eight} i"], [f"x {eight} y"]) == (3, 4)


@pytest.mark.parametrize("samples", [[], [""], ["seven words are one too few here"], ["没有空格的文字"]])
def test_samples_of_fewer_than_eight_words_give_none_of_none(samples: list[str]) -> None:
    assert copied_share(samples, ["seven words are one too few here, he said"]) == (0, 0)


def test_an_eight_gram_does_not_reach_from_one_text_into_the_next() -> None:
    assert copied_share(["a b c d e f g h"], ["a b c d", "e f g h"]) == (0, 1)


def test_the_training_text_is_not_read_on_when_everything_was_found() -> None:
    def texts() -> Iterator[str]:
        yield "a b c d e f g h"
        raise AssertionError("read on")

    assert copied_share(["a b c d e f g h"], texts()) == (1, 1)


WORDS = st.lists(st.sampled_from(["a", "b", "cc", " ", "\n", "\u3000", "\x1c"]), max_size=30).map("".join)


@given(samples=st.lists(WORDS, max_size=3), training=st.lists(WORDS, max_size=3), n=st.integers(1, 4))
def test_the_share_equals_a_plain_search_in_lists_of_words(samples: list[str], training: list[str], n: int) -> None:
    def grams(text: str) -> list[tuple[str, ...]]:
        words = re.findall(r"\S+", text)
        return [tuple(words[at : at + n]) for at in range(len(words) - n + 1)]

    known = set(itertools.chain.from_iterable(map(grams, training)))
    sampled = list(itertools.chain.from_iterable(map(grams, samples)))
    assert copied_share(samples, training, n) == (sum(gram in known for gram in sampled), len(sampled))


@given(text=WORDS, block_chars=st.integers(1, 9), n=st.integers(1, 4))
def test_a_text_read_in_blocks_loses_no_word_and_no_n_gram(text: str, block_chars: int, n: int) -> None:
    whole = text.split()
    expected = [tuple(whole[at : at + n]) for at in range(len(whole) - n + 1)]
    blocks = list(ngram._word_blocks(text, n, block_chars))
    assert [tuple(words[at : at + n]) for words in blocks for at in range(len(words) - n + 1)] == expected
