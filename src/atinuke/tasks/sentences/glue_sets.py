"""The data sets of GLUE, each as its files are published (Wang et al. 2019, arXiv:1804.07461).

All are cells between tabs without quoting. The answers of the test splits are kept by the benchmark's server, where
predictions are handed in: a file of index and prediction for each task, labels under their official names.
"""

from dataclasses import replace

from atinuke.tasks.sentences.described import DataFile, Dataset, Layout, Submission

ZERO_OR_ONE = ("0", "1")
NLI_LABELS = ("entailment", "neutral", "contradiction")
NUMBERED_NLI = {"0": "entailment", "1": "neutral", "2": "contradiction"}
ENTAILED_OR_NOT = ("entailment", "not_entailment")
OTHER_ANNOTATORS = ("label2", "label3", "label4", "label5")


def three_splits(layout: Layout, test: Layout | None = None) -> dict[str, tuple[DataFile, ...]]:
    """train.tsv, dev.tsv and test.tsv, the last without answers."""
    return {
        "train": (DataFile("train.tsv", layout),),
        "dev": (DataFile("dev.tsv", layout),),
        "test": (DataFile("test.tsv", test or layout, needs_answers=False),),
    }


def glue_fetch(title: str, others: str = "") -> str:
    """What to fetch for a task of GLUE."""
    return f"Fetch {title} from gluebenchmark.com/tasks, and unpack it in --data.{others}"


_COLA = Layout("sentence", columns=("source", "label", "mark", "sentence"))
COLA = Dataset(
    name="cola",
    title="CoLA",
    items="sentences",
    fetch=glue_fetch("CoLA", " CoLA's own in_domain_train.tsv, in_domain_dev.tsv and out_of_domain_dev.tsv will do."),
    folders=("CoLA",),
    files={
        "train": (DataFile("train.tsv", _COLA), DataFile("in_domain_train.tsv", _COLA)),
        # GLUE's dev split is both of CoLA's, one after the other
        "dev": (DataFile("dev.tsv", _COLA), DataFile("in_domain_dev.tsv", _COLA, "out_of_domain_dev.tsv")),
        "test": (DataFile("test.tsv", Layout("sentence"), needs_answers=False),),
    },
    metrics=("mcc",),
    submission=Submission("CoLA.tsv"),
    labels=ZERO_OR_ONE,
)

SST2 = Dataset(
    name="sst2",
    title="SST-2",
    items="sentences",
    fetch=glue_fetch("SST-2"),
    folders=("SST-2",),
    files=three_splits(Layout("sentence")),
    metrics=("accuracy",),
    submission=Submission("SST-2.tsv"),
    labels=ZERO_OR_ONE,
    passes=3.0,
)

_MRPC = Layout("#1 String", "#2 String", "Quality")
_MRPC_FILES = three_splits(_MRPC)
MRPC = Dataset(
    name="mrpc",
    title="MRPC",
    items="pairs",
    fetch=glue_fetch("MRPC", " msr_paraphrase_train.txt and msr_paraphrase_test.txt, as first published, will do."),
    folders=("MRPC",),
    files={
        "train": (
            *_MRPC_FILES["train"],
            DataFile(
                "msr_paraphrase_train.txt",
                _MRPC,
                remark="the first publication whole, GLUE's dev rows among it.",
            ),
        ),
        "dev": _MRPC_FILES["dev"],
        # the first publication has the answers that GLUE keeps back
        "test": (DataFile("msr_paraphrase_test.txt", _MRPC), *_MRPC_FILES["test"]),
    },
    metrics=("accuracy", "f1"),
    submission=Submission("MRPC.tsv"),
    labels=ZERO_OR_ONE,
    passes=10.0,
)

# the published train.tsv and dev.tsv hold rows with too few cells, which everybody leaves out
_QQP = Layout("question1", "question2", "is_duplicate", id="id", skip_broken=True)
_QQP_FILES = three_splits(_QQP, replace(_QQP, skip_broken=False))
_BARE_QQP = Layout("question1", "question2", columns=("question1", "question2", "label"))
QQP = Dataset(
    name="qqp",
    title="QQP",
    items="pairs",
    fetch=glue_fetch("QQP"),
    folders=("QQP", "quora_question_pairs"),
    files={
        "train": (*_QQP_FILES["train"], DataFile("train.txt", _BARE_QQP)),
        "dev": (
            *_QQP_FILES["dev"],
            DataFile("dev.txt", _BARE_QQP, remark="not GLUE's dev split, but one with as many duplicates as others."),
        ),
        "test": _QQP_FILES["test"],
    },
    metrics=("accuracy", "f1"),
    submission=Submission("QQP.tsv"),
    labels=ZERO_OR_ONE,
    passes=3.0,
)

