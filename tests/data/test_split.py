import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from atinuke.config import validate
from atinuke.data.picking import hash64
from atinuke.data.sources import Sources
from atinuke.data.split import Scan, SplitRules, line_overlap, scan, training_documents
from atinuke.errors import ConfigError, SourceError

InMemory = Callable[..., Sources]
RULES = SplitRules()
BIG_SAMPLE = 10**9


def words(seed: int, count: int) -> str:
    """Prose-like text that is different for each seed: lines of eight made-up words."""
    noise = random.Random(seed)
    made = ["".join(noise.choices("abcdefghij", k=6)) for _ in range(count)]
    return "\n".join(" ".join(made[start : start + 8]) for start in range(0, count, 8)) + "\n"


def trained(sources: Sources, result: Scan, max_bytes: int | None = None) -> list[str]:
    """The training texts, parts joined."""
    texts: list[str] = []
    is_new = True
    for document in training_documents(sources, result, max_bytes=max_bytes):
        assert (document.part == 0) == is_new
        texts = [*texts, document.text] if is_new else [*texts[:-1], texts[-1] + document.text]
        is_new = document.is_last
    assert is_new
    return texts


# --- A single text ---


@given(st.text(min_size=2, max_size=3000), st.sampled_from([0.01, 0.1, 0.5]), st.integers(1, 500))
def test_of_a_single_text_the_last_tenth_of_its_characters_is_held_out(
    in_memory: InMemory, text: str, fraction: float, part_chars: int
) -> None:
    sources = in_memory([text], part_chars)
    result = scan(sources, SplitRules(validation_fraction=fraction, validation_bytes=100_000), sample_bytes=BIG_SAMPLE)
    count = len(text) - int((1 - fraction) * len(text))
    assert result.validation == [text[-count:]]
    assert trained(sources, result) == [text[:-count]]
    assert "".join(result.sample) == text[:-count]
    assert (result.is_single_text, result.train_documents, result.train_chars) == (True, 1, len(text) - count)
    assert result.train_bytes == len(text[:-count].encode())
    assert result.validation_bytes == len(text[-count:].encode())


@given(st.integers(0, 10**6), st.integers(900, 5000))
def test_of_a_single_text_no_more_bytes_are_held_out_than_allowed(
    in_memory: InMemory, seed: int, part_chars: int
) -> None:
    text = "".join(random.Random(seed).choices("aé猫𝄞", k=11_000))
    sources = in_memory([text], part_chars)
    result = scan(sources, SplitRules(validation_bytes=1000), sample_bytes=BIG_SAMPLE)
    [held_out] = result.validation
    assert 1000 - 3 <= len(held_out.encode()) <= 1000
    assert trained(sources, result)[0] + held_out == text


def test_a_single_text_is_read_only_once(in_memory: InMemory) -> None:
    sources = in_memory([words(0, 1000)])
    scan(sources, RULES, sample_bytes=1000)
    assert sources.passes == 1  # type: ignore[attr-defined]


def test_one_text_in_two_copies_is_a_single_text(in_memory: InMemory) -> None:
    text = words(0, 3000)
    sources = in_memory([text, text])
    result = scan(sources, RULES, sample_bytes=1000)
    assert (result.is_single_text, result.duplicates, result.train_documents) == (True, 1, 1)
    assert trained(sources, result)[0] + result.validation[0] == text


def test_a_single_character_cannot_be_split(in_memory: InMemory) -> None:
    with pytest.raises(SourceError, match="single character"):
        scan(in_memory(["x"]), RULES, sample_bytes=10)


# --- A corpus ---

CORPORA = st.lists(st.text("ab \n", min_size=1, max_size=60), min_size=2, max_size=60)


