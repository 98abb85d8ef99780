"""What training takes of memory and of the disk, said before it starts.

Weights, gradients and optimizer follow from the parameters, counted on a network without numbers in it. What a step
keeps for its way back is written out for each layer, in bytes per token; the tests hold it against what autograd keeps.
"""

from collections import Counter
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import nn

from atinuke.data.shards import dtype_for
from atinuke.errors import ConfigError
from atinuke.models import build_model
from atinuke.models.config import ModelConfig
from atinuke.train.config import TrainConfig
from atinuke.train.optimizers import block_matrices

FLOAT32 = 4
TIED = ("gpt", "bert", "rnn", "seq2seq", "rnn-seq2seq")
"""Networks whose read-out is the embedding."""
LOSS_BYTES_PER_LOGIT = 12
"""Log-probabilities and two gradients in float32, all alive when the way back begins."""
UPDATE_COPIES = 4
"""Copies of the largest group of equal matrices that Muon works on at once."""
FRAGMENTED, LOADED_BYTES = 1.15, 150e6
"""Measured on a CPU: resident memory over a run, beside the tensors that are alive at its worst moment."""
MEMORY_PART = 0.9
"""Of the memory that is available; the rest is for what no estimate counts."""
MASKED_SHARE = 0.15
"""Of the positions, those at which bert reads out."""
# What torch's kernels keep per token (measured on a CPU, the workspace of oneDNN among it): bytes for each unit of the
# state, and for each of the wider of state and input.
RECURRENT_BYTES = {
    ("lstm", 4): (38.4, 24.4),
    ("lstm", 2): (24.4, 20.3),
    ("gru", 4): (24.0, 0.0),
    ("gru", 2): (12.0, 0.0),
}


@dataclass(frozen=True)
class MemoryParts:
    """Bytes, by what they hold."""

    weights: float
    gradients: float
    optimizer: float
    """What the optimizers remember from step to step."""
    activations: float
    """What the layers keep for the way back."""
    logits: float
    """From logits to loss and back."""
    update: float
    """What the update works on."""
    accumulates: bool = False
    """Whether gradients stand while further parts of the batch are computed."""

    @property
    def total(self) -> float:
        """At the worst moment of a step: when the way back begins, or at the update."""
        forward = self.activations + self.logits
        if self.accumulates:
            return self.weights + self.optimizer + self.gradients + max(forward, self.update)
        return self.weights + self.optimizer + max(forward, self.gradients + self.update)

    @property
    def process(self) -> float:
        """By how much the process grows: what an allocator cannot give to others, and what libraries load when used."""
        return FRAGMENTED * self.total + LOADED_BYTES


@dataclass(frozen=True)
class ParameterCount:
    """How many numbers a network has to learn."""

    total: int
    matrices: int
    """Inside the blocks: those that Muon takes."""
    largest_group: int
    """Of those, the most that have one shape."""
    multiplied: int
    """Of all, those in matrix products, which bfloat16 training casts."""


def training_memory_bytes(
    network: ModelConfig,
    batch_seqs: int,
    *,
    dtype: str,
    optimizer: str,
    recompute: bool = False,
    accumulates: bool = False,
    device: str = "cpu",
) -> MemoryParts:
    """Of one training step on `batch_seqs` rows of `network.context` tokens, without torch.compile.

    For pairs, `context` stands for the length of source and of target. With `recompute`, blocks keep their input alone
    and are computed again on the way back. `accumulates`: `batch_seqs` is a part of the batch, and others follow.
    """
    count = count_parameters(network)
    kept = _Kept(network, FLOAT32 if dtype == "float32" else 2, device)
    rows = batch_seqs * (1 if network.numbers else network.context)
    casts = 2 * count.multiplied if dtype == "bfloat16" else 0
    blocks = kept.blocks
    if recompute:
        blocks = network.layer_count * kept.block_input + blocks / network.layer_count
    has_muon = optimizer == "muon"
    states = count.matrices + 2 * (count.total - count.matrices) if has_muon else 2 * count.total
    return MemoryParts(
        weights=FLOAT32 * count.total,
        gradients=FLOAT32 * count.total,
        optimizer=FLOAT32 * states,
        activations=rows * (kept.around + blocks) + casts,
        logits=rows * kept.logits * LOSS_BYTES_PER_LOGIT,
        update=FLOAT32 * UPDATE_COPIES * count.largest_group if has_muon else 0,
        accumulates=accumulates,
    )


def least_memory_bytes(network: ModelConfig, cfg: TrainConfig) -> float:
    """By how much the process grows that trains it on one row at a time."""
    dtype = "bfloat16" if cfg.dtype == "bfloat16" else "float32"
    return training_memory_bytes(network, 1, dtype=dtype, optimizer=cfg.optim.kind or "muon").process


