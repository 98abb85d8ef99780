import json
import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.data.shards import ShardWriter, TokenShards, dtype_for
from atinuke.errors import DamagedFileError


def write(folder: Path, chunks: list[list[int]], vocab_size: int = 300, shard_tokens: int = 7) -> TokenShards:
    with ShardWriter(folder, vocab_size, tokenizer_fingerprint="abc", shard_tokens=shard_tokens) as writer:
        for chunk in chunks:
            writer.add(np.array(chunk, dtype=np.int32))
        writer.close()
    return TokenShards(folder)


@given(
    st.lists(st.lists(st.integers(0, 299), max_size=30), max_size=8),
    st.integers(1, 20),
    st.integers(0, 250),
    st.integers(0, 250),
)
def test_every_window_is_what_was_added_across_the_edges_of_files(
    chunks: list[list[int]], shard_tokens: int, start: int, length: int
) -> None:
    tokens = [token for chunk in chunks for token in chunk]
    with tempfile.TemporaryDirectory() as folder:
        shards = write(Path(folder), chunks, shard_tokens=shard_tokens)
        assert shards.total_tokens == len(tokens)
        assert len(shards.index.shards) == -(-len(tokens) // shard_tokens)
        shards.verify()
        assert shards.window(0, len(tokens)).tolist() == tokens
        if start + length <= len(tokens):
            window = shards.window(start, length)
            assert window.dtype == np.int64
            assert window.tolist() == tokens[start : start + length]
        else:
            with pytest.raises(ValueError, match="were asked for"):
                shards.window(start, length)


@pytest.mark.parametrize("shard_tokens", [6, 1000])
def test_places_are_gathered_in_their_own_shape(shard_tokens: int, tmp_path: Path) -> None:
    shards = write(tmp_path, [list(range(100))], shard_tokens=shard_tokens)
    places = np.array([[0, 5, 6], [99, 50, 7]])
    assert shards.at(places).tolist() == places.tolist()


@pytest.mark.parametrize(("vocab_size", "dtype", "bytes_each"), [(65_536, "uint16", 2), (65_537, "uint32", 4)])
def test_the_type_is_the_shortest_that_holds_the_vocabulary(
    vocab_size: int, dtype: str, bytes_each: int, tmp_path: Path
) -> None:
    assert dtype_for(vocab_size) == dtype
    shards = write(tmp_path, [[0, vocab_size - 1]], vocab_size=vocab_size)
    assert shards.window(0, 2).tolist() == [0, vocab_size - 1]
    assert (tmp_path / "tokens-00000.bin").stat().st_size == 2 * bytes_each
    assert (tmp_path / "tokens-00000.bin").read_bytes()[:bytes_each] == b"\0" * bytes_each


def test_files_are_little_endian_and_the_index_says_what_is_in_them(tmp_path: Path) -> None:
    write(tmp_path, [[1, 2, 258]], shard_tokens=2)
    assert (tmp_path / "tokens-00000.bin").read_bytes() == b"\x01\0\x02\0"
    assert (tmp_path / "tokens-00001.bin").read_bytes() == b"\x02\x01"
    index = json.loads((tmp_path / "index.json").read_text())
    assert (index["dtype"], index["total_tokens"], index["tokenizer_fingerprint"]) == ("uint16", 3, "abc")
    assert [(shard["name"], shard["tokens"]) for shard in index["shards"]] == [
        ("tokens-00000.bin", 2),
        ("tokens-00001.bin", 1),
    ]


@pytest.mark.parametrize("ids", [[300], [-1]])
def test_an_id_outside_the_vocabulary_is_our_own_fault(ids: list[int], tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="outside the vocabulary"):
        write(tmp_path, [ids])


def test_a_missing_shortened_or_changed_shard_is_named(tmp_path: Path) -> None:
    write(tmp_path, [list(range(20))])
    path = tmp_path / "tokens-00001.bin"
    good = path.read_bytes()
    path.write_bytes(good[:-1])
    with pytest.raises(DamagedFileError, match=r"tokens-00001\.bin is damaged: it has 13 bytes; 14 were written"):
        TokenShards(tmp_path)
    path.write_bytes(good[:-1] + b"\1")
    with pytest.raises(DamagedFileError, match=r"tokens-00001\.bin is damaged: its checksum"):
        TokenShards(tmp_path).verify()
    path.unlink()
    with pytest.raises(DamagedFileError, match=r"tokens-00001\.bin is missing"):
        TokenShards(tmp_path)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"dtype": "object"}', "\xff"])
def test_an_index_that_is_none_is_damage(content: str, tmp_path: Path) -> None:
    write(tmp_path, [[1]])
    (tmp_path / "index.json").write_bytes(content.encode("latin-1"))
    with pytest.raises(DamagedFileError, match=r"index\.json"):
        TokenShards(tmp_path)


def test_an_index_whose_counts_contradict_each_other_is_damage(tmp_path: Path) -> None:
    write(tmp_path, [[1, 2, 3]])
    text = (tmp_path / "index.json").read_text()
    (tmp_path / "index.json").write_text(text.replace('"total_tokens": 3', '"total_tokens": 4'))
    with pytest.raises(DamagedFileError, match="contradict"):
        TokenShards(tmp_path)
