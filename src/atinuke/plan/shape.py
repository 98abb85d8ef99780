"""Decoders of billions of parameters, by the few sizes that memory and time follow from."""

import math
from dataclasses import dataclass, replace

HEAD_DIM = 128
WIDTH_STEP = 1024
WIDTH_PER_LAYER = 128
"""Of a well-proportioned decoder: 4096 wide with 32 layers, 8192 with 64 (Levine et al. 2020, arXiv:2006.12467)."""


@dataclass(frozen=True)
class Shape:
    """A decoder of equal blocks: attention and a feed-forward, gated (three matrices) or not (two)."""

    layer_count: int
    model_dim: int
    hidden_dim: int
    head_count: int
    kv_head_count: int
    vocab_size: int
    is_gated: bool = True
    is_tied: bool = False
    """Whether embedding and read-out are one table."""

    @property
    def key_dim(self) -> int:
        """Total width of the queries."""
        return self.model_dim

    @property
    def kv_dim(self) -> int:
        """Total width of the keys, and of the values."""
        return self.model_dim * self.kv_head_count // self.head_count

    @property
    def block_parameters(self) -> int:
        """Of one block."""
        attention = 2 * self.model_dim * (self.key_dim + self.kv_dim)
        return attention + (3 if self.is_gated else 2) * self.model_dim * self.hidden_dim + 2 * self.model_dim

    @property
    def table_parameters(self) -> int:
        """Of embedding and read-out."""
        return self.vocab_size * self.model_dim * (1 if self.is_tied else 2)

    @property
    def parameters(self) -> int:
        """Of all."""
        return self.layer_count * self.block_parameters + self.table_parameters + self.model_dim

    def flops_per_token(self, context: int) -> float:
        """Forward and backward, by the convention of utilisation figures (Chowdhery et al. 2022, appendix B):
        6 for each parameter in a product, and attention as if every token saw the whole context.
        """
        multiplied = self.layer_count * self.block_parameters + self.vocab_size * self.model_dim
        return 6 * multiplied + 12 * self.layer_count * self.key_dim * context

    def work_per_token(self, context: int) -> float:
        """Forward and backward as computed: a token sees half the context, and attention is computed once more."""
        multiplied = self.layer_count * self.block_parameters + self.vocab_size * self.model_dim
        return 6 * multiplied + 7 * self.layer_count * self.key_dim * context

    @classmethod
    def of_width(cls, layer_count: int, model_dim: int, vocab_size: int, *, is_gated: bool = True) -> "Shape":
        """In the usual proportions: heads 128 wide, eight of keys and values where there is a feed-forward gate."""
        head_count = max(1, model_dim // HEAD_DIM)
        kv_head_count = 8 if is_gated and head_count % 8 == 0 else head_count
        hidden_dim = round(8 * model_dim / 3 / 256) * 256 if is_gated else 4 * model_dim
        return cls(
            layer_count, model_dim, hidden_dim, head_count, kv_head_count, vocab_size, is_gated, is_tied=not is_gated
        )


def shape_for(parameters: float, vocab_size: int, *, is_gated: bool = True) -> Shape:
    """A decoder with about as many parameters, in the proportions of those that others have trained."""
    # a block has about 12·D² parameters, so even without tables it is no wider than this
    widest = (parameters * WIDTH_PER_LAYER / 12) ** (1 / 3)
    step = WIDTH_STEP if widest >= 4 * WIDTH_STEP else HEAD_DIM
    shapes = []
    for width in range(step, math.ceil(widest / step) * step + 1, step):
        one = Shape.of_width(1, width, vocab_size, is_gated=is_gated)
        layers = max(1, round((parameters - one.table_parameters) / one.block_parameters))
        shapes.append(replace(one, layer_count=layers))
    return min(shapes, key=lambda shape: abs(math.log(shape.model_dim / shape.layer_count / WIDTH_PER_LAYER)))
