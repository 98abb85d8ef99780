"""The public files at hand: every one of them is read whole, with the numbers of rows that were published."""

import os
from pathlib import Path

import pytest

from atinuke.data.rows import RowNotes
from atinuke.errors import SourceError
from atinuke.tasks.sentences import described_tasks
from atinuke.tasks.sentences.sentence_task import SentenceTask

pytestmark = pytest.mark.real_data

DATA = Path(os.environ.get("ATINUKE_DATA", "../shared/data"))

ROWS = {
    "Cola": {"train": 8551, "dev": 1043},
    "Sst2": {"train": 67349, "dev": 872},
    "Mrpc": {"train": 3668, "dev": 408, "test": 1725},
    "Qqp": {"dev": 10000},
    "Stsb": {"train": 5749, "dev": 1500},
    "Qnli": {"dev": 5463},
    "Rte": {"train": 2490, "dev": 277},
    "Wnli": {"train": 635, "dev": 71},
    "Snli": {"train": 8330, "dev": 9842, "test": 9824},
    "Sick": {"train": 4439, "dev": 495, "test": 4906},
    "SciTail": {"dev": 1304, "test": 2126},
}


@pytest.mark.parametrize("name", ROWS)
def test_every_split_at_hand_is_read_whole(name: str) -> None:
    if not (DATA / "glue").is_dir():
        pytest.skip(f"{DATA} is absent; ATINUKE_DATA names the folder of the public data sets")
    task: type[SentenceTask] = getattr(described_tasks, name)
    for split in task.splits:
        notes = RowNotes()
        if split not in ROWS[name]:
            with pytest.raises(SourceError, match=r"Fetch "):
                task.read(DATA, split, notes)
            continue
        examples = task.read(DATA, split, notes)
        assert (len(examples), notes.skipped) == (ROWS[name][split], 0)
        assert len({each.id for each in examples}) == len(examples)
        learned = task.learn(examples)
        gold = [each.answer for each in examples]
        assert learned.score(examples, gold).value == pytest.approx(100)
        assert all(each.first and each.second != "" for each in examples)
