"""What every kind promises: lossless text, honest losses, whole characters, and the same ids as the library."""

import argparse
import functools
import os
import random
import string
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from atinuke.errors import SourceError
from atinuke.tokenizers import KINDS, TextDecoder, Tokenizer, train_tokenizer

LOSSLESS = ("char", "bpe", "unigram")
SAMPLE = (
    "The cat sat on the mat; the cat didn't sit -- it sat. Ọmọ náà ń jẹun ní ilé, ọmọ náà ń sùn.\n\n"
    "def f(x):\n    return [x ** 2, '<|end|>', \"<0x41>\", '<unk>']  # “Ünïcödé” 1984 😀 字字\n"
) * 20
SCRAPS = [
    *(
        "<|end|>",
        "<0x41>",
        "<0xE2>",
        "<unk>",
        "<",
        "end",
        "|>",
        "▁",
        "Ġ",
        "Ċ",
        "\ufffd",
        "\ufeff",
        "\x00",
        "\x1c",
        "\x7f",
    ),
    *(" ", "  ", "\t", "\n", "\r", "\r\n", "\x85", "\u00a0", "\u2028", "\u200b", "\u3000"),
    *(
        "the",
        " cat",
        "don't",
        "'s",
        "’LL",
        "ẹ̀",
        "\u0301",
        "é",
        "字",
        "😀",
        "👩‍👩‍👧",
        "\U0010ffff",
        "1984",
        "----",
        "𝟙",
        "ſ",
    ),
]
TEXTS = st.one_of(st.lists(st.sampled_from(SCRAPS), max_size=20).map("".join), st.text(max_size=40))
many = settings(deadline=None, max_examples=250)


@functools.cache
def trained(kind: str) -> Tokenizer:
    return train_tokenizer(kind, [SAMPLE], None if kind == "char" else 400)


def pieces_of(tokenizer: Tokenizer, text: str) -> list[str]:
    return [tokenizer.token_bytes(int(id)).decode() for id in tokenizer.encode(text)]


@pytest.mark.parametrize("kind", LOSSLESS)
@given(text=TEXTS)
@many
def test_any_text_comes_back_and_its_bytes_too(kind: str, text: str) -> None:
    tokenizer = trained(kind)
    ids = tokenizer.encode(text)
    assert tokenizer.decode(ids) == text
    assert b"".join(tokenizer.token_bytes(int(id)) for id in ids) == text.encode()
    assert tokenizer.unknown_bytes(text) == 0


@pytest.mark.parametrize("kind", KINDS)
@given(text=TEXTS)
@many
def test_no_text_gives_the_separator(kind: str, text: str) -> None:
    tokenizer = trained(kind)
    ids = tokenizer.encode(text)
    assert ids.dtype == np.int32
    assert tokenizer.end_id not in ids
    assert all(0 <= id < tokenizer.vocab_size for id in ids)


@pytest.mark.parametrize("kind", LOSSLESS)
@pytest.mark.parametrize("name", ["<|end|>", "<0x41>", "<unk>"])
def test_a_reserved_name_in_the_text_is_spelt_out_and_not_obeyed(kind: str, name: str) -> None:
    """The sample is full of these names, so a trainer that could learn them as one piece would have."""
    pieces = pieces_of(trained(kind), name * 3)
    assert "".join(pieces) == name * 3
    assert max(map(len, pieces)) < len(name)


def test_an_unknown_word_named_like_the_unknown_token_is_spelt_out_too() -> None:
    assert pieces_of(trained("word"), "<unk> <|end|>") == ["<", "unk", ">", " ", "<", "|", "end", "|", ">"]


@given(text=TEXTS)
@many
def test_kind_word_loses_whole_pieces_outside_its_vocabulary_and_counts_their_bytes(text: str) -> None:
    """Oracle: the library's own pre-tokenizer and vocabulary."""
    tokenizer = trained("word")
    pieces = [piece for piece, _ in tokenizer._rust.pre_tokenizer.pre_tokenize_str(text)]
    known = tokenizer._rust.get_vocab()
    assert tokenizer.decode(tokenizer.encode(text)) == "".join(p if p in known else "\ufffd" for p in pieces)
    assert tokenizer.unknown_bytes(text) == sum(len(p.encode()) for p in pieces if p not in known)


@given(text=st.text(alphabet=[c for c in string.digits + string.punctuation + " \t\n\r\v\f" if c != "_"]))
@many
def test_kind_word_never_loses_signs_digits_and_white_space_of_ascii(text: str) -> None:
    assert trained("word").decode(trained("word").encode(text)) == text


def test_kind_word_says_what_it_loses_and_the_others_have_nothing_to_say() -> None:
    for kind in LOSSLESS:
        assert trained(kind).is_lossless and trained(kind).loss_note == "" and trained(kind).unknown_id is None
    word = trained("word")
    assert not word.is_lossless and "U+FFFD" in word.loss_note and word.loss_note.count(".") == 1
    assert word.encode(" xylophone").tolist() == [word.unknown_id]
    assert word.decode(word.encode("The xylophone sat.")) == "The\ufffd sat."
    assert word.unknown_bytes("The xylophone sat.") == len(" xylophone")
    assert word.token_bytes(word.unknown_id) == "\ufffd".encode()


@pytest.mark.parametrize("kind", KINDS)
@given(data=st.data())
@many
def test_ids_fed_one_by_one_give_what_decode_gives(kind: str, data: st.DataObject) -> None:
    """For any ids, as a model may sample them: most byte tokens in a row are no valid UTF-8."""
    tokenizer = trained(kind)
    ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=30))
    decoder = TextDecoder(tokenizer)
    assert "".join([*map(decoder.feed, ids), decoder.finish()]) == tokenizer.decode(ids)
    assert "".join([*map(decoder.feed, ids), decoder.finish()]) == tokenizer.decode(ids), "finish() did not start anew"


