"""Readers: a few lines in the exact format of each corpus, and every way in which they can be wrong."""

import gzip
from pathlib import Path

import pytest

from atinuke.data.rows import RowNotes
from atinuke.errors import SourceError
from atinuke.tasks.roles.brackets import Span
from atinuke.tasks.roles.reading import read_conll05, read_conll12, read_ewt
from atinuke.tasks.roles.sentence import Proposition, Sentence
from atinuke.tasks.task import Spot

EWT = """\
reviews-1_doc\t0\t0\tThey\tPRP\t(TOP(S(NP*)\t-\t-\t(ARG0*)\t*
reviews-1_doc\t0\t1\twill\tMD\t(VP*\t-\t-\t(ARGM-MOD*)\t*
reviews-1_doc\t0\t2\tbook\tVB\t(VP*\tbook\tbook.01\t(V*)\t*
reviews-1_doc\t0\t3\ta\tDT\t(NP*\t-\t-\t(ARG1*\t(ARG1*)
reviews-1_doc\t0\t4\tused\tVBN\t*\tuse\tuse.01\t*\t(V*)
reviews-1_doc\t0\t5\tcar\tNN\t*)))\t-\t-\t*)\t(C-ARG1*)
reviews-1_doc\t0\t6\t.\t.\t*))\t-\t-\t*\t*

reviews-1_doc\t1\t0\tGreat\tJJ\t(TOP(FRAG*\t-\t-
reviews-1_doc\t1\t1\t!\t.\t*))\t-\t-

"""
ONTONOTES = """\
#begin document (bc/xyz/00/xyz_0000); part 000
bc/xyz/00/xyz_0000   0    0     Prices    NNS  (TOP(S(NP*)     price    -   1   Speaker#1  *      *     (ARG1*)     (3)
bc/xyz/00/xyz_0000   0    1       have    VBP        (VP*       have   01   -   Speaker#1  *    (V*)       *         -
bc/xyz/00/xyz_0000   0    2      risen    VBN        (VP*       rise   01   1   Speaker#1  *      *      (V*)        -
bc/xyz/00/xyz_0000   0    3      -LRB-  -LRB-      (PRN(*          -    -   -   Speaker#1  *      *        *         -
bc/xyz/00/xyz_0000   0    4      again     RB    (ADVP*)))         -    -   -   Speaker#1  *      *   (ARGM-TMP*)    -
bc/xyz/00/xyz_0000   0    5         /.      .        *))           -    -   -   Speaker#1  *      *        *         -

bc/xyz/00/xyz_0000   0    0         Oh     UH  (TOP(INTJ*))        -    -   -   Speaker#2       *    -

#end document
"""
WORDS = "The\nking\nsaid\nso\n.\n\nIndeed\n.\n\n"
# the task's own files have spaces at the ends of their lines
PROPS = "-     (A0*  \n-     *)    \nsay   (V*)  \n-     (A1*) \n-     *     \n\n-\n-\n\n"


