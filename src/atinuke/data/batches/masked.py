"""Token shards → rows with hidden tokens to guess: BERT's pairs of segments, and GPT-BERT's mixture of two lessons.

    column    0      1 … a    a+1    a+2 … w−2   w−1    w … T−1
    token     <end>  A        <end>  B           <end>  padding     B and its <end> only with next_sentence
    segment   0      0        0      1           1      0

A batch is a pure function of (seed, position), and a row of (seed, its own position), so resuming is exact.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from atinuke.data.batches.batch import IGNORE, Batch, BatchSource
from atinuke.data.batches.masking import KINDS, ORDER, Bits, Flags, Ids, Masking, below, fractions, row_bits, stream
from atinuke.errors import ConfigError, SourceError

IS_NEXT, IS_ELSEWHERE = 0, 1
"""Labels of a pair: the second segment follows the first, or comes from elsewhere."""
KEPT_EPOCHS = 2  # a batch can reach over an edge between epochs
SCAN_TOKENS = 1 << 20
LOOK_AHEAD = 16  # tokens within which a segment looks for the beginning of a word
FAR_PARTS = 4  # in a text without documents, what is "elsewhere" stands at least a fourth of it away


class Tokens(Protocol):
    """What is needed of `TokenShards`."""

    @property
    def total_tokens(self) -> int: ...
    def at(self, places: Ids, /) -> Ids: ...


@dataclass(frozen=True)
class _Spans:
    """Where the segments of each row stand in the text; `second_lengths` is 0 where a row has one segment."""

    starts: Ids
    lengths: Ids
    second_starts: Ids
    second_lengths: Ids

    def columns(self, context: int) -> tuple[Ids, Ids, Flags]:
        """(B, T): where in the text a column stands, −1 for <end> and padding; its segment; whether it is a token."""
        column = np.arange(context)
        length, second_length = self.lengths[:, None], self.second_lengths[:, None]
        width = length + 2 + np.where(second_length > 0, second_length + 1, 0)
        in_first = (column >= 1) & (column <= length)
        in_second = (column >= length + 2) & (column < length + 2 + second_length)
        places = np.where(in_first, self.starts[:, None] + column - 1, -1)
        places = np.where(in_second, self.second_starts[:, None] + column - length - 2, places)
        segments = ((column >= length + 2) & (column < width)).astype(np.int64)
        return places, segments, column < width


class MaskedBatches:
    """All batches of a run that trains BERT, by the number of rows consumed before each.

    In each epoch every token of the text is in a first segment's window once; where a text is no multiple of the
    window, two windows overlap, elsewhere each epoch. With `next_sentence`, a window stays inside one document and is
    cut into A and B somewhere in its middle half; in every second row, by chance, B is replaced by as many tokens from
    another document, or, in a text of one document, from at least a fourth of it away (`note` says so). Devlin et al.
    cut between sentences; here a segment begins with a word where `word_starts` are known, at any token where not.
    Without `next_sentence`, windows run on across documents, as RoBERTa's (Liu et al. 2019, arXiv:1907.11692, §4.2).

    inputs: tokens, segments (B, T), is_token (B, T) or None where no row is padded, and the chosen places (N,) among
    the B·T; targets: the tokens there (N,), and `IS_NEXT` or `IS_ELSEWHERE` for each row, `IGNORE` where not asked.
    """

    def __init__(
        self,
        shards: Tokens,
        *,
        context: int,
        batch_seqs: int,
        seed: int,
        mask_id: int,
        end_id: int,
        vocab_size: int,
        whole_words: bool = False,
        word_starts: Flags | None = None,
        next_sentence: bool = True,
        share: float = 0.15,
        device: torch.device | str = "cpu",
    ):
        assert word_starts is not None or not whole_words, "whole words need to know where words start"
        frame = 3 if next_sentence else 2  # <end> A <end> B <end>, or <end> A <end>
        least = frame + (2 if next_sentence else 1)
        if context < least:
            raise ConfigError(
                f"model.context is {context}; a row with masked tokens needs at least {least} ({frame} of them frame "
                f"it). Set model.context to {least} or more."
            )
        self._shards, self._context, self._batch_seqs, self._seed = shards, context, batch_seqs, seed
        self._masking = Masking(mask_id, end_id, vocab_size, share, word_starts if whole_words else None)
        self._word_starts, self._next_sentence = word_starts, next_sentence
        self._device = torch.device(device)
        self._window = context - frame
        self.note = ""
        """What the text did not allow to be done as it should be, in one sentence."""
        self._content_from(0)  # or there is nothing to mask
        if next_sentence:
            self._starts, self._lengths = self._documents()
        else:
            self._starts, self._lengths = np.array([0]), np.array([shards.total_tokens])
        rows = -(-self._lengths // self._window)
        self._first_row = np.cumsum(rows) - rows
        self._first_content = np.cumsum(self._lengths) - self._lengths
        self._slack = rows * self._window - self._lengths
        self.windows_per_epoch = int(rows.sum())
        self._epochs: dict[int, tuple[int, NDArray[np.uint32]]] = {}

    def batch(self, position: int) -> Batch:
        """The `batch_seqs` rows from `position` on."""
        bits = row_bits(self._seed, position, self._batch_seqs, 3 + 3 * self._context)
        spans, labels = self._spans(position, bits[:, :3])
        tokens, segments, is_token, may_hide = self._read(spans)
        barren = ~may_hide.any(axis=1)  # nothing but ends of documents
        if barren.any():
            spans.starts[barren] = [self._content_from(int(start)) for start in spans.starts[barren]]
            spans.starts[:] = np.minimum(spans.starts, self._shards.total_tokens - spans.lengths)
            tokens, segments, is_token, may_hide = self._read(spans)
        hidden, chosen = self._masking.hide(tokens, may_hide, bits[:, 3:])
        places = np.flatnonzero(chosen)
        inputs = (
            torch.from_numpy(hidden),
            torch.from_numpy(segments),
            None if is_token.all() else torch.from_numpy(is_token),
            torch.from_numpy(places),
        )
        targets = (torch.from_numpy(tokens.ravel()[places]), torch.from_numpy(labels))
        following = position + self._batch_seqs
        return Batch(inputs, targets, position, following, hidden.size, places_input=3).to(self._device)

    def _read(self, spans: _Spans) -> tuple[Ids, Ids, Flags, Flags]:
        """Tokens, segments, what is a token, and what may be hidden."""
        places, segments, is_token = spans.columns(self._context)
        tokens = np.full(places.shape, self._masking.end_id, dtype=np.int64)
        tokens[places >= 0] = self._shards.at(places[places >= 0])
        return tokens, segments, is_token, tokens != self._masking.end_id

    def _spans(self, position: int, bits: Bits) -> tuple[_Spans, Ids]:
        """Segments and label of each row; `bits` (B, 3) decide where it is cut, whether B follows A, and where B is."""
        document, offset = self._windows(position)
        starts = self._starts[document] + offset
        lengths = np.minimum(self._lengths[document], self._window)
        if not self._next_sentence:
            nothing = np.zeros_like(starts)
            return _Spans(starts, lengths, nothing, nothing), np.full(len(starts), IGNORE, dtype=np.int64)
        least = np.maximum(1, lengths // 4)
        cuts = starts + least + below(bits[:, 0], lengths - 2 * least + 1)
        cuts = self._to_word(cuts, starts + lengths - least)
        rest = starts + lengths - cuts
        labels = np.where(bits[:, 1] >> np.uint64(63), IS_ELSEWHERE, IS_NEXT)
        other_starts, other_lengths = self._elsewhere(document, offset, rest, bits[:, 2])
        second_starts = np.where(labels == IS_NEXT, cuts, other_starts)
        second_lengths = np.where(labels == IS_NEXT, rest, other_lengths)
        return _Spans(starts, cuts - starts, second_starts, second_lengths), labels

    def _windows(self, position: int) -> tuple[Ids, Ids]:
        """The document of each row and where in it the row's window begins."""
        epochs, places = np.divmod(np.arange(position, position + self._batch_seqs), self.windows_per_epoch)
        rows, shifts = np.empty_like(places), np.empty_like(places)
        for epoch in range(int(epochs[0]), int(epochs[-1]) + 1):
            is_here = epochs == epoch
            shifts[is_here], order = self._epoch(epoch)
            rows[is_here] = order[places[is_here]]
        document = np.searchsorted(self._first_row, rows, side="right") - 1
        offset = (rows - self._first_row[document]) * self._window - shifts % (self._slack[document] + 1)
        return document, np.clip(offset, 0, np.maximum(self._lengths[document] - self._window, 0))

    def _elsewhere(self, document: Ids, offset: Ids, lengths: Ids, bits: Bits) -> tuple[Ids, Ids]:
        """Start and length of segments that do not follow; another document is drawn in proportion to its length.

        A segment is as long as what it replaces where its document allows, or its length would give it away.
        """
        own = self._lengths[document]
        if len(self._starts) == 1:
            far = own // FAR_PARTS
            place = np.minimum((offset + far + below(bits, own - 2 * far)) % own, own - lengths)
            other, last = document, own - lengths
        else:
            content = below(bits, self._lengths.sum() - own)
            content += np.where(content >= self._first_content[document], own, 0)
            other = np.searchsorted(self._first_content, content, side="right") - 1
            last = np.maximum(self._lengths[other] - lengths, 0)
            place = (content - self._first_content[other]) % (last + 1)
        starts = self._to_word(self._starts[other] + place, self._starts[other] + last)
        return starts, np.minimum(lengths, self._lengths[other])

    def _to_word(self, places: Ids, last: Ids) -> Ids:
        """The first beginning of a word in `places` … `last` and within reach; the place itself where there is none."""
        if self._word_starts is None:
            return places
        reached = places[:, None] + np.arange(LOOK_AHEAD)
        tokens = self._shards.at(np.minimum(reached, last[:, None]))
        begins = self._word_starts[tokens] & (reached <= last[:, None])
        return places + begins.argmax(axis=1)  # 0 where there is none

    def _documents(self) -> tuple[Ids, Ids]:
        """Start and length of each document that can be cut in two, and `note`."""
        ends = [first + np.flatnonzero(chunk == self._masking.end_id) for first, chunk in self._chunks(0)]
        bounds = np.concatenate([[-1], *ends, [self._shards.total_tokens]])
        starts, lengths = bounds[:-1] + 1, np.diff(bounds) - 1
        can_cut = lengths >= 2
        if left_out := int(((lengths > 0) & ~can_cut).sum()):
            self.note = f"{left_out:,} documents of a single token cannot be cut into two segments and are left out."
        if can_cut.sum() <= 1:
            length, least = int(lengths.max()), 2 * FAR_PARTS * self._window
            if length < least:
                raise SourceError(
                    f"The training text has no two documents to draw segments from, and its longest has {length:,} "
                    f"tokens; to draw them from far away in it, context {self._context:,} needs {least:,}. Give more "
                    "text, a shorter --set model.context, or --set objective.next_sentence=false."
                )
            self.note = (
                "The text has no second document: segments that do not follow come from at least a fourth of it away."
            )
        return starts[can_cut], lengths[can_cut]

    def _content_from(self, start: int) -> int:
        """The first place from `start` on, and then from the beginning, that is not the end of a document."""
        for begin in (start, 0):
            for first, chunk in self._chunks(begin):
                found = np.flatnonzero(chunk != self._masking.end_id)
                if found.size:
                    return first + int(found[0])
        raise SourceError(
            f"The training text has nothing to mask: of its {self._shards.total_tokens:,} tokens none is text. "
            "Give a SOURCE with text in it."
        )

    def _chunks(self, start: int) -> Iterator[tuple[int, Ids]]:
        """(place of the first, tokens), from `start` to the end."""
        total = self._shards.total_tokens
        for first in range(start, total, SCAN_TOKENS):
            yield first, self._shards.at(np.arange(first, min(first + SCAN_TOKENS, total)))

    def _epoch(self, number: int) -> tuple[int, NDArray[np.uint32]]:
        """By how much windows are shifted, at most, and the order of the rows."""
        if number not in self._epochs:
            bits = stream(self._seed, number, ORDER)
            shift = int(bits.random_raw() >> 33)
            order = np.argsort(bits.random_raw(self.windows_per_epoch), kind="stable").astype(np.uint32)
            self._epochs[number] = shift, order
            while len(self._epochs) > KEPT_EPOCHS:
                del self._epochs[next(iter(self._epochs))]
        return self._epochs[number]


