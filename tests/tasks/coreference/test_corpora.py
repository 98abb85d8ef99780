"""Finding and reading the files of OntoNotes and of LitBank."""

import gzip
import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from atinuke.data.rows import RowNotes
from atinuke.errors import ConfigError, SourceError
from atinuke.tasks.coreference.coreference_task import Coreference, LitBankCoreference
from atinuke.tasks.coreference.litbank import HELD_OUT, split_of

WriteFile = Callable[[str, str], Path]


def text_of(name: str, word: str = "She", cell: str = "(1)", part: str = "000") -> str:
    return f"#begin document ({name}); part {part}\n{name}\t0\t0\t{word}\t{cell}\n\n#end document\n"


def names_in(data: Path, split: str, notes: RowNotes | None = None) -> list[str]:
    documents = Coreference.read(data, split, notes if notes is not None else RowNotes())
    return [document.name for document in documents]


class TestOntoNotes:
    def test_the_tree_of_the_shared_task(self, write_file: WriteFile) -> None:
        tree = "conll-2012/v4/data/{}/data/{}/annotations/bc/cctv/00/cctv_000{}.v4_gold_conll"
        for split, language, number in (
            *(("train", "english", 1), ("train", "english", 0), ("train", "chinese", 2)),
            *(("development", "english", 3), ("test", "english", 4)),
        ):
            data = write_file(tree.format(split, language, number), text_of(f"cctv_000{number}"))
        write_file(tree.format("train", "english", 0).replace("gold", "auto"), "not read")
        assert names_in(data, "train") == ["cctv_0000", "cctv_0001"]
        assert names_in(data, "dev") == ["cctv_0003"] and names_in(data, "test") == ["cctv_0004"]

    def test_one_file_for_each_split_maybe_compressed(self, write_file: WriteFile) -> None:
        write_file("dev.english.v4_gold_conll", text_of("a") + text_of("a", part="001"))
        data = write_file("dev.arabic.v4_gold_conll", text_of("b"))
        (data / "train.english.v4_gold_conll.gz").write_bytes(gzip.compress(text_of("c").encode()))
        assert names_in(data, "dev") == ["a", "a"] and names_in(data, "train") == ["c"]
        with pytest.raises(SourceError, match=r"no file \*gold_conll below a folder test.*LDC2013T19"):
            names_in(data, "test")

    def test_a_document_twice(self, write_file: WriteFile) -> None:
        data = write_file("train.v4_gold_conll", text_of("a") + text_of("a", part="0"))
        with pytest.raises(SourceError, match=r"gold_conll:5 has a document of the name and part of .*gold_conll:1"):
            names_in(data, "train")

    def test_documents_without_words_are_counted(self, write_file: WriteFile) -> None:
        empty = "#begin document (e); part 000\n#end document\n"
        notes = RowNotes()
        data = write_file("train.v4_gold_conll", text_of("a") + empty)
        assert names_in(data, "train", notes) == ["a"] and notes.counts == {"no words": 1}
        with pytest.raises(SourceError, match="No document of the split has a word"):
            names_in(write_file("train.v4_gold_conll", empty), "train")

    def test_an_empty_split_an_unknown_one_and_no_folder(self, write_file: WriteFile, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match="is empty"):
            names_in(write_file("train.v4_gold_conll", "\n"), "train")
        with pytest.raises(ConfigError, match="no split validation; expected train, dev, test"):
            names_in(tmp_path, "validation")
        with pytest.raises(SourceError, match="does not exist; expected a folder"):
            names_in(tmp_path / "nowhere", "train")
        (tmp_path / "file").write_text("x")
        with pytest.raises(SourceError, match="is a file; expected a folder"):
            names_in(tmp_path / "file", "train")

    def test_text_without_its_licensed_words(self, write_file: WriteFile) -> None:
        with pytest.raises(SourceError, match=r"gold_conll:2 is without its words"):
            names_in(write_file("train.v4_gold_conll", text_of("a", "[WORD]")), "train")


