"""What is read of a run folder, and how its numbers are written."""

import json
import math
from pathlib import Path

import pytest

from atinuke.errors import DamagedFileError
from atinuke.report.record import (
    NOT_MEASURED,
    read_metrics,
    read_record,
    show_amount,
    show_bytes,
    show_list,
    show_seconds,
    show_short,
)


def write_rows(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines))
    return path


def test_an_empty_folder_reads_as_nothing_measured(tmp_path: Path) -> None:
    run = read_record(tmp_path)
    assert run.name == tmp_path.name
    assert (run.number("val_bpb"), run.samples, run.sources, run.tokens_seen, run.finished) == (
        None,
        [],
        [],
        None,
        None,
    )
    assert all(len(column) == 0 for column in run.metrics.values())


def test_a_damaged_summary_is_named(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text('{"val_bpb": 2.')
    with pytest.raises(DamagedFileError, match=r"summary\.json is damaged"):
        read_record(tmp_path)


def test_metrics_lines_that_are_no_rows_are_left_out(tmp_path: Path) -> None:
    path = write_rows(
        tmp_path / "metrics.jsonl", {"step": 1, "loss": 3.0}, "[1]", '{"step": "x"}', "", {"loss": 2}, '{"step": 2, "lo'
    )
    found = read_metrics(path)
    assert found["step"].tolist() == [1]
    assert math.isnan(found["lr"][0])


def test_steps_that_were_run_again_after_resuming_replace_the_earlier_ones(tmp_path: Path) -> None:
    rows = [{"step": step, "loss": loss, "elapsed_s": step} for step, loss in ((1, 9), (2, 8), (3, 7), (2, 5), (3, 4))]
    found = read_metrics(write_rows(tmp_path / "metrics.jsonl", *rows))
    assert found["step"].tolist() == [1, 2, 3]
    assert found["loss"].tolist() == [9, 5, 4]


def test_time_never_goes_back_along_a_curve(tmp_path: Path) -> None:
    rows = [{"step": 1, "elapsed_s": 1.0}, {"step": 2, "elapsed_s": 0.9}, {"step": 3}, {"step": 4, "elapsed_s": 2.0}]
    assert read_metrics(write_rows(tmp_path / "m", *rows))["elapsed_s"].tolist() == [1.0, 1.0, 1.0, 2.0]


def test_numbers_that_are_none_text_or_not_finite_count_as_not_measured(tmp_path: Path) -> None:
    summary = '{"a": null, "b": "2", "c": NaN, "d": true, "e": {"f": 2.5}}'
    (tmp_path / "summary.json").write_text(summary)
    run = read_record(tmp_path)
    assert [run.number(key) for key in ("a", "b", "c", "d", "e", "e.f", "e.f.g", "z")] == [None] * 5 + [2.5, None, None]


def test_the_commands_name_the_folder_as_it_will_stand_and_quote_it(tmp_path: Path) -> None:
    commands = read_record(tmp_path, Path("runs/my run; ls")).commands
    assert commands["Write text"] == "atinuke generate 'runs/my run; ls' \"Once upon a time\""
    assert commands["Score any text"] == "atinuke evaluate 'runs/my run; ls' TEXT"
    settings = str(Path("runs/my run; ls/config.json"))
    assert commands["Resume, or repeat with --fresh"] == f"atinuke train --config '{settings}' --out 'runs/my run; ls'"


def test_a_run_is_taken_up_again_with_what_was_asked_for_where_that_is_kept(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "request.json").write_text("{}")
    assert read_record(tmp_path, Path("runs/x")).request == str(Path("runs/x/state/request.json"))
    (tmp_path / "summary.json").write_text('{"command": "atinuke train book.txt --time 2m"}')
    assert "atinuke train book.txt --time 2m" in read_record(tmp_path).commands.values()


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("2026-08-03T14:03:22+00:00", "3 August 2026, 14:03 UTC"),
        ("2026-12-31T23:59:59", "31 December 2026, 23:59"),
        ("yesterday", "yesterday"),
    ],
)
def test_the_end_of_training_is_written_for_people(written: str, expected: str, tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text(json.dumps({"finished_at": written}))
    assert read_record(tmp_path).finished == expected


@pytest.mark.parametrize(
    ("shown", "expected"),
    [
        (show_short(999), "999"),
        (show_short(999.6), "1.00 k"),
        (show_short(12_345), "12.3 k"),
        (show_short(99_960), "100 k"),
        (show_short(999_600), "1.00 M"),
        (show_short(4_560_000_000), "4.56 G"),
        (show_short(None), NOT_MEASURED),
        (show_bytes(1_115_394), "1.12 MB"),
        (show_bytes(12), "12 bytes"),
        (show_seconds(0.034), "0.034 s"),
        (show_seconds(59.94), "59.9 s"),
        (show_seconds(59.96), "1 min 00 s"),
        (show_seconds(7500), "2 h 05 min"),
        (show_amount(1, "document", 10), "1 document, 10 bytes"),
        (show_amount(2, "document", None), "2 documents"),
        (show_amount(None, "document", None), NOT_MEASURED),
        (show_list("abc"), "a, b, c"),
        (show_list("abcdef", 2), "a, b and 4 more"),
    ],
)
def test_numbers_are_written_with_three_digits_and_their_unit(shown: str, expected: str) -> None:
    assert shown == expected
