"""What ends one process ends the others soon, with its reason, and nothing is lost that was saved."""

from typing import Any

from atinuke.run_folder import RunFolder
from atinuke.train.checkpoint import Checkpoints


def test_a_process_that_is_killed_ends_the_others_within_a_minute_who_say_which_it_was(by_two: Any) -> None:
    (end,) = by_two.ends["killed"]  # the killed one wrote nothing
    assert end["error"].startswith("LostProcessError: Of 2 processes, process 1 was lost (killed")
    assert "The same command goes on from the last checkpoint." in end["error"]
    assert end["seconds"] < 60
    left = Checkpoints(by_two.folder / "killed" / "state").newest_good()
    assert left is not None and left.step >= 2  # saved beside training: the newest but one is sure to be there


def test_a_signal_to_one_process_stops_all_with_the_state_saved(by_four: Any) -> None:
    first, *others = by_four.ends["stopped"]
    assert first["error"].startswith("Interrupted: Stopped through another process at step 2; the state is saved")
    assert [end["error"] for end in others] == ["SystemExit: 130"] * 3
    assert (by_four.folder / "stopped" / "state" / "step-00000002").is_dir()


def test_a_process_out_of_memory_is_named_and_the_same_command_goes_on_with_fewer_rows_at_once(by_two: Any) -> None:
    first, second = by_two.ends["memory"]
    assert second["error"].startswith("ConfigError: Memory was not enough for 3 rows at once in process 1 of 2")
    assert first["error"].startswith("LostProcessError: Of 2 processes, process 1 ended (ConfigError: Memory was not")
    assert [end["error"] for end in by_two.ends["memory again"]] == ["", ""]
    folder = RunFolder(by_two.folder / "memory")
    assert folder.read_summary()["micro_batch_seqs"] == 2
    assert [row["tokens"] for row in folder.iter_metrics()] == [96, 192, 288, 384]


def test_machines_that_see_different_run_folders_are_refused_in_one_line(by_two: Any) -> None:
    first, second = by_two.ends["blind"]
    assert first["error"].startswith("ConfigError: ") and "is not there for process 1 of 2" in first["error"]
    assert "--out" in first["error"] and "\n" not in first["error"]
    assert second["error"] == "SystemExit: 2"
