"""Promises of the encoder: it sees both sides, not the padding, and reads out where it is asked to."""

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from atinuke.data.batches.batch import IGNORE
from atinuke.models.bert import Bert, BertOutput
from atinuke.models.layers.attention import BACKENDS
from atinuke.train.objectives import masked_and_next_sentence

VOCAB_SIZE = 11


def build(max_len: int = 32, key_dim: int = 20, dropout: float = 0.0) -> Bert:
    """A small network whose every weight matters; no two of its sizes are equal."""
    torch.manual_seed(0)
    model = Bert(VOCAB_SIZE, 18, key_dim, 40, 2, 3, dropout, max_len)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.2)
    return model.eval()


def tokens_like(batch: int, length: int) -> torch.Tensor:
    return torch.randint(VOCAB_SIZE, (batch, length), generator=torch.Generator().manual_seed(1))


def test_each_position_sees_both_sides() -> None:
    model, before = build(), tokens_like(1, 9)
    for changed in (0, 8):
        after = before.clone()
        after[:, changed] = (after[:, changed] + 1) % VOCAB_SIZE
        difference = (model(before).logits - model(after).logits).abs().amax(dim=-1)
        assert difference.min() > 1e-4
        assert (model(before).next_sentence - model(after).next_sentence).abs().max() > 1e-4


def test_padding_and_batch_mates_change_nothing() -> None:
    model, row = build(), tokens_like(1, 6)
    padded = torch.cat([row, torch.full((1, 3), 7)], dim=1)
    is_token = torch.arange(9) < torch.tensor([[6], [9]])
    output = model(torch.cat([padded, tokens_like(1, 9)]), None, is_token)
    alone = model(row)
    assert_close(output.logits[:1, :6], alone.logits)
    assert_close(output.next_sentence[:1], alone.next_sentence)
    assert (model(padded).logits[:, :6] - alone.logits).abs().max() > 1e-4, "without the mask it would be seen"


def test_logits_at_places_are_those_of_the_whole() -> None:
    model, tokens = build(), tokens_like(3, 7)
    places = torch.tensor([2, 7, 20, 2])
    whole = model(tokens)
    output = model(tokens, None, None, places)
    assert output.logits.shape == (4, VOCAB_SIZE)
    assert_close(output.logits, whole.logits.flatten(0, 1)[places])
    assert_close(output.next_sentence, whole.next_sentence)


def test_segments_matter_and_none_means_the_first() -> None:
    model, tokens = build(), tokens_like(2, 6)
    assert_close(model(tokens).logits, model(tokens, torch.zeros_like(tokens)).logits)
    second = model(tokens, torch.ones_like(tokens)).logits
    assert (model(tokens).logits - second).abs().max() > 1e-4


def test_order_matters() -> None:
    model = build()
    one, other = torch.tensor([[1, 2, 3, 4]]), torch.tensor([[1, 3, 2, 4]])
    assert (model(one).logits[:, 3] - model(other).logits[:, 3]).abs().max() > 1e-4


def test_a_sequence_longer_than_max_len_is_refused_in_one_line() -> None:
    model = build(max_len=8)
    assert model(tokens_like(1, 8)).logits.shape == (1, 8, VOCAB_SIZE)
    with pytest.raises(ValueError, match="9 positions; max_len is 8"):
        model(tokens_like(1, 9))


def test_heads_that_cannot_share_key_dim_are_refused() -> None:
    with pytest.raises(ValueError, match="key_dim must be a multiple of head_count"):
        build(key_dim=21)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_readable_attention_gives_the_logits_of_the_fast_one(backend: str) -> None:
    model, tokens = build(), tokens_like(2, 9)
    is_token = torch.arange(9) < torch.tensor([[5], [9]])
    fast = model(tokens, None, is_token).logits
    for block in model.blocks:
        block.attention.attend = BACKENDS[backend]
    assert_close(model(tokens, None, is_token).logits[is_token], fast[is_token], atol=1e-5, rtol=1e-5)


def test_gradient_reaches_every_parameter() -> None:
    model = build(max_len=9)
    output = model(tokens_like(4, 9), (torch.arange(9) > 4).long().expand(4, 9))
    (output.logits.square().sum() + output.next_sentence.square().sum()).backward()
    untouched = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert untouched == []


def test_dropout_acts_in_training_alone() -> None:
    model, tokens = build(dropout=0.5), tokens_like(2, 9)
    assert_close(model(tokens).logits, model(tokens).logits)
    model.train()
    assert (model(tokens).logits - model(tokens).logits).abs().max() > 1e-4


def test_it_overfits_one_batch_of_hidden_tokens_and_pairs() -> None:
    torch.manual_seed(0)
    model = Bert(VOCAB_SIZE, 32, 32, 64, 2, 2, max_len=12)
    tokens, next_labels = tokens_like(4, 12), torch.tensor([0, 1, 1, 0])
    places = torch.tensor([3, 17, 30, 44])
    targets = tokens.flatten()[places]
    hidden = tokens.flatten().index_fill(0, places, VOCAB_SIZE - 1).view_as(tokens)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.0)
    for _ in range(80):
        loss = masked_and_next_sentence(model(hidden, None, None, places), (targets, next_labels))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss.item() < 0.05


def test_the_objective_adds_both_means_and_leaves_out_what_does_not_count() -> None:
    """Two tokens at probabilities 1/2 and 1/8, one pair at 1/4: (1 + 3) / 2 bits + 2 bits."""
    logits = torch.tensor([[0.5, 0.5], [7 / 8, 1 / 8], [0.9, 0.1]]).log()
    pairs = torch.tensor([[0.25, 0.75], [0.5, 0.5]]).log()
    output, tokens = BertOutput(logits, pairs), torch.tensor([0, 1, IGNORE])
    bits = torch.tensor(2.0).log()
    assert_close(masked_and_next_sentence(output, (tokens, torch.tensor([0, IGNORE]))), 4 * bits)
    assert_close(masked_and_next_sentence(output, (tokens, torch.tensor([IGNORE, IGNORE]))), 2 * bits)
