"""A run that goes on with other data: the network, the tokenizer and the weights of another."""

from pathlib import Path

import pytest
import torch

from atinuke.errors import ConfigError
from atinuke.generate.loading import load_trained
from atinuke.models import build_model
from atinuke.models.config import saved_network
from atinuke.testing import make_run
from atinuke.train.config import TrainConfig
from atinuke.train.predecessor import Predecessor, with_predecessor

PAIRS = {"data": {"pairs": ["a", "b"]}}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / "base")


def test_sizes_and_tokenizer_are_those_of_the_run(base: Path) -> None:
    cfg, tokenizer = with_predecessor(TrainConfig.model_validate({**PAIRS, "init": base, "model": {"dropout": 0.3}}))
    trained = load_trained(base, "cpu")
    assert tokenizer is not None
    assert tokenizer.fingerprint() == trained.tokenizer.fingerprint()
    assert cfg.model.dropout == 0.3
    assert cfg.model.context is None
    sizes = cfg.model.model_copy(update={"context": 16}).model_dump()
    model = build_model(saved_network({"model": sizes, "tokenizer": cfg.tokenizer.model_dump()}))
    Predecessor.read(base).pass_on(model)
    for name, tensor in trained.model.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor), name


def test_without_a_run_nothing_changes() -> None:
    cfg = TrainConfig.model_validate(PAIRS)
    assert with_predecessor(cfg) == (cfg, None)


def test_another_size_is_refused(base: Path) -> None:
    for other in ({"model": {"model_dim": 8}}, {"model": {"kind": "gpt"}}, {"tokenizer": {"kind": "char"}}):
        with pytest.raises(ConfigError, match=r"leave (model|tokenizer)\.\w+ out"):
            with_predecessor(TrainConfig.model_validate({**PAIRS, "init": base, **other}))


def test_it_is_for_pairs_and_examples(base: Path) -> None:
    with pytest.raises(ValueError, match="init is for --pairs and --examples"):
        TrainConfig.model_validate({"init": base})
