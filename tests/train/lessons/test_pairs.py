"""Pairs: translation is learned by an encoder and a decoder, a recurrent one, and one decoder that reads in a row."""

import itertools
import math
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from atinuke.config import build_settings
from atinuke.errors import ConfigError, MissingExtraError, SourceError
from atinuke.run_folder import RunFolder
from atinuke.testing import PAIRS
from atinuke.tokenizers.tokenizer import Tokenizer
from atinuke.train.config import TrainConfig
from atinuke.train.lessons import pairs as lesson
from atinuke.train.progress import Quiet
from atinuke.train.resuming import find_beginning

Train = Callable[..., tuple[RunFolder, list[str]]]
Material = dict[str, dict[str, Any]]

WORDS = {"aba": "red", "ono": "blue", "ulu": "green"}


def words_for_words() -> list[tuple[str, str]]:
    """Every row of two to five words, each word with one translation and in its place."""
    rows = (row for length in range(2, 6) for row in itertools.product(WORDS, repeat=length))
    return [(" ".join(row), " ".join(WORDS[word] for word in row)) for row in rows]


def write(path: Path, pairs: list[tuple[str, str]]) -> str:
    path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs))
    return str(path)


def unigram_nats(texts: list[str], tokenizer: Tokenizer) -> float:
    """Nats per token of who knows how often each comes, ends included, and nothing else."""
    counts = Counter(int(id) for text in texts for id in [*tokenizer.encode(text), tokenizer.end_id])
    total = sum(counts.values())
    return -sum(count / total * math.log(count / total) for count in counts.values())


@pytest.mark.parametrize(("kind", "steps", "least_bleu"), [("seq2seq", 200, 80), ("rnn", 200, 60), ("gpt", 150, 30)])
def test_words_for_words_are_translated_that_were_never_seen(
    kind: str, steps: int, least_bleu: float, train: Train, material: Material, tmp_path: Path
) -> None:
    pairs = words_for_words()
    learned = {**material["pairs-decoder"], "data.pairs": [write(tmp_path / "pairs.tsv", pairs)], "model.kind": kind}
    learned |= {"tokenizer.kind": "char", "tokenizer.vocab_size": None, "model.dropout": 0.0, "batch_tokens": 512}
    learned |= {"model.model_dim": 32, "model.hidden_dim": 64, "model.layer_count": 2 if kind == "gpt" else 1}
    folder, said = train(tmp_path / "run", learned, budget__steps=steps)
    summary, tokenizer = folder.read_summary(), Tokenizer.load(folder.tokenizer)
    assert summary["val_nats_per_token"] < 0.3 * unigram_nats([target for _, target in pairs], tokenizer)
    assert summary["score"]["name"] == "BLEU" and summary["bleu"] == summary["score"]["value"] > least_bleu
    assert summary["chrf"] > least_bleu and "version:" in summary["bleu_signature"]
    assert all(sample["reference"] == dict(pairs)[sample["prompt"]] for sample in summary["samples"])
    assert any("BLEU" in line and "chrF" in line and summary["bleu_signature"] in line for line in said)


def test_an_rnn_becomes_an_encoder_and_a_decoder(train: Train, material: Material, tmp_path: Path) -> None:
    folder, _ = train(tmp_path / "run", material["pairs-rnn"], budget__steps=1)
    assert folder.read_config()["model"]["kind"] == folder.read_summary()["model"] == "rnn-seq2seq"


def test_targets_are_smoothed_by_a_tenth_unless_another_part_is_set(
    train: Train, material: Material, tmp_path: Path
) -> None:
    losses = []
    for smoothing in (None, 0.1, 0.0):
        cfg = {**material["pairs-seq2seq"], "objective.label_smoothing": smoothing}
        folder, _ = train(tmp_path / str(smoothing), cfg, budget__steps=1)
        losses.append(next(folder.iter_metrics())["loss"])
    assert losses[0] == losses[1] != losses[2]


