"""The GLUE average: the mean over nine tasks, each the mean of its own figures (Wang et al. 2019, §3).

MNLI's two splits make one task, and AX is not counted: so the benchmark's own table has 80.5 for BERT, whose rows give
80.52 (81.1 if MNLI's splits were two tasks).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import mean

from atinuke.errors import ConfigError

COUNTED = ("cola", "sst2", "mrpc", "stsb", "qqp", "mnli", "qnli", "rte", "wnli")
PAPER = 83.7
"""arXiv:2401.16736, Table 1, which does not say of which split."""


@dataclass(frozen=True)
class GlueAverage:
    """The average, and of what."""

    value: float | None
    """Over the tasks that are there; None where there is none."""
    tasks: Mapping[str, float]
    """Name → mean of its figures, of those that are there."""
    missing: tuple[str, ...]
    """Tasks, or "mnli (dev_mismatched)", that GLUE counts and that are not there."""

    @property
    def is_whole(self) -> bool:
        """Whether this is what GLUE calls its average."""
        return not self.missing

    @property
    def note(self) -> str:
        """What it is the mean of, for people."""
        if self.is_whole:
            return f"mean of all {len(COUNTED)} tasks"
        return f"mean of {len(self.tasks)} of {len(COUNTED)} tasks; missing: {', '.join(self.missing)}"


def glue_average(figures: Mapping[tuple[str, str], Mapping[str, float]], split: str = "dev") -> GlueAverage:
    """From the figures of (task, split), as `Scores.values` has them; `split` is dev or test.

    Of MNLI both `split` and `split`_mismatched are needed: with one alone it is missing. Others are passed over.
    """
    if split not in ("dev", "test"):
        raise ConfigError(f"The GLUE average is of the split dev or test, not {split}.")
    tasks: dict[str, float] = {}
    missing: list[str] = []
    for task in COUNTED:
        needed = (split, f"{split}_mismatched") if task == "mnli" else (split,)
        absent = [part for part in needed if not figures.get((task, part))]
        if not absent:
            tasks[task] = mean(mean(figures[task, part].values()) for part in needed)
        elif len(absent) < len(needed):
            missing.append(f"{task} ({absent[0]})")
        else:
            missing.append(task)
    return GlueAverage(mean(tasks.values()) if tasks else None, tasks, tuple(missing))
