"""Pseudo bits per byte: a number for networks that see both sides of a word, and so give no text a probability.

Each token is hidden by itself and predicted from everything around it in its window (Salazar et al. 2020,
arXiv:1910.14659, eq. 1). As the right side helps, the number is lower than bits per byte can be: it compares
encoders with encoders alone. One pass of the network per token is needed, so of a long text a sample is scored.
"""

import math
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from atinuke.data.batches.masking import SAMPLE, stream
from atinuke.errors import SourceError
from atinuke.generate.beam import evaluating
from atinuke.tokenizers.tokenizer import Tokenizer
from atinuke.train.scoring import TOKENS_PER_BATCH, Score

Ids = NDArray[np.int64]


@dataclass(frozen=True)
class PseudoScore:
    """How well an encoder fills in the tokens of some text."""

    score: Score
    """Of the whole text. Where only a sample was scored, its nats are the sample's mean for every token."""
    scored_tokens: int
    standard_error: float
    """Of the bits per byte, from drawing a sample; 0 where every token was scored."""
    note: str
    """What the number means, in one sentence."""

    @property
    def bits_per_byte(self) -> float:
        """Pseudo bits per byte."""
        return self.score.bits_per_byte


@dataclass(frozen=True)
class _Row:
    """One piece of text as the network reads it."""

    tokens: Ids
    segments: Ids
    columns: Ids
    """Where the tokens of the text stand among `tokens`."""


