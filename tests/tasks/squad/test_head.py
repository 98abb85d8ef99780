"""The head that marks an answer, and its loss."""

import math

import pytest
import torch

from atinuke.tasks.squad.head import SpanHead, span_loss
from atinuke.tasks.squad.spans import NEVER
from atinuke.tasks.squad.squad_task import Squad

BEGINS = torch.tensor([[0, -1, 0, 4, -1], [0, 3, 5, -1, -1]])
"""Two rows of five, the second with a token of padding."""
IS_TOKEN = torch.tensor([[True] * 5, [True] * 4 + [False]])


def test_tokens_that_no_answer_can_have_get_no_probability() -> None:
    torch.manual_seed(0)
    head = Squad().head(8, 0.0)
    hidden = torch.randn(2, 5, 8, requires_grad=True)
    logits = head(hidden, IS_TOKEN, BEGINS, BEGINS)
    assert logits.shape == (2, 5, 2) and logits.dtype == torch.float32
    is_out = BEGINS < 0
    assert (logits[is_out] == NEVER).all() and (logits[~is_out].abs() < 10).all()
    assert (logits.softmax(dim=1)[is_out] == 0).all()
    span_loss(logits, (torch.tensor([2, 0]), torch.tensor([3, 0]))).backward()
    assert hidden.grad is not None
    is_read = hidden.grad.abs().sum(dim=-1) > 0
    assert is_read[IS_TOKEN].all() and not is_read[~IS_TOKEN].any()


def test_each_token_is_read_beside_what_it_finds_in_the_question_and_its_neighbours() -> None:
    torch.manual_seed(0)
    head = SpanHead(8, 0.0, hidden_dim=3)
    hidden = torch.randn(2, 5, 8)
    logits = head(hidden, IS_TOKEN, BEGINS, BEGINS)
    both = torch.nn.LSTM(3, 3, batch_first=True, bidirectional=True)
    names = [name for name, _ in both.named_parameters()]
    parts = [*head.both_ways.onward.kernel.parameters(), *head.both_ways.back.kernel.parameters()]
    both.load_state_dict(dict(zip(names, parts, strict=True)))
    for x, is_token, begins, said in zip(hidden, IS_TOKEN, BEGINS, logits, strict=True):
        x, asked = x[is_token], x[is_token & (begins < 0)]
        rows = []
        for each in x:
            assert head.align is not None
            scores = (asked @ head.align.weight.T) @ (head.align.weight @ each) / 8**0.5
            found = scores.softmax(dim=0) @ asked
            rows.append(head.compare(torch.cat([each, found, each * found, scores.max()[None]])))
        h = torch.nn.functional.gelu(torch.stack(rows))
        expected = head.tokens.out(torch.cat([both(h[None])[0][0], h], dim=-1))
        is_answer = begins[is_token] >= 0
        torch.testing.assert_close(said[is_token][is_answer], expected[is_answer].log_softmax(dim=0))


def test_a_row_without_a_question_is_answered_with_numbers() -> None:
    head = SpanHead(8, 0.0)
    begins = torch.where(IS_TOKEN, 0, -1)
    assert head(torch.randn(2, 5, 8), IS_TOKEN, begins, begins).isfinite().all()


def test_unmasked_logits_of_the_reduced_head_are_those_of_the_matrix_alone() -> None:
    torch.manual_seed(0)
    head = SpanHead(8, 0.0, is_masked=False)
    head.reduce()
    hidden = torch.randn(2, 5, 8)
    logits = head(hidden, IS_TOKEN, BEGINS, BEGINS)
    torch.testing.assert_close(logits, hidden @ head.tokens.out.weight.T + head.tokens.out.bias)


def test_the_loss_is_the_mean_of_start_and_end() -> None:
    # row 0: the right start has probability 1/4, the right end 3/5; row 1: 1/2 and 1/3
    starts = torch.tensor([[1.0, 1, 1, 1], [1, 2, 1, 0]]).log()
    ends = torch.tensor([[3.0, 1, 1, 0], [1, 1, 1, 0]]).log()
    logits = torch.stack([starts, ends], dim=-1).clamp(min=NEVER)
    loss = span_loss(logits, (torch.tensor([3, 1]), torch.tensor([0, 2])))
    expected = ((math.log(4) + math.log(2)) / 2 + (math.log(5 / 3) + math.log(3)) / 2) / 2
    assert loss.item() == pytest.approx(expected, abs=1e-6)
    assert Squad().loss(logits, (torch.tensor([3, 1]), torch.tensor([0, 2]))).item() == loss.item()


def test_a_target_that_is_ignored_does_not_count() -> None:
    torch.manual_seed(0)
    logits = torch.randn(2, 5, 2)
    both = span_loss(logits, (torch.tensor([3, -100]), torch.tensor([4, -100])))
    alone = span_loss(logits[:1], (torch.tensor([3]), torch.tensor([4])))
    assert both.item() == pytest.approx(alone.item(), abs=1e-6)
