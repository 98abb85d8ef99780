"""How close translations come to references: BLEU and chrF by sacrebleu, with the signatures that make them comparable.

BLEU (Papineni et al. 2002) as WMT reports it: case counts, words are cut as mteval-v13a does, and an n-gram order
without a match is smoothed rather than zero. chrF2 (Popović 2015): characters up to six in a row, no words, recall
counting twice; it is kinder where words vary, as Yoruba's do in their accents. Both run from 0 to 100. Scores are of
the corpus, not means over sentences. A number without its signature compares with nothing (Post 2018,
arXiv:1804.08771).
"""

from collections.abc import Sequence
from typing import Any, TypedDict

from atinuke.errors import MissingExtraError, SourceError


class TranslationScores(TypedDict):
    """BLEU and chrF2 of a corpus, 0 to 100, and how each was computed."""

    bleu: float
    bleu_signature: str
    chrf: float
    chrf_signature: str
    sentences: int


def translation_scores(hypotheses: Sequence[str], references: Sequence[str]) -> TranslationScores:
    """The scores of `hypotheses` against one reference each. SourceError when they are not as many, or none.

    Texts are taken as they are, so that the signatures tell the whole: ẹ́ as one character and as three are different
    letters here, as they are for sacrebleu's own command.
    """
    if len(hypotheses) != len(references) or not references:
        raise SourceError(
            f"There are {len(hypotheses):,} translations and {len(references):,} references; "
            "expected as many, and one at least."
        )
    metrics = _sacrebleu()
    bleu, chrf = metrics.BLEU(), metrics.CHRF()
    # The scores first: a signature holds the number of references, which only they know.
    bleu_score = bleu.corpus_score(list(hypotheses), [list(references)]).score
    chrf_score = chrf.corpus_score(list(hypotheses), [list(references)]).score
    return {
        "bleu": bleu_score,
        "bleu_signature": str(bleu.get_signature()),
        "chrf": chrf_score,
        "chrf_signature": str(chrf.get_signature()),
        "sentences": len(references),
    }


def _sacrebleu() -> Any:
    try:
        from sacrebleu import metrics
    except ImportError as error:
        raise MissingExtraError.for_extra("Scoring translations", "translate") from error
    return metrics
