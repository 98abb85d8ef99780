"""Every kind of network is built from its sizes alone, computes, and comes back from its file."""

from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.testing import assert_close

from atinuke import models
from atinuke.models import NETWORKS, ModelConfig, build_model
from atinuke.models.config import ModelKind, PictureConfig, SoundConfig, saved_network
from atinuke.models.layers.prefix import Prefix
from atinuke.weights import load_weights, save_weights

SIZES: dict[str, Any] = {
    "vocab_size": 31,
    "model_dim": 24,
    "key_dim": 20,
    "hidden_dim": 40,
    "head_count": 2,
    "layer_count": 2,
    "context": 8,
    "max_len": 32,
}
PICTURE = PictureConfig(height=16, width=16, channels=1, patch=8)
SOUND = SoundConfig(sample_rate_hz=8000, mel_bins=8)
TOKENS = torch.tensor([[1, 2, 3, 4, 5], [6, 7, 8, 9, 10]])
IS_SOURCE = torch.tensor([[True] * 5, [True] * 3 + [False] * 2])

VARIANTS: dict[str, dict[str, Any]] = {
    **{kind: {"kind": kind} for kind in get_args(ModelKind)},
    "atinuke with a picture": {"kind": "atinuke", "picture": PICTURE},
    "atinuke with a linear stem": {"kind": "atinuke", "picture": PICTURE.model_copy(update={"stem": "linear"})},
    "atinuke with sound": {"kind": "atinuke", "sound": SOUND},
    "atinuke with a mask": {"kind": "atinuke", "has_mask": True},
    "llama with one head of keys": {"kind": "llama", "kv_head_count": 1},
    "rnn of gru cells": {"kind": "rnn", "cell": "gru"},
    "rnn-seq2seq of gru cells": {"kind": "rnn-seq2seq", "cell": "gru"},
    "seq2seq with norms behind": {"kind": "seq2seq", "norm_place": "post"},
    "perceptron on one-hot": {"kind": "perceptron", "token_input": "one-hot", "window": 3},
    "perceptron on integers": {"kind": "perceptron", "token_input": "integer"},
    "perceptron on a table": {"kind": "perceptron", "numbers": 4, "classes": 3},
    "perceptron that gives a number": {"kind": "perceptron", "numbers": 4},
}


def config(**more: Any) -> ModelConfig:
    return ModelConfig.model_validate({**SIZES, **more})


def outputs(model: nn.Module, cfg: ModelConfig) -> list[torch.Tensor]:
    """What the network says to inputs of its kind."""
    with torch.no_grad():
        if cfg.numbers:
            return [model(torch.linspace(-2, 5, 12).view(3, 4))]
        if cfg.kind in ("seq2seq", "rnn-seq2seq"):
            return [model(TOKENS, IS_SOURCE, TOKENS[:, :3])]
        if cfg.kind == "bert":
            return list(model(TOKENS))
        found = [model(TOKENS)]
        if cfg.picture is not None:
            pixels = torch.linspace(0, 1, 512).view(2, 1, 16, 16)
            found.append(model(TOKENS, None, "causal", Prefix("picture", pixels)))
        if cfg.sound is not None:
            waves = torch.linspace(0, 90, 1600).sin().view(2, 800)
            found.append(model(TOKENS, None, "causal", Prefix("sound", waves, torch.tensor([800, 500]))))
        return found


def built(cfg: ModelConfig, seed: int) -> nn.Module:
    """A network whose every weight is drawn: fresh ones hold zeros, in which files could not be told apart."""
    torch.manual_seed(seed)
    model = build_model(cfg)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.3)
    return model.eval()


def test_every_network_that_there_is_is_tried() -> None:
    tried = {"number-perceptron" if "numbers" in more else more["kind"] for more in VARIANTS.values()}
    assert tried == set(NETWORKS)
    assert {name for _, name, _ in NETWORKS.values()} <= set(models.__all__)