def test_pairs_to_score_with_are_used_whole_and_none_of_them_is_trained_on(
    train: Train, material: Material, tmp_path: Path
) -> None:
    pairs = words_for_words()[:40]
    cfg = {**material["pairs-seq2seq"], "data.pairs": [write(tmp_path / "a.tsv", pairs)]}
    cfg |= {"data.held_out": [write(tmp_path / "b.tsv", [*pairs[:5], ("ulu ono", "quite another one")])]}
    folder, said = train(tmp_path / "run", cfg, budget__steps=1)
    data = folder.read_summary()["data"]
    assert (data["train_pairs"], data["held_out_pairs"]) == (34, 6)
    reasons = ["also among the held-out pairs", 5], ["its source is held out, with another target", 1]
    assert [row[:2] for row in data["skipped"]] == [*reasons]
    assert all(any(f"Skipped {count} pairs: {reason} (pair " in line for line in said) for reason, count in reasons)


@pytest.mark.parametrize("name", ["pairs-seq2seq", "pairs-rnn", "pairs-decoder"])
def test_pairs_longer_than_the_network_reads_are_counted_and_said(
    name: str, train: Train, material: Material, tmp_path: Path
) -> None:
    long = [("very " * 300, "long"), ("long", "sehr " * 300), ("", "nothing"), ("nothing", " ")]
    cfg = {**material[name], "data.pairs": [write(tmp_path / "a.tsv", [*PAIRS, *long])]}
    folder, said = train(tmp_path / "run", cfg, budget__steps=1)
    skipped = {reason: count for reason, count, _ in folder.read_summary()["data"]["skipped"]}
    assert skipped.pop("empty source") == skipped.pop("empty target") == 1
    if name == "pairs-decoder":
        together = "source and target together longer than max_len 64"
        assert skipped == {"source longer than half of max_len 64": 1, together: 1}
    else:
        assert skipped == {"source longer than max_len 64": 1, "target longer than max_len 64": 1}
    for reason, count in skipped.items():
        assert any(f"Skipped {count} pairs: {reason} (pair " in line for line in said)


@pytest.mark.parametrize("name", ["pairs-seq2seq", "pairs-rnn", "pairs-decoder"])
def test_a_held_out_source_that_is_too_long_is_cut_and_said_and_the_run_ends_whole(
    name: str, train: Train, material: Material, tmp_path: Path
) -> None:
    cfg = {**material[name], "data.held_out": [write(tmp_path / "b.tsv", [("Mauer " * 400, "wall"), ("Ei", "egg")])]}
    folder, said = train(tmp_path / "run", cfg, budget__steps=1)
    summary = folder.read_summary()
    assert folder.verify() and summary["finished_at"] and (summary["cut"], summary["sentences"]) == (1, 2)
    assert "1 held-out sources are longer than this network takes and were cut." in said
    assert "2 held-out pairs (1 sources cut), beam" in summary["score"]["note"]
    long, short = summary["samples"]
    assert ("Mauer " * 400).startswith(long["prompt"]) and 0 < len(long["prompt"]) < 400
    assert (short["prompt"], short["reference"]) == ("Ei", "egg")