@pytest.mark.parametrize("kind", LOSSLESS)
@given(text=TEXTS)
@many
def test_streamed_text_is_at_every_moment_a_beginning_of_the_text(kind: str, text: str) -> None:
    tokenizer = trained(kind)
    decoder = TextDecoder(tokenizer)
    shown = ""
    for id in tokenizer.encode(text):
        shown += decoder.feed(int(id))
        assert text.startswith(shown)
    assert shown == text and decoder.finish() == ""


def test_a_character_in_bytes_appears_with_its_last_byte() -> None:
    tokenizer = train_tokenizer("char", ["ab"], None)
    decoder = TextDecoder(tokenizer)
    assert [decoder.feed(int(id)) for id in tokenizer.encode("a😀b")] == ["a", "", "", "", "😀", "b"]
    assert [decoder.feed(int(id)) for id in tokenizer.encode("😀")[:3]] == ["", "", ""]
    assert decoder.finish() == "\ufffd"


@pytest.mark.parametrize("kind", KINDS)
def test_the_separator_decodes_to_nothing(kind: str) -> None:
    tokenizer = trained(kind)
    the = tokenizer.encode(" the").tolist()
    assert tokenizer.token_bytes(tokenizer.end_id) == b""
    assert tokenizer.decode([tokenizer.end_id, *the, tokenizer.end_id, *the]) == " the the"


@functools.cache
def foreign(kind: str, folder: Path) -> PreTrainedTokenizerFast:
    trained(kind).save(folder / f"{kind}.json")
    return PreTrainedTokenizerFast(tokenizer_file=str(folder / f"{kind}.json"))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("saved")


@pytest.mark.parametrize("kind", KINDS)
@given(text=TEXTS)
@many
def test_transformers_reads_the_file_and_gives_the_same_ids_and_text(kind: str, folder: Path, text: str) -> None:
    theirs = foreign(kind, folder)
    ids = trained(kind).encode(text).tolist()
    assert theirs(text, add_special_tokens=False)["input_ids"] == ids
    if kind != "word":
        assert theirs.decode(ids) == text


@pytest.mark.parametrize("kind", KINDS)
def test_a_long_text_has_the_ids_of_the_text_encoded_whole(kind: str) -> None:
    text = Path(argparse.__file__).read_text(encoding="utf-8")
    assert len(text) > 80_000, "long enough to be cut"
    tokenizer = train_tokenizer(kind, [text], None if kind == "char" else 1000)
    assert tokenizer.encode(text).tolist() == tokenizer._rust.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("kind", KINDS)
def test_a_batch_gives_what_its_texts_give_alone(kind: str) -> None:
    tokenizer = trained(kind)
    texts = ["", "the cat", SAMPLE * 30, "", "\n", "ọmọ"]
    batch = tokenizer.encode_batch(texts)
    assert [ids.tolist() for ids in batch] == [tokenizer.encode(text).tolist() for text in texts]
    assert all(ids.dtype == np.int32 for ids in batch)
    assert tokenizer.encode_batch([]) == []


@given(text=TEXTS)
@many
def test_the_table_of_kind_char_equals_the_library(text: str) -> None:
    tokenizer = trained("char")
    assert tokenizer.encode(text).tolist() == tokenizer._rust.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("kind", LOSSLESS)
def test_megabytes_without_a_space_come_back(kind: str) -> None:
    noise = "".join(random.Random(0).choices("abcdefghijklmnopqrstuvwxyzé", k=20_000)) * 50
    for text in (noise, "a" * 1_000_000, "\u0301" * 300_000, " " * 1_000_000):
        ids = trained(kind).encode(text)
        assert "".join(trained(kind).decode(ids)) == text


@pytest.mark.parametrize("kind", KINDS)
def test_a_lone_surrogate_is_refused_in_one_line_that_says_where(kind: str) -> None:
    with pytest.raises(SourceError, match=r"^The text has the lone surrogate U\+D83D at character 3; .*$"):
        trained(kind).encode("cat\ud83d")


@pytest.mark.parametrize("id", [-1, 300, 10**12])
def test_an_id_outside_the_vocabulary_is_an_error_and_not_another_token(id: int) -> None:
    tokenizer = train_tokenizer("bpe", [SAMPLE], 300)
    for read in (lambda: tokenizer.decode([5, id]), lambda: TextDecoder(tokenizer).feed(id)):
        with pytest.raises(ValueError, match=rf"^token id is {id}; expected 0 to 299"):
            read()


def test_a_forked_process_encodes_and_nothing_is_printed() -> None:
    """The library prints advice after a fork, or waits for ever for threads that the child does not have."""
    script = (
        "import os\n"
        "from atinuke.tokenizers import train_tokenizer\n"
        "tokenizer = train_tokenizer('bpe', ['the cat sat on the mat ' * 50], 300)\n"
        "texts = ['the cat'] * 100\n"
        "before = [ids.tolist() for ids in tokenizer.encode_batch(texts)]\n"
        "if not hasattr(os, 'fork'):\n"
        "    raise SystemExit\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit([ids.tolist() for ids in tokenizer.encode_batch(texts)] != before)\n"
        "raise SystemExit(os.waitpid(child, 0)[1])\n"
    )
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]
    environment = {name: value for name, value in os.environ.items() if name != "TOKENIZERS_PARALLELISM"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
