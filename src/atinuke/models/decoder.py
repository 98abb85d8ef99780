"""What every decoder of ours shares: a way to be called, and a cache to be called with."""

from abc import ABC, abstractmethod

from jaxtyping import Float, Int
from torch import Tensor, nn

from atinuke.models.layers.block import Block
from atinuke.models.layers.cache import Cache


class Decoder(nn.Module, ABC):
    """A causal network: tokens (B, T) in, logits (B, T, V) out, position t seeing the tokens up to t.

    `blocks` is an `nn.ModuleList`, so that recomputation, compilation and sharding can be applied from outside.
    """

    blocks: nn.ModuleList
    vocab_size: int
    max_len: int

    @abstractmethod
    def embed(self, tokens: Int[Tensor, "B T"], before: Int[Tensor, "B 1"] | None) -> Float[Tensor, "B T D"]:
        """The residual stream before the first block; `before` is the token ahead of these, if there is one."""

    @abstractmethod
    def read_out(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T V"]:
        """Logits from the residual stream after the last block."""

    def forward(self, tokens: Int[Tensor, "B T"], cache: Cache | None = None) -> Float[Tensor, "B T V"]:
        """Logits of the token after each position. With a cache, `tokens` follow those that it holds."""
        x = self.embed(tokens, cache.last_tokens if cache is not None else None)
        for layer, block in enumerate(self.blocks):
            x = block(x, cache.layers[layer] if cache is not None else None)
        if cache is not None:
            cache.last_tokens = tokens[:, -1:]
        return self.read_out(x)

    def new_cache(self, batch: int, capacity: int) -> Cache:
        """An empty cache for `batch` sequences of at most `capacity` tokens."""
        blocks = [block for block in self.blocks if isinstance(block, Block)]
        return Cache([block.attention.new_cache(batch, capacity) for block in blocks], capacity)
