import hashlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from atinuke.data.corpus import Corpus, TextEncoder, write_corpus
from atinuke.data.sources import Sources
from atinuke.data.split import SplitRules, scan, training_documents
from atinuke.errors import AtinukeError, DamagedFileError, RunFolderError, SourceError
from atinuke.tokenizers import train_tokenizer

InMemory = Callable[..., Sources]
LINE = "Each of these lines is different from all the others: number {}, é 猫.\n"
TEXTS = ["".join(LINE.format(number * 100 + line) for line in range(20)) for number in range(30)]


def build(sources: Sources, tokenizer: TextEncoder, folder: Path, **options: Any) -> Corpus:
    return write_corpus(sources, scan(sources, SplitRules(), sample_bytes=1000), tokenizer, folder, **options)


def decoded(corpus: Corpus) -> bytes:
    """The training text; the end of a document as a form feed."""
    ids = corpus.shards.window(0, corpus.shards.total_tokens)
    return np.where(ids == 256, 12, ids).astype(np.uint8).tobytes()


def test_a_corpus_holds_the_training_text_with_an_end_after_each_document(
    in_memory: InMemory, byte_tokenizer: TextEncoder, tmp_path: Path
) -> None:
    sources = in_memory(TEXTS, 333)
    corpus = build(sources, byte_tokenizer, tmp_path / "data")
    kept = [text for text in TEXTS if text not in corpus.validation]
    assert decoded(corpus).decode() == "".join(text + "\f" for text in kept)
    assert len(corpus.validation) == 3
    assert not corpus.is_single_text
    facts = corpus.facts
    assert facts["train_bytes"] == facts["available_train_bytes"] == sum(len(text.encode()) for text in kept)
    assert (facts["documents"], facts["train_documents"], facts["validation_documents"]) == (30, 27, 3)
    assert facts["train_tokens"] == corpus.shards.total_tokens == facts["train_bytes"] + 27
    assert facts["tokenizer_fingerprint"] == corpus.shards.index.tokenizer_fingerprint == "bytes"


@pytest.mark.parametrize("part_chars", [500, 10**9])
def test_a_single_text_has_no_end_inside(
    part_chars: int, in_memory: InMemory, byte_tokenizer: TextEncoder, tmp_path: Path
) -> None:
    text = "".join(TEXTS)
    corpus = build(in_memory([text], part_chars), byte_tokenizer, tmp_path / "data")
    assert decoded(corpus).decode() + corpus.validation[0] == text
    assert corpus.is_single_text


def test_reopening_gives_the_same_corpus(in_memory: InMemory, byte_tokenizer: TextEncoder, tmp_path: Path) -> None:
    corpus = build(in_memory(TEXTS), byte_tokenizer, tmp_path / "data")
    again = Corpus.open(tmp_path / "data")
    assert decoded(again) == decoded(corpus)
    assert (again.validation, again.index, again.fingerprint) == (corpus.validation, corpus.index, corpus.fingerprint)


def test_equal_input_gives_an_equal_fingerprint_and_other_input_another(
    in_memory: InMemory, byte_tokenizer: TextEncoder, tmp_path: Path
) -> None:
    prints = [
        build(in_memory(texts), byte_tokenizer, tmp_path / str(number)).fingerprint
        for number, texts in enumerate([TEXTS, TEXTS, TEXTS[:-1]])
    ]
    assert prints[0] == prints[1] != prints[2]


def test_odd_characters_in_held_out_text_survive_the_disk(
    in_memory: InMemory, byte_tokenizer: TextEncoder, tmp_path: Path
) -> None:
    odd = '\u2028\x85\x0b\x00\x1c \r\r\n"\\𝄞\ufeff' * 100
    corpus = build(in_memory([odd]), byte_tokenizer, tmp_path / "data")
    assert decoded(corpus).decode() + Corpus.open(tmp_path / "data").validation[0] == odd


