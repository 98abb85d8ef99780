"""The CoNLL format: what brackets mean, what is malformed, and writing what can be read again."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.data.rows import RowNotes, TextFile, read_file
from atinuke.errors import SourceError
from atinuke.tasks.coreference.conll import read_blocks, to_document, write_documents
from atinuke.tasks.coreference.documents import Document, Mention, identity
from atinuke.tasks.task import Spot

# The columns of CoNLL-2012, as wide as its scripts make them; the sentences are ours.
ONTONOTES = """\
#begin document (bc/cctv/00/cctv_0000); part 000
bc/cctv/00/cctv_0000   0   0      Her   PRP$  (TOP(S(NP(NP*      -    -   -   Speaker#1    *   (ARG0*  (7|(3)
bc/cctv/00/cctv_0000   0   1   sister     NN              *)     -    -   -   Speaker#1    *       *)      7)
bc/cctv/00/cctv_0000   0   2     left    VBD           (VP*) leave  01   1   Speaker#1    *     (V*)       -
bc/cctv/00/cctv_0000   0   3       /.      .             *))     -    -   -   Speaker#1    *        *       -

bc/cctv/00/cctv_0000   0   0      She    PRP   (TOP(S(NP*)      -    -   -   Speaker#2    *        *     (7)
bc/cctv/00/cctv_0000   0   1    cried    VBD       (VP*)))    cry   01   1   Speaker#2    *      (V*)      -

#end document
#begin document (bc/cctv/00/cctv_0000); part 001
bc/cctv/00/cctv_0000   1   0       It    PRP   (TOP(S(NP*)      -    -   -   Speaker#1    *        *     (7)

#end document
"""

# LitBank: tabs, and nothing at all where others have "-".
LITBANK = (
    "#begin document (1023_bleak_house_brat); part 0\n"
    "1023_bleak_house_brat\t0\t0\tLondon\t_\t_\t_\t_\t_\t_\t_\t_\t(1)\n"
    "1023_bleak_house_brat\t0\t1\t.\t_\t_\t_\t_\t_\t_\t_\t_\t\n"
    "\n#end document\n"
)


def blocks(text: str, notes: RowNotes | None = None):  # type: ignore[no-untyped-def]
    return read_blocks(TextFile("key.conll", ".conll", text), notes if notes is not None else RowNotes())


def lines_of(*cells: str) -> str:
    """A document of one sentence, of which only the last column is of interest."""
    rows = (f"d\t0\t{number}\tw\t{cell}\n" for number, cell in enumerate(cells))
    return "#begin document (d); part 000\n" + "".join(rows) + "\n#end document\n"


def clusters(*cells: str) -> tuple[tuple[Mention, ...], ...]:
    (block,) = blocks(lines_of(*cells))
    return block.clusters


class TestReading:
    def test_words_and_clusters_of_ontonotes(self) -> None:
        first, second = map(to_document, blocks(ONTONOTES))
        assert first.sentences == (("Her", "sister", "left", "/."), ("She", "cried"))
        # the mention of one word is met first, and the cluster 7 is there from its opening on
        assert first.clusters == (((0, 0),), ((0, 1), (4, 4)))
        assert (first.name, first.part, str(first.spot)) == ("bc/cctv/00/cctv_0000", "000", "key.conll:1")
        assert (second.part, second.clusters, second.spot.line) == ("001", (((0, 0),),), 11)
        assert first.words_as_read() == ["Her", "sister", "left", ".", "She", "cried"]
        assert (first.word_count, first.sentence_ends) == (6, [4, 6])

    def test_a_last_column_that_is_empty_says_nothing(self) -> None:
        (document,) = map(to_document, blocks(LITBANK))
        assert document.sentences == (("London", "."),) and document.clusters == (((0, 0),),)

    def test_line_ends_of_windows_and_byte_order_marks(self, tmp_path: Path) -> None:
        path = tmp_path / "key.conll"
        path.write_bytes(b"\xef\xbb\xbf" + ONTONOTES.replace("\n", "\r\n").encode())
        found = read_blocks(read_file(str(path), RowNotes()), RowNotes())
        assert [to_document(block).sentences for block in found] == [
            to_document(b).sentences for b in blocks(ONTONOTES)
        ]

    @pytest.mark.parametrize(
        "cells, expected",
        [
            (("(1", "-", "1)"), (((0, 2),),)),
            (("(1)", "_", "(1)"), (((0, 0), (2, 2)),)),
            (("(1|(2", "1)|2)"), (((0, 1),), ((0, 1),))),
            (("(1(2)", "1)"), (((0, 0),), ((0, 1),))),  # as the official test cases have them: without |
            (("(1(3", "3)1)"), (((0, 1),), ((0, 1),))),
            (("(1", "(1", "1)", "1)"), (((1, 2), (0, 3)),)),  # nested in its own cluster
            (("(1", "(2", "1)", "2)"), (((0, 2),), ((1, 3),))),  # crossing one of another cluster
            (("(1", "1)|(1", "1)"), (((1, 1), (0, 2)),)),  # what was opened last is closed first, even at one word
            (("(01)", "(1)"), (((0, 0),), ((1, 1),))),  # names, not numbers
            (("-", "-"), ()),
        ],
    )
    def test_brackets(self, cells: tuple[str, ...], expected: tuple[tuple[Mention, ...], ...]) -> None:
        assert clusters(*cells) == expected

    def test_a_mention_that_stands_twice_is_kept_and_told(self) -> None:
        notes = RowNotes()
        (block,) = blocks(lines_of("(1)|(2)", "(1", "1)", "(3)|(3)"), notes)
        assert block.clusters == (((0, 0), (1, 2)), ((0, 0),), ((3, 3), (3, 3)))
        (remark,) = notes.remarks
        assert "2 mentions that stand there twice (key.conll:2, key.conll:5)" in remark

    def test_parts_are_numbers(self) -> None:
        assert identity("a", "0") == identity("a", "000") != identity("a", "001")
        assert identity("a", "") != identity("a", "0")


class TestMalformed:
    @pytest.mark.parametrize(
        "text, line, words",
        [
            (lines_of("(1", "-"), 2, "opens the mention (1, which is not closed"),
            (lines_of("-", "1)"), 3, "closes a mention 1) that is not open"),
            (lines_of("(1", "2)"), 3, "closes a mention 2)"),
            (lines_of("-", "London"), 3, "has 'London' in its last column"),
            (lines_of("(x)"), 2, "has '(x)' in its last column"),
            (lines_of("(1))"), 2, "has '(1))' in its last column"),
            (lines_of("(1;2)"), 2, "has '(1;2)' in its last column"),
            (lines_of("-").replace("#end document\n", ""), 1, "has no #end document"),
            (lines_of("-").replace("#end document\n", "") * 2, 1, "has no #end document before key.conll:4"),
            ("d\t0\t0\tw\t-\n" + lines_of("-"), 1, "stands in no document"),
            (lines_of("-") + "d\t0\t0\tw\t-\n", 5, "stands in no document"),
            (lines_of("-").replace("(d);", "d"), 1, "names a document 'd part 000'"),
            ("#begin document (d); part 000\nword\n#end document\n", 2, "has one column"),
        ],
    )
    def test_the_line_is_named(self, text: str, line: int, words: str) -> None:
        with pytest.raises(SourceError) as raised:
            blocks(text)
        assert str(raised.value).startswith(f"key.conll:{line} ") and words in str(raised.value)
        assert "\n" not in str(raised.value)

    def test_a_file_without_documents(self) -> None:
        with pytest.raises(SourceError, match=r"key\.conll has no document"):
            blocks("\n \n")

    @pytest.mark.parametrize(
        "rows, words",
        [
            ("d -\n", "key.conll:2 has 2 columns"),
            ("d 0 0 a -\nd 0 0 b -\n", "key.conll:3 has '0' in column 3; expected 1"),
            ("d 0 0 a -\n\nd 0 1 b -\n", "key.conll:4 has '1' in column 3; expected 0"),
            ("d 0 x a -\n", "key.conll:2 has 'x' in column 3"),
            ("d 0 0 [WORD] -\n", "key.conll:2 is without its words"),
            ("d\t0\t0\t \t-\n", "key.conll:2 has no word"),
        ],
    )
    def test_words_are_needed_to_learn_but_not_to_score(self, rows: str, words: str) -> None:
        (block,) = blocks(f"#begin document (d); part 000\n{rows}\n#end document\n")
        assert block.word_count
        with pytest.raises(SourceError, match=re.escape(words)):
            to_document(block)

    @given(st.lists(st.sampled_from(["(1", "1)", "(1)", "(2", "2)", "|", "-", "x", "(", ")", "1", " "]), max_size=12))
    def test_whatever_stands_in_the_column_nothing_but_a_line_comes_of_it(self, parts: list[str]) -> None:
        cells = "".join(parts).split(" ")
        try:
            (block,) = blocks(lines_of(*cells))
        except SourceError as error:
            assert str(error).startswith("key.conll:")
        else:
            assert all(0 <= first <= last < len(cells) for cluster in block.clusters for first, last in cluster)

    @given(st.text(st.sampled_from("#begin document (d);\t\n-1) end"), max_size=60))
    def test_any_text(self, text: str) -> None:
        try:
            assert blocks(text)
        except SourceError as error:
            assert "\n" not in str(error)


@st.composite
def clustered(draw: st.DrawFn) -> tuple[int, list[list[Mention]]]:
    """A number of words, and clusters none of whose mentions cross one of their own."""
    count = draw(st.integers(1, 8))
    spans = [(first, last) for first in range(count) for last in range(first, count)]
    chosen = draw(st.lists(st.tuples(st.sampled_from(spans), st.integers(0, 3)), max_size=10, unique_by=lambda x: x[0]))
    found: dict[int, list[Mention]] = {}
    for (first, last), number in chosen:
        own = found.setdefault(number, [])
        if not any(a < first <= b < last or first < a <= last < b for a, b in own):
            own.append((first, last))
    return count, [cluster for cluster in found.values() if cluster]


class TestWriting:
    def test_as_it_is_handed_in(self, document_of: Callable[..., Document]) -> None:
        document = document_of("Her dog slept. It dreamt")
        assert write_documents([document], [[[(0, 1), (3, 3)], [(0, 0)]]]) == (
            "#begin document (book); part 000\n"
            "book\t000\t0\tHer\t(0|(1)\n"
            "book\t000\t1\tdog\t0)\n"
            "book\t000\t2\tslept\t-\n"
            "\n"
            "book\t000\t0\tIt\t(0)\n"
            "book\t000\t1\tdreamt\t-\n"
            "\n"
            "#end document\n"
        )

    @given(clustered())
    def test_what_is_written_is_read_again(self, case: tuple[int, list[list[Mention]]]) -> None:
        count, given_clusters = case
        document = Document("d", "", (("w",) * count,), (), Spot("f", 1))
        (block,) = blocks(write_documents([document], [given_clusters]))
        assert sorted(map(sorted, block.clusters)) == sorted(map(sorted, given_clusters))
        assert to_document(block).sentences == document.sentences and (block.name, block.part) == ("d", "")
