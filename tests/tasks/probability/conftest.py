"""A scorer whose numbers a test can foresee."""

from collections.abc import Sequence

import pytest

from atinuke.tasks.probability.task import Likelihood, TextLikelihood


class LengthScorer:
    """A nat for each character of the continuation; greedy where it holds an "e"."""

    kind = "log-likelihood"

    def nats(self, texts: Sequence[tuple[str, str]]) -> list[Likelihood]:
        return [Likelihood(float(len(text)), "e" in text, 1) for _, text in texts]

    def whole(self, texts: Sequence[str]) -> list[TextLikelihood]:
        return [TextLikelihood(float(len(text)), 1, len(text.encode())) for text in texts]


@pytest.fixture
def scorer() -> LengthScorer:
    return LengthScorer()
