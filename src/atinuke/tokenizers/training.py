"""Sample of texts → trained tokenizer. The same texts give the same tokenizer, whatever the machine's core count.

Byte-level BPE is trained by the `tokenizers` library. Its unigram trainer is not used: it sums in the order of a hash
map, and two runs differ in the last digits and then in pieces; ours is in `unigram.py`.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import tokenizers as rust

from atinuke.config import nearest
from atinuke.errors import ConfigError, SourceError
from atinuke.tokenizers.splitting import CHAR_PATTERN, LONGEST_SPACES, SIGN, SUBWORD_PATTERN, cut, word_pattern
from atinuke.tokenizers.tokenizer import Tokenizer, encode_chunks, refuse_surrogates
from atinuke.tokenizers.unigram import train_pieces
from atinuke.tokenizers.vocabulary import BYTE_CHARS, END, KINDS, RESERVED, UNKNOWN, Vocabulary

SAMPLE_BYTES = 64_000_000
DEFAULT_CHAR_COUNT = 4096
LARGEST_VOCAB = 1_000_000  # the Rust trainer reserves memory for all of it at once
MOST_SIGN_RUNS = 64  # each is one more alternative to try at every sign

# What kind word never loses: digits, signs and white space of ASCII. "_" counts as a letter there.
WORD_BASE = (
    *(" " * count for count in range(1, LONGEST_SPACES + 1)),
    *("\n", "\n\n", "\r\n", "\r", "\t", "\v", "\f"),
    *"0123456789",
    *"!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~",
)
SMALLEST_VOCAB = {kind: len(reserved) for kind, reserved in RESERVED.items()} | {"word": 2 + len(WORD_BASE) + 1}


def train_tokenizer(
    kind: str, texts: Iterable[str], vocab_size: int | None, *, sample_bytes: int = SAMPLE_BYTES
) -> Tokenizer:
    """A tokenizer of `kind`, learnt from the first `sample_bytes` (UTF-8) of `texts`; no more of them is read.

    `vocab_size` counts all ids, the separator and bytes included; a sample too small to fill it gives a smaller
    tokenizer. None is for char alone: every character, the 4096 most frequent if there are more.
    """
    _check(kind, vocab_size, sample_bytes)
    sample = _read_sample(texts, sample_bytes)
    if not sample:
        raise SourceError(
            "The text for the tokenizer is empty; expected at least one character. Give a SOURCE with text."
        )
    match kind:
        case "char":
            vocabulary = _learn_char(sample, vocab_size)
        case "word":
            vocabulary = _learn_word(sample, vocab_size or 0)
        case "bpe":
            vocabulary = _learn_bpe(sample, vocab_size or 0)
        case _:
            vocabulary = _learn_unigram(sample, vocab_size or 0)
    return Tokenizer(vocabulary)


def _check(kind: str, vocab_size: int | None, sample_bytes: int) -> None:
    if kind not in KINDS:
        raise ConfigError(f"tokenizer is {kind!r}; expected one of {', '.join(KINDS)}.{nearest(kind, KINDS)}")
    if vocab_size is None and kind != "char":
        raise ConfigError(f"vocab_size is not set; tokenizer {kind} needs a number, for example 4096.")
    smallest = SMALLEST_VOCAB[kind]
    if vocab_size is not None and not smallest <= vocab_size <= LARGEST_VOCAB:
        raise ConfigError(f"vocab_size is {vocab_size}; tokenizer {kind} needs {smallest} to {LARGEST_VOCAB}.")
    if sample_bytes < 1:
        raise ConfigError(f"sample_bytes is {sample_bytes}; expected the number of bytes to learn from, at least 1.")


def _read_sample(texts: Iterable[str], sample_bytes: int) -> list[str]:
    """The first `sample_bytes` of `texts` in chunks, cut as `Tokenizer.encode` cuts."""
    chunks: list[str] = []
    left = sample_bytes
    for text in texts:
        for chunk in cut(text):
            refuse_surrogates(chunk)
            encoded = chunk.encode()
            if len(encoded) > left:
                chunk = encoded[:left].decode("utf-8", "ignore")  # drops a character of which only half fits
            if chunk:
                chunks.append(chunk)
            left -= len(encoded)
            if left <= 0:
                return chunks
    return chunks


def _learn_char(sample: Sequence[str], vocab_size: int | None) -> Vocabulary:
    counts: Counter[str] = Counter()
    for chunk in sample:
        counts.update(chunk)
    reserved = RESERVED["char"]
    room = DEFAULT_CHAR_COUNT if vocab_size is None else vocab_size - len(reserved)
    frequent = sorted(counts, key=lambda char: (-counts[char], char))[:room]
    return Vocabulary("char", CHAR_PATTERN, (*reserved, *frequent))


def _learn_word(sample: Sequence[str], vocab_size: int) -> Vocabulary:
    room = vocab_size - 2 - len(WORD_BASE)
    base = set(WORD_BASE)
    is_sign = rust.pre_tokenizers.Split(rust.Regex(SIGN), "removed")
    words: list[str] = []
    runs: list[str] = []
    for piece, _ in count_pieces(word_pattern(None), sample):
        if len(words) == room:
            break
        if piece in base:
            continue
        if len(piece) > 1 and not is_sign.pre_tokenize_str(piece):
            if len(runs) == MOST_SIGN_RUNS:
                continue
            runs.append(piece)
        words.append(piece)
    return Vocabulary("word", word_pattern(runs), (END, UNKNOWN, *WORD_BASE, *words))


def _learn_bpe(sample: Sequence[str], vocab_size: int) -> Vocabulary:
    """Merges by the library's trainer, which breaks ties by id: the same on any number of threads."""
    learner = rust.Tokenizer(rust.models.BPE())
    learner.pre_tokenizer = Vocabulary("bpe", SUBWORD_PATTERN, RESERVED["bpe"]).build().pre_tokenizer
    trainer = rust.trainers.BpeTrainer(
        vocab_size=vocab_size - 1,  # the separator is no business of the trainer
        min_frequency=2,  # a pair seen once is chance
        initial_alphabet=BYTE_CHARS,
        special_tokens=[],
        show_progress=False,
    )
    learner.train_from_iterator(sample, trainer)
    merges = [(left, right) for left, right in json.loads(learner.to_str())["model"]["merges"]]
    # Two merges can make the same piece by different ways; it has one id.
    pieces = dict.fromkeys((*RESERVED["bpe"], *(left + right for left, right in merges)))
    return Vocabulary("bpe", SUBWORD_PATTERN, tuple(pieces), tuple(merges))


