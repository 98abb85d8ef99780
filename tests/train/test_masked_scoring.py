"""Pseudo bits per byte: against a slow loop, a worked example, and transformers; independent of how it is batched."""

import math

import pytest
import torch
from torch import Tensor, nn

from atinuke.errors import SourceError
from atinuke.models.bert import Bert, BertOutput
from atinuke.testing import TEXT
from atinuke.tokenizers import Tokenizer, train_tokenizer
from atinuke.train.masked_scoring import PseudoScore, pseudo_bits_per_byte

CONTEXT = 9
TOKENIZERS = {
    "char": train_tokenizer("char", [TEXT], None),
    "bpe": train_tokenizer("bpe", [TEXT], 300),
    "word": train_tokenizer("word", [TEXT], 130),
}
BPE = TOKENIZERS["bpe"]
MASK = BPE.vocab_size


def bert(dropout: float = 0.0) -> Bert:
    torch.manual_seed(0)
    model = Bert(MASK + 1, 24, 20, 40, 2, 2, dropout, max_len=CONTEXT)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


class Between(nn.Module):
    """Says of a hidden token only what stands on its two sides: row (left, right) of a table of logits."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, tokens: Tensor, segments: Tensor, is_token: Tensor, places: Tensor) -> BertOutput:
        flat = tokens.flatten()
        return BertOutput(self.logits[flat[places - 1], flat[places + 1]], torch.zeros(len(tokens), 2))


def nats_one_by_one(model: Bert, tokenizer: Tokenizer, text: str, context: int, two_segments: bool) -> list[float]:
    """The protocol in its plainest words: every token by itself, one row at a time, nothing padded."""
    window = context - (3 if two_segments else 2)
    ids = tokenizer.encode(text).tolist()
    end = tokenizer.end_id
    nats = []
    for start in range(0, len(ids), window):
        piece = ids[start : start + window]
        half = -(-len(piece) // 2) if two_segments else len(piece)
        for target in range(len(piece)):
            hidden = [*piece[:target], MASK, *piece[target + 1 :]]
            row = [end, *hidden[:half], end, *([*hidden[half:], end] if hidden[half:] else [])]
            segments = [0] * (half + 2) + [1] * (len(row) - half - 2)
            with torch.no_grad():
                logits = model(torch.tensor([row]), torch.tensor([segments])).logits[0, row.index(MASK)]
            nats.append(-float(logits.double().log_softmax(-1)[piece[target]]))
    return nats


@pytest.mark.parametrize("two_segments", [False, True])
@pytest.mark.parametrize("texts", [[TEXT[:70]], [TEXT[:9], "", "a", TEXT[30:60]]])
def test_the_score_equals_a_loop_over_single_tokens(texts: list[str], two_segments: bool) -> None:
    model = bert()
    expected = sum(sum(nats_one_by_one(model, BPE, text, CONTEXT, two_segments)) for text in texts)
    for batch_seqs in (None, 1, 4):
        found = pseudo_bits_per_byte(model, BPE, texts, CONTEXT, MASK, two_segments=two_segments, batch_seqs=batch_seqs)
        assert found.score.nats == pytest.approx(expected, rel=1e-5)
        assert found.scored_tokens == found.score.tokens == sum(len(BPE.encode(text)) for text in texts)
    assert found.score.bytes == sum(len(text.encode()) for text in texts)
    assert found.standard_error == 0
    assert "not comparable with bits per byte" in found.note


def test_a_worked_example() -> None:
    """P(a | start _ b) = 1/2, P(b | a _ a) = 1/4, P(a | b _ end) = 1/8: "aba" costs 1 + 2 + 3 bits."""
    tokenizer = train_tokenizer("char", ["ab"], None)
    end, size = tokenizer.end_id, tokenizer.vocab_size
    a, b = (int(id) for id in tokenizer.encode("ab"))
    probabilities = torch.full((size + 1, size + 1, size + 1), 1 / size)
    for left, target, right, value in [(end, a, b, 1 / 2), (a, b, a, 1 / 4), (b, a, end, 1 / 8)]:
        probabilities[left, right] = (1 - value) / size
        probabilities[left, right, target] = value
    found = pseudo_bits_per_byte(Between(probabilities.log()), tokenizer, ["aba"], 8, size)
    assert found.bits_per_byte == pytest.approx(6 / 3, rel=1e-6)
    assert found.score.token_perplexity == pytest.approx(4.0, rel=1e-6)


def test_it_is_what_transformers_gives_for_each_masked_token() -> None:
    from transformers import BertConfig, BertForMaskedLM

    torch.manual_seed(0)
    sizes = BertConfig(
        vocab_size=MASK + 1,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=40,
        max_position_embeddings=CONTEXT,
        pad_token_id=None,
    )
    theirs = BertForMaskedLM(sizes).eval()
    text = TEXT[:40]
    ids = BPE.encode(text).tolist()
    expected = 0.0
    for start in range(0, len(ids), CONTEXT - 2):
        row = torch.tensor([[BPE.end_id, *ids[start : start + CONTEXT - 2], BPE.end_id]])
        for column in range(1, row.shape[1] - 1):
            hidden, labels = row.clone(), torch.full_like(row, -100)
            hidden[0, column], labels[0, column] = MASK, row[0, column]
            with torch.no_grad():
                expected += float(theirs(hidden, labels=labels).loss)
    found = pseudo_bits_per_byte(AsOurs(theirs), BPE, [text], CONTEXT, MASK)
    assert found.score.nats == pytest.approx(expected, rel=1e-5)


class AsOurs(nn.Module):
    """A network of transformers, called as ours is."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, tokens: Tensor, segments: Tensor, is_token: Tensor, places: Tensor) -> BertOutput:
        logits = self.inner(tokens, attention_mask=is_token.long(), token_type_ids=segments).logits
        return BertOutput(logits.flatten(0, 1)[places], torch.zeros(len(tokens), 2))


