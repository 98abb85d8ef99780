"""Labelled examples in a run folder: numbers in .npy files, whole or not there.

index.json                     what is in it                 checksums.json   sha256 of all the others
labels.json                    {"labels": [text, …]}         labels-*.npy     the ids of each label
train/ and held_out/           picture.npy                   uint8 (rows, height, width, channels)
  KIND-labels.npy  int32       sound-values.npy, -ends.npy   float32 samples, one after the other, and where each ends
  KIND-prompts-*.npy           the ids that stand before the answer: the text, the question, or none
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from atinuke.config import Settings, one_line, validate
from atinuke.data.corpus import TextEncoder
from atinuke.data.example_sources import KINDS, Kind
from atinuke.data.examples import Example, Examples, ExampleSplit, PictureShape
from atinuke.durable import CHECKSUMS, printable, read_json, verify_folder, write_folder_atomic
from atinuke.errors import ConfigError, DamagedFileError, RunFolderError, SourceError

MAPPED_BYTES = 1 << 22
"""A longer array is mapped and not read: pictures are needed a few at a time."""
PARTS = ("train", "held_out")


class ExampleIndex(Settings):
    """index.json: where the examples came from and what became of them."""

    sources: tuple[str, ...]
    held_out_sources: tuple[str, ...]
    """Empty: a part of the others was drawn."""
    tokenizer_fingerprint: str
    end_id: int
    train_rows: dict[Kind, int]
    held_out_rows: dict[Kind, int]
    labels: int
    height: int | None
    width: int | None
    channels: int | None
    sample_rate_hz: int | None
    longest_sound: int
    """Samples."""
    longest_row: int
    """Tokens of the longest prompt with its answer and the end between them: what a network has to take in."""
    removed: int
    """Examples left out of training because the held-out part has the same."""
    shortened: int
    """Texts whose end was cut off to fit into max_tokens."""
    too_long: int
    """Examples left out because their question and answer alone do not fit."""
    skipped: int
    named_skips: tuple[tuple[str, str], ...]
    changes: dict[str, int]

    @property
    def picture(self) -> PictureShape | None:
        """The shape of every picture; None where there are none."""
        if self.height is None or self.width is None or self.channels is None:
            return None
        return PictureShape(self.height, self.width, self.channels)


@dataclass(frozen=True)
class Ragged:
    """Rows of different lengths, one after the other."""

    values: NDArray[Any]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.ends)

    def __getitem__(self, row: int) -> NDArray[Any]:
        start = self.ends[row - 1] if row else 0
        return self.values[start : self.ends[row]]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        return (self[row] for row in range(len(self)))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Of each row."""
        return np.diff(self.ends, prepend=0)

    @classmethod
    def of(cls, rows: Sequence[NDArray[Any]], dtype: str) -> "Ragged":
        """The same rows as one array."""
        values = np.concatenate([np.empty(0, dtype), *rows]).astype(dtype, copy=False)
        return cls(values, np.cumsum([len(row) for row in rows], dtype=np.int64))

    def save(self, folder: Path, name: str) -> None:
        """NAME-values.npy and NAME-ends.npy."""
        np.save(folder / f"{name}-values.npy", self.values, allow_pickle=False)
        np.save(folder / f"{name}-ends.npy", self.ends, allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, name: str) -> "Ragged":
        """What `save` wrote."""
        ragged = cls(_load(folder / f"{name}-values.npy"), _load(folder / f"{name}-ends.npy"))
        if (ragged.ends[-1] if len(ragged) else 0) != len(ragged.values):
            raise DamagedFileError(f"{printable(folder / name)}-ends.npy is damaged: it contradicts the values.")
        return ragged


@dataclass(frozen=True)
class ExampleRows:
    """The examples of one kind in one part."""

    content: NDArray[np.uint8] | Ragged | None
    """Pictures (rows, height, width, channels); sounds; None: a text, which stands in the prompt."""
    prompts: Ragged
    labels: NDArray[np.int32]
    """Places in `ExampleSet.labels`."""

    def __len__(self) -> int:
        return len(self.labels)


Part = Mapping[Kind, ExampleRows]


