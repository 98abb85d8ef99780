"""Low-rank additions against their equation worked by hand; what is frozen, counted, merged and named."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.testing import assert_close

from atinuke.errors import ConfigError
from atinuke.models import GPT, RNN, Atinuke, AtinukePaper, Bert, Llama
from atinuke.tasks.lora import TARGETS, LoraLinear, add_lora, learned_count, merge_lora

NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "atinuke": lambda: Atinuke(11, 12, 8, 20, 2, 2),
    "atinuke-paper": lambda: AtinukePaper(11, 12, 8, 20, 2, 2),
    "gpt": lambda: GPT(11, 12, 12, 20, 2, 2, max_len=16),
    "llama": lambda: Llama(11, 12, 12, 20, 2, 2, max_len=16, kv_head_count=1),
    "bert": lambda: Bert(11, 12, 12, 20, 2, 2, max_len=16),
}
TOKENS = torch.tensor([[1, 5, 3, 9, 2], [4, 4, 10, 0, 7]])


def build(kind: str) -> nn.Module:
    torch.manual_seed(0)
    return NETWORKS[kind]().eval()


def logits(model: nn.Module) -> Tensor:
    with torch.no_grad():
        said = model(TOKENS)
    return said.logits if isinstance(model, Bert) else said


def stir(model: nn.Module) -> None:
    """Additions as if they had learned something; read-outs that start at zero speak too."""
    random = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_" in name or name.startswith("head"):
                parameter.normal_(std=0.3, generator=random)


def test_an_addition_worked_by_hand() -> None:
    linear = nn.Linear(2, 2)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 2.0]]))
        linear.bias.copy_(torch.tensor([10.0, 20.0]))
    lora = LoraLinear(linear, rank=1, alpha=3.0)
    with torch.no_grad():
        lora.lora_a.copy_(torch.tensor([[1.0, 1.0]]))
        lora.lora_b.copy_(torch.tensor([[2.0], [-1.0]]))
    # x = (5, 7): W x + b = (15, 34); A x = 12; B A x = (24, −12); times alpha / rank = 3
    assert lora(torch.tensor([[5.0, 7.0]])).tolist() == [[15.0 + 72.0, 34.0 - 36.0]]
    merged = lora.merged()
    assert merged.weight.tolist() == [[1.0 + 6.0, 6.0], [-3.0, 2.0 - 3.0]]
    assert merged(torch.tensor([[5.0, 7.0]])).tolist() == [[87.0, -2.0]]


@pytest.mark.parametrize("kind", NETWORKS)
def test_at_first_nothing_is_added_and_every_weight_keeps_its_name(kind: str) -> None:
    model = build(kind)
    before, names = logits(model), set(model.state_dict())
    expected = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    wrapped = add_lora(model, rank=2, alpha=4.0)
    assert_close(logits(model), before, atol=0.0, rtol=0.0)
    new = set(model.state_dict()) - names
    assert names < set(model.state_dict())
    assert new == {f"{name}.{part}" for name in wrapped for part in ("lora_a", "lora_b")}
    assert all(torch.equal(model.state_dict()[name], tensor) for name, tensor in expected.items())


@pytest.mark.parametrize("kind", NETWORKS)
def test_every_matrix_of_a_block_is_wrapped_and_nothing_else_learns(kind: str) -> None:
    model = build(kind)
    matrices = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and name.startswith("blocks.")
    }
    wrapped = add_lora(model, rank=3, alpha=3.0)
    assert set(wrapped) == set(matrices)
    learned = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    assert learned == {f"{name}.{part}" for name in wrapped for part in ("lora_a", "lora_b")}
    assert learned_count(model) == sum(3 * sum(linear.weight.shape) for linear in matrices.values())


@pytest.mark.parametrize("kind", NETWORKS)
def test_merged_is_a_plain_network_that_says_the_same(kind: str) -> None:
    model = build(kind)
    names, before = list(model.state_dict()), logits(model)
    wrapped = add_lora(model, rank=2, alpha=4.0, dropout=0.5)
    stir(model)
    expected = logits(model)
    state = torch.get_rng_state()
    assert merge_lora(model) == wrapped
    assert torch.equal(torch.get_rng_state(), state)
    assert list(model.state_dict()) == names
    assert_close(logits(model), expected, atol=1e-5, rtol=1e-5)
    assert (expected - before).abs().max() > 1e-3  # it had learned something
    assert not any(isinstance(module, LoraLinear) for module in model.modules())
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert not any(parameter.is_meta for parameter in model.parameters())
    fresh = NETWORKS[kind]()
    fresh.load_state_dict(model.state_dict())
    assert_close(logits(fresh.eval()), expected, atol=1e-5, rtol=1e-5)


def test_a_step_changes_the_additions_alone() -> None:
    model = build("gpt").train()
    add_lora(model, rank=2, alpha=4.0)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    optimizer = torch.optim.AdamW([each for each in model.parameters() if each.requires_grad], lr=0.1)
    for _ in range(2):  # in the first one the gradient of A is zero, as B is
        optimizer.zero_grad()
        model(TOKENS).square().sum().backward()
        optimizer.step()
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, before[name]) == ("lora_" not in name), name


def test_dropout_falls_on_the_addition_alone_while_training() -> None:
    torch.manual_seed(0)
    lora = LoraLinear(nn.Linear(64, 8), rank=4, alpha=4.0, dropout=0.5)
    x = torch.randn(3, 64)
    plain = nn.functional.linear(x, lora.weight, lora.bias)
    assert_close(lora.train()(x), plain)  # nothing is added yet, so that nothing can be dropped
    with torch.no_grad():
        lora.lora_b.normal_()
    assert not torch.equal(lora(x), lora(x))
    assert torch.equal(lora.eval()(x), lora(x))


def test_only_the_chosen_matrices() -> None:
    model = build("llama")
    wrapped = add_lora(model, rank=1, alpha=1.0, targets=("attention.project_qkv",))
    assert wrapped == ["blocks.0.attention.project_qkv", "blocks.1.attention.project_qkv"]
    assert learned_count(model) == 2 * (12 + 24)  # 12 in; 12 of queries, 6 of keys and 6 of values out


def test_additions_have_the_precision_of_the_network() -> None:
    model = build("bert").to(torch.bfloat16)
    add_lora(model, rank=1, alpha=1.0)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.bfloat16}


@pytest.mark.parametrize("rank", [0, 9, 4096])
def test_a_rank_beyond_the_narrowest_matrix_is_refused(rank: int) -> None:
    model = build("atinuke")  # key_dim 8 is narrower than model_dim 12
    with pytest.raises(ConfigError, match=f"lora.rank is {rank}; expected 1 to 8"):
        add_lora(model, rank=rank, alpha=1.0)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_a_network_without_such_matrices_is_refused() -> None:
    with pytest.raises(ConfigError, match="RNN has no matrices in blocks"):
        add_lora(RNN(11, 12, 12, 2), rank=1, alpha=1.0)


def test_twice_is_a_fault_of_the_caller() -> None:
    model = build("gpt")
    add_lora(model, rank=1, alpha=1.0)
    with pytest.raises(ValueError, match="has low-rank additions already"):
        add_lora(model, rank=1, alpha=1.0)


def test_without_additions_there_is_nothing_to_merge() -> None:
    model = build("gpt").requires_grad_(False)
    assert merge_lora(model) == []
    assert learned_count(model) == 0


def test_targets_are_names_of_networks() -> None:
    known = {
        name.split(".", 2)[2]
        for kind in NETWORKS
        for name, _ in build(kind).named_modules()
        if "blocks." in name and name.count(".") > 1
    }
    assert set(TARGETS) <= known
