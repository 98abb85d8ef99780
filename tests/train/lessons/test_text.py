"""Text: each next token is learned, by every network that continues text."""

import math
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from atinuke.config import build_settings
from atinuke.errors import ConfigError, RunFolderError, SourceError
from atinuke.run_folder import RunFolder
from atinuke.train.config import TrainConfig
from atinuke.train.lessons import lesson_for
from atinuke.train.lessons.text import TextLesson

Train = Callable[..., tuple[RunFolder, list[str]]]
Material = dict[str, dict[str, Any]]

LINE = "the cat sat on the mat and the hen had a nap.\n"


def unigram_bits(text: str) -> float:
    """Bits per letter of who knows how often each comes and nothing else."""
    counts, total = Counter(text), len(text)
    return -sum(count / total * math.log2(count / total) for count in counts.values())


@pytest.mark.parametrize("kind", ["atinuke", "gpt", "llama", "rnn", "perceptron"])
def test_a_text_in_fixed_words_is_learned_far_below_what_its_letters_alone_tell(
    kind: str, train: Train, material: Material, tmp_path: Path
) -> None:
    book = Path(material["text"]["data.sources"][0])
    learned = {**material["text"], "model.kind": kind, "model.dropout": 0.0, "batch_seqs": 8, "model.model_dim": 24}
    learned |= {"optim.lr": 0.01, "optim.matrix_lr": 0.02}
    summary = train(tmp_path / "run", learned, budget__steps=80)[0].read_summary()
    assert summary["val_bpb"] < 0.6 * unigram_bits(book.read_text())


def test_a_mixture_hides_tokens_in_some_steps_and_counts_all_that_it_reads(
    train: Train, material: Material, tmp_path: Path
) -> None:
    folder, _ = train(tmp_path / "run", material["text-mixture"], budget__steps=12)
    rows = list(folder.iter_metrics())
    assert [row["tokens"] for row in rows] == [32 * step for step in range(1, 13)]  # two windows of 16
    plain, _ = train(tmp_path / "plain", material["text-mixture"] | {"objective.masked_share": 0.0}, budget__steps=12)
    assert [row["loss"] for row in rows] != [row["loss"] for row in plain.iter_metrics()]
    assert folder.read_config()["model"]["has_mask"]


@pytest.mark.parametrize("kind", ["rnn", "perceptron", "bert"])
def test_a_network_that_cannot_mix_lessons_is_refused(kind: str) -> None:
    with pytest.raises(ConfigError, match=r"masked_share is 0\.5"):
        lesson_for(build_settings(TrainConfig, flags={"model.kind": kind, "objective.masked_share": 0.5}))


@pytest.mark.parametrize("data", ["pairs", "examples"])
def test_a_mixture_is_of_running_text(data: str) -> None:
    cfg = build_settings(TrainConfig, flags={f"data.{data}": ["a.tsv"], "objective.masked_share": 0.5})
    with pytest.raises(ConfigError, match="it mixes masked tokens into running text"):
        lesson_for(cfg)


@pytest.mark.parametrize("kind", ["seq2seq", "rnn-seq2seq"])
def test_a_translator_without_pairs_is_told_to_name_them(kind: str) -> None:
    with pytest.raises(ConfigError, match="--pairs") as told:
        lesson_for(build_settings(TrainConfig, flags={"model.kind": kind}))
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("kind", ["atinuke", "atinuke-paper", "gpt", "llama", "rnn", "perceptron"])
def test_every_network_that_continues_text_learns_from_text(kind: str) -> None:
    assert lesson_for(build_settings(TrainConfig, flags={"model.kind": kind})) is TextLesson


def test_a_text_shorter_than_a_window_is_refused(train: Train, material: Material, tmp_path: Path) -> None:
    book = tmp_path / "book.txt"
    book.write_text(LINE)
    with pytest.raises(SourceError, match=r"one window of context 256 needs 257\. Give more text, or a shorter"):
        train(
            tmp_path / "run", {**material["text"], "data.sources": [str(book)], "model.context": 256}, budget__steps=1
        )


def test_the_tokenizer_of_another_run_is_noticed(train: Train, material: Material, tmp_path: Path) -> None:
    folder, _ = train(tmp_path / "run", material["text"], budget__steps=1)
    words = {**material["text"], "tokenizer.kind": "word", "tokenizer.vocab_size": 100}
    other, _ = train(tmp_path / "other", words, budget__steps=1)
    shutil.copy(other.tokenizer, folder.tokenizer)
    with pytest.raises(RunFolderError, match=r"tokenizer\.json has \d+ ids and the network of this run \d+; .*--fresh"):
        train(tmp_path / "run", material["text"], budget__steps=2)


@pytest.mark.parametrize("works", [True, False])
def test_what_is_worth_compiling_is_compiled_before_training_if_that_works(
    train: Train, material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, works: bool
) -> None:
    made: list[nn.Module] = []
    monkeypatch.setattr("atinuke.train.lessons.text.is_worth_compiling", lambda *_: True)
    monkeypatch.setattr("atinuke.train.lessons.text.made_ready", lambda *_: works)
    monkeypatch.setattr("atinuke.train.engine.compiled", lambda model, machine: made.append(model) or model)
    folder, _ = train(tmp_path / "run", material["text"] | {"compile": None}, budget__time_s=4.0)
    assert folder.read_config()["compile"] is works
    assert bool(made) is works  # the trial of the rates and the timing of steps do without


def test_a_run_without_a_clock_is_not_compiled_by_itself(
    train: Train, material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("atinuke.train.lessons.text.is_worth_compiling", lambda *_: True)
    folder, _ = train(tmp_path / "run", material["text"] | {"compile": None}, budget__steps=3)
    assert folder.read_config()["compile"] is False
