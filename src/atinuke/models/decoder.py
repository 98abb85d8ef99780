"""What every decoder of ours shares: a way to be called, and a cache to be called with."""

from abc import ABC, abstractmethod

from jaxtyping import Float, Int
from torch import Tensor, nn

from atinuke.models.layers.attention import Mask
from atinuke.models.layers.block import Block
from atinuke.models.layers.cache import Cache
from atinuke.models.layers.prefix import Prefix, after_prefix_mask


class Decoder(nn.Module, ABC):
    """A causal network: tokens (B, T) in, logits (B, T, V) out, position t seeing the tokens up to t.

    `blocks` is an `nn.ModuleList`, so that recomputation, compilation and sharding can be applied from outside.
    """

    blocks: nn.ModuleList
    vocab_size: int
    max_len: int

    @abstractmethod
    def embed(
        self, tokens: Int[Tensor, "B T"], before: Int[Tensor, "B 1"] | None, start: int = 0
    ) -> Float[Tensor, "B T D"]:
        """The residual stream before the first block.

        `before` is the token ahead of these, if there is one; `start` is the place of the first of them.
        """

    def enter(
        self, layer: int, x: Float[Tensor, "*rows D"], first: Float[Tensor, "*rows D"]
    ) -> Float[Tensor, "*rows D"]:
        """What goes into a block: the residual stream `x`; `first` is the stream as it was before all blocks."""
        return x

    def finish(self, x: Float[Tensor, "*rows D"]) -> Float[Tensor, "*rows D"]:
        """What the last matrix reads: the residual stream after the last block, normalised where the network does."""
        return x

    @abstractmethod
    def read_out(self, x: Float[Tensor, "*rows D"]) -> Float[Tensor, "*rows V"]:
        """Logits from the residual stream after the last block."""

    def read_at(self, x: Float[Tensor, "B T D"], places: Int[Tensor, " N"] | None) -> Float[Tensor, "*rows V"]:
        """Logits (B, T, V), or at these places among the B·T positions alone (N, V)."""
        return self.read_out(x if places is None else x.flatten(0, 1)[places])

    def prepend(
        self, prefix: Prefix, x: Float[Tensor, "B T D"], cache: Cache | None
    ) -> tuple[Float[Tensor, "B S D"], Mask]:
        """The residual stream with the positions of `prefix` ahead of the tokens, and who sees whom in it.

        ValueError from networks that read tokens alone.
        """
        raise ValueError(
            f"{type(self).__name__} reads tokens alone and was given a {prefix.kind}. "
            f"Use the network atinuke, built with {prefix.kind}=."
        )

    def hidden(
        self,
        tokens: Int[Tensor, "B T"],
        cache: Cache | None = None,
        mask: Mask = "causal",
        prefix: Prefix | None = None,
        seen: list[Tensor] | None = None,
    ) -> Float[Tensor, "B T D"]:
        """The residual stream after the last block, at every token: what `read_out` reads; called as `forward` is.

        `seen` gets the stream before each block, too.
        """
        start, before = (cache.length, cache.last_tokens) if cache is not None else (0, None)
        x = self.embed(tokens, before, start)
        if prefix is not None:
            if not (isinstance(mask, str) and mask == "causal"):
                raise ValueError(f"tokens after a {prefix.kind} are causal; give no other mask with it")
            x, mask = self.prepend(prefix, x, cache)
        elif cache is not None and cache.is_padding is not None:
            mask = after_prefix_mask(x.shape[1], cache.length, cache.is_padding)
        first = x
        for layer, block in enumerate(self.blocks):
            if seen is not None:
                seen.append(x)
            x = block(self.enter(layer, x, first), cache.layers[layer] if cache is not None else None, mask)
        if cache is not None:
            cache.last_tokens = tokens[:, -1:]
        return x if prefix is None else x[:, -tokens.shape[1] :]

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        cache: Cache | None = None,
        mask: Mask = "causal",
        prefix: Prefix | None = None,
        places: Int[Tensor, " N"] | None = None,
    ) -> Float[Tensor, "*rows V"]:
        """Logits of the token after each position (B, T, V). With a cache, `tokens` follow those that it holds.

        At `places` among the B·T positions alone where those are given (N, V): the read-out is the largest product.

        With `mask` "full", positions see what follows them too: a masked token is then read off one place before it,
        as the next token is (Charpentier & Samuel 2024, arXiv:2410.24159).
        """
        return self.read_at(self.hidden(tokens, cache, mask, prefix), places)

    def new_cache(self, batch: int, capacity: int) -> Cache:
        """An empty cache for `batch` sequences of at most `capacity` tokens."""
        blocks = [block for block in self.blocks if isinstance(block, Block)]
        return Cache([block.attention.new_cache(batch, capacity) for block in blocks], capacity)
