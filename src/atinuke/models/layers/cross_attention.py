"""Attention of a target to its source, and the decoder block around it: Vaswani et al. 2017, §3.1 and §3.2.3."""

from jaxtyping import Bool, Float
from torch import Tensor, nn

from atinuke.models.layers.attention import BACKENDS, SelfAttention
from atinuke.models.layers.block import NormPlace
from atinuke.models.layers.cache import LayerCache
from atinuke.models.layers.dropout import Dropout
from atinuke.models.layers.feedforward import FeedForward


class CrossAttention(nn.Module):
    """Queries from the target, keys and values from what the encoder made of the source.

    `key_dim` is the total width of the queries over all heads, and of the keys, and of the values. The rows of
    `project_kv` are all keys, then all values; within each, one head after another.
    """

    def __init__(self, model_dim: int, key_dim: int, head_count: int, *, bias: bool = False) -> None:
        super().__init__()
        self.head_count = head_count
        self.head_dim = key_dim // head_count
        self.project_query = nn.Linear(model_dim, key_dim, bias=bias)
        self.project_kv = nn.Linear(model_dim, 2 * key_dim, bias=bias)
        self.project_out = nn.Linear(key_dim, model_dim, bias=bias)
        self.attend = BACKENDS["fast"]

    def keys_and_values(self, states: Float[Tensor, "B S D"]) -> Float[Tensor, "B 2 H S E"]:
        """Of the source, the same at every step of the target."""
        batch, length, _ = states.shape
        both = self.project_kv(states).view(batch, length, 2, self.head_count, self.head_dim)
        return both.permute(0, 2, 3, 1, 4)

    def forward(
        self,
        x: Float[Tensor, "R T D"],
        keys_values: Float[Tensor, "B 2 H S E"],
        is_source: Bool[Tensor, "B S"],
    ) -> Float[Tensor, "R T D"]:
        """What each target position gathers from its source.

        R is k·B, the k rows of a source one after another. They stand side by side as k·T queries of the same keys,
        so that beam search repeats no source.
        """
        rows, length, _ = x.shape
        batch = len(keys_values)
        query = self.project_query(x).view(batch, rows // batch * length, self.head_count, self.head_dim)
        key, value = keys_values.unbind(1)
        gathered = self.attend(query.transpose(1, 2), key, value, is_source[:, None, None, :])
        return self.project_out(gathered.transpose(1, 2).reshape(rows, length, -1))


class CrossBlock(nn.Module):
    """A block of the decoder: causal self-attention, attention to the source, feed-forward, on a residual stream.

    With norms before each sublayer ("pre", Xiong et al. 2020, arXiv:2002.04745):

        x ← x + dropout(attention(norm(x)))
        x ← x + dropout(cross_attention(norm(x), source))
        x ← x + dropout(feed_forward(norm(x)))

    or after each sum ("post", Vaswani et al. 2017): x ← norm(x + dropout(sublayer(x))), three times.
    """

    def __init__(
        self,
        attention: SelfAttention,
        cross_attention: CrossAttention,
        feed_forward: FeedForward,
        norms: tuple[nn.Module, nn.Module, nn.Module],
        dropout: float,
        *,
        norm_place: NormPlace = "pre",
    ) -> None:
        super().__init__()
        self.attention_norm, self.cross_attention_norm, self.feed_forward_norm = norms
        self.attention = attention
        self.cross_attention = cross_attention
        self.feed_forward = feed_forward
        self.dropout = Dropout(dropout)
        self.norm_place = norm_place

    def forward(
        self,
        x: Float[Tensor, "R T D"],
        keys_values: Float[Tensor, "B 2 H S E"],
        is_source: Bool[Tensor, "B S"],
        cache: LayerCache | None = None,
    ) -> Float[Tensor, "R T D"]:
        """The residual stream after this block; `keys_values` are `cross_attention.keys_and_values` of the source."""
        if self.norm_place == "pre":
            x = x + self.dropout(self.attention(self.attention_norm(x), cache))
            x = x + self.dropout(self.cross_attention(self.cross_attention_norm(x), keys_values, is_source))
            return x + self.dropout(self.feed_forward(self.feed_forward_norm(x)))
        x = self.attention_norm(x + self.dropout(self.attention(x, cache)))
        x = self.cross_attention_norm(x + self.dropout(self.cross_attention(x, keys_values, is_source)))
        return self.feed_forward_norm(x + self.dropout(self.feed_forward(x)))
