"""Pairs as token ids and held-out pairs as they were, in one folder that is whole or not there.

index.json          what is in it             train/, held_out/   ids of the pairs, as shards, and offsets.npy
held_out.jsonl      {"source", "target"} …    checksums.json      sha256 of all the others
"""

import json
from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from atinuke.config import Settings, one_line, validate
from atinuke.data.corpus import CALL_CHARS, TextEncoder
from atinuke.data.documents import shown
from atinuke.data.rows import RowNotes
from atinuke.data.shards import ShardWriter, TokenShards
from atinuke.data.translations import Pair, Pairs, read_pairs, split_pairs
from atinuke.durable import CHECKSUMS, printable, read_json, verify_folder, write_folder_atomic
from atinuke.errors import ConfigError, DamagedFileError, RunFolderError, SourceError

__all__ = [
    "EncodedPairs",
    "Layout",
    "Pair",
    "PairCorpus",
    "Pairs",
    "longest_source",
    "read_pairs",
    "split_pairs",
    "write_pairs",
]

Layout: TypeAlias = Literal["encoder-decoder", "decoder-only"]
"""Source and target apart; or one sequence: source, end token, target, end token."""


class PairIndex(Settings):
    """index.json: where the pairs came from and what became of them. Bytes are of the texts that were encoded."""

    sources: tuple[str, ...]
    held_out_sources: tuple[str, ...]
    tokenizer_fingerprint: str
    layout: Layout
    max_len: int
    train_pairs: int
    train_source_tokens: int
    train_target_tokens: int
    train_bytes: int
    held_out_pairs: int
    held_out_encoded: int
    held_out_bytes: int
    skipped: tuple[tuple[str, int, tuple[str, ...]], ...]
    held_out_skipped: tuple[tuple[str, int, tuple[str, ...]], ...]


