"""GPT against transformers' GPT2LMHeadModel, on random weights that are copied from either to the other."""

import copy

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from transformers import GPT2Config, GPT2LMHeadModel

from atinuke.models.gpt import GPT
from atinuke.train.objectives import next_token

LAYERS, PLACES = 3, 16
Weights = dict[str, Tensor]


def names(layers: int) -> dict[str, tuple[str, bool]]:
    """Our name of each parameter → theirs, and whether they hold the matrix transposed, as their Conv1D does."""
    found = {
        "embedding.weight": ("transformer.wte.weight", False),
        "positions.weight": ("transformer.wpe.weight", False),
        "norm.weight": ("transformer.ln_f.weight", False),
        "norm.bias": ("transformer.ln_f.bias", False),
    }
    parts = {
        "attention_norm": "ln_1",
        "attention.project_qkv": "attn.c_attn",
        "attention.project_out": "attn.c_proj",
        "feed_forward_norm": "ln_2",
        "feed_forward.project_in": "mlp.c_fc",
        "feed_forward.project_out": "mlp.c_proj",
    }
    for layer in range(layers):
        for ours, theirs in parts.items():
            for kind in ("weight", "bias"):
                is_transposed = kind == "weight" and "project" in ours
                found[f"blocks.{layer}.{ours}.{kind}"] = (f"transformer.h.{layer}.{theirs}.{kind}", is_transposed)
    return found


def as_ours(theirs: Weights) -> Weights:
    """Their weights (or gradients) under our names."""
    return {name: theirs[other].T if turned else theirs[other] for name, (other, turned) in names(LAYERS).items()}


def as_theirs(ours: Weights) -> Weights:
    """Our weights under their names; the head is the embedding in both."""
    found = {other: (ours[name].T if turned else ours[name]) for name, (other, turned) in names(LAYERS).items()}
    return found | {"lm_head.weight": ours["embedding.weight"]}


def randomised(model: nn.Module, seed: int) -> nn.Module:
    """Every weight, gain and bias from N(0, 0.5), so that none can be swapped or left out without being seen."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5, generator=random)
    return model.eval()


def theirs(seed: int = 0, attention: str = "sdpa") -> GPT2LMHeadModel:
    config = GPT2Config(
        vocab_size=61,
        n_positions=PLACES,
        n_embd=24,
        n_inner=40,
        n_layer=LAYERS,
        n_head=3,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=0,
        eos_token_id=0,
        attn_implementation=attention,
    )
    return randomised(GPT2LMHeadModel(config), seed)  # type: ignore[return-value]


def ours(seed: int = 0) -> GPT:
    return randomised(GPT(61, 24, 24, 40, 3, LAYERS, max_len=PLACES), seed)  # type: ignore[return-value]


def couple(direction: str) -> tuple[GPT, GPT2LMHeadModel]:
    """Both networks with the same weights, copied in one direction or the other."""
    mine, other = ours(seed=1), theirs(seed=2)
    if direction == "theirs to ours":
        mine.load_state_dict(as_ours(other.state_dict()))
    else:
        other.load_state_dict(as_theirs(mine.state_dict()))
    return mine, other


def tokens_like(batch: int, length: int) -> Tensor:
    return torch.randint(61, (batch, length), generator=torch.Generator().manual_seed(3))


DIRECTIONS = ("theirs to ours", "ours to theirs")
TOLERANCE = {"atol": 1e-4, "rtol": 0.0}  # float32, logits up to ±8: the order of summation is all that differs


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_logits_are_those_of_transformers(direction: str) -> None:
    mine, other = couple(direction)
    tokens = tokens_like(2, PLACES)
    with torch.no_grad():
        expected = other(tokens).logits
        assert_close(mine(tokens), expected, **TOLERANCE)
    assert expected.std() > 0.5  # not a comparison of zeros


def test_logits_are_those_of_their_readable_attention_too() -> None:
    mine, other = ours(), theirs(attention="eager")
    mine.load_state_dict(as_ours(other.state_dict()))
    with torch.no_grad():
        assert_close(mine(tokens_like(2, 9)), other(tokens_like(2, 9)).logits, **TOLERANCE)


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_loss_and_gradients_are_those_of_transformers(direction: str) -> None:
    mine, other = couple(direction)
    tokens = tokens_like(3, 12)
    expected = other(tokens, labels=tokens).loss  # they shift the labels themselves
    loss = next_token(mine(tokens[:, :-1]), tokens[:, 1:])
    assert_close(loss, expected, atol=1e-5, rtol=1e-5)
    expected.backward()
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in other.named_parameters()}
    for name, gradient in as_ours(gradients).items():  # type: ignore[arg-type]
        assert_close(mine.get_parameter(name).grad, gradient, atol=1e-5, rtol=1e-4, msg=lambda text, n=name: n + text)


@pytest.mark.parametrize("split", [[12], [1] * 12, [5, 1, 1, 3, 2]])
def test_cached_decoding_gives_the_logits_of_transformers_with_its_cache(split: list[int]) -> None:
    mine, other = couple("theirs to ours")
    tokens, cache, past = tokens_like(2, 12), mine.new_cache(2, 12), None
    with torch.no_grad():
        for piece in tokens.split(split, dim=1):
            expected = other(piece, past_key_values=past, use_cache=True)
            past = expected.past_key_values
            assert_close(mine(piece, cache), expected.logits, **TOLERANCE)


def test_hidden_padding_is_what_transformers_attention_mask_hides() -> None:
    mine, other = couple("theirs to ours")
    tokens, is_token = tokens_like(2, 10), torch.ones(2, 10, dtype=torch.bool)
    is_token[0, :4] = False
    mask = is_token[:, None, None, :] & torch.ones(10, 10, dtype=torch.bool).tril()
    with torch.no_grad():
        found = mine(tokens, None, mask)
        expected = other(tokens, attention_mask=is_token.long(), position_ids=torch.arange(10)[None]).logits
    assert_close(found[is_token], expected[is_token], **TOLERANCE)


def test_one_step_of_training_leaves_both_with_the_same_weights() -> None:
    mine, other = couple("theirs to ours")
    before = copy.deepcopy(mine.state_dict())
    tokens = tokens_like(3, 12)
    for model, loss in (
        (mine, next_token(mine(tokens[:, :-1]), tokens[:, 1:])),
        (other, other(tokens, labels=tokens).loss),
    ):
        loss.backward()
        torch.optim.SGD(model.parameters(), lr=0.1).step()
    for name, expected in as_ours(other.state_dict()).items():
        assert_close(mine.state_dict()[name], expected, atol=1e-5, rtol=1e-4)
        assert not torch.equal(expected, before[name])
