"""What every encoder-decoder shares, and the original one: the Transformer of Vaswani et al. 2017, arXiv:1706.03762."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from atinuke.models.config import check_sizes
from atinuke.models.layers.attention import SelfAttention
from atinuke.models.layers.block import Block, NormPlace
from atinuke.models.layers.cache import Cache
from atinuke.models.layers.cross_attention import CrossAttention, CrossBlock
from atinuke.models.layers.dropout import DropAfter, Dropout, DropWeights
from atinuke.models.layers.feedforward import Activation, FeedForward
from atinuke.models.layers.fixed_positions import FixedPositions, SinusoidOrder
from atinuke.models.layers.positions import NoPositions


@dataclass(frozen=True)
class Memory:
    """What an encoder has made of B source texts."""

    states: Float[Tensor, "B S D"]
    is_source: Bool[Tensor, "B S"]
    """False where a row is only filled up to the longest one."""
    projected: tuple[Tensor, ...] = ()
    """What the decoder needs of the states at every step and computes once, such as keys and values: (B, …) each."""

    def select(self, sources: Int[Tensor, " N"]) -> "Memory":
        """The memory of these sources, in this order; one may come several times."""
        return Memory(
            self.states.index_select(0, sources),
            self.is_source.index_select(0, sources),
            tuple(each.index_select(0, sources) for each in self.projected),
        )

    def for_rows(self, rows: int) -> "Memory":
        """Each source as often in a row as `rows` target rows need it: B itself when there are B of them."""
        times = rows // len(self.states)
        if times == 1:
            return self
        return Memory(
            self.states.repeat_interleave(times, 0),
            self.is_source.repeat_interleave(times, 0),
            tuple(each.repeat_interleave(times, 0) for each in self.projected),
        )


@runtime_checkable
class StepCache(Protocol):
    """What a decoder remembers of the target tokens that it has seen."""

    @property
    def length(self) -> int:
        """How many tokens that are."""

    def select(self, rows: Int[Tensor, " N"]) -> None:
        """Keeps these rows, in this order; one may come several times. Beams are exchanged so."""


class Seq2Seq(nn.Module, ABC):
    """A network that reads a source and writes a target: logits (B, T, V) of the token after each target position.

    `blocks` holds the layers of encoder and decoder, so that recomputation, compilation and optimizers can be
    applied from outside.
    """

    blocks: nn.ModuleList
    vocab_size: int
    max_len: int

    @abstractmethod
    def encode(self, source: Int[Tensor, "B S"], is_source: Bool[Tensor, "B S"]) -> Memory:
        """The source, read once. What stands where `is_source` is False changes nothing."""

    @abstractmethod
    def decode(
        self, target: Int[Tensor, "R T"], memory: Memory, cache: StepCache | None = None
    ) -> Float[Tensor, "R T V"]:
        """Logits of the token after each target position. With a cache, `target` follows the tokens that it holds.

        R is B, or a multiple k·B: then the first k rows belong to the first source, the next k to the second …, as
        beam search has them. `memory.for_rows(R)` is the plain way to serve it.
        """

    @abstractmethod
    def new_cache(self, batch: int, capacity: int) -> StepCache:
        """An empty cache for `batch` target rows of at most `capacity` tokens."""

    def forward(
        self, source: Int[Tensor, "B S"], is_source: Bool[Tensor, "B S"], target: Int[Tensor, "B T"]
    ) -> Float[Tensor, "B T V"]:
        """Teacher-forced: `target` is what stands before each token to be predicted."""
        return self.decode(target, self.encode(source, is_source))


INNER_SHARE = 0.5
"""Of the dropout, what falls inside attention and feed-forward."""


class TransformerSeq2Seq(Seq2Seq):
    """The original Transformer: `layer_count` blocks that read the source, as many that write the target.

    Vaswani et al. 2017, arXiv:1706.03762. One table of vectors serves source, target and read-out (§3.4), times
    √model_dim where it reads; sinusoids are added once. With post-norm this is what transformers' MarianMTModel
    computes. We differ:

    - `norm_place` "pre", the default, puts a norm before each sublayer and one after the last block of either side:
      it trains without warm-up (Xiong et al. 2020, arXiv:2002.04745);
    - the read-out has a bias, which starts at zero;
    - dropout falls on the embeddings and on each sublayer's result, as in §5.4, and half of it on the attention
      weights and the hidden activations too, as their own code has it.

    Tables start from N(0, 1/√model_dim), matrices from Glorot & Bengio's uniform distribution, the parts of a fused
    one each on its own, biases from zero.
    """

    def __init__(
        self,
        vocab_size: int,
        model_dim: int,
        key_dim: int,
        hidden_dim: int,
        head_count: int,
        layer_count: int,
        dropout: float = 0.0,
        max_len: int = 50_000,
        *,
        norm_place: NormPlace = "pre",
        activation: Activation = "relu",
        sinusoid_order: SinusoidOrder = "interleaved",
        scales_embedding: bool = True,
    ) -> None:
        super().__init__()
        check_sizes(key_dim, head_count)
        self.vocab_size, self.max_len, self.layer_count = vocab_size, max_len, layer_count
        self.embedding = nn.Embedding(vocab_size, model_dim)
        self.embedding_scale = model_dim**0.5 if scales_embedding else 1.0
        self.positions = FixedPositions(model_dim, max_len, order=sinusoid_order)
        self.dropout = Dropout(dropout)
        inner_dropout = INNER_SHARE * dropout

        def attention() -> SelfAttention:
            return _with_dropout(SelfAttention(model_dim, key_dim, head_count, NoPositions(), bias=True), inner_dropout)

        def cross_attention() -> CrossAttention:
            return _with_dropout(CrossAttention(model_dim, key_dim, head_count, bias=True), inner_dropout)

        def feed_forward() -> FeedForward:
            layer = FeedForward(model_dim, hidden_dim, activation=activation)
            if inner_dropout:
                layer.activation = DropAfter(layer.activation, inner_dropout)
            return layer

        def norm() -> nn.LayerNorm:
            return nn.LayerNorm(model_dim)

        readers = [
            Block(attention(), feed_forward(), (norm(), norm()), dropout, norm_place=norm_place)
            for _ in range(layer_count)
        ]
        writers = [
            CrossBlock(
                attention(), cross_attention(), feed_forward(), (norm(), norm(), norm()), dropout, norm_place=norm_place
            )
            for _ in range(layer_count)
        ]
        self.blocks = nn.ModuleList([*readers, *writers])
        self.source_norm = norm() if norm_place == "pre" else nn.Identity()
        self.target_norm = norm() if norm_place == "pre" else nn.Identity()
        self.head_bias = nn.Parameter(torch.zeros(vocab_size))
        self._initialise()

    @torch.no_grad()
    def _initialise(self) -> None:
        nn.init.normal_(self.embedding.weight, std=self.embedding.embedding_dim**-0.5)
        fused = {"project_qkv": 3, "project_kv": 2}
        for name, module in self.named_modules():
            if isinstance(module, nn.Linear):
                for part in module.weight.chunk(fused.get(name.rpartition(".")[2], 1)):
                    nn.init.xavier_uniform_(part)
                nn.init.zeros_(module.bias)

    def encode(self, source: Int[Tensor, "B S"], is_source: Bool[Tensor, "B S"]) -> Memory:
        """The source, every token seeing all others, and the keys and values that each decoder block takes from it."""
        x, may_attend = self._embed(source, 0), is_source[:, None, None, :]
        for block in self.blocks[: self.layer_count]:
            x = block(x, None, may_attend)
        states = self.source_norm(x)
        return Memory(states, is_source, tuple(cross.keys_and_values(states) for cross in self._cross_attentions()))

    def decode(
        self, target: Int[Tensor, "R T"], memory: Memory, cache: StepCache | None = None
    ) -> Float[Tensor, "R T V"]:
        """Logits of the token after each target position."""
        assert cache is None or isinstance(cache, Cache), "a cache that another network has made"
        x = self._embed(target, cache.length if cache is not None else 0)
        layers = cache.layers if cache is not None else [None] * self.layer_count
        for block, keys_values, layer in zip(self.blocks[self.layer_count :], memory.projected, layers, strict=True):
            x = block(x, keys_values, memory.is_source, layer)
        return F.linear(self.target_norm(x), self.embedding.weight, self.head_bias)

    def new_cache(self, batch: int, capacity: int) -> Cache:
        """An empty cache for `batch` target rows of at most `capacity` tokens."""
        writers = [block for block in self.blocks if isinstance(block, CrossBlock)]
        return Cache([block.attention.new_cache(batch, capacity) for block in writers], capacity)

    def _embed(self, tokens: Int[Tensor, "B T"], start: int) -> Float[Tensor, "B T D"]:
        return self.dropout(self.positions.add(self.embedding(tokens) * self.embedding_scale, start))

    def _cross_attentions(self) -> list[CrossAttention]:
        return [block.cross_attention for block in self.blocks if isinstance(block, CrossBlock)]


A = TypeVar("A", SelfAttention, CrossAttention)


def _with_dropout(attention: A, share: float) -> A:
    if share:
        attention.attend = DropWeights(share)
    return attention
