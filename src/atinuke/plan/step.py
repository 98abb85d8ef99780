"""How long a step takes on many cards: products, the card's own memory, and exchange that the products do not hide.

A model in closed form. Two of its numbers are calibrated, on two published runs (`MATRIX_PART`, `HALF_WIDTH`);
published.py holds it against all others, and docs/scale.md shows how near it comes.
"""

from dataclasses import dataclass

from atinuke.plan.hardware import Gpu
from atinuke.plan.layout import Layout
from atinuke.plan.memory import LOGIT_BYTES
from atinuke.plan.shape import Shape

MATRIX_PART = 0.63
"""Of a card's peak, what products of very wide matrices reach in training. Calibrated."""
HALF_WIDTH = 740.0
"""The width at which they reach half of that. Calibrated."""
LINK_PART = 0.8
"""Of a link's bandwidth, what collectives move: 230 to 250 of 300 GB/s are reported of nccl-tests on A100s."""
HIDDEN_PART = 0.5
"""Of exchange, what a program hides that exchanges while it multiplies: torchtitan gains so much by async TP."""
WORK = {"none": 1.0, "selective": 7 / 6, "full": 4 / 3}
"""Work with recomputation over work without."""
UPDATE_BYTES = 28
"""Read and written for each parameter by AdamW."""


@dataclass(frozen=True)
class Step:
    """Seconds of one step by what they go to, and bytes that each card sends in it."""

    products: float
    traffic: float
    """Norms, sums, activations and the loss, which wait for the card's own memory."""
    tensor_exchange: float
    data_exchange: float
    """What of it the products do not hide."""
    update: float
    waiting: float
    """Of the stages of a pipeline for each other."""
    tensor_bytes: float
    data_bytes: float

    @property
    def total(self) -> float:
        """All of them, one after another."""
        exchange = self.tensor_exchange + self.data_exchange
        return self.products + self.traffic + exchange + self.update + self.waiting


def step_of(shape: Shape, layout: Layout, gpu: Gpu) -> Step:
    """Of one step on cards of this kind."""
    read_out = 6 * shape.vocab_size * shape.model_dim
    in_blocks = (shape.work_per_token(layout.context) - read_out) * WORK[layout.recompute]
    work = layout.group_tokens * (in_blocks / layout.tensor + read_out / layout.tables) / layout.pipeline
    # tensor parallelism makes one side of each matrix narrower
    width = shape.model_dim / layout.tensor**0.5
    products = work / (gpu.flops * MATRIX_PART * width / (width + HALF_WIDTH))
    traffic = layout.group_tokens * _traffic_bytes(shape, layout) / gpu.memory_bytes_per_s
    tensor_bytes = _tensor_bytes(shape, layout)
    tensor_exchange = tensor_bytes / bandwidth(gpu, layout.tensor, 1)
    if layout.hides_exchange:
        tensor_exchange *= 1 - HIDDEN_PART
    busy = products + traffic
    data_bytes, data_exchange = _data_exchange(shape, layout, gpu, busy)
    held = card_parameters(shape, layout) / (1 if layout.sharing == "ddp" else layout.groups)
    return Step(
        products=products,
        traffic=traffic,
        tensor_exchange=tensor_exchange,
        data_exchange=data_exchange,
        update=held * UPDATE_BYTES / gpu.memory_bytes_per_s,
        waiting=(busy + tensor_exchange) * (layout.pipeline - 1) / layout.micro_batches,
        tensor_bytes=tensor_bytes,
        data_bytes=data_bytes,
    )


def card_parameters(shape: Shape, layout: Layout) -> float:
    """Those that a card multiplies with, whether it holds them or gathers them from its group."""
    in_blocks = shape.layer_count * shape.block_parameters / layout.tensor
    return (in_blocks + shape.table_parameters / layout.tables) / layout.pipeline


def utilisation(shape: Shape, layout: Layout, gpu: Gpu, tokens_per_s: float) -> float:
    """Of the peak, what a speed per card amounts to, recomputation not counted (MFU)."""
    return tokens_per_s * shape.flops_per_token(layout.context) / gpu.flops


def tokens_per_card_s(shape: Shape, layout: Layout, gpu: Gpu) -> float:
    """Training tokens per second and card."""
    return layout.batch_tokens / layout.gpus / step_of(shape, layout, gpu).total


def bandwidth(gpu: Gpu, cards: int, apart: int) -> float:
    """Bytes per second past each card of a collective of `cards` cards, every `apart`th one of those in a row."""
    if cards * apart <= gpu.per_node:
        return gpu.link_bytes_per_s * LINK_PART
    # rings leave a node through the network cards of all its members
    members = max(1, gpu.per_node // apart)
    return min(gpu.link_bytes_per_s, gpu.network_bytes_per_s * members) * LINK_PART


def _traffic_bytes(shape: Shape, layout: Layout) -> float:
    """Read and written beside the products, per token: about three times as much both ways as on the way forward."""
    # two norms and two sums of the residual stream; rotation, activation and gate
    per_layer = 2 * (10 * shape.model_dim / layout.between + (4 * shape.key_dim + 3 * shape.hidden_dim) / layout.tensor)
    if not layout.has_fused_attention:  # a softmax and a dropout read and write every score
        per_layer += 5 * 2 * layout.context * shape.head_count / layout.tensor
    times = 3 if layout.recompute == "none" else 4
    return times * per_layer * shape.layer_count / layout.pipeline + 2 * LOGIT_BYTES * shape.vocab_size / layout.tables


def _tensor_bytes(shape: Shape, layout: Layout) -> float:
    """Two sums of the residual stream forward and two backward; a sum in a ring sends twice what is summed."""
    sums = 6 if layout.recompute == "full" else 4
    stream = 2 * layout.group_tokens * shape.model_dim
    return sums * 2 * stream * (layout.tensor - 1) / layout.tensor * shape.layer_count / layout.pipeline


def _data_exchange(shape: Shape, layout: Layout, gpu: Gpu, busy_s: float) -> tuple[float, float]:
    """Bytes that each card sends, and the seconds that the products do not hide.

    Weights arrive on the way forward, and with FSDP once more on the way back, while gradients leave; without FSDP
    this is once in a step, beside the first and the last micro-batch.
    """
    if layout.groups == 1:
        return 0.0, 0.0
    speed = bandwidth(gpu, layout.groups, layout.tensor)
    weights = card_parameters(shape, layout) * (layout.groups - 1) / layout.groups
    times = layout.micro_batches if layout.sharing == "fsdp" and layout.pipeline == 1 else 1
    arriving = 0.0 if layout.sharing == "ddp" else 2 * weights * times
    leaving = (8 if layout.sharing == "ddp" else 4) * weights * times
    returning = arriving if times > 1 or layout.sharing == "fsdp" else 0.0
    forward_s = busy_s / (3 if layout.recompute == "none" else 4)
    beside = times / layout.micro_batches
    waits = max(0.0, arriving / speed - forward_s * beside)
    waits += max(0.0, (returning + leaving) / speed - (busy_s - forward_s) * beside)
    # nothing hides the first block's weights and the last one's gradients
    edges = (arriving + leaving) / times / speed / shape.layer_count
    return arriving + returning + leaving, waits + edges
