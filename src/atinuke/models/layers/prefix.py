"""What may stand before the tokens of a sequence: a picture or a sound, as positions of the same sequence.

    prefix positions (P) │ tokens (T)
    a picture's patches  │ causal, each also sees the whole prefix
    see each other       │

So the words after a picture are predicted as any words are: Raffel et al. 2020, arXiv:1910.10683 §3.2.1, "prefix LM".
"""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

PrefixKind = Literal["picture", "sound"]


@dataclass(frozen=True)
class Prefix:
    """Signals for the B rows of a batch, all of one kind."""

    kind: PrefixKind
    values: Tensor
    """Pictures: (B, channels, height, width), 0 to 1. Sounds: waveforms (B, samples), −1 to 1, padded at the end."""
    lengths: Tensor | None = None
    """Sounds: how many samples of each row count (B,); None: all of them."""


def prefix_mask(
    prefix_count: int,
    token_count: int,
    real_counts: Int[Tensor, " B"] | None = None,
    device: torch.device | None = None,
) -> Bool[Tensor, "B 1 T S"]:
    """True where a position may attend, for `prefix_count` prefix positions before `token_count` tokens; T = S.

    `real_counts`: how many prefix positions of each row are real; they are the last ones, next to the tokens. No real
    position and no token sees padding. Padding sees the prefix, because a row that sees nothing would be NaN.
    Without `real_counts` there is one mask (B = 1) for all rows.
    """
    total = prefix_count + token_count
    places = torch.arange(total, device=device)
    is_prefix = places < prefix_count
    may_attend = (places <= places[:, None]) | is_prefix
    if real_counts is None:
        return may_attend[None, None]
    is_padding = places < prefix_count - real_counts.to(places.device)[:, None]  # (B, S)
    hidden = is_padding[:, None, :] & ~is_padding[:, :, None]
    return (may_attend & ~hidden)[:, None]


def after_prefix_mask(token_count: int, seen_count: int, is_padding: Bool[Tensor, "B P"]) -> Bool[Tensor, "B 1 T S"]:
    """True where tokens may attend that come after `seen_count` positions, the first P of them a padded prefix."""
    total = seen_count + token_count
    places = torch.arange(total, device=is_padding.device)
    may_attend = places <= places[seen_count:, None]
    is_hidden = F.pad(is_padding, (0, total - is_padding.shape[1]))
    return (may_attend & ~is_hidden[:, None, :])[:, None]


def pad_in_front(x: Float[Tensor, "B P D"], real_counts: Int[Tensor, " B"]) -> Float[Tensor, "B P D"]:
    """Rows padded at the end, turned into rows padded in front: a row's last real position becomes position P − 1.

    Tokens then follow the real positions at once, so that their distances do not depend on batch-mates.
    """
    places = torch.arange(x.shape[1], device=x.device)
    source = (places - (x.shape[1] - real_counts.to(x.device)[:, None])) % x.shape[1]  # (B, P)
    return x.gather(1, source[..., None].expand_as(x))