def sampled(most: int, seed: int = 0) -> PseudoScore:
    return pseudo_bits_per_byte(bert(), BPE, [TEXT, TEXT[:50]], CONTEXT, MASK, max_tokens=most, seed=seed)


def test_a_sample_is_seeded_and_says_so_and_comes_near_the_whole() -> None:
    whole = sampled(10**6)
    parts = [sampled(40, seed) for seed in range(12)]
    assert sampled(40, 3) == parts[3]
    assert len({part.score.nats for part in parts}) == 12
    assert parts[0].scored_tokens == 40
    assert f"40 of {whole.score.tokens:,} tokens, drawn at random" in parts[0].note
    assert "standard error" in parts[0].note and "standard error" not in whole.note
    off = [(part.bits_per_byte - whole.bits_per_byte) / part.standard_error for part in parts]
    assert max(map(abs, off)) < 3.5
    assert sum(off) / 12 == pytest.approx(0, abs=1)
    assert max(map(abs, off)) > 0.3, "a standard error far too large would tell nothing"


def test_unknown_words_cost_eight_bits_for_each_byte_that_they_hide() -> None:
    tokenizer = TOKENIZERS["word"]
    size = tokenizer.vocab_size
    uniform = Between(torch.zeros(size + 1, size + 1, size + 1))
    text = "Humpty zzzzé"
    found = pseudo_bits_per_byte(uniform, tokenizer, [text], CONTEXT, size)
    bits = math.log2(size + 1) * found.score.tokens + 8 * tokenizer.unknown_bytes(text)
    assert tokenizer.unknown_bytes(text) >= len("zzzzé".encode())
    assert found.bits_per_byte == pytest.approx(bits / len(text.encode()), rel=1e-6)


def test_scoring_leaves_weights_gradients_and_mode_as_they_were() -> None:
    model = bert(dropout=0.5)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    nats = []
    for is_training in (True, False):
        model.train(is_training)
        nats.append(pseudo_bits_per_byte(model, BPE, [TEXT[:30]], CONTEXT, MASK).score.nats)
        assert model.training is is_training
    assert nats[0] == nats[1], "dropout is off while scoring"
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("texts", [[], [""], ["", ""]])
def test_no_text_is_refused(texts: list[str]) -> None:
    with pytest.raises(SourceError, match="no text to score"):
        pseudo_bits_per_byte(bert(), BPE, texts, CONTEXT, MASK)


@pytest.mark.parametrize(("two_segments", "least"), [(False, 3), (True, 4)])
def test_the_smallest_window_holds_one_token(two_segments: bool, least: int) -> None:
    found = pseudo_bits_per_byte(bert(), BPE, ["wall"], least, MASK, two_segments=two_segments)
    assert found.scored_tokens == len(BPE.encode("wall"))
    with pytest.raises(ValueError, match=f"needs at least {least}"):
        pseudo_bits_per_byte(bert(), BPE, ["wall"], least - 1, MASK, two_segments=two_segments)
