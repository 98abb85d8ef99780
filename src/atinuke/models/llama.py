"""Llama's network: rotary positions, root-mean-square norms, gated feed-forward, grouped keys and values, no biases.

Touvron et al. 2023, arXiv:2302.13971, §2.2; grouped keys and values as in Llama 2, arXiv:2307.09288, §2.2. It computes
what transformers' LlamaForCausalLM computes; the tests copy weights both ways.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from atinuke.models.config import check_sizes
from atinuke.models.decoder import Decoder
from atinuke.models.layers.attention import SelfAttention
from atinuke.models.layers.block import Block
from atinuke.models.layers.dropout import Dropout
from atinuke.models.layers.feedforward import GatedFeedForward
from atinuke.models.layers.norm import RMSNorm
from atinuke.models.layers.positions import RotaryPositions


class Llama(Decoder):
    """Tokens (B, T) to logits (B, T, V).

    `kv_head_count` heads of keys and values serve `head_count` heads of queries; none given: one for each. `hidden_dim`
    is the width between gate and output, so that a feed-forward has 3·model_dim·hidden_dim weights.

    Weights start so that numbers keep their size at any width: the embedding from N(0, 1/√model_dim), matrices from
    N(0, 1/√(width of their input)), the two output projections of a block from that over √(2·layer_count)
    (Radford et al. 2019, §2.3), the head from N(0, 0.02). The paper does not say; transformers takes 0.02 for all.
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
        kv_head_count: int | None = None,
        norm_eps: float = 1e-6,
        rotary_base: float = 10_000.0,
    ) -> None:
        super().__init__()
        check_sizes(key_dim, head_count)
        self.vocab_size, self.max_len = vocab_size, max_len
        self.embedding = nn.Embedding(vocab_size, model_dim)
        self.dropout = Dropout(dropout)
        positions = RotaryPositions(key_dim // head_count, max_len, base=rotary_base)  # the same in every layer
        self.blocks = nn.ModuleList(
            Block(
                attention=SelfAttention(model_dim, key_dim, head_count, positions, kv_head_count=kv_head_count),
                feed_forward=GatedFeedForward(model_dim, hidden_dim),
                norms=(RMSNorm(model_dim, eps=norm_eps), RMSNorm(model_dim, eps=norm_eps)),
                dropout=dropout,
            )
            for _ in range(layer_count)
        )
        self.norm = RMSNorm(model_dim, eps=norm_eps)
        self.head = nn.Linear(model_dim, vocab_size, bias=False)
        self._initialise(layer_count)

    @torch.no_grad()
    def _initialise(self, layer_count: int) -> None:
        nn.init.normal_(self.embedding.weight, std=self.embedding.embedding_dim**-0.5)
        for name, module in self.blocks.named_modules():
            if isinstance(module, nn.Linear):
                share = 2 * layer_count if name.endswith("project_out") else 1
                nn.init.normal_(module.weight, std=(module.in_features * share) ** -0.5)
        nn.init.normal_(self.head.weight, std=0.02)

    def embed(
        self, tokens: Int[Tensor, "B T"], before: Int[Tensor, "B 1"] | None, start: int = 0
    ) -> Float[Tensor, "B T D"]:
        """The token's vector; places come in where queries meet keys."""
        return self.dropout(self.embedding(tokens))

    def finish(self, x: Float[Tensor, "*rows D"]) -> Float[Tensor, "*rows D"]:
        """Normalised, as the read-out takes it."""
        return self.norm(x)

    def read_out(self, x: Float[Tensor, "*rows D"]) -> Float[Tensor, "*rows V"]:
        """O, the linear map to the vocabulary."""
        return self.head(self.finish(x))
