"""`atinuke evaluate`: the run's own score again, and the score of any text."""

import json
import shutil
from pathlib import Path

import pytest

from atinuke.config import build_settings
from atinuke.data import decoding
from atinuke.data.sources import Sources
from atinuke.errors import ConfigError, RunFolderError, SourceError
from atinuke.evaluate.config import EvaluateConfig
from atinuke.evaluate.run import ScoredText, score_texts, table
from atinuke.generate.loading import load_trained
from atinuke.run_folder import RunFolder
from atinuke.testing import TEXT, make_run
from atinuke.train.scoring import Score, bits_per_byte


@pytest.fixture(scope="module", params=["bpe", "word"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("runs") / request.param, tokenizer=request.param)


def scores(folder: Path, *texts: Path, **more: object) -> list[ScoredText]:
    named = tuple(str(text) for text in texts)
    return score_texts(EvaluateConfig.model_validate({"run": folder, "texts": named, "device": "cpu", **more}))


def directly(folder: Path, *texts: str) -> Score:
    trained = load_trained(folder, "cpu")
    return bits_per_byte(trained.model, trained.tokenizer, texts, trained.context)


def test_without_a_text_it_gives_the_score_of_the_summary_again(folder: Path) -> None:
    [row] = scores(folder)
    summary = RunFolder(folder).read_summary()
    assert row.name == "held-out text"
    assert row.score.bits_per_byte == pytest.approx(summary["val_bpb"], rel=1e-9)
    assert row.score.bytes == summary["val_bytes"]


def test_held_out_documents_give_the_score_of_the_summary_again(tmp_path: Path) -> None:
    """As the single text above, but with a corpus, whose documents begin after a separator."""
    documents = [json.dumps({"text": f"{number} {TEXT[number:]}"}) for number in range(60)]
    folder = make_run(tmp_path / "corpus", text="\n".join(documents) + "\n", suffix=".jsonl")
    [row] = scores(folder)
    assert row.score.bits_per_byte == pytest.approx(RunFolder(folder).read_summary()["val_bpb"], rel=1e-9)


def test_each_text_has_a_row_of_its_own_and_a_folder_is_one_text(folder: Path, tmp_path: Path) -> None:
    one, many = tmp_path / "one.txt", tmp_path / "many"
    many.mkdir()
    one.write_text(TEXT)
    (many / "a.txt").write_text("Humpty Dumpty sat")
    (many / "b.txt").write_text("on a wall")
    rows = scores(folder, one, many)
    assert [row.name for row in rows] == [str(one), str(many)]
    assert rows[0].score.nats == pytest.approx(directly(folder, TEXT).nats, rel=1e-6)
    assert rows[1].score.nats == pytest.approx(directly(folder, "Humpty Dumpty sat", "on a wall").nats, rel=1e-6)
    assert rows[1].score.words == 6


def test_a_document_that_comes_in_parts_is_scored_as_one(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / "long.txt"
    long.write_text(TEXT * 3)
    monkeypatch.setattr(decoding, "PART_CHARS", 50)
    assert len(list(Sources([str(long)]))) > 1
    [row] = scores(folder, long)
    assert row.score.nats == pytest.approx(directly(folder, TEXT * 3).nats, rel=1e-6)


def test_how_much_is_done_at_once_does_not_matter(folder: Path, tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text(TEXT * 2)
    [alone], [together] = scores(folder, text, batch_seqs=1), scores(folder, text, batch_seqs=100)
    assert alone.score.nats == pytest.approx(together.score.nats, rel=1e-6)


def test_a_missing_text_is_refused_before_the_run_is_opened(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no-such-file"):
        scores(tmp_path / "no-such-run", tmp_path / "no-such-file")


def test_a_run_without_its_held_out_text_says_so(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    shutil.rmtree(tmp_path / "copy" / "data")
    with pytest.raises(RunFolderError, match="name a TEXT") as caught:
        scores(tmp_path / "copy")
    assert str(caught.value).isprintable()


def test_the_table_is_aligned_and_says_what_each_column_is() -> None:
    rows = [
        ScoredText("a", Score(nats=70.0, bytes=100, tokens=30, words=20)),
        ScoredText("longer name", Score(nats=7000.0, bytes=10_000, tokens=3000, words=0)),
    ]
    lines = table(rows).splitlines()
    assert lines[0].split("  ")[0] == "text"
    assert [len(line) for line in lines] == [len(lines[0])] * 3
    assert lines[1].split() == ["a", "100", "30", "1.0099", "10.31", "33.12"]
    assert lines[2].split()[-1] == "inf"


def test_json_has_every_number_and_null_for_an_infinite_one() -> None:
    found = json.loads(ScoredText("x", Score(nats=70.0, bytes=100, tokens=30, words=0)).to_json())
    assert found["word_perplexity"] is None
    assert found["bits_per_byte"] == pytest.approx(1.0099, abs=1e-4)
    assert found.keys() == {
        "text", "bytes", "tokens", "words", "nats", "bits_per_byte", "token_perplexity", "word_perplexity"
    }  # fmt: skip


def test_a_file_name_cannot_steer_the_terminal(folder: Path, tmp_path: Path) -> None:
    odd = tmp_path / "a\x1b[31m.txt"
    odd.write_text(TEXT)
    [row] = scores(folder, odd)
    assert row.name.isprintable()


def test_a_setting_out_of_range_is_refused_in_one_line() -> None:
    with pytest.raises(ConfigError, match="--batch-seqs") as caught:
        build_settings(EvaluateConfig, flags={"run": "x", "batch_seqs": "0"})
    assert str(caught.value).isprintable()
