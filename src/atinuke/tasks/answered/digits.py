"""Tasks whose answer is the name of a digit: one that was written, one that was said."""

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from atinuke.errors import SourceError
from atinuke.run_folder import printable
from atinuke.tasks.answered.task import Answer, AnsweredTask
from atinuke.tasks.task import Scores
from atinuke.train.config import DataConfig

if TYPE_CHECKING:
    from atinuke.generate.loading import TrainedRun


class _Digits(AnsweredTask):
    items = "examples"
    metrics = ("accuracy",)
    splits = ("train", "test")
    scored = ("test",)
    how = "atinuke train --examples FILES"

    @classmethod
    @abstractmethod
    def files(cls, data: Path, split: str) -> str:
        """What --examples is given for a split. SourceError where it is not there."""

    @classmethod
    def lesson(cls, data: Path) -> DataConfig:
        """All, less the test set."""
        return DataConfig(examples=(cls.files(data, "train"),), held_out=(cls.files(data, "test"),))

    @classmethod
    def score(
        cls, trained: "TrainedRun", data: Path, split: str, say: Callable[[str], None]
    ) -> tuple[Scores, int, list[Answer]]:
        """Accuracy; the answers are some that were wrong."""
        from atinuke.train.lessons.example_scores import score_example_files

        if split not in cls.splits:
            raise SourceError(f"{cls.title} has no split {split}; there are {' and '.join(cls.splits)}.")
        found = score_example_files(trained, [cls.files(data, split)], say)
        total = sum(figures["total"] for figures in found["accuracy_by_kind"].values())
        return Scores("accuracy", {"accuracy": found["score"]["value"]}, {"examples": total}), total, found["samples"]


class Mnist(_Digits):
    """LeCun et al. 1998."""

    name = "mnist"
    title = "MNIST"
    fetch = "Fetch the four files of MNIST (train-images-idx3-ubyte.gz and so on) into one folder."

    @classmethod
    def files(cls, data: Path, split: str) -> str:
        """The pictures; their labels are found beside them."""
        stem = {"train": "train", "test": "t10k"}[split]
        for name in (f"{stem}-images-idx3-ubyte.gz", f"{stem}-images-idx3-ubyte"):
            if (data / name).is_file():
                return str(data / name)
        raise SourceError(f"{printable(data / stem)}-images-idx3-ubyte.gz is missing. {cls.fetch}")


class SpokenDigits(_Digits):
    """The free spoken digit dataset; its test set are the recordings 0 to 4 of each speaker and digit."""

    name = "spoken-digits"
    title = "Spoken digits"
    fetch = "Fetch the recordings of the free spoken digit dataset: a folder recordings/ or an archive recordings.zip."

    @classmethod
    def files(cls, data: Path, split: str) -> str:
        """All of them for training, of which those of the test set are held out."""
        for place in (data / "recordings.zip", data / "recordings", data):
            if place.is_file() or any(place.glob("*.wav")):
                return str(place if split == "train" else place / "*_[0-4].wav")
        raise SourceError(f"{printable(data)} holds no recordings. {cls.fetch}")
