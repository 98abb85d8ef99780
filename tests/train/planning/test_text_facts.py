"""What is measured of a text before training."""

import random
import string

import pytest

from atinuke.tokenizers.training import train_tokenizer
from atinuke.train.planning.text_facts import ORDINARY_PROSE, TextFacts, bytes_per_token, difficulty


def noise(characters: int, alphabet: str = string.ascii_letters) -> str:
    draw = random.Random(0)
    return "".join(draw.choice(alphabet) for _ in range(characters))


def test_noise_is_harder_than_repetition() -> None:
    assert difficulty([noise(200_000)]) > 1.4 > 0.1 > difficulty(["over and over again. " * 10_000])


def test_letters_drawn_from_four_take_two_bits_each() -> None:
    # zlib codes them by Huffman alone: 2 bits of entropy a letter, a little more in practice
    assert 2.0 <= ORDINARY_PROSE * difficulty([noise(300_000, "abcd")]) < 2.6


def test_too_little_text_counts_as_ordinary() -> None:
    assert difficulty(["short"]) == difficulty([]) == 1.0


def test_characters_have_the_bytes_of_their_letters() -> None:
    text = "ọ̀rọ̀ " * 400
    tokenizer = train_tokenizer("char", [text], None)
    assert bytes_per_token(tokenizer, [text]) == pytest.approx(len(text.encode()) / len(text), rel=0.01)


def test_a_pass_is_the_bytes_over_the_bytes_of_a_token() -> None:
    assert TextFacts(train_bytes=3_000, bytes_per_token=2.5).train_tokens == 1_200
    assert TextFacts(train_bytes=1, bytes_per_token=2.5).train_tokens == 1


def test_held_out_text_of_words_that_the_tokenizer_has_not_seen_takes_more_tokens() -> None:
    known, unknown = "the cat sat on the mat. " * 500, "zyx wvu qjk zzq xqx. " * 500
    tokenizer = train_tokenizer("bpe", [known], 300)
    alike, strange = (TextFacts.measure(10**6, tokenizer, [known], [text]).held_out_ratio for text in (known, unknown))
    assert alike == pytest.approx(1.0, rel=0.01) and strange > 2
    assert TextFacts.measure(10**6, tokenizer, [known], []).held_out_ratio == 1.0