def test_max_bytes_encodes_that_much(in_memory: InMemory, byte_tokenizer: TextEncoder, tmp_path: Path) -> None:
    sources = in_memory(TEXTS)
    corpus = build(sources, byte_tokenizer, tmp_path / "data", max_bytes=5000)
    result = scan(sources, SplitRules(), sample_bytes=1000)
    texts = [document.text + "\f" for document in training_documents(sources, result, max_bytes=5000)]
    assert decoded(corpus).decode() == "".join(texts)
    assert corpus.facts["train_bytes"] == 5000
    assert corpus.facts["max_bytes"] == 5000


def test_our_tokenizers_give_the_ids_of_the_whole_text(in_memory: InMemory, tmp_path: Path) -> None:
    text = "".join(TEXTS) * 5
    tokenizer = train_tokenizer("bpe", [text], 400)
    corpus = build(in_memory([text]), tokenizer, tmp_path / "data")
    ids = corpus.shards.window(0, corpus.shards.total_tokens)
    assert tokenizer.decode(ids) + corpus.validation[0] == text
    assert np.array_equal(ids, tokenizer.encode(text[: -len(corpus.validation[0])]))


def test_what_was_skipped_and_re_encoded_stays_on_record(byte_tokenizer: TextEncoder, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").write_bytes("déjà vu ".encode("cp1252") * 50)
    (tmp_path / "in" / "b.bin").write_bytes(b"\0")
    corpus = build(Sources([str(tmp_path / "in")]), byte_tokenizer, tmp_path / "data")
    facts = json.loads(json.dumps(corpus.facts))
    assert facts["skipped"] == [[f"{tmp_path}/in/b.bin", "binary: a NUL byte at byte 0"]]
    assert facts["re_encoded"] == [[f"{tmp_path}/in/a.txt", "cp1252"]]
    assert (facts["files"], facts["files_found"], facts["skipped_files"]) == (1, 2, 1)


# --- Damage ---


def test_every_damaged_file_is_named_and_the_way_out_too(
    in_memory: InMemory, byte_tokenizer: TextEncoder, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    build(in_memory(TEXTS), byte_tokenizer, folder)
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    assert [str(path.relative_to(folder)) for path in files] == [
        "checksums.json",
        "index.json",
        "train/index.json",
        "train/tokens-00000.bin",
        "validation.jsonl",
    ]
    for path in files:
        good = path.read_bytes()
        for bad in (
            good[:-3],
            b"",
            good[: len(good) // 2] + bytes([good[len(good) // 2] ^ 1]) + good[len(good) // 2 + 1 :],
            None,
        ):
            if bad is None:
                path.unlink()
            else:
                path.write_bytes(bad)
            with pytest.raises(DamagedFileError, match=rf"{path.name}.*Delete .*data and run the same") as caught:
                Corpus.open(folder)
            assert str(caught.value).isprintable()
            path.write_bytes(good)
    Corpus.open(folder)


def test_flipped_bits_anywhere_in_a_corpus_are_found(
    in_memory: InMemory, byte_tokenizer: TextEncoder, tmp_path: Path
) -> None:
    folder = tmp_path / "data"
    corpus = build(in_memory(TEXTS), byte_tokenizer, folder)
    noise = np.random.default_rng(0)
    for path in [path for path in sorted(folder.rglob("*")) if path.is_file()]:
        good = bytearray(path.read_bytes())
        for place, bit in zip(noise.integers(0, len(good), 40), noise.integers(0, 8, 40), strict=True):
            good[place] ^= 1 << bit
            path.write_bytes(good)
            try:
                again = Corpus.open(folder)
                assert path.name == "checksums.json"  # white space there
                assert (again.fingerprint, decoded(again)) == (corpus.fingerprint, decoded(corpus))
            except DamagedFileError as error:
                assert path.name in str(error)
            good[place] ^= 1 << bit
            path.write_bytes(good)


def test_without_verifying_lengths_are_still_looked_at(
    in_memory: InMemory, byte_tokenizer: TextEncoder, tmp_path: Path
) -> None:
    build(in_memory(TEXTS), byte_tokenizer, tmp_path)
    shard = tmp_path / "train" / "tokens-00000.bin"
    shard.write_bytes(shard.read_bytes()[:-2])
    with pytest.raises(DamagedFileError, match="tokens-00000"):
        Corpus.open(tmp_path, verify=False)


def test_a_folder_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match="does not exist"):
        Corpus.open(tmp_path / "data")


# --- Interrupted writing ---


class FailsLater:
    """A tokenizer that stops with an error after some calls."""

    vocab_size, end_id = 257, 256

    def __init__(self, error: BaseException):
        self.error = error
        self.calls = 0

    def encode_batch(self, texts: list[str]) -> list[np.ndarray]:
        self.calls += 1
        if self.calls > 2:
            raise self.error
        return [np.zeros(len(text), dtype=np.int32) for text in texts]

    def fingerprint(self) -> str:
        return "fails"


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt(), SourceError("gone")])
def test_when_writing_stops_nothing_half_written_stays_and_the_old_corpus_does(
    error: BaseException,
    in_memory: InMemory,
    byte_tokenizer: TextEncoder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("atinuke.data.corpus.CALL_CHARS", 100)
    folder = tmp_path / "data"
    for expected in (None, build(in_memory(TEXTS[:3]), byte_tokenizer, folder)):
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(RunFolderError if isinstance(error, OSError) else type(error)) as caught:
            build(in_memory(TEXTS), FailsLater(error), folder)
        if isinstance(error, OSError):
            assert "data cannot be written: No space left on device" in str(caught.value)
        assert sorted(tmp_path.rglob("*")) == before
        if expected is not None:
            assert Corpus.open(folder).fingerprint == expected.fingerprint


FILLS_THE_DISK = """
import resource, sys
import numpy as np
from pathlib import Path
from atinuke.data.corpus import write_corpus
from atinuke.data.sources import Sources
from atinuke.data.split import SplitRules, scan
from atinuke.errors import RunFolderError

class Bytes:
    vocab_size, end_id = 257, 256
    def encode_batch(self, texts): return [np.frombuffer(text.encode(), dtype=np.uint8) for text in texts]
    def fingerprint(self): return "bytes"

sources = Sources([sys.argv[1]])
result = scan(sources, SplitRules(), sample_bytes=1000)
resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))
try:
    write_corpus(sources, result, Bytes(), Path(sys.argv[2]))
except RunFolderError as error:
    print(error)
"""


def test_a_disk_that_really_refuses_more_is_one_line_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "book.txt").write_text("".join(TEXTS) * 4)
    command = [sys.executable, "-c", FILLS_THE_DISK, str(tmp_path / "book.txt"), str(tmp_path / "out" / "data")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{tmp_path}/out/data cannot be written: File too large" in done.stdout
    assert done.stdout.count("\n") == 1
    assert list((tmp_path / "out").iterdir()) == []


def test_a_source_that_changes_before_encoding_is_an_error(byte_tokenizer: TextEncoder, tmp_path: Path) -> None:
    path = tmp_path / "book.txt"
    path.write_text("".join(TEXTS))
    sources = Sources([str(path)])
    result = scan(sources, SplitRules(), sample_bytes=1000)
    path.write_text("".join(TEXTS[::-1]) + "more")
    with pytest.raises(AtinukeError, match="changed"):
        write_corpus(sources, result, byte_tokenizer, tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_checksums_are_those_of_any_sha256_tool(
    in_memory: InMemory, byte_tokenizer: TextEncoder, tmp_path: Path
) -> None:
    corpus = build(in_memory(TEXTS), byte_tokenizer, tmp_path)
    shard = tmp_path / "train" / "tokens-00000.bin"
    digest = hashlib.sha256(shard.read_bytes()).hexdigest()
    assert corpus.shards.index.shards[0].sha256 == digest
    listed = json.loads((tmp_path / "checksums.json").read_text())["files"]
    assert listed["train/tokens-00000.bin"]["sha256"] == digest
