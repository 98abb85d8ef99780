"""What a card holds: by hand, against our count for one device, and in what must not change."""

from dataclasses import replace

import pytest

from atinuke.models.config import ModelConfig
from atinuke.plan.layout import Layout
from atinuke.plan.memory import RESERVED, memory_of
from atinuke.plan.published import LLAMA_8B
from atinuke.plan.shape import Shape
from atinuke.train.planning.memory import training_memory_bytes

ONE = Layout(1, sharing="ddp", context=1024, micro_batch_seqs=4)
EIGHT = Layout(8, context=4096)


def test_a_card_alone_holds_what_our_count_for_one_device_says() -> None:
    shape = Shape(6, 512, 1408, 8, 4, 4096)
    cfg = ModelConfig(
        kind="llama", vocab_size=4096, model_dim=512, key_dim=512, hidden_dim=1408, head_count=8, layer_count=6,
        context=1024, kv_head_count=4,
    )  # fmt: skip
    here = training_memory_bytes(cfg, 4, dtype="bfloat16", optimizer="adamw", device="cuda")
    there = memory_of(shape, ONE)
    assert there.state == pytest.approx(here.weights + here.gradients + here.optimizer, rel=1e-3)
    assert there.logits == here.logits
    # not compiled, a few copies more stay: of turned queries and keys, of the gate
    assert there.activations == pytest.approx(here.activations, rel=0.35)


def test_by_hand() -> None:
    """Two cards, a block of 4·4·4 + 2·4·8 + 2·4 parameters, tables of 10·4; 8 tokens."""
    shape = Shape(2, 4, 8, 1, 1, 10, is_gated=False, is_tied=True)
    memory = memory_of(shape, Layout(2, context=8))
    assert memory.state == 16 * (2 * 136 + 40) / 2
    assert memory.whole == 2 * 40 + 8 * 136
    assert memory.activations == 8 * 2 * (8 * 4 + 8 * 4 + 4 * 8)
    assert memory.logits == 8 * 10 * 12
    assert memory.total == pytest.approx(RESERVED * (memory.state + memory.whole + memory.activations + memory.logits))


def test_parts_shrink_with_the_groups_and_replicas_do_not() -> None:
    parts = [memory_of(LLAMA_8B, replace(EIGHT, gpus=count)).state for count in (8, 16, 64)]
    assert parts == [parts[0], parts[0] / 2, parts[0] / 8]
    replicas = [memory_of(LLAMA_8B, replace(EIGHT, gpus=count, sharing="ddp")).state for count in (8, 64)]
    assert replicas[0] == replicas[1] == 16 * (LLAMA_8B.parameters - LLAMA_8B.model_dim)


def test_recomputing_keeps_less_the_more_is_recomputed() -> None:
    kept = [memory_of(LLAMA_8B, replace(EIGHT, recompute=how)).activations for how in ("none", "selective", "full")]
    assert kept == sorted(kept, reverse=True)
    assert kept[2] < kept[0] / 8


def test_tensor_parallelism_of_ours_leaves_norms_tables_and_logits_whole() -> None:
    whole, ours = memory_of(LLAMA_8B, replace(EIGHT, gpus=64)), memory_of(LLAMA_8B, replace(EIGHT, gpus=64, tensor=8))
    theirs = memory_of(LLAMA_8B, replace(EIGHT, gpus=64, tensor=8, has_sequence_parallel=True, cuts_tables=True))
    assert ours.logits == whole.logits == 8 * theirs.logits
    assert theirs.activations < ours.activations < whole.activations
    assert ours.activations > 32 * 4096 * 8 * LLAMA_8B.model_dim
