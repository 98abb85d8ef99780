"""How often a trained run gives the right answer to labelled examples that it is shown later."""

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from atinuke.config import printable
from atinuke.data.example_set import write_examples
from atinuke.data.example_sources import first_of_each_kind
from atinuke.data.examples import ExampleSplit, PictureShape, read_examples
from atinuke.errors import RunFolderError
from atinuke.generate.answering import known_labels
from atinuke.generate.loading import TrainedRun
from atinuke.train.lessons.examples import score_examples


def score_example_files(trained: TrainedRun, specs: Sequence[str], say: Callable[[str], None]) -> dict[str, Any]:
    """The accuracy on the pictures, sounds or texts that `specs` name; what was skipped of them is said."""
    model, network = trained.decoder, trained.network
    first = first_of_each_kind(specs)
    for kind, is_known in (("picture", network.picture), ("sound", network.sound)):
        if kind in first and not is_known:
            raise RunFolderError(f"{printable(first[kind])} is a {kind}, and this run was not trained on {kind}s.")
    shape = network.picture
    read = read_examples(
        specs,
        picture=None if shape is None else PictureShape(shape.height, shape.width, shape.channels),
        sample_rate_hz=None if network.sound is None else network.sound.sample_rate_hz,
        max_s=None if network.sound is None else network.sound.max_s,
    )
    for line in read.notes.describe():
        say(line)
    with tempfile.TemporaryDirectory() as folder:
        both = ExampleSplit(read.rows, read.rows, 0)
        examples = write_examples(both, read, trained.tokenizer, Path(folder) / "examples", max_tokens=network.context)
        labels = known_labels(trained.folder) or examples.labels
        return score_examples(model, examples, trained.tokenizer, labels, next(model.parameters()).device)
