"""Training: examples worked by hand, the sample's bounds, and the same result every time."""

import os
import subprocess
import sys
from collections.abc import Iterator

import pytest
import tokenizers

from atinuke.errors import ConfigError, SourceError
from atinuke.tokenizers import KINDS, Tokenizer, train_tokenizer
from atinuke.tokenizers.splitting import SUBWORD_PATTERN
from atinuke.tokenizers.training import SMALLEST_VOCAB, WORD_BASE, count_pieces
from atinuke.tokenizers.vocabulary import RESERVED, Vocabulary

TEXT = "The cat sat on the mat; the dog didn't sit on the cat.\n\nA cat -- a mat -- a dog!\n"


def pieces_of(tokenizer: Tokenizer, text: str) -> list[str]:
    return [tokenizer.token_bytes(int(id)).decode() for id in tokenizer.encode(text)]


def test_bpe_merges_the_encyclopedia_example() -> None:
    """aaabdaaabac: Z=aa gives ZabdZabac, Y=ab gives ZYdZYac, X=ZY gives XdXac; then no pair occurs twice."""
    tokenizer = train_tokenizer("bpe", ["aaabdaaabac"], 1000)
    assert tokenizer._vocabulary.merges == (("a", "a"), ("a", "b"), ("aa", "ab"))
    assert tokenizer.vocab_size == 1 + 256 + 3
    z, y, x = 257, 258, 259
    assert [tokenizer.token_bytes(id) for id in (z, y, x)] == [b"aa", b"ab", b"aaab"]
    assert pieces_of(tokenizer, "aaabdaaabac") == ["aaab", "d", "aaab", "a", "c"]
    assert tokenizer.encode("aaabdaaabac").tolist() == [x, 1 + ord("d"), x, 1 + ord("a"), 1 + ord("c")]