_STSB = Layout("sentence1", "sentence2", "score")
_STSB_FILES = three_splits(_STSB)
_OWN_STSB = replace(
    _STSB,
    columns=("genre", "filename", "year", "old_index", "score", "sentence1", "sentence2", "source1", "source2"),
    may_lack=("source1", "source2"),
)
STSB = Dataset(
    name="stsb",
    title="STS-B",
    items="pairs",
    fetch=glue_fetch("STS-B", " The benchmark's own sts-train.csv, sts-dev.csv and sts-test.csv will do."),
    folders=("STS-B", "stsbenchmark"),
    files={
        "train": (*_STSB_FILES["train"], DataFile("sts-train.csv", _OWN_STSB)),
        "dev": (*_STSB_FILES["dev"], DataFile("sts-dev.csv", _OWN_STSB)),
        "test": (DataFile("sts-test.csv", _OWN_STSB), *_STSB_FILES["test"]),
    },
    metrics=("pearson", "spearman"),
    submission=Submission("STS-B.tsv"),
    scale=(0.0, 5.0),
    passes=10.0,
)

_MNLI = Layout("sentence1", "sentence2", "gold_label")
_OWN_MNLI = replace(_MNLI, id="pairID", may_lack=OTHER_ANNOTATORS)


def _mnli_files(name: str) -> tuple[DataFile, ...]:
    return (
        DataFile(f"{name}.tsv", _MNLI),
        DataFile(f"multinli_1.0_{name}.jsonl", replace(_OWN_MNLI, kind="json")),
        DataFile(f"multinli_1.0_{name}.txt", _OWN_MNLI),
    )


MNLI = Dataset(
    name="mnli",
    title="MNLI",
    items="pairs",
    fetch=glue_fetch("MNLI", " multinli_1.0_train.jsonl and its kin, as first published, will do."),
    folders=("MNLI", "multinli_1.0"),
    files={
        "train": _mnli_files("train"),
        "dev": _mnli_files("dev_matched"),
        "dev_mismatched": _mnli_files("dev_mismatched"),
        "test": (DataFile("test_matched.tsv", _MNLI, needs_answers=False),),
        "test_mismatched": (DataFile("test_mismatched.tsv", _MNLI, needs_answers=False),),
    },
    metrics=("accuracy",),
    submission=Submission("MNLI-m.tsv", by_split={"dev_mismatched": "MNLI-mm.tsv", "test_mismatched": "MNLI-mm.tsv"}),
    labels=NLI_LABELS,
    no_gold="-",
    scored=("dev", "dev_mismatched"),
    passes=3.0,
)

QNLI = Dataset(
    name="qnli",
    title="QNLI",
    items="pairs",
    fetch=glue_fetch("QNLI"),
    folders=("QNLI",),
    files=three_splits(Layout("question", "sentence")),
    metrics=("accuracy",),
    submission=Submission("QNLI.tsv"),
    labels=ENTAILED_OR_NOT,
    passes=3.0,
)

RTE = Dataset(
    name="rte",
    title="RTE",
    items="pairs",
    fetch=glue_fetch("RTE"),
    folders=("RTE",),
    files=three_splits(Layout("sentence1", "sentence2")),
    metrics=("accuracy",),
    submission=Submission("RTE.tsv"),
    labels=ENTAILED_OR_NOT,
    passes=10.0,
)

WNLI = Dataset(
    name="wnli",
    title="WNLI",
    items="pairs",
    fetch=glue_fetch("WNLI"),
    folders=("WNLI",),
    files=three_splits(Layout("sentence1", "sentence2")),
    metrics=("accuracy",),
    submission=Submission("WNLI.tsv"),
    labels=ZERO_OR_ONE,
)

AX = Dataset(
    name="ax",
    title="AX",
    items="pairs",
    fetch="Fetch the diagnostic set from gluebenchmark.com/diagnostics: diagnostic-full.tsv has the answers.",
    folders=("diagnostic", "AX", "ax"),
    files={
        "test": (
            DataFile("diagnostic-full.tsv", Layout("Premise", "Hypothesis", "Label")),
            DataFile("diagnostic.tsv", Layout("sentence1", "sentence2"), needs_answers=False),
            DataFile("AX.tsv", Layout("sentence1", "sentence2"), needs_answers=False),
        )
    },
    metrics=("mcc",),
    submission=Submission("AX.tsv"),
    labels=NLI_LABELS,
    scored=("test",),
    borrows="mnli",
)
