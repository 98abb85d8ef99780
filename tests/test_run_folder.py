"""A run folder names its parts, tells what is wrong with them, and keeps whole rows of metrics."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from atinuke.errors import DamagedFileError, RunFolderError
from atinuke.run_folder import MetricsWriter, RunFolder, write_atomic


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run folder with the files that a program reads back."""
    folder = RunFolder(tmp_path / "runs" / "x")
    folder.create()
    for path in (folder.config, folder.tokenizer, folder.summary):
        write_atomic(path, f'{{"name": "{path.stem}"}}\n')
    folder.model.write_bytes(b"weights")
    return folder


def rows_of(path: Path) -> list[int]:
    return [row["step"] for row in RunFolder(path.parent).iter_metrics()]


def test_importing_the_run_folder_does_not_import_torch() -> None:
    code = "import sys, atinuke.run_folder; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_every_part_has_the_name_that_the_documents_promise() -> None:
    run = RunFolder("r")
    names = {path.relative_to("r").as_posix() for path in run.own_paths()}
    assert names == {
        *("config.json", "tokenizer.json", "model.safetensors", "state", "metrics.jsonl", "summary.json"),
        *("environment.json", "report.html", "README.md", "data", "checksums.json"),
        *("tasks.json", "reader.json", "scores"),
    }


def test_what_was_written_is_read_back(run: RunFolder) -> None:
    assert run.require() is run
    assert run.read_config() == {"name": "config"}
    assert run.read_summary() == {"name": "summary"}
    run.create()  # a second time changes nothing
    assert run.read_config() == {"name": "config"}


def test_a_missing_folder_a_file_and_a_strangers_folder_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "photos\x1b[31m").mkdir()
    for name, words in (
        ("nowhere", "does not exist"),
        ("file", "is a file"),
        ("photos\x1b[31m", "has no config.json"),
    ):
        with pytest.raises(RunFolderError, match=words) as told:
            RunFolder(tmp_path / name).require()
        assert str(told.value).isprintable()


def test_a_sealed_run_verifies_and_an_unsealed_one_says_that_it_was_not_checked(run: RunFolder) -> None:
    assert run.verify() is False
    run.seal()
    assert run.verify() is True
    run.unseal()
    run.unseal()
    assert run.verify() is False


def test_damage_to_a_sealed_file_is_named_and_the_report_may_be_edited(run: RunFolder) -> None:
    run.report.write_text("first")
    run.seal()
    run.report.write_text("by hand")
    assert run.verify()
    run.model.write_bytes(b"weightS")
    with pytest.raises(DamagedFileError, match=r"model\.safetensors is damaged.*delete .*checksums\.json"):
        run.verify()
    assert run.verify("config.json", "tokenizer.json")


def test_only_one_at_a_time_can_claim_a_run_folder_and_the_claim_ends(run: RunFolder) -> None:
    leftover = run.path / ".atinuke-00000000.tmp"
    leftover.mkdir()
    with run.claim():
        assert not leftover.exists()
        with pytest.raises(RunFolderError, match="being written by another process"), RunFolder(run.path).claim():
            pass
    with run.claim():
        pass


def test_the_claim_of_a_killed_process_is_gone(run: RunFolder) -> None:
    code = (
        "import sys\nfrom atinuke.run_folder import RunFolder\n"
        "with RunFolder(sys.argv[1]).claim(): print(1, flush=True); input()"
    )
    child = subprocess.Popen([sys.executable, "-c", code, run.path], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None and child.stdin is not None
    assert child.stdout.readline().strip() == b"1"
    with pytest.raises(RunFolderError), run.claim():
        pass
    child.kill()
    child.wait()
    with run.claim():
        pass
    child.stdin.close()
    child.stdout.close()


def test_each_row_is_on_disk_as_one_line_as_soon_as_it_is_appended(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsWriter(path) as metrics:
        metrics.append({"step": 1, "loss": 2.5, "note": "two\nlines"})
        assert path.read_text() == '{"step": 1, "loss": 2.5, "note": "two\\nlines"}\n'
        metrics.append({"step": 2, "loss": float("inf")})
        metrics.sync()
        assert json.loads(path.read_text().splitlines()[1]) == {"step": 2, "loss": None}
    with MetricsWriter(path) as metrics:
        metrics.append({"step": 3})
    assert rows_of(path) == [1, 2, 3]


def test_no_metrics_yet_reads_as_no_rows(tmp_path: Path) -> None:
    assert list(RunFolder(tmp_path).iter_metrics()) == []


@given(kept=st.integers(0, 4), cut=st.integers(0, 30))
def test_a_file_cut_anywhere_keeps_its_whole_rows_and_goes_on_cleanly(
    tmp_path_factory: pytest.TempPathFactory, kept: int, cut: int
) -> None:
    path = tmp_path_factory.mktemp("cut") / "metrics.jsonl"
    lines = [f'{{"step": {step}, "loss": 1.25}}\n'.encode() for step in range(5)]
    partial = lines[kept][:cut]
    path.write_bytes(b"".join(lines[:kept]) + partial)
    whole = kept + (partial.rstrip(b"\n") == lines[kept].rstrip(b"\n"))
    assert rows_of(path) == list(range(whole))
    with MetricsWriter(path) as metrics:
        metrics.append({"step": 99})
    assert path.read_bytes() == b"".join(lines[:whole]) + b'{"step": 99}\n'


def test_zeros_that_a_power_cut_leaves_at_the_end_are_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n' + b"\0" * 4096)
    assert rows_of(path) == [1]
    MetricsWriter(path).close()
    assert path.read_bytes() == b'{"step": 1}\n'


def test_damage_in_the_middle_of_the_metrics_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b'{"step": 1}\n{"st\xff\n{"step": 3}\n')
    with pytest.raises(DamagedFileError, match=r"metrics\.jsonl is damaged at line 2"):
        rows_of(path)
    with pytest.raises(DamagedFileError):
        MetricsWriter(path)
    assert path.read_bytes() == b'{"step": 1}\n{"st\xff\n{"step": 3}\n'


def test_rows_past_the_restored_step_are_dropped_and_the_rest_stays(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsWriter(path) as metrics:
        for step in (1, 2, 3, 4):
            metrics.append({"step": step, "loss": 1 / 3})
        metrics.append({"note": "resumed"})
        before = path.read_text().splitlines()
        metrics.truncate_after(2)
        assert path.read_text().splitlines() == [before[0], before[1], before[4]]
        metrics.append({"step": 3})
    assert [row.get("step") for row in RunFolder(tmp_path).iter_metrics()] == [1, 2, None, 3]


def test_dropping_rows_that_fails_leaves_every_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "metrics.jsonl"
    with MetricsWriter(path) as metrics:
        metrics.append({"step": 1})
        metrics.append({"step": 2})
        with monkeypatch.context() as patch:

            def refuse(*_: object) -> None:
                raise OSError(28, "No space left on device")

            patch.setattr(os, "replace", refuse)
            with pytest.raises(RunFolderError, match=r"metrics\.jsonl cannot be written"):
                metrics.truncate_after(1)
        metrics.append({"step": 3})
    assert rows_of(path) == [1, 2, 3]


def test_metrics_that_cannot_be_opened_are_told_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(RunFolderError, match=r"gone.metrics\.jsonl cannot be written"):
        MetricsWriter(tmp_path / "gone" / "metrics.jsonl")
    with pytest.raises(RunFolderError, match="cannot be read"):
        MetricsWriter(tmp_path)
