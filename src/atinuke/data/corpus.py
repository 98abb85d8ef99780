"""Training text as token shards and held-out text as it was, in one folder that is whole or not there.

index.json          what is in it            train/index.json        counts and checksums of the shards
validation.jsonl    {"text": …} per text     train/tokens-00000.bin  token ids
checksums.json      sha256 of all the others
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from atinuke.config import Settings, one_line, validate
from atinuke.data.documents import Document
from atinuke.data.shards import ShardWriter, TokenShards
from atinuke.data.sources import Sources
from atinuke.data.split import Scan, training_documents
from atinuke.durable import CHECKSUMS, printable, read_json, verify_folder, write_folder_atomic
from atinuke.errors import ConfigError, DamagedFileError, RunFolderError
from atinuke.tokenizers.splitting import cut

CALL_CHARS = 1_000_000
"""Text given to the tokenizer at once: enough to keep its threads busy, little enough for memory (its encodings take
some hundred bytes a token)."""


class TextEncoder(Protocol):
    """What is needed of a tokenizer."""

    @property
    def vocab_size(self) -> int: ...
    @property
    def end_id(self) -> int: ...
    def encode_batch(self, texts: Sequence[str], /) -> Sequence[NDArray[np.integer]]: ...
    def fingerprint(self) -> str: ...


class CorpusIndex(Settings):
    """index.json: where the text came from and what became of it. `train_bytes` are those that were encoded."""

    sources: tuple[str, ...]
    is_single_text: bool
    tokenizer_fingerprint: str
    train_tokens: int
    train_bytes: int
    train_documents: int
    validation_bytes: int
    validation_documents: int
    documents: int
    duplicates: int
    near_duplicates: int
    available_train_bytes: int
    max_bytes: int | None
    files: int
    files_found: int
    files_chosen: int
    skipped: tuple[tuple[str, str], ...]
    skipped_files: int
    skipped_lines: int
    re_encoded: tuple[tuple[str, str], ...]
    re_encoded_files: int


@dataclass(frozen=True)
class Corpus:
    """An encoded corpus, open for reading."""

    folder: Path
    shards: TokenShards
    validation: list[str]
    index: CorpusIndex
    fingerprint: str
    """Changes with any byte of the corpus."""

    @property
    def is_single_text(self) -> bool:
        """Whether the held-out text goes on where the training text ends."""
        return self.index.is_single_text

    @property
    def facts(self) -> dict[str, Any]:
        """The index as JSON."""
        return self.index.model_dump(mode="json")

    @classmethod
    def open(cls, folder: Path, verify: bool = True) -> "Corpus":
        """The corpus in `folder`. DamagedFileError names a file that is missing or not what was written.

        `verify=False` spares reading the shards through; their lengths are looked at anyway.
        """
        if not folder.is_dir():
            raise RunFolderError(f"{printable(folder)} does not exist; expected the encoded text of a run.")
        try:
            verify_folder(folder, () if verify else ("index.json", "validation.jsonl", "train/index.json"))
            index = validate(CorpusIndex, read_json(folder / "index.json"))
            return cls(
                folder=folder,
                shards=TokenShards(folder / "train"),
                validation=list(_read_texts(folder / "validation.jsonl")),
                index=index,
                fingerprint=str(read_json(folder / CHECKSUMS)["sha256"]),
            )
        except (DamagedFileError, ConfigError) as error:
            raise DamagedFileError(
                f"{one_line(error)}. Delete {printable(folder)} and run the same command again: it is built anew."
            ) from error


def write_corpus(
    sources: Sources, scan: Scan, tokenizer: TextEncoder, folder: Path, *, max_bytes: int | None = None
) -> Corpus:
    """Encode the training text into `folder`, with the held-out text beside it; whole or not at all.

    Each document ends with the tokenizer's end token, except that a single text has none. A folder that stands there
    is replaced. `max_bytes`: see `training_documents`.
    """

    def fill(temporary: Path) -> None:
        fingerprint = tokenizer.fingerprint()
        with ShardWriter(temporary / "train", tokenizer.vocab_size, tokenizer_fingerprint=fingerprint) as writer:
            counts = _encode(training_documents(sources, scan, max_bytes=max_bytes), scan, tokenizer, writer)
            tokens = writer.close().total_tokens
        with open(temporary / "validation.jsonl", "xb") as file:
            _write_texts(file, scan.validation)
        index = _index(sources, scan, fingerprint, tokens, *counts, max_bytes)
        (temporary / "index.json").write_text(index.to_json(), encoding="utf-8")

    write_folder_atomic(folder, fill)
    return Corpus.open(folder, verify=False)


def _encode(documents: Iterator[Document], scan: Scan, tokenizer: TextEncoder, writer: ShardWriter) -> tuple[int, int]:
    """Write the ids of all documents; how many documents and bytes those were."""
    end = np.array([] if scan.is_single_text else [tokenizer.end_id], dtype=np.int64)
    waiting: list[tuple[str, bool]] = []  # (text, whether a document ends with it)
    waiting_chars = document_count = byte_count = 0

    def flush() -> None:
        encoded = tokenizer.encode_batch([text for text, _ in waiting])
        for ids, (_, is_end) in zip(encoded, waiting, strict=True):
            writer.add(np.concatenate([ids, end]) if is_end else ids)
        waiting.clear()

    for document in documents:
        document_count += document.is_last
        byte_count += len(document.text.encode())
        chunks = list(cut(document.text))  # where it leaves the ids as they are
        for number, chunk in enumerate(chunks, start=1):
            waiting.append((chunk, document.is_last and number == len(chunks)))
            waiting_chars += len(chunk)
            if waiting_chars >= CALL_CHARS:
                flush()
                waiting_chars = 0
    flush()
    return document_count, byte_count


def _index(
    sources: Sources, scan: Scan, fingerprint: str, tokens: int, documents: int, size: int, max_bytes: int | None
) -> CorpusIndex:
    return CorpusIndex(
        sources=tuple(printable(spec) for spec in sources.specs),
        is_single_text=scan.is_single_text,
        tokenizer_fingerprint=fingerprint,
        train_tokens=tokens,
        train_bytes=size,
        train_documents=documents,
        validation_bytes=scan.validation_bytes,
        validation_documents=len(scan.validation),
        documents=scan.documents,
        duplicates=scan.duplicates,
        near_duplicates=scan.near_duplicates,
        available_train_bytes=scan.train_bytes,
        max_bytes=max_bytes,
        files=scan.notes.files,
        files_found=scan.notes.files_found,
        files_chosen=scan.notes.files_chosen,
        skipped=tuple(scan.notes.skipped),
        skipped_files=scan.notes.skipped_files,
        skipped_lines=scan.notes.skipped_lines,
        re_encoded=tuple(scan.notes.re_encoded),
        re_encoded_files=scan.notes.re_encoded_count,
    )


def _write_texts(file: IO[bytes], texts: Sequence[str]) -> None:
    for text in texts:
        file.write(json.dumps({"text": text}, ensure_ascii=False).encode() + b"\n")


def _read_texts(path: Path) -> Iterator[str]:
    try:
        with open(path, "rb") as lines:
            for line in lines:
                yield str(json.loads(line)["text"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedFileError(f"{printable(path)} is damaged: {one_line(error)}") from error