@dataclass(frozen=True)
class ExampleSet:
    """Stored examples, open for reading."""

    folder: Path
    index: ExampleIndex
    labels: tuple[str, ...]
    """All answers that there are, sorted."""
    answers: Ragged
    """The ids of each label, without an end."""
    train: Part
    held_out: Part
    fingerprint: str
    """Changes with any byte of the data."""

    @property
    def facts(self) -> dict[str, Any]:
        """The index as JSON."""
        return self.index.model_dump(mode="json")

    @classmethod
    def open(cls, folder: Path, verify: bool = True) -> "ExampleSet":
        """The examples in `folder`. DamagedFileError names a file that is missing or not what was written.

        `verify=False` spares reading the arrays through.
        """
        if not folder.is_dir():
            raise RunFolderError(f"{printable(folder)} does not exist; expected the examples of a run.")
        try:
            verify_folder(folder, () if verify else ("index.json", "labels.json"))
            index = validate(ExampleIndex, read_json(folder / "index.json"))
            labels = read_json(folder / "labels.json").get("labels")
            if not isinstance(labels, list) or len(labels) != index.labels:
                raise DamagedFileError(f"{printable(folder / 'labels.json')} is damaged: {index.labels} labels are due")
            train, held_out = (
                {kind: _load_rows(folder / part, kind) for kind in KINDS if kind in rows}
                for part, rows in zip(PARTS, (index.train_rows, index.held_out_rows), strict=True)
            )
            return cls(
                folder=folder,
                index=index,
                labels=tuple(map(str, labels)),
                answers=Ragged.load(folder, "labels"),
                train=train,
                held_out=held_out,
                fingerprint=str(read_json(folder / CHECKSUMS)["sha256"]),
            )
        except (DamagedFileError, ConfigError) as error:
            raise DamagedFileError(
                f"{one_line(error)}. Delete {printable(folder)} and run the same command again: it is built anew."
            ) from error


def write_examples(
    split: ExampleSplit,
    examples: Examples,
    tokenizer: TextEncoder,
    folder: Path,
    *,
    held_out: Examples | None = None,
    max_tokens: int | None = None,
) -> ExampleSet:
    """Encode a split of `examples` (and of `held_out`, where those were read apart) into `folder`, whole or not at all.

    A row is the prompt (a text, then its question on a line of its own), the end, and the answer. Rows longer than
    `max_tokens` lose the end of their text; where that is not enough, they are left out. Both are counted.
    """
    labels = sorted({row.label for row in (*split.train, *split.held_out)})
    answers = Ragged.of(tokenizer.encode_batch(labels), "uint32")
    places = {label: place for place, label in enumerate(labels)}
    encoder = _Encoder(tokenizer, places, answers.lengths, max_tokens)

    def fill(temporary: Path) -> None:
        counts = {}
        for part, rows in zip(PARTS, (split.train, split.held_out), strict=True):
            (temporary / part).mkdir()
            by_kind = {kind: encoder.encode([row for row in rows if row.kind == kind]) for kind in KINDS}
            counts[part] = {kind: len(kept) for kind, (kept, _) in by_kind.items() if kept}
            if not counts[part]:
                raise SourceError(
                    f"No example is left: the answers alone are longer than max_tokens, which is {max_tokens}. "
                    "Give a longer context, or examples with shorter answers."
                )
            for kind, (kept, prompts) in by_kind.items():
                if kept:
                    _save_rows(temporary / part, kind, kept, prompts, places)
        answers.save(temporary, "labels")
        (temporary / "labels.json").write_text(json.dumps({"labels": labels}, ensure_ascii=False), encoding="utf-8")
        index = _index(split, examples, held_out, tokenizer, encoder, counts, len(labels))
        (temporary / "index.json").write_text(index.to_json(), encoding="utf-8")

    write_folder_atomic(folder, fill)
    return ExampleSet.open(folder, verify=False)