def test_byte_level_ids_equal_those_of_a_plain_pipeline_with_the_same_merges() -> None:
    """The plain one numbers its pieces from zero: ours are one higher, behind the separator."""
    ours = train_tokenizer("bpe", [TEXT * 3 + "“ẹ̀kọ́” 😀 " * 5], 340)
    merges = list(ours._vocabulary.merges)
    assert len(merges) > 40
    byte_chars = RESERVED["bpe"][1:]
    vocab = {piece: id for id, piece in enumerate([*byte_chars, *(left + right for left, right in merges)])}
    plain = tokenizers.Tokenizer(tokenizers.models.BPE(vocab, merges))
    plain.pre_tokenizer = tokenizers.pre_tokenizers.Sequence(
        [
            tokenizers.pre_tokenizers.Split(tokenizers.Regex(SUBWORD_PATTERN), "isolated"),
            tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    for text in (TEXT, "“ẹ̀kọ́” 😀 unseen words, été\t\n"):
        assert ours.encode(text).tolist() == [id + 1 for id in plain.encode(text).ids]


def test_unigram_takes_the_most_probable_segmentation() -> None:
    """aab: a|ab costs 1 + 1.5 = 2.5, aa|b 1.2 + 1.1 = 2.3, a|a|b 3.1, so aa|b. ab: as one 1.5, a|b 2.1, so one."""
    learnt = {"a": -1.0, "b": -1.1, "aa": -1.2, "ab": -1.5}
    reserved = RESERVED["unigram"]
    scores = (*[-9.0] * len(reserved), *learnt.values())
    tokenizer = Tokenizer(Vocabulary("unigram", SUBWORD_PATTERN, (*reserved, *learnt), scores=scores))
    assert pieces_of(tokenizer, "aab") == ["aa", "b"]
    assert pieces_of(tokenizer, "ab") == ["ab"]
    assert tokenizer.encode("abc").tolist() == [1 + 256 + 3, 1 + ord("c")]


def test_unigram_learns_whole_words() -> None:
    tokenizer = train_tokenizer("unigram", [TEXT * 50], 310)
    assert pieces_of(tokenizer, "on the cat") == ["on", " the", " cat"]


def test_word_takes_the_most_frequent_words_with_their_space() -> None:
    text = "to be or not to be, to be -- and not -- to be…"
    tokenizer = train_tokenizer("word", [text], 2 + len(WORD_BASE) + 4)
    # " be" occurs 4 times, " to" 3; then of those that occur twice the first by code point: " not" and "--".
    assert tokenizer._vocabulary.pieces[-4:] == (" be", " to", " not", "--")
    assert pieces_of(tokenizer, " to be -- or--…") == [" to", " be", " ", "--", "\ufffd", "--", "\ufffd"]
    assert tokenizer.unknown_bytes(" to be -- or--…") == len(" or…".encode())


def test_word_lists_at_most_64_runs_of_signs() -> None:
    text = "".join(f"{a}{b} " for a in ",.;:!?+-*/" for b in "<>=|&^%$#@") * 3 + "--a" * 9
    pieces = train_tokenizer("word", [text], 1000)._vocabulary.pieces
    runs = [piece for piece in pieces[2 + len(WORD_BASE) :] if len(piece) == 2]
    assert len(runs) == 64 and "--" in runs


def test_char_orders_characters_by_frequency_and_ties_by_code_point() -> None:
    tokenizer = train_tokenizer("char", ["cbbaé", "é"], None)
    assert tokenizer._vocabulary.pieces[257:] == ("b", "é", "a", "c")
    small = train_tokenizer("char", ["cbbaé", "é"], 259)
    assert small.encode("béa").tolist() == [257, 258, 1 + ord("a")]


def test_char_keeps_4096_characters_when_no_size_is_given() -> None:
    assert train_tokenizer("char", ["".join(map(chr, range(0x4E00, 0x4E00 + 5000)))], None).vocab_size == 257 + 4096


@pytest.mark.parametrize("kind", KINDS)
def test_the_size_is_met_where_the_text_has_enough_and_told_truly_where_not(kind: str) -> None:
    many_words = "".join(f" {a}{b}{c}" for a in "klmnop" for b in "aeiou" for c in "rstvwxyz") * 3
    size = 260 if kind == "char" else 300
    assert train_tokenizer(kind, [many_words], size).vocab_size == size
    small = train_tokenizer(kind, [TEXT], 100_000)
    assert small.vocab_size < 1000
    assert small.vocab_size == small._rust.get_vocab_size()


@pytest.mark.parametrize("kind", KINDS)
def test_the_smallest_size_works_and_one_less_is_refused_with_the_number(kind: str) -> None:
    smallest = SMALLEST_VOCAB[kind]
    tokenizer = train_tokenizer(kind, [TEXT], smallest)
    assert tokenizer.vocab_size == smallest
    assert tokenizer.decode(tokenizer.encode("42!")) == "42!"
    with pytest.raises(
        ConfigError, match=rf"^vocab_size is {smallest - 1}; tokenizer {kind} needs {smallest} to 1000000\.$"
    ):
        train_tokenizer(kind, [TEXT], smallest - 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("bep", 300), "tokenizer is 'bep'; expected one of char, word, bpe, unigram. Did you mean bpe?"),
        (("bpe", None), "vocab_size is not set; tokenizer bpe needs a number, for example 4096."),
        (("bpe", 2**40), "vocab_size is 1099511627776; tokenizer bpe needs 257 to 1000000."),
        (("word", -5), "vocab_size is -5; tokenizer word needs"),
    ],
)
def test_an_impossible_request_says_what_is_possible(arguments: tuple[str, int | None], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        train_tokenizer(arguments[0], [TEXT], arguments[1])
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("texts", [[], ["", ""]])
def test_no_text_is_refused_in_one_line(kind: str, texts: list[str]) -> None:
    with pytest.raises(SourceError, match=r"^The text for the tokenizer is empty; .*SOURCE.*$"):
        train_tokenizer(kind, texts, 400)


@pytest.mark.parametrize("kind", KINDS)
def test_a_lone_surrogate_in_the_sample_is_refused(kind: str) -> None:
    with pytest.raises(SourceError, match=r"U\+DC80"):
        train_tokenizer(kind, ["fine", "not \udc80"], 400)


@pytest.mark.parametrize("kind", KINDS)
def test_no_more_is_read_than_the_sample(kind: str) -> None:
    def texts() -> Iterator[str]:
        yield "ab" * 50
        yield "cé" + "x" * 1000  # 100 bytes are read; of the next two, é is cut in half and left out
        raise AssertionError("read on")

    tokenizer = train_tokenizer(kind, texts(), 400, sample_bytes=102)
    assert tokenizer.fingerprint() == train_tokenizer(kind, ["ab" * 50, "c"], 400).fingerprint()
    with pytest.raises(ConfigError, match=r"^sample_bytes is 0; "):
        train_tokenizer(kind, [TEXT], 400, sample_bytes=0)


def test_pieces_are_counted_exactly() -> None:
    assert count_pieces(r"\w+|\W", ["b a b", "a b c"]) == [(" ", 4), ("b", 3), ("a", 2), ("c", 1)]


DETERMINISM = """
import argparse
from pathlib import Path
from atinuke.tokenizers import train_tokenizer
text = Path(argparse.__file__).read_text(encoding="utf-8")
texts = [text[i : i + 5000] for i in range(0, len(text), 5000)]
print(*(train_tokenizer(kind, texts, 600).fingerprint() for kind in ("char", "word", "bpe", "unigram")))
"""


def test_training_twice_gives_the_same_file_whatever_the_threads_and_prints_nothing() -> None:
    results = []
    for threads in ("1", "1", "2", "5"):
        environment = {**os.environ, "RAYON_NUM_THREADS": threads, "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": threads}
        command = [sys.executable, "-c", DETERMINISM]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
        assert done.stderr == "" and done.stdout.count("\n") == 1
        results.append(done.stdout)
    assert len(set(results)) == 1
