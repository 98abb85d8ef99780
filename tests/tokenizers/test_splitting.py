"""The split patterns, seen through the library that runs them."""

import pytest
import tokenizers
from hypothesis import given, settings
from hypothesis import strategies as st

from atinuke.tokenizers.splitting import CHAR_PATTERN, SUBWORD_PATTERN, cut, word_pattern

PATTERNS = {
    "char": CHAR_PATTERN,
    "subword": SUBWORD_PATTERN,
    "word": word_pattern(["--", "...", "\\]", "-->"]),
    "word, to count": word_pattern(None),
}
SCRAPS = [
    "word",
    "Two",
    "é",
    "e\u0301",
    "字",
    "7",
    "\n",
    "\r\n",
    " ",
    "\t",
    "\u2028",
    "\u00a0",
    "\x1c",
    "'s",
    "’",
    "--",
    "_",
    ".",
]
TEXTS = st.one_of(st.lists(st.sampled_from(SCRAPS), max_size=30).map("".join), st.text(max_size=30))


def split(pattern: str, text: str) -> list[str]:
    splitter = tokenizers.pre_tokenizers.Split(tokenizers.Regex(pattern), "isolated")
    return [piece for piece, _ in splitter.pre_tokenize_str(text)]


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("I don't, we’ll 'self'", ["I", " don", "'t", ",", " we", "’ll", " '", "self", "'"]),
        ("ẹ̀kọ́ e\u0301", ["ẹ̀kọ́", " e\u0301"]),
        ("in 1984,5", ["in", " ", "19", "84", ",", "5"]),
        ("f(x):\n    y = (1)\n", ["f", "(x", "):\n", "   ", " y", " =", " (", "1", ")\n"]),
        ("a  \n\n\tb \t", ["a", "  \n\n", "\tb", " \t"]),
        ("<|end|> <unk> <0x41>", ["<|", "end", "|>", " <", "unk", ">", " <", "0", "x", "41", ">"]),
    ],
)
def test_subwords_split_as_written_out_here(text: str, pieces: list[str]) -> None:
    assert split(SUBWORD_PATTERN, text) == pieces


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("I don't say 'tis_2 x2!", ["I", " don't", " say", " ", "'", "tis_2", " x2", "!"]),
        ("no--yes---", ["no", "--", "yes", "--", "-"]),
        ("42\r\n\n\n\n    if", ["4", "2", "\r\n", "\n\n", "\n", "   ", " if"]),
        (" " * 20 + ".", [" " * 16, " " * 3, " ", "."]),
    ],
)
def test_words_split_as_written_out_here(text: str, pieces: list[str]) -> None:
    assert split(word_pattern(["--"]), text) == pieces


@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
@given(text=TEXTS)
@settings(deadline=None, max_examples=100)
def test_pieces_joined_are_the_text(pattern: str, text: str) -> None:
    assert "".join(split(pattern, text)) == text


@pytest.mark.parametrize("unit", ["a", "\u0301", "字", "7", ".", " ", "\t", "\n", "\r\n", "_", " \n"])
@pytest.mark.parametrize("pattern", PATTERNS.values(), ids=PATTERNS)
def test_no_piece_grows_with_the_text(pattern: str, unit: str) -> None:
    assert max(map(len, split(pattern, unit * 5000))) <= 1024


@pytest.mark.parametrize("pattern", [PATTERNS["subword"], PATTERNS["word"], PATTERNS["word, to count"]])
@given(text=TEXTS, soft=st.integers(1, 9))
@settings(deadline=None, max_examples=300)
def test_a_safe_cut_changes_no_piece(pattern: str, text: str, soft: int) -> None:
    chunks = list(cut(text, soft=soft, hard=len(text) + soft + 1))
    assert [piece for chunk in chunks for piece in split(pattern, chunk)] == split(pattern, text)


def test_cuts_fall_before_a_space_or_after_a_line_feed() -> None:
    assert list(cut("one two\nthree  four! five", soft=3, hard=100)) == ["one", " two\n", "three", "  four! five"]


@given(text=TEXTS, soft=st.integers(1, 5), extra=st.integers(1, 5))
def test_chunks_joined_are_the_text_and_none_is_too_long(text: str, soft: int, extra: int) -> None:
    chunks = list(cut(text, soft, soft + extra))
    assert "".join(chunks) == text
    assert all(1 <= len(chunk) <= soft + extra for chunk in chunks)
