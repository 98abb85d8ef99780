"""One block: attention, which knows the layer's positions, then a feed-forward, both on a residual stream."""

from jaxtyping import Float
from torch import Tensor, nn

from atinuke.models.layers.attention import CausalSelfAttention
from atinuke.models.layers.cache import LayerCache
from atinuke.models.layers.feedforward import FeedForward


class Block(nn.Module):
    """F_l(H(x, P_l)) with residual connections (Figure 2, arXiv:2401.16736), pre-norm.

        x ← x + dropout(attention(norm(x), P_l))
        x ← x + dropout(feed_forward(norm(x)))

    Which norm, attention and feed-forward is the network's choice; the block only joins them.
    """

    def __init__(
        self,
        attention: CausalSelfAttention,
        feed_forward: FeedForward,
        norms: tuple[nn.Module, nn.Module],
        dropout: float,
    ) -> None:
        super().__init__()
        self.attention_norm, self.feed_forward_norm = norms
        self.attention = attention
        self.feed_forward = feed_forward
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Float[Tensor, "B T D"], cache: LayerCache | None = None) -> Float[Tensor, "B T D"]:
        """The residual stream after this block."""
        x = x + self.dropout(self.attention(self.attention_norm(x), cache))
        return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
