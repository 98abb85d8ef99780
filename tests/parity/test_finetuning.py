"""Fine-tuning BERT here and in transformers: the same weights and rows in the same order give the same losses."""

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn
from transformers import (
    BertConfig,
    BertForQuestionAnswering,
    BertForSequenceClassification,
)

from atinuke.export.from_hf import read_hub_network
from atinuke.machine import probe_machine
from atinuke.tasks.body import Said, Tuned
from atinuke.tasks.heads import PooledHead
from atinuke.tasks.rows import batch_of
from atinuke.tasks.squad.head import SpanHead, span_loss
from atinuke.tasks.task import Row
from atinuke.tasks.tuned import load_body
from atinuke.train.config import TrainConfig
from atinuke.train.engine import Engine
from atinuke.train.objectives import classification

STEPS, ROWS, VOCAB_SIZE, CLASSES = 20, 8, 60, 3
TOLERANCE = 1e-4
SIZES = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
    "hidden_dropout_prob": 0.0,
    "attention_probs_dropout_prob": 0.0,
}
OPTIM = {"kind": "adamw", "lr": 2e-3, "matrix_lr": 2e-3, "beta2": 0.999, "weight_decay": 0.0, "clip_norm": 1e9}


def make_rows(seed: int, kind: str) -> list[Row]:
    random = np.random.default_rng(seed)
    rows = []
    for number in range(ROWS):
        length = int(random.integers(6, 30))
        ids = random.integers(1, VOCAB_SIZE, length)
        segments = (np.arange(length) >= length // 2).astype(np.int64)
        places: NDArray[np.int64] = np.sort(random.integers(1, length, 2))
        if kind == "span":
            rows.append(Row(ids, segments, number, (np.zeros_like(ids),) * 2, (places[0], places[1])))
        else:
            rows.append(Row(ids, segments, number, (segments,), (np.array(ids[1] % CLASSES),)))
    return rows


@pytest.mark.parametrize("kind", ["class", "span"])
def test_twenty_steps_have_the_losses_of_transformers(kind: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    theirs: nn.Module
    if kind == "class":
        theirs = BertForSequenceClassification(BertConfig(**SIZES, num_labels=CLASSES))
    else:
        theirs = BertForQuestionAnswering(BertConfig(**SIZES, num_labels=2))
    # transformers never teaches the vector of [PAD], though unmasked spans read it
    theirs.bert.embeddings.word_embeddings.padding_idx = None  # type: ignore[union-attr, assignment]
    theirs.bert.save_pretrained(tmp_path)  # type: ignore[union-attr, operator]
    found = read_hub_network(tmp_path)

    head: nn.Module
    if kind == "class":
        pooled_head = PooledHead(32, CLASSES, 0.0)
        pooled_head.reduce()
        pooled_head.out.load_state_dict(theirs.classifier.state_dict())  # type: ignore[union-attr, operator]
        head = pooled_head
    else:
        spans = SpanHead(32, 0.0, is_masked=False)
        spans.reduce()
        spans.tokens.out.load_state_dict(theirs.qa_outputs.state_dict())  # type: ignore[union-attr, operator]
        head = spans
    ours = Tuned(found.build(), {"t": head})
    load_body(ours, found.weights)

    def loss(said: Said, targets: tuple[torch.Tensor, ...]) -> torch.Tensor:
        if kind == "class":
            return classification(said.output, targets[0])
        return span_loss(said.output, (targets[0], targets[1]))

    cfg = TrainConfig.model_validate(
        {
            "optim": OPTIM,
            "dtype": "float32",
            "schedule": {"warmup_fraction": 0.0, "decay_fraction": 1.0},
            "compile": False,
        }
    )
    device = torch.device("cpu")
    engine = Engine.build(ours, cfg, loss, device, probe_machine(device))
    optimizer = torch.optim.AdamW(theirs.parameters(), lr=2e-3, betas=(0.9, 0.999), eps=1e-10, weight_decay=0.0)
    ours.train()
    theirs.train()
    for step in range(STEPS):
        batch = batch_of(make_rows(step, kind), "t")
        tokens, segments, is_token = batch.inputs[:3]
        labels = {"labels": batch.targets[0]}
        if kind == "span":
            labels = {"start_positions": batch.targets[0], "end_positions": batch.targets[1]}
        asked = theirs(input_ids=tokens, token_type_ids=segments, attention_mask=is_token.long(), **labels)
        optimizer.zero_grad()
        asked.loss.backward()
        optimizer.step()
        assert engine.step_on(batch) == pytest.approx(asked.loss.item(), abs=TOLERANCE), f"step {step + 1}"
    assert asked.loss.item() < 1.2 * np.log(30)
