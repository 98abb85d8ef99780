"""Files of every data set in their exact formats: what each row says, and which file is taken where there are more."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from atinuke.data.rows import RowNotes
from atinuke.errors import SourceError
from atinuke.tasks.sentences import described_tasks
from atinuke.tasks.sentences.sentence_task import SentenceTask
from atinuke.tasks.sentences.texts import TextExample

FolderOf = Callable[[Mapping[str, str]], Path]

TASKS = (
    *("Cola", "Sst2", "Mrpc", "Qqp", "Stsb", "Mnli", "Qnli", "Rte", "Wnli", "Ax"),
    *("Snli", "Sick", "SickR", "SciTail"),
)


def tabs(*rows: str) -> str:
    """Lines with tabs for bars."""
    return "".join(row.replace("|", "\t") + "\n" for row in rows)


def objects(**cells: object) -> str:
    return json.dumps(cells) + "\n"


MRPC_HEADER = "Quality|#1 ID|#2 ID|#1 String|#2 String"
QQP_HEADER = "id|qid1|qid2|question1|question2|is_duplicate"
STSB_HEADER = "index|genre|filename|year|old_index|source1|source2|sentence1|sentence2"
STSB_ROW = "7|main-captions|MSRvid|2012test|0021|none|none|A cat naps.|A cat sleeps."
PARSES = "sentence1_binary_parse|sentence2_binary_parse|sentence1_parse|sentence2_parse|sentence1|sentence2"
MNLI_HEADER = f"index|promptID|pairID|genre|{PARSES}"
MNLI_ROW = "3|311|311n|fiction|( It rains )|( It pours )|(ROOT (S It rains))|(ROOT (S It pours))|It rains|It pours"
SNLI_HEADER = f"gold_label|{PARSES}|captionID|pairID|label1|label2|label3|label4|label5"
SNLI_ROW = "neutral|( A dog )|( A pet )|(ROOT A dog)|(ROOT A pet)|A dog|A pet|12.jpg#0|12.jpg#0r1n|neutral||||"
SNLI_DISPUTED = SNLI_ROW.replace("neutral", "-", 1).replace("r1n", "r1e")
SICK_HEADER = "pair_ID|sentence_A|sentence_B|relatedness_score|entailment_judgment"
SICK_ALL = tabs(
    "pair_ID|sentence_A|sentence_B|entailment_label|relatedness_score|entailment_AB|entailment_BA|"
    "sentence_A_original|sentence_B_original|sentence_A_dataset|sentence_B_dataset|SemEval_set",
    "1|A boy runs|A boy sits|CONTRADICTION|3.2|A_contradicts_B|B_contradicts_A|x|y|FLICKR|FLICKR|TRAIN",
    "4|A girl runs|A girl moves|ENTAILMENT|4.7|A_entails_B|B_neutral_A|x|y|FLICKR|SEMEVAL|TRIAL",
    "6|A man runs|A dog eats|NEUTRAL|1|A_neutral_B|B_neutral_A|x|y|SEMEVAL|SEMEVAL|TEST",
)
AX_HEADER = "Lexical Semantics|Predicate-Argument Structure|Logic|Knowledge|Domain|Premise|Hypothesis|Label"

Said = tuple[str, str, str | None, str | float | None]

# task, split, file, its text, and (id, first text, second, answer) of each example
FORMATS: dict[str, tuple[str, str, str, str, list[Said]]] = {
    "CoLA": (
        *("Cola", "train", "train.tsv"),
        tabs('gj04|0|*|Them "ran.', "gj04|1||They ran."),
        [("0", 'Them "ran.', None, "0"), ("1", "They ran.", None, "1")],
    ),
    "CoLA test": (
        *("Cola", "test", "test.tsv"),
        tabs("index|sentence", "0|They ran."),
        [("0", "They ran.", None, None)],
    ),
    "SST-2": (
        *("Sst2", "dev", "dev.tsv"),
        tabs("sentence|label", "it 's fine . |1"),
        [("0", "it 's fine .", None, "1")],
    ),
    "SST-2 test": (
        *("Sst2", "test", "test.tsv"),
        tabs("index|sentence", "5|dull ."),
        [("5", "dull .", None, None)],
    ),
    "MRPC": (
        *("Mrpc", "dev", "dev.tsv"),
        "\ufeff" + tabs(MRPC_HEADER, '1|70|71|He said "no".|No, he said.\r'),
        [("0", 'He said "no".', "No, he said.", "1")],
    ),
    "MRPC test": (
        *("Mrpc", "test", "test.tsv"),
        tabs("index|#1 ID|#2 ID|#1 String|#2 String", "4|70|71|a|b"),
        [("4", "a", "b", None)],
    ),
    "MRPC first": (
        *("Mrpc", "test", "msr_paraphrase_test.txt"),
        tabs(MRPC_HEADER, "0|70|71|a|b"),
        [("0", "a", "b", "0")],
    ),
    "QQP": (
        *("Qqp", "train", "train.tsv"),
        tabs(QQP_HEADER, "9|1|2|Why?|How?|0"),
        [("9", "Why?", "How?", "0")],
    ),
    "QQP test": (
        *("Qqp", "test", "test.tsv"),
        tabs("id|question1|question2", "4|Why?|"),
        [("4", "Why?", "", None)],
    ),
    "QQP bare": (
        *("Qqp", "dev", "dev.txt.gz"),
        tabs("Why ?|How ?|1"),
        [("0", "Why ?", "How ?", "1")],
    ),
    "STS-B": (
        *("Stsb", "dev", "dev.tsv"),
        tabs(f"{STSB_HEADER}|score", f"{STSB_ROW}|4.750"),
        [("7", "A cat naps.", "A cat sleeps.", 4.75)],
    ),
    "STS-B test": (
        *("Stsb", "test", "test.tsv"),
        tabs(STSB_HEADER, STSB_ROW),
        [("7", "A cat naps.", "A cat sleeps.", None)],
    ),
    "STS benchmark": (
        *("Stsb", "test", "sts-test.csv"),
        tabs('main-news|MSRpar|2012|0001|0.5|A "b"|c', "main-news|x|2013|2|5|d|e|http://a|http://b"),
        [("0", 'A "b"', "c", 0.5), ("1", "d", "e", 5.0)],
    ),
    "MNLI": (
        *("Mnli", "train", "train.tsv"),
        tabs(f"{MNLI_HEADER}|label1|gold_label", f"{MNLI_ROW}|neutral|neutral"),
        [("3", "It rains", "It pours", "neutral")],
    ),
    "MNLI dev": (
        *("Mnli", "dev_mismatched", "dev_mismatched.tsv"),
        tabs(
            f"{MNLI_HEADER}|label1|label2|label3|label4|label5|gold_label",
            f"{MNLI_ROW}|neutral|neutral|entailment|entailment|entailment|entailment",
        ),
        [("3", "It rains", "It pours", "entailment")],
    ),
    "MNLI test": (
        *("Mnli", "test", "test_matched.tsv"),
        tabs(MNLI_HEADER, MNLI_ROW),
        [("3", "It rains", "It pours", None)],
    ),
    "MultiNLI objects": (
        *("Mnli", "dev", "multinli_1.0_dev_matched.jsonl"),
        objects(
            annotator_labels=["x"], gold_label="neutral", pairID="6n", sentence1='It "rains"', sentence2="It pours"
        ),
        [("6n", 'It "rains"', "It pours", "neutral")],
    ),
    "MultiNLI": (
        *("Mnli", "dev_mismatched", "multinli_1.0_dev_mismatched.txt"),
        tabs(
            f"gold_label|{PARSES}|promptID|pairID|genre|label1|label2|label3|label4|label5",
            "neutral|( a )|( b )|(ROOT a)|(ROOT b)|It rains|It pours|6|6n|letters|neutral||||",
        ),
        [("6n", "It rains", "It pours", "neutral")],
    ),
    "QNLI": (
        *("Qnli", "dev", "dev.tsv"),
        tabs("index|question|sentence|label", "0|Who?|She.|not_entailment"),
        [("0", "Who?", "She.", "not_entailment")],
    ),
    "RTE": (
        *("Rte", "train", "train.tsv"),
        tabs("index|sentence1|sentence2|label", "0|It rains.|It is wet.|entailment"),
        [("0", "It rains.", "It is wet.", "entailment")],
    ),
    "WNLI": (
        *("Wnli", "train", "train.tsv"),
        tabs("index|sentence1|sentence2|label", "0|It fell on it.|It fell.|1"),
        [("0", "It fell on it.", "It fell.", "1")],
    ),
    "AX": (
        *("Ax", "test", "diagnostic-full.tsv"),
        tabs(AX_HEADER, "||Negation||Artificial|It rains.|It does not.|contradiction"),
        [("0", "It rains.", "It does not.", "contradiction")],
    ),
    "AX bare": (
        *("Ax", "test", "diagnostic.tsv"),
        tabs("index|sentence1|sentence2", "0|It rains.|It does not."),
        [("0", "It rains.", "It does not.", None)],
    ),
    "SNLI": (
        *("Snli", "dev", "snli_1.0_dev.txt"),
        tabs(SNLI_HEADER, SNLI_ROW),
        [("12.jpg#0r1n", "A dog", "A pet", "neutral")],
    ),
    "SNLI lines that end early": (
        *("Snli", "dev", "snli_1.0_dev.txt"),
        tabs(SNLI_HEADER, SNLI_ROW.rstrip("|")),
        [("12.jpg#0r1n", "A dog", "A pet", "neutral")],
    ),
    "SNLI objects": (
        *("Snli", "train", "snli_1.0_train.jsonl"),
        objects(gold_label="entailment", pairID="12.jpg#0r1e", sentence1="A dog", sentence2="A pet"),
        [("12.jpg#0r1e", "A dog", "A pet", "entailment")],
    ),
    "SNLI bare": (
        *("Snli", "test", "test.txt.gz"),
        tabs("a dog|a pet|1", "a dog|a cat|2"),
        [("0", "a dog", "a pet", "neutral"), ("1", "a dog", "a cat", "contradiction")],
    ),
    "SNLI revised": (
        *("Snli", "train", "train.tsv.gz"),
        tabs("sentence1|sentence2|gold_label", 'A dog|A "pet|neutral'),
        [("0", "A dog", 'A "pet', "neutral")],
    ),
    "SICK": (
        *("Sick", "dev", "SICK_trial.txt"),
        tabs(SICK_HEADER, "4|A girl runs|A girl moves|4.7|ENTAILMENT\r"),
        [("4", "A girl runs", "A girl moves", "ENTAILMENT")],
    ),
    "SICK in one": (
        *("Sick", "train", "SICK.txt", SICK_ALL),
        [("1", "A boy runs", "A boy sits", "CONTRADICTION")],
    ),
    "SICK bare": (
        *("Sick", "test", "test.txt.gz"),
        tabs("A man runs|A dog eats|1"),
        [("0", "A man runs", "A dog eats", "NEUTRAL")],
    ),
    "SICK-R": (
        *("SickR", "test", "SICK_test_annotated.txt"),
        tabs(SICK_HEADER, "6|A man runs|A dog eats|1|NEUTRAL"),
        [("6", "A man runs", "A dog eats", 1.0)],
    ),
    "SICK-R in one": (
        *("SickR", "dev", "SICK.txt", SICK_ALL),
        [("4", "A girl runs", "A girl moves", 4.7)],
    ),
    "SciTail": (
        *("SciTail", "train", "SciTailV1.1/snli_format/scitail_1.0_train.txt"),
        objects(gold_label="entailment", sentence1="Ice is water.", sentence2="Ice melts."),
        [("0", "Ice is water.", "Ice melts.", "entails")],
    ),
    "SciTail tabs": (
        *("SciTail", "dev", "tsv_format/scitail_1.0_dev.tsv"),
        tabs("Ice is water.|Ice melts.|neutral"),
        [("0", "Ice is water.", "Ice melts.", "neutral")],
    ),
    "SciTail bare": (
        *("SciTail", "dev", "dev.txt.bz2"),
        tabs("Ice is water .|Ice melts .|0"),
        [("0", "Ice is water .", "Ice melts .", "entails")],
    ),
}


def task(name: str) -> type[SentenceTask]:
    found: type[SentenceTask] = getattr(described_tasks, name)
    return found


def read(name: str, data: Path, split: str, notes: RowNotes | None = None) -> list[TextExample]:
    return task(name).read(data, split, notes or RowNotes())


def said(examples: list[TextExample]) -> list[Said]:
    return [(each.id, each.first, each.second, each.answer) for each in examples]


@pytest.mark.parametrize("format", FORMATS)
def test_each_format_says_what_it_says(format: str, folder_of: FolderOf) -> None:
    name, split, file, text, expected = FORMATS[format]
    examples = read(name, folder_of({file: text}), split)
    assert said(examples) == expected
    assert {each.split for each in examples} == {split}
    assert examples[0].spot.file.endswith(file)


@pytest.mark.parametrize("name", TASKS)
def test_every_format_is_tried_and_every_data_set_says_what_to_fetch(name: str, tmp_path: Path) -> None:
    described = task(name)
    assert any(entry[0] == name for entry in FORMATS.values())
    assert described.fetch.startswith("Fetch ") and set(described.scored) <= set(described.splits)
    with pytest.raises(SourceError, match=r"looked for .* there and in .* Fetch "):
        described.read(tmp_path, described.scored[0], RowNotes())


def test_names_and_titles_are_those_of_the_register() -> None:
    expected = "cola sst2 mrpc qqp stsb mnli qnli rte wnli ax snli sick sick-r scitail"
    assert " ".join(task(name).name for name in TASKS) == expected
    assert (task("Snli").paper, task("Cola").paper) == (89.0, None)
    assert task("Mnli").scored == ("dev", "dev_mismatched") and task("Ax").borrows == "mnli"


@pytest.mark.parametrize("place", ["train.tsv", "SST-2/train.tsv", "glue/SST-2/train.tsv.gz"])
def test_files_lie_in_the_folder_or_in_one_of_the_tasks_name(place: str, folder_of: FolderOf) -> None:
    data = folder_of({place: "sentence\tlabel\nfine\t1\n"})
    assert len(read("Sst2", data, "train")) == 1


def test_what_the_folder_itself_has_goes_first(folder_of: FolderOf) -> None:
    rows = "sentence\tlabel\nfine\t1\n"
    data = folder_of({"dev.tsv": rows, "dev.tsv.gz": rows + rows, "SST-2/dev.tsv": rows + "dull\t0\n"})
    assert len(read("Sst2", data, "dev")) == 1


class TestTwoFiles:
    def test_the_dev_split_of_cola_is_two_files_counted_on(self, folder_of: FolderOf) -> None:
        first, second = "gj04\t1\t\tThey ran.\n", "clc95\t0\t*\tThem ran."
        data = folder_of({"in_domain_dev.tsv": first, "out_of_domain_dev.tsv": second})
        examples = read("Cola", data, "dev")
        assert said(examples) == [("0", "They ran.", None, "1"), ("1", "Them ran.", None, "0")]
        assert str(examples[1].spot) == f"{data / 'out_of_domain_dev.tsv'}:1"

    def test_half_of_it_is_refused(self, folder_of: FolderOf) -> None:
        data = folder_of({"CoLA/out_of_domain_dev.tsv": "clc95\t0\t*\tThem ran.\n"})
        with pytest.raises(SourceError, match=r"is half of the split dev; add in_domain_dev\.tsv beside it"):
            read("Cola", data, "dev")


class TestPassedOver:
    def test_a_pair_on_which_annotators_do_not_agree_is_counted(self, folder_of: FolderOf) -> None:
        data = folder_of({"snli_1.0_dev.txt": tabs(SNLI_HEADER, SNLI_DISPUTED, SNLI_ROW)})
        notes = RowNotes()
        assert [each.id for each in read("Snli", data, "dev", notes)] == ["12.jpg#0r1n"]
        assert notes.places == {"annotators agreed on no label": [f"{data / 'snli_1.0_dev.txt'}:2"]}

    def test_rows_keep_their_numbers_when_one_before_them_goes(self, folder_of: FolderOf) -> None:
        data = folder_of({"train.tsv": "sentence1\tsentence2\tgold_label\na\tb\t-\nc\td\tneutral\n"})
        assert said(read("Snli", data, "train")) == [("1", "c", "d", "neutral")]

    def test_broken_rows_of_qqp_are_counted_where_everybody_leaves_them_out(self, folder_of: FolderOf) -> None:
        data = folder_of({"QQP/dev.tsv": tabs(QQP_HEADER, "1|2|3|Why?", "4|5|6|Why?|How?|0")})
        notes = RowNotes()
        assert [each.id for each in read("Qqp", data, "dev", notes)] == ["4"]
        assert notes.skipped == 1

    def test_revised_pairs_stand_in_for_the_training_split_of_snli_and_that_is_said(self, folder_of: FolderOf) -> None:
        data = folder_of({"cad/all_combined/train.tsv": "sentence1\tsentence2\tgold_label\nc\td\tneutral\n"})
        notes = RowNotes()
        assert len(read("Snli", data, "train", notes)) == 1
        assert "SNLI's own training split is not there" in notes.remarks[0]
        folder_of({"snli_1.0_train.txt": tabs(SNLI_HEADER, SNLI_ROW)})
        notes = RowNotes()
        assert read("Snli", data, "train", notes)[0].first == "A dog" and not notes.remarks
