"""The scorer that all racers of benchmarks/race.py share, against scores worked out by hand and against our own."""

import importlib.util
import math
import sys
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

from atinuke.tokenizers.training import train_tokenizer
from atinuke.train.scoring import bits_per_byte

PATH = Path(__file__).parents[2] / "benchmarks" / "peers" / "scoring.py"
SEPARATOR = 4


@pytest.fixture(scope="module")
def scoring() -> ModuleType:
    spec = importlib.util.spec_from_file_location("race_scoring", PATH)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["race_scoring"] = module  # dataclasses look up the module of their class
    spec.loader.exec_module(module)
    return module


class Recorder:
    """Letters a to d as ids 0 to 3. Thinks that a token is the one before it with probability 1/2, any other 1/8."""

    def __init__(self) -> None:
        self.seen: list[list[int]] = []

    def __call__(self, tokens: Tensor) -> Tensor:
        self.seen += tokens.tolist()
        same = nn.functional.one_hot(tokens, 5).bool()
        return torch.where(same, math.log(1 / 2), math.log(1 / 8))


def contestant(scoring: ModuleType, logits: object, *, context: int = 3, decode: object = None) -> object:
    return scoring.Contestant(
        logits=logits,
        encode=lambda text: ["abcd".index(letter) for letter in text],
        decode=decode or (lambda ids: "".join("abcd"[id] for id in ids)),
        separator_id=SEPARATOR,
        context=context,
        params=0,
    )


def test_every_token_is_scored_once_from_the_tokens_before_it_in_its_window(scoring: ModuleType) -> None:
    network = Recorder()
    result = scoring.score(contestant(scoring, network), ["aabbbcc"])
    # after the separator a: 3 bits; a a: 1; a b: 3; | b b: 1; b b: 1; b c: 3; | c c: 1. In all 13 bits for 7 bytes.
    assert result.bits_per_byte == pytest.approx(13 / 7, abs=1e-6)
    assert (result.bytes, result.tokens) == (7, 7)
    assert sorted(network.seen) == sorted([[SEPARATOR, 0, 0], [1, 1, 1], [2]])


def test_a_text_that_goes_on_is_scored_from_the_last_token_before_it(scoring: ModuleType) -> None:
    result = scoring.score(contestant(scoring, Recorder()), ["ab"], before="cda")
    assert result.nats == pytest.approx((1 + 3) * math.log(2), abs=1e-5)


def test_each_document_begins_after_a_separator(scoring: ModuleType) -> None:
    network = Recorder()
    result = scoring.score(contestant(scoring, network), ["a", "aa"], before="a")
    assert result.nats == pytest.approx((1 + 3 + 1) * math.log(2), abs=1e-5)
    assert sorted(network.seen) == [[0], [SEPARATOR, 0]]


def test_a_tokenizer_that_loses_text_is_refused(scoring: ModuleType) -> None:
    with pytest.raises(ValueError, match="loses text"):
        scoring.score(contestant(scoring, Recorder(), decode=lambda ids: "a"), ["aab"])


def test_the_score_is_the_one_of_atinuke_evaluate(scoring: ModuleType) -> None:
    texts = ["the cat sat on the mat, and the dog sat on the cat. " * 5, "ọjọ́ kan ni àná; " * 7]
    tokenizer = train_tokenizer("bpe", texts, 300)
    torch.manual_seed(0)
    network = nn.Sequential(nn.Embedding(tokenizer.vocab_size, 8), nn.Linear(8, tokenizer.vocab_size))
    ours = scoring.Contestant(
        logits=network,
        encode=lambda text: tokenizer.encode(text).tolist(),
        decode=tokenizer.decode,
        separator_id=tokenizer.end_id,
        context=16,
        params=0,
    )
    expected = bits_per_byte(network, tokenizer, texts, 16)
    result = scoring.score(ours, texts)
    assert (result.bytes, result.tokens) == (expected.bytes, expected.tokens)
    assert result.nats == pytest.approx(expected.nats, rel=1e-6)
