"""Encoded pairs in their folder."""

import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.data import pairs
from atinuke.data.corpus import TextEncoder
from atinuke.data.pairs import Layout, Pair, PairCorpus, Pairs, write_pairs
from atinuke.data.rows import RowNotes
from atinuke.errors import AtinukeError, DamagedFileError, RunFolderError, SourceError

TRAIN = [("Wo wohnst du?", "Where do you live?"), ("猫", "é cat"), ("Ja.", "Yes.")]
TEST = [("Nein, nein und nochmals nein.", "No."), ("Gut.", "Good.")]


def pairs_of(pairs: list[Pair]) -> Pairs:
    return Pairs(pairs, "memory", ("memory",), RowNotes())


def build(
    tokenizer: TextEncoder, folder: Path, *, max_len: int = 100, layout: Layout = "encoder-decoder"
) -> PairCorpus:
    return write_pairs(pairs_of(TRAIN), pairs_of(TEST), tokenizer, folder / "data", max_len=max_len, layout=layout)


def texts(corpus: PairCorpus) -> list[Pair]:
    """The training pairs, decoded from bytes."""
    encoded = [corpus.train.pair(number) for number in range(len(corpus.train))]
    return [(bytes(source.tolist()).decode(), bytes(target.tolist()).decode()) for source, target in encoded]


def test_reopening_gives_the_ids_of_all_pairs_and_the_held_out_texts(
    byte_tokenizer: TextEncoder, tmp_path: Path
) -> None:
    written = build(byte_tokenizer, tmp_path)
    corpus = PairCorpus.open(tmp_path / "data")
    assert texts(corpus) == TRAIN
    assert corpus.held_out_texts == TEST
    assert len(corpus.held_out) == 2
    assert corpus.fingerprint == written.fingerprint
    assert corpus.facts == written.facts
    assert corpus.index.train_bytes == sum(len((source + target).encode()) for source, target in TRAIN)
    assert corpus.index.train_source_tokens + corpus.index.train_target_tokens == corpus.train.shards.total_tokens
    assert corpus.train.target_lengths.tolist() == [len(target.encode()) for _, target in TRAIN]


@pytest.mark.parametrize(
    ("layout", "max_len", "kept", "reasons"),
    [
        ("encoder-decoder", 19, TRAIN, {}),
        ("encoder-decoder", 18, TRAIN[1:], {"target longer than max_len 18": 1}),  # its start token takes one place
        ("encoder-decoder", 12, TRAIN[1:], {"source longer than max_len 12": 1}),
        ("decoder-only", 32, TRAIN, {}),
        ("decoder-only", 23, TRAIN[1:], {"source longer than half of max_len 23": 1}),
        ("decoder-only", 31, TRAIN[1:], {"source and target together longer than max_len 31": 1}),
    ],
)
def test_pairs_that_the_network_cannot_take_are_counted(
    layout: Layout,
    max_len: int,
    kept: list[Pair],
    reasons: dict[str, int],
    byte_tokenizer: TextEncoder,
    tmp_path: Path,
) -> None:
    corpus = build(byte_tokenizer, tmp_path, max_len=max_len, layout=layout)
    assert texts(corpus) == kept
    assert {reason: count for reason, count, _ in corpus.index.skipped} == reasons
    assert all(places == ("pair 1: Wo wohnst du?",) for _, _, places in corpus.index.skipped)


def test_held_out_pairs_that_are_too_long_stay_as_texts(byte_tokenizer: TextEncoder, tmp_path: Path) -> None:
    corpus = build(byte_tokenizer, tmp_path, max_len=20)
    assert len(corpus.held_out) == 1
    assert corpus.held_out_texts == TEST
    assert (corpus.index.held_out_pairs, corpus.index.held_out_encoded) == (2, 1)


def test_when_no_pair_fits_the_reason_is_said_and_nothing_written(byte_tokenizer: TextEncoder, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"None of the 3 pairs fits the network: source longer than max_len 2"):
        build(byte_tokenizer, tmp_path, max_len=2)
    with pytest.raises(
        SourceError, match=r"None of the 2 held-out pairs fits the network: source longer .*; target longer"
    ):
        build(byte_tokenizer, tmp_path, max_len=5)
    assert list(tmp_path.iterdir()) == []


def test_the_fingerprint_tells_one_corpus_from_another(byte_tokenizer: TextEncoder, tmp_path: Path) -> None:
    first, again = build(byte_tokenizer, tmp_path / "a"), build(byte_tokenizer, tmp_path / "b")
    swapped = pairs_of([(target, source) for source, target in TRAIN])
    other = write_pairs(swapped, pairs_of(TEST), byte_tokenizer, tmp_path / "c", max_len=100)
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_reasons_of_reading_and_of_encoding_are_kept_together(byte_tokenizer: TextEncoder, tmp_path: Path) -> None:
    train = pairs_of(TRAIN)
    train.notes.skip("empty target", "a.de:7")
    corpus = write_pairs(train, pairs_of(TEST), byte_tokenizer, tmp_path / "data", max_len=18)
    assert [reason for reason, _, _ in corpus.index.skipped] == ["empty target", "target longer than max_len 18"]
    assert train.notes.counts == {"empty target": 1}, "what was read has not changed"


@pytest.mark.parametrize(
    "name",
    [
        "index.json",
        "held_out.jsonl",
        "train/index.json",
        "train/offsets.npy",
        "train/tokens-00000.bin",
        "checksums.json",
    ],
)
@pytest.mark.parametrize("harm", ["gone", "cut", "changed"])
def test_damage_is_told_with_the_name_of_the_file(
    name: str, harm: str, byte_tokenizer: TextEncoder, tmp_path: Path
) -> None:
    build(byte_tokenizer, tmp_path)
    path = tmp_path / "data" / name
    data = path.read_bytes()
    if harm == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:-3] if harm == "cut" else data[:-1] + bytes([data[-1] ^ 1]))
    with pytest.raises(DamagedFileError) as caught:
        PairCorpus.open(tmp_path / "data")
    assert path.name in str(caught.value) and "\n" not in str(caught.value)


def test_offsets_that_do_not_fit_the_tokens_are_damage_even_unverified(
    byte_tokenizer: TextEncoder, tmp_path: Path
) -> None:
    build(byte_tokenizer, tmp_path)
    np.save(tmp_path / "data" / "train" / "offsets.npy", np.arange(7), allow_pickle=False)
    with pytest.raises(DamagedFileError, match=r"offsets\.npy is damaged"):
        PairCorpus.open(tmp_path / "data", verify=False)


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="does not exist"):
        PairCorpus.open(tmp_path / "data")


@given(st.binary(max_size=200))
def test_any_bytes_in_place_of_the_held_out_texts_are_damage(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "held_out.jsonl"
        path.write_bytes(data)
        try:
            assert all(isinstance(side, str) for pair in pairs._read_texts(path) for side in pair)
        except AtinukeError as error:
            assert "held_out.jsonl is damaged" in str(error)


def test_texts_are_kept_to_the_letter(byte_tokenizer: TextEncoder, tmp_path: Path) -> None:
    odd = [("a\u2028b", 'quote " and \\ and \u0085'), ("ẹ́", "\U0001f600")]
    corpus = write_pairs(pairs_of(TRAIN), pairs_of(odd), byte_tokenizer, tmp_path / "data", max_len=100)
    assert corpus.held_out_texts == odd
    lines = (tmp_path / "data" / "held_out.jsonl").read_bytes().splitlines()
    assert json.loads(lines[0]) == {"source": odd[0][0], "target": odd[0][1]}
