"""Text as tokens with their characters, for tokenizers of ours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.errors import ConfigError
from atinuke.testing import TEXT
from atinuke.tokenizers import train_tokenizer
from atinuke.tokenizers.reading import OurReader

KINDS = ("char", "bpe", "unigram")
READERS = {kind: OurReader(train_tokenizer(kind, [40 * TEXT], None if kind == "char" else 300)) for kind in KINDS}
WORDS = st.lists(st.text("aAzé中🙂'.,-", min_size=1, max_size=6), min_size=1, max_size=8)


@pytest.mark.parametrize("kind", KINDS)
@given(text=st.text(max_size=60).filter(lambda text: all(not "\ud800" <= char <= "\udfff" for char in text)))
def test_every_letter_belongs_to_a_token_that_covers_it(kind: str, text: str) -> None:
    pieces = READERS[kind].pieces(text)
    covered = {place for start, end in zip(pieces.starts, pieces.ends, strict=True) for place in range(start, end)}
    assert {place for place, char in enumerate(text) if not char.isspace()} <= covered
    assert all(0 <= start <= end <= len(text) for start, end in zip(pieces.starts, pieces.ends, strict=True))
    assert (np.diff(pieces.ends) >= 0).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_token_begins_behind_its_white_space(kind: str) -> None:
    text = "Humpty  Dumpty sat"
    pieces = READERS[kind].pieces(text)
    for start, end in zip(pieces.starts, pieces.ends, strict=True):
        shown = text[start:end]
        assert shown.isspace() or not shown[0].isspace()


@pytest.mark.parametrize("kind", KINDS)
@given(words=WORDS)
def test_the_first_token_of_a_word_holds_its_first_letter(kind: str, words: list[str]) -> None:
    ids, first = READERS[kind].words(words)
    pieces = READERS[kind].pieces(" ".join(words))
    assert ids.tolist() == pieces.ids.tolist()
    begins = np.concatenate([[0], np.cumsum([len(word) + 1 for word in words])[:-1]])
    for token, begin in zip(first, begins, strict=True):
        assert pieces.starts[token] <= begin < pieces.ends[token]


def test_parts_stand_between_separators_in_their_segments() -> None:
    reader = READERS["bpe"]
    frame = reader.frame(np.array([5, 6]), np.array([7]))
    end = reader.tokenizer.end_id
    assert frame.ids.tolist() == [end, 5, 6, end, 7, end]
    assert frame.segments.tolist() == [0, 0, 0, 0, 1, 1]
    assert frame.begins == (1, 4)
    assert len(frame.ids) == 3 + reader.frame_cost(2)


def test_an_empty_text_has_no_tokens() -> None:
    assert len(READERS["bpe"].pieces("")) == 0
    ids, first = READERS["bpe"].words([])
    assert len(ids) == len(first) == 0


def test_a_tokenizer_that_forgets_words_is_refused() -> None:
    with pytest.raises(ConfigError, match="expected char, bpe or unigram"):
        OurReader(train_tokenizer("word", [40 * TEXT], 100))
