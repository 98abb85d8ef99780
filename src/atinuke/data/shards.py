"""Token ids on the disk: plain little-endian integers in files of bounded length, mapped into memory to be read."""

import hashlib
from pathlib import Path
from typing import IO, Literal, Self

import numpy as np
from numpy.typing import NDArray

from atinuke.config import Settings, validate
from atinuke.durable import printable, read_json, sha256_file
from atinuke.errors import ConfigError, DamagedFileError

SHARD_TOKENS = 2**27
INDEX = "index.json"


class Shard(Settings):
    """One file of tokens."""

    name: str
    tokens: int
    sha256: str


class ShardIndex(Settings):
    """index.json beside the shards."""

    dtype: Literal["uint16", "uint32"]
    vocab_size: int
    tokenizer_fingerprint: str
    total_tokens: int
    shards: tuple[Shard, ...]


def dtype_for(vocab_size: int) -> Literal["uint16", "uint32"]:
    """The shorter type that holds every id below `vocab_size`."""
    return "uint16" if vocab_size <= 2**16 else "uint32"


class ShardWriter:
    """Appends ids to tokens-00000.bin, tokens-00001.bin, … and writes index.json when closed.

    A failing disk is an OSError; whoever makes the folder as a whole knows what to say then.
    """

    def __init__(
        self, folder: Path, vocab_size: int, *, tokenizer_fingerprint: str = "", shard_tokens: int = SHARD_TOKENS
    ):
        self._folder = folder
        self._vocab_size = vocab_size
        self._fingerprint = tokenizer_fingerprint
        self._shard_tokens = shard_tokens
        self._dtype = dtype_for(vocab_size)
        self._shards: list[Shard] = []
        self._file: IO[bytes] | None = None
        self._digest = hashlib.sha256()
        self._tokens = 0  # in the open file
        folder.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Closes the open file; `close` alone completes the shards."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def add(self, ids: NDArray[np.integer]) -> None:
        """Append ids, each from 0 to vocab_size − 1."""
        if not ids.size:
            return
        assert 0 <= ids.min() and ids.max() < self._vocab_size, "an id outside the vocabulary"
        data = ids.astype(np.dtype(self._dtype).newbyteorder("<"))
        while data.size:
            file = self._open()
            piece = data[: self._shard_tokens - self._tokens]
            file.write(piece.data)
            self._digest.update(piece.data)
            self._tokens += piece.size
            data = data[piece.size :]
            if self._tokens == self._shard_tokens:
                self._finish_shard()

    def close(self) -> ShardIndex:
        """Write what is pending and the index."""
        if self._file is not None:
            self._finish_shard()
        index = ShardIndex(
            dtype=self._dtype,
            vocab_size=self._vocab_size,
            tokenizer_fingerprint=self._fingerprint,
            total_tokens=sum(shard.tokens for shard in self._shards),
            shards=tuple(self._shards),
        )
        (self._folder / INDEX).write_text(index.to_json(), encoding="utf-8")
        return index

    def _name(self) -> str:
        return f"tokens-{len(self._shards):05d}.bin"

    def _open(self) -> IO[bytes]:
        if self._file is None:
            self._file = open(self._folder / self._name(), "xb")
        return self._file

    def _finish_shard(self) -> None:
        assert self._file is not None
        self._file.close()
        self._shards.append(Shard(name=self._name(), tokens=self._tokens, sha256=self._digest.hexdigest()))
        self._file, self._digest, self._tokens = None, hashlib.sha256(), 0


class TokenShards:
    """All tokens of a folder of shards as one sequence. Opening checks the lengths; `verify` the content."""

    def __init__(self, folder: Path):
        self.folder = folder
        self.index = _read_index(folder / INDEX)
        self.total_tokens = self.index.total_tokens
        self.dtype = np.dtype(self.index.dtype).newbyteorder("<")
        self._maps = [self._map(shard) for shard in self.index.shards]
        self._starts = np.cumsum([0, *(shard.tokens for shard in self.index.shards)])
        if self._starts[-1] != self.total_tokens:
            raise DamagedFileError(f"{printable(folder / INDEX)} is damaged: its counts contradict each other.")

    def verify(self) -> None:
        """DamagedFileError naming the first shard whose content is not what was written."""
        for shard in self.index.shards:
            path = self.folder / shard.name
            if sha256_file(path) != shard.sha256:
                raise DamagedFileError(f"{printable(path)} is damaged: its checksum differs from what was written.")

    def window(self, start: int, length: int) -> NDArray[np.int64]:
        """`length` tokens from `start` on, across the edges of files; all of them have to exist."""
        if start < 0 or length < 0 or start + length > self.total_tokens:
            raise ValueError(f"tokens {start} to {start + length} were asked for; there are {self.total_tokens}.")
        return self.at(np.arange(start, start + length))

    def at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The tokens at these places, in the same shape."""
        if len(self._maps) == 1:
            return self._maps[0][places].astype(np.int64)
        numbers = np.searchsorted(self._starts, places, side="right") - 1
        tokens = np.empty(places.shape, dtype=np.int64)
        for number in np.unique(numbers):
            is_here = numbers == number
            tokens[is_here] = self._maps[number][places[is_here] - self._starts[number]]
        return tokens

    def _map(self, shard: Shard) -> NDArray[np.unsignedinteger]:
        path = self.folder / shard.name
        expected = shard.tokens * self.dtype.itemsize
        if not path.is_file():
            raise DamagedFileError(f"{printable(path)} is missing.")
        if path.stat().st_size != expected:
            raise DamagedFileError(
                f"{printable(path)} is damaged: it has {path.stat().st_size} bytes; {expected} were written."
            )
        # A plain view of the map: each indexing of np.memmap itself costs more than the gather.
        return np.asarray(np.memmap(path, dtype=self.dtype, mode="r"))


def _read_index(path: Path) -> ShardIndex:
    if not path.is_file():
        raise DamagedFileError(f"{printable(path)} is missing.")
    try:
        return validate(ShardIndex, read_json(path))
    except ConfigError as error:
        raise DamagedFileError(f"{printable(path)} is damaged: {error}") from error
