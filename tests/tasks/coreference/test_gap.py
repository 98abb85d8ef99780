"""GAP: its files, the rows made of them, its official score, and answers handed in."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.data.rows import RowNotes
from atinuke.errors import ConfigError, SourceError
from atinuke.tasks.coreference.gap import Passage
from atinuke.tasks.coreference.gap_rows import NEITHER, A, B, nearest_tokens, place_of, row_of
from atinuke.tasks.coreference.gap_scoring import KEYS, score_answers
from atinuke.tasks.coreference.gap_task import Gap
from atinuke.tasks.task import Row, Spot
from atinuke.tokenizers.reading import Pieces, Reader

WriteFile = Callable[[str, str], Path]

HEADER = "ID\tText\tPronoun\tPronoun-offset\tA\tA-offset\tA-coref\tB\tB-offset\tB-coref\tURL"
FIRST = 'test-1\tAda met Eve when "she" was ill.\tshe\t18\tAda\t0\tTRUE\tEve\t8\tFALSE\thttp://x'
SECOND = "test-2\tJosé told Bo his news.\this\t13\tJosé\t0\tFALSE\tBo\t10\tFALSE\thttp://x"
THIRD = "test-3\tHers was what Mia and Ann had.\tHers\t0\tMia\t14\tfalse\tAnn\t22\ttrue\thttp://x"
ROWS = "\n".join((HEADER, FIRST, SECOND, THIRD)) + "\n"


@pytest.fixture
def passages(write_file: WriteFile) -> list[Passage]:
    return Gap.read(write_file("gap-test.tsv", ROWS), "test", RowNotes())


class TestReading:
    def test_passages(self, passages: list[Passage]) -> None:
        assert [each.id for each in passages] == ["test-1", "test-2", "test-3"]
        assert [each.gender for each in passages] == ["feminine", "masculine", "feminine"]
        assert [each.is_meant for each in passages] == [(True, False), (False, False), (False, True)]
        first = passages[0]
        assert [first.text[slice(*each)] for each in (first.pronoun, *first.names)] == ["she", "Ada", "Eve"]
        assert first.spot.line == 2 and first.spot.file.endswith("gap-test.tsv")

    @pytest.mark.parametrize("below", ["", "gap-coreference/"])
    def test_the_authors_names_of_splits(self, below: str, write_file: WriteFile) -> None:
        for split, name in (("train", "development"), ("dev", "validation"), ("test", "test")):
            data = write_file(f"{below}gap-{name}.tsv", ROWS.replace("test-", f"{name}-"))
            assert Gap.read(data, split, RowNotes())[0].id == f"{name}-1"

    @pytest.mark.parametrize(
        "rows, words",
        [
            (ROWS.replace("\tshe\t18", "\tshe\t17"), ":2: 'she' does not stand in the text at '17' (Pronoun-offset)"),
            (ROWS.replace("\tBo\t10", "\tBo\t-9"), ":3: 'Bo' does not stand in the text at '-9' (B-offset)"),
            (ROWS.replace("\tBo\t10", "\tBo\t999999999999"), "(B-offset)"),
            (ROWS.replace("\tBo\t10", "\t\t10"), "(B-offset)"),
            (ROWS.replace("\tBo\t10", "\tBo\tten"), "at 'ten' (B-offset)"),
            (ROWS.replace("\tTRUE", "\tyes"), ":2: A-coref is 'yes'; expected TRUE or FALSE"),
            (ROWS.replace("\this\t13", "\ttold\t5"), ":3 asks for 'told'; expected a pronoun"),
            (ROWS.replace("test-2", "test-1"), ":3 has the id 'test-1' of "),
            (ROWS.replace("\tPronoun-offset", "\tOffset"), "has no column Pronoun-offset"),
            (ROWS.replace("\tfalse", ""), ":4 has 10 cells"),
            (HEADER + "\n", "has a header and no row"),
            ("\n", "is empty"),
        ],
    )
    def test_what_is_not_as_published(self, rows: str, words: str, write_file: WriteFile) -> None:
        with pytest.raises(SourceError) as raised:
            Gap.read(write_file("gap-test.tsv", rows), "test", RowNotes())
        assert words in str(raised.value) and "\n" not in str(raised.value)

    def test_nothing_there(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match=r"no file gap-validation\.tsv.*Fetch gap-development\.tsv"):
            Gap.read(tmp_path, "dev", RowNotes())
        with pytest.raises(ConfigError, match="no split validation"):
            Gap.read(tmp_path, "validation", RowNotes())

    @pytest.mark.real_data
    def test_all_passages(self) -> None:
        data = Path(os.environ.get("ATINUKE_DATA", "../shared/data")) / "gap-coreference"
        if not data.is_dir():
            pytest.skip("GAP is not here (ATINUKE_DATA)")
        splits = {split: Gap.read(data, split, RowNotes()) for split in Gap.splits}
        assert {split: len(each) for split, each in splits.items()} == {"train": 2000, "dev": 454, "test": 2000}
        for each in splits.values():
            assert 2 * sum(passage.gender == "feminine" for passage in each) == len(each)
            truth = score_answers(each, [passage.is_meant for passage in each])
            assert set(truth.values()) == {1.0, 100.0} and truth["bias"] == 1
        # always the first name: 918 right of 1,773 that are meant, 1,082 wrong, by counting the columns
        values = score_answers(splits["test"], [(True, False)] * 2000)
        assert values["precision"] == pytest.approx(45.9) and values["recall"] == pytest.approx(100 * 918 / 1773)


class TestRows:
    def test_places_and_targets(self, passages: list[Passage], reader: Reader) -> None:
        # Ada | met | Eve | whe n | "sh e" | was | ill .
        row = row_of(5, passages[0], reader, 64, with_targets=True)
        assert row.marks[0].tolist() == [6, 7, 1, 1, 3, 3]
        assert len(row) == 12 and row.example == 5 and row.targets[0].tolist() == A and row.targets[0].ndim == 0
        found = [row_of(0, each, reader, 64, with_targets=True).targets[0].tolist() for each in passages]
        assert found == [A, NEITHER, B]
        assert row_of(0, passages[0], reader, 64, with_targets=False).targets == ()

    def test_a_long_text_is_cut_around_the_places(self, reader: Reader) -> None:
        words = ["wo"] * 100
        words[40], words[44], words[60] = "Ada", "she", "Eve"
        text = " ".join(words)
        stretches = [(text.index(word), text.index(word) + 3) for word in ("she", "Ada", "Eve")]
        passage = Passage(
            "x", text, stretches[0], (stretches[1], stretches[2]), (True, False), "feminine", Spot("f", 1)
        )
        row = row_of(0, passage, reader, 13, with_targets=False)  # eleven tokens
        assert len(row) == 13
        places = row.marks[0]
        for stretch, first, last in zip(stretches, places[::2], places[1::2], strict=True):
            assert row.ids[first : last + 1].tolist() == reader.pieces(text[slice(*stretch)]).ids.tolist()

    @given(
        st.integers(1, 40),
        st.lists(st.tuples(st.integers(0, 39), st.integers(0, 3)), min_size=1, max_size=3),
        st.integers(1, 20),
    )
    def test_the_nearest_tokens_stay(self, count: int, given: list[tuple[int, int]], room: int) -> None:
        places = [(min(first, count - 1), min(first + more, count - 1)) for first, more in given]
        kept = nearest_tokens(count, places, room).tolist()
        assert kept == sorted(set(kept)) and len(kept) == min(count, room)

        def distance(token: int) -> int:
            return min(max(first - token, token - last, 0) for first, last in places)

        left = set(range(count)) - set(kept)
        assert not left or max(map(distance, kept)) <= min(map(distance, left))

    def test_tokens_that_share_a_character(self) -> None:
        def pieces(*places: tuple[int, int]) -> Pieces:
            starts, ends = (np.array([each[side] for each in places], dtype=np.int64) for side in (0, 1))
            return Pieces(np.zeros(len(places), dtype=np.int64), starts, ends)

        whole = pieces((0, 3), (3, 5), (6, 9))
        assert place_of(whole, (0, 3)) == (0, 0) and place_of(whole, (2, 4)) == (0, 1)
        assert place_of(whole, (5, 6)) == (2, 2)  # between tokens: a neighbour
        assert place_of(whole, (9, 12)) == (2, 2) and place_of(pieces(), (0, 1)) == (0, 0)

    def test_a_text_without_tokens_still_has_a_place(self, reader: Reader) -> None:
        passage = Passage("x", "   ", (0, 1), ((1, 2), (2, 3)), (True, False), "feminine", Spot("f", 1))
        row = row_of(0, passage, reader, 8, with_targets=True)
        assert row.marks[0].tolist() == [1] * 6 and len(row) == 2


def passage_of(truth: tuple[bool, bool], is_feminine: bool) -> Passage:
    return Passage("x", "", (0, 0), ((0, 0), (0, 0)), truth, "feminine" if is_feminine else "masculine", Spot("f", 1))


class TestScoring:
    def test_worked_by_hand(self) -> None:
        # masculine: 1 right, 1 wrong, 1 missed → F1 50; feminine: 2 right, 1 wrong, none missed → F1 80
        cases = [
            ((True, False), (True, False), False),
            ((True, False), (False, True), False),
            ((False, True), (False, True), True),
            ((True, False), (True, True), True),
            ((False, False), (False, False), True),
        ]
        found = score_answers([passage_of(truth, kind) for truth, _, kind in cases], [said for _, said, _ in cases])
        assert tuple(found) == KEYS
        assert found["f1_masculine"] == pytest.approx(50) and found["f1_feminine"] == pytest.approx(80)
        assert found["bias"] == pytest.approx(1.6)
        # 3 right, 2 wrong, 1 missed
        assert (found["precision"], found["recall"]) == pytest.approx((60, 75))
        assert found["f1"] == pytest.approx(2 * 60 * 75 / 135)

    def test_what_is_not_answered_is_missed_whatever_is_true(self) -> None:
        passages = [passage_of((True, False), True), passage_of((True, False), True)]
        found = score_answers(passages, [(True, False), (None, None)])
        assert found["recall"] == pytest.approx(100 / 3) and found["precision"] == 100

    def test_there_is_no_bias_where_one_side_has_nothing(self) -> None:
        found = score_answers([passage_of((True, False), True)], [(True, False)])
        assert "bias" not in found and found["f1"] == 100 and found["f1_masculine"] == 0

    def test_both_names_may_be_meant_in_answers(self) -> None:
        found = score_answers([passage_of((True, False), False)], [(True, True)])
        assert found["precision"] == 50 and found["recall"] == 100


class TestAnswers:
    ANSWERS: tuple[list[bool], ...] = ([True, False], [False, False], [False, True])

    def test_what_was_written_is_read(self, passages: list[Passage], tmp_path: Path) -> None:
        (path,) = Gap().write_predictions(tmp_path / "scores", passages, self.ANSWERS)
        assert path.read_text() == "test-1\tTRUE\tFALSE\ntest-2\tFALSE\tFALSE\ntest-3\tFALSE\tTRUE\n"
        for place in (path, path.parent):
            assert Gap().read_predictions(place, passages, RowNotes()) == list(self.ANSWERS)
        scores = Gap().score(passages, self.ANSWERS)
        assert scores.value == 100 and scores.counts == {"passages": 3, "masculine": 1, "feminine": 2}

    def test_what_the_official_scorer_tolerates_is_told(self, passages: list[Passage], tmp_path: Path) -> None:
        path = tmp_path / "answers.tsv"
        path.write_text("ID\tA-coref\tB-coref\ntest-3\tFalse\tTrue\ntest-3\tTRUE\tFALSE\ntest-1\ttrue\tfalse\n")
        notes = RowNotes()
        found = Gap().read_predictions(path, passages, notes)
        assert found == [[True, False], [None, None], [False, True]]
        assert notes.counts == {"a second answer for a passage": 1}
        assert "has no answer for 1 of 3 passages, which count as missed (test-2)" in notes.remarks[0]
        scores = Gap().score(passages, found)
        assert scores.values["recall"] == pytest.approx(50) and scores.counts["without an answer"] == 1
        (again,) = Gap().write_predictions(tmp_path / "again", passages, found)
        assert again.read_text() == "test-1\tTRUE\tFALSE\ntest-3\tFALSE\tTRUE\n"

    @pytest.mark.parametrize(
        "text, words",
        [
            ("test-9\tTRUE\tFALSE\n", ":1 answers for 'test-9', which is no passage here; expected such as 'test-1'"),
            ("test-1\tTRUE\tnan\n", ":1: B-coref is 'nan'; expected TRUE or FALSE"),
            ("test-1\tTRUE\n", ":1 has 2 cells"),
            ("test-1,TRUE,FALSE\n", ":1 has 1 cell"),
            ("", "is empty"),
        ],
    )
    def test_malformed_answers(self, text: str, words: str, passages: list[Passage], tmp_path: Path) -> None:
        path = tmp_path / "answers.tsv"
        path.write_text(text)
        with pytest.raises(SourceError) as raised:
            Gap().read_predictions(path, passages, RowNotes())
        assert words in str(raised.value)

    def test_the_likeliest_of_three(self, passages: list[Passage]) -> None:
        ids = np.zeros(1, dtype=np.int64)
        rows = [Row(ids, ids, number) for number in (0, 1, 2)]
        logits = [(np.array(each, dtype=np.float32),) for each in ([2, 1, 0], [-1, -2, 0], [0.1, 0.2, 0])]
        assert Gap().decode(passages, rows, logits) == list(self.ANSWERS)
        assert Gap.from_facts(Gap.learn(passages).facts).facts == {}
