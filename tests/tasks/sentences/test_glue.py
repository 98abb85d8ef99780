"""The GLUE average: which tasks count, each by the mean of its figures, and what is missing."""

import pytest

from atinuke.errors import ConfigError
from atinuke.tasks.sentences.glue import COUNTED, glue_average

# BERT-large as the benchmark's table has it, which gives 80.5 for the whole
BERT = {
    ("cola", "test"): {"mcc": 60.5},
    ("sst2", "test"): {"accuracy": 94.9},
    ("mrpc", "test"): {"accuracy": 85.4, "f1": 89.3},
    ("stsb", "test"): {"pearson": 87.6, "spearman": 86.5},
    ("qqp", "test"): {"accuracy": 89.3, "f1": 72.1},
    ("mnli", "test"): {"accuracy": 86.7},
    ("mnli", "test_mismatched"): {"accuracy": 85.9},
    ("qnli", "test"): {"accuracy": 92.7},
    ("rte", "test"): {"accuracy": 70.1},
    ("wnli", "test"): {"accuracy": 65.1},
}


def test_berts_row_gives_what_the_benchmark_says() -> None:
    average = glue_average({**BERT, ("ax", "test"): {"mcc": 39.6}}, "test")
    assert average.value is not None and round(average.value, 1) == 80.5
    assert average.is_whole and average.note == "mean of all 9 tasks"
    assert tuple(average.tasks) == COUNTED
    assert average.tasks["mnli"] == pytest.approx(86.3) and average.tasks["mrpc"] == pytest.approx(87.35)


def test_what_is_missing_is_said_and_the_rest_is_averaged() -> None:
    scores = {("sst2", "dev"): {"accuracy": 80.0}, ("mrpc", "dev"): {"accuracy": 60.0, "f1": 80.0}}
    average = glue_average({**scores, ("snli", "dev"): {"accuracy": 1.0}, ("cola", "test"): {"mcc": 1.0}})
    assert average.value == 75
    assert average.missing == ("cola", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")
    assert average.note == "mean of 2 of 9 tasks; missing: cola, stsb, qqp, mnli, qnli, rte, wnli"


def test_one_split_of_mnli_does_not_count() -> None:
    average = glue_average({key: value for key, value in BERT.items() if key[1] == "test"}, "test")
    assert average.missing == ("mnli (test_mismatched)",) and "mnli" not in average.tasks


def test_without_any_task_there_is_no_average() -> None:
    assert glue_average({}).value is None and len(glue_average({}).missing) == 9


def test_a_split_that_glue_does_not_average_is_refused() -> None:
    with pytest.raises(ConfigError, match="dev or test, not dev_mismatched"):
        glue_average(BERT, "dev_mismatched")
