"""Blocks that are computed again give the same gradient."""

import pytest
import torch
from torch.testing import assert_close

from atinuke.errors import ConfigError
from atinuke.models import build_model
from atinuke.testing import tiny_network
from atinuke.train.blocks import blocks_of, recompute_blocks


@pytest.mark.parametrize("kind", ["atinuke", "gpt", "llama", "bert"])
def test_recomputation_changes_no_gradient_and_no_name_dropout_included(kind: str) -> None:
    network = tiny_network(kind).model_copy(update={"dropout": 0.3})
    torch.manual_seed(0)
    plain, again = build_model(network), build_model(network)
    again.load_state_dict(plain.state_dict())
    recompute_blocks(again)
    tokens = torch.arange(32).view(2, 16)
    found = []
    for model in (plain, again):
        torch.manual_seed(1)
        output = model(tokens)
        (output if isinstance(output, torch.Tensor) else output.logits).square().mean().backward()
        found.append({name: parameter.grad for name, parameter in model.named_parameters()})
    assert found[0].keys() == found[1].keys()
    for name, gradient in found[0].items():
        assert_close(found[1][name], gradient, rtol=0, atol=0)


def test_blocks_are_found_in_encoder_and_decoder() -> None:
    model = build_model(tiny_network("seq2seq"))
    assert len(blocks_of(model)) >= 2 * 2
    assert not blocks_of(torch.nn.Linear(2, 2))


def test_a_network_without_blocks_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match=r"parallel\.recompute is true.*no blocks"):
        recompute_blocks(torch.nn.Linear(2, 2))