@given(CORPORA, st.integers(1, 100), st.sampled_from([0.05, 0.1, 0.5]))
def test_held_out_and_training_text_are_the_whole_corpus_and_apart(
    in_memory: InMemory, texts: list[str], part_chars: int, fraction: float
) -> None:
    sources = in_memory(texts, part_chars)
    if len("".join(dict.fromkeys(texts))) < 2:
        return
    result = scan(sources, SplitRules(validation_fraction=fraction), sample_bytes=BIG_SAMPLE)
    training = trained(sources, result)
    assert training
    assert result.validation
    different = list(dict.fromkeys(texts))
    assert len(texts) - len(different) == result.duplicates
    by_documents = set(result.validation) <= set(texts) and Counter(result.validation + training) == Counter(different)
    at_the_end = "".join(training + result.validation) == "".join(different)
    assert result.near_duplicates or by_documents or at_the_end
    assert result.train_documents == len(training)
    assert result.train_bytes == sum(len(text.encode()) for text in training)
    assert sum(len(piece) for piece in result.sample) == sum(map(len, training))


@given(st.integers(0, 10**6), st.integers(10, 60), st.randoms())
def test_the_held_out_documents_do_not_depend_on_the_reading_order(
    in_memory: InMemory, seed: int, count: int, shuffled: Any
) -> None:
    texts = [words(seed + number, 40 + number) for number in range(count)]
    first = scan(in_memory(texts), RULES, sample_bytes=1000)
    shuffled.shuffle(texts)
    second = scan(in_memory(texts), RULES, sample_bytes=1000)
    assert set(first.validation) == set(second.validation)
    assert set(first.sample) == set(second.sample)


def test_a_tenth_of_the_documents_with_the_smallest_hashes_is_held_out(in_memory: InMemory) -> None:
    texts = [words(number, 80) for number in range(200)]
    result = scan(in_memory(texts), RULES, sample_bytes=1000)
    assert set(result.validation) == set(sorted(texts, key=lambda text: hash64(text.encode()))[:20])
    assert (result.is_single_text, result.documents, result.train_documents) == (False, 200, 180)


def test_no_more_bytes_of_a_corpus_are_held_out_than_allowed(in_memory: InMemory) -> None:
    texts = [words(number, 80) for number in range(200)]
    result = scan(in_memory(texts), SplitRules(validation_bytes=2000), sample_bytes=1000)
    by_hash = sorted(texts, key=lambda text: hash64(text.encode()))
    assert result.validation_bytes <= 2000 < result.validation_bytes + len(by_hash[0].encode())
    assert set(result.validation) == set(by_hash[: len(result.validation)])


def test_a_document_too_long_to_be_held_out_is_passed_over(in_memory: InMemory) -> None:
    texts = [words(number, 80) for number in range(100)]
    first = min(texts, key=lambda text: hash64(text.encode()))
    grown = [text for text in texts if text != first]
    long = words(999, 3000)
    while hash64(long.encode()) > hash64(first.encode()):  # until it comes first by hash
        long += "."
    result = scan(in_memory([*grown, first, long]), SplitRules(validation_bytes=20_000), sample_bytes=1000)
    assert first in result.validation
    assert long not in result.validation


@pytest.mark.parametrize("count", range(3, 10))
def test_of_three_to_nine_documents_exactly_one_is_held_out(count: int, in_memory: InMemory) -> None:
    texts = [words(number, 800) for number in range(count)]
    result = scan(in_memory(texts), RULES, sample_bytes=1000)
    assert result.validation == [min(texts, key=lambda text: hash64(text.encode()))]
    assert result.train_documents == count - 1


def test_of_two_documents_the_shorter_is_held_out_when_it_is_worth_measuring(in_memory: InMemory) -> None:
    long, short = words(1, 8000), words(2, 2000)
    for texts in ([long, short], [short, long]):
        result = scan(in_memory(texts), RULES, sample_bytes=1000)
        assert result.validation == [short]
        assert not result.is_single_text


def test_a_note_beside_a_book_is_too_little_so_the_end_of_both_is_held_out(in_memory: InMemory) -> None:
    note, book = "Read me first.\n", words(1, 20_000)
    sources = in_memory([note, book])
    result = scan(sources, RULES, sample_bytes=BIG_SAMPLE)
    assert result.validation == [(note + book)[int(0.9 * len(note + book)) :]]
    assert trained(sources, result) == [note, book[: -len(result.validation[0])]]
    assert (result.train_documents, result.is_single_text, result.train_chars) == (2, False, None)
    reversed_sources = in_memory([book, note])
    result = scan(reversed_sources, RULES, sample_bytes=BIG_SAMPLE)
    assert result.validation[-1] == note
    assert "".join(trained(reversed_sources, result) + result.validation) == book + note


