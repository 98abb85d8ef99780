"""Rows for BERT and GPT-BERT: their form, where their segments come from, and that nothing else decides them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from atinuke.data.batches.batch import IGNORE, Batch
from atinuke.data.batches.masked import IS_ELSEWHERE, IS_NEXT, MaskedBatches, MixtureBatches
from atinuke.data.batches.windows import WindowBatches
from atinuke.errors import ConfigError, SourceError

END, VOCAB_SIZE, MASK = 0, 100_000, 100_000
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")


class Memory:
    """Tokens in memory."""

    def __init__(self, tokens: Sequence[int]):
        self._tokens = np.array(tokens, dtype=np.int64)
        self.total_tokens = len(self._tokens)

    def at(self, places: NDArray[np.int64]) -> NDArray[np.int64]:
        assert not places.size or (0 <= places.min() and places.max() < self.total_tokens)
        return self._tokens[places]


def documents(*lengths: int) -> Memory:
    """Every token differs from all others: 1, 2, 3 … with ends of documents between them, the id being its place."""
    tokens: list[int] = []
    for length in lengths:
        tokens += [*range(len(tokens) + 1, len(tokens) + 1 + length), END]
    return Memory(tokens)


def source(shards: Memory, context: int = 16, batch_seqs: int = 4, seed: int = 0, **more: Any) -> MaskedBatches:
    return MaskedBatches(
        shards,
        context=context,
        batch_seqs=batch_seqs,
        seed=seed,
        mask_id=MASK,
        end_id=END,
        vocab_size=VOCAB_SIZE,
        **more,
    )


def original(batch: Batch) -> torch.Tensor:
    """The tokens before any were hidden."""
    tokens, _, _, places = batch.inputs
    return tokens.flatten().index_copy(0, places, batch.targets[0]).view_as(tokens)


def segments_of(batch: Batch) -> list[tuple[list[int], list[int]]]:
    """A and B of each row, having checked how the row is framed."""
    tokens, segments, is_token, _ = batch.inputs
    is_token = torch.ones_like(tokens, dtype=torch.bool) if is_token is None else is_token
    found = []
    for row, numbers, real in zip(original(batch).tolist(), segments.tolist(), is_token.tolist(), strict=True):
        width = sum(real)
        assert real == [True] * width + [False] * (len(row) - width)
        assert row[width:] == [END] * (len(row) - width) and not any(numbers[width:])
        second = numbers.index(1) if 1 in numbers else width
        assert numbers[second:width] == [1] * (width - second)
        assert row[0] == row[second - 1] == row[width - 1] == END
        found.append((row[1 : second - 1], row[second : width - 1]))
    return found


LENGTHS = st.lists(st.integers(0, 40), min_size=2, max_size=8).filter(lambda all: sum(n >= 2 for n in all) >= 2)


@given(LENGTHS, st.integers(5, 24), st.integers(0, 2**63), st.integers(0, 50))
def test_a_row_is_two_segments_of_one_document_or_of_two(
    lengths: list[int], context: int, seed: int, position: int
) -> None:
    shards = documents(*lengths)
    document = np.cumsum(shards.at(np.arange(shards.total_tokens)) == END)
    batch = source(shards, context, seed=seed).batch(position)
    for (first, second), label in zip(segments_of(batch), batch.targets[1].tolist(), strict=True):
        assert first and second and END not in first + second
        assert first == list(range(first[0], first[0] + len(first)))
        assert second == list(range(second[0], second[0] + len(second)))
        same = document[first[0] - 1] == document[second[0] - 1]
        assert document[first[-1] - 1] == document[first[0] - 1]
        assert document[second[-1] - 1] == document[second[0] - 1]
        if label == IS_NEXT:
            assert same and second[0] == first[-1] + 1
        else:
            assert label == IS_ELSEWHERE and not same
    assert len(batch.targets[0]) == len(batch.inputs[3]) >= 4
    assert batch.target_count == batch.inputs[0].numel()
    assert batch.next_position == position + 4


@given(LENGTHS, st.integers(5, 24), st.integers(0, 3), st.integers(0, 2**63))
@settings(max_examples=40)
def test_in_each_epoch_the_windows_cover_every_document(
    lengths: list[int], context: int, epoch: int, seed: int
) -> None:
    shards, window = documents(*lengths), context - 3
    tokens = shards.at(np.arange(shards.total_tokens))
    ends = np.flatnonzero(tokens == END)
    rows = source(shards, context, batch_seqs=1, seed=seed)
    assert rows.windows_per_epoch == sum(-(-length // window) for length in lengths if length >= 2)
    covered: set[int] = set()
    for number in range(rows.windows_per_epoch):
        first, _ = segments_of(rows.batch(epoch * rows.windows_per_epoch + number))[0]
        length = int(np.diff(ends, prepend=-1)[np.searchsorted(ends, first[0])]) - 1  # of its document
        covered |= set(range(first[0], first[0] + min(window, length)))
    expected = [piece[piece != END] for piece in np.split(tokens, ends)]
    assert covered == {int(token) for piece in expected if len(piece) >= 2 for token in piece}


@given(st.integers(1, 200), st.integers(3, 20), st.integers(0, 3))
@settings(max_examples=40)
def test_without_pairs_every_token_is_in_a_row_of_each_epoch(total: int, context: int, epoch: int) -> None:
    shards = Memory([END if place % 7 == 6 else place + 1 for place in range(total)])
    rows = source(shards, context, batch_seqs=1, next_sentence=False)
    read = []
    for number in range(rows.windows_per_epoch):
        batch = rows.batch(epoch * rows.windows_per_epoch + number)
        first, second = segments_of(batch)[0]
        assert not second and batch.targets[1].tolist() == [IGNORE]
        read += first
    assert set(read) - {END} == set(shards.at(np.arange(total)).tolist()) - {END}
    assert len(read) < total + context


@pytest.mark.parametrize("next_sentence", [True, False])
@given(position=st.integers(0, 200), batch_seqs=st.integers(1, 6), seed=st.integers(0, 3))
@settings(max_examples=20)
def test_a_batch_depends_on_seed_and_position_alone(
    next_sentence: bool, position: int, batch_seqs: int, seed: int
) -> None:
    shards = documents(30, 50, 7, 90)
    single = source(shards, batch_seqs=1, seed=seed, next_sentence=next_sentence)
    rows = [single.batch(place) for place in range(position, position + batch_seqs)]
    at_once = source(shards, batch_seqs=batch_seqs, seed=seed, next_sentence=next_sentence)
    for other in (90, 0, 777):  # whatever was asked for before
        at_once.batch(other)
    batch = at_once.batch(position)
    for which in (0, 1):
        assert torch.equal(batch.inputs[which], torch.cat([row.inputs[which] for row in rows]))
    for which in (0, 1):
        assert torch.equal(batch.targets[which], torch.cat([row.targets[which] for row in rows]))


def test_rows_are_the_same_on_every_machine() -> None:
    # Written down from the first run: a change would break the resuming of runs that others have on their disks.
    batch = source(documents(30, 50), context=12, batch_seqs=2).batch(0)
    assert batch.inputs[0].tolist() == [
        [0, 8, 9, 10, 100000, 0, 54, 55, 56, 57, 58, 0],
        [0, 67, 100000, 69, 70, 0, 71, 72, 73, 74, 75, 0],
    ]
    assert batch.targets[1].tolist() == [1, 0]


def test_seeds_and_epochs_differ() -> None:
    shards = documents(30, 50, 7, 90)
    rows = source(shards, batch_seqs=8)
    first = rows.batch(0)
    assert not torch.equal(first.inputs[0], rows.batch(rows.windows_per_epoch).inputs[0])
    assert not torch.equal(first.inputs[0], source(shards, batch_seqs=8, seed=1).batch(0).inputs[0])


def test_half_of_the_second_segments_follow_and_their_length_gives_nothing_away() -> None:
    rows = source(documents(*[200] * 20), context=32, batch_seqs=2000)
    batch = rows.batch(0)
    labels = batch.targets[1].numpy()
    assert labels.mean() == pytest.approx(0.5, abs=0.05)
    assert batch.inputs[2] is None, "no row is padded"
    cuts = batch.inputs[1].argmax(dim=1).numpy()
    assert cuts[labels == IS_NEXT].mean() == pytest.approx(cuts[labels == IS_ELSEWHERE].mean(), abs=0.5)
    assert cuts.min() < 11 and cuts.max() > 21, "A is long and short"


def test_a_segment_from_elsewhere_comes_from_every_place_alike() -> None:
    rows = source(documents(100, 300, 100), context=20, batch_seqs=4000, next_sentence=True)
    batch = rows.batch(0)
    begins = [b[0] for (_, b), label in zip(segments_of(batch), batch.targets[1].tolist(), strict=True) if label]
    firsts = [a[0] for (a, _), label in zip(segments_of(batch), batch.targets[1].tolist(), strict=True) if label]
    begins, firsts = np.array(begins), np.array(firsts)
    from_first = begins[firsts <= 100]
    # beside the first document there are 300 tokens and 100
    assert ((from_first > 101) & (from_first < 402)).mean() == pytest.approx(0.75, abs=0.07)


def test_a_single_text_is_paired_with_places_far_away_and_says_so() -> None:
    rows = source(Memory(range(1, 401)), context=16, batch_seqs=500)
    assert "no second document" in rows.note
    batch = rows.batch(0)
    for (first, second), label in zip(segments_of(batch), batch.targets[1].tolist(), strict=True):
        if label == IS_ELSEWHERE:
            assert min(abs(second[0] - first[0]), 400 - abs(second[0] - first[0])) > 100 - 16
        else:
            assert second[0] == first[-1] + 1
    assert source(documents(40, 40)).note == ""


def test_segments_begin_with_a_word_where_words_are_known() -> None:
    starts = np.arange(VOCAB_SIZE) % 3 == 0
    rows = source(documents(*[150] * 8), context=32, batch_seqs=200, word_starts=starts)
    seconds = np.array([second[0] for _, second in segments_of(rows.batch(0))])
    assert (seconds % 3 == 0).mean() > 0.9  # all but those that may not move so far
    plain = source(documents(*[150] * 8), context=32, batch_seqs=200)
    assert (np.array([second[0] for _, second in segments_of(plain.batch(0))]) % 3 == 0).mean() < 0.5


def test_whole_words_reach_the_rows() -> None:
    starts = np.arange(VOCAB_SIZE) % 2 == 1  # words (1, 2), (3, 4), …
    rows = source(Memory(range(1, 2001)), 42, 20, whole_words=True, word_starts=starts, next_sentence=False, share=0.2)
    batch = rows.batch(0)
    chosen = torch.zeros(20 * 42, dtype=torch.bool).index_fill_(0, batch.inputs[3], True).view(20, 42)[:, 1:-1]
    first = original(batch)[:, 1]
    assert chosen.sum() == 20 * 8
    for row, begin in zip(chosen.tolist(), first.tolist(), strict=True):
        row = row[1:-1] if begin % 2 == 0 else row  # a window may begin and end in the middle of a word
        assert row[0::2] == row[1::2]


@pytest.mark.parametrize("tokens", [[], [END], [END] * 50])
@pytest.mark.parametrize("next_sentence", [True, False])
def test_a_text_with_nothing_to_mask_is_refused_in_one_line(tokens: list[int], next_sentence: bool) -> None:
    with pytest.raises(SourceError, match="nothing to mask") as caught:
        source(Memory(tokens), next_sentence=next_sentence)
    assert "\n" not in str(caught.value)


def test_one_document_too_short_for_pairs_is_refused_and_serves_without_them() -> None:
    with pytest.raises(SourceError, match=r"has 90 tokens; .* needs 104.*next_sentence=false") as caught:
        source(documents(90))
    assert "\n" not in str(caught.value)
    assert source(documents(90), next_sentence=False).batch(0).target_count > 0
    assert source(documents(104)).batch(0).target_count > 0


def test_documents_of_a_single_token_are_left_out_and_counted() -> None:
    rows = source(documents(1, 20, 1, 20, 0, 1))
    assert rows.note.startswith("3 documents of a single token")
    assert all(len(first) + len(second) > 1 for first, second in segments_of(rows.batch(0)))


@pytest.mark.parametrize(("next_sentence", "least"), [(True, 5), (False, 3)])
def test_a_context_that_holds_no_text_is_refused_in_one_line(next_sentence: bool, least: int) -> None:
    with pytest.raises(ConfigError, match=f"context is {least - 1}; .* at least {least}"):
        source(documents(50, 50), context=least - 1, next_sentence=next_sentence)
    batch = source(documents(50, 50), context=least, next_sentence=next_sentence).batch(0)
    assert len(batch.targets[0]) == 4


def test_a_stretch_without_text_is_passed_over() -> None:
    shards = Memory([*[END] * 40, 41, 42, *[END] * 60])
    rows = source(shards, context=8, batch_seqs=1, next_sentence=False)
    for position in range(rows.windows_per_epoch):
        batch = rows.batch(position)
        assert len(batch.targets[0]) == 1
        assert set(batch.targets[0].tolist()) <= {41, 42}


def test_tensors_go_to_the_device_that_was_asked_for() -> None:
    batch = source(documents(50, 8), device="meta", batch_seqs=30).batch(0)
    assert [tensor.device.type for tensor in (*batch.inputs, *batch.targets)] == ["meta"] * 6
    assert batch.inputs[2].dtype == torch.bool


def mixture(total: int = 500, context: int = 12, seed: int = 0, masked_share: float = 0.5, **more: Any):  # type: ignore[no-untyped-def]
    windows = WindowBatches(Memory(range(1, total + 1)), context=context, batch_seqs=3, seed=seed)
    rules = {"mask_id": MASK, "end_id": END, "vocab_size": VOCAB_SIZE, **more}
    return windows, MixtureBatches(windows, seed=seed, masked_share=masked_share, **rules)


def test_a_hidden_token_is_asked_for_one_place_before_it() -> None:
    windows, batches = mixture(masked_share=1.0, share=0.3)
    for position in range(0, 60, 3):
        batch, plain = batches.batch(position), windows.batch(position)
        tokens, cache, mask = batch.inputs
        before = plain.inputs[0]
        assert cache is None and mask == "full"
        assert torch.equal(tokens[:, 0], before[:, 0]), "nothing stands before the first, so it is never hidden"
        asked = batch.targets != IGNORE
        assert batch.target_count == 36
        assert asked.sum() == 3 * 3  # 0.3 of 11 tokens, rounded
        assert not asked[:, -1].any()
        assert torch.equal(batch.targets[:, :-1][asked[:, :-1]], before[:, 1:][asked[:, :-1]])
        changed = tokens != before
        assert not (changed[:, 1:] & ~asked[:, :-1]).any()
        assert (batch.position, batch.next_position) == (plain.position, plain.next_position)


def test_a_causal_batch_of_the_mixture_is_the_plain_one() -> None:
    windows, batches = mixture(masked_share=0.0)
    batch, plain = batches.batch(6), windows.batch(6)
    assert torch.equal(batch.inputs[0], plain.inputs[0]) and batch.inputs[1:] == (None, "causal")
    assert torch.equal(batch.targets, plain.targets)
    assert batch.target_count == plain.target_count == 36


@pytest.mark.parametrize("masked_share", [0.2, 0.5])
def test_the_mixture_has_the_share_that_was_asked_for_in_no_order_that_can_be_seen(masked_share: float) -> None:
    kinds = [mixture(masked_share=masked_share)[1].batch(3 * step).inputs[2] == "full" for step in range(600)]
    assert np.mean(kinds) == pytest.approx(masked_share, abs=0.07)
    assert abs(np.corrcoef(kinds[1:], kinds[:-1])[0, 1]) < 0.15
    again = [mixture(masked_share=masked_share)[1].batch(3 * step).inputs[2] == "full" for step in (5, 400, 7)]
    assert again == [kinds[step] for step in (5, 400, 7)]
    other = [mixture(masked_share=masked_share, seed=1)[1].batch(3 * step).inputs[2] == "full" for step in range(600)]
    assert other != kinds


def test_where_nothing_can_be_hidden_the_mixture_goes_on_causally() -> None:
    windows = WindowBatches(Memory([END] * 50), context=8, batch_seqs=2, seed=0)
    batches = MixtureBatches(windows, seed=0, masked_share=1.0, mask_id=MASK, end_id=END, vocab_size=VOCAB_SIZE)
    assert batches.batch(0).inputs[2] == "causal"
