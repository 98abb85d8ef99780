"""What evaluation can be told. No torch here: the command line reads this file before anything heavy is loaded."""

from pathlib import Path
from typing import Literal, Self

from pydantic import Field, PositiveInt, model_validator

from atinuke.config import Settings
from atinuke.errors import ConfigError

KINDS = {
    "texts": "TEXT",
    "pairs": "--pairs",
    "examples": "--examples",
    "tasks": "--task",
    "table": "--table",
    "lm_eval": "--lm-eval",
}
NEEDS = {"data": "tasks", "split": "tasks", "predictions": "tasks", "include": "lm_eval"}


class EvaluateConfig(Settings):
    """One call of `atinuke evaluate`."""

    run: Path | None = Field(None, description="Run folder; only scores of a --predictions file need none.")
    texts: tuple[str, ...] = Field((), description="SOURCEs to score, each by itself; none: the run's held-out text.")
    pairs: tuple[str, ...] = Field((), description="Texts and translations to score a translator on (BLEU, chrF).")
    examples: tuple[str, ...] = Field((), description="Labelled examples, or a table, to score answers on (accuracy).")
    tasks: tuple[str, ...] = Field(
        (), description="Tasks to score: those that the run was tuned for, or blimp, lambada, wikitext."
    )
    data: tuple[str, ...] = Field((), description="Folder with the tasks' files; one for all, or one for each.")
    split: str | None = Field(None, description="Split of the tasks; none: dev, or those of the task.")
    predictions: Path | None = Field(None, description="Score this file of predictions, in the task's official format.")
    table: bool = Field(False, description="All scores of RUN and of the runs begun with it, beside the paper's.")
    lm_eval: tuple[str, ...] = Field((), description="Tasks of lm-eval to score with lm-eval's own code.")
    include: tuple[str, ...] = Field((), description="Folders with more task files for lm-eval.")
    beam: PositiveInt = Field(5, description="Translating: how many beginnings are kept at once; 1 is greedy.")
    batch_seqs: PositiveInt | None = Field(None, description="Windows scored at once; none: about 4,096 tokens.")
    as_json: bool = Field(False, description="One JSON object per text instead of a table.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Where to run.")

    @property
    def kinds(self) -> list[str]:
        """Which of the kinds of scores is asked for: one, or none, where the run's own held-out data is meant."""
        return [name for name in KINDS if getattr(self, name)]

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        # ConfigError is no ValueError: it passes through pydantic as it is, a sentence of its own
        asked = [KINDS[name] for name in self.kinds]
        if len(asked) > 1:
            raise ConfigError(f"{' and '.join(asked)} are both given; score one kind at a time.")
        for name, needed in NEEDS.items():
            if getattr(self, name) and not getattr(self, needed):
                raise ConfigError(f"--{name} is given without {KINDS[needed]} NAME; give both.")
        if self.run is None and self.predictions is None:
            raise ConfigError("RUN is missing; expected a run folder, as in atinuke evaluate runs/book.")
        return self
