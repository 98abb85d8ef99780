"""What each of many cards has to hold: weights and what belongs to them, activations, logits.

Activations after Korthikanti et al. 2022, arXiv:2205.05198, §4, with fused attention, no dropout, bfloat16 between
the layers; weights after ZeRO (Rajbhandari et al. 2020, arXiv:1910.02054, §3). `RESERVED` alone is a margin.
"""

from dataclasses import dataclass

from atinuke.plan.layout import Layout
from atinuke.plan.shape import Shape

STATE_BYTES = 16
"""For each parameter: itself, its gradient and AdamW's two moments, in float32."""
LOGIT_BYTES = 12
"""Log-probabilities and two gradients in float32."""
RESERVED = 1.1
"""The allocator's pieces, and the buffers of exchange, over what tensors hold: a margin."""
CONTEXT_BYTES = 1.5e9
"""The driver's own, on each card."""


@dataclass(frozen=True)
class CardMemory:
    """Bytes on the fullest card."""

    state: float
    """Weights, gradients and moments, its own part of them."""
    whole: float
    """Weights that stand whole for a while, and gradients on their way to the others."""
    activations: float
    logits: float

    @property
    def total(self) -> float:
        """At the worst moment: when the way back begins."""
        return RESERVED * (self.state + self.whole + self.activations + self.logits)


def memory_of(shape: Shape, layout: Layout) -> CardMemory:
    """Of one card."""
    tables = shape.table_parameters / layout.tables
    block = shape.block_parameters / layout.tensor
    blocks = shape.layer_count / layout.pipeline * block
    held = blocks + tables
    if layout.sharing == "moments":
        state, whole = 12 * held / layout.groups, 6 * held
    elif layout.sharing == "ddp":
        state, whole = STATE_BYTES * held, 2 * held
    else:
        state = STATE_BYTES * held / layout.groups
        # the tables stay; of the blocks one is computed, the next arrives and the gradient of one leaves
        whole = 2 * tables + 8 * block if layout.pipeline == 1 else 6 * held
    rows = layout.micro_batch_seqs * layout.context
    in_flight = min(layout.pipeline, layout.micro_batches)
    return CardMemory(
        state=state,
        whole=whole,
        activations=rows * (in_flight * _layers_bytes(shape, layout) + _working_bytes(shape, layout)),
        logits=rows * shape.vocab_size * LOGIT_BYTES / layout.tables,
    )


def _layers_bytes(shape: Shape, layout: Layout) -> float:
    """What the layers of one card keep for the way back, per token."""
    layers = shape.layer_count / layout.pipeline
    if layout.recompute == "none":
        return layers * _block_bytes(shape, layout)
    entering = 2 * shape.model_dim / layout.between
    if layout.recompute == "full":
        return layers * entering
    # what attention gathers, and every other product
    wide = (2 if shape.is_gated else 1) * shape.hidden_dim
    products = (shape.key_dim + 2 * shape.kv_dim + 2 * shape.model_dim + wide) / 2
    return layers * (entering + 2 * (shape.key_dim + products) / layout.tensor)


def _working_bytes(shape: Shape, layout: Layout) -> float:
    """The inside of the block that is computed again, and what tensor parallelism gathers for it, per token."""
    inside = 0.0 if layout.recompute == "none" else _block_bytes(shape, layout)
    return inside + (4 * shape.model_dim if layout.between > 1 else 0.0)


def _block_bytes(shape: Shape, layout: Layout) -> float:
    """Two norms with what they read and give; queries, keys, values and what is gathered; the hidden units."""
    wide = (3 if shape.is_gated else 2) * shape.hidden_dim
    shared = 2 * (2 * shape.key_dim + 2 * shape.kv_dim + wide) / layout.tensor
    stream = 4 if layout.sharing == "ddp" else 2  # autocast leaves the residual stream in float32
    return shared + 2 * (stream + 2) * shape.model_dim / layout.between
