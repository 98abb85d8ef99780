"""Memory foretold against what autograd keeps (saved-tensor hooks) and what torch's own tracker counts in a step."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.distributed._tools.mem_tracker import MemTracker
from torch.utils.checkpoint import checkpoint

from atinuke.data.batches.batch import IGNORE
from atinuke.models import build_model
from atinuke.models.config import ModelConfig
from atinuke.train.objectives import classification, masked_and_next_sentence, next_token, smoothed
from atinuke.train.optimizers import build_optimizers
from atinuke.train.planning.memory import (
    LOSS_BYTES_PER_LOGIT,
    MemoryParts,
    count_parameters,
    run_disk_bytes,
    training_memory_bytes,
)

ROWS, LENGTH, VOCABULARY = 4, 32, 160
KINDS = [
    {"kind": "atinuke"},
    {"kind": "atinuke-paper"},
    {"kind": "gpt"},
    {"kind": "llama"},
    {"kind": "llama", "kv_head_count": 1},
    {"kind": "rnn"},
    {"kind": "rnn", "cell": "gru"},
    {"kind": "perceptron"},
    {"kind": "perceptron", "token_input": "one-hot"},
    {"kind": "perceptron", "numbers": 24, "classes": 5, "vocab_size": 1},
    {"kind": "bert"},
    {"kind": "seq2seq"},
    {"kind": "seq2seq", "norm_place": "post"},
    {"kind": "rnn-seq2seq"},
    {"kind": "rnn-seq2seq", "cell": "gru"},
]
SOUND = {"kind": "atinuke", "classes": 2, "sound": {"sample_rate_hz": 8000}}
PRODUCTS = 0.10
"""Part by which the count of what layers keep may be off: norms' statistics and masks are not counted."""
WHOLE = 0.03
"""The same for a whole step, where weights and logits are known exactly."""


def network(**changes: Any) -> ModelConfig:
    sizes = {
        **{"kind": "gpt", "vocab_size": VOCABULARY, "model_dim": 64, "key_dim": 64, "hidden_dim": 256},
        **{"head_count": 2, "layer_count": 2, "dropout": 0.1, "context": LENGTH, "max_len": LENGTH},
    }
    return ModelConfig.model_validate({**sizes, **changes})


def lesson(cfg: ModelConfig, rows: int) -> Callable[[nn.Module], Tensor]:
    """The loss of random rows, as the lesson of such a network takes it."""
    tokens, targets = torch.randint(cfg.vocab_size, (2, rows, cfg.context)).unbind()
    if cfg.numbers:
        numbers, classes = torch.randn(rows, cfg.numbers), torch.randint(cfg.classes, (rows,))
        return lambda model: classification(model(numbers), classes)
    if cfg.kind in ("seq2seq", "rnn-seq2seq"):
        is_source = torch.ones_like(tokens, dtype=torch.bool)
        return lambda model: smoothed(0.1)(model(tokens, is_source, tokens), targets)
    if cfg.kind == "bert":
        places = torch.randperm(tokens.numel())[: round(0.15 * tokens.numel())]
        answers = (targets.flatten()[places], torch.full((rows,), IGNORE))
        is_token = torch.arange(cfg.context).expand(rows, -1) < cfg.context - 1
        return lambda model: masked_and_next_sentence(model(tokens, None, is_token, places), answers)
    return lambda model: next_token(model(tokens), targets)


def autocast(dtype: str) -> AbstractContextManager[object]:
    return torch.autocast("cpu", torch.bfloat16) if dtype == "bfloat16" else nullcontext()


def kept_bytes(model: nn.Module, loss: Callable[[nn.Module], Tensor], dtype: str) -> int:
    """Storage that autograd holds when the loss is known, weights left out."""
    own = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor), autocast(dtype):
        loss(model)
    return sum(tensor.untyped_storage().nbytes() for pointer, tensor in kept.items() if pointer not in own)


def foretold_kept(parts: MemoryParts) -> float:
    """Of the loss, the log-probabilities alone are kept; its gradients come later."""
    return parts.activations + parts.logits * 4 / LOSS_BYTES_PER_LOGIT


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("changes", KINDS, ids=lambda changes: "-".join(map(str, changes.values())))
def test_what_is_foretold_is_what_autograd_keeps(changes: dict[str, Any], dtype: str) -> None:
    cfg = network(**changes)
    measured = kept_bytes(build_model(cfg).train(), lesson(cfg, ROWS), dtype)
    foretold = foretold_kept(training_memory_bytes(cfg, ROWS, dtype=dtype, optimizer="muon"))
    assert foretold == pytest.approx(measured, rel=PRODUCTS)


@pytest.mark.parametrize("dropout", [0.0, 0.1])
@pytest.mark.parametrize("kind", ["atinuke", "gpt", "seq2seq"])
def test_dropout_costs_its_factors(kind: str, dropout: float) -> None:
    cfg = network(kind=kind, dropout=dropout, layer_count=1, context=64, max_len=64)
    measured = kept_bytes(build_model(cfg).train(), lesson(cfg, ROWS), "float32")
    foretold = foretold_kept(training_memory_bytes(cfg, ROWS, dtype="float32", optimizer="muon"))
    assert foretold == pytest.approx(measured, rel=PRODUCTS)