def _learn_unigram(sample: Sequence[str], vocab_size: int) -> Vocabulary:
    reserved = RESERVED["unigram"]
    learnt = train_pieces(count_pieces(SUBWORD_PATTERN, sample), vocab_size - len(reserved))
    # Reserved pieces are never matched in text. Their low score only sets that of spelling a character in bytes,
    # which the library puts 10 nats below the lowest.
    lowest = min((score for _, score in learnt), default=0.0)
    scores = (*[lowest] * len(reserved), *(score for _, score in learnt))
    return Vocabulary("unigram", SUBWORD_PATTERN, (*reserved, *(piece for piece, _ in learnt)), scores=scores)


def count_pieces(pattern: str, sample: Sequence[str]) -> list[tuple[str, int]]:
    """How often each piece of `pattern` occurs; most frequent first, ties by code point.

    Both passes run in Rust on all cores: one to number the pieces, one to count the numbers.
    """
    counter = rust.Tokenizer(rust.models.WordLevel(vocab={}, unk_token=UNKNOWN))
    counter.pre_tokenizer = rust.pre_tokenizers.Split(rust.Regex(pattern), "isolated")
    everything = rust.trainers.WordLevelTrainer(
        vocab_size=2**31, min_frequency=0, special_tokens=[], show_progress=False
    )
    counter.train_from_iterator(sample, everything)
    ids = counter.get_vocab()
    counts = np.zeros(len(ids), np.int64)
    for found in encode_chunks(counter, sample):
        np.add.at(counts, found, 1)
    return sorted(((piece, int(counts[id])) for piece, id in ids.items()), key=lambda item: (-item[1], item[0]))
