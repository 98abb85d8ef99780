"""A step in parts is the step as a whole, and memory that is short makes the parts smaller."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from atinuke.config import build_settings
from atinuke.data.batches.batch import IGNORE, Batch
from atinuke.errors import ConfigError
from atinuke.machine import probe_machine
from atinuke.models.bert import BertOutput
from atinuke.run_folder import RunFolder
from atinuke.testing import TEXT, Listener
from atinuke.train.config import TrainConfig
from atinuke.train.micro_batches import MicroBatches, is_out_of_memory, remembered
from atinuke.train.objectives import (
    Objective,
    classification,
    loss_of,
    masked_and_next_sentence,
    next_token,
    regression,
)
from atinuke.train.parallel.ranks import Ranks
from atinuke.train.run import run

ROWS, LENGTH, IDS = 5, 6, 9


class Table(torch.nn.Module):
    """A network of one embedding, which reads everything that a batch may hold."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.randn(IDS, IDS, generator=torch.Generator().manual_seed(1)))

    def logits(self, tokens: Tensor, places: Tensor | None) -> Tensor:
        found = self.weight[tokens]
        return found if places is None else found.flatten(0, 1)[places]


def tokens(seed: int = 0) -> Tensor:
    return torch.randint(IDS, (ROWS, LENGTH), generator=torch.Generator().manual_seed(seed))


def padded(targets: Tensor) -> Tensor:
    """Rows of which 6, 5, 4, 3 and 2 places count."""
    return torch.where(torch.arange(LENGTH) < torch.arange(LENGTH, 1, -1)[:, None], targets, IGNORE)


def kinds() -> dict[str, tuple[Batch, Objective, Callable[[Table, Batch], object]]]:
    """By what is learned: a batch, its objective, and what the network says to it."""
    masked = torch.tensor([1, 2, 9, 14, 15, 28])  # rows 0, 0, 1, 2, 2 and 4: none in row 3
    answers = padded(tokens(1))
    told = (answers.flatten() != IGNORE).nonzero()[:, 0]
    labels = torch.tensor([0, 1, IGNORE, 1, 0])

    def plain(net: Table, part: Batch) -> Tensor:
        return net.logits(part.inputs[0], part.inputs[1] if len(part.inputs) > 1 else None)

    def bert(net: Table, part: Batch) -> BertOutput:
        tokens, places = part.inputs
        return BertOutput(net.logits(tokens, places), net.weight[tokens[:, 0], :2])

    def one(net: Table, part: Batch) -> Tensor:
        return net.weight[part.inputs[0][:, 0]]

    def number(net: Table, part: Batch) -> Tensor:
        return one(net, part)[:, :1]

    return {
        "text": (Batch((tokens(),), tokens(1), 0, 5, 30), next_token, plain),
        "padded pairs": (Batch((tokens(),), answers, 0, 1, 20), next_token, plain),
        "answers at places": (Batch((tokens(), told), answers, 0, 1, 20, places_input=1), next_token, plain),
        "masked": (
            Batch((tokens(), masked), (tokens(2).flatten()[masked], labels), 0, 5, 30, places_input=1),
            masked_and_next_sentence,
            bert,
        ),
        "classes": (Batch((tokens(),), tokens(3)[:, 0], 0, 5, 5), classification, one),
        "numbers": (Batch((tokens(),), tokens(3)[:, 0].float(), 0, 5, 5), regression, number),
    }


@pytest.mark.parametrize("count", [1, 2, 3, 5, 7])
@pytest.mark.parametrize("kind", kinds())
def test_the_losses_and_gradients_of_the_parts_add_up_to_those_of_the_whole(kind: str, count: int) -> None:
    batch, objective, say = kinds()[kind]
    whole, parted = Table(), Table()
    loss = loss_of(objective, say(whole, batch), batch)
    loss.backward()
    total = torch.zeros(())
    for part in batch.parts(count):
        for half in part.parts(2):  # of one process's rows, micro-batches
            share = loss_of(objective, say(parted, half), half)
            share.backward()
            total += share.detach()
    assert_close(total, loss.detach())
    assert_close(parted.weight.grad, whole.weight.grad)


def test_parts_keep_the_order_and_count_of_the_rows_and_what_is_known_of_the_whole() -> None:
    batch = kinds()["text"][0]
    parts = batch.parts(3)
    assert torch.equal(torch.cat([part.inputs[0] for part in parts]), batch.inputs[0])
    assert [part.row_count for part in parts] == [1, 2, 2] and {part.most_rows for part in parts} == {2}
    assert {(part.target_count, part.next_position) for part in parts} == {(30, 5)}


def test_a_part_for_which_no_row_is_left_takes_one_along_that_counts_for_nothing() -> None:
    parts = kinds()["text"][0].parts(7)
    assert [part.shares for part in parts].count((0.0,)) == 2
    assert all(part.row_count == 1 for part in parts)


def test_as_many_parts_in_every_process_though_one_has_a_row_less() -> None:
    halves = kinds()["text"][0].parts(2)  # two rows and three
    micro_batches = MicroBatches(1)
    assert [len(micro_batches.of(half)) for half in halves] == [3, 3]