def test_of_books_that_are_all_too_long_the_end_of_the_last_is_held_out(in_memory: InMemory) -> None:
    books = [words(number, 2000) for number in range(12)]
    sources = in_memory(books, 700)
    result = scan(sources, SplitRules(validation_bytes=5000), sample_bytes=BIG_SAMPLE)
    assert result.validation == [books[-1][-5000:]]
    assert trained(sources, result) == [*books[:-1], books[-1][:-5000]]
    assert "".join(result.sample) == "".join(books)[:-5000]


def test_equal_documents_fall_on_one_side_and_are_trained_on_once(in_memory: InMemory) -> None:
    texts = [words(number % 40, 60) for number in range(120)]
    sources = in_memory(texts)
    result = scan(sources, RULES, sample_bytes=BIG_SAMPLE)
    training = trained(sources, result)
    assert result.duplicates == 80
    assert Counter(training + result.validation) == Counter(set(texts))


# --- Near-duplicates ---


def test_line_overlap_counts_by_hand() -> None:
    held_out = {"a line of twenty chars", "x" * 20}
    text = "  a line of twenty chars \nshort\n" + "x" * 20 + "\n" + "x" * 19 + "\n\n"
    assert line_overlap(text, held_out) == (22 + 20, 22 + 5 + 20 + 19)
    assert line_overlap(text, set()) == (0, 66)


@pytest.mark.parametrize("part_chars", [50, 10**9])
def test_a_training_document_that_is_half_a_held_out_one_is_removed(part_chars: int, in_memory: InMemory) -> None:
    texts = [words(number, 400) for number in range(60)]
    held_out = scan(in_memory(texts), RULES, sample_bytes=1000).validation[0].splitlines(keepends=True)
    own = words(777, 4000).splitlines(keepends=True)
    half = len(held_out) // 2
    near = {
        "edited": "".join("    " + line for line in held_out[::-1][:-3]) + "".join(own[:4]),
        "half": "".join(held_out[: half + 2] + own[:half]),
    }
    other = {"quotes": "".join(held_out[: half - 4] + own[: half + 4])}
    # Parts that cut through lines hide some of them, so lines stay whole here.
    part = part_chars if part_chars > 10**6 else 50 * len(held_out[0])
    sources = in_memory([*texts, *near.values(), *other.values()], part)
    result = scan(sources, SplitRules(validation_fraction=6 / 63), sample_bytes=BIG_SAMPLE)
    training = trained(sources, result)
    assert "".join(held_out) in result.validation
    removed = [name for name, text in {**near, **other}.items() if text not in training + result.validation]
    assert sorted(removed) == ["edited", "half"]
    assert result.near_duplicates == 2
    assert not any(text in "".join(result.sample) for text in near.values())
    assert result.train_bytes == sum(len(text.encode()) for text in training)


def test_documents_of_short_lines_are_never_near_duplicates(in_memory: InMemory) -> None:
    texts = [f"def f{number}():\n    return {number}\n\n\nelse:\n" * 50 for number in range(30)]
    assert scan(in_memory(texts), RULES, sample_bytes=1000).near_duplicates == 0


def test_when_all_documents_are_alike_the_end_is_held_out_instead(in_memory: InMemory) -> None:
    form = words(1, 400)
    texts = [form + f"signed by person number {number:04}\n" for number in range(20)]
    sources = in_memory(texts)
    result = scan(sources, RULES, sample_bytes=1000)
    assert (result.near_duplicates, result.train_documents) == (0, 18)
    assert "".join(trained(sources, result) + result.validation) == "".join(texts)


# --- The tokenizer's sample, and thinner training text ---


