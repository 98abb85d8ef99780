"""Bits per byte: against a slow loop, worked examples, and transformers; independent of how it is batched."""

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from atinuke.errors import SourceError
from atinuke.testing import TEXT, tiny_model
from atinuke.tokenizers import Tokenizer, train_tokenizer
from atinuke.train.scoring import Score, bits_per_byte

CONTEXT = 8
TOKENIZERS = {
    "char": train_tokenizer("char", [TEXT], None),
    "bpe": train_tokenizer("bpe", [TEXT], 300),
    "word": train_tokenizer("word", [TEXT], 130),
}
texts_of_any_kind = st.lists(st.text(st.sampled_from(TEXT + "xyé🙂\n"), max_size=60), min_size=1, max_size=6)


class Table(nn.Module):
    """A network whose logits depend on the newest token alone: row i of a matrix follows token i."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.logits[tokens]


def nats_one_by_one(
    model: nn.Module, tokenizer: Tokenizer, texts: Sequence[str], context: int, before: int | None = None
) -> float:
    """The protocol in its plainest words: each token by itself, after those of its own window that come before it."""
    nats = 0.0
    for number, text in enumerate(texts):
        first = before if before is not None and number == 0 else tokenizer.end_id
        stream = [first, *(int(id) for id in tokenizer.encode(text))]
        for target in range(1, len(stream)):
            window_start = (target - 1) // context * context
            with torch.no_grad():
                logits = model(torch.tensor([stream[window_start:target]]))[0, -1]
            nats -= float(logits.double().log_softmax(-1)[stream[target]])
        nats += 8 * math.log(2) * tokenizer.unknown_bytes(text)
    return nats


@pytest.mark.parametrize("kind", ["atinuke", "atinuke-paper"])
@given(texts=texts_of_any_kind, tokenizer=st.sampled_from(sorted(TOKENIZERS)), batch_seqs=st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_the_score_equals_a_loop_over_single_tokens(
    kind: str, texts: list[str], tokenizer: str, batch_seqs: int
) -> None:
    size = sum(len(text.encode()) for text in texts)
    chosen, model = TOKENIZERS[tokenizer], MODELS[kind, tokenizer]
    if not size:
        return
    score = bits_per_byte(model, chosen, texts, CONTEXT, batch_seqs=batch_seqs)
    assert score.nats == pytest.approx(nats_one_by_one(model, chosen, texts, CONTEXT), rel=1e-5)
    assert score.bytes == size
    assert score.tokens == sum(len(chosen.encode(text)) for text in texts)
    assert score.words == sum(len(text.split()) for text in texts)


def test_a_worked_example() -> None:
    """P(a|start) = 1/2, P(b|a) = 1/4, P(a|b) = 1/8: "aba" costs 1 + 2 + 3 bits, in whatever windows."""
    tokenizer = train_tokenizer("char", ["ab"], None)
    a, b = (int(id) for id in tokenizer.encode("ab"))
    model = Table(next_is({(tokenizer.end_id, a): 1 / 2, (a, b): 1 / 4, (b, a): 1 / 8}, tokenizer.vocab_size))
    for context in (1, 2, 3, 10):
        score = bits_per_byte(model, tokenizer, ["aba"], context)
        assert score.bits_per_byte == pytest.approx(6 / 3)
        assert score.token_perplexity == pytest.approx(2 ** (6 / 3))
        assert score.word_perplexity == pytest.approx(2**6)
    following = bits_per_byte(model, tokenizer, ["aba", "a"], 2, preceding_ids=[a, b])
    assert following.bits_per_byte == pytest.approx((3 + 2 + 3 + 1) / 4), (
        "only the first text goes on from what was before"
    )


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_network_that_knows_nothing_scores_log2_of_the_vocabulary_per_token(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]
    uniform = Table(torch.zeros(tokenizer.vocab_size, tokenizer.vocab_size))
    score = bits_per_byte(uniform, tokenizer, [TEXT], CONTEXT)
    expected = math.log2(tokenizer.vocab_size) * len(tokenizer.encode(TEXT)) / len(TEXT.encode())
    assert score.bits_per_byte == pytest.approx(expected, rel=1e-6)
    assert score.token_perplexity == pytest.approx(tokenizer.vocab_size, rel=1e-5)


def test_unknown_words_cost_eight_bits_for_each_byte_that_they_hide() -> None:
    tokenizer = TOKENIZERS["word"]
    uniform = Table(torch.zeros(tokenizer.vocab_size, tokenizer.vocab_size))
    text = "Humpty zzzzé"
    score = bits_per_byte(uniform, tokenizer, [text], CONTEXT)
    hidden = tokenizer.unknown_bytes(text)
    assert hidden >= len("zzzzé".encode())
    expected_bits = math.log2(tokenizer.vocab_size) * score.tokens + 8 * hidden
    assert score.bits_per_byte == pytest.approx(expected_bits / len(text.encode()), rel=1e-6)


def test_batching_does_not_change_the_score() -> None:
    tokenizer, model = TOKENIZERS["bpe"], MODELS["atinuke", "bpe"]
    texts = [TEXT, "", "a", TEXT * 8, TEXT[:50]]
    scores = [bits_per_byte(model, tokenizer, texts, CONTEXT, batch_seqs=n) for n in (None, 1, 2, 7, 1000)]
    assert [score.nats for score in scores] == pytest.approx([scores[0].nats] * 5, rel=1e-6)


def test_more_windows_than_are_held_at_once_are_all_scored() -> None:
    tokenizer, model = TOKENIZERS["char"], MODELS["atinuke-paper", "char"]
    once = bits_per_byte(model, tokenizer, [TEXT], CONTEXT)
    often = bits_per_byte(model, tokenizer, (TEXT for _ in range(40)), CONTEXT)
    assert often.nats == pytest.approx(40 * once.nats, rel=1e-6)
    assert (often.tokens, often.bytes, often.words) == (40 * once.tokens, 40 * once.bytes, 40 * once.words)


def test_scoring_leaves_weights_gradients_and_mode_as_they_were() -> None:
    model = tiny_model("atinuke", vocab_size=TOKENIZERS["bpe"].vocab_size, context=CONTEXT)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    for is_training in (True, False):
        model.train(is_training)
        bits_per_byte(model, TOKENIZERS["bpe"], [TEXT], CONTEXT)
        assert model.training is is_training
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    model.train()(torch.zeros(1, CONTEXT, dtype=torch.int64)).sum().backward()


def test_dropout_is_off_while_scoring_and_the_mode_comes_back_after_an_error() -> None:
    model = nn.Sequential(Table(torch.randn(61, 61)), nn.Dropout(0.5)).train()
    tokenizer = train_tokenizer("char", [TEXT], None)
    wide = nn.Sequential(Table(torch.randn(tokenizer.vocab_size, tokenizer.vocab_size)), nn.Dropout(0.5)).train()
    first, second = (bits_per_byte(wide, tokenizer, [TEXT], CONTEXT).nats for _ in range(2))
    assert first == second
    with pytest.raises(IndexError):
        bits_per_byte(model, tokenizer, [TEXT], CONTEXT)
    assert model.training and wide.training


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_no_text_is_refused(texts: list[str]) -> None:
    with pytest.raises(SourceError, match="no text to score"):
        bits_per_byte(MODELS["atinuke", "bpe"], TOKENIZERS["bpe"], texts, CONTEXT)


def test_a_perplexity_beyond_numbers_is_infinite() -> None:
    score = Score(nats=1e6, bytes=10, tokens=1, words=0)
    assert score.token_perplexity == math.inf
    assert score.word_perplexity == math.inf


def test_scores_equal_the_loss_of_transformers() -> None:
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = TOKENIZERS["bpe"]
    torch.manual_seed(0)
    sizes = GPT2Config(vocab_size=tokenizer.vocab_size, n_positions=CONTEXT + 1, n_embd=16, n_layer=2, n_head=2)
    gpt2 = GPT2LMHeadModel(sizes).eval()
    stream = torch.tensor([tokenizer.end_id, *(int(id) for id in tokenizer.encode(TEXT))])
    expected = 0.0
    for start in range(0, len(stream) - 1, CONTEXT):
        window = stream[None, start : start + CONTEXT + 1]
        with torch.no_grad():
            expected += float(gpt2(window, labels=window).loss) * (window.numel() - 1)  # it shifts the labels itself
    score = bits_per_byte(LogitsOf(gpt2), tokenizer, [TEXT], CONTEXT)
    assert score.nats == pytest.approx(expected, rel=1e-5)


class LogitsOf(nn.Module):
    """A network of transformers as one of ours: logits alone."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, tokens: Tensor) -> Tensor:
        logits: Tensor = self.inner(tokens).logits
        return logits


def next_is(probabilities: dict[tuple[int, int], float], vocab_size: int) -> Tensor:
    """Logits of a table: each (token, next) has its probability, the other tokens share what is left."""
    table = torch.full((vocab_size, vocab_size), 1 / vocab_size, dtype=torch.float64)
    for (token, following), probability in probabilities.items():
        table[token] = (1 - probability) / (vocab_size - 1)
        table[token, following] = probability
    return table.log().float()


MODELS = {
    (kind, name): tiny_model(kind, vocab_size=tokenizer.vocab_size, context=CONTEXT)  # type: ignore[arg-type]
    for kind in ("atinuke", "atinuke-paper")
    for name, tokenizer in TOKENIZERS.items()
}
