"""Labelled examples → batches of one kind each, a pure function of (seed, position), so resuming is exact.

A row of tokens is   prompt  end  answer          a picture or a sound stands before it, as the prefix
and its targets are  (none)  answer  end          the prompt: a text, its question, or nothing

so the answer always begins after the end token, and the network says itself where it ends.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from atinuke.data.augmenting import AugmentConfig
from atinuke.data.batches.augmenting import augment_pictures, augment_sounds
from atinuke.data.batches.batch import IGNORE, Batch
from atinuke.data.example_set import ExampleRows, ExampleSet, Ragged
from atinuke.data.example_sources import Kind
from atinuke.models.layers.prefix import Prefix

CYCLE = 64
"""So many batches have every kind in its proportion, in a seeded order."""
ORDER, CHANGES, KIND_ORDER = 0, 1, 2  # what random numbers are for; each use has a stream of its own


class ExampleBatches:
    """All batches of a run, by their number.

    Each kind has a part of the batches in proportion to the square root of its examples: a few sounds beside many
    pictures are seen often enough, and are not repeated until they are known by heart. In an epoch of a kind every
    example comes once; a batch may reach over the edge between two.
    """

    def __init__(
        self,
        examples: ExampleSet,
        *,
        batch_rows: int,
        seed: int,
        augment: bool = False,
        how: AugmentConfig | None = None,
        device: torch.device | str = "cpu",
    ):
        self._examples = examples
        self._batch_rows = batch_rows
        self._seed = seed
        self._how = (how or AugmentConfig()) if augment else None
        self._device = torch.device(device)
        self._counts = _share({kind: len(rows) for kind, rows in examples.train.items()})

    def batch(self, position: int) -> Batch:
        """Batch number `position`, counted from 0."""
        kind, number = self._kind_at(position)
        chosen = self._rows(kind, number)
        random = _random(self._seed, CHANGES, position) if self._how else None
        return _make(self._examples, self._examples.train[kind], kind, chosen, position, self._how, random).to(
            self._device
        )

    def epochs(self, position: int) -> dict[Kind, float]:
        """How often each kind has been gone through after `position` batches."""
        cycles, place = divmod(position, CYCLE)
        begun = self._order(cycles)[:place]
        return {
            kind: (cycles * count + begun.count(kind)) * self._batch_rows / len(self._examples.train[kind])
            for kind, count in self._counts.items()
        }

    def _kind_at(self, position: int) -> tuple[Kind, int]:
        """The kind of a batch, and how many batches of this kind come before it."""
        cycle, place = divmod(position, CYCLE)
        order = self._order(cycle)
        kind = order[place]
        return kind, cycle * self._counts[kind] + order[:place].count(kind)

    def _order(self, cycle: int) -> tuple[Kind, ...]:
        kinds = [kind for kind, count in self._counts.items() for _ in range(count)]
        return tuple(kinds[place] for place in _shuffled(self._seed, KIND_ORDER, cycle, len(kinds)))

    def _rows(self, kind: Kind, number: int) -> NDArray[np.int64]:
        total = len(self._examples.train[kind])
        places = np.arange(number * self._batch_rows, (number + 1) * self._batch_rows)
        epochs, within = np.divmod(places, total)
        rows = np.empty(len(places), dtype=np.int64)
        for epoch in np.unique(epochs):
            is_here = epochs == epoch
            rows[is_here] = _shuffled(self._seed, ORDER, int(epoch), total)[within[is_here]]
        return rows


@dataclass(frozen=True)
class OrderedBatch:
    """Held-out examples of one kind, with their places among the examples of this kind."""

    kind: Kind
    rows: NDArray[np.int64]
    batch: Batch


def held_out_batches(
    examples: ExampleSet, *, batch_rows: int, device: torch.device | str = "cpu"
) -> Iterator[OrderedBatch]:
    """Every held-out example once, kind by kind and in order, unchanged."""
    for kind, rows in examples.held_out.items():
        for start in range(0, len(rows), batch_rows):
            chosen = np.arange(start, min(start + batch_rows, len(rows)))
            yield OrderedBatch(kind, chosen, _make(examples, rows, kind, chosen, start).to(torch.device(device)))


def _make(
    examples: ExampleSet,
    rows: ExampleRows,
    kind: Kind,
    chosen: NDArray[np.int64],
    position: int,
    how: AugmentConfig | None = None,
    random: np.random.Generator | None = None,
) -> Batch:
    tokens, targets = _tokens(examples, rows, chosen)
    prefix = None if kind == "text" else _prefix(examples, rows, kind, chosen, how, random)
    places = (targets != IGNORE).flatten().nonzero()[:, 0]  # an answer is short beside its text
    inputs = (tokens, None, "causal", prefix, places)
    return Batch(inputs, targets, position, position + 1, len(places), places_input=4)


def _tokens(examples: ExampleSet, rows: ExampleRows, chosen: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """(B, T) tokens and targets; short rows are filled up with ends, which nothing is asked after."""
    prompts = [rows.prompts[int(row)] for row in chosen]
    answers = [examples.answers[int(label)] for label in rows.labels[chosen]]
    length = max(len(prompt) + 1 + len(answer) for prompt, answer in zip(prompts, answers, strict=True))
    tokens = np.full((len(chosen), length), examples.index.end_id, dtype=np.int64)
    targets = np.full((len(chosen), length), IGNORE, dtype=np.int64)
    for row, (prompt, answer) in enumerate(zip(prompts, answers, strict=True)):
        end = len(prompt)
        tokens[row, :end] = prompt
        tokens[row, end + 1 : end + 1 + len(answer)] = answer
        targets[row, end : end + len(answer)] = answer
        targets[row, end + len(answer)] = examples.index.end_id
    return torch.from_numpy(tokens), torch.from_numpy(targets)


def _prefix(
    examples: ExampleSet,
    rows: ExampleRows,
    kind: Kind,
    chosen: NDArray[np.int64],
    how: AugmentConfig | None,
    random: np.random.Generator | None,
) -> Prefix:
    if kind == "picture":
        assert isinstance(rows.content, np.ndarray)
        values = picture_values(rows.content[chosen])
        return Prefix("picture", values if how is None or random is None else augment_pictures(values, how, random))
    assert isinstance(rows.content, Ragged)
    values, lengths = sound_values([rows.content[int(row)] for row in chosen])
    if how is not None and random is not None:
        rate_hz, most = examples.index.sample_rate_hz, examples.index.longest_sound
        assert rate_hz is not None
        values, lengths = augment_sounds(values, lengths, how, random, sample_rate_hz=rate_hz, most_samples=most)
    return Prefix("sound", values, lengths)


def picture_values(pictures: NDArray[np.uint8]) -> Tensor:
    """uint8 (B, height, width, channels) → float32 (B, channels, height, width) from 0 to 1, as a network takes it."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).to(torch.float32).div_(255).contiguous()


