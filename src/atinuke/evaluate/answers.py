"""How often a run gives the right answer to labelled examples, or comes near the right number."""

import json
import sys
from typing import Any

from atinuke.config import printable
from atinuke.data.example_set import ExampleSet
from atinuke.errors import RunFolderError
from atinuke.evaluate.config import EvaluateConfig
from atinuke.generate.loading import TrainedRun
from atinuke.train.lessons import examples as lesson
from atinuke.train.lessons import tables
from atinuke.train.lessons.example_scores import score_example_files


def score_examples(trained: TrainedRun, cfg: EvaluateConfig) -> str:
    """The accuracy on `cfg.examples`, or on what the run held out, as text or JSON."""
    if trained.network.numbers:
        figures = tables.score_table_files(trained, cfg.examples)
    else:
        figures = _score_signals(trained, cfg)
    name = " ".join(map(printable, cfg.examples)) or "held-out examples"
    if cfg.as_json:
        return json.dumps({"examples": name, **figures})
    score = figures["score"]
    return f"{name}: {score['name']} {score['value']:.2f}  ({score['note']})"


def _score_signals(trained: TrainedRun, cfg: EvaluateConfig) -> dict[str, Any]:
    if cfg.examples:
        return score_example_files(trained, cfg.examples, lambda line: print(line, file=sys.stderr))
    if not trained.folder.data.is_dir():
        raise RunFolderError(
            f"{printable(str(trained.folder.data))} is missing, and with it the examples that this run held out; "
            "name others with --examples."
        )
    model, own = trained.decoder, ExampleSet.open(trained.folder.data)
    return lesson.score_examples(model, own, trained.tokenizer, own.labels, next(model.parameters()).device)
