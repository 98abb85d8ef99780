"""Tiny runs of every lesson, on material that is written here."""

import dataclasses
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from atinuke.config import build_settings
from atinuke.errors import Interrupted
from atinuke.machine import probe_machine
from atinuke.run_folder import RunFolder
from atinuke.testing import LEAVES, PAIRS, Listener, make_examples
from atinuke.train import loop
from atinuke.train.config import TrainConfig
from atinuke.train.run import run
from atinuke.train.schedule import Clock

SIZES = {"model.model_dim": 16, "model.hidden_dim": 24, "model.layer_count": 1, "model.head_count": 2}
MACHINE = {"dtype": "float32", "device": "cpu", "compile": False}


@pytest.fixture(scope="session", autouse=True)
def quick() -> Iterator[None]:
    """One measurement of the machine for all, short samples."""
    one_core = dataclasses.replace(probe_machine("cpu"), cores=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("atinuke.train.run.probe_machine", lambda _: one_core)
        patch.setattr("atinuke.train.lessons.text_scores.SAMPLE_TOKENS", 8)
        threads = torch.get_num_threads()
        yield
        torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def material(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """By lesson and network: the settings of a tiny run with dropout, but for its budget."""
    folder = tmp_path_factory.mktemp("material")
    animals = ("cat", "dog", "hen", "cow")
    (folder / "book.txt").write_text(
        "".join(f"The {animals[n * n % 4]} number {n} went to market.\n" for n in range(100))
    )
    (folder / "pairs.tsv").write_text("".join(f"{source}\t{target}\n" for source, target in PAIRS))
    (folder / "plants.csv").write_text(LEAVES)
    text = {"data.sources": [str(folder / "book.txt")], "tokenizer.kind": "char", "batch_seqs": 2, "model.context": 16}
    pairs = {"data.pairs": [str(folder / "pairs.tsv")], "batch_tokens": 96, "model.context": 64}
    pairs |= {"tokenizer.vocab_size": 300}
    examples = {"data.examples": [str(make_examples(folder / "examples"))], "batch_seqs": 4, "tokenizer.kind": "char"}
    table = {"data.examples": [str(folder / "plants.csv")], "data.label": "kind", "batch_seqs": 4}
    shared = {**SIZES, **MACHINE, "model.dropout": 0.1}
    return {
        "text": {**shared, **text},
        "text-mixture": {**shared, **text, "model.kind": "gpt", "objective.masked_share": 0.5},
        "text-rnn": {**shared, **text, "model.kind": "rnn"},
        "masked": {**shared, **text, "model.kind": "bert", "objective.whole_words": True},
        "pairs-seq2seq": {**shared, **pairs, "model.kind": "seq2seq"},
        "pairs-rnn": {**shared, **pairs, "model.kind": "rnn"},
        "pairs-decoder": {**shared, **pairs, "model.kind": "gpt", "model.max_len": 64},
        "examples": {**shared, **examples},
        "table": {**shared, **table, "model.kind": "perceptron"},
    }


@pytest.fixture(scope="session")
def train() -> Callable[..., tuple[RunFolder, list[str]]]:
    """Runs what the settings say into the folder `out`; the folder, and what was said."""

    def go(out: Path, settings: dict[str, Any], *, already_s: float = 0.0, **more: Any) -> tuple[RunFolder, list[str]]:
        flags = {**settings, **{key.replace("__", "."): value for key, value in more.items()}, "out": str(out)}
        listener = Listener()
        cfg = build_settings(TrainConfig, flags={key: value for key, value in flags.items() if value is not None})
        return RunFolder(run(cfg, listener, already_s=already_s)), listener.said

    return go


@pytest.fixture
def stopped_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], AbstractContextManager[None]]:
    """What runs inside gets a SIGTERM while it makes this step, and must say that it saved its state."""

    @contextmanager
    def stopping(step: int) -> Iterator[None]:
        true_step = loop.optimizer_step

        def stop(state: Any, batch: Any, rules: Any, factor: float) -> Any:
            if state.step + 1 == step:
                os.kill(os.getpid(), signal.SIGTERM)
            return true_step(state, batch, rules, factor)

        with monkeypatch.context() as patch:
            patch.setattr(loop, "optimizer_step", stop)
            with pytest.raises(Interrupted, match=f"SIGTERM at step {step}; the state is saved"):
                yield

    return stopping


@pytest.fixture
def a_second_a_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a clock that the training itself turns: each step takes a second, all else no time."""
    now_s = [0.0]
    monkeypatch.setattr("atinuke.train.run.Clock", lambda already_s: Clock(already_s, lambda: now_s[0]))
    true_step = loop.optimizer_step

    def step(state: Any, batch: Any, rules: Any, factor: float) -> Any:
        now_s[0] += 1.0
        return true_step(state, batch, rules, factor)

    monkeypatch.setattr(loop, "optimizer_step", step)
