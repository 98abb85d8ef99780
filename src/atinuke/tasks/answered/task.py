"""What a task is whose answers a network writes itself: pairs of texts, or pictures and sounds with their labels.

They need no head. `atinuke train` learns such data already (`--pairs`, `--examples`); a task here says which files of a
published set those are, and how their answers are scored. No torch here.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from atinuke.tasks.task import Described, Scores
from atinuke.train.config import DataConfig

if TYPE_CHECKING:
    from atinuke.generate.loading import TrainedRun

Answer = dict[str, Any]


class AnsweredTask(Described, ABC):
    """A task that is learned as pairs or as examples."""

    how: ClassVar[str]
    """What learns it from fresh weights: atinuke train --pairs …"""

    @classmethod
    @abstractmethod
    def lesson(cls, data: Path) -> DataConfig:
        """The files that it is learned from. SourceError where they are not there."""

    @classmethod
    @abstractmethod
    def score(
        cls, trained: "TrainedRun", data: Path, split: str, say: Callable[[str], None]
    ) -> tuple[Scores, int, list[Answer]]:
        """The figures, of how many examples they are, and what was answered."""
