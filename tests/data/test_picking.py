from hashlib import blake2b

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.data.picking import SmallestHashes, TextSample, hash64

OFFERS = st.lists(st.tuples(st.integers(0, 1000), st.integers(1, 30)), unique_by=lambda offer: offer[0])


def longest_run(offers: list[tuple[int, int]], max_size: int) -> list[tuple[int, int]]:
    """By definition: in the order of the keys, as long as they fit."""
    run: list[tuple[int, int]] = []
    for key, size in sorted(offers):
        if sum(size for _, size in run) + size > max_size:
            break
        run.append((key, size))
    return run


@given(OFFERS, st.randoms(), st.integers(0, 200))
def test_what_is_kept_is_the_longest_run_of_smallest_keys_in_any_order_of_offers(
    offers: list[tuple[int, int]], random: object, max_size: int
) -> None:
    expected = longest_run(offers, max_size)
    random.shuffle(offers)  # type: ignore[attr-defined]
    kept: SmallestHashes[str] = SmallestHashes(max_size)
    for key, size in offers:
        kept.offer((key,), str(key), size)
    assert kept.entries() == [((key,), str(key), size) for key, size in expected]
    assert all(kept.would_keep((key,)) is False for key, _ in expected)


def test_a_second_offer_under_one_key_takes_no_room() -> None:
    kept: SmallestHashes[str] = SmallestHashes(10)
    for text in ("first", "second", "third"):
        kept.offer((1,), text, 5)
    kept.offer((2,), "other", 5)
    assert [text for _, text, _ in kept.entries()] == ["first", "other"]


def test_hash64_is_the_first_eight_bytes_of_short_blake2b() -> None:
    assert hash64(b"abc") == int(blake2b(b"abc", digest_size=8).hexdigest(), 16)


@pytest.mark.parametrize("sample_bytes", [4, 100, 5000, 10**6])
def test_a_sample_is_bounded_in_reading_order_and_from_all_over(sample_bytes: int) -> None:
    texts = [f"document {number}: " + "words é " * 20 for number in range(300)]
    sample = TextSample(sample_bytes)
    for ordinal, text in enumerate(texts):
        sample.offer(ordinal, 0, text)
    pieces = sample.texts()
    size = sum(len(piece.encode()) for piece in pieces)
    assert 0 < size <= sample_bytes
    joined = "".join(texts)
    places = [joined.index(piece) for piece in pieces if "document" in piece]
    assert places == sorted(places)
    if sample_bytes == 5000:
        assert size > 4500
        assert min(places) < len(joined) / 4 < len(joined) * 3 / 4 < max(places)
    if sample_bytes == 10**6:
        assert pieces == texts


@given(st.lists(st.text(min_size=1, max_size=20)), st.integers(1, 200))
def test_merging_samples_is_the_same_as_offering_everything_to_one(texts: list[str], sample_bytes: int) -> None:
    whole = TextSample(sample_bytes)
    merged = TextSample(sample_bytes)
    for ordinal, text in enumerate(texts):
        whole.offer(ordinal, 0, text)
        one = merged.empty_twin()
        one.offer(ordinal, 0, text)
        merged.merge(one)
    assert merged.texts() == whole.texts()