@pytest.mark.parametrize(
    "error",
    [
        torch.OutOfMemoryError("CUDA out of memory."),
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:124] . DefaultCPUAllocator: can't allocate memory"),
        RuntimeError("[enforce fail] DefaultCPUAllocator: not enough memory: you tried to allocate 8 bytes."),
    ],
)
def test_all_the_ways_in_which_memory_is_refused_are_known(error: Exception) -> None:
    assert is_out_of_memory(error) and not is_out_of_memory(RuntimeError("shapes do not match"))


def test_rows_are_halved_until_one_is_left_and_other_errors_pass() -> None:
    batch, told = kinds()["text"][0], list[tuple[int, int]]()
    micro_batches = MicroBatches(None, lambda few, were: told.append((few, were)))
    micro_batches.halve(MemoryError(), batch)
    micro_batches.halve(MemoryError(), batch)
    micro_batches.halve(MemoryError(), batch)
    assert told == [(3, 5), (2, 3), (1, 2)]
    with pytest.raises(MemoryError):
        micro_batches.halve(MemoryError(), batch)
    with pytest.raises(ValueError, match="another"):
        MicroBatches().halve(ValueError("another"), batch)


def test_what_was_found_is_remembered_for_the_same_question_alone(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.state.mkdir()
    said: list[str] = []
    remembered(folder, None, said.append).halve(MemoryError(), kinds()["text"][0])
    assert said == [
        "Memory was not enough for 5 rows at once: 3 at once from here on, and as many in a step as before."
    ]
    assert remembered(folder, None, said.append).at_most == 3
    assert remembered(folder, 4, said.append).at_most == 4
    assert remembered(folder, None, said.append, Ranks(0, 2)).at_most is None
    assert json.loads((folder.state / "micro_batches.json").read_text())["found"] == 3


def test_one_of_several_processes_ends_and_leaves_the_smaller_number_behind(tmp_path: Path) -> None:
    folder, ranks = RunFolder(tmp_path), Ranks(1, 4)
    folder.state.mkdir()
    with pytest.raises(ConfigError, match=r"in process 1 of 4\. The same command goes on with 3 at once"):
        remembered(folder, None, print, ranks).halve(MemoryError(), kinds()["text"][0])
    assert remembered(folder, None, print, ranks).at_most == 3


def test_a_training_that_runs_out_of_memory_goes_on_in_smaller_parts_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "book.txt").write_text(20 * TEXT)
    sizes = {"model.model_dim": 16, "model.layer_count": 1, "model.head_count": 2, "model.context": 16, "batch_seqs": 6}
    flags = {**sizes, "data.sources": [str(tmp_path / "book.txt")], "tokenizer.kind": "char", "budget.steps": 4}
    flags |= {"device": "cpu", "dtype": "float32", "model.dropout": 0.0}
    monkeypatch.setattr("atinuke.train.lessons.text_scores.SAMPLE_TOKENS", 8)
    monkeypatch.setattr("atinuke.train.run.probe_machine", lambda _: dataclasses.replace(probe_machine(), cores=1))

    def train(name: str) -> tuple[list[dict[str, Any]], dict[str, Any], list[str]]:
        listener = Listener()
        cfg = build_settings(TrainConfig, flags={**flags, "out": str(tmp_path / name)})
        folder = RunFolder(run(cfg, listener, already_s=0.0))
        return list(folder.iter_metrics()), folder.read_summary(), listener.said

    plenty, known, _ = train("plenty")
    monkeypatch.setattr("atinuke.train.engine.loss_of", narrow(2, from_step=2))
    short, summary, said = train("short")
    assert [row["loss"] for row in short] == pytest.approx([row["loss"] for row in plenty], abs=1e-5)
    assert [row["tokens"] for row in short] == [row["tokens"] for row in plenty] == [96, 192, 288, 384]
    assert [row.get("micro_batch_seqs") for row in short] == [None, 2, 2, 2]
    assert (known["micro_batch_seqs"], summary["micro_batch_seqs"]) == (None, 2)
    assert [line for line in said if "Memory" in line] == [
        "Memory was not enough for 6 rows at once: 3 at once from here on, and as many in a step as before.",
        "Memory was not enough for 3 rows at once: 2 at once from here on, and as many in a step as before.",
    ]
    monkeypatch.setattr("atinuke.train.engine.loss_of", narrow(0))
    with pytest.raises(ConfigError, match=r"^The machine's memory is not enough .* Lower batch_seqs"):
        train("none")


def narrow(rows: int, from_step: int = 0) -> Callable[..., Tensor]:
    """`loss_of` on a machine that has no room for more than so many rows."""
    calls = [0]

    def loss_of_few(objective: Objective, output: Any, batch: Batch) -> Tensor:
        calls[0] += 1
        if batch.row_count > rows and calls[0] >= from_step:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes.")
        return loss_of(objective, output, batch)

    return loss_of_few
