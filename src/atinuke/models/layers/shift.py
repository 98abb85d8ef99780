"""What a position takes from the one before it, ahead of any attention."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from atinuke.models.layers.attention import Mask


class TokenShift(nn.Module):
    """y_t = x_t + s ⊙ x_{t−1}, with one learned vector s, at first zero.

    The token shift of RWKV (Peng et al. 2023, arXiv:2305.13048 §3.1.1) mixes the two with weights that add up to one;
    here the position itself stays whole, so that a new network begins without any shift. Attention in a small network
    need not learn to look one place back.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(dim))

    def forward(
        self, x: Float[Tensor, "B T D"], before: Float[Tensor, "B 1 D"] | None = None, mask: Mask = "causal"
    ) -> Float[Tensor, "B T D"]:
        """`before` is the position ahead of these; None at the start of a sequence, where nothing is taken.

        Nothing is taken either from a position that `mask` hides from the one after it, as padding is.
        """
        previous = F.pad(x, (0, 0, 1, -1)) if before is None else torch.cat([before, x[:, :-1]], dim=1)
        if isinstance(mask, Tensor):
            previous = previous.masked_fill(~_sees_previous(mask, x.shape[1]), 0.0)
        return torch.addcmul(x, previous, self.weight.to(x.dtype))


def _sees_previous(mask: Tensor, length: int) -> Tensor:
    """(B or 1, T, 1): whether each of the last `length` positions may attend to the one before it; the first has none.

    `mask` is an attention's: it broadcasts to (B, H, T, S), the same for all heads.
    """
    total = mask.shape[-1]
    rows = mask.view((1,) * (4 - mask.ndim) + mask.shape)[:, 0].expand(-1, length, -1)
    places = torch.arange(total - length, total, device=mask.device)
    seen = rows.gather(-1, (places - 1).clamp(min=0).expand(rows.shape[0], -1)[..., None])
    return seen & (places > 0)[:, None]
