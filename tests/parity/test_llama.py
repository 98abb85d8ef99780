"""Llama with grouped heads against transformers' LlamaForCausalLM, on random weights copied in both directions."""

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close
from transformers import LlamaConfig, LlamaForCausalLM

from atinuke.models.llama import Llama
from atinuke.train.objectives import next_token

LAYERS, HEADS, KV_HEADS, WIDTH, HIDDEN, MODEL = 3, 6, 2, 6, 40, 24
Weights = dict[str, Tensor]


def names(layers: int) -> dict[str, tuple[str, ...]]:
    """Our name of each parameter → theirs; where they hold several matrices, ours has them below each other."""
    found: dict[str, tuple[str, ...]] = {
        "embedding.weight": ("model.embed_tokens.weight",),
        "norm.weight": ("model.norm.weight",),
        "head.weight": ("lm_head.weight",),
    }
    parts = {
        "attention_norm": ("input_layernorm",),
        "attention.project_qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
        "attention.project_out": ("self_attn.o_proj",),
        "feed_forward_norm": ("post_attention_layernorm",),
        "feed_forward.project_gate": ("mlp.gate_proj",),
        "feed_forward.project_in": ("mlp.up_proj",),
        "feed_forward.project_out": ("mlp.down_proj",),
    }
    for layer in range(layers):
        for ours, theirs in parts.items():
            found[f"blocks.{layer}.{ours}.weight"] = tuple(f"model.layers.{layer}.{name}.weight" for name in theirs)
    return found


def as_ours(theirs: Weights) -> Weights:
    """Their weights (or gradients) under our names."""
    return {name: torch.cat([theirs[other] for other in others]) for name, others in names(LAYERS).items()}


def as_theirs(ours: Weights) -> Weights:
    """Our weights under their names."""
    found: Weights = {}
    for name, others in names(LAYERS).items():
        rows = [HEADS * WIDTH, KV_HEADS * WIDTH, KV_HEADS * WIDTH] if len(others) == 3 else [len(ours[name])]
        found |= dict(zip(others, ours[name].split(rows), strict=True))
    return found


def randomised(model: nn.Module, seed: int) -> nn.Module:
    """Every weight and gain from N(0, 0.5), so that none can be swapped or left out without being seen."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.5, generator=random)
    return model.eval()


def theirs(seed: int = 0, attention: str = "sdpa", base: float = 10_000.0, eps: float = 1e-6) -> LlamaForCausalLM:
    config = LlamaConfig(
        vocab_size=61,
        hidden_size=MODEL,
        intermediate_size=HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        num_key_value_heads=KV_HEADS,
        head_dim=WIDTH,
        max_position_embeddings=64,
        rms_norm_eps=eps,
        rope_parameters={"rope_type": "default", "rope_theta": base},
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=0,
        attn_implementation=attention,
    )
    return randomised(LlamaForCausalLM(config), seed)  # type: ignore[return-value]


def ours(seed: int = 0, base: float = 10_000.0, eps: float = 1e-6) -> Llama:
    sizes = {"kv_head_count": KV_HEADS, "rotary_base": base, "norm_eps": eps}
    model = Llama(61, MODEL, HEADS * WIDTH, HIDDEN, HEADS, LAYERS, max_len=64, **sizes)  # type: ignore[arg-type]
    return randomised(model, seed)  # type: ignore[return-value]


def couple(direction: str) -> tuple[Llama, LlamaForCausalLM]:
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
TOLERANCE = {"atol": 1e-4, "rtol": 0.0}  # float32, logits up to ±7: the order of summation is all that differs


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_logits_are_those_of_transformers(direction: str) -> None:
    mine, other = couple(direction)
    tokens = tokens_like(2, 32)
    with torch.no_grad():
        expected = other(tokens).logits
        assert_close(mine(tokens), expected, **TOLERANCE)
    assert expected.std() > 0.5  # not a comparison of zeros


@pytest.mark.parametrize(("base", "eps"), [(10_000.0, 1e-5), (500_000.0, 1e-6), (100.0, 1e-2)])
def test_other_rotary_bases_and_norms_are_those_of_their_readable_attention(base: float, eps: float) -> None:
    mine, other = ours(1, base, eps), theirs(2, "eager", base, eps)
    mine.load_state_dict(as_ours(other.state_dict()))
    with torch.no_grad():
        found = mine(tokens_like(2, 32))
        assert_close(found, other(tokens_like(2, 32)).logits, **TOLERANCE)
        default = ours(1)
        default.load_state_dict(as_ours(other.state_dict()))
        assert (default(tokens_like(2, 32)) - found).abs().max() > 1e-4  # the setting matters here


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


def test_a_weight_that_is_copied_wrongly_is_seen() -> None:
    """The comparison itself: two query heads that change places, and the gate and what it lets through."""
    mine, other = couple("theirs to ours")
    tokens = tokens_like(2, 12)
    qkv, block = "blocks.1.attention.project_qkv.weight", "blocks.1.feed_forward"
    gate, through = f"{block}.project_gate.weight", f"{block}.project_in.weight"
    right = mine.state_dict()
    heads = right[qkv].split(WIDTH)
    with torch.no_grad():
        expected = other(tokens).logits
        for wrong in (
            {qkv: torch.cat([heads[2], heads[1], heads[0], *heads[3:]])},
            {gate: right[through], through: right[gate]},
        ):
            changed = ours()
            changed.load_state_dict(right | wrong)
            assert (changed(tokens) - expected).abs().max() > 1e-2
