"""The sizes of a network, in the words of the paper, and what a run has to know to build it again."""

from collections.abc import Mapping
from typing import Any, Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, model_validator

from atinuke.config import Settings

ModelKind = Literal["atinuke", "atinuke-paper", "gpt", "llama", "rnn", "perceptron", "bert", "seq2seq", "rnn-seq2seq"]


class PictureConfig(Settings):
    """Pictures as positions of the sequence: one for each patch."""

    height: PositiveInt = Field(description="Pixels from top to bottom, of every picture.")
    width: PositiveInt = Field(description="Pixels from left to right.")
    channels: Literal[1, 3] = Field(description="1: grey; 3: red, green, blue.")
    patch: PositiveInt = Field(8, description="Pixels along each side of a patch.")
    stem: Literal["linear", "convolutions"] = Field(
        "convolutions", description="How a patch becomes a vector: one matrix, or convolutions that see its edges."
    )


class SoundConfig(Settings):
    """Sounds as positions of the sequence: one for each few frames of the log-mel spectrogram."""

    sample_rate_hz: PositiveInt = Field(description="Samples per second; other rates are resampled.")
    mel_bins: PositiveInt = Field(40, description="Bands of the spectrogram.")
    frame_s: float = Field(0.025, gt=0, description="Seconds of sound behind one frame.")
    hop_s: float = Field(0.010, gt=0, description="Seconds from one frame to the next.")
    frames_per_position: PositiveInt = Field(4, description="Frames that make one position.")
    max_s: float = Field(2.0, gt=0, description="Longest sound; what follows is cut off.")


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
    pair_dropout: float = Field(
        0.0, ge=0, le=1, description="atinuke: part of the positions whose pair is left out while training."
    )
    context: PositiveInt = Field(description="Tokens per training window; generation slides beyond it.")
    max_len: PositiveInt = Field(50_000, description="Longest sequence that the network accepts.")

    kv_head_count: PositiveInt | None = Field(None, description="llama: heads of keys and values; none: head_count.")
    norm_eps: PositiveFloat | None = Field(None, description="llama, bert: what norms add to the variance.")
    rotary_base: PositiveFloat | None = Field(None, description="llama: longest wavelength of positions; none: 10,000.")
    cell: Literal["lstm", "gru"] = Field("lstm", description="rnn: which recurrent cell.")
    window: PositiveInt = Field(16, description="perceptron: tokens that it sees at once.")
    token_input: Literal["learned", "one-hot", "integer"] = Field(
        "learned", description="perceptron: how a token becomes numbers."
    )
    norm_place: Literal["pre", "post"] = Field("pre", description="seq2seq: norms before or after each sublayer.")
    has_mask: bool = Field(False, description="Whether the last id stands for a masked token (bert always).")
    numbers: int = Field(0, ge=0, description="perceptron on a table: columns that it reads; 0: it reads tokens.")
    classes: int = Field(0, ge=0, description="perceptron on a table: classes to choose from; 0: it gives a number.")
    picture: PictureConfig | None = Field(None, description="atinuke: pictures in the sequence.")
    sound: SoundConfig | None = Field(None, description="atinuke: sounds in the sequence.")

    @property
    def mask_id(self) -> int | None:
        """The id that stands for a masked token."""
        return self.vocab_size - 1 if self.has_mask else None

    @model_validator(mode="after")
    def _sizes_fit(self) -> Self:
        check_sizes(self.key_dim, self.head_count, self.kv_head_count)
        if self.context > self.max_len:
            raise ValueError(f"context is {self.context} and max_len is {self.max_len}; a window must fit into max_len")
        return self


def saved_network(config: Mapping[str, Any]) -> ModelConfig:
    """The network of a run, from the tree in its config.json; pydantic's ValidationError where it says too little."""
    section, tokenizer = config.get("model"), config.get("tokenizer")
    sizes = {name: size for name, size in section.items() if size is not None} if isinstance(section, Mapping) else {}
    vocab_size = tokenizer.get("vocab_size") if isinstance(tokenizer, Mapping) else None
    has_mask = sizes.get("has_mask") is True
    if sizes.get("numbers"):
        vocab_size = 1  # a table has no vocabulary
    if isinstance(vocab_size, int) and has_mask:
        vocab_size += 1  # the id of a masked token is the network's own, after the tokenizer's
    return ModelConfig.model_validate({**sizes, "vocab_size": vocab_size})


def check_sizes(key_dim: int, head_count: int, kv_head_count: int | None = None) -> None:
    """ValueError when the heads cannot share `key_dim` evenly, or the heads of keys and values the heads of queries."""
    if kv_head_count is not None and head_count % kv_head_count:
        raise ValueError(
            f"head_count is {head_count} and kv_head_count is {kv_head_count}; "
            "head_count must be a multiple of kv_head_count"
        )
    if key_dim % head_count:
        below, above = key_dim // head_count * head_count, (key_dim // head_count + 1) * head_count
        fits = " or ".join(str(n) for n in (below, above) if n)
        raise ValueError(
            f"key_dim is {key_dim} and head_count is {head_count}; "
            f"key_dim must be a multiple of head_count, for example {fits}"
        )