def test_recomputing_keeps_the_inputs_of_blocks_and_the_inside_of_one() -> None:
    cfg = network(layer_count=6, dropout=0.0)
    model, loss = build_model(cfg).train(), lesson(cfg, ROWS)
    for block in model.blocks:
        forward = block.forward
        block.forward = lambda x, *others, forward=forward: checkpoint(forward, x, *others, use_reentrant=False)
    measured = kept_bytes(model, loss, "float32")
    one_block = training_memory_bytes(network(layer_count=1, dropout=0.0), ROWS, dtype="float32", optimizer="muon")
    no_block = foretold_kept(one_block) - ROWS * LENGTH * 4 * (64 * 8 + 256 * 2)
    parts = training_memory_bytes(cfg, ROWS, dtype="float32", optimizer="muon", recompute=True)
    inside = foretold_kept(one_block) - no_block
    assert foretold_kept(parts) == pytest.approx(measured + inside, rel=PRODUCTS)
    whole = training_memory_bytes(cfg, ROWS, dtype="float32", optimizer="muon")
    assert parts.activations < whole.activations / 2


@pytest.mark.parametrize(
    ("changes", "rows", "optimizer"),
    [
        ({"kind": "atinuke", "context": 128, "max_len": 128}, 16, "muon"),
        ({"kind": "llama", "vocab_size": 4096}, 4, "adamw"),
        ({"kind": "gpt", "model_dim": 128, "key_dim": 128, "hidden_dim": 512, "layer_count": 4}, 1, "muon"),
        ({"kind": "gpt", "model_dim": 128, "key_dim": 128, "hidden_dim": 512, "layer_count": 4}, 1, "adamw"),
    ],
    ids=["activations", "logits", "update by muon", "update by adamw"],
)
def test_the_total_is_the_peak_of_a_step(changes: dict[str, Any], rows: int, optimizer: str) -> None:
    cfg = network(**{"dropout": 0.0, **changes})
    measured = peak_bytes(cfg, rows, optimizer)
    assert training_memory_bytes(cfg, rows, dtype="float32", optimizer=optimizer).total == pytest.approx(
        measured, rel=WHOLE
    )


def peak_bytes(cfg: ModelConfig, rows: int, optimizer: Any) -> int:
    """Of the second step (the first makes the optimizers' states), on tensors without numbers."""
    with FakeTensorMode():
        model, loss = build_model(cfg).train(), lesson(cfg, rows)
        rates: dict[str, Any] = {"lr": 1e-3, "matrix_lr": 1e-3, "betas": (0.9, 0.95), "momentum": 0.9}
        optimizers = build_optimizers(model, optimizer, weight_decay=0.0, polar_dtype=torch.float32, **rates)

        def step() -> None:
            loss(model).backward()
            for each in optimizers:
                each.step()
                each.zero_grad(set_to_none=True)

        step()
        tracker = MemTracker()
        tracker.track_external(model, *optimizers)
        with tracker:
            step()
    (snapshot,) = tracker.get_tracker_snapshot("peak").values()
    return snapshot["Total"]


def test_gradients_stand_while_further_parts_are_computed() -> None:
    whole, part = (
        training_memory_bytes(network(), ROWS, dtype="float32", optimizer="adamw", accumulates=accumulates)
        for accumulates in (False, True)
    )
    assert part.total == whole.total + whole.gradients


@pytest.mark.parametrize("changes", [*KINDS, SOUND], ids=lambda changes: "-".join(map(str, changes.values())))
def test_parameters_are_counted_without_making_them(changes: dict[str, Any]) -> None:
    cfg = network(**changes)
    assert count_parameters(cfg).total == sum(parameter.numel() for parameter in build_model(cfg).parameters())


def test_a_graphics_card_holds_no_attention_weights() -> None:
    cpu, cuda = (
        training_memory_bytes(network(context=512, max_len=512), 1, dtype="bfloat16", optimizer="muon", device=device)
        for device in ("cpu", "cuda")
    )
    weights = 2 * 512 * 512 * 2 * 2  # heads, queries, keys, layers, two bytes each
    assert cpu.activations - cuda.activations >= weights * 0.9


def test_the_disk_holds_tokens_weights_and_checkpoints() -> None:
    """10,000 parameters or so by hand: gpt, 1 layer of width 8, 100 tokens, 16 places."""
    cfg = network(vocab_size=100, model_dim=8, key_dim=8, hidden_dim=32, layer_count=1, context=16, max_len=16)
    matrices = 8 * 24 + 8 * 8 + 8 * 32 * 2
    others = 100 * 8 + 16 * 8 + (24 + 8 + 32 + 8) + 3 * 2 * 8
    checkpoint_bytes = 4 * (2 * matrices + 3 * others)
    assert run_disk_bytes(cfg, 1_000_000) == 2_000_000 + 4 * (matrices + others) + 4 * checkpoint_bytes
    adamw = run_disk_bytes(cfg, 1_000_000, keep=1, optimizer="adamw")
    assert adamw == 2_000_000 + 4 * (matrices + others) + 3 * 4 * 3 * (matrices + others)
