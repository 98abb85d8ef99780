"""Networks with heads: padding changes nothing, both sides are seen, and BERT is pooled as BERT is."""

import pytest
import torch
from torch.testing import assert_close

from atinuke.errors import ConfigError
from atinuke.models import build_model
from atinuke.tasks.body import Tuned, width_of
from atinuke.tasks.heads import PooledHead, TokenHead
from atinuke.testing import tiny_network

KINDS = ("atinuke", "atinuke-paper", "gpt", "llama", "bert", "rnn", "perceptron")


def tuned(kind: str, sight: str = "full") -> Tuned:
    torch.manual_seed(0)
    network = tiny_network(kind)  # type: ignore[arg-type]
    body = build_model(network)
    for parameter in body.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return Tuned(body, {"t": PooledHead(width_of(network), 3, 0.0)}, sight).eval()  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sight", ["full", "causal"])
def test_what_fills_up_a_row_changes_nothing(kind: str, sight: str) -> None:
    model = tuned(kind, sight)
    tokens = torch.randint(1, 60, (1, 6))
    alone = model(tokens, torch.zeros_like(tokens), torch.ones(1, 6, dtype=torch.bool), "t").output
    longer = torch.cat([tokens, torch.full((1, 5), 7)], dim=1)
    is_token = torch.arange(11)[None] < 6
    assert_close(model(longer, torch.zeros_like(longer), is_token, "t").output, alone, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["atinuke", "gpt", "llama", "bert"])
def test_a_token_sees_what_follows_it(kind: str) -> None:
    model = tuned(kind)
    tokens = torch.randint(1, 60, (1, 6))
    other = tokens.clone()
    other[0, 5] = 1 + other[0, 5] % 59
    is_token = torch.ones(1, 6, dtype=torch.bool)
    first = [model.hidden(each, torch.zeros_like(each), is_token)[0, 0] for each in (tokens, other)]
    assert not torch.allclose(*first)
    causal = tuned(kind, "causal")
    first = [causal.hidden(each, torch.zeros_like(each), is_token)[0, 0] for each in (tokens, other)]
    assert torch.allclose(*first) == (kind != "bert")


def test_an_encoder_and_decoder_is_refused() -> None:
    with pytest.raises(ConfigError, match="gives no vector for each token"):
        Tuned(build_model(tiny_network("seq2seq")), {})


def test_pooling_the_first_position_alone_reads_nothing_else() -> None:
    head = PooledHead(4, 2, 0.0)
    head.pool_first()
    hidden = torch.randn(2, 3, 4)
    other = hidden.clone()
    other[:, 1:] = 0
    is_token = torch.ones(2, 3, dtype=torch.bool)
    assert_close(head(hidden, is_token), head(other, is_token))


def test_the_head_of_tokens_is_a_matrix() -> None:
    head, hidden = TokenHead(4, 2, 0.0), torch.randn(2, 3, 4)
    assert_close(head(hidden), hidden @ head.out.weight.T + head.out.bias)
