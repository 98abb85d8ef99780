"""Tables that can be read as they stand."""

from atinuke.series.tables import aligned, machine_line


def test_columns_are_as_wide_as_their_widest_cell_and_numbers_stand_to_the_right() -> None:
    assert aligned([("size", "loss", "note"), ("64", "2.5", "first"), ("1,024", "12.75", "")]) == [
        "| size  |  loss | note  |",
        "| ----- | ----: | ----- |",
        "| 64    |   2.5 | first |",
        "| 1,024 | 12.75 |       |",
    ]


def test_which_columns_stand_to_the_left_can_be_said() -> None:
    assert aligned([("a", "b"), ("10", "20")], left=()) == ["|  a |  b |", "| -: | -: |", "| 10 | 20 |"]


def test_the_machine_in_one_line_without_what_it_lacks() -> None:
    facts = {"cpu": "a processor", "cores": 2, "gpu": None, "os": "Linux", "torch": "2.13.0", "python": "3.11"}
    assert machine_line(facts) == "Machine: a processor, 2 cores, Linux, torch 2.13.0, python 3.11."
