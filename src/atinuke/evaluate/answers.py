"""How often a run gives the right answer to labelled examples, or comes near the right number."""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from atinuke.config import printable
from atinuke.data.example_set import ExampleSet, write_examples
from atinuke.data.example_sources import first_of_each_kind
from atinuke.data.examples import ExampleSplit, PictureShape, read_examples
from atinuke.errors import RunFolderError
from atinuke.evaluate.config import EvaluateConfig
from atinuke.generate.answering import known_labels
from atinuke.generate.loading import TrainedRun
from atinuke.train.lessons import examples as lesson
from atinuke.train.lessons import tables


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
    model = trained.decoder
    device = next(model.parameters()).device
    if not cfg.examples:
        if not trained.folder.data.is_dir():
            raise RunFolderError(
                f"{printable(str(trained.folder.data))} is missing, and with it the examples that this run held out; "
                "name others with --examples."
            )
        own = ExampleSet.open(trained.folder.data)
        return lesson.score_examples(model, own, trained.tokenizer, own.labels, device)
    network = trained.network
    first = first_of_each_kind(cfg.examples)
    for kind, is_known in (("picture", network.picture), ("sound", network.sound)):
        if kind in first and not is_known:
            raise RunFolderError(f"{printable(first[kind])} is a {kind}, and this run was not trained on {kind}s.")
    shape = network.picture
    read = read_examples(
        cfg.examples,
        picture=None if shape is None else PictureShape(shape.height, shape.width, shape.channels),
        sample_rate_hz=None if network.sound is None else network.sound.sample_rate_hz,
        max_s=None if network.sound is None else network.sound.max_s,
    )
    for line in read.notes.describe():
        print(line, file=sys.stderr)
    with tempfile.TemporaryDirectory() as folder:
        both = ExampleSplit(read.rows, read.rows, 0)
        examples = write_examples(both, read, trained.tokenizer, Path(folder) / "examples", max_tokens=network.context)
        labels = known_labels(trained.folder) or examples.labels
        return lesson.score_examples(model, examples, trained.tokenizer, labels, device)
