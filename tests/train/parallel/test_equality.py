"""Any number of processes trains the very network that one process trains."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from torch.testing import assert_close

from atinuke.run_folder import RunFolder

SAME = {"rtol": 0.0, "atol": 1e-5}
"""Sums in another order: float32 alone."""
KEYS_BIASES = ("project_qkv.bias", "project_kv.bias")
"""What is added to all keys alike changes no softmax: its gradient is rounding alone, which AdamW makes large."""


def losses(folder: Path) -> list[float]:
    return [row["loss"] for row in RunFolder(folder).iter_metrics()]


def assert_same_training(found: Path, alone: Path) -> None:
    """Losses, what a step counts, and the weights that were kept."""
    assert losses(found) == pytest.approx(losses(alone), abs=1e-5)
    assert len(losses(found)) == 4
    tokens = [[row["tokens"] for row in RunFolder(folder).iter_metrics()] for folder in (found, alone)]
    assert tokens[0] == tokens[1]
    weights, wanted = (load_file(folder / "model.safetensors") for folder in (found, alone))
    assert weights.keys() == wanted.keys()
    for name, tensor in wanted.items():
        if not name.endswith(KEYS_BIASES):
            assert_close(weights[name], tensor, **SAME, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize(
    "name", ["atinuke", "paper", "rnn", "bert", "mixture", "seq2seq", "examples", "table", "gpt", "llama"]
)
def test_four_processes_with_uneven_rows_train_what_one_trains(
    by_four: Any, alone: Callable[[str], RunFolder], name: str
) -> None:
    assert [end["error"] for end in by_four.ends[name]] == [""] * 4
    assert_same_training(by_four.folder / name, alone(name).path)


@pytest.mark.parametrize("name", ["atinuke", "bert", "gpt", "llama"])
def test_two_processes_train_what_one_trains_also_in_micro_batches_and_with_recomputation(
    by_two: Any, alone: Callable[[str], RunFolder], name: str
) -> None:
    assert [end["error"] for end in by_two.ends[name]] == [""] * 2
    assert_same_training(by_two.folder / name, alone(name).path)


def test_only_the_first_process_speaks_and_its_run_folder_is_whole(by_four: Any) -> None:
    said = [end["said"] for end in by_four.ends["gpt"]]
    assert "4 processes share each step." in said[0] and said[1:] == [[], [], []]
    folder = RunFolder(by_four.folder / "gpt")
    assert folder.verify() and folder.report.is_file()
    assert folder.read_summary()["processes"] == 4
    assert not (folder.state / "saving").exists()
