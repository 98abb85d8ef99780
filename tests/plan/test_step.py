"""Seconds and bytes of a step: by hand, and in what must hold whatever the numbers."""

from dataclasses import replace

import pytest

from atinuke.plan.hardware import GPUS
from atinuke.plan.layout import Layout
from atinuke.plan.published import LLAMA_8B, LLAMA_70B
from atinuke.plan.step import LINK_PART, bandwidth, step_of, tokens_per_card_s, utilisation

H100 = GPUS["h100"]
EIGHT = Layout(8, micro_batch_seqs=1)


def test_rings_run_at_the_link_within_a_node_and_at_the_network_beyond() -> None:
    assert bandwidth(H100, 8, 1) == 450e9 * LINK_PART
    # eight network cards carry what eight members of the group in a node send
    assert bandwidth(H100, 64, 1) == 400e9 * LINK_PART
    # with tensor parallelism over 8, one of a node's cards is of the group
    assert bandwidth(H100, 8, 8) == 50e9 * LINK_PART
    assert bandwidth(H100, 4, 2) == 450e9 * LINK_PART


def test_fsdp_sends_weights_twice_and_gradients_once() -> None:
    """In bfloat16 and float32: 2 + 2 + 4 bytes, of which an eighth is there already; for each micro-batch."""
    once = LLAMA_8B.parameters - LLAMA_8B.model_dim
    assert step_of(LLAMA_8B, EIGHT, H100).data_bytes == pytest.approx(8 * once * 7 / 8)
    assert step_of(LLAMA_8B, replace(EIGHT, micro_batches=3), H100).data_bytes == pytest.approx(3 * 8 * once * 7 / 8)


def test_ddp_sums_gradients_once_however_many_micro_batches() -> None:
    replicas = replace(EIGHT, sharing="ddp")
    sent = step_of(LLAMA_8B, replicas, H100).data_bytes
    assert sent == step_of(LLAMA_8B, replace(replicas, micro_batches=4), H100).data_bytes
    assert sent == pytest.approx(8 * (LLAMA_8B.parameters - LLAMA_8B.model_dim) * 7 / 8)


def test_tensor_parallelism_sums_the_residual_stream_twice_each_way() -> None:
    step = step_of(LLAMA_8B, replace(EIGHT, tensor=8), H100)
    stream = 2 * 8192 * 4096
    assert step.tensor_bytes == pytest.approx(32 * 4 * 2 * stream * 7 / 8)
    again = step_of(LLAMA_8B, replace(EIGHT, tensor=8, recompute="full"), H100)
    assert again.tensor_bytes == pytest.approx(step.tensor_bytes * 6 / 4)


def test_what_products_hide_costs_nothing_but_its_edges() -> None:
    long, short = (replace(EIGHT, gpus=64, context=context) for context in (8192, 256))
    assert step_of(LLAMA_8B, long, H100).data_exchange < 0.02 * step_of(LLAMA_8B, long, H100).total
    assert step_of(LLAMA_8B, short, H100).data_exchange > 0.5 * step_of(LLAMA_8B, short, H100).total


def test_one_card_exchanges_nothing() -> None:
    step = step_of(LLAMA_8B, Layout(1, sharing="ddp"), H100)
    assert (step.tensor_bytes, step.data_bytes, step.tensor_exchange, step.data_exchange) == (0, 0, 0, 0)


@pytest.mark.parametrize("gpu", GPUS.values(), ids=list(GPUS))
@pytest.mark.parametrize("tensor", [1, 2, 8])
@pytest.mark.parametrize("recompute", ["none", "full"])
def test_no_card_is_used_beyond_what_its_products_reach(gpu, tensor: int, recompute: str) -> None:  # type: ignore[no-untyped-def]
    layout = Layout(64, tensor=tensor, recompute=recompute, micro_batch_seqs=2)  # type: ignore[arg-type]
    speed = tokens_per_card_s(LLAMA_70B, layout, gpu)
    assert 0.05 < utilisation(LLAMA_70B, layout, gpu, speed) < 0.65
    assert speed == pytest.approx(layout.batch_tokens / 64 / step_of(LLAMA_70B, layout, gpu).total)


def test_recomputing_takes_up_to_a_third_more_of_the_products() -> None:
    none, full = (step_of(LLAMA_70B, replace(EIGHT, recompute=how), H100).products for how in ("none", "full"))
    assert 1.3 < full / none < 4 / 3
