"""From logits to the next token. The rules are those that transformers has too, in the same order."""

from collections.abc import Collection

import torch
from jaxtyping import Float
from torch import Tensor

from atinuke.generate.config import SamplingRules

__all__ = ["SamplingRules", "choose", "draw", "penalise", "warp"]

GREEDY_BELOW = 1e-20
"""Divided by less, logits leave float32; the likeliest token has long been certain by then."""


def choose(
    logits: Float[Tensor, " V"], rules: SamplingRules, history: Collection[int], generator: torch.Generator
) -> int:
    """The next token. `history` holds the different tokens of prompt and completion; only the penalty reads it.

    Sampling is in float32 on the CPU, so that a seed gives the same text wherever equal logits come from.
    """
    logits = logits.float().cpu()
    if rules.repetition_penalty != 1:
        logits = penalise(logits, rules.repetition_penalty, history)
    if rules.temperature < GREEDY_BELOW:
        return int(logits.argmax())
    return draw(warp(logits, rules), generator)


def penalise(logits: Float[Tensor, " V"], penalty: float, history: Collection[int]) -> Float[Tensor, " V"]:
    """Logits with those of `history` made less likely: CTRL, arXiv:1909.05858 §4.1.

    CTRL divides every such logit by the penalty. A negative one would then become likelier, so it is multiplied
    instead, as everyone does since.
    """
    seen = torch.tensor(list(history), dtype=torch.int64)
    found = logits[seen]
    return logits.index_put((seen,), torch.where(found < 0, found * penalty, found / penalty))


def warp(logits: Float[Tensor, " V"], rules: SamplingRules) -> Float[Tensor, " V"]:
    """Logits after top-k, temperature and top-p; −∞ where a token may not be drawn.

    Top-k (Fan et al. 2018, arXiv:1805.04833) keeps all tokens that tie with the k-th. Top-p (Holtzman et al. 2019,
    arXiv:1904.09751) drops the unlikeliest tokens while what they hold together is at most 1 − p.
    """
    if rules.top_k is not None and rules.top_k < len(logits):
        kth = logits.topk(rules.top_k).values[-1]
        logits = logits.masked_fill(logits < kth, -torch.inf)
    if rules.temperature != 1:
        logits = logits / rules.temperature
    if rules.top_p is not None and rules.top_p < 1:
        ordered, places = logits.sort()
        is_dropped = ordered.softmax(-1).cumsum(-1) <= 1 - rules.top_p
        is_dropped[-1] = False  # rounding may add up to less than 1 − p
        logits = logits.masked_fill(is_dropped.scatter(0, places, is_dropped), -torch.inf)
    return logits


def draw(logits: Float[Tensor, " V"], generator: torch.Generator) -> int:
    """A token drawn from softmax(logits), by inverting the distribution function.

    `torch.multinomial` draws a number for every token of the vocabulary and is several times slower at 4096.
    """
    # float64 sums: in float32 the last tokens of a large vocabulary would fall between two neighbouring numbers
    cumulative = logits.softmax(-1).cumsum(-1, dtype=torch.float64)
    point = torch.rand((), generator=generator, dtype=torch.float64) * cumulative[-1]
    token = int(torch.searchsorted(cumulative, point, right=True))
    if token == len(logits):  # softmax gave NaN, and so did the sum
        raise ValueError("the network gave logits that are not finite; its weights hold NaN or infinity")
    return token