@pytest.mark.parametrize("variant", VARIANTS)
class TestEveryVariant:
    def test_is_built_from_its_sizes_and_gives_finite_outputs(self, variant: str) -> None:
        cfg = config(**VARIANTS[variant])
        torch.manual_seed(0)
        fresh = build_model(cfg)
        kind = "number-perceptron" if cfg.numbers else cfg.kind
        assert type(fresh).__name__ == NETWORKS[kind][1]
        for output in outputs(fresh.eval(), cfg):
            assert output.isfinite().all()
        width = (cfg.classes or 1) if cfg.numbers else cfg.vocab_size
        assert outputs(fresh, cfg)[0].shape[-1] == width

    def test_comes_back_from_its_file(self, variant: str, tmp_path: Path) -> None:
        cfg = config(**VARIANTS[variant])
        saved, other = built(cfg, 0), built(cfg, 1)
        assert any((a - b).abs().max() > 1e-6 for a, b in zip(outputs(saved, cfg), outputs(other, cfg), strict=True))
        save_weights(tmp_path / "model.safetensors", saved)
        load_weights(tmp_path / "model.safetensors", other)
        for ours, theirs in zip(outputs(saved, cfg), outputs(other, cfg), strict=True):
            assert torch.equal(ours, theirs)

    def test_comes_back_from_the_settings_of_a_run(self, variant: str) -> None:
        cfg = config(**VARIANTS[variant])
        sizes = cfg.model_dump(mode="json", exclude={"vocab_size"})
        found = saved_network({"model": sizes, "tokenizer": {"vocab_size": 31 - cfg.has_mask}})
        assert found == (cfg.model_copy(update={"vocab_size": 1}) if cfg.numbers else cfg)

    def test_takes_dropout_and_drops_nothing_while_evaluating(self, variant: str) -> None:
        cfg = config(**VARIANTS[variant])
        plain, dropping = built(cfg, 0), built(cfg.model_copy(update={"dropout": 0.4}), 0)
        for ours, theirs in zip(outputs(plain, cfg), outputs(dropping, cfg), strict=True):
            assert_close(ours, theirs)
        dropping.train()
        first, second = outputs(dropping, cfg), outputs(dropping, cfg)
        assert any(not torch.equal(a, b) for a, b in zip(first, second, strict=True))


@pytest.mark.parametrize(
    ("sizes", "clue"),
    [
        ({"head_count": 4, "kv_head_count": 3}, "head_count is 4 and kv_head_count is 3"),
        ({"head_count": 2, "kv_head_count": 4}, "head_count is 2 and kv_head_count is 4"),
        ({"head_count": 3}, "key_dim is 20 and head_count is 3; .* for example 18 or 21"),
        ({"context": 33}, "context is 33 and max_len is 32"),
        ({"dropout": 1.0}, "less than 1"),
        ({"layer_count": 0}, "greater than 0"),
        ({"kind": "transformer"}, "atinuke"),
        ({"d_model": 3}, "not permitted"),
    ],
)
def test_sizes_that_cannot_be_are_refused(sizes: dict[str, Any], clue: str) -> None:
    with pytest.raises(ValidationError, match=clue):
        config(**sizes)


@pytest.mark.parametrize("kv_head_count", [None, 1, 2, 4])
def test_every_divisor_of_the_heads_serves_as_their_groups(kv_head_count: int | None) -> None:
    cfg = config(kind="llama", head_count=4, kv_head_count=kv_head_count)
    assert build_model(cfg)(TOKENS).shape == (2, 5, 31)


def test_a_network_with_a_mask_has_one_id_more_than_its_tokenizer() -> None:
    sizes = {name: value for name, value in SIZES.items() if name != "vocab_size"}
    found = saved_network({"model": {**sizes, "has_mask": True}, "tokenizer": {"vocab_size": 31}})
    assert (found.vocab_size, found.mask_id) == (32, 31)
    plain = saved_network({"model": sizes, "tokenizer": {"vocab_size": 31}})
    assert (plain.vocab_size, plain.mask_id) == (31, None)


@pytest.mark.parametrize("tokenizer", [None, {}, {"vocab_size": None}, "missing"])
def test_a_table_needs_no_vocabulary_and_text_does(tokenizer: object) -> None:
    tree = {} if tokenizer == "missing" else {"tokenizer": tokenizer}
    sizes = {name: value for name, value in SIZES.items() if name != "vocab_size"}
    table = saved_network({"model": {**sizes, "kind": "perceptron", "numbers": 4, "classes": 2}, **tree})
    assert outputs(build_model(table).eval(), table)[0].shape == (3, 2)
    with pytest.raises(ValidationError, match="vocab_size"):
        saved_network({"model": sizes, **tree})


@pytest.mark.parametrize("tree", [{}, {"model": None}, {"model": "gpt", "tokenizer": 5}, {"model": []}])
def test_settings_that_describe_no_network_are_refused(tree: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        saved_network(tree)


def test_a_name_that_is_no_network_is_none() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'Transformer'"):
        models.Transformer  # noqa: B018
