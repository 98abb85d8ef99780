"""A translator's score is sacrebleu's own, on the run's own translations."""

import json
import shutil
import sys
from pathlib import Path

import pytest
import sacrebleu

from atinuke.errors import ConfigError, MissingExtraError, RunFolderError, SourceError
from atinuke.evaluate.config import EvaluateConfig
from atinuke.evaluate.run import run
from atinuke.generate.loading import TrainedRun, load_trained
from atinuke.generate.translating import Translator
from atinuke.testing import PAIRS, make_run, make_translator


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    return load_trained(make_translator(tmp_path_factory.mktemp("runs") / "pairs", seed=1), "cpu")


def evaluated(folder: Path, **more: object) -> str:
    return run(EvaluateConfig.model_validate({"run": folder, "device": "cpu", "beam": 2, **more}))


def pairs_file(path: Path, pairs: list[tuple[str, str]]) -> str:
    path.write_text("".join(f"{source}\t{target}\n" for source, target in pairs), encoding="utf-8")
    return str(path)


def close_pairs(trained: TrainedRun, count: int = 4) -> list[tuple[str, str]]:
    """References that share much with what this run writes, so that its scores are neither 0 nor 100."""
    sources = [source for source, _ in PAIRS[:count]]
    written = list(Translator.of_run(trained, beam=2).translate(sources))
    return [(source, f"{text} on the wall") for source, text in zip(sources, written, strict=True)]


def test_bleu_and_chrf_are_sacrebleus_on_the_same_translations(trained: TrainedRun, tmp_path: Path) -> None:
    pairs = close_pairs(trained)
    found = json.loads(evaluated(trained.folder.path, pairs=(pairs_file(tmp_path / "a.tsv", pairs),), as_json=True))
    written = list(Translator.of_run(trained, beam=2).translate([source for source, _ in pairs]))
    references = [[target for _, target in pairs]]
    assert found["bleu"] == pytest.approx(sacrebleu.corpus_bleu(written, references).score)
    assert found["chrf"] == pytest.approx(sacrebleu.corpus_chrf(written, references).score)
    assert 0 < found["chrf"] < 100
    assert found["sentences"] == 4 and found["beam"] == 2 and found["cut"] == 0
    assert "tok:13a" in found["bleu_signature"] and "nc:6" in found["chrf_signature"]


def test_what_the_run_held_out_is_scored_where_nothing_is_named(trained: TrainedRun) -> None:
    found = json.loads(evaluated(trained.folder.path, as_json=True, beam=5))
    summary = trained.folder.read_summary()
    assert found["pairs"] == "held-out pairs"
    assert (found["bleu"], found["chrf"]) == (summary["bleu"], summary["chrf"])
    assert found["sentences"] == summary["sentences"]


def test_people_read_both_scores_with_their_signatures(trained: TrainedRun, tmp_path: Path) -> None:
    name = pairs_file(tmp_path / "a.tsv", close_pairs(trained))
    head, bleu, chrf = evaluated(trained.folder.path, pairs=(name,)).splitlines()
    figures = json.loads(evaluated(trained.folder.path, pairs=(name,), as_json=True))
    assert head == f"{name}: 4 pairs, beam 2"
    assert bleu.split() == ["BLEU", f"{figures['bleu']:.2f}", figures["bleu_signature"]]
    assert chrf.split() == ["chrF", f"{figures['chrf']:.2f}", figures["chrf_signature"]]


def test_a_source_that_is_too_long_is_cut_counted_and_scored(
    trained: TrainedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs = [("Mauer " * 100, "wall"), ("ß😀" * 60, "sz"), ("7 Katzen", "7 cats")]
    found = json.loads(evaluated(trained.folder.path, pairs=(pairs_file(tmp_path / "a.tsv", pairs),), as_json=True))
    assert found["cut"] == 2 and found["sentences"] == 3
    assert capsys.readouterr().err == "2 sources are longer than this network takes and were cut.\n"


def test_a_missing_sacrebleu_is_told_before_anything_is_translated(
    trained: TrainedRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []
    monkeypatch.setitem(sys.modules, "sacrebleu", None)
    monkeypatch.setattr(Translator, "translate", lambda _, texts: asked.append(texts))
    with pytest.raises(MissingExtraError, match=r"atinuke\[translate\]"):
        evaluated(trained.folder.path)
    assert asked == []


def test_pairs_that_are_skipped_are_said(
    trained: TrainedRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = pairs_file(tmp_path / "a.tsv", [("7 Katzen", ""), ("8 Katzen", "8 cats")])
    assert json.loads(evaluated(trained.folder.path, pairs=(name,), as_json=True))["sentences"] == 1
    assert capsys.readouterr().err.startswith("Skipped 1 pair: ")


def test_two_files_of_unequal_length_are_refused_with_both_counts(trained: TrainedRun, tmp_path: Path) -> None:
    (tmp_path / "a.de").write_text("7\n8\n9\n")
    (tmp_path / "a.en").write_text("7\n8\n")
    with pytest.raises(SourceError, match=r"3.*2|2.*3") as caught:
        evaluated(trained.folder.path, pairs=(str(tmp_path / "a.de"), str(tmp_path / "a.en")))
    assert str(caught.value).isprintable()


def test_a_run_whose_pairs_are_gone_asks_for_others(trained: TrainedRun, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(trained.folder.path, copy)
    shutil.rmtree(copy / "data")
    with pytest.raises(RunFolderError, match="name others with --pairs") as caught:
        evaluated(copy)
    assert str(caught.value).isprintable()


def test_a_run_that_learned_no_pairs_says_what_it_is_for(tmp_path: Path) -> None:
    folder = make_run(tmp_path / "text")
    with pytest.raises(RunFolderError, match="was not trained on pairs and does not translate; it continues text:"):
        evaluated(folder, pairs=(pairs_file(tmp_path / "a.tsv", list(PAIRS)),))


def test_two_kinds_at_once_are_refused(trained: TrainedRun) -> None:
    with pytest.raises(ConfigError, match="--pairs and --examples are both given; score one kind at a time"):
        evaluated(trained.folder.path, pairs=("a.tsv",), examples=("b.csv",))
