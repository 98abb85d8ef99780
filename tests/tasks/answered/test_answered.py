"""Tasks that a network answers itself: their files, their figures, and the way through the commands."""

import json
import zipfile
from pathlib import Path

import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import metrics

from atinuke.cli import main
from atinuke.errors import SourceError
from atinuke.tasks.answered.digits import Mnist, SpokenDigits
from atinuke.tasks.answered.pair_files import find_pair_files
from atinuke.tasks.answered.written import Summarization, Translation
from atinuke.testing import make_run


def write(folder: Path, **files: str) -> Path:
    """Files into a folder; two underscores in a name stand for its dot."""
    folder.mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content, encoding="utf-8")
    return folder


class TestFiles:
    def test_the_direction_names_source_and_target(self, tmp_path: Path) -> None:
        folder = write(
            tmp_path / "a", train__de="", train__en="", train__fr="", val__de="", val__en="", test_2016__de=""
        )
        found = find_pair_files(Path(f"{folder}:en-de"), "train")
        assert found == (str(folder / "train.en"), str(folder / "train.de"))
        assert find_pair_files(Path(f"{folder}:de-en"), "dev") == (str(folder / "val.de"), str(folder / "val.en"))
        (folder / "test_2016.en.gz").write_bytes(b"")
        assert find_pair_files(Path(f"{folder}:de-en"), "test_2016")[1] == str(folder / "test_2016.en.gz")

    def test_a_table_holds_both_sides(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "a", train__tsv="", dev__jsonl="")
        assert find_pair_files(folder, "train") == (str(folder / "train.tsv"),)
        assert find_pair_files(folder, "dev", ("source", "target")) == (str(folder / "dev.jsonl"),)

    def test_what_is_there_instead_is_said(self, tmp_path: Path) -> None:
        folder = write(tmp_path / "a", train__de="", train__en="")
        with pytest.raises(SourceError, match=r"no pairs of the split train; .* Say which is the source"):
            find_pair_files(folder, "train")
        with pytest.raises(SourceError, match=r"expected test\.de and test\.en, or test\.tsv"):
            find_pair_files(Path(f"{folder}:de-en"), "test")
        with pytest.raises(SourceError, match="is no folder"):
            find_pair_files(tmp_path / "nowhere", "train")

    def test_digits_say_which_file_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(SourceError, match=r"t10k-images-idx3-ubyte\.gz is missing"):
            Mnist.files(tmp_path, "test")
        with pytest.raises(SourceError, match="holds no recordings"):
            SpokenDigits.files(tmp_path, "train")
        zipfile.ZipFile(tmp_path / "recordings.zip", "w").close()
        assert SpokenDigits.files(tmp_path, "test").endswith("recordings.zip/*_[0-4].wav")


WRITTEN = ["a man walks his dogs in the park", "two women are singing", ""]
REFERENCES = ["a man is walking a dog in the park", "two women sing on a stage", "a child sleeps"]


def test_summaries_are_scored_as_rouge_score_does() -> None:
    scorer = RougeScorer(["rouge1", "rouge2", "rougeLsum"], use_stemmer=True)
    found = Summarization.figures(WRITTEN, REFERENCES, lambda line: None)
    for name in ("rouge1", "rouge2", "rougeLsum"):
        each = [scorer.score(r, w)[name].fmeasure for w, r in zip(WRITTEN, REFERENCES, strict=True)]
        assert found[name] == pytest.approx(100 * sum(each) / 3)
    assert found["rouge1"] == pytest.approx(100 * (2 * 7 / 17 + 2 * 3 / 10) / 3)  # by hand


def test_translations_are_scored_as_sacrebleu_does() -> None:
    found = Translation.figures(WRITTEN, REFERENCES, lambda line: None)
    assert found["bleu"] == metrics.BLEU().corpus_score(WRITTEN, [REFERENCES]).score
    assert found["chrf"] == metrics.CHRF().corpus_score(WRITTEN, [REFERENCES]).score


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    words = {"eins": "one", "zwei": "two", "drei": "three"}
    both = [(f"{a} {b}", f"{words[a]} {words[b]}") for a in words for b in words]
    three = [(f"{a} {de}", f"{words[a]} {en}") for a in words for de, en in both]
    sides = {}
    for split, part in (("train", [*three, *words.items()] * 4), ("val", both)):
        sides[f"{split}__de"] = "".join(f"{de}\n" for de, _ in part)
        sides[f"{split}__en"] = "".join(f"{en}\n" for _, en in part)
    return write(tmp_path / "pairs", **sides)


def test_a_network_of_text_learns_to_translate(pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    base, out = make_run(tmp_path / "base"), tmp_path / "tuned"
    command = ["finetune", str(base), "--task", "translation", "--data", f"{pairs}:de-en", "--out", str(out)]
    assert main([*command, "--steps", "60", "--device", "cpu", "--quiet"]) == 0
    kept = json.loads((out / "scores" / "translation-dev" / "scores.json").read_text())
    assert kept["main"] == "bleu"
    assert kept["items"] == "9 pairs"
    assert kept["values"]["chrf"] > 50
    answers = (out / "scores" / "translation-dev" / "predictions.jsonl").read_text().splitlines()
    assert [json.loads(line)["reference"] for line in answers][:2] == ["one one", "one two"]
    config = json.loads((out / "config.json").read_text())
    assert config["init"] == str(base)
    assert config["model"]["model_dim"] == json.loads((base / "config.json").read_text())["model"]["model_dim"]
    capsys.readouterr()
    again = ["evaluate", str(out), "--task", "translation", "--data", f"{pairs}:de-en", "--split", "val", "--json"]
    assert main([*again, "--device", "cpu"]) == 0
    assert json.loads(capsys.readouterr().out)["values"] == kept["values"]
    assert main(["evaluate", str(base), "--table"]) == 0
    assert "Translation" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--from-scratch"], "atinuke train --model seq2seq --pairs SOURCE TARGET"),
        (["--lora", "4"], "learned with all weights"),
        (["--set", "model.model_dim=8"], "leave model.model_dim out"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(
    pairs: Path, tmp_path: Path, more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    base = make_run(tmp_path / "base")
    command = ["finetune", str(base), "--task", "translation", "--data", f"{pairs}:de-en", "--quiet"]
    assert main([*command, "--out", str(tmp_path / "out"), *more]) == 2
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1


def test_a_run_that_learned_no_pairs_is_not_asked_to_translate(
    pairs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    base = make_run(tmp_path / "base")
    assert main(["evaluate", str(base), "--task", "translation", "--data", f"{pairs}:de-en"]) == 2
    assert "was not trained on pairs" in capsys.readouterr().err
