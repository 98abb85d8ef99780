"""The sizes of a network, in the words of the paper, and what a run has to know to build it again."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, PositiveInt, model_validator

from atinuke.config import Settings

ModelKind = Literal["atinuke", "atinuke-paper"]


class ModelConfig(Settings):
    """Which network, and every size of it.

    It is trained and scored in windows of `context` tokens, and accepts sequences of up to `max_len`.
    """

    kind: ModelKind = Field("atinuke", description="Which network.")
    vocab_size: PositiveInt = Field(description="How many token ids there are.")
    model_dim: PositiveInt = Field(description="Width of the residual stream.")
    key_dim: PositiveInt = Field(description="Total width of the queries (and keys, and values) over all heads.")
    hidden_dim: PositiveInt = Field(description="Width inside the feed-forward.")
    head_count: PositiveInt = Field(description="Attention heads per layer.")
    layer_count: PositiveInt = Field(description="Blocks in sequence.")
    dropout: float = Field(0.0, ge=0, lt=1, description="Dropout on both branches of every block.")
    context: PositiveInt = Field(description="Tokens per training window; generation slides beyond it.")
    max_len: PositiveInt = Field(50_000, description="Longest sequence that the network accepts.")

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        check_sizes(self.key_dim, self.head_count)
        if self.context > self.max_len:
            raise ValueError(f"context is {self.context} and max_len is {self.max_len}; a window must fit into max_len")
        return self


def saved_network(config: Mapping[str, Any]) -> ModelConfig:
    """The network of a run, from the tree in its config.json; pydantic's ValidationError where it says too little."""
    section, tokenizer = config.get("model"), config.get("tokenizer")
    sizes = section if isinstance(section, Mapping) else {}
    vocab_size = tokenizer.get("vocab_size") if isinstance(tokenizer, Mapping) else None
    return ModelConfig.model_validate({**sizes, "vocab_size": vocab_size})


def check_sizes(key_dim: int, head_count: int) -> None:
    """ValueError when the heads cannot share `key_dim` evenly."""
    if key_dim % head_count:
        below, above = key_dim // head_count * head_count, (key_dim // head_count + 1) * head_count
        fits = " or ".join(str(n) for n in (below, above) if n)
        raise ValueError(
            f"key_dim is {key_dim} and head_count is {head_count}; "
            f"key_dim must be a multiple of head_count, for example {fits}"
        )
