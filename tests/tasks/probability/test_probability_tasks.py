"""BLiMP, LAMBADA and WikiText: their files, and their arithmetic with a scorer whose numbers are known."""

import io
import json
import math
import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.data.rows import RowNotes
from atinuke.errors import ConfigError, SourceError
from atinuke.tasks.probability.blimp import Blimp
from atinuke.tasks.probability.lambada import Lambada
from atinuke.tasks.probability.wikitext import WikiText, put_together

DATA = Path(os.environ.get("ATINUKE_DATA", "../shared/data"))


def pair(good: str, bad: str, paradigm: str = "p", field: str = "syntax") -> str:
    row = {"sentence_good": good, "sentence_bad": bad, "field": field, "linguistics_term": "t", "UID": paradigm}
    return json.dumps(row) + "\n"


def hear(line: str) -> None:
    """Whatever is said."""


class TestBlimp:
    def test_the_score_is_the_mean_over_paradigms(self, tmp_path: Path, scorer: Any) -> None:
        (tmp_path / "a.jsonl").write_text(pair("short", "longer one") + pair("longer one", "short"))
        (tmp_path / "b.jsonl").write_text(pair("same", "size", "q", "semantics"))
        pairs = Blimp.read(tmp_path, "all", RowNotes())
        scores, answers = Blimp.score(scorer, pairs, hear)
        # one of two, and equal ones are not right
        assert scores.values["accuracy"] == 25.0
        assert scores.values["paradigm: p"] == 50.0 and scores.values["field: semantics"] == 0.0
        assert scores.counts == {"pairs": 3, "paradigms": 2}
        assert answers[0]["nats"] == [5.0, 10.0]

    def test_an_archive_is_read_as_its_files_are(self, tmp_path: Path) -> None:
        data = pair("a b", "b a").encode()
        with tarfile.open(tmp_path / "blimp_data.tar.gz", "w:gz") as archive:
            entry = tarfile.TarInfo("data/one.jsonl")
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
        (tmp_path / "summary.jsonl").write_text('{"UID": "p", "gpt2": 0.9}\n')  # results of others are no pairs
        (one,) = Blimp.read(tmp_path, "all", RowNotes())
        assert (one.good, one.bad, one.paradigm) == ("a b", "b a", "p")

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            (pair("a", "b") + "{\n", "a.jsonl:2 is not JSON"),
            (pair("a", "b") + "[]\n", "a.jsonl:2 is no JSON object"),
            (pair("a", "b") + '{"sentence_good": "a"}\n', 'a.jsonl:2 has no "sentence_bad"'),
            ('{"sentence_good": 3, "sentence_bad": "b"}\n', 'a.jsonl:1 has no text as "sentence_good"'),
            ("", "holds no pair"),
        ],
    )
    def test_what_is_no_pair_is_named(self, tmp_path: Path, text: str, said: str) -> None:
        (tmp_path / "a.jsonl").write_text(text)
        with pytest.raises(SourceError, match=said.replace("[", r"\[")):
            Blimp.read(tmp_path, "all", RowNotes())

    def test_there_is_one_split(self, tmp_path: Path) -> None:
        with pytest.raises(ConfigError, match="one set"):
            Blimp.read(tmp_path, "dev", RowNotes())

    def test_an_empty_folder_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="has no file"):
            Blimp.read(tmp_path, "all", RowNotes())

    @pytest.mark.real_data
    def test_all_paradigms_are_read(self) -> None:
        if not (DATA / "blimp").is_dir():
            pytest.skip(f"{DATA / 'blimp'} is absent")
        pairs = Blimp.read(DATA / "blimp", "all", RowNotes())
        assert len(pairs) == 67_000 and len({each.paradigm for each in pairs}) == 67