@pytest.mark.parametrize("held_out", [False, True])
def test_what_is_given_to_score_with_chooses_no_checkpoint(
    held_out: bool, train: Train, material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    estimates = itertools.count(1.0)  # each is worse than the one before
    monkeypatch.setattr(lesson.PairLesson, "estimator", lambda *_: lambda _: next(estimates))
    cfg = {**material["pairs-seq2seq"], "checkpoint.every_steps": 1}
    cfg |= {"data.held_out": [write(tmp_path / "b.tsv", [("Ei und Ei", "egg and egg")])]} if held_out else {}
    _, said = train(tmp_path / "run", cfg, budget__steps=3)
    went_back = any("weights of step 1 did better on held-out text" in line for line in said)
    assert went_back == (not held_out)


def test_batch_seqs_is_refused_in_favour_of_batch_tokens(train: Train, material: Material, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"batch_seqs is 4; .* --set batch_tokens=") as told:
        train(tmp_path / "run", {**material["pairs-seq2seq"], "batch_seqs": 4}, budget__steps=1)
    assert "\n" not in str(told.value) and not (tmp_path / "run" / "config.json").exists()


OPEN = {f"model.{size}": None for size in ("model_dim", "hidden_dim", "head_count", "context", "max_len")}


@pytest.mark.parametrize(
    ("asked", "chosen"),
    [
        ({"context": 2000}, {"context": 2000, "max_len": 2000}),
        ({"context": 100}, {"context": 100, "max_len": 1024}),
        ({"max_len": 90}, {"context": 90, "max_len": 90}),
        ({"kind": "gpt"}, {"context": 256, "max_len": 256}),
        ({"kind": "gpt", "context": 300}, {"context": 300, "max_len": 300}),
        ({"kind": "atinuke"}, {"context": 256, "max_len": 1024}),
        ({}, {"head_count": 4, "key_dim": 128}),
        ({"head_count": 3}, {"head_count": 3, "key_dim": 129, "model_dim": 128}),
        ({"kind": "llama", "kv_head_count": 2}, {"head_count": 4, "key_dim": 128}),
        ({"kind": "llama", "kv_head_count": 3}, {"head_count": 3, "key_dim": 129}),
    ],
    ids=str,
)
def test_open_sizes_fit_those_that_are_set(
    asked: dict[str, Any], chosen: dict[str, int], train: Train, material: Material, tmp_path: Path
) -> None:
    cfg = {**material["pairs-seq2seq"], **OPEN, **{f"model.{key}": value for key, value in asked.items()}}
    network = train(tmp_path / "run", cfg, budget__steps=1)[0].read_config()["model"]
    assert network.items() >= chosen.items()


def test_sizes_that_no_choice_makes_fit_are_refused_in_one_line(
    train: Train, material: Material, tmp_path: Path
) -> None:
    cfg = {**material["pairs-seq2seq"], **OPEN, "model.key_dim": 128, "model.kv_head_count": 3}
    with pytest.raises(ConfigError, match="key_dim is 128 and head_count is 3") as told:
        train(tmp_path / "run", cfg, budget__steps=1)
    assert "\n" not in str(told.value)


def test_when_nothing_fits_it_is_said_in_one_line(train: Train, material: Material, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"fits the network: .* larger --set model\.context") as told:
        train(tmp_path / "run", {**material["pairs-seq2seq"], "model.context": 2}, budget__steps=1)
    assert "\n" not in str(told.value) and not (tmp_path / "run" / "config.json").exists()


@pytest.mark.parametrize("kind", ["bert", "perceptron"])
def test_a_network_that_cannot_translate_is_refused(
    kind: str, train: Train, material: Material, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=rf"model is {kind}; pairs need .* Give --model seq2seq\."):
        train(tmp_path / "run", {**material["pairs-seq2seq"], "model.kind": kind}, budget__steps=1)


def test_without_sacrebleu_the_score_is_nats_and_the_missing_extra_is_named(
    train: Train, material: Material, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing(*_: object) -> None:
        raise MissingExtraError.for_extra("Scoring translations", "translate")

    monkeypatch.setattr(lesson, "translation_scores", missing)
    summary = train(tmp_path / "run", material["pairs-seq2seq"], budget__steps=1)[0].read_summary()
    assert summary["score"]["name"] == "nats per token" and summary["score"]["is_better"] == "lower"
    assert summary["score"]["value"] == summary["val_nats_per_token"] > 0 and "bleu" not in summary
    assert "translate" in summary["score"]["note"] and summary["samples"]


def test_a_translator_begins_with_the_embeddings_of_another(train: Train, material: Material, tmp_path: Path) -> None:
    first, _ = train(tmp_path / "first", {**material["pairs-seq2seq"], "model.model_dim": 24}, budget__steps=2)
    cfg = {**material["pairs-seq2seq"], "model.model_dim": None, "init_embeddings": str(first.path)}
    second, said = train(tmp_path / "second", cfg, budget__steps=1)
    assert second.read_config()["model"]["model_dim"] == 24
    vocab_size = Tokenizer.load(second.tokenizer).vocab_size
    assert any(f"{vocab_size} tokens copied, 0 averaged" in line for line in said)


def test_runs_without_a_name_are_called_after_what_they_learn_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for flags, name in (
        ({"data.pairs": ["a/wmt.de", "a/wmt.en"]}, "wmt"),
        ({"data.examples": ["digits.zip/*_0.wav"]}, "digits"),
    ):
        cfg = build_settings(TrainConfig, flags={**flags, "budget.steps": 1})
        assert find_beginning(cfg, Quiet()).folder.path == Path("runs") / name