def refuse_without_room(network: ModelConfig, cfg: TrainConfig, memory_bytes: float) -> None:
    """ConfigError where not even one row at a time fits into the memory, before any of it is taken."""
    needed = least_memory_bytes(network, cfg)
    if needed > memory_bytes:
        raise ConfigError(
            f"Training {network.kind} with model_dim {network.model_dim}, {network.layer_count} layers and context "
            f"{network.context} takes at least {needed / 2**30:.2f} GiB, and {memory_bytes / 2**30:.2f} GiB are free. "
            "Lower model.model_dim, model.context or tokenizer.vocab_size with --set."
        )


def rows_with_room(network: ModelConfig, cfg: TrainConfig, rows: int, memory_bytes: float) -> int:
    """How many of so many rows can be computed at once: all, or a half, a quarter … of them; one at the least.

    For a CPU, where a process that takes too much is ended without a word.
    """
    dtype = "bfloat16" if cfg.dtype == "bfloat16" else "float32"
    optimizer, recompute = cfg.optim.kind or "muon", cfg.parallel.recompute
    few, accumulates = rows, False
    while few > 1:
        needed = training_memory_bytes(
            network, few, dtype=dtype, optimizer=optimizer, recompute=recompute, accumulates=accumulates
        )
        if needed.process <= MEMORY_PART * memory_bytes:
            break
        few, accumulates = -(-few // 2), True
    return few


def run_disk_bytes(network: ModelConfig, train_tokens: int, *, keep: int = 2, optimizer: str = "muon") -> float:
    """Of a run folder: tokens, weights, and the checkpoints kept beside the best and the one being written."""
    count = count_parameters(network)
    states = count.matrices + 2 * (count.total - count.matrices) if optimizer == "muon" else 2 * count.total
    checkpoint = FLOAT32 * (count.total + states)
    token_bytes = 2 if dtype_for(network.vocab_size) == "uint16" else 4
    return token_bytes * train_tokens + FLOAT32 * count.total + (keep + 2) * checkpoint


@lru_cache(maxsize=64)
def count_parameters(network: ModelConfig) -> ParameterCount:
    """Exactly, on a network that takes no memory."""
    with torch.device("meta"):
        model = build_model(network)
    matrices = block_matrices(model)
    groups = Counter({shape: 0 for shape in (tuple(matrix.shape) for matrix in matrices)})
    for matrix in matrices:
        groups[tuple(matrix.shape)] += matrix.numel()
    looked_up = sum(
        module.weight.numel()
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding) and not (network.kind in TIED and name == "embedding")
    )
    two_dimensional = sum(parameter.numel() for parameter in model.parameters() if parameter.ndim == 2)
    return ParameterCount(
        total=sum(parameter.numel() for parameter in model.parameters()),
        matrices=sum(matrix.numel() for matrix in matrices),
        largest_group=max(groups.values(), default=0),
        multiplied=two_dimensional - looked_up,
    )


