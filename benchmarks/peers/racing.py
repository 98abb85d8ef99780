"""What the wrappers of all peers do alike: read the corpus, train a tokenizer, keep the clock, say what came of it.

Runs in the environments of the peers, so it imports nothing of ours; torch and a peer's own package are imported by
its wrapper alone. The clock is the race's: `--started` is when the race asked for the process, so that interpreter
start and imports count.
"""

import argparse
import json
import random
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

SEPARATOR = "<|endoftext|>"
PIECE_CHARS = 65_536
BLOCKS_AT_ONCE = 2_000
"""Encoded in one call: some 8 MB of text, on all cores; more would only be held in memory."""
SAVING_S = 1.0
"""Kept free at the end for saving and for leaving the process: models of a few million parameters need half of it."""
WARM_STEPS = 3
"""The first steps, in which memory is had and kernels are compiled, are no part of the time per step."""


@dataclass
class Race:
    """One run of one peer, as the race asked for it."""

    corpus: Path
    out: Path
    started_s: float
    budget_s: float
    seed: int
    settings: dict[str, Any]
    steps: int | None
    """Optimizer steps the race calibrated, for schedules over steps; none: by the clock alone."""
    calibrate_s: float | None
    """Stop after so many seconds of warm steps: the run only tells how long things take."""
    ends: list[float] = field(default_factory=list)
    """When each step ended, in seconds since the start."""

    def elapsed_s(self) -> float:
        """Seconds since the race asked for this process."""
        return time.time() - self.started_s

    @property
    def deadline_s(self) -> float:
        """When training has to end so that saving fits."""
        return self.budget_s - SAVING_S

    def begin(self) -> None:
        """Marks the start of training; schedules by the clock count from here."""
        self.out.mkdir(parents=True, exist_ok=True)
        self.ends = [self.elapsed_s()]

    def progress(self) -> float:
        """Part of the training time that is used, 0 to 1."""
        now = self.elapsed_s()
        return min(1.0, max(0.0, (now - self.ends[0]) / max(1e-9, self.deadline_s - self.ends[0])))

    def step_ended(self) -> bool:
        """Notes the end of a step; True when another one would end after the deadline."""
        self.ends.append(self.elapsed_s())
        if self.calibrate_s is not None:
            warm = self.ends[min(WARM_STEPS, len(self.ends) - 1)]
            return len(self.ends) > WARM_STEPS + 5 and self.ends[-1] - warm >= self.calibrate_s
        return self.ends[-1] + (self.ends[-1] - self.ends[-2]) > self.deadline_s

    def report(self, *, params: int, tokens_per_step: int) -> None:
        """Writes run.json, which the race reads."""
        steps = len(self.ends) - 1
        first = min(WARM_STEPS, steps)
        told = {
            "prepared_s": self.ends[0],
            "ready_s": self.ends[first],
            "step_s": (self.ends[-1] - self.ends[first]) / max(1, steps - first),
            "warm_steps": first,
            "steps": steps,
            "tokens": steps * tokens_per_step,
            "params": params,
            "trained_s": self.ends[-1],
            "ended_s": self.elapsed_s(),
        }
        (self.out / "run.json").write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def asked() -> Race:
    """The run that the command line asks for."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--corpus", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--started", type=float, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--settings", type=json.loads, required=True)
    parser.add_argument("--steps", type=int)
    parser.add_argument("--calibrate", type=float)
    told = parser.parse_args()
    return Race(told.corpus, told.out, told.started, told.seconds, told.seed, told.settings, told.steps, told.calibrate)


def warm_up_then_linear(progress: float, *, warm_up: float, decay: float) -> float:
    """Factor of the learning rate: up over the first part, flat, down to zero over the last part of the time."""
    up = progress / warm_up if warm_up else 1.0
    return max(0.0, min(1.0, up, (1.0 - progress) / decay if decay else 1.0))


# --- Text ---


def training_texts(corpus: Path) -> list[str]:
    """The training documents of an exported corpus."""
    return [path.read_bytes().decode() for path in sorted((corpus / "train").glob("*.txt"))]


def drawn(texts: list[str], megabytes: float | None, seed: int) -> list[str]:
    """All texts; or, where they are longer than that, pieces of them from all over, in random order."""
    if megabytes is None or sum(map(len, texts)) <= megabytes * 1e6:
        return texts
    pieces = [text[at : at + PIECE_CHARS] for text in texts for at in range(0, len(text), PIECE_CHARS)]
    random.Random(seed).shuffle(pieces)
    return pieces[: max(1, int(megabytes * 1e6 / PIECE_CHARS))]


def train_tokenizer(texts: list[str], vocab_size: int) -> Tokenizer:
    """Byte-level BPE, as GPT-2's; every byte is in the vocabulary, so nothing is ever unknown."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=[SEPARATOR],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator((block for text in texts for block in _blocks(text)), trainer)
    return tokenizer


def encode(tokenizer: Tokenizer, texts: list[str]) -> NDArray[np.int64]:
    """All texts in one row, the separator before each."""
    separator = tokenizer.token_to_id(SEPARATOR)
    blocks, begins = [], []
    for text in texts:
        own = _blocks(text)
        blocks += own
        begins += [True] + [False] * (len(own) - 1)
    ids: list[NDArray[np.int64]] = []
    for at in range(0, len(blocks), BLOCKS_AT_ONCE):
        encodings = tokenizer.encode_batch_fast(blocks[at : at + BLOCKS_AT_ONCE])
        for begins_text, encoding in zip(begins[at : at + BLOCKS_AT_ONCE], encodings, strict=True):
            ids.append(np.array([separator, *encoding.ids] if begins_text else encoding.ids, np.int64))
    return np.concatenate(ids)


def prepare(race: Race) -> tuple[Tokenizer, NDArray[np.int64]]:
    """The tokenizer, saved as tokenizer.json, and the training tokens, as far as the settings ask for."""
    texts = training_texts(race.corpus)
    size = "large" if sum(map(len, texts)) > 10e6 else "small"
    vocab_size = race.settings["vocab"][size]
    tokenizer = train_tokenizer(drawn(texts, race.settings.get("tokenizer_mb"), 0), vocab_size)
    race.out.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(race.out / "tokenizer.json"))
    return tokenizer, encode(tokenizer, drawn(texts, race.settings.get("encode_mb"), race.seed))


def _blocks(text: str) -> list[str]:
    """The text in blocks of some 4,000 characters that end with a line, so that they are encoded side by side."""
    blocks: list[str] = []
    start = 0
    while start < len(text):
        end = text.find("\n", start + 4000)
        end = len(text) if end < 0 else end + 1
        blocks.append(text[start:end])
        start = end
    return blocks
