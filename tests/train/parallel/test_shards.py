"""Which networks can be cut over processes, and where: without any other process."""

import pytest
import torch

from atinuke.errors import ConfigError
from atinuke.models import build_model
from atinuke.models.layers.block import Block
from atinuke.testing import tiny_network
from atinuke.train.config import ModelChoice, ParallelConfig, TrainConfig
from atinuke.train.parallel import shards
from atinuke.train.parallel.ranks import Ranks


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("rnn", "model is rnn .* cuts the blocks of atinuke, gpt, llama and bert. Use"),
        ("seq2seq", "model is seq2seq .* cuts the blocks"),
        ("atinuke-paper", r"blocks\.0\.attention\.positions\.scale is a single number"),
    ],
)
def test_networks_that_cannot_be_cut_are_refused_in_one_line(kind: str, message: str) -> None:
    cfg = TrainConfig(model=ModelChoice(kind=kind), parallel=ParallelConfig(kind="fsdp"))
    with pytest.raises(ConfigError, match=message) as told:
        shards.shard(build_model(tiny_network(kind)), cfg, Ranks(0, 2))
    assert "parallel.kind=ddp" in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("count", "message"),
    [(3, "head_count is 2; 3 must divide it"), (4, "head_count is 2; 4 must divide it")],
)
def test_heads_are_not_cut_in_the_middle(count: int, message: str) -> None:
    block = build_model(tiny_network("gpt")).blocks[0]
    with pytest.raises(ConfigError, match=message):
        shards._check_block(block, shards.STYLES, count)


def test_a_parameter_that_nobody_said_how_to_cut_is_refused_by_name() -> None:
    block = build_model(tiny_network("gpt")).blocks[0]
    assert isinstance(block, Block)
    block.attention.gate = torch.nn.Linear(4, 4)
    with pytest.raises(ConfigError, match=r"how to cut attention\.gate\.weight over processes is not known"):
        shards._check_block(block, shards.STYLES, 2)


def test_rows_of_the_fused_projection_lie_together_by_process_each_with_its_queries_keys_and_values() -> None:
    attention = (
        build_model(tiny_network("llama").model_copy(update={"head_count": 4, "kv_head_count": 2, "key_dim": 8}))
        .blocks[0]
        .attention
    )
    # heads of two rows: queries 0-7, keys 8-11, values 12-15; key head 0 serves query heads 0 and 1
    assert shards._by_process(attention, 2).tolist() == [0, 1, 2, 3, 8, 9, 12, 13, 4, 5, 6, 7, 10, 11, 14, 15]