class _Kept:
    """Bytes per token that stay for the way back; `product` is the size of one number of a matrix product."""

    def __init__(self, network: ModelConfig, product: int, device: str) -> None:
        self.network, self.product = network, product
        self.is_cpu = device == "cpu"
        # layers/attention.py: bfloat16 on a CPU holds all weights
        self.holds_weights = product == 2 and self.is_cpu
        self.drops = network.dropout > 0
        width = network.model_dim
        self.block_input = FLOAT32 * width
        self.logits = float(network.vocab_size)
        self.around = self.norm(width) + (FLOAT32 * width if self.drops else 0)
        kind = network.kind
        if kind == "perceptron":
            self._perceptron()
        elif kind == "rnn":
            self._rnn()
        elif kind == "rnn-seq2seq":
            self._rnn_seq2seq()
        elif kind == "seq2seq":
            self._seq2seq()
        else:
            self.blocks = network.layer_count * self.block()
            if kind == "atinuke":  # what a block's input is made of, and its shift's; vectors before their norm
                self.blocks += network.layer_count * 2 * FLOAT32 * width
                self.around += FLOAT32 * width
            if kind == "bert":
                self.logits *= MASKED_SHARE
                self.around += MASKED_SHARE * (2 * self.product * width + self.norm(width))

    # --- layers ---------------------------------------------------------------------------------------------------

    def norm(self, width: int) -> float:
        """Its input in float32, and its output as the next product takes it."""
        if (
            self.network.kind == "llama" and self.is_cpu
        ):  # layers/norm.py: by hand there, with a copy for each operation
            return width * (2 * FLOAT32 + self.product + (0 if self.product == FLOAT32 else 4))
        return width * (FLOAT32 + self.product) + 8

    def attention(self, keys: int, *, cross: bool = False, drops: float = 0.0) -> float:
        """Queries, keys and values, what stands between them and the result, and the result."""
        network, product = self.network, self.product
        queries, heads = network.key_dim, network.head_count
        shared = (network.kv_head_count or heads) / heads
        projected = queries * (1 + 2 * shared)
        # turned queries and keys lie apart from the projection, and so does what is gathered from its own layout
        turned = queries * (2 + shared) if network.kind in ("atinuke", "llama") else 0.0
        norms = 8 * heads * (1 + shared) if network.kind == "atinuke" else 0.0
        if drops:
            return product * (projected + 2 * queries + 3 * heads * keys)
        if self.holds_weights:
            first = projected if network.kind == "atinuke" or cross else 0.0
            return product * (first + projected + queries + heads * keys) + norms
        return product * (projected + turned + queries) + 4 * heads + norms

    def feed_forward(self) -> float:
        """Before the activation, after it, and for a gate two more; ReLU needs what comes out alone."""
        hidden, kind = self.network.hidden_dim, self.network.kind
        wide = 4 if kind == "llama" else 2 if kind != "seq2seq" else 3 if self.drops else 1
        return self.product * wide * hidden

    def dropout(self, width: int) -> float:
        """One factor for each number."""
        return self.product * width if self.drops else 0.0

    def block(self, drops: float = 0.0) -> float:
        """One of layers/block.py."""
        width = self.network.model_dim
        attention = self.attention(self.network.context, drops=drops)
        return 2 * self.norm(width) + attention + self.feed_forward() + 2 * self.dropout(width)

    def recurrent(self, input_dim: int) -> float:
        """One layer, from what it reads to what it gives."""
        network = self.network
        of_state, of_wider = RECURRENT_BYTES[network.cell, self.product]
        kernel = of_state * network.hidden_dim + of_wider * max(input_dim, network.hidden_dim)
        return self.product * (input_dim + network.hidden_dim) + kernel

    # --- networks that are no plain row of blocks -------------------------------------------------------------------

    def _perceptron(self) -> None:
        network, product = self.network, self.product
        hidden = network.hidden_dim
        seen = {"learned": network.window * network.model_dim, "one-hot": 0, "integer": network.window}
        read = network.numbers or seen[network.token_input]
        self.around = product * read + (12 * network.window if network.token_input == "one-hot" else 0)
        self.blocks = network.layer_count * (2 * product * hidden + self.dropout(hidden))
        if network.token_input == "one-hot" and product == 2:  # picked rows are added up in float32
            self.blocks += hidden * (FLOAT32 + (2 if self.drops else 0))
        self.block_input = product * hidden
        if network.numbers:
            self.logits = float(network.classes or 1)

    def _rnn(self) -> None:
        network, product = self.network, self.product
        width, hidden = network.model_dim, network.hidden_dim
        self.around = product * (hidden + width) + self.dropout(width) + (FLOAT32 * width if self.drops else 0)
        above = network.layer_count - 1
        self.blocks = self.recurrent(width) + above * (self.recurrent(hidden) + self.dropout(hidden))
        self.block_input = product * hidden

    def _seq2seq(self) -> None:
        """Readers and writers; every writer attends to the source too."""
        network, width = self.network, self.network.model_dim
        inner = 0.5 * network.dropout
        crossing = self.attention(network.context, cross=True, drops=inner) + self.norm(width) + self.dropout(width)
        self.around *= 2
        self.blocks = network.layer_count * (2 * self.block(inner) + crossing)

    def _rnn_seq2seq(self) -> None:
        """An encoder that reads both ways, a decoder, and attention that meets every pair of source and target."""
        network, product = self.network, self.product
        width, hidden, layers = network.model_dim, network.hidden_dim, network.layer_count
        factors = 1 + self.drops  # what is dropped, beside the factors that drop it
        inputs = [width, *[2 * hidden] * (layers - 1)]
        reading = sum(2 * self.recurrent(dim) + factors * FLOAT32 * dim for dim in inputs)
        writing = self.recurrent(width) + (layers - 1) * (self.recurrent(3 * hidden) + self.dropout(3 * hidden))
        met = network.context * (product * network.key_dim + 2 * FLOAT32)
        self.blocks = reading + writing + met
        self.around = factors * (FLOAT32 * 3 * hidden + product * (3 * hidden + 3 * width))
        self.block_input = product * 2 * hidden
