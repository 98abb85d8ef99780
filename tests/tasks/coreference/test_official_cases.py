"""All 36 cases of the official scorer's own tests."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from atinuke.data.rows import RowNotes, read_file
from atinuke.tasks.coreference.conll import read_blocks
from atinuke.tasks.coreference.scoring import figures_of

NAMES = {"muc": "muc", "bcub": "b3", "ceafm": "ceaf_m", "ceafe": "ceaf_e", "blanc": "blanc"}
DIGITS = 5
"""As many as the expected values are given to, where they are not fractions."""
NOT_EXPECTED = {("B1", "muc"): (1 / 3, 1 / 3, 1 / 3), ("C1", "muc"): (1 / 2, 1 / 2, 1 / 2)}
"""The file has [1, 1, 1] there, which stands in a comment of CorefMetricTestConfig.pm and is no expectation; scorer.pl
v8.01 prints these instead."""


def cases() -> tuple[Path, list[dict[str, Any]]]:
    folder = Path(os.environ.get("ATINUKE_DATA", "../shared/data")) / "conll-coref-scorer-tests"
    if not folder.is_dir():
        pytest.skip("the official scorer's test cases are not here (ATINUKE_DATA)")
    return folder, json.loads((folder / "expected_metrics.json").read_text())["cases"]


@pytest.mark.real_data
def test_every_case_and_every_metric() -> None:
    folder, all_cases = cases()
    assert len(all_cases) == 36
    compared = 0
    for case in all_cases:
        (key,) = read_blocks(read_file(str(folder / case["key_file"]), RowNotes()), RowNotes())
        (response,) = read_blocks(read_file(str(folder / case["response_file"]), RowNotes()), RowNotes())
        figures, _ = figures_of([(key.clusters, response.clusters)])
        for name, listed in case["expected_metrics"].items():
            expected = NOT_EXPECTED.get((case["id"], name), listed)
            found = figures[NAMES[name]]
            assert [round(each, DIGITS) for each in found] == [round(each, DIGITS) for each in expected], (case, name)
            compared += 1
    assert compared == 93
