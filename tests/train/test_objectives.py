"""Objectives against their formulas written out, and against scikit-learn's."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import log_loss, mean_squared_error, r2_score
from torch import Tensor
from torch.testing import assert_close

from atinuke.data.batches.batch import IGNORE
from atinuke.models.bert import BertOutput
from atinuke.train.objectives import (
    classification,
    masked_and_next_sentence,
    next_token,
    regression,
    smoothed,
    standardised,
)


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def nats(logits: Tensor, target: int) -> float:
    """−ln of the softmax probability, summed by hand in double precision."""
    numbers = logits.double().tolist()
    return math.log(sum(math.exp(number) for number in numbers)) - numbers[target]


def test_next_token_is_the_mean_surprise_at_the_targets() -> None:
    logits, targets = drawn(2, 3, 5), torch.tensor([[0, 4, 1], [2, 2, 3]])
    rows = zip(logits.flatten(0, 1), targets.flatten().tolist(), strict=True)
    assert next_token(logits, targets).item() == pytest.approx(sum(nats(*row) for row in rows) / 6, rel=1e-5)


def test_equal_logits_cost_the_logarithm_of_the_vocabulary() -> None:
    assert next_token(torch.zeros(1, 4, 50), torch.tensor([[0, 7, 49, 3]])).item() == pytest.approx(math.log(50))


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=6, max_size=6).filter(any))
def test_what_is_ignored_changes_neither_loss_nor_gradient(counts: list[bool]) -> None:
    targets = torch.tensor([0, 4, 1, 2, 2, 3])
    logits = drawn(6, 5).requires_grad_()
    kept = torch.tensor(counts)
    loss = next_token(logits[None], torch.where(kept, targets, IGNORE)[None])
    assert_close(loss, next_token(logits[kept][None], targets[kept][None]))
    loss.backward()  # type: ignore[no-untyped-call]
    assert logits.grad is not None and (logits.grad[~kept] == 0).all() and (logits.grad[kept] != 0).all()


def test_smoothing_spreads_a_part_of_each_target_over_all_ids() -> None:
    """(1 − ε) · surprise at the target + ε · mean surprise at all V ids: Szegedy et al. 2016, §7."""
    logits, target, epsilon = drawn(1, 1, 5), torch.tensor([[3]]), 0.1
    row = logits[0, 0]
    expected = (1 - epsilon) * nats(row, 3) + epsilon * sum(nats(row, id) for id in range(5)) / 5
    assert smoothed(epsilon)(logits, target).item() == pytest.approx(expected, rel=1e-5)
    assert smoothed(0.0)(logits, target) == next_token(logits, target)


def test_the_least_smoothed_loss_is_the_entropy_of_the_smoothed_target() -> None:
    epsilon, size = 0.1, 5
    target = torch.full((size,), epsilon / size)
    target[3] += 1 - epsilon
    found = smoothed(epsilon)(target.log()[None, None], torch.tensor([[3]])).item()
    assert found == pytest.approx(-(target * target.log()).sum().item(), rel=1e-5)


def test_smoothing_leaves_padding_out() -> None:
    logits, targets = drawn(1, 3, 5), torch.tensor([[1, 2, IGNORE]])
    assert_close(smoothed(0.1)(logits, targets), smoothed(0.1)(logits[:, :2], targets[:, :2]))


def test_sums_are_made_in_float32_whatever_the_logits_come_in() -> None:
    """In bfloat16, 4,000 equal logits would give a loss with two digits."""
    found = next_token(torch.zeros(1, 1, 4000, dtype=torch.bfloat16), torch.tensor([[1]]))
    assert found.dtype == torch.float32 and found.item() == pytest.approx(math.log(4000), abs=1e-5)


def test_masked_tokens_and_next_sentences_add_up() -> None:
    output = BertOutput(logits=drawn(4, 7), next_sentence=drawn(3, 2))
    tokens, labels = torch.tensor([1, 6, 0, 3]), torch.tensor([0, 1, 1])
    expected = sum(nats(row, int(id)) for row, id in zip(output.logits, tokens, strict=True)) / 4
    expected += sum(nats(row, int(id)) for row, id in zip(output.next_sentence, labels, strict=True)) / 3
    assert masked_and_next_sentence(output, (tokens, labels)).item() == pytest.approx(expected, rel=1e-5)


def test_sentences_that_are_not_asked_about_cost_nothing() -> None:
    tokens, nothing = torch.tensor([1, 6, 0, 3]), torch.full((3,), IGNORE)
    output = BertOutput(logits=drawn(4, 7), next_sentence=drawn(3, 2))
    assert_close(masked_and_next_sentence(output, (tokens, nothing)), next_token(output.logits[None], tokens[None]))
    some = torch.tensor([IGNORE, 1, IGNORE])
    added = masked_and_next_sentence(output, (tokens, some)) - masked_and_next_sentence(output, (tokens, nothing))
    assert added.item() == pytest.approx(nats(output.next_sentence[1], 1), rel=1e-5)


def test_classification_is_the_log_loss_of_scikit_learn() -> None:
    logits, classes = drawn(8, 3), torch.tensor([0, 1, 2, 2, 1, 0, 0, 2])
    expected = log_loss(classes.numpy(), logits.double().softmax(dim=1).numpy(), labels=[0, 1, 2])
    assert classification(logits, classes).item() == pytest.approx(expected, rel=1e-5)


def test_regression_is_the_mean_squared_error_of_scikit_learn() -> None:
    numbers, targets = drawn(8, 1), drawn(8)
    expected = mean_squared_error(targets.numpy(), numbers[:, 0].numpy())
    assert regression(numbers, targets).item() == pytest.approx(expected, rel=1e-5)


def test_standardised_errors_of_what_answers_the_mean_are_the_part_that_r2_lacks() -> None:
    targets = torch.tensor([1e12, 4e12, 2e12, 5e11])
    spread = targets.double().std(correction=0).item()
    for numbers in (targets.mean().expand(4), torch.tensor([2e12, 3e12, 2e12, 1e12])):
        expected = 1 - r2_score(targets.numpy(), numbers.numpy())
        assert standardised(spread)(numbers[:, None], targets).item() == pytest.approx(expected, rel=1e-5)
