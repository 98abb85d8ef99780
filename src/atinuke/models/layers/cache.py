"""What decoding remembers of the tokens it has seen, so that each new token costs one step."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


class LayerCache:
    """Keys and values of one layer, in buffers of fixed size; `length` tokens of them are filled."""

    def __init__(self, batch: int, head_count: int, head_dim: int, capacity: int, like: Tensor) -> None:
        shape = (batch, head_count, capacity, head_dim)
        self._keys = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self._values = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self.length = 0

    def extend(
        self, keys: Float[Tensor, "B H T E"], values: Float[Tensor, "B H T E"]
    ) -> tuple[Float[Tensor, "B H S E"], Float[Tensor, "B H S E"]]:
        """All keys and values so far, the new ones last."""
        end = self.length + keys.shape[2]
        self._keys[:, :, self.length : end] = keys
        self._values[:, :, self.length : end] = values
        self.length = end
        return self._keys[:, :, :end], self._values[:, :, :end]


class Cache:
    """The state of a decoder between two calls: one `LayerCache` per block and the last token of each sequence."""

    def __init__(self, layers: list[LayerCache], capacity: int) -> None:
        self.layers = layers
        self.capacity = capacity
        self.last_tokens: Int[Tensor, "B 1"] | None = None

    @property
    def length(self) -> int:
        """How many tokens the cache holds."""
        return self.layers[0].length if self.layers else 0
