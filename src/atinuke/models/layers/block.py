"""One block: attention, which knows the layer's positions, then a feed-forward, both on a residual stream."""

from typing import Literal

from jaxtyping import Float
from torch import Tensor, nn

from atinuke.models.layers.attention import Mask, SelfAttention
from atinuke.models.layers.cache import LayerCache
from atinuke.models.layers.dropout import Dropout
from atinuke.models.layers.feedforward import FeedForward, GatedFeedForward
from atinuke.models.layers.shift import TokenShift

NormPlace = Literal["pre", "post"]


class Block(nn.Module):
    """F_l(H(x, P_l)) with residual connections (Figure 2, arXiv:2401.16736).

    With norms before each sublayer ("pre", Xiong et al. 2020, arXiv:2002.04745), which trains without warm-up:

        x ← x + dropout(attention(norm(x), P_l))
        x ← x + dropout(feed_forward(norm(x)))

    or after each sum ("post", Vaswani et al. 2017, §3.1):

        x ← norm(x + dropout(attention(x, P_l)))
        x ← norm(x + dropout(feed_forward(x)))

    Which norm, attention and feed-forward is the network's choice; the block only joins them. With `shift`, which
    blocks with norms before each sublayer may have, the feed-forward reads shift(norm(x)), a part of the position
    before in it.
    """

    def __init__(
        self,
        attention: SelfAttention,
        feed_forward: FeedForward | GatedFeedForward,
        norms: tuple[nn.Module, nn.Module],
        dropout: float,
        *,
        norm_place: NormPlace = "pre",
        shift: TokenShift | None = None,
    ) -> None:
        super().__init__()
        self.attention_norm, self.feed_forward_norm = norms
        self.attention = attention
        self.feed_forward = feed_forward
        self.dropout = Dropout(dropout)
        self.norm_place = norm_place
        self.shift = shift

    def forward(
        self, x: Float[Tensor, "B T D"], cache: LayerCache | None = None, mask: Mask = "causal"
    ) -> Float[Tensor, "B T D"]:
        """The residual stream after this block."""
        if self.norm_place == "pre":
            x = x + self.dropout(self.attention(self.attention_norm(x), cache, mask))
            h = self.feed_forward_norm(x)
            if self.shift is not None:
                h = self.shift(h, cache.swap_last(h) if cache is not None else None, mask)
            return x + self.dropout(self.feed_forward(h))
        x = self.attention_norm(x + self.dropout(self.attention(x, cache, mask)))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))
