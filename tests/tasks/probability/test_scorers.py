"""What networks say of texts, against sums over their softmax, bits per byte, and masks set one by one."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from atinuke.errors import ConfigError
from atinuke.generate.loading import load_trained
from atinuke.models.decoder import Decoder
from atinuke.tasks.probability.scorers import DecoderScorer, EncoderScorer, cut, scorer_for
from atinuke.testing import TEXT, make_run, make_translator
from atinuke.tokenizers import train_tokenizer
from atinuke.train.masked_scoring import pseudo_bits_per_byte
from atinuke.train.scoring import bits_per_byte


@pytest.fixture(scope="module")
def decoder(tmp_path_factory: pytest.TempPathFactory) -> DecoderScorer:
    scorer = scorer_for(load_trained(make_run(tmp_path_factory.mktemp("runs") / "a"), "cpu"))
    assert isinstance(scorer, DecoderScorer)
    return scorer


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> EncoderScorer:
    scorer = scorer_for(load_trained(make_run(tmp_path_factory.mktemp("runs") / "b", "bert"), "cpu"))
    assert isinstance(scorer, EncoderScorer)
    return scorer


def by_hand(scorer: DecoderScorer, context: str, continuation: str) -> tuple[float, bool]:
    """The sum over the softmax of one row, without windows."""
    before, whole = (scorer.tokenizer.encode(text).tolist() for text in (context, context + continuation))
    row = torch.tensor([[scorer.tokenizer.end_id, *whole]])
    assert isinstance(scorer.model, Decoder)
    with torch.no_grad():
        logs = scorer.model(row[:, :-1])[0, :, : scorer.tokenizer.vocab_size].log_softmax(dim=-1)
    asked = range(len(before), len(whole))
    nats = -sum(float(logs[place, whole[place]]) for place in asked)
    return nats, all(int(logs[place].argmax()) == whole[place] for place in asked)


TEXTS = [("", "Humpty"), ("Humpty Dumpty", " sat"), ("on a", " wall"), ("All", " the king"), ("", "x")]


def test_continuations_have_the_nats_of_the_softmax(decoder: DecoderScorer) -> None:
    found = decoder.nats(TEXTS)
    for (context, continuation), each in zip(TEXTS, found, strict=True):
        nats, is_greedy = by_hand(decoder, context, continuation)
        assert each.nats == pytest.approx(nats, rel=1e-5)
        assert each.is_greedy == is_greedy


def test_an_unknown_word_costs_eight_bits_a_byte_and_is_never_said(decoder: DecoderScorer) -> None:
    words = train_tokenizer("word", ["a wall and a wall"], decoder.tokenizer.vocab_size)
    scorer = replace(decoder, tokenizer=words)
    known, unknown = scorer.nats([("a wall", " and"), ("a wall", " tumbled")])
    nats, _ = by_hand(scorer, "a wall", " tumbled")
    charged = words.unknown_bytes("a wall tumbled")
    assert charged >= len("tumbled") and not unknown.is_greedy
    assert unknown.nats == pytest.approx(nats + 8 * math.log(2) * charged, rel=1e-5)
    assert known.nats == pytest.approx(by_hand(scorer, "a wall", " and")[0], rel=1e-5)


def test_the_space_behind_a_context_belongs_to_what_follows(decoder: DecoderScorer) -> None:
    (first,), (second,) = decoder.nats([("on a ", "wall")]), decoder.nats([("on a", " wall")])
    assert first == second


def test_a_whole_text_has_the_nats_of_its_bits_per_byte(decoder: DecoderScorer) -> None:
    found = decoder.whole([TEXT, "Humpty"])
    for text, each in zip([TEXT, "Humpty"], found, strict=True):
        score = bits_per_byte(decoder.model, decoder.tokenizer, [text], decoder.context)
        assert each.nats == score.nats
        assert each.nats / math.log(2) / each.bytes == score.bits_per_byte


def test_a_sentence_within_the_window_has_the_same_nats_both_ways(decoder: DecoderScorer) -> None:
    (one,), (other,) = decoder.nats([("", "Humpty")]), decoder.whole(["Humpty"])
    assert one.nats == pytest.approx(other.nats, rel=1e-5)
    assert one.tokens == other.tokens


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12))
def test_windows_ask_for_each_token_once_and_last(length: int, asked: int, context: int) -> None:
    row = np.arange(length + 1)
    asked = min(asked, length)
    windows = cut(row, asked, context)
    targets = [int(token) for window, count in windows for token in window[len(window) - count :]]
    assert targets == list(range(length + 1 - asked, length + 1))
    assert all(len(window) <= context + 1 and count < len(window) for window, count in windows)


def test_an_encoder_hides_each_token_by_itself(encoder: EncoderScorer) -> None:
    texts = ["Humpty Dumpty sat", "on a wall", TEXT]
    for text, each in zip(texts, encoder.nats([("", text) for text in texts]), strict=True):
        score = pseudo_bits_per_byte(
            encoder.model,
            encoder.tokenizer,
            [text],
            encoder.context,
            encoder.mask_id,
            two_segments=encoder.two_segments,
        )
        assert each.nats == pytest.approx(score.score.nats, rel=1e-5)


def test_an_encoder_is_not_asked_what_follows(encoder: EncoderScorer) -> None:
    with pytest.raises(ConfigError, match="not what follows"):
        encoder.nats([("a", "b")])
    with pytest.raises(ConfigError, match="no text a probability"):
        encoder.whole(["a"])


def test_a_translator_is_refused(tmp_path_factory: pytest.TempPathFactory) -> None:
    run = make_translator(tmp_path_factory.mktemp("runs") / "t")
    with pytest.raises(ConfigError, match="gives a text no probability"):
        scorer_for(load_trained(run, "cpu"))
