"""Rows of a table → the class or the number that a network on columns of numbers gives them."""

import sys
from collections.abc import Iterator

import torch

from atinuke.data.table_files import read_rows
from atinuke.generate.beam import evaluating
from atinuke.generate.loading import TrainedRun


def classify_table(trained: TrainedRun, name: str) -> Iterator[tuple[str, str, list[tuple[str, float]]]]:
    """For each row of the table `name`: its place, the answer, and the classes with their probabilities by softmax.

    The likeliest comes first; a network that gives a number has none. SourceError where columns that it reads are
    missing.
    """
    summary = trained.folder.read_summary()
    device = next(trained.model.parameters()).device
    rows, places, notes = read_rows(name, summary["columns"])
    for line in notes.describe("rows"):
        print(line, file=sys.stderr)
    numbers = torch.from_numpy(rows).to(device)
    with evaluating(trained.model):
        output = trained.model(numbers).float()
    if not trained.network.classes:
        yield from ((place, f"{value:.6g}", []) for place, value in zip(places, output[:, 0].tolist(), strict=True))
        return
    for place, row in zip(places, output.softmax(dim=-1).tolist(), strict=True):
        chances = sorted(zip(summary["labels"], row, strict=True), key=lambda pair: -pair[1])
        yield place, chances[0][0], chances