def pseudo_bits_per_byte(
    model: nn.Module,
    tokenizer: Tokenizer,
    texts: Iterable[str],
    context: int,
    mask_id: int,
    *,
    two_segments: bool = False,
    max_tokens: int = 2048,
    seed: int = 0,
    batch_seqs: int | None = None,
    autocast: AbstractContextManager[object] | None = None,
) -> PseudoScore:
    """The score of `texts` by a `Bert`, each text a document of its own, in non-overlapping windows of `context`.

    Of more than `max_tokens` tokens a random sample is scored, the same one for the same `seed` and texts.
    `two_segments`: a window is read as <end> A <end> B <end>, A being its first half, as a network that was trained
    on pairs knows it; otherwise as <end> A <end>. `batch_seqs` changes how much is done at once, not the result.
    Unknown words are charged 8 bits for each byte that they hide, as in bits per byte.
    """
    byte_count = word_count = 0
    hidden_bytes = 0
    rows: list[_Row] = []
    for text in texts:
        byte_count += len(text.encode())
        word_count += len(text.split())
        hidden_bytes += tokenizer.unknown_bytes(text)
        rows.extend(_rows(tokenizer.encode(text).astype(np.int64), context, tokenizer.end_id, two_segments))
    if not byte_count:
        raise SourceError("There is no text to score; expected at least one character. Give a TEXT that is not empty.")
    ends = np.cumsum([len(row.columns) for row in rows])
    token_count = int(ends[-1])
    sample = _sample(token_count, max_tokens, seed)
    numbers = np.searchsorted(ends, sample, side="right")
    columns = [rows[number].columns[place - ends[number]] for number, place in zip(numbers, sample, strict=True)]
    asked = [(rows[number], int(column)) for number, column in zip(numbers, columns, strict=True)]
    with evaluating(model), autocast or nullcontext():
        nats = _score(model, asked, mask_id, tokenizer.end_id, batch_seqs or max(1, TOKENS_PER_BATCH // context))
    charged = 8 * math.log(2) * hidden_bytes
    score = Score(float(nats.mean()) * token_count + charged, byte_count, token_count, word_count)
    return _described(score, nats)


def pseudo_nats(
    model: nn.Module,
    tokenizer: Tokenizer,
    texts: Sequence[str],
    context: int,
    mask_id: int,
    *,
    two_segments: bool = False,
    batch_seqs: int | None = None,
) -> list[float]:
    """For each text the nats of all its tokens, each hidden by itself: what `pseudo_bits_per_byte` sums."""
    asked: list[tuple[_Row, int]] = []
    owners: list[int] = []
    nats = np.zeros(len(texts))
    for number, text in enumerate(texts):
        for row in _rows(tokenizer.encode(text).astype(np.int64), context, tokenizer.end_id, two_segments):
            asked += [(row, int(column)) for column in row.columns]
            owners += [number] * len(row.columns)
        nats[number] = 8 * math.log(2) * tokenizer.unknown_bytes(text)
    if not asked:
        return nats.tolist()
    longest = max(len(row.tokens) for row, _ in asked)
    with evaluating(model):
        found = _score(model, asked, mask_id, tokenizer.end_id, batch_seqs or max(1, TOKENS_PER_BATCH // longest))
    np.add.at(nats, owners, found)
    return nats.tolist()


def _rows(ids: Ids, context: int, end_id: int, two_segments: bool) -> list[_Row]:
    """The windows of one text, framed as in training."""
    window = context - (3 if two_segments else 2)
    if window < 1:
        raise ValueError(f"context is {context}; a framed window needs at least {4 if two_segments else 3}")
    rows = []
    for start in range(0, len(ids), window):
        piece = ids[start : start + window]
        cut = (len(piece) + 1) // 2 if two_segments else len(piece)
        parts: Sequence[Ids] = [piece[:cut], piece[cut:]] if cut < len(piece) else [piece]
        end = np.array([end_id])
        tokens = np.concatenate([end, *(tokens for part in parts for tokens in (part, end))])
        columns = np.arange(1, len(piece) + 1)
        columns[cut:] += 1  # the <end> between the two
        rows.append(_Row(tokens, (np.arange(len(tokens)) >= cut + 2).astype(np.int64), columns))
    return rows


def _sample(count: int, most: int, seed: int) -> Ids:
    """At most `most` of the numbers below `count`, in order."""
    if count <= most:
        return np.arange(count)
    order = np.argsort(stream(seed, 0, SAMPLE).random_raw(count), kind="stable")
    return np.sort(order[:most])


def _score(
    model: nn.Module, asked: Sequence[tuple[_Row, int]], mask_id: int, end_id: int, batch_seqs: int
) -> NDArray[np.float64]:
    """Nats of each asked token, in order. Rows are taken by length, so that little is padded."""
    device = next(model.parameters()).device
    nats = np.empty(len(asked))
    order = sorted(range(len(asked)), key=lambda number: len(asked[number][0].tokens), reverse=True)
    for start in range(0, len(order), batch_seqs):
        chosen = order[start : start + batch_seqs]
        *inputs, targets = (
            tensor.to(device) for tensor in _stack([asked[number] for number in chosen], mask_id, end_id)
        )
        logits = model(*inputs).logits
        nats[chosen] = F.cross_entropy(logits.float(), targets, reduction="none").cpu().double().numpy()
    return nats


def _stack(asked: Sequence[tuple[_Row, int]], mask_id: int, end_id: int) -> tuple[Tensor, ...]:
    """tokens, segments, is_token (B, T), the places that are hidden (B,), and what stood there (B,)."""
    longest = len(asked[0][0].tokens)
    tokens = np.full((len(asked), longest), end_id, dtype=np.int64)
    segments, is_token = np.zeros_like(tokens), np.zeros(tokens.shape, dtype=np.bool_)
    for number, (row, _) in enumerate(asked):
        width = len(row.tokens)
        tokens[number, :width], segments[number, :width], is_token[number, :width] = row.tokens, row.segments, True
    places = np.arange(len(asked)) * longest + np.array([column for _, column in asked])
    targets = tokens.ravel()[places]
    tokens.ravel()[places] = mask_id
    return tuple(torch.from_numpy(array) for array in (tokens, segments, is_token, places, targets))


def _described(score: Score, nats: NDArray[np.float64]) -> PseudoScore:
    """With the standard error of a sample drawn without replacement, and what the number means."""
    scored, count = len(nats), score.tokens
    if scored == count:
        how = f"each of the {count:,} tokens hidden by itself"
        error = 0.0
    else:
        spread = float(nats.std(ddof=1)) if scored > 1 else math.inf
        nats_error = spread / math.sqrt(scored) * math.sqrt((count - scored) / (count - 1))
        error = nats_error * count / math.log(2) / score.bytes
        how = f"{scored:,} of {count:,} tokens, drawn at random, each hidden by itself (standard error {error:.3f})"
    note = f"pseudo bits per byte: {how} and predicted from both sides; not comparable with bits per byte."
    return PseudoScore(score, scored, error, note)
