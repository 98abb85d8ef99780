"""The head: padding and neighbours leave a word's logits alone, the predicate does not, and it can learn."""

import pytest
import torch

from atinuke.data.batches.batch import IGNORE
from atinuke.tasks.roles import tags
from atinuke.tasks.roles.head import RoleHead
from atinuke.tasks.roles.roles_task import Roles

WIDTH, TAGS = 12, 8
MARKED = torch.tensor([[3, 6, 2], [-1, -1, -1]])
WORDS = torch.tensor([[1, 2, 3, 4], [1, 3, -1, -1]])
IS_TOKEN = torch.tensor([[True] * 8, [True] * 5 + [False] * 3])


@pytest.fixture
def head() -> RoleHead:
    torch.manual_seed(0)
    return RoleHead(WIDTH, TAGS, dropout=0.0, hidden_dim=6).eval()


@pytest.fixture
def hidden() -> torch.Tensor:
    return torch.randn(2, 8, WIDTH, generator=torch.Generator().manual_seed(1))


def test_ignored_targets_are_those_of_the_loop() -> None:
    assert tags.IGNORE == IGNORE


def test_every_word_has_logits(head: RoleHead, hidden: torch.Tensor) -> None:
    assert head(hidden, IS_TOKEN, WORDS, MARKED).shape == (2, 4, TAGS)


def test_padding_and_other_rows_do_not_matter(head: RoleHead, hidden: torch.Tensor) -> None:
    together = head(hidden, IS_TOKEN, WORDS, MARKED)
    alone = head(hidden[1:, :5], IS_TOKEN[1:, :5], WORDS[1:, :2], MARKED[1:])
    torch.testing.assert_close(together[1:, :2], alone)
    changed = hidden.clone()
    changed[1, 5:] = 100.0
    torch.testing.assert_close(head(changed, IS_TOKEN, WORDS, MARKED), together)


def test_both_sides_of_a_word_matter(head: RoleHead, hidden: torch.Tensor) -> None:
    before = head(hidden, IS_TOKEN, WORDS, MARKED)
    for place in (1, 4):
        changed = hidden.clone()
        changed[0, place] += 1.0
        differs = (head(changed, IS_TOKEN, WORDS, MARKED) - before).abs().amax(dim=-1)[0] > 0
        assert differs.all()


def test_the_predicate_and_its_copy_matter(head: RoleHead, hidden: torch.Tensor) -> None:
    before = head(hidden, IS_TOKEN, WORDS, MARKED)
    for place in (3, 6):
        changed = hidden.clone()
        changed[0, place] += 1.0
        assert not torch.equal(head(changed, IS_TOKEN, WORDS, MARKED), before)
    other = torch.tensor([[2, 6, 1], [-1, -1, -1]])
    assert not torch.equal(head(hidden, IS_TOKEN, WORDS, other)[0], before[0])


def test_without_a_predicate_the_first_position_is_not_taken_for_one(head: RoleHead, hidden: torch.Tensor) -> None:
    before = head(hidden, IS_TOKEN, WORDS, MARKED)
    changed = hidden.clone()
    changed[1, 0] += 1.0  # where a place of −1 would be read, if it counted
    is_word = WORDS >= 0
    torch.testing.assert_close(head(changed, IS_TOKEN, WORDS, MARKED)[is_word], before[is_word])


def test_the_first_predictions_are_nearly_even(head: RoleHead, hidden: torch.Tensor) -> None:
    shares = head(hidden, IS_TOKEN, WORDS, MARKED).softmax(dim=-1)
    assert (shares - 1 / TAGS).abs().max() < 0.05


def test_the_loss_is_the_mean_over_words_that_count() -> None:
    task = Roles(["A0", "V"])
    output = torch.zeros(2, 3, task.tags.count)
    targets = torch.tensor([[1, 0, IGNORE], [3, IGNORE, IGNORE]])
    loss = task.loss(output, (targets,))
    assert loss.item() == pytest.approx(torch.tensor(float(task.tags.count)).log().item())


def test_it_learns_who_stands_left_and_right_of_the_predicate() -> None:
    torch.manual_seed(0)
    head = RoleHead(WIDTH, TAGS, dropout=0.0, hidden_dim=16)
    hidden = torch.randn(16, 9, WIDTH)
    words = torch.arange(1, 8).expand(16, -1)
    own = torch.arange(16) % 7
    marked = torch.stack([own + 1, torch.full((16,), 8), own], dim=1)
    targets = 2 - (torch.arange(7)[None] - own[:, None]).sign()  # 3 left of it, 2 beside it, 1 right of it
    optimizer = torch.optim.Adam(head.parameters(), lr=0.02)
    is_token = torch.ones(16, 9, dtype=torch.bool)
    for _ in range(60):
        logits = head(hidden, is_token, words, marked)
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert (logits.argmax(dim=-1) == targets).float().mean() > 0.95
