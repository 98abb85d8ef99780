"""Figures that GLUE and its kin are scored by, in per cent: plain formulae, tested against scikit-learn and scipy.

What a formula leaves open (0/0: all predictions equal, no example of a class) is 0, as it says nothing.
"""

from collections.abc import Callable, Mapping
from math import sqrt

import numpy as np
from numpy.typing import NDArray

Ids = NDArray[np.int64]
Numbers = NDArray[np.float64]


def accuracy(gold: Ids, found: Ids) -> float:
    """How many of all are right."""
    return 100.0 * float(np.mean(gold == found))


def f1(gold: Ids, found: Ids) -> float:
    """Harmonic mean of precision and recall of class 1, the one that is looked for: paraphrase, duplicate."""
    return 100.0 * float(_f1_of_each(gold, found)[1])


def macro_f1(gold: Ids, found: Ids) -> float:
    """Mean of the F1 of every class that is there or was predicted."""
    each = _f1_of_each(gold, found)
    return 100.0 * float(each[np.union1d(gold, found)].mean())


def matthews(gold: Ids, found: Ids) -> float:
    """Matthews correlation; of more than two classes Gorodkin's R_K (2004, eq. 8), of which it is the case K = 2."""
    table = _confusion(gold, found)
    # whole numbers of Python: the product of two squares of 400,000 does not fit into 64 bits
    golds, founds = table.sum(axis=1).tolist(), table.sum(axis=0).tolist()
    total = sum(golds)
    both = int(table.trace()) * total - sum(a * b for a, b in zip(golds, founds, strict=True))
    gold_spread = total**2 - sum(count**2 for count in golds)
    found_spread = total**2 - sum(count**2 for count in founds)
    return 100.0 * both / sqrt(gold_spread * found_spread) if gold_spread and found_spread else 0.0


def pearson(gold: Numbers, found: Numbers) -> float:
    """Linear correlation; 0 where one side is constant."""
    if np.all(gold == gold[0]) or np.all(found == found[0]):
        return 0.0
    return 100.0 * float(np.clip(_direction(gold) @ _direction(found), -1.0, 1.0))


def spearman(gold: Numbers, found: Numbers) -> float:
    """Correlation of the ranks; equal numbers share the mean of theirs."""
    return pearson(_ranks(gold), _ranks(found))


def mean_squared_error(gold: Numbers, found: Numbers) -> float:
    """In squares of the numbers' own unit, not per cent."""
    return float(np.mean((gold - found) ** 2))


OF_CLASSES: Mapping[str, Callable[[Ids, Ids], float]] = {
    "accuracy": accuracy,
    "f1": f1,
    "macro_f1": macro_f1,
    "mcc": matthews,
}
"""Key → figure of ids of classes, right ones and predicted ones, one at least."""

OF_NUMBERS: Mapping[str, Callable[[Numbers, Numbers], float]] = {
    "pearson": pearson,
    "spearman": spearman,
    "mse": mean_squared_error,
}
"""Key → figure of numbers, right ones and predicted ones, one at least."""


def _confusion(gold: Ids, found: Ids) -> Ids:
    """(C, C): how often class i was taken for class j; two classes at least."""
    size = 1 + max(1, int(gold.max()), int(found.max()))
    return np.bincount(gold * size + found, minlength=size * size).reshape(size, size).astype(np.int64)


def _f1_of_each(gold: Ids, found: Ids) -> Numbers:
    table = _confusion(gold, found)
    both = table.sum(axis=0) + table.sum(axis=1)
    return 2.0 * table.diagonal() / np.maximum(both, 1)


def _direction(numbers: Numbers) -> Numbers:
    """Differences from the mean, as a vector of length 1; first made small, as squares of large numbers overflow."""
    scaled = numbers / np.abs(numbers).max()
    differences = scaled - scaled.mean()
    return differences / np.sqrt(differences @ differences)


def _ranks(numbers: Numbers) -> Numbers:
    """From 1; equal numbers get the mean of the ranks that they take up together."""
    _, group, sizes = np.unique(numbers, return_inverse=True, return_counts=True)
    last = np.cumsum(sizes)
    return (last - (sizes - 1) / 2)[group].astype(np.float64)
