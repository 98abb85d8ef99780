"""Bert against transformers' BertForPreTraining, on weights copied there and back."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from transformers import BertConfig, BertForPreTraining

from atinuke.data.batches.batch import IGNORE
from atinuke.models.bert import Bert
from atinuke.train.objectives import masked_and_next_sentence

VOCAB_SIZE, MODEL_DIM, HIDDEN_DIM, HEADS, LAYERS, MAX_LEN = 37, 24, 40, 3, 2, 16
TOLERANCE = 1e-4  # float32, sums in another order
SPREAD = 0.2  # ten times the usual, so that every weight matters

TOP = {
    "embedding.weight": "bert.embeddings.word_embeddings.weight",
    "positions.weight": "bert.embeddings.position_embeddings.weight",
    "segment_embedding.weight": "bert.embeddings.token_type_embeddings.weight",
    "embedding_norm": "bert.embeddings.LayerNorm",
    "transform": "cls.predictions.transform.dense",
    "transform_norm": "cls.predictions.transform.LayerNorm",
    "head_bias": "cls.predictions.bias",
    "pooler": "bert.pooler.dense",
    "next_sentence_head": "cls.seq_relationship",
}
BLOCK = {
    "attention.project_out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "feed_forward.project_in": "intermediate.dense",
    "feed_forward.project_out": "output.dense",
    "feed_forward_norm": "output.LayerNorm",
}


def pairs_of_names() -> dict[str, tuple[str, ...]]:
    """Our parameter → theirs, one behind the other where there are several."""
    pairs: dict[str, tuple[str, ...]] = {}
    for ours, theirs in TOP.items():
        if ours.endswith(("weight", "head_bias")):
            pairs[ours] = (theirs,)
        else:
            pairs |= {f"{ours}.{part}": (f"{theirs}.{part}",) for part in ("weight", "bias")}
    for layer in range(LAYERS):
        ours_at, theirs_at = f"blocks.{layer}", f"bert.encoder.layer.{layer}"
        for part in ("weight", "bias"):
            qkv = tuple(f"{theirs_at}.attention.self.{which}.{part}" for which in ("query", "key", "value"))
            pairs[f"{ours_at}.attention.project_qkv.{part}"] = qkv
            pairs |= {f"{ours_at}.{a}.{part}": (f"{theirs_at}.{b}.{part}",) for a, b in BLOCK.items()}
    return pairs


def as_ours(theirs: dict[str, Tensor]) -> dict[str, Tensor]:
    return {ours: torch.cat([theirs[name] for name in names]) for ours, names in pairs_of_names().items()}


def as_theirs(ours: dict[str, Tensor]) -> dict[str, Tensor]:
    state: dict[str, Tensor] = {}
    for name, names in pairs_of_names().items():
        state |= dict(zip(names, ours[name].chunk(len(names)), strict=True))
    state["cls.predictions.decoder.weight"] = state["bert.embeddings.word_embeddings.weight"]
    state["cls.predictions.decoder.bias"] = state["cls.predictions.bias"]
    return state


def build_ours() -> Bert:
    return Bert(VOCAB_SIZE, MODEL_DIM, MODEL_DIM, HIDDEN_DIM, HEADS, LAYERS, max_len=MAX_LEN).eval()


def build_theirs() -> BertForPreTraining:
    config = BertConfig(
        vocab_size=VOCAB_SIZE,
        hidden_size=MODEL_DIM,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        intermediate_size=HIDDEN_DIM,
        max_position_embeddings=MAX_LEN,
        pad_token_id=None,
    )
    return BertForPreTraining(config).eval()


def randomise(model: nn.Module) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=SPREAD)


def couple(direction: str) -> tuple[Bert, BertForPreTraining]:
    """Both networks with the same random weights, drawn in one of them."""
    torch.manual_seed(0)
    ours, theirs = build_ours(), build_theirs()
    if direction == "from transformers":
        randomise(theirs)
        ours.load_state_dict(as_ours(theirs.state_dict()))
    else:
        randomise(ours)
        theirs.load_state_dict(as_theirs(ours.state_dict()))
    return ours, theirs


def inputs() -> tuple[Tensor, Tensor, Tensor]:
    """Tokens, segments, and what is a token: rows of 12, 9 and 5."""
    torch.manual_seed(1)
    tokens = torch.randint(VOCAB_SIZE, (3, 12))
    segments = (torch.arange(12) >= torch.tensor([[7], [4], [2]])).long()
    return tokens, segments, torch.arange(12) < torch.tensor([[12], [9], [5]])


DIRECTIONS = pytest.mark.parametrize("direction", ["from transformers", "to transformers"])


@DIRECTIONS
def test_both_heads_give_the_logits_of_transformers(direction: str) -> None:
    ours, theirs = couple(direction)
    tokens, segments, is_token = inputs()
    with torch.no_grad():
        output = ours(tokens, segments, is_token)
        expected = theirs(tokens, attention_mask=is_token.long(), token_type_ids=segments)
    assert expected.prediction_logits[is_token].std() > 0.3, "logits that hardly differ would prove nothing"
    assert_close(output.logits[is_token], expected.prediction_logits[is_token], atol=TOLERANCE, rtol=0)
    assert_close(output.next_sentence, expected.seq_relationship_logits, atol=TOLERANCE, rtol=0)


@DIRECTIONS
def test_what_is_left_out_means_what_transformers_takes_it_for(direction: str) -> None:
    ours, theirs = couple(direction)
    tokens, _, _ = inputs()
    with torch.no_grad():
        output, expected = ours(tokens), theirs(tokens)
    assert_close(output.logits, expected.prediction_logits, atol=TOLERANCE, rtol=0)
    assert_close(output.next_sentence, expected.seq_relationship_logits, atol=TOLERANCE, rtol=0)


@DIRECTIONS
@pytest.mark.parametrize("at_places", [True, False], ids=["read at places", "read everywhere"])
def test_loss_and_gradients_are_those_of_transformers(direction: str, at_places: bool) -> None:
    ours, theirs = couple(direction)
    tokens, segments, is_token = inputs()
    labels = torch.full(tokens.shape, IGNORE)
    labels[0, 3], labels[0, 10], labels[1, 1], labels[2, 4] = 5, 6, 7, 8
    next_labels = torch.tensor([0, 1, 1])
    expected = theirs(
        tokens, attention_mask=is_token.long(), token_type_ids=segments, labels=labels, next_sentence_label=next_labels
    ).loss
    expected.backward()
    places = (labels != IGNORE).flatten().nonzero().flatten()
    if at_places:
        output = ours(tokens, segments, is_token, places)
        loss = masked_and_next_sentence(output, (labels.flatten()[places], next_labels))
    else:
        loss = masked_and_next_sentence(ours(tokens, segments, is_token), (labels, next_labels))
    loss.backward()
    assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    gradients = {name: p.grad for name, p in theirs.named_parameters() if p.grad is not None}
    gradients["cls.predictions.bias"] = theirs.cls.predictions.decoder.bias.grad  # one parameter, named twice
    for name, gradient in as_ours(gradients).items():
        mine = ours.get_parameter(name).grad
        assert mine is not None and mine.abs().max() > 0, name
        assert_close(mine, gradient, atol=TOLERANCE, rtol=1e-4, msg=lambda text, name=name: f"{name}: {text}")


def test_every_parameter_of_either_network_is_copied() -> None:
    ours, theirs = couple("from transformers")
    assert set(pairs_of_names()) == set(ours.state_dict())
    assert set(as_theirs(ours.state_dict())) == set(theirs.state_dict())
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in theirs.parameters())
