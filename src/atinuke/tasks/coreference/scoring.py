"""Official scores of a split: counts of all documents added up, in per cent."""

from collections.abc import Iterable, Sequence

from atinuke.tasks.coreference.chains import match
from atinuke.tasks.coreference.documents import Mention
from atinuke.tasks.coreference.metrics import COUNTED, Counts, Figures, blanc

METRICS = ("muc", "b3", "ceaf_e", "ceaf_m", "blanc", "lea", "mention")
AVERAGED = ("muc", "b3", "ceaf_e")
"""Their mean F1 is the score of CoNLL-2012."""
MAIN = "conll_f1"
KEYS: tuple[str, ...] = (
    MAIN,
    *(f"{name}_f1" for name in METRICS),
    *(f"{name}_{side}" for name in METRICS for side in ("recall", "precision")),
)
"""Of the figures, in print order."""

Clusters = Sequence[Sequence[Mention]]


def figures_of(documents: Iterable[tuple[Clusters, Clusters]]) -> tuple[dict[str, Figures], int]:
    """Shares by metric, from the (key, response) of each document; and the mentions of responses that count once though
    they stand more often."""
    totals = dict.fromkeys(COUNTED, Counts())
    repeated = 0
    for key, response in documents:
        chains = match(key, response)
        repeated += chains.repeated
        totals = {name: total + COUNTED[name](chains) for name, total in totals.items()}
    figures = {name: totals[name].figures for name in METRICS if name in totals}
    figures["blanc"] = blanc(totals["coreferent_pairs"], totals["other_pairs"])
    return figures, repeated


def score_clusters(documents: Iterable[tuple[Clusters, Clusters]]) -> tuple[dict[str, float], int]:
    """Per cent by KEYS, and the repeated mentions as in `figures_of`."""
    figures, repeated = figures_of(documents)
    values = {MAIN: sum(100 * figures[name].f1 for name in AVERAGED) / len(AVERAGED)}
    values |= {f"{name}_f1": 100 * figures[name].f1 for name in METRICS}
    for name in METRICS:
        values |= {f"{name}_recall": 100 * figures[name].recall, f"{name}_precision": 100 * figures[name].precision}
    return values, repeated
