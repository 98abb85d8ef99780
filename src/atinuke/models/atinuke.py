"""The Atinuke network that races: the paper's idea, positions in every layer, with what measurably trains faster.

Each difference from `atinuke_paper.py` is a row in docs/lab.md, with what it gained.
"""

from jaxtyping import Float, Int
from torch import Tensor, nn

from atinuke.models.config import check_sizes
from atinuke.models.decoder import Decoder
from atinuke.models.layers.attention import CausalSelfAttention
from atinuke.models.layers.block import Block
from atinuke.models.layers.embedding import PairEmbedding
from atinuke.models.layers.feedforward import FeedForward
from atinuke.models.layers.norm import PlainLayerNorm
from atinuke.models.layers.positions import RotaryPositions

PAIR_ROWS_PER_TOKEN = 8


class Atinuke(Decoder):
    """A(X) = O( ⊕_l F_l( H( E(X), P_l ) ) ), arXiv:2401.16736 Figure 2; tokens (B, T) to logits (B, T, V).

    Beside `AtinukePaper`: P_l turns the queries and keys of each layer instead of being added to its input; queries
    and keys are normalised; norms without gain; no biases; a hashed table of token pairs added to E; output
    projections and read-out start at zero.
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
    ) -> None:
        super().__init__()
        check_sizes(key_dim, head_count)
        self.vocab_size, self.max_len = vocab_size, max_len
        self.embedding = nn.Embedding(vocab_size, model_dim)
        self.pairs = PairEmbedding(PAIR_ROWS_PER_TOKEN * vocab_size, model_dim)
        self.norm = PlainLayerNorm()
        self.dropout = nn.Dropout(dropout)
        positions = RotaryPositions(key_dim // head_count, max_len)  # its angles are the same in every layer
        self.blocks = nn.ModuleList(
            Block(
                attention=CausalSelfAttention(model_dim, key_dim, head_count, positions, qk_norm=True),
                feed_forward=FeedForward(model_dim, hidden_dim, activation="gelu", bias=False),
                norms=(self.norm, self.norm),
                dropout=dropout,
            )
            for _ in range(layer_count)
        )
        self.head = nn.Linear(model_dim, vocab_size, bias=False)
        # outputs at zero: every block starts as the identity, and the first loss is exactly ln V
        nn.init.zeros_(self.head.weight)
        for name, parameter in self.blocks.named_parameters():
            if name.endswith("project_out.weight"):
                nn.init.zeros_(parameter)

    def embed(self, tokens: Int[Tensor, "B T"], before: Int[Tensor, "B 1"] | None) -> Float[Tensor, "B T D"]:
        """E(X): the token and the pair that it ends, normalised."""
        return self.dropout(self.norm(self.embedding(tokens) + self.pairs(tokens, before)))

    def read_out(self, x: Float[Tensor, "B T D"]) -> Float[Tensor, "B T V"]:
        """O, the linear map to the vocabulary."""
        return self.head(self.norm(x))
