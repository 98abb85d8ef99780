"""Pairs from the files that people keep them in, and which of them are held out."""

import gzip
import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.data.rows import RowNotes
from atinuke.data.translations import Pair, Pairs, read_pairs, split_pairs
from atinuke.errors import SourceError


def write(folder: Path, **texts: str) -> list[str]:
    """Files of these texts; `de__gz` is de.gz, compressed."""
    specs = []
    for name, text in texts.items():
        path = folder / name.replace("__", ".")
        path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
        specs.append(str(path))
    return specs


def pairs_of(pairs: list[Pair]) -> Pairs:
    return Pairs(pairs, "memory", ("memory",), RowNotes())


class TestReading:
    def test_lines_of_two_files_belong_together(self, tmp_path: Path) -> None:
        # As Multi30k has them: one sentence per line, compressed.
        specs = write(
            tmp_path,
            train__de__gz="Zwei junge Männer sind im Freien.\nEin Hund.\n",
            train__en__gz="Two young men are outside.\r\nA dog.",
        )
        pairs = read_pairs(specs)
        assert pairs.pairs == [
            ("Zwei junge Männer sind im Freien.", "Two young men are outside."),
            ("Ein Hund.", "A dog."),
        ]
        assert list(pairs.texts())[:2] == list(pairs.pairs[0])
        assert pairs.notes.skipped == 0 and len(pairs) == 2

    def test_couples_and_tables_go_together(self, tmp_path: Path) -> None:
        specs = write(
            tmp_path, a__de="eins\n", a__en="one\n", b__tsv="zwei Worte\ttwo words\n", c__de="drei", c__en="3"
        )
        assert read_pairs(specs).pairs == [("eins", "one"), ("zwei Worte", "two words"), ("drei", "3")]

    def test_a_table_with_named_columns_and_quotes(self, tmp_path: Path) -> None:
        # As MENYO-20k has it: a header, CSV's quoting, and marks that pasting left.
        rows = (
            "English\tYoruba\n"
            "Unit 1: What is it?\t\ufeffÌdá 1: Kín ni?\n"
            '"""No, No,"" she answered herself."\t"""Rárá, Rárá o,"" ó dá ara rẹ̀ lóhùn."\n'
        )
        pairs = read_pairs(write(tmp_path, train__tsv=rows))
        assert pairs.pairs == [
            ("Unit 1: What is it?", "Ìdá 1: Kín ni?"),
            ('"No, No," she answered herself.', '"Rárá, Rárá o," ó dá ara rẹ̀ lóhùn.'),
        ]
        assert "English and Yoruba" in pairs.notes.describe("pairs")[0]

    def test_a_table_without_names_keeps_its_first_row(self, tmp_path: Path) -> None:
        pairs = read_pairs(write(tmp_path, x__tsv='Go.\tGeh.\tCC-BY\n"Go," he said.\tGeh!\n'))
        assert pairs.pairs == [("Go.", "Geh."), ('"Go," he said.', "Geh!")]

    def test_objects_hold_source_and_target_or_two_languages(self, tmp_path: Path) -> None:
        rows = [
            {"source": "ja", "target": "yes"},
            {"translation": {"de": "nein", "en": "no"}},
            {"translation": {"en": "perhaps", "de": "vielleicht"}},
            {"source": "1", "target": 1},
            {"translation": {"fr": "oui", "en": "yes"}},
        ]
        pairs = read_pairs(write(tmp_path, x__jsonl="\n".join(map(json.dumps, rows))))
        assert pairs.pairs == [("ja", "yes"), ("nein", "no"), ("vielleicht", "perhaps")]
        assert pairs.notes.counts == {"no texts in its fields source and target, nor in translation": 2}
        assert pairs.notes.remarks == [f"{pairs.specs[0]}: the source is de and the target is en."]

    def test_unequal_lengths_are_refused_with_both_counts(self, tmp_path: Path) -> None:
        specs = write(tmp_path, a__de="1\n2\n3\n", a__en="1\n2\n")
        with pytest.raises(SourceError, match=r"a\.de has 3 lines and .*a\.en has 2; expected"):
            read_pairs(specs)

    def test_empty_sides_are_skipped_and_said_with_their_places(self, tmp_path: Path) -> None:
        specs = write(tmp_path, a__de="eins\n\nzwei\n \n", a__en="one\ntwo\n\n\t\n")
        pairs = read_pairs(specs)
        assert pairs.pairs == [("eins", "one")]
        assert pairs.notes.places == {
            "empty source": [f"{specs[0]}:2"],
            "empty target": [f"{specs[0]}:3"],
            "both sides empty": [f"{specs[0]}:4"],
        }

    def test_a_row_of_one_column_is_skipped(self, tmp_path: Path) -> None:
        pairs = read_pairs(write(tmp_path, a__tsv="Good day.\tBonjour.\nalone\n"))
        assert pairs.notes.counts == {"only one column": 1}

    def test_half_a_character_is_skipped(self, tmp_path: Path) -> None:
        rows = '{"source": "a", "target": "b"}\n{"source": "\\ud800", "target": "b"}'
        pairs = read_pairs(write(tmp_path, a__jsonl=rows))
        assert pairs.pairs == [("a", "b")] and pairs.notes.skipped == 1

    @pytest.mark.parametrize(
        ("texts", "said"),
        [
            ({"a__de": "x"}, "has no translations; give files in couples"),
            ({"a__de": "x", "b__tsv": "a\tb c"}, "expected the translations of"),
            ({"a__tsv": "one\n"}, r"gives no pairs \(only one column: 1\)"),
            ({"a__jsonl": "[]\n"}, r"gives no pairs \(not a JSON object: 1\)"),
            ({"a__tsv": "English\tYoruba\n"}, r"gives no pairs \(no rows\)"),
            ({}, "--pairs names no files"),
        ],
    )
    def test_what_gives_no_pairs_is_refused(self, texts: dict[str, str], said: str, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match=said):
            read_pairs(write(tmp_path, **texts))

    @given(
        st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
        | st.lists(
            st.sampled_from(
                ["a", "b c", "\t", "\t", "\n", "\r\n", '"', '""', " ", '{"source": "a", "target": "b"}', "[]"]
            )
        ).map("".join),
        st.sampled_from(["tsv", "csv", "jsonl"]),
    )
    def test_any_text_is_pairs_or_refused(self, text: str, ending: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            try:
                pairs = read_pairs(write(Path(folder), **{f"x__{ending}": text}))
            except SourceError as error:
                assert "\n" not in str(error)
                return
        assert pairs.pairs
        assert all(side and side == side.strip() and side.encode() for side in pairs.texts())


PAIRS = st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("xyz")), min_size=1, max_size=60)