class _Encoder:
    """Rows to prompts, and what had to be shortened or left out on the way."""

    def __init__(
        self, tokenizer: TextEncoder, places: Mapping[str, int], answers: NDArray[np.int64], max_tokens: int | None
    ):
        self._tokenizer = tokenizer
        self._places = places
        self._answers = answers
        self._max_tokens = max_tokens
        self.shortened = self.too_long = self.longest_row = 0

    def encode(self, rows: list[Example]) -> tuple[list[Example], list[NDArray[Any]]]:
        """The rows that fit, and the prompt of each."""
        encode = self._tokenizer.encode_batch
        texts = encode([row.content if isinstance(row.content, str) else "" for row in rows])
        questions = encode([_question(row) for row in rows])
        kept, prompts = [], []
        for row, text, question in zip(rows, texts, questions, strict=True):
            fixed = len(question) + 1 + int(self._answers[self._places[row.label]])
            least = min(len(text), 1)  # of a text something has to be left
            if self._max_tokens is not None and fixed + least > self._max_tokens:
                self.too_long += 1
                continue
            room = len(text) if self._max_tokens is None else self._max_tokens - fixed
            self.shortened += len(text) > room
            prompt = np.concatenate([text[:room], question])
            self.longest_row = max(self.longest_row, len(prompt) - len(question) + fixed)
            kept.append(row)
            prompts.append(prompt)
        return kept, prompts


def _question(row: Example) -> str:
    return f"\n{row.question}" if row.question and row.kind == "text" else row.question


def _index(
    split: ExampleSplit,
    examples: Examples,
    held_out: Examples | None,
    tokenizer: TextEncoder,
    encoder: _Encoder,
    counts: Mapping[str, dict[Kind, int]],
    labels: int,
) -> ExampleIndex:
    read = [examples, *([held_out] if held_out else [])]
    shape = examples.picture
    changes: dict[str, int] = {}
    for each in read:
        for what, count in each.notes.change_counts.items():
            changes[what] = changes.get(what, 0) + count
    sounds = [len(row.content) for row in (*split.train, *split.held_out) if row.kind == "sound"]
    return ExampleIndex(
        sources=tuple(printable(spec) for spec in examples.specs),
        held_out_sources=tuple(printable(spec) for spec in held_out.specs) if held_out else (),
        tokenizer_fingerprint=tokenizer.fingerprint(),
        end_id=tokenizer.end_id,
        train_rows=counts["train"],
        held_out_rows=counts["held_out"],
        labels=labels,
        height=shape and shape.height,
        width=shape and shape.width,
        channels=shape and shape.channels,
        sample_rate_hz=examples.sample_rate_hz,
        longest_sound=max(sounds, default=0),
        longest_row=encoder.longest_row,
        removed=split.removed,
        shortened=encoder.shortened,
        too_long=encoder.too_long,
        skipped=sum(each.notes.skipped for each in read),
        named_skips=tuple(skip for each in read for skip in each.notes.named),
        changes=changes,
    )


def _save_rows(
    folder: Path, kind: Kind, rows: Sequence[Example], prompts: Sequence[NDArray[Any]], places: Mapping[str, int]
) -> None:
    contents = [row.content for row in rows if not isinstance(row.content, str)]
    if kind == "picture":
        np.save(folder / "picture.npy", np.stack(contents), allow_pickle=False)
    elif kind == "sound":
        Ragged.of(contents, "float32").save(folder, "sound")
    Ragged.of(prompts, "uint32").save(folder, f"{kind}-prompts")
    labels = np.array([places[row.label] for row in rows], dtype=np.int32)
    np.save(folder / f"{kind}-labels.npy", labels, allow_pickle=False)


def _load_rows(folder: Path, kind: Kind) -> ExampleRows:
    content: NDArray[np.uint8] | Ragged | None = None
    if kind == "picture":
        content = _load(folder / "picture.npy")
    elif kind == "sound":
        content = Ragged.load(folder, "sound")
    return ExampleRows(content, Ragged.load(folder, f"{kind}-prompts"), _load(folder / f"{kind}-labels.npy"))


def _load(path: Path) -> NDArray[Any]:
    try:
        is_long = path.stat().st_size > MAPPED_BYTES
        array = np.load(path, mmap_mode="r" if is_long else None, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DamagedFileError(f"{printable(path)} is missing or damaged: {one_line(error)}") from error
    # A plain view of the map: each indexing of np.memmap itself costs more than the gather.
    return np.asarray(array)
