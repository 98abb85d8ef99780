"""Natural language inference outside GLUE: SNLI, SICK and SciTail, as they are published and as they are passed on."""

from dataclasses import replace

from atinuke.tasks.sentences.described import DataFile, Dataset, Layout, Submission
from atinuke.tasks.sentences.glue_sets import NLI_LABELS, NUMBERED_NLI, OTHER_ANNOTATORS

_SNLI = Layout("sentence1", "sentence2", "gold_label", id="pairID", may_lack=OTHER_ANNOTATORS)
_BARE = Layout("sentence1", "sentence2", columns=("sentence1", "sentence2", "label"))


def _snli_files(split: str) -> tuple[DataFile, ...]:
    """The original; with a header; and without one, the labels as numbers."""
    return (
        DataFile(f"snli_1.0_{split}.jsonl", replace(_SNLI, kind="json")),
        DataFile(f"snli_1.0_{split}.txt", _SNLI),
        DataFile(f"{split}.tsv", replace(_SNLI, may_lack=())),
        DataFile(f"{split}.txt", replace(_BARE, spelling=NUMBERED_NLI)),
    )


_REVISED = DataFile(
    "cad/all_combined/train.tsv",
    replace(_SNLI, may_lack=()),
    remark="SNLI's own training split is not there; these are pairs of it and their revisions by people (Kaushik et "
    "al. 2020, arXiv:1909.12434).",
)
SNLI = Dataset(
    name="snli",
    title="SNLI",
    items="pairs",
    fetch="Fetch snli_1.0.zip from nlp.stanford.edu/projects/snli, and unpack it in --data.",
    folders=("snli", "SNLI", "snli_1.0"),
    files={
        "train": (*_snli_files("train"), _REVISED),
        "dev": _snli_files("dev"),
        "test": _snli_files("test"),
    },
    metrics=("accuracy",),
    submission=Submission("SNLI.tsv"),
    labels=NLI_LABELS,
    no_gold="-",
    scored=("dev", "test"),
    paper=89.0,
    passes=3.0,
)

_SICK_FETCH = (
    "Fetch SICK_train.txt, SICK_trial.txt and SICK_test_annotated.txt (SemEval-2014, task 1), or SICK.txt, which "
    "holds all splits, and lay them in --data."
)
_SICK_LABELS = tuple(label.upper() for label in NLI_LABELS)
_SICK_FOLDERS = ("sick", "SICK")
_SICK_COLUMNS = ("pair_ID", "entailment_judgment", "relatedness_score")
_SICK_SETS = {"train": ("TRAIN", "train"), "dev": ("TRIAL", "trial"), "test": ("TEST", "test_annotated")}


def _sick_files(split: str, at_semeval: str, in_one: str) -> tuple[DataFile, ...]:
    """`at_semeval`, `in_one`: the column of answers in the files of SemEval, and in the one that holds all splits."""
    mark, name = _SICK_SETS[split]
    layout = Layout("sentence_A", "sentence_B", at_semeval, id="pair_ID")
    return (
        DataFile(f"SICK_{name}.txt", layout),
        DataFile("SICK.txt", replace(layout, answer=in_one, only=("SemEval_set", mark))),
    )


SICK = Dataset(
    name="sick",
    title="SICK",
    items="pairs",
    fetch=_SICK_FETCH,
    folders=_SICK_FOLDERS,
    files={
        split: (
            *_sick_files(split, "entailment_judgment", "entailment_label"),
            DataFile(
                f"{split}.txt",
                replace(_BARE, spelling={number: label.upper() for number, label in NUMBERED_NLI.items()}),
            ),
        )
        for split in _SICK_SETS
    },
    metrics=("accuracy",),
    submission=Submission("SICK.txt", _SICK_COLUMNS, "entailment_judgment"),
    labels=_SICK_LABELS,
    scored=("dev", "test"),
    passes=10.0,
)

SICK_R = Dataset(
    name="sick-r",
    title="SICK-R",
    items="pairs",
    fetch=_SICK_FETCH,
    folders=_SICK_FOLDERS,
    files={split: _sick_files(split, "relatedness_score", "relatedness_score") for split in _SICK_SETS},
    metrics=("pearson", "spearman", "mse"),
    submission=Submission("SICK-R.txt", _SICK_COLUMNS, "relatedness_score"),
    scale=(1.0, 5.0),
    scored=("dev", "test"),
    passes=10.0,
)

_SCITAIL = Layout("sentence1", "sentence2", "gold_label", kind="json", spelling={"entailment": "entails"})


def _scitail_files(split: str) -> tuple[DataFile, ...]:
    """In SNLI's format, in tabs, and with the labels as numbers."""
    return (
        DataFile(f"snli_format/scitail_1.0_{split}.txt", _SCITAIL),
        DataFile(f"scitail_1.0_{split}.txt", _SCITAIL),
        DataFile(f"tsv_format/scitail_1.0_{split}.tsv", _BARE),
        DataFile(f"scitail_1.0_{split}.tsv", _BARE),
        DataFile(f"{split}.txt", replace(_BARE, spelling={"0": "entails", "1": "neutral"})),
    )


SCITAIL = Dataset(
    name="scitail",
    title="SciTail",
    items="pairs",
    fetch="Fetch SciTailV1.1.zip from allenai.org/data/scitail, and unpack it in --data.",
    folders=("scitail", "SciTail", "SciTailV1.1"),
    files={split: _scitail_files(split) for split in ("train", "dev", "test")},
    metrics=("accuracy",),
    submission=Submission("SciTail.tsv"),
    labels=("entails", "neutral"),
    scored=("dev", "test"),
)
