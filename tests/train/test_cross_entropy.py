"""Read-out and loss in chunks against the plain call: loss and every gradient, whatever the read-out and the dtype."""

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from atinuke.data.batches.batch import IGNORE, Batch
from atinuke.models import ModelConfig, build_model
from atinuke.models.decoder import Decoder
from atinuke.train import cross_entropy
from atinuke.train.cross_entropy import are_too_many, in_chunks
from atinuke.train.engine import Asked, autocast_for
from atinuke.train.objectives import next_token

CPU = torch.device("cpu")
KINDS = ["atinuke", "atinuke-paper", "gpt", "llama"]


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cross_entropy.CHUNK_LOGITS, "cpu", 1)
    monkeypatch.setattr(cross_entropy, "LEAST_ROWS", 7)  # 24 rows: three chunks and a rest


def network(kind: str) -> Decoder:
    torch.manual_seed(1)
    sizes = {"model_dim": 16, "key_dim": 16, "hidden_dim": 32, "head_count": 2, "layer_count": 1}
    model = build_model(
        ModelConfig.model_validate({"kind": kind, "vocab_size": 50, "context": 8, "max_len": 8} | sizes)
    )
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    assert isinstance(model, Decoder)
    return model


def windows() -> tuple[Tensor, Tensor]:
    torch.manual_seed(2)
    tokens = torch.randint(50, (3, 9))
    targets = tokens[:, 1:].contiguous()
    targets[0, :5] = IGNORE
    return tokens[:, :-1].contiguous(), targets


def learned(model: Decoder, dtype: str, *, chunked: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss, and the gradient of twice the loss."""
    tokens, targets = windows()
    model.zero_grad()
    with autocast_for(CPU, dtype)():
        if chunked:
            loss = in_chunks(model, model.hidden(tokens), targets)
        else:
            logits = model(tokens)
    if not chunked:
        loss = next_token(logits, targets)
    (2 * loss).backward()
    return loss.detach(), {name: each.grad for name, each in model.named_parameters() if each.grad is not None}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("dtype", "loss_apart", "apart"), [("float32", 1e-6, 5e-6), ("bfloat16", 1e-4, 2e-2)])
def test_chunks_give_the_loss_and_the_gradients_of_the_plain_call(
    kind: str, dtype: str, loss_apart: float, apart: float
) -> None:
    model = network(kind)
    plain, chunked = (learned(model, dtype, chunked=is_chunked) for is_chunked in (False, True))
    assert_close(chunked[0], plain[0], atol=0, rtol=loss_apart)
    assert chunked[1].keys() == plain[1].keys()
    for name, gradient in plain[1].items():
        assert (chunked[1][name] - gradient).norm() <= apart * gradient.norm() + 1e-8, name


def test_without_gradients_the_loss_is_the_same() -> None:
    model, (tokens, targets) = network("gpt"), windows()
    with torch.no_grad():
        assert_close(in_chunks(model, model.hidden(tokens), targets), next_token(model(tokens), targets))


def test_weights_that_are_held_fixed_get_no_gradient() -> None:
    model = network("atinuke").requires_grad_(False)
    model.head.weight.requires_grad_(True)  # type: ignore[union-attr]
    _, gradients = learned(model, "float32", chunked=True)
    assert list(gradients) == ["head.weight"]


def test_a_gradient_of_the_hidden_states_alone_is_right_too() -> None:
    model, (tokens, targets) = network("gpt").requires_grad_(False), windows()
    hidden = model.hidden(tokens).requires_grad_()
    (chunked,) = torch.autograd.grad(in_chunks(model, hidden, targets), hidden)
    (plain,) = torch.autograd.grad(next_token(model.read_out(hidden), targets), hidden)
    assert_close(chunked, plain)


def test_the_largest_logits_at_once_are_those_of_one_chunk(monkeypatch: pytest.MonkeyPatch) -> None:
    model, (tokens, targets) = network("gpt"), windows()
    rows, read_out = [], model.read_out
    monkeypatch.setattr(model, "read_out", lambda x: (rows.append(x.shape[0]), read_out(x))[1])
    in_chunks(model, model.hidden(tokens), targets).backward()
    assert sorted(rows) == [1, 3, 7, 7, 7]  # one row asks which weights there are


@pytest.mark.parametrize("most_bytes", [0, 10**9])
def test_the_trainer_reads_in_chunks_where_the_logits_would_be_large(
    monkeypatch: pytest.MonkeyPatch, most_bytes: int
) -> None:
    monkeypatch.setitem(cross_entropy.LARGE_BYTES, "cpu", most_bytes)
    model, (tokens, targets) = network("gpt"), windows()
    widest = []
    read_out = model.read_out
    monkeypatch.setattr(model, "read_out", lambda x: (widest.append(x.numel() // 16), read_out(x))[1])
    batch = Batch((tokens,), targets, 0, 1, 19)
    loss = Asked(model, next_token, autocast_for(CPU, "float32"))(batch)
    assert max(widest) == (7 if most_bytes == 0 else 24)
    assert_close(loss, next_token(model(tokens), targets))


def test_logits_are_too_many_from_256_mebibytes_of_float32_on() -> None:
    assert not are_too_many(2**16, 2**10, CPU)
    assert are_too_many(2**16 + 1, 2**10, CPU)
