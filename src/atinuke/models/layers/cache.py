"""What decoding remembers of the tokens it has seen, so that each new token costs one step."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


class LayerCache:
    """Keys and values of one layer, in buffers of fixed size, of which `length` tokens are filled.

    And what the layer's token shift read at the last of them.
    """

    def __init__(self, batch: int, kv_head_count: int, head_dim: int, capacity: int, like: Tensor) -> None:
        shape = (batch, kv_head_count, capacity, head_dim)
        self._keys = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self._values = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self.length = 0
        self._last: Tensor | None = None

    def swap_last(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B 1 D"] | None:
        """Keeps the last of these positions, and gives what was kept before; None at first."""
        before, self._last = self._last, x[:, -1:]
        return before

    def extend(
        self, keys: Float[Tensor, "B K T E"], values: Float[Tensor, "B K T E"]
    ) -> tuple[Float[Tensor, "B K S E"], Float[Tensor, "B K S E"]]:
        """All keys and values so far, the new ones last."""
        end = self.length + keys.shape[2]
        self._keys[:, :, self.length : end] = keys
        self._values[:, :, self.length : end] = values
        self.length = end
        return self._keys[:, :, :end], self._values[:, :, :end]

    def select(self, rows: Int[Tensor, " N"]) -> None:
        """Row n becomes what row `rows[n]` was; a row may be taken more than once, or not at all."""
        self._keys, self._values = (self._selected(buffer, rows) for buffer in (self._keys, self._values))
        self._last = self._last[rows] if self._last is not None else None

    def _selected(self, buffer: Tensor, rows: Tensor) -> Tensor:
        # only what is filled is copied; beyond it nothing is ever read before it is written
        chosen = buffer if len(rows) == len(buffer) else buffer.new_empty(len(rows), *buffer.shape[1:])
        chosen[:, :, : self.length] = buffer[rows, :, : self.length]
        return chosen


class Cache:
    """The state of a decoder between two calls: one `LayerCache` per block and the last token of each sequence."""

    def __init__(self, layers: list[LayerCache], capacity: int) -> None:
        self.layers = layers
        self.capacity = capacity
        self.last_tokens: Int[Tensor, "B 1"] | None = None
        self.is_padding: Bool[Tensor, "B P"] | None = None
        """Which of the first P positions no later one may see; None: none of them."""

    @property
    def length(self) -> int:
        """How many tokens the cache holds, and positions of a picture or a sound."""
        return self.layers[0].length if self.layers else 0

    def begin_with(self, prefix_count: int, real_counts: Int[Tensor, " B"] | None) -> None:
        """Told before a prefix of so many positions, of which the last `real_counts` of each row are real."""
        if self.length:
            raise ValueError(
                f"a picture or a sound comes before all tokens, and this cache holds {self.length} positions; "
                "begin with a new cache"
            )
        if real_counts is not None:
            places = torch.arange(prefix_count, device=real_counts.device)
            self.is_padding = places < prefix_count - real_counts[:, None]

    def select(self, rows: Int[Tensor, " N"]) -> None:
        """Sequence n becomes what sequence `rows[n]` was: how a beam goes on from its best sequences."""
        for layer in self.layers:
            layer.select(rows)
        if self.last_tokens is not None:
            self.last_tokens = self.last_tokens[rows]
        if self.is_padding is not None:
            self.is_padding = self.is_padding[rows]
