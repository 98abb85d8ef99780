"""What evaluation can be told. No torch here: the command line reads this file before anything heavy is loaded."""

from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt

from atinuke.config import Settings


class EvaluateConfig(Settings):
    """One call of `atinuke evaluate`."""

    run: Path = Field(description="Run folder.")
    texts: tuple[str, ...] = Field((), description="SOURCEs to score, each by itself; none: the run's held-out text.")
    pairs: tuple[str, ...] = Field((), description="Texts and translations to score a translator on (BLEU, chrF).")
    examples: tuple[str, ...] = Field((), description="Labelled examples, or a table, to score answers on (accuracy).")
    beam: PositiveInt = Field(5, description="Translating: how many beginnings are kept at once; 1 is greedy.")
    batch_seqs: PositiveInt | None = Field(None, description="Windows scored at once; none: about 4,096 tokens.")
    as_json: bool = Field(False, description="One JSON object per text instead of a table.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Where to run.")
