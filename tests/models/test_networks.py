"""Promises that every network keeps."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from atinuke.models import GPT, Atinuke, AtinukePaper, Llama, ModelConfig, build_model
from atinuke.models.decoder import Decoder
from atinuke.models.layers.attention import BACKENDS
from atinuke.models.layers.prefix import Prefix

NETWORKS = [Atinuke, AtinukePaper, GPT, Llama]


def build(network: type[Decoder], dropout: float = 0.0, **sizes: int) -> Decoder:
    """A small network whose every weight matters: what starts at zero is drawn at random."""
    torch.manual_seed(0)
    settings = {"vocab_size": 11, "model_dim": 18, "key_dim": 50, "hidden_dim": 100, "head_count": 2, "layer_count": 3}
    model = network(**{**settings, **sizes}, dropout=dropout)  # type: ignore[arg-type]
    for parameter in model.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=0.2)
    return model.eval()


def tokens_like(batch: int, length: int, vocab_size: int = 11) -> torch.Tensor:
    return torch.randint(vocab_size, (batch, length), generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("network", NETWORKS)
def test_listing_1_example_has_the_shape_that_the_paper_gives(network: type[Decoder]) -> None:
    model = network(10, 18, 50, 100, 2, 3, 0.1)  # type: ignore[call-arg]
    assert model(torch.randint(10, (25, 100))).shape == (25, 100, 10)


@pytest.mark.parametrize("network", NETWORKS)
def test_the_future_does_not_change_the_past(network: type[Decoder]) -> None:
    model, before = build(network), tokens_like(2, 12)
    after = before.clone()
    after[:, 7:] = (after[:, 7:] + 1) % 11
    assert_close(model(before)[:, :7], model(after)[:, :7])
    assert (model(before)[:, 7:] - model(after)[:, 7:]).abs().min() > 0


@pytest.mark.parametrize("network", NETWORKS)
def test_the_past_changes_the_future(network: type[Decoder]) -> None:
    model, before = build(network), tokens_like(1, 12)
    after = before.clone()
    after[:, 0] = (after[:, 0] + 1) % 11
    assert (model(before)[:, -1] - model(after)[:, -1]).abs().max() > 1e-4


@pytest.mark.parametrize("network", NETWORKS)
def test_the_order_of_earlier_tokens_matters(network: type[Decoder]) -> None:
    model = build(network)
    one, other = torch.tensor([[1, 2, 3, 4, 5, 6]]), torch.tensor([[2, 1, 3, 4, 5, 6]])
    assert (model(one)[:, -1] - model(other)[:, -1]).abs().max() > 1e-4


@pytest.mark.parametrize("network", NETWORKS)
def test_batch_mates_do_not_influence_each_other(network: type[Decoder]) -> None:
    model, tokens = build(network), tokens_like(4, 9)
    assert_close(model(tokens)[2:3], model(tokens[2:3]))


@pytest.mark.parametrize("network", NETWORKS)
def test_gradient_reaches_every_parameter(network: type[Decoder]) -> None:
    model = build(network)
    model(tokens_like(4, 9)).square().sum().backward()
    untouched = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert untouched == []


@pytest.mark.parametrize("network", NETWORKS)
def test_max_len_is_enforced_with_and_without_a_cache(network: type[Decoder]) -> None:
    model = build(network, max_len=8)
    assert model(tokens_like(1, 8)).shape == (1, 8, 11)
    with pytest.raises(ValueError, match="9 positions; max_len is 8"):
        model(tokens_like(1, 9))
    cache = model.new_cache(1, 16)
    model(tokens_like(1, 8), cache)
    with pytest.raises(ValueError, match="max_len is 8"):
        model(tokens_like(1, 1), cache)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("split", [[12], [1] * 12, [5, 7], [3, 1, 1, 4, 1, 2]])
def test_cached_decoding_gives_the_logits_of_the_whole_sequence(network: type[Decoder], split: list[int]) -> None:
    model, tokens = build(network), tokens_like(3, 12)
    cache = model.new_cache(3, 12)
    pieces = [model(piece, cache) for piece in tokens.split(split, dim=1)]
    assert cache.length == 12
    assert_close(torch.cat(pieces, dim=1), model(tokens), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("backend", BACKENDS)
def test_the_readable_attention_gives_the_logits_of_the_fast_one(network: type[Decoder], backend: str) -> None:
    model, tokens = build(network), tokens_like(2, 9)
    fast = model(tokens)
    for block in model.blocks:
        block.attention.attend = BACKENDS[backend]
    assert_close(model(tokens), fast, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("network", NETWORKS)
def test_every_network_overfits_one_batch(network: type[Decoder]) -> None:
    torch.manual_seed(0)
    model = network(11, 32, 32, 64, 2, 2)  # type: ignore[call-arg]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.0)
    window = tokens_like(4, 17)
    for _ in range(150):
        loss = nn.functional.cross_entropy(model(window[:, :-1]).flatten(0, 1), window[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    # the first target cannot be known from one token, where two windows begin alike; all others can
    assert loss.item() < 0.1


@pytest.mark.parametrize("network", NETWORKS)
def test_tables_of_positions_are_not_part_of_a_checkpoint(network: type[Decoder]) -> None:
    names = set(build(network).state_dict())
    assert names == {name for name, _ in build(network).named_parameters()}


@pytest.mark.parametrize("network", NETWORKS)
def test_a_copy_of_the_weights_computes_the_same(network: type[Decoder]) -> None:
    model, tokens = build(network), tokens_like(2, 9)
    other = network(11, 18, 50, 100, 2, 3).eval()  # type: ignore[call-arg]
    other(tokens[:, :3])  # its tables were made for another length
    other.load_state_dict(model.state_dict())
    assert_close(other(tokens), model(tokens))


@pytest.mark.parametrize("network", NETWORKS)
def test_a_moved_network_moves_its_tables(network: type[Decoder]) -> None:
    """The meta device stands in where there is no other: a table left behind would raise."""
    model = build(network)
    model(tokens_like(1, 4))
    devices = ["meta", *(["cuda"] if torch.cuda.is_available() else [])]
    devices += ["mps"] if torch.backends.mps.is_available() else []
    for device in devices:
        moved = model.to(device)
        assert moved(tokens_like(1, 9).to(device)).device.type == device


@pytest.mark.parametrize("network", NETWORKS)
def test_bfloat16_weights_compute_nearly_the_same(network: type[Decoder]) -> None:
    model, tokens = build(network), tokens_like(2, 9)
    exact = model(tokens)
    rough = model.to(torch.bfloat16)(tokens).float()
    # 8 bits of mantissa over three layers: a few per cent of the spread of the logits
    assert (rough - exact).abs().max() < 0.1 * exact.std() + 0.1 * exact.abs().max()


@pytest.mark.parametrize("network", NETWORKS)
def test_heads_that_cannot_share_key_dim_are_refused(network: type[Decoder]) -> None:
    with pytest.raises(ValueError, match="key_dim must be a multiple of head_count, for example 51 or 54"):
        network(10, 18, 52, 100, 3, 3)  # type: ignore[call-arg]


def test_atinuke_begins_as_the_uniform_distribution() -> None:
    model = Atinuke(11, 18, 50, 100, 2, 3)
    assert model(tokens_like(2, 9)).abs().max() == 0
    loss = nn.functional.cross_entropy(model(tokens_like(2, 9)).flatten(0, 1), tokens_like(2, 9).flatten())
    assert loss.item() == pytest.approx(math.log(11))


@pytest.mark.parametrize("kind", ["atinuke", "atinuke-paper", "gpt", "llama"])
def test_build_model_builds_what_the_configuration_says(kind: str) -> None:
    cfg = ModelConfig.model_validate(
        {
            "kind": kind,
            "vocab_size": 11,
            "model_dim": 16,
            "key_dim": 8,
            "hidden_dim": 24,
            "head_count": 2,
            "layer_count": 2,
            "context": 4,
        }
    )
    model = build_model(cfg)
    assert model(tokens_like(2, 4)).shape == (2, 4, 11)
    assert len(model.blocks) == 2
    assert model.blocks[0].attention.project_qkv.weight.shape == (24, 16)


@pytest.mark.parametrize("network", NETWORKS)
def test_a_network_that_has_generated_can_still_be_trained(network: type[Decoder]) -> None:
    model = build(network)
    with torch.inference_mode():
        model(tokens_like(1, 40))
    model(tokens_like(1, 40)).sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("network", NETWORKS)
def test_with_the_full_mask_the_future_changes_the_past(network: type[Decoder]) -> None:
    """What a network needs that is trained on masked tokens and on next tokens by turns."""
    model, before = build(network), tokens_like(2, 12)
    after = before.clone()
    after[:, 7:] = (after[:, 7:] + 1) % 11
    assert (model(before, None, "full")[:, :7] - model(after, None, "full")[:, :7]).abs().max() > 1e-3
    written_out = torch.ones(1, 1, 12, 12, dtype=torch.bool)
    assert_close(model(before, None, "full"), model(before, None, written_out), atol=1e-5, rtol=1e-5)
    assert_close(model(before), model(before, None, written_out.tril()), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("network", NETWORKS)
def test_what_a_mask_hides_does_not_matter(network: type[Decoder]) -> None:
    model, before = build(network), tokens_like(2, 9)
    after = before.clone()
    after[:, 2] = (after[:, 2] + 1) % 11
    mask = torch.ones(9, 9, dtype=torch.bool).tril()
    mask[:, 2:4] = False  # place 3 too: the pair of tokens that ends there has the one of place 2
    same = [0, 1, 4, 5, 6, 7, 8]
    assert_close(model(before, None, mask)[:, same], model(after, None, mask)[:, same])


@pytest.mark.parametrize("network", [AtinukePaper, GPT, Llama])
def test_a_network_of_tokens_alone_refuses_a_picture_in_one_line(network: type[Decoder]) -> None:
    with pytest.raises(ValueError, match=rf"^{network.__name__} reads tokens alone and was given a picture\..*\.$"):
        build(network)(tokens_like(1, 4), None, "causal", Prefix("picture", torch.zeros(1, 1, 4, 4)))


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("rows", [[2, 0, 0], [1], [0, 0, 1, 1, 2]])
def test_selected_rows_of_a_cache_go_on_as_their_sequences_do(network: type[Decoder], rows: list[int]) -> None:
    model, tokens = build(network), tokens_like(3, 6)
    cache, chosen = model.new_cache(3, 9), torch.tensor(rows)
    model(tokens, cache)
    cache.select(chosen)
    more = tokens_like(len(rows), 3)
    expected = model(torch.cat([tokens[chosen], more], dim=1))[:, 6:]
    found = [model(piece, cache) for piece in more.split([1, 2], dim=1)]
    assert_close(torch.cat(found, dim=1), expected, atol=1e-5, rtol=1e-5)


def test_gpt_reads_its_tokens_out_with_their_own_vectors() -> None:
    model = build(GPT)
    assert "head.weight" not in model.state_dict()
    with torch.no_grad():
        model.embedding.weight[4] = 0.0
    assert model(tokens_like(2, 9))[..., 4].abs().max() == 0


def test_llama_keeps_as_many_keys_and_values_as_it_has_groups() -> None:
    model = Llama(11, 18, 48, 100, 6, 1, kv_head_count=2)
    assert model.blocks[0].attention.project_qkv.weight.shape == (48 + 2 * 16, 18)
    with pytest.raises(ValueError, match=r"head_count is 6 and kv_head_count is 4; .* Use a divisor of 6"):
        Llama(11, 18, 48, 100, 6, 1, kv_head_count=4)


def test_one_head_of_keys_and_values_for_each_group_is_the_same_head_repeated() -> None:
    """Grouped heads are ordinary heads whose keys and values happen to be equal within a group."""
    torch.manual_seed(0)
    grouped = Llama(11, 18, 24, 20, 6, 2, kv_head_count=2).eval()
    plain = Llama(11, 18, 24, 20, 6, 2).eval()
    weights = grouped.state_dict()
    for name in [name for name in weights if "qkv" in name]:
        query, key, value = weights[name].split([24, 8, 8])
        repeated = [part.view(2, 4, 18).repeat_interleave(3, dim=0).view(24, 18) for part in (key, value)]
        weights[name] = torch.cat([query, *repeated])
    plain.load_state_dict(weights)
    assert_close(grouped(tokens_like(2, 9)), plain(tokens_like(2, 9)), atol=1e-6, rtol=1e-5)


@pytest.mark.parametrize("width", [32, 256])
def test_llama_starts_near_the_uniform_distribution_and_keeps_the_size_of_its_stream(width: int) -> None:
    torch.manual_seed(0)
    model = Llama(50, width, width, 2 * width, 4, 2)
    assert model(tokens_like(4, 20, 50)).std() < 0.5
    x = torch.randn(4, 20, width)
    for block in model.blocks:
        x = block(x)
    assert 0.9 < x.std() < 1.5


def test_gpt_starts_with_vectors_of_length_one_for_tokens_and_places() -> None:
    torch.manual_seed(0)
    model = GPT(50, 64, 64, 128, 4, 2, max_len=32)
    for vectors in (model.embedding.weight, model.positions.weight):
        assert 0.9 < vectors.norm(dim=1).mean() < 1.1


@pytest.mark.parametrize("network", NETWORKS)
def test_logits_at_some_places_are_those_of_all_places_there(network: type[Decoder]) -> None:
    model = build(network)
    tokens, places = tokens_like(3, 7), torch.tensor([0, 6, 9, 20])
    assert_close(model(tokens, places=places), model(tokens).flatten(0, 1)[places])