class TestHoldingOut:
    @given(PAIRS)
    def test_no_source_is_on_both_sides_and_every_pair_on_one(self, pairs: list[Pair]) -> None:
        if len({source for source, _ in pairs}) < 2:
            with pytest.raises(SourceError, match="at least two are needed"):
                split_pairs(pairs_of(pairs))
            return
        train, held_out = split_pairs(pairs_of(pairs))
        assert sorted([*train.pairs, *held_out.pairs]) == sorted(pairs)
        assert train.pairs and held_out.pairs
        assert not {source for source, _ in train.pairs} & {source for source, _ in held_out.pairs}

    @given(st.integers(20, 300), st.randoms(use_true_random=False))
    def test_a_twentieth_is_held_out_whatever_the_order(self, count: int, shuffler: object) -> None:
        pairs = [(f"source {number}", "t") for number in range(count)]
        _, held_out = split_pairs(pairs_of(pairs))
        _, again = split_pairs(pairs_of(pairs[::-1]))
        assert len(held_out) == round(count / 20)
        assert set(held_out.pairs) == set(again.pairs)

    def test_at_most_a_thousand_are_held_out(self) -> None:
        train, held_out = split_pairs(pairs_of([(f"{number}", "t") for number in range(30_000)]))
        assert (len(train), len(held_out)) == (29_000, 1000)

    @given(PAIRS, PAIRS)
    def test_what_is_given_to_score_with_stays_whole_and_leaves_training(
        self, pairs: list[Pair], test: list[Pair]
    ) -> None:
        sources = {source for source, _ in test}
        left = [pair for pair in pairs if pair[0] not in sources]
        if not left:
            with pytest.raises(SourceError, match="none is left to train on"):
                split_pairs(pairs_of(pairs), pairs_of(test))
            return
        train, held_out = split_pairs(pairs_of(pairs), pairs_of(test))
        assert (train.pairs, held_out.pairs) == (left, test)
        counts = {
            "also among the held-out pairs": sum(pair in test for pair in pairs),
            "its source is held out, with another target": sum(p not in test and p[0] in sources for p in pairs),
        }
        assert train.notes.counts == {reason: count for reason, count in counts.items() if count}