class TestLitBank:
    BOOKS = ("1023_bleak_house_brat", "158_emma_brat", "105_persuasion_brat", "11_alices_adventures_brat")

    def read(self, data: Path, split: str) -> list[str]:
        return [document.name for document in LitBankCoreference.read(data, split, RowNotes())]

    def test_the_splits_are_those_of_the_first_published_fold(self) -> None:
        assert [split_of(name) for name in self.BOOKS] == ["test", "dev", "train", "train"]
        assert {len(books) for books in HELD_OUT.values()} == {10}
        assert not HELD_OUT["dev"] & HELD_OUT["test"]
        assert split_of("chapter_1") == split_of("") == split_of("²_x") == split_of("9" * 5000) == "train"

    @pytest.mark.parametrize("below", ["", "litbank-coref/", "coref/conll/"])
    def test_a_folder_of_files(self, below: str, write_file: WriteFile) -> None:
        for name in self.BOOKS:
            data = write_file(f"{below}{name}.conll", text_of(name, part="0"))
        assert self.read(data, "train") == ["105_persuasion_brat", "11_alices_adventures_brat"]
        assert self.read(data, "dev") == ["158_emma_brat"] and self.read(data, "test") == ["1023_bleak_house_brat"]

    def test_an_archive(self, tmp_path: Path) -> None:
        with tarfile.open(tmp_path / "litbank_coref_conll.tar.gz", "w:gz") as archive:
            for name in reversed(self.BOOKS):
                content = text_of(name, part="0").encode()
                info = tarfile.TarInfo(f"coref/conll/{name}.conll")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        assert self.read(tmp_path, "train") == ["105_persuasion_brat", "11_alices_adventures_brat"]
        (document,) = LitBankCoreference.read(tmp_path, "test", RowNotes())
        assert str(document.spot).endswith("litbank_coref_conll.tar.gz/coref/conll/1023_bleak_house_brat.conll:1")

    def test_a_broken_archive(self, tmp_path: Path) -> None:
        (tmp_path / "litbank.tar.gz").write_bytes(gzip.compress(b"no archive" * 100)[:-20])
        with pytest.raises(SourceError, match=r"litbank\.tar\.gz cannot be used: damaged"):
            self.read(tmp_path, "train")

    def test_nothing_there_and_nothing_of_the_split(self, write_file: WriteFile, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match=r"has no \*\.conll file.*dbamman/litbank"):
            self.read(tmp_path, "train")
        data = write_file("105_persuasion_brat.conll", text_of("105_persuasion_brat"))
        with pytest.raises(SourceError, match="has no document of dev: names begin with the number of the book"):
            self.read(data, "dev")

    @pytest.mark.real_data
    def test_all_hundred_documents(self) -> None:
        data = Path(os.environ.get("ATINUKE_DATA", "../shared/data")) / "litbank-coref"
        if not data.is_dir():
            pytest.skip("LitBank is not here (ATINUKE_DATA)")
        notes = RowNotes()
        splits = {split: LitBankCoreference.read(data, split, notes) for split in LitBankCoreference.splits}
        assert {split: len(documents) for split, documents in splits.items()} == {"train": 80, "dev": 10, "test": 10}
        documents = [document for each in splits.values() for document in each]
        clusters = [cluster for document in documents for cluster in document.clusters]
        assert sum(document.word_count for document in documents) == 210_532
        assert (len(clusters), sum(map(len, clusters)), sum(len(each) == 1 for each in clusters)) == (7927, 29103, 5763)
        assert not notes.skipped and not notes.remarks
        task = LitBankCoreference.learn(splits["train"])
        assert task.facts == {"keeps_singletons": True}
        assert set(task.score(splits["dev"], [each.clusters for each in splits["dev"]]).values.values()) == {100.0}