def sound_values(sounds: Sequence[NDArray[np.float32]]) -> tuple[Tensor, Tensor]:
    """(B, samples) with silence after the short ones, and how many samples of each count (B,)."""
    lengths = [len(sound) for sound in sounds]
    values = torch.zeros(len(sounds), max(lengths))
    for row, sound in enumerate(sounds):
        values[row, : len(sound)] = torch.from_numpy(np.array(sound))  # a copy: what is mapped cannot be written to
    return values, torch.tensor(lengths)


def _share(sizes: dict[Kind, int]) -> dict[Kind, int]:
    """Batches of each kind in a cycle: one at least, and else in proportion to the square root of its size."""
    roots = {kind: size**0.5 for kind, size in sizes.items()}
    free = CYCLE - len(sizes)
    exact = {kind: free * root / sum(roots.values()) for kind, root in roots.items()}
    counts = {kind: 1 + int(part) for kind, part in exact.items()}
    by_remainder = sorted(exact, key=lambda kind: int(exact[kind]) - exact[kind])
    for kind in by_remainder[: CYCLE - sum(counts.values())]:
        counts[kind] += 1
    return counts


@lru_cache(maxsize=8)
def _shuffled(seed: int, use: int, number: int, count: int) -> NDArray[np.int64]:
    # Random bits and a stable sort: numpy promises the bits of Philox for ever, but not `permutation`.
    bits = np.random.Philox(key=_key(seed, use, number))
    return np.argsort(bits.random_raw(count), kind="stable")


def _random(seed: int, use: int, number: int) -> np.random.Generator:
    return np.random.Generator(np.random.Philox(key=_key(seed, use, number)))


def _key(seed: int, use: int, number: int) -> NDArray[np.uint64]:
    return np.array([seed % 2**64, use << 56 | number], dtype=np.uint64)
