"""Bits per byte, one protocol: the number by which networks with different tokenizers can be compared.

Summed nats / (ln 2 × UTF-8 bytes) over the whole of the texts, teacher-forced, in non-overlapping windows of the
network's own context, every byte scored once, no weight changed:

    separator  a  b  c  d  e  f  g        context 4
    [───── window 1 ─────]
       ↳ a  ↳ b  ↳ c  ↳ d [─ window 2 ─]  each window's input begins with the token before its first target
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor, nn

from atinuke.data.batches.batch import IGNORE
from atinuke.errors import SourceError
from atinuke.tokenizers.tokenizer import Tokenizer

TOKENS_PER_BATCH = 4096
LOGITS_PER_BATCH = 1 << 24
"""64 MiB in float32: what a batch may take where the vocabulary is large."""
WINDOWS_AT_ONCE = 256
"""Windows collected before they are sorted by length and scored: bounds what is held, and what is padded."""


@dataclass(frozen=True)
class Score:
    """How well a network predicts some text."""

    nats: float
    """Summed −ln of the probability that the network gave each token, and 8·ln 2 for each byte behind unknown words."""
    bytes: int
    """UTF-8 bytes of the text."""
    tokens: int
    words: int
    """Longest runs without white space."""

    @property
    def bits_per_byte(self) -> float:
        """nats / (ln 2 × bytes)."""
        return self.nats / math.log(2) / self.bytes

    @property
    def token_perplexity(self) -> float:
        """e^(nats per token): comparable only where the tokenizer is the same."""
        return _exp(self.nats / self.tokens)

    @property
    def word_perplexity(self) -> float:
        """e^(nats per word): comparable between tokenizers on the same text; infinite for white space alone."""
        return _exp(self.nats / self.words) if self.words else math.inf


def bits_per_byte(
    model: nn.Module,
    tokenizer: Tokenizer,
    texts: Iterable[str],
    context: int,
    *,
    preceding_ids: Sequence[int] | NDArray[np.int64] | None = None,
    batch_seqs: int | None = None,
    autocast: AbstractContextManager[object] | None = None,
) -> Score:
    """The score of `texts`, each a document of its own, in float32 unless `autocast` says otherwise.

    A text's first token is predicted from the document separator; the first text's from the last of
    `preceding_ids`, where the texts go on from there. `batch_seqs` (default: about `TOKENS_PER_BATCH` tokens)
    changes how much is done at once, not the result. Unknown words are charged 8 bits for each byte that they hide.
    """
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad(), autocast or nullcontext():
            return _score(model, tokenizer, texts, context, preceding_ids, batch_seqs)
    finally:
        model.train(was_training)


def _score(
    model: nn.Module,
    tokenizer: Tokenizer,
    texts: Iterable[str],
    context: int,
    preceding_ids: Sequence[int] | NDArray[np.int64] | None,
    batch_seqs: int | None,
) -> Score:
    device = next(model.parameters()).device
    batch_tokens = min(TOKENS_PER_BATCH, LOGITS_PER_BATCH // tokenizer.vocab_size)
    batch_seqs = batch_seqs or max(1, batch_tokens // context)
    nats, byte_count, token_count, word_count = 0.0, 0, 0, 0
    before = tokenizer.end_id if preceding_ids is None or len(preceding_ids) == 0 else int(preceding_ids[-1])
    waiting: list[NDArray[np.int64]] = []
    for text in texts:
        ids = tokenizer.encode(text).astype(np.int64)
        byte_count += len(text.encode())
        token_count += len(ids)
        word_count += len(text.split())
        nats += 8 * math.log(2) * tokenizer.unknown_bytes(text)
        for window in _windows(ids, before, context):
            waiting.append(window)
            if len(waiting) == max(WINDOWS_AT_ONCE, batch_seqs):
                nats += _score_windows(model, waiting, batch_seqs, device, tokenizer.vocab_size)
                waiting = []
        before = tokenizer.end_id
    if not byte_count:
        raise SourceError("There is no text to score; expected at least one character. Give a TEXT that is not empty.")
    nats += _score_windows(model, waiting, batch_seqs, device, tokenizer.vocab_size)
    return Score(nats, byte_count, token_count, word_count)


def _windows(ids: NDArray[np.int64], before: int, context: int) -> Iterator[NDArray[np.int64]]:
    """The token before a window's first target, and its targets: context + 1 tokens, the last window fewer."""
    stream = np.concatenate([np.array([before], np.int64), ids])
    for start in range(0, len(ids), context):
        yield stream[start : start + context + 1]


def _score_windows(
    model: nn.Module, windows: list[NDArray[np.int64]], batch_seqs: int, device: torch.device, vocab_size: int
) -> float:
    """Summed nats of the windows' targets. Sorted by length, so that little is padded.

    An id beyond `vocab_size`, which stands for a masked token, is no text and has no part in the distribution.
    """
    nats = 0.0
    ordered = sorted(windows, key=len, reverse=True)
    for start in range(0, len(ordered), batch_seqs):
        tokens, targets = _pad(ordered[start : start + batch_seqs])
        logits = model(tokens.to(device))[..., :vocab_size].float()
        losses = F.cross_entropy(
            logits.flatten(0, 1), targets.to(device).flatten(), ignore_index=IGNORE, reduction="none"
        )
        nats += losses.cpu().double().sum().item()  # float64: a float32 sum over a long text loses its digits
    return nats


def _pad(windows: list[NDArray[np.int64]]) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B T"]]:
    """Inputs and targets. What fills up short windows stands after their end, where a causal network cannot see it."""
    longest = len(windows[0]) - 1
    tokens = torch.zeros(len(windows), longest, dtype=torch.int64)
    targets = torch.full((len(windows), longest), IGNORE, dtype=torch.int64)
    for row, window in enumerate(windows):
        tokens[row, : len(window) - 1] = torch.from_numpy(window[:-1])
        targets[row, : len(window) - 1] = torch.from_numpy(window[1:])
    return tokens, targets


def _exp(value: float) -> float:
    """e^value; infinity where float64 ends."""
    return math.exp(value) if value < 700 else math.inf
