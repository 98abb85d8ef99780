"""Settings that contradict each other are refused before anything is read."""

import pytest

from atinuke.config import build_settings
from atinuke.errors import ConfigError
from atinuke.train.config import TrainConfig


@pytest.mark.parametrize("kind", ["rnn", "perceptron"])
def test_a_network_that_reads_from_left_to_right_fills_in_no_masks(kind: str) -> None:
    with pytest.raises(ConfigError, match=r"masked_share is 0\.5 and model is"):
        build_settings(TrainConfig, flags={"model.kind": kind, "objective.masked_share": 0.5})


@pytest.mark.parametrize("kind", ["atinuke", "atinuke-paper", "gpt", "llama"])
def test_a_network_with_attention_may_fill_in_masks(kind: str) -> None:
    cfg = build_settings(TrainConfig, flags={"model.kind": kind, "objective.masked_share": 0.5})
    assert cfg.objective.masked_share == 0.5


def test_smoothing_the_targets_of_text_is_refused_and_not_passed_over() -> None:
    with pytest.raises(ConfigError, match="label_smoothing is for --pairs and --examples"):
        build_settings(TrainConfig, flags={"objective.label_smoothing": 0.1})
    cfg = build_settings(TrainConfig, flags={"objective.label_smoothing": 0.1, "data.pairs": ("a.tsv",)})
    assert cfg.objective.label_smoothing == 0.1
