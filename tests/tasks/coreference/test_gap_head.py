"""The head of GAP: both names by the same weights, blind to padding, and able to learn."""

import numpy as np
import torch
from torch.testing import assert_close

from atinuke.tasks.coreference.gap_head import GapHead
from atinuke.tasks.coreference.gap_task import Gap
from atinuke.tasks.rows import batch_of
from atinuke.tasks.task import Row

WIDTH = 8
PLACES = torch.tensor([[5, 5, 1, 2, 7, 8], [3, 4, 6, 6, 1, 1]])


def test_the_order_of_the_names_says_nothing() -> None:
    torch.manual_seed(0)
    head, hidden = GapHead(WIDTH, 0.0).eval(), torch.randn(2, 9, WIDTH)
    is_token = torch.ones(2, 9, dtype=torch.bool)
    swapped = PLACES[:, [0, 1, 4, 5, 2, 3]]
    with torch.no_grad():
        logits, other = head(hidden, is_token, PLACES), head(hidden, is_token, swapped)
    assert logits.shape == (2, 3) and (logits[:, 2] == 0).all()
    assert_close(logits[:, [1, 0, 2]], other)


def test_only_the_tokens_of_the_three_places_are_read() -> None:
    torch.manual_seed(0)
    head, hidden = GapHead(WIDTH, 0.0).eval(), torch.randn(2, 9, WIDTH)
    changed = torch.cat([hidden, torch.randn(2, 3, WIDTH)], dim=1)
    changed[0, [0, 3, 4, 6]] = 5.0
    with torch.no_grad():
        before = head(hidden, torch.ones(2, 9, dtype=torch.bool), PLACES)
        after = head(changed, torch.ones(2, 12, dtype=torch.bool), PLACES)
    assert_close(before, after)


def test_a_name_is_the_mean_of_its_tokens() -> None:
    torch.manual_seed(0)
    head, hidden = GapHead(WIDTH, 0.0).eval(), torch.randn(1, 9, WIDTH)
    evened = hidden.clone()
    evened[0, 1:3] = hidden[0, 1:3].mean(dim=0)
    is_token = torch.ones(1, 9, dtype=torch.bool)
    with torch.no_grad():
        assert_close(head(hidden, is_token, PLACES[:1]), head(evened, is_token, PLACES[:1]))


def test_learns_fifty_passages() -> None:
    """The pronoun's vector is that of the name that it means, or of neither."""
    torch.manual_seed(0)
    task, random = Gap(), np.random.default_rng(0)
    kinds = random.integers(0, 3, 50)
    mark = np.array([1, 1, 3, 3, 5, 6], dtype=np.int64)
    ids = np.zeros(8, dtype=np.int64)
    rows = [Row(ids, ids, number, (mark,), (np.array(kind),)) for number, kind in enumerate(kinds)]
    batch = batch_of(rows, task.name)
    hidden = torch.randn(50, 8, 16)
    for number, kind in enumerate(kinds):
        if kind < 2:
            hidden[number, 1] = hidden[number, 3] if kind == 0 else hidden[number, 5:7].mean(dim=0)
    head = task.head(16, 0.0)
    optimizer = torch.optim.Adam(head.parameters(), lr=5e-3)
    for _ in range(200):
        loss = task.loss(head(hidden, batch.inputs[2], batch.inputs[4]), batch.targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        logits = head(hidden, batch.inputs[2], batch.inputs[4])
    assert (logits.argmax(dim=1).numpy() == kinds).mean() > 0.9
