"""Which tokens are hidden and behind what: counted, written out by hand, and for any tokens at all."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from atinuke.data.batches.masking import Masking, below, fractions, row_bits, word_starts
from atinuke.tokenizers import train_tokenizer

END, VOCAB_SIZE, MASK = 0, 50, 50
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

Ids = NDArray[np.int64]
Flags = NDArray[np.bool_]


def masking(share: float = 0.15, starts: Flags | None = None) -> Masking:
    return Masking(MASK, END, VOCAB_SIZE, share, starts)


def hide(tokens: Ids, rule: Masking, may: Flags | None = None, seed: int = 0) -> tuple[Ids, Flags]:
    may = np.ones(tokens.shape, dtype=np.bool_) if may is None else may
    return rule.hide(tokens, may, row_bits(seed, 0, len(tokens), 3 * tokens.shape[1]))


def text(rows: int, length: int, low: int = 1) -> Ids:
    return np.random.default_rng(0).integers(low, VOCAB_SIZE, (rows, length))


ROWS = st.integers(1, 30).flatmap(
    lambda length: st.lists(
        st.lists(st.integers(0, VOCAB_SIZE - 1), min_size=length, max_size=length), min_size=1, max_size=5
    )
)


@given(ROWS, st.floats(0.01, 0.9), st.booleans(), st.integers(0, 2**64), st.data())
def test_whatever_the_tokens_the_promises_hold(
    rows: list[list[int]], share: float, whole_words: bool, seed: int, data: st.DataObject
) -> None:
    tokens = np.array(rows)
    may = np.array(data.draw(st.lists(st.booleans(), min_size=tokens.size, max_size=tokens.size))).reshape(tokens.shape)
    starts = np.arange(VOCAB_SIZE) % 3 == 0 if whole_words else None
    hidden, chosen = hide(tokens, masking(share, starts), may, seed)
    can = may & (tokens != END)
    assert not (chosen & ~can).any(), "the end of a document, or what may not be hidden, was"
    assert (hidden[~chosen] == tokens[~chosen]).all()
    assert ((hidden[chosen] == MASK) | ((hidden[chosen] != END) & (hidden[chosen] < VOCAB_SIZE))).all()
    wanted = np.maximum(1, np.rint(share * can.sum(axis=1)))
    counts = chosen.sum(axis=1)
    assert ((counts >= 1) == can.any(axis=1)).all(), "a row that has something to hide hides something"
    if whole_words:
        assert (counts <= 1.5 * wanted).all()
    else:
        assert (counts == np.minimum(wanted, can.sum(axis=1))).all()


@pytest.mark.parametrize("whole_words", [False, True])
def test_fifteen_of_a_hundred_tokens_are_chosen_and_of_those_eighty_ten_ten(whole_words: bool) -> None:
    tokens = text(400, 120)
    starts = np.arange(VOCAB_SIZE) % 2 == 0 if whole_words else None
    hidden, chosen = hide(tokens, masking(0.15, starts))
    count = int(chosen.sum())
    assert count / tokens.size == pytest.approx(0.15, abs=0.002)
    masked, same = (hidden == MASK)[chosen].mean(), (hidden == tokens)[chosen].mean()
    # 7,200 draws: four standard deviations are 0.019 and 0.014; a random id is the right one in 1 of 49 cases
    assert masked == pytest.approx(0.8, abs=0.02)
    assert same == pytest.approx(0.1 + 0.1 / 49, abs=0.015)
    drawn = hidden[chosen & (hidden != MASK) & (hidden != tokens)]
    assert set(drawn.tolist()) == set(range(1, VOCAB_SIZE)), "every id but the end of a document is drawn"


@pytest.mark.parametrize("whole_words", [False, True])
def test_every_place_is_chosen_as_often(whole_words: bool) -> None:
    starts = np.ones(VOCAB_SIZE, dtype=np.bool_) if whole_words else None
    _, chosen = hide(text(6000, 20), masking(0.15, starts))
    assert np.abs(chosen.mean(axis=0) - 0.15).max() < 4.5 * (0.15 * 0.85 / 6000) ** 0.5


def test_words_are_hidden_whole_or_not_at_all() -> None:
    starts = np.zeros(VOCAB_SIZE, dtype=np.bool_)
    starts[:10] = True
    tokens = text(300, 60)
    tokens[:, ::3] = np.random.default_rng(1).integers(1, 10, (300, 20))  # no word is longer than three tokens
    _, chosen = hide(tokens, masking(0.15, starts))
    words = np.cumsum(starts[tokens].ravel()) + 1000 * np.repeat(np.arange(300), 60)
    hidden_part = np.bincount(words, weights=chosen.ravel())[np.unique(words)] / np.bincount(words)[np.unique(words)]
    assert set(hidden_part.tolist()) == {0.0, 1.0}
    single_tokens = hide(tokens, masking(0.15))[1]
    part = np.bincount(words, weights=single_tokens.ravel())[np.unique(words)] / np.bincount(words)[np.unique(words)]
    assert len(set(part.tolist())) > 2, "without the option words are hidden in part: this test could fail"


def test_words_written_out_by_hand() -> None:
    """5 begins a word, 6 goes on: words of 1, 3 and 2 tokens, an end, and a word that may only be hidden in part."""
    starts = np.zeros(VOCAB_SIZE, dtype=np.bool_)
    starts[5] = True
    tokens = np.array([[5, 5, 6, 6, 5, 6, END, 6, 6, 5, 6]])
    may = np.ones(tokens.shape, dtype=np.bool_)
    may[0, -1] = False
    words = [{0}, {1, 2, 3}, {4, 5}, {7, 8}, {9}]
    seen = set()
    for seed in range(60):
        _, chosen = hide(tokens, masking(0.4, starts), may, seed)  # 4 of the 9 tokens that may be hidden
        places = set(np.flatnonzero(chosen[0]).tolist())
        assert places == set().union(*(word for word in words if word <= places))
        seen |= {number for number, word in enumerate(words) if word <= places}
    assert seen == {0, 1, 2, 3, 4}


def test_a_word_longer_than_the_share_is_hidden_in_parts() -> None:
    """As in scripts without spaces: a line would be one word, and nothing would be left to guess it from."""
    tokens, starts = text(50, 40), np.zeros(VOCAB_SIZE, dtype=np.bool_)
    _, chosen = hide(tokens, masking(0.15, starts))
    assert set(chosen.sum(axis=1).tolist()) == {4, 6}  # parts of 6 tokens, and the last 4 of 40


def test_words_begin_at_spaces_and_signs() -> None:
    tokenizer = train_tokenizer(
        "bpe", [40 * "The wall had a great wall (the walls) in 1984. À la carte ẹ̀kọ́ ẹ̀kọ́\n"], 330
    )
    starts = word_starts(tokenizer)
    assert len(starts) == tokenizer.vocab_size
    pieces = [tokenizer.token_bytes(id) for id in range(tokenizer.vocab_size)]
    for id, piece in enumerate(pieces):
        if piece.isascii() and piece:
            assert starts[id] == (not piece[:1].isalnum()), piece
        try:
            piece.decode()
        except UnicodeDecodeError:
            if piece[0] >= 0x80:
                assert not starts[id], "a part of a letter"
    ids = tokenizer.encode("The walls (ẹ̀kọ́)")
    begun = [b"".join(pieces[id] for id in word) for word in np.split(ids, np.flatnonzero(starts[ids]))]
    assert [word.decode() for word in begun if word] == ["The", " walls", " (ẹ̀kọ́", ")"]


def test_random_numbers_are_uniform_and_of_their_row_alone() -> None:
    bits = row_bits(3, 10, 4, 500)
    assert np.array_equal(bits[2], row_bits(3, 12, 1, 500)[0])
    assert not np.array_equal(bits[2], row_bits(4, 12, 1, 500)[0])
    assert fractions(bits).mean() == pytest.approx(0.5, abs=0.03)
    assert 0 <= fractions(bits).min() and fractions(bits).max() < 1
    counts = np.bincount(below(bits.ravel(), np.full(bits.size, 5)), minlength=5)
    assert counts.sum() == 2000 and (np.abs(counts - 400) < 80).all()
    assert fractions(np.array([0, 2**63, 2**64 - 1], dtype=np.uint64)).tolist() == [0.0, 0.5, 1 - 2.0**-53]