@pytest.mark.parametrize("count", [1, 40])
def test_the_tokenizer_never_sees_held_out_text(count: int, in_memory: InMemory) -> None:
    texts = [words(number, 40_000 // count) for number in range(count)]
    result = scan(in_memory(texts, 5000), RULES, sample_bytes=50_000)
    held_out = {line for text in result.validation for line in text.splitlines()[1:]}
    sampled = {line for piece in result.sample for line in piece.splitlines()}
    assert 25_000 < sum(len(piece) for piece in result.sample) <= 50_000
    assert held_out
    assert not held_out & sampled


THIRTY = [words(number, 100) for number in range(30)]


@given(st.integers(1, 30_000), st.integers(1, 40))
@settings(max_examples=25)
def test_about_max_bytes_of_a_corpus_are_trained_on_the_same_ones_each_time(
    in_memory: InMemory, max_bytes: int, part_words: int
) -> None:
    sources = in_memory(THIRTY, part_words * 7)
    result = scan(sources, RULES, sample_bytes=1000)
    some = trained(sources, result, max_bytes)
    assert some == trained(sources, result, max_bytes)
    size = sum(len(text.encode()) for text in some)
    assert size == min(max(max_bytes, 4), result.train_bytes)
    whole = trained(sources, result)
    cut = [text for text in some if text not in whole]
    assert len(cut) <= 1
    assert all(any(text.startswith(start) for text in whole) for start in cut)
    more = trained(sources, result, max_bytes * 2)
    assert all(any(text.startswith(start) for text in more) for start in some)


@given(st.integers(40, 22_000), st.integers(100, 60_000))
@settings(max_examples=40)
def test_about_max_bytes_of_a_single_text_are_pieces_from_all_over_in_order(
    in_memory: InMemory, max_bytes: int, part_chars: int
) -> None:
    text = "".join(f"{number:07d}é\n" for number in range(2000))
    sources = in_memory([text], part_chars)
    result = scan(sources, RULES, sample_bytes=1000)
    pieces = list(training_documents(sources, result, max_bytes=max_bytes))
    assert pieces == list(training_documents(sources, result, max_bytes=max_bytes))
    size = sum(len(piece.text.encode()) for piece in pieces)
    assert size == pytest.approx(min(max_bytes, result.train_bytes), rel=0.35)
    whole = text[: -len(result.validation[0])]
    place = 0
    for piece in pieces:
        place = whole.index(piece.text, place) + len(piece.text)
    assert whole.endswith(pieces[-1].text)  # the held-out text goes on from there


def test_pieces_of_a_single_text_come_from_everywhere(in_memory: InMemory) -> None:
    text = "".join(f"{number:07d}\n" for number in range(100_000))
    sources = in_memory([text])
    result = scan(sources, SplitRules(validation_bytes=1000), sample_bytes=1000)
    pieces = list(training_documents(sources, result, max_bytes=200_000))
    starts = [text.index(piece.text) for piece in pieces]
    assert len(pieces) >= 4
    assert starts == sorted(starts)
    assert min(starts) < len(text) / 3
    assert [piece.is_last for piece in pieces] == [False] * (len(pieces) - 1) + [True]


# --- Changes and rules ---


@pytest.mark.parametrize("change", ["other", "fewer", "more", "order"])
def test_a_second_pass_that_sees_something_else_is_an_error(change: str, in_memory: InMemory) -> None:
    texts = [words(number, 80) for number in range(12)]
    sources = in_memory(texts)
    result = scan(sources, RULES, sample_bytes=1000)
    changed = {"other": [*texts[:-1], "x"], "fewer": texts[:-1], "more": [*texts, "x"], "order": texts[::-1]}[change]
    sources.texts = changed  # type: ignore[attr-defined]
    with pytest.raises(SourceError, match="changed between two readings"):
        list(training_documents(sources, result))


@pytest.mark.parametrize(
    "values", [{"validation_fraction": 0}, {"validation_fraction": 0.6}, {"validation_bytes": 10}, {"fraction": 0.1}]
)
def test_rules_outside_their_bounds_are_refused(values: dict[str, float]) -> None:
    with pytest.raises(ConfigError):
        validate(SplitRules, values)


def test_the_rules_hold_for_files_too(tmp_path: Path) -> None:
    for number in range(30):
        (tmp_path / f"{number}.txt").write_text(words(number, 100))
    sources = Sources([str(tmp_path)])
    result = scan(sources, RULES, sample_bytes=5000)
    assert len(result.validation) == 3
    assert len(trained(sources, result)) == 27
    assert result.notes.documents == 30
