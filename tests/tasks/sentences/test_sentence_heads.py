"""What a head learns from: the losses by hand, what does not count, and a head that learns a few texts by heart."""

import numpy as np
import pytest
import torch
from torch.testing import assert_close

from atinuke.data.batches.batch import IGNORE
from atinuke.tasks.rows import batch_of
from atinuke.tasks.sentences.described_tasks import Mnli, Stsb
from atinuke.tasks.sentences.texts import TextExample
from atinuke.tasks.task import Spot
from atinuke.tokenizers.reading import Reader


def example(answer: str | float, first: str = "ab", second: str = "c") -> TextExample:
    return TextExample("0", first, second, answer, "train", Spot("train.tsv", 2))


def test_cross_entropy_is_the_mean_over_what_counts() -> None:
    task = Mnli.learn([example("neutral")])
    logits = torch.tensor([[2.0, 0.0, -1.0], [0.0, 0.0, 0.0], [5.0, 5.0, 5.0]])
    nats = -torch.log(torch.exp(logits[0, 1]) / torch.exp(logits[0]).sum())
    loss = task.loss(logits.bfloat16(), (torch.tensor([1, 2, IGNORE]),))
    assert loss.dtype == torch.float32
    assert_close(loss, (nats + np.log(3)) / 2)


def test_squared_error_is_the_mean_over_what_counts_and_nan_leaves_no_trace() -> None:
    task = Stsb.learn([example(1.0), example(5.0)])
    output = torch.tensor([[1.0], [0.0], [7.0]], requires_grad=True)
    loss = task.loss(output, (torch.tensor([-1.0, 0.5, float("nan")]),))
    assert_close(loss, torch.tensor((4 + 0.25) / 2))
    loss.backward()
    assert output.grad is not None
    assert_close(output.grad, torch.tensor([[2.0], [-0.5], [0.0]]))
    assert task.loss(output, (torch.full((3,), float("nan")),)).item() == 0


@pytest.mark.parametrize("name", ["classes", "numbers"])
def test_a_head_learns_a_few_texts_by_heart(name: str, letter_reader: Reader) -> None:
    torch.manual_seed(0)
    answers: list[str | float] = ["entailment", "neutral", "contradiction"] if name == "classes" else [0.0, 2.0, 5.0]
    examples = [example(answer, first) for answer, first in zip(answers, ("aaa", "bb", "c"), strict=True)]
    task = (Mnli if name == "classes" else Stsb).learn(examples)
    rows = [task.rows(n, each, letter_reader, 16, with_targets=True)[0] for n, each in enumerate(examples)]
    batch = batch_of(rows, task.name)
    tokens, segments, is_token = batch.inputs[:3]
    embedding, head = torch.nn.Embedding(128, 16), task.head(16, 0.0)
    optimizer = torch.optim.Adam([*embedding.parameters(), *head.parameters()], lr=0.02)
    for _ in range(150):
        optimizer.zero_grad()
        task.loss(head(embedding(tokens), is_token, segments), batch.targets).backward()
        optimizer.step()
    with torch.no_grad():
        output = head(embedding(tokens), is_token, segments).numpy()
    predictions = task.decode(examples, rows, [(each,) for each in output])
    assert task.score(examples, predictions).value > 99
    assert output.shape == (3, 3 if name == "classes" else 1)
