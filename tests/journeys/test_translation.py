"""From pairs of texts to translations, on the command line; and what of them is refused."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from atinuke.testing import PAIRS, make_classifier, make_run

Command = Callable[..., tuple[str, str]]
Train = Callable[..., str]
Refused = Callable[..., str]

SMALL = "--set batch_tokens=96 --set model.context=64 --set model.hidden_dim=24 --vocab-size 300"


@pytest.fixture(autouse=True)
def pairs(here: Path) -> None:
    """pairs.tsv, the same as de.txt and en.txt, and a text."""
    (here / "pairs.tsv").write_text("".join(f"{source}\t{target}\n" for source, target in PAIRS))
    (here / "de.txt").write_text("".join(f"{source}\n" for source, _ in PAIRS))
    (here / "en.txt").write_text("".join(f"{target}\n" for _, target in PAIRS))
    (here / "book.txt").write_text("".join(f"The cat number {n} went to market.\n" for n in range(60)))


@pytest.mark.parametrize("network", ["--model seq2seq", "--model rnn", "--model gpt --set model.max_len=64"])
def test_pairs_become_a_run_that_translates_and_is_scored(network: str, train: Train, atinuke: Command) -> None:
    said = train(f"{network} --pairs de.txt en.txt {SMALL}")
    assert "BLEU" in said and "chrF" in said and 'atinuke generate run --source "TEXT"' in said
    out, _ = atinuke("generate", "run", "--source", "3 Katzen", "--source", "Eier", "--json", "--tokens", "8")
    assert [json.loads(line)["source"] for line in out.splitlines()] == ["3 Katzen", "Eier"]
    out, _ = atinuke("evaluate", "run", "--pairs", "pairs.tsv", "--beam", "1")
    assert "BLEU" in out and "version:" in out


def test_the_same_command_finds_the_run_finished(train: Train) -> None:
    train(f"--model seq2seq --pairs pairs.tsv {SMALL}")
    assert "run is finished" in train(f"--model seq2seq --pairs pairs.tsv {SMALL}")


def test_a_pair_that_the_network_cannot_take_is_skipped_and_counted(here: Path, train: Train) -> None:
    with open(here / "pairs.tsv", "a") as file:
        file.write("sehr " * 300 + "\tlong\n\tnothing\n")
    said = train(f"--model seq2seq --pairs pairs.tsv {SMALL}")
    assert "Skipped 1 pairs: source longer than max_len 64 (pair " in said


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--pairs de.txt short.txt", "de.txt has 24 lines and short.txt has 23; expected as many"),
        ("--pairs de.txt", "de.txt has no translations; give files in couples"),
        ("--pairs gone.tsv", "gone.tsv"),
        ("--pairs pairs.tsv --set model.context=4", "None of the 23 pairs fits the network"),
        ("--pairs pairs.tsv --model bert", "model is bert; pairs need seq2seq, rnn"),
        ("--pairs pairs.tsv --model perceptron", "model is perceptron; pairs need seq2seq, rnn"),
        ("--pairs pairs.tsv --steps 2 book.txt", "sources and pairs are both set"),
        ("--pairs pairs.tsv --examples pairs.tsv", "pairs and examples are both set"),
        ("book.txt --held-out pairs.tsv", "held_out is for --pairs and --examples"),
        ("book.txt --model seq2seq", "name them with --pairs"),
        ("book.txt --model rnn-seq2seq", "name them with --pairs"),
        ("--model seq2seq", "name them with --pairs"),
        ("--pairs pairs.tsv --set objective.masked_share=0.5", "masked_share"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(words: str, said: str, here: Path, refused: Refused) -> None:
    lines = (here / "en.txt").read_text().splitlines(keepends=True)
    (here / "short.txt").write_text("".join(lines[:-1]))
    assert said in refused(words)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("book.txt --init-embeddings nothing", "nothing does not exist; expected a run folder"),
        ("book.txt --init-embeddings book.txt", "book.txt"),
        ("book.txt --init-embeddings table", "table reads numbers and has no embeddings of tokens"),
        ("book.txt --init-embeddings text", "width 24 and this network 16. Give --set model.model_dim=24"),
        ("--pairs pairs.tsv --init-embeddings text", "width 24 and this network 16. Give --set model.model_dim=24"),
    ],
)
def test_embeddings_that_cannot_be_inherited_are_refused_in_one_line(
    words: str, said: str, here: Path, refused: Refused
) -> None:
    make_classifier(here / "table")
    make_run(here / "text", "gpt")
    assert said in refused(words)


def test_a_translator_begins_with_the_embeddings_of_a_text(here: Path, train: Train) -> None:
    make_run(here / "text", "gpt")
    said = train(f"--model seq2seq --pairs pairs.tsv {SMALL} --init-embeddings text --set model.model_dim=24")
    assert "Embeddings of text: " in said and "averaged from their pieces" in said
