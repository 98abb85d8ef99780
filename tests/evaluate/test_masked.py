"""An encoder's score: pseudo-bits per byte, the run's own again, or of any text, each by itself."""

import json
import shutil
from pathlib import Path

import pytest

from atinuke.errors import RunFolderError, SourceError
from atinuke.evaluate.config import EvaluateConfig
from atinuke.evaluate.run import run
from atinuke.generate.loading import TrainedRun, load_trained
from atinuke.testing import TEXT, make_run
from atinuke.train.masked_scoring import pseudo_bits_per_byte


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedRun:
    return load_trained(make_run(tmp_path_factory.mktemp("runs") / "bert", "bert"), "cpu")


def evaluated(folder: Path, *texts: Path, **more: object) -> list[str]:
    asked = {"run": folder, "device": "cpu", "texts": tuple(map(str, texts)), **more}
    return run(EvaluateConfig.model_validate(asked)).splitlines()


def test_without_a_text_it_gives_the_score_of_the_summary_again(trained: TrainedRun) -> None:
    [line] = evaluated(trained.folder.path, as_json=True)
    found, summary = json.loads(line), trained.folder.read_summary()
    assert found["text"] == "held-out text" and found["note"]
    assert found["pseudo_bits_per_byte"] == pytest.approx(summary["val_pseudo_bpb"], rel=1e-6)


def test_each_text_has_a_line_of_its_own(trained: TrainedRun, tmp_path: Path) -> None:
    texts = {tmp_path / "a.txt": TEXT[:60], tmp_path / "b.txt": TEXT[60:120]}
    for path, text in texts.items():
        path.write_text(text)
    rows = [json.loads(line) for line in evaluated(trained.folder.path, *texts, as_json=True)]
    plain = evaluated(trained.folder.path, *texts)
    for row, line, (path, text) in zip(rows, plain, texts.items(), strict=True):
        expected = pseudo_bits_per_byte(
            trained.model, trained.tokenizer, [text], trained.context, 300, two_segments=True
        )
        assert row["text"] == str(path)
        assert row["pseudo_bits_per_byte"] == pytest.approx(expected.bits_per_byte, rel=1e-6)
        assert line.startswith(f"{path}: {expected.bits_per_byte:.4f} pseudo-bits per byte (")


def test_how_much_is_done_at_once_does_not_matter(trained: TrainedRun, tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text(TEXT[:60])
    found = [
        json.loads(evaluated(trained.folder.path, tmp_path / "a.txt", as_json=True, batch_seqs=count)[0])
        for count in (1, 50)
    ]
    assert found[0]["pseudo_bits_per_byte"] == pytest.approx(found[1]["pseudo_bits_per_byte"], rel=1e-5)


def test_a_text_that_is_missing_and_held_out_text_that_is_gone_are_named(trained: TrainedRun, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"none\.txt") as caught:
        evaluated(trained.folder.path, tmp_path / "none.txt")
    assert str(caught.value).isprintable()
    copy = tmp_path / "copy"
    shutil.copytree(trained.folder.path, copy)
    shutil.rmtree(copy / "data")
    with pytest.raises(RunFolderError, match="name a TEXT") as gone:
        evaluated(copy)
    assert str(gone.value).isprintable()
