"""Labelled examples: a picture, a sound or a text, perhaps a question, and the answer; read, split, ready to be stored.

What may be named as examples: see example_sources.py. Where the stored form lies: see example_set.py.
"""

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np

from atinuke.data.documents import Unusable, shown
from atinuke.data.example_sources import KINDS, ExampleNotes, Kind, RawExample, counted, iter_raw
from atinuke.data.pictures import Picture, decode_picture, fit_picture
from atinuke.data.sounds import Samples, decode_sound, resample
from atinuke.errors import SourceError

__all__ = ["KINDS", "Example", "ExampleNotes", "ExampleSplit", "Examples", "Kind", "PictureShape"]

LONGEST_SIDE = 128
"""Where the shape is taken from the first picture, a larger one is scaled down to this: each patch is a position."""


class PictureShape(NamedTuple):
    """Of every picture that a network sees."""

    height: int
    width: int
    channels: int


@dataclass(frozen=True, slots=True)
class Example:
    """One thing to learn. `content`: uint8 (height, width, channels), float32 (samples,), or a text."""

    kind: Kind
    content: Picture | Samples | str
    label: str
    question: str = ""

    def identity(self) -> bytes:
        """The same for two examples that ask the same of the same content, whatever their answers."""
        content = self.content.encode() if isinstance(self.content, str) else self.content.tobytes()
        digest = hashlib.blake2b(content, digest_size=16)
        digest.update(f"\0{self.kind}\0{self.question}".encode())
        return digest.digest()


@dataclass(frozen=True)
class Examples:
    """All examples of some specs; pictures have one shape, sounds one rate."""

    specs: tuple[str, ...]
    rows: list[Example]
    notes: ExampleNotes
    picture: PictureShape | None
    """None: there are no pictures."""
    sample_rate_hz: int | None
    """None: there are no sounds."""

    @property
    def counts(self) -> dict[Kind, int]:
        """How many there are of each kind that there is."""
        counted = Counter(row.kind for row in self.rows)
        return {kind: counted[kind] for kind in KINDS if counted[kind]}

    @property
    def longest_sound_s(self) -> float:
        """Seconds; 0 where there are no sounds."""
        longest = max((len(row.content) for row in self.rows if row.kind == "sound"), default=0)
        return longest / self.sample_rate_hz if self.sample_rate_hz else 0.0

    def describe(self) -> list[str]:
        """Sentences for people, one line each."""
        labels = len({row.label for row in self.rows})
        found = " and ".join(counted(count, kind) for kind, count in self.counts.items())
        return [f"Read {found} with {counted(labels, 'different answer')}.", *self.notes.describe()]


@dataclass(frozen=True)
class ExampleSplit:
    """What is trained on, and what is scored with; nothing is in both."""

    train: list[Example]
    held_out: list[Example]
    removed: int
    """Examples left out of training because the held-out part has the same."""

    def texts(self) -> Iterator[str]:
        """Everything in the training part that is written, for a tokenizer to learn from."""
        for row in self.train:
            written = (row.content if isinstance(row.content, str) else "", row.question, row.label)
            yield from (text for text in written if text)


def read_examples(
    specs: Sequence[str],
    *,
    picture: PictureShape | None = None,
    sample_rate_hz: int | None = None,
    max_s: float | None = None,
) -> Examples:
    """The examples that `specs` name, in their order; what cannot be used is counted in the notes, with the reason.

    Pictures of another shape than `picture` are stretched, sounds of another rate resampled and longer ones cut to
    `max_s` seconds; each is counted. Without `picture` the first one says height and width, and there are three
    channels when any has colours; without `sample_rate_hz` the first sound says the rate. All are kept in memory.
    SourceError when a spec is none, or when no example is left.
    """
    reader = _Reader(picture, sample_rate_hz, max_s)
    rows = []
    for raw in iter_raw(specs, reader.notes):
        try:
            rows.append(Example(raw.kind, reader.content(raw), raw.label, raw.question))
        except Unusable as reason:
            reader.notes.skip(raw.name, str(reason))
    if not rows:
        named = ", ".join(shown(spec) for spec in specs[:3]) or "(none)"
        reasons = "; ".join(f"{name}: {reason}" for name, reason in reader.notes.named[:3])
        raise SourceError(
            f"examples {named} give nothing to learn from{f' ({reasons})' if reasons else ''}. "
            "Give pictures, sounds or texts with labels."
        )
    kinds = {row.kind for row in rows}
    shape = reader.shape if "picture" in kinds else None
    if shape is not None and picture is None:
        rows, shape = _same_channels(rows, shape)
    rate_hz = reader.rate_hz if "sound" in kinds else None
    return Examples(tuple(specs), rows, reader.notes, shape, rate_hz)


