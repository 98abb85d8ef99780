"""Networks with heads: padding changes nothing, both sides are seen, and BERT is pooled as BERT is."""

import pytest
import torch
from torch.testing import assert_close

from atinuke.errors import ConfigError
from atinuke.models import build_model
from atinuke.tasks.body import Tuned, width_of
from atinuke.tasks.heads import PairHead, PooledHead, TokenHead
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
    head.reduce()
    hidden = torch.randn(2, 3, 4)
    other = hidden.clone()
    other[:, 1:] = 0
    is_token, segments = torch.ones(2, 3, dtype=torch.bool), torch.zeros(2, 3, dtype=torch.long)
    assert_close(head(hidden, is_token, segments), head(other, is_token, segments))


@pytest.fixture
def pair() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """(hidden, is_token, segments) of two rows; the second is shorter."""
    is_token = torch.tensor([[True] * 6, [True] * 4 + [False] * 2])
    segments = torch.tensor([[0, 0, 0, 1, 1, 1], [0, 0, 1, 1, -1, -1]])
    return torch.randn(2, 6, 8, generator=torch.Generator().manual_seed(0)), is_token, segments


class TestPairHead:
    def test_padding_changes_nothing(self, pair: tuple[torch.Tensor, torch.Tensor, torch.Tensor]) -> None:
        hidden, is_token, segments = pair
        head = PairHead(8, 3, 0.0)
        together = head(hidden, is_token, segments)
        alone = head(hidden[1:, :4], is_token[1:, :4], segments[1:, :4])
        assert_close(together[1:], alone)
        changed = hidden.clone()
        changed[1, 4:] = 100.0
        assert_close(head(changed, is_token, segments), together)

    def test_a_token_is_compared_with_what_it_finds_in_the_other_text(
        self, pair: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    ) -> None:
        hidden, is_token, segments = pair
        head = PairHead(8, 3, 0.0)
        units = hidden[0] @ head.align.weight.T
        shares = (units[:3] @ units[3:].T / 8**0.5).softmax(dim=-1)
        x, other = hidden[0, :3], shares @ hidden[0, 3:]
        y = head.compare(torch.cat([x, other, x - other, x * other], dim=-1)).relu()
        read = head.read(hidden, is_token, segments)[0]
        assert_close(read[8:16], y.mean(dim=0))
        assert_close(read[16:24], y.amax(dim=0))

    def test_a_text_that_was_cut_away_is_no_number_too_many(
        self, pair: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    ) -> None:
        hidden, is_token, _ = pair
        assert PairHead(8, 3, 0.0)(hidden, is_token, torch.zeros(2, 6, dtype=torch.long)).isfinite().all()

    def test_it_can_be_pooled_by_the_first_position_alone(
        self, pair: tuple[torch.Tensor, torch.Tensor, torch.Tensor]
    ) -> None:
        head = PairHead(8, 3, 0.0)
        head.reduce()
        assert {name.partition(".")[0] for name, _ in head.named_parameters()} == {"pooler", "out"}
        assert head(*pair).shape == (2, 3)


def test_the_head_of_tokens_is_a_matrix() -> None:
    head, hidden = TokenHead(4, 2, 0.0), torch.randn(2, 3, 4)
    assert_close(head(hidden), hidden @ head.out.weight.T + head.out.bias)


@pytest.mark.parametrize("sight", ["full", "causal"])
def test_a_decoder_gives_the_mean_of_its_layers_at_first(sight: str) -> None:
    model = tuned("gpt", sight)
    body = model.body
    tokens = torch.randint(1, 60, (2, 6))
    streams: list[torch.Tensor] = []
    hooks = [block.register_forward_pre_hook(lambda _, given: streams.append(given[0])) for block in body.blocks]  # type: ignore[union-attr, arg-type, return-value]
    mask = "causal" if sight == "causal" else torch.ones(2, 1, 1, 6, dtype=torch.bool)
    streams.append(body.hidden(tokens, mask=mask))  # type: ignore[operator]
    for hook in hooks:
        hook.remove()
    expected = torch.stack([body.finish(stream) for stream in streams]).mean(dim=0)  # type: ignore[operator]
    assert len(streams) == len(body.blocks) + 1  # type: ignore[arg-type]
    assert_close(model.hidden(tokens, torch.zeros_like(tokens), torch.ones(2, 6, dtype=torch.bool)), expected)