def put(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    data = text.encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


def refused(folder: Path, text: str) -> str:
    """What is said of a file of PropBank-EWT, less its name."""
    path = put(folder / "train.gold_conll", text)
    with pytest.raises(SourceError) as caught:
        read_ewt(folder, "train", RowNotes())
    message = str(caught.value)
    assert "\n" not in message
    return message.replace(str(path), "FILE").replace(str(folder), "FOLDER")


class TestEwt:
    @pytest.mark.parametrize("name", ["train.gold_conll", "train.gold_conll.gz"])
    def test_sentences_come_out_as_they_stand(self, name: str, tmp_path: Path) -> None:
        path = put(tmp_path / name, EWT)
        first, second = read_ewt(tmp_path, "train", RowNotes())
        assert first == Sentence(
            words=("They", "will", "book", "a", "used", "car", "."),
            propositions=(
                Proposition(
                    2,
                    "book",
                    "book.01",
                    (Span(0, 1, "ARG0"), Span(1, 2, "ARGM-MOD"), Span(2, 3, "V"), Span(3, 6, "ARG1")),
                ),
                Proposition(4, "use", "use.01", (Span(3, 4, "ARG1"), Span(4, 5, "V"), Span(5, 6, "C-ARG1"))),
            ),
            spot=Spot(str(path), 1),
        )
        assert second == Sentence(("Great", "!"), (), Spot(str(path), 9))

    @pytest.mark.parametrize(
        "text",
        [EWT.replace("\n", "\r\n"), "\ufeff" + EWT, EWT.rstrip("\n"), "\n\n" + EWT, EWT.replace("\n\n", "\n\n \n\n")],
        ids=["CRLF", "BOM", "no last line end", "blank lines before", "blank lines between"],
    )
    def test_ends_of_lines_and_blank_lines_do_not_matter(self, text: str, tmp_path: Path) -> None:
        put(tmp_path / "dev.gold_conll", text)
        assert [len(each.words) for each in read_ewt(tmp_path, "dev", RowNotes())] == [7, 2]

    def test_a_no_break_space_may_be_a_part_of_a_word(self, tmp_path: Path) -> None:
        put(tmp_path / "dev.gold_conll", EWT.replace("\tcar\t", "\tsports\u00a0car\t"))
        assert read_ewt(tmp_path, "dev", RowNotes())[0].words[5] == "sports\u00a0car"

    def test_brackets_that_do_not_fit_are_named_with_their_line(self, tmp_path: Path) -> None:
        assert refused(tmp_path, EWT.replace("(C-ARG1*)", "(C-ARG1*")) == (
            "FILE:6, column 10: (C-ARG1* is not closed before the sentence ends. Mend the line."
        )
        assert refused(tmp_path, EWT.replace("(ARG0*)", "*)")) == (
            "FILE:1, column 9: *) closes a bracket that was not opened. Mend the line."
        )

    def test_rows_of_other_lengths_are_named(self, tmp_path: Path) -> None:
        assert refused(tmp_path, EWT.replace("use.01\t*\t(V*)", "use.01\t*")) == (
            "FILE:5 has 9 columns; expected 10, as line 1 has, where the sentence begins."
        )
        assert "FILE:9 has 3 columns; expected 8 at least" in refused(tmp_path, "\n" * 8 + "a\tb\tc\n")

    def test_predicates_and_columns_must_be_as_many(self, tmp_path: Path) -> None:
        too_many = refused(tmp_path, EWT.replace("car\tNN\t*)))\t-\t-", "car\tNN\t*)))\tcar\tcar.01"))
        assert too_many == (
            "FILE:6: the sentence has 3 predicates in column 8, and 2 columns of arguments; expected one for each "
            "predicate."
        )
        too_few = refused(tmp_path, EWT.replace("use\tuse.01", "-\t-"))
        assert too_few.startswith("FILE:1: the sentence has 1 predicate in column 8, and 2 columns of arguments")

    def test_words_must_be_there_and_counted(self, tmp_path: Path) -> None:
        assert refused(tmp_path, EWT.replace("\tcar\t", "\t\t")) == "FILE:6 has no word (column 4). Fill them in."
        assert refused(tmp_path, EWT.replace("\tcar\t", "\t[WORD]\t")) == (
            "FILE:6 is without its words, which are licensed apart (column 4). Fill them in."
        )
        joined = refused(
            tmp_path, EWT.replace("\t-\t-\t*\t*\n\n", "\t-\t-\t*\t*\n").replace("\t-\t-\n", "\t-\t-\t*\t*\n")
        )
        assert joined.startswith("FILE:8 has 0 in column 3; expected 7, the number of the word in its sentence.")

    def test_a_huge_cell_is_cut_where_it_is_named(self, tmp_path: Path) -> None:
        assert len(refused(tmp_path, EWT.replace("(ARG0*)", "x" * 100_000))) < 400

    def test_empty_and_missing_files_are_named(self, tmp_path: Path) -> None:
        assert "is empty" in refused(tmp_path, "\n \n")
        with pytest.raises(SourceError, match=r"has no file test\.gold_conll, plain or compressed"):
            read_ewt(tmp_path, "test", RowNotes())
        with pytest.raises(SourceError, match="cannot be read: No such file or directory; expected a folder"):
            read_ewt(tmp_path / "nowhere", "train", RowNotes())
        put(tmp_path / "train.gold_conll.gz", EWT)
        with pytest.raises(SourceError, match=r"has train\.gold_conll and train\.gold_conll\.gz; expected one of them"):
            read_ewt(tmp_path, "train", RowNotes())


class TestOntoNotes:
    FILE = "v4/data/development/data/english/annotations/bc/xyz/00/xyz_0000.v4_gold_conll"

    def test_sentences_come_out_as_they_stand(self, tmp_path: Path) -> None:
        path = put(tmp_path / self.FILE, ONTONOTES)
        first, second = read_conll12(tmp_path, "dev", RowNotes())
        assert first.words == ("Prices", "have", "risen", "-LRB-", "again", "/.")
        assert first.propositions == (
            Proposition(1, "have", "01", (Span(1, 2, "V"),)),
            Proposition(2, "rise", "01", (Span(0, 1, "ARG1"), Span(2, 3, "V"), Span(4, 5, "ARGM-TMP"))),
        )
        assert (first.spot, second.spot) == (Spot(str(path), 2), Spot(str(path), 9))
        assert second == Sentence(("Oh",), (), second.spot)  # the last column is coreference, and no argument

    def test_files_are_found_by_split_and_english_goes_before_other_languages(self, tmp_path: Path) -> None:
        chinese = self.FILE.replace("english", "chinese")
        for name in (self.FILE, chinese, self.FILE.replace("development", "train"), self.FILE.replace("gold", "auto")):
            put(tmp_path / name, ONTONOTES)
        put(tmp_path / self.FILE.replace("xyz_0000", "xyz_0001"), ONTONOTES)
        sentences = read_conll12(tmp_path, "dev", RowNotes())
        assert [Path(each.spot.file).name for each in sentences[::2]] == [
            "xyz_0000.v4_gold_conll",
            "xyz_0001.v4_gold_conll",
        ]
        with pytest.raises(SourceError, match=r"no file \*gold_conll below a folder test, nor test\."):
            read_conll12(tmp_path, "test", RowNotes())

    def test_one_file_for_a_split_does_as_well(self, tmp_path: Path) -> None:
        put(tmp_path / "dev.english.v4_gold_conll.gz", ONTONOTES)
        assert len(read_conll12(tmp_path, "dev", RowNotes())) == 2

    def test_where_frames_and_columns_differ_v_tells_the_predicates(self, tmp_path: Path) -> None:
        path = put(tmp_path / "dev.gold_conll", ONTONOTES.replace("rise   01", "rise    -"))
        notes = RowNotes()
        first, _ = read_conll12(tmp_path, "dev", notes)
        found = [(each.predicate, each.lemma, each.sense) for each in first.propositions]
        assert found == [(1, "have", "01"), (2, "rise", "")]
        assert notes.remarks == [
            f"{path}:2, and maybe others, have another number of frames than of columns; there predicates are where "
            "the columns have V."
        ]

    def test_without_v_frames_and_columns_must_be_as_many(self, tmp_path: Path) -> None:
        text = ONTONOTES.replace("rise   01", "rise    -").replace("  (V*)  ", "   *   ")
        path = put(tmp_path / "dev.gold_conll", text)
        with pytest.raises(SourceError) as caught:
            read_conll12(tmp_path, "dev", RowNotes())
        assert str(caught.value) == (
            f"{path}:2: the sentence has 1 predicate in column 8, and 2 columns of arguments; expected one for each "
            "predicate."
        )

    def test_a_file_of_comments_has_no_sentence(self, tmp_path: Path) -> None:
        put(tmp_path / "dev.gold_conll", "#begin document (x); part 000\n#end document\n")
        with pytest.raises(SourceError, match="has no sentence; expected one word on each line"):
            read_conll12(tmp_path, "dev", RowNotes())


class TestConll05:
    def test_words_and_propositions_are_joined(self, tmp_path: Path) -> None:
        put(tmp_path / "devel/words/devel.24.words.gz", WORDS)
        props = put(tmp_path / "devel/props/devel.24.props.gz", PROPS)
        first, second = read_conll05(tmp_path, "dev", RowNotes())
        assert first == Sentence(
            ("The", "king", "said", "so", "."),
            (Proposition(2, "say", "", (Span(0, 2, "A0"), Span(2, 3, "V"), Span(3, 4, "A1"))),),
            Spot(str(props), 1),
        )
        assert second == Sentence(("Indeed", "."), (), Spot(str(props), 7))

    def test_files_of_a_split_come_in_their_order(self, tmp_path: Path) -> None:
        for number in ("03", "02"):
            put(tmp_path / f"train/words/train.{number}.words", WORDS)
            put(tmp_path / f"train/props/train.{number}.props", PROPS)
        put(tmp_path / "test.wsj.words", WORDS)
        put(tmp_path / "test.wsj.props", PROPS)
        files = [Path(each.spot.file).name for each in read_conll05(tmp_path, "train", RowNotes())]
        assert files == ["train.02.props", "train.02.props", "train.03.props", "train.03.props"]
        assert len(read_conll05(tmp_path, "test", RowNotes())) == 2

    @pytest.mark.parametrize(
        ("words", "props", "reason"),
        [
            (WORDS.replace("so\n", ""), PROPS, "props:1: the sentence has 5 lines, and"),
            (WORDS + "More\n\n", PROPS, "props has 2 sentences, and"),
            (WORDS, PROPS.replace("(A1*)", "(A1*"), r"props:4, column 2: \(A1\* is not closed"),
            (WORDS, PROPS.replace("say", "-  "), "props:1: the sentence has 0 predicates in column 1, and 1 column of"),
            (WORDS, PROPS.replace("(V*)", "(V*) *"), "props:3 has 3 columns; expected 2, as line 1 has"),
        ],
    )
    def test_what_does_not_fit_is_named(self, words: str, props: str, reason: str, tmp_path: Path) -> None:
        put(tmp_path / "dev.words", words)
        put(tmp_path / "dev.props", props)
        with pytest.raises(SourceError, match=reason):
            read_conll05(tmp_path, "dev", RowNotes())

    def test_missing_files_are_named(self, tmp_path: Path) -> None:
        (tmp_path / "train/props").mkdir(parents=True)
        with pytest.raises(SourceError, match=r"props has no file \*\.props; expected those of train"):
            read_conll05(tmp_path, "train", RowNotes())
        put(tmp_path / "train/props/train.02.props", PROPS)
        with pytest.raises(SourceError, match=r"words cannot be read: .*; expected a folder"):
            read_conll05(tmp_path, "train", RowNotes())
        with pytest.raises(SourceError, match=r"has no file dev\.words, plain or compressed"):
            read_conll05(tmp_path, "dev", RowNotes())