def split_examples(
    examples: Examples, held_out: Examples | None = None, *, seed: int = 0, fraction: float = 0.1
) -> ExampleSplit:
    """Training and held-out examples. Held out is what is given, or of each kind a `fraction`: one at least, of two.

    Which ones: those with the smallest hashes of their content under `seed`. What is held out is never trained on: the
    same content with the same question leaves the training part, so that `digits.zip` can be trained on while
    `digits.zip/*_theo_*` is held out. SourceError when nothing, or only one answer, is left to learn.
    """
    held = _drawn(examples, seed, fraction) if held_out is None else _agreeing(examples, held_out)
    identities = {row.identity() for row in held}
    train = [row for row in examples.rows if row.identity() not in identities]
    removed = len(examples.rows) - len(train) - (len(held) if held_out is None else 0)
    answers = {row.label for row in train}
    if len(answers) < 2:
        only = f"only the label {shown(next(iter(answers)))!r}" if answers else "no examples"
        raise SourceError(
            f"There is nothing to learn: {len(examples.rows):,} examples were read, {len(held):,} are held out, and "
            f"the {len(train):,} to train on have {only}. Give examples of at least two labels."
        )
    for kind in {row.kind for row in held} - {row.kind for row in train}:
        raise SourceError(f"There are {kind}s held out and none to train on. Give both, or neither.")
    return ExampleSplit(train, held, removed)


class _Reader:
    """Brings every content into one form; the first of a kind says the form where nothing else does."""

    def __init__(self, shape: PictureShape | None, rate_hz: int | None, max_s: float | None):
        self.notes = ExampleNotes()
        self.shape = shape
        self.rate_hz = rate_hz
        self._asked = shape
        self._max_s = max_s

    def content(self, raw: RawExample) -> Picture | Samples | str:
        """The content decoded; Unusable when it cannot be."""
        if isinstance(raw.content, str):
            return raw.content
        if isinstance(raw.content, bytes):
            return self._picture(raw) if raw.kind == "picture" else self._sound(raw)
        return self._fitted(raw.name, raw.content)

    def _picture(self, raw: RawExample) -> Picture:
        assert isinstance(raw.content, bytes)
        return self._fitted(raw.name, decode_picture(raw.content))

    def _fitted(self, name: str, picture: Picture) -> Picture:
        height, width, channels = picture.shape
        if self.shape is None:
            shrink = max(1.0, max(height, width) / LONGEST_SIDE)
            self.shape = PictureShape(max(1, round(height / shrink)), max(1, round(width / shrink)), channels)
        if (height, width) != self.shape[:2]:
            self.notes.change(name, f"resized to {self.shape.height} × {self.shape.width} pixels")
        # Without a shape to go by, colours are kept until all have been seen.
        wanted = self._asked.channels if self._asked else channels
        return fit_picture(picture, height=self.shape.height, width=self.shape.width, channels=wanted)

    def _sound(self, raw: RawExample) -> Samples:
        assert isinstance(raw.content, bytes)
        samples, rate_hz = decode_sound(raw.content)
        if self.rate_hz is None:
            self.rate_hz = rate_hz
        resampled = resample(samples, rate_hz, self.rate_hz)
        if rate_hz != self.rate_hz:
            self.notes.change(raw.name, f"resampled to {self.rate_hz:,} samples per second")
        most = None if self._max_s is None else max(1, round(self._max_s * self.rate_hz))
        if most is not None and len(resampled) > most:
            self.notes.change(raw.name, f"cut to their first {self._max_s:g} s")
            return resampled[:most].copy()
        return resampled


def _same_channels(rows: list[Example], shape: PictureShape) -> tuple[list[Example], PictureShape]:
    """All pictures with three channels when any has them, else as they are."""
    found = {np.shape(row.content)[2] for row in rows if row.kind == "picture"}
    shape = shape._replace(channels=max(found))
    if len(found) == 1:
        return rows, shape
    fitted = [
        Example(row.kind, fit_picture(cast(Picture, row.content), **shape._asdict()), row.label, row.question)
        if row.kind == "picture"
        else row
        for row in rows
    ]
    return fitted, shape


def _drawn(examples: Examples, seed: int, fraction: float) -> list[Example]:
    """Of each kind the rows with the smallest hashes; equal contents have equal hashes, so they stay together."""
    key = (seed % 2**64).to_bytes(8)
    hashes = [hashlib.blake2b(row.identity(), digest_size=16, key=key).digest() for row in examples.rows]
    limits: dict[Kind, bytes] = {}
    for kind, count in examples.counts.items():
        if count == 1:
            continue  # it is needed more for training
        ordered = sorted(digest for digest, row in zip(hashes, examples.rows, strict=True) if row.kind == kind)
        limits[kind] = ordered[max(1, round(fraction * count)) - 1]
    return [row for digest, row in zip(hashes, examples.rows, strict=True) if digest <= limits.get(row.kind, b"")]


def _agreeing(examples: Examples, held_out: Examples) -> list[Example]:
    """The rows of `held_out`, when they have the form of those that are trained on."""
    if examples.picture and held_out.picture:
        assert examples.picture == held_out.picture, "the held-out pictures were read with another shape"
    if examples.sample_rate_hz and held_out.sample_rate_hz:
        assert examples.sample_rate_hz == held_out.sample_rate_hz, "the held-out sounds were read at another rate"
    return held_out.rows
