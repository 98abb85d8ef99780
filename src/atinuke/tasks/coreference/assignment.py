"""The best one-to-one alignment of two sets, for CEAF (Luo 2005)."""

import importlib.util

import numpy as np
from numpy.typing import NDArray

from atinuke.errors import MissingExtraError

_NEEDED_FOR = "Scoring coreference, whose CEAF aligns clusters with scipy,"


def require_scipy() -> None:
    """The error for a missing scipy, so that it is said before a network has answered for an hour."""
    if importlib.util.find_spec("scipy") is None:
        raise MissingExtraError.for_extra(_NEEDED_FOR, "tasks")


def best_sum(similarities: NDArray[np.float64]) -> float:
    """The largest sum of entries of which no two share a row or a column; 0 of an empty table. None is negative."""
    if not similarities.size:
        return 0.0
    try:
        from scipy.optimize import linear_sum_assignment
    except ImportError as error:
        raise MissingExtraError.for_extra(_NEEDED_FOR, "tasks") from error
    rows, columns = linear_sum_assignment(similarities, maximize=True)
    return float(similarities[rows, columns].sum())