class TestLambada:
    def test_the_last_word_keeps_its_space(self, tmp_path: Path, scorer: Any) -> None:
        (tmp_path / "lambada_test.jsonl").write_text('{"text": "he saw the\\nold egg"}\n{"text": "a cat"}\n')
        passages = Lambada.read(tmp_path, "test", RowNotes())
        assert (passages[0].context, passages[0].word) == ("he saw the\nold", " egg")
        scores, answers = Lambada.score(scorer, passages, hear)
        assert scores.values == {"accuracy": 50.0, "perplexity": math.exp(4)}
        assert [each["word"] for each in answers] == ["egg", "cat"]

    def test_plain_lines_are_passages_too(self, tmp_path: Path) -> None:
        (tmp_path / "lambada_development_plain_text.txt").write_text("one two\n\nthree four five\n")
        assert [each.word for each in Lambada.read(tmp_path, "dev", RowNotes())] == [" two", " five"]

    def test_a_passage_of_one_word_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "lambada_test.txt").write_text("one two\nthree\n")
        with pytest.raises(SourceError, match="txt:2 is a passage of one word"):
            Lambada.read(tmp_path, "test", RowNotes())

    def test_an_encoder_is_refused(self, tmp_path: Path, scorer: Any) -> None:
        (tmp_path / "lambada_test.txt").write_text("one two\n")
        scorer.kind = "pseudo-log-likelihood"
        with pytest.raises(ConfigError, match="asks what follows"):
            Lambada.score(scorer, Lambada.read(tmp_path, "test", RowNotes()), hear)


WIKI = """ 
 = First Title = 
 
 He was born in 1 @,@ 500 ( or so ) , a well @-@ known man 's son . 
 
 = = Section = = 
 
 " Yes , " he said ; it grew by 2 @.@ 5 % . 
 = Second = 
 
 The end . 
"""


class TestWikiText:
    def test_articles_begin_with_their_titles(self, tmp_path: Path, scorer: Any) -> None:
        (tmp_path / "wiki.test.tokens").write_text(WIKI)
        first, second = WikiText.read(tmp_path, "test", RowNotes())
        assert first.spot.line == 2 and second.spot.line == 9
        assert first.published + second.published == WIKI.removeprefix(" \n")
        assert second.words == len(" = Second = \n \n The end . \n".split()) + 2  # and an empty piece at each end
        assert second.tokens == 3 + 3 + 3

        scores, answers = WikiText.score(scorer, [first, second], hear)
        nats = len(first.text) + len(second.text)
        assert scores.value == pytest.approx(math.exp(nats / (first.words + second.words)))
        size = len((first.published + second.published).encode())
        assert scores.values["bits_per_byte"] == pytest.approx(nats / math.log(2) / size)
        assert [each["article"] for each in answers] == ["First Title", "Second"]

    @pytest.mark.parametrize(
        ("published", "written"),
        [
            (" a well @-@ known man 's son ", " a well-known man's son "),
            (" 1 @,@ 500 and 2 @.@ 5 ", " 1,500 and 2.5 "),
            (" ( or so ) , yes ; no : 1 ! ", " (or so), yes; no: 1! "),
            (' " Yes , " he said ', ' "Yes," he said '),
            (" = = Section = = \n", " == Section ==\n"),
            (" the boys ' hats ", " the boys' hats "),
        ],
    )
    def test_it_is_put_together_as_people_write(self, published: str, written: str) -> None:
        assert put_together(published) == written

    @given(st.text("ab @-,.()[]\"'=\n", max_size=40))
    def test_no_letter_is_lost(self, text: str) -> None:
        assert [char for char in put_together(text) if char in "ab"] == [char for char in text if char in "ab"]

    def test_two_files_of_a_split_are_named(self, tmp_path: Path) -> None:
        for name in ("wiki.test.tokens", "test.txt"):
            (tmp_path / name).write_text(WIKI)
        with pytest.raises(SourceError, match="expected one file"):
            WikiText.read(tmp_path, "test", RowNotes())

    @pytest.mark.real_data
    def test_the_published_test_set_has_its_tokens(self) -> None:
        if not (DATA / "wikitext-2").is_dir():
            pytest.skip(f"{DATA / 'wikitext-2'} is absent")
        articles = WikiText.read(DATA / "wikitext-2", "test", RowNotes())
        # 245,569 with <eos>; the file has a blank line before the first title
        assert sum(article.tokens for article in articles) == pytest.approx(245_569, abs=1)
        assert len(articles) == pytest.approx(61, abs=2)
