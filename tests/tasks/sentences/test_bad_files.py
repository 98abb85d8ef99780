"""Files that are not as published: one line names the file, the line and what was expected."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from atinuke.data.rows import RowNotes
from atinuke.errors import ConfigError, SourceError
from atinuke.tasks.sentences.described_tasks import Ax, Cola, Mnli, Snli, Sst2, Stsb

FolderOf = Callable[[Mapping[str, str]], Path]

STSB_HEADER = "sentence1\tsentence2\tscore\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sentence\tlabel\nfine\t2\n", r"dev\.tsv:2 has '2' in column label; expected a label of SST-2: 0, 1\."),
        ("sentence\tlabel\nfine\t1\ndull\t\n", r"dev\.tsv:3 has '' in column label"),
        ("sentence\tlabel\nfine\t-\n", r"dev\.tsv:2 has '-' in column label"),
        ("sentence\tlabel\nfine\t1\ndull\n", r"dev\.tsv:3 has 1 cell between tabs; expected 2"),
        ("sentence\tlabel\nfine\t1\t0\n", r"dev\.tsv:2 has 3 cells"),
        ("text\tlabel\nfine\t1\n", r"dev\.tsv has no column sentence; its columns are text, label\."),
        ("sentence\nfine\n", r"dev\.tsv has no column label; its columns are sentence\."),
        ("fine\t1\ndull\t0\n", r"dev\.tsv has no column sentence; its columns are fine, 1\."),
        ("sentence,label\nfine,1\n", r"dev\.tsv has no column sentence; its columns are sentence,label\."),
        ("sentence\tlabel\n", r"dev\.tsv has no examples of SST-2 \(no rows below its header\)"),
        ("\n", "is empty"),
    ],
)
def test_a_table_that_is_not_as_published_is_refused(text: str, message: str, folder_of: FolderOf) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        Sst2.read(folder_of({"dev.tsv": text}), "dev", RowNotes())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("cell", ["", "high", "nan", "inf", "-0.1", "5.001", "1_0", "5,0", "0x1"])
def test_a_score_that_is_no_number_on_the_scale_is_refused(cell: str, folder_of: FolderOf) -> None:
    data = folder_of({"train.tsv": f"{STSB_HEADER}a\tb\t5.000\nc\td\t{cell}\n"})
    with pytest.raises(SourceError, match=r"train\.tsv:3 has '.*' in column score; expected a number from 0 to 5\."):
        Stsb.read(data, "train", RowNotes())


def test_where_every_row_is_passed_over_nothing_is_left(folder_of: FolderOf) -> None:
    data = folder_of({"dev.tsv": "sentence1\tsentence2\tgold_label\na\tb\t-\n"})
    with pytest.raises(SourceError, match=r"no examples of SNLI \(annotators agreed on no label: 1\)"):
        Snli.read(data, "dev", RowNotes())


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ('{"sentence1": "a"', r"jsonl:2 is not JSON"),
        ('{"sentence1": "a", "gold_label": "neutral"}', r"jsonl:2 has no text in sentence2"),
        ('{"sentence1": "a", "sentence2": null, "gold_label": "neutral"}', r"jsonl:2 has no text in sentence2"),
        ('{"sentence1": "a", "sentence2": "b", "gold_label": ["neutral"]}', r"jsonl:2 has no text in gold_label"),
        ('{"sentence1": "a", "sentence2": "b", "gold_label": "maybe"}', r"jsonl:2 has 'maybe' in column gold_label"),
        ('{"sentence1": "a", "sentence2": "\\udfff", "gold_label": "neutral"}', r"jsonl:2 has half of a surrogate"),
    ],
)
def test_an_object_that_is_not_as_published_is_refused(line: str, message: str, folder_of: FolderOf) -> None:
    good = '{"sentence1": "a", "sentence2": "b", "gold_label": "neutral"}\n'
    with pytest.raises(SourceError, match=message):
        Snli.read(folder_of({"snli_1.0_dev.jsonl": good + line + "\n"}), "dev", RowNotes())


def test_a_folder_that_is_none_is_refused(tmp_path: Path, folder_of: FolderOf) -> None:
    with pytest.raises(SourceError, match="no-such does not exist; expected the folder with the files of CoLA"):
        Cola.read(tmp_path / "no-such", "train", RowNotes())
    data = folder_of({"train.tsv": "gj04\t1\t\tThey ran.\n"})
    with pytest.raises(SourceError, match=r"train\.tsv is a file; expected the folder"):
        Cola.read(data / "train.tsv", "train", RowNotes())


def test_a_split_that_is_none_is_refused_with_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="MNLI has no split dev_matched; it has train, dev, dev_mismatched, test, te"):
        Mnli.read(tmp_path, "dev_matched", RowNotes())
    with pytest.raises(
        ConfigError, match=r"AX has no split train; it has test\. A network that was tuned for mnli ans"
    ):
        Ax.read(tmp_path, "train", RowNotes())
