"""BLEU and chrF, against a worked example and against sacrebleu's own command."""

import json
import math
import subprocess
import sys
from pathlib import Path

import pytest

from atinuke.errors import MissingExtraError, SourceError
from atinuke.train.translation_scores import translation_scores

HYPOTHESES = ["Two men are outside.", "A dog runs over the grass!", "Ọ̀kan lára wọn"]
REFERENCES = ["Two young men are outside.", "The dog runs over green grass.", "Ọ̀kan nínú wọn"]


def test_bleu_worked_by_hand() -> None:
    # Of its runs of one to four words, 6 of 7, 4 of 6, 2 of 5 and 1 of 4 are in the reference, which is as long.
    scores = translation_scores(["the cat is on the mat ok"], ["the cat sat on the mat ok"])
    assert scores["bleu"] == pytest.approx(100 * math.prod([6 / 7, 4 / 6, 2 / 5, 1 / 4]) ** 0.25)


def test_equal_texts_score_a_hundred_and_the_signatures_say_how() -> None:
    scores = translation_scores(REFERENCES, REFERENCES)
    assert [scores["bleu"], scores["chrf"]] == pytest.approx([100, 100])
    assert scores["sentences"] == 3
    assert "tok:13a" in scores["bleu_signature"] and "version:" in scores["bleu_signature"]
    assert "nc:6|nw:0" in scores["chrf_signature"]


def test_scores_and_signatures_are_those_of_sacrebleus_own_command(tmp_path: Path) -> None:
    files = [tmp_path / "hypotheses", tmp_path / "references"]
    for file, lines in zip(files, (HYPOTHESES, REFERENCES), strict=True):
        file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "sacrebleu", str(files[1]), "-i", str(files[0]), "-m", "bleu", "chrf", "-w", "9"]
    bleu, chrf = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    scores = translation_scores(HYPOTHESES, REFERENCES)
    assert scores["bleu"] == pytest.approx(bleu["score"], abs=1e-6)
    assert scores["chrf"] == pytest.approx(chrf["score"], abs=1e-6)
    assert (scores["bleu_signature"], scores["chrf_signature"]) == (bleu["signature"], chrf["signature"])


@pytest.mark.parametrize(("hypotheses", "references"), [(["a"], ["a", "b"]), ([], [])])
def test_texts_that_do_not_match_up_are_refused(hypotheses: list[str], references: list[str]) -> None:
    with pytest.raises(SourceError, match=r"expected as many"):
        translation_scores(hypotheses, references)


def test_without_the_library_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'atinuke\[translate\]'"):
        translation_scores(["a"], ["a"])
