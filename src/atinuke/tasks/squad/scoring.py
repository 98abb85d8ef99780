"""The official figures of SQuAD: exact match and F1 over words, in per cent, by the rules of evaluate-v1.1 and -v2.0.

Both normalise alike: lower case; without ASCII punctuation; without a, an, the; single spaces. Of several answers that
people gave, the one that fits best counts. The two versions differ where a text has no words left, in what a missing
prediction does, and in that 2.0 counts questions without an answer, whose right answer is no text at all.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence

PUNCTUATION = str.maketrans("", "", string.punctuation)
ARTICLE = re.compile(r"\b(?:a|an|the)\b")
NO_ANSWER_THRESHOLD = 1.0
"""The official scorer takes a question for unanswered above this, whatever its text says."""


def normalise(text: str) -> str:
    """The words that are compared: "The  Cat's, a cat!" → "cats cat"."""
    return " ".join(ARTICLE.sub(" ", text.lower().translate(PUNCTUATION)).split())


def word_f1(prediction: str, gold: str, *, empty_may_agree: bool) -> float:
    """2PR / (P + R) over the words of two normalised texts, each word as often as it stands in both.

    Where one of them has no words: 1.0 if neither has (2.0, with `empty_may_agree`), else 0.0.
    """
    said, right = prediction.split(), gold.split()
    if empty_may_agree and not (said and right):
        return float(said == right)
    common = sum((Counter(said) & Counter(right)).values())
    if not common:
        return 0.0
    precision, recall = common / len(said), common / len(right)
    return 2 * precision * recall / (precision + recall)


def score_answers(golds: Sequence[Sequence[str]], predictions: Sequence[str | None]) -> dict[str, float]:
    """Figures of SQuAD 1.1. `golds`: what people answered to each question, one text at least; a prediction that is
    missing (None) counts as wrong."""
    exact = f1 = 0.0
    for texts, prediction in zip(golds, predictions, strict=True):
        each_exact, each_f1 = _best_fit(texts, prediction, empty_may_agree=False)
        exact += each_exact
        f1 += each_f1
    return {"f1": 100.0 * f1 / len(golds), "exact_match": 100.0 * exact / len(golds)}


def score_with_no_answers(
    golds: Sequence[Sequence[str]],
    predictions: Sequence[str | None],
    no_answer: Sequence[float] | None = None,
    order: Sequence[int] | None = None,
) -> dict[str, float]:
    """Figures of SQuAD 2.0. `golds`: what people answered, () where there is no answer, which is predicted as "".

    `no_answer`: for each question a number, higher where none was found: a probability, or any other. With it come the
    best figures that a threshold on it would give, and that threshold. `order`: the questions as they stand in the file
    of these numbers (none: as here), which decides between equal ones, as officially.
    """
    has_answer = [bool(texts) for texts in golds]
    fits = [
        _best_fit(_right_answers(texts), prediction, empty_may_agree=True)
        for texts, prediction in zip(golds, predictions, strict=True)
    ]
    raw = {"f1": [f1 for _, f1 in fits], "exact": [exact for exact, _ in fits]}
    values: dict[str, float] = {}
    for prefix, wanted in (("", None), ("HasAns_", True), ("NoAns_", False)):
        numbers = [number for number, has in enumerate(has_answer) if wanted is None or has == wanted]
        for key, scores in raw.items():
            if numbers:
                known = _with_threshold(scores, has_answer, no_answer)
                values[prefix + key] = 100.0 * sum(known[number] for number in numbers) / len(numbers)
    if no_answer is not None:
        ranked = sorted(order if order is not None else range(len(golds)), key=no_answer.__getitem__)
        for key, scores in raw.items():
            best, threshold = _best_threshold(scores, predictions, has_answer, no_answer, ranked)
            values |= {f"best_{key}": best, f"best_{key}_thresh": threshold}
    return values


def _best_fit(golds: Sequence[str], prediction: str | None, *, empty_may_agree: bool) -> tuple[float, float]:
    """(exact match, F1) against whichever answer fits best, for each of the two."""
    if prediction is None:
        return 0.0, 0.0
    said = normalise(prediction)
    right = [normalise(gold) for gold in golds]
    return float(said in right), max(word_f1(said, gold, empty_may_agree=empty_may_agree) for gold in right)


def _right_answers(golds: Sequence[str]) -> list[str]:
    """2.0 does not count an answer of which nothing is left; where no other is, the right one is no text."""
    return [gold for gold in golds if normalise(gold)] or [""]


def _with_threshold(
    scores: Sequence[float], has_answer: Sequence[bool], no_answer: Sequence[float] | None
) -> Sequence[float]:
    if no_answer is None:
        return scores
    return [
        float(not has) if number > NO_ANSWER_THRESHOLD else score
        for score, has, number in zip(scores, has_answer, no_answer, strict=True)
    ]


def _best_threshold(
    scores: Sequence[float],
    predictions: Sequence[str | None],
    has_answer: Sequence[bool],
    no_answer: Sequence[float],
    ranked: Sequence[int],
) -> tuple[float, float]:
    """The best mean score, in per cent, of answering only where `no_answer` is at most a threshold, and that threshold.

    Answering nothing is right wherever there is no answer; each further question that is answered, the surest first,
    adds its score, or takes one away where no text was right. Equal numbers are walked through one by one.
    """
    best: float = sum(not has for has in has_answer)
    threshold = 0.0
    running = best
    for number in ranked:
        if has_answer[number]:
            running += scores[number]
        elif predictions[number]:
            running -= 1
        if running > best:
            best, threshold = running, no_answer[number]
    return 100.0 * best / len(scores), threshold