class MixtureBatches:
    """Causal and masked lessons in turn for one decoder: GPT-BERT, Charpentier & Samuel 2024, arXiv:2410.24159.

    A masked token at place k is predicted at k − 1, where a causal one would be, so that both lessons use the network
    alike; the first token of a row is never hidden. Which batch is which is drawn by seed and position. Each uses up
    its windows. Differences: a whole batch is of one kind, and the share of hidden tokens stays the same throughout.

    inputs: tokens (B, T), no cache, "causal" or "full"; targets (B, T).
    """

    def __init__(
        self,
        windows: BatchSource,
        *,
        seed: int,
        masked_share: float,
        mask_id: int,
        end_id: int,
        vocab_size: int,
        share: float = 0.15,
        word_starts: Flags | None = None,
    ):
        self._windows, self._seed, self._masked_share = windows, seed, masked_share
        self._masking = Masking(mask_id, end_id, vocab_size, share, word_starts)

    def batch(self, position: int) -> Batch:
        """The windows from `position` on, to be continued or to be filled in; continued where nothing can be hidden."""
        windows = self._windows.batch(position)
        tensor = windows.inputs[0]
        causal = replace(windows, inputs=(tensor, None, "causal"))
        coin = fractions(stream(self._seed, position, KINDS).random_raw(1))[0]
        if coin >= self._masked_share:
            return causal
        tokens: Ids = tensor.cpu().numpy()
        may_hide = np.ones(tokens.shape, dtype=np.bool_)
        may_hide[:, 0] = False
        hidden, chosen = self._masking.hide(
            tokens, may_hide, row_bits(self._seed, position, len(tokens), 3 * tokens.shape[1])
        )
        if not chosen.any():
            return causal
        targets = np.full(tokens.shape, IGNORE, dtype=np.int64)
        targets[:, :-1] = np.where(chosen, tokens, IGNORE)[:, 1:]
        return replace(
            windows,
            inputs=(torch.from_numpy(hidden), None, "full"),
            targets=torch.from_numpy(targets),
        ).to(tensor.device)