class EncodedPairs:
    """Ids of pairs, in files that are mapped into memory: source 0, target 0, source 1, target 1, …"""

    def __init__(self, folder: Path):
        self.shards = TokenShards(folder)
        path = folder / "offsets.npy"
        try:
            offsets = np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            raise DamagedFileError(f"{printable(path)} is damaged: {one_line(error)}.") from error
        is_sound = isinstance(offsets, np.ndarray) and offsets.ndim == 1 and offsets.dtype == np.int64
        is_sound = is_sound and offsets.size % 2 == 1 and offsets[0] == 0
        if not is_sound or offsets[-1] != self.shards.total_tokens or (np.diff(offsets) < 0).any():
            raise DamagedFileError(f"{printable(path)} is damaged: it does not fit the tokens beside it.")
        self.source_starts: NDArray[np.int64] = offsets[:-1:2]
        self.target_starts: NDArray[np.int64] = offsets[1::2]
        self.source_lengths: NDArray[np.int64] = self.target_starts - self.source_starts
        self.target_lengths: NDArray[np.int64] = offsets[2::2] - self.target_starts

    def __len__(self) -> int:
        return len(self.source_starts)

    def at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The tokens at these places, in the same shape."""
        return self.shards.at(places)

    def pair(self, number: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """The ids of one pair."""
        source, target = int(self.source_starts[number]), int(self.target_starts[number])
        lengths = int(self.source_lengths[number]), int(self.target_lengths[number])
        return self.shards.window(source, lengths[0]), self.shards.window(target, lengths[1])


@dataclass(frozen=True)
class PairCorpus:
    """Encoded pairs, open for reading."""

    folder: Path
    train: EncodedPairs
    held_out: EncodedPairs
    """Those held-out pairs that fit the network, for estimates on the way."""
    held_out_texts: list[Pair]
    """All of them, to be translated and scored."""
    index: PairIndex
    fingerprint: str
    """Changes with any byte of the corpus."""

    @property
    def facts(self) -> dict[str, Any]:
        """The index as JSON."""
        return self.index.model_dump(mode="json")

    @classmethod
    def open(cls, folder: Path, verify: bool = True) -> "PairCorpus":
        """The pairs in `folder`. DamagedFileError names a file that is missing or not what was written.

        `verify=False` spares reading the shards through; their lengths are looked at anyway.
        """
        if not folder.is_dir():
            raise RunFolderError(f"{printable(folder)} does not exist; expected the encoded pairs of a run.")
        try:
            verify_folder(folder, () if verify else ("index.json", "held_out.jsonl", "train/index.json"))
            return cls(
                folder=folder,
                train=EncodedPairs(folder / "train"),
                held_out=EncodedPairs(folder / "held_out"),
                held_out_texts=_read_texts(folder / "held_out.jsonl"),
                index=validate(PairIndex, read_json(folder / "index.json")),
                fingerprint=str(read_json(folder / CHECKSUMS)["sha256"]),
            )
        except (DamagedFileError, ConfigError) as error:
            raise DamagedFileError(
                f"{one_line(error)}. Delete {printable(folder)} and run the same command again: it is built anew."
            ) from error


def write_pairs(
    train: Pairs,
    held_out: Pairs,
    tokenizer: TextEncoder,
    folder: Path,
    *,
    max_len: int,
    layout: Layout = "encoder-decoder",
) -> PairCorpus:
    """Encode the pairs into `folder`, with the held-out texts beside them; whole or not at all.

    Pairs that the network cannot take, as it reads at most `max_len` tokens at once, are counted skips (of the
    held-out pairs only the ids are left out). SourceError when none is left of the one or the other.
    """

    def fill(temporary: Path) -> None:
        notes, test_notes = deepcopy(train.notes), deepcopy(held_out.notes)
        kept, tokens = _encode(train, tokenizer, temporary / "train", max_len, layout, notes)
        if not kept:
            raise _nothing_fits(len(train), "", notes)
        test_kept, _ = _encode(held_out, tokenizer, temporary / "held_out", max_len, layout, test_notes)
        if not test_kept:
            raise _nothing_fits(len(held_out), "held-out ", test_notes)
        with open(temporary / "held_out.jsonl", "xb") as file:
            for source, target in held_out.pairs:
                row = json.dumps({"source": source, "target": target}, ensure_ascii=False)
                file.write(row.encode() + b"\n")
        index = PairIndex(
            sources=tuple(map(printable, train.specs)),
            held_out_sources=tuple(map(printable, held_out.specs)),
            tokenizer_fingerprint=tokenizer.fingerprint(),
            layout=layout,
            max_len=max_len,
            train_pairs=len(kept),
            train_source_tokens=tokens[0],
            train_target_tokens=tokens[1],
            train_bytes=_byte_count(kept),
            held_out_pairs=len(held_out),
            held_out_encoded=len(test_kept),
            held_out_bytes=_byte_count(held_out.pairs),
            skipped=notes.facts(),
            held_out_skipped=test_notes.facts(),
        )
        (temporary / "index.json").write_text(index.to_json(), encoding="utf-8")

    write_folder_atomic(folder, fill)
    return PairCorpus.open(folder, verify=False)


def _encode(
    pairs: Pairs, tokenizer: TextEncoder, folder: Path, max_len: int, layout: Layout, notes: RowNotes
) -> tuple[list[Pair], tuple[int, int]]:
    """Write the ids of all pairs that fit; those pairs, and how many tokens their sources and targets have."""
    kept: list[Pair] = []
    lengths: list[int] = []
    first = 1
    with ShardWriter(folder, tokenizer.vocab_size, tokenizer_fingerprint=tokenizer.fingerprint()) as writer:
        for group in _groups(pairs.pairs):
            sources = tokenizer.encode_batch([source for source, _ in group])
            targets = tokenizer.encode_batch([target for _, target in group])
            ids: list[NDArray[np.integer]] = []
            for number, (pair, source, target) in enumerate(zip(group, sources, targets, strict=True), start=first):
                reason = _misfit(len(source), len(target), max_len, layout)
                if reason:
                    notes.skip(reason, f"pair {number}: {shown(pair[0][:40])}")
                    continue
                ids += (source, target)
                lengths += (len(source), len(target))
                kept.append(pair)
            first += len(group)
            if ids:
                writer.add(np.concatenate(ids))
        writer.close()
    np.save(folder / "offsets.npy", np.cumsum([0, *lengths], dtype=np.int64), allow_pickle=False)
    return kept, (sum(lengths[::2]), sum(lengths[1::2]))


def longest_source(max_len: int, layout: Layout) -> int:
    """Tokens of the longest source that is learned from and translated; in one sequence the target has the other half.

    The same for both, so that every source that is translated is of a length that was learned.
    """
    return max_len // 2 if layout == "decoder-only" else max_len


def _nothing_fits(count: int, which: str, notes: RowNotes) -> SourceError:
    return SourceError(
        f"None of the {count:,} {which}pairs fits the network: {'; '.join(notes.counts)}. "
        "Give shorter texts, or a larger --set model.context."
    )


def _groups(pairs: list[Pair]) -> Iterator[list[Pair]]:
    """The pairs in groups of about CALL_CHARS characters."""
    group: list[Pair] = []
    chars = 0
    for source, target in pairs:
        group.append((source, target))
        chars += len(source) + len(target)
        if chars >= CALL_CHARS:
            yield group
            group, chars = [], 0
    if group:
        yield group


def _misfit(source: int, target: int, max_len: int, layout: Layout) -> str:
    """Why a pair of these lengths in tokens cannot be learned from; "" when it can."""
    if not source or not target:
        return "a side without tokens"
    if source > longest_source(max_len, layout):
        return f"source longer than {'half of ' if layout == 'decoder-only' else ''}max_len {max_len}"
    if layout == "decoder-only":
        return "" if source + 1 + target <= max_len else f"source and target together longer than max_len {max_len}"
    return "" if target + 1 <= max_len else f"target longer than max_len {max_len}"  # a start token precedes it


def _byte_count(pairs: Sequence[Pair]) -> int:
    return sum(len(source.encode()) + len(target.encode()) for source, target in pairs)


def _read_texts(path: Path) -> list[Pair]:
    try:
        with open(path, "rb") as lines:
            rows = [json.loads(line) for line in lines]
        return [(str(row["source"]), str(row["target"])) for row in rows]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedFileError(f"{printable(path)} is damaged: {one_line(error)}") from error
