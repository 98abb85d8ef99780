"""The Atinuke network that races: the paper's idea, positions in every layer, with what measurably trains faster.

Each difference from `atinuke_paper.py` is a row in docs/lab.md, with what it gained.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from atinuke.models.config import PictureConfig, SoundConfig, check_sizes
from atinuke.models.decoder import Decoder
from atinuke.models.layers.attention import Mask, SelfAttention
from atinuke.models.layers.block import Block
from atinuke.models.layers.cache import Cache
from atinuke.models.layers.dropout import Dropout
from atinuke.models.layers.embedding import PairEmbedding
from atinuke.models.layers.feedforward import FeedForward
from atinuke.models.layers.norm import PlainLayerNorm
from atinuke.models.layers.patches import PatchEmbedding
from atinuke.models.layers.positions import RotaryPositions
from atinuke.models.layers.prefix import Prefix, pad_in_front, prefix_mask
from atinuke.models.layers.shift import TokenShift
from atinuke.models.layers.spectrogram import SoundEmbedding

PAIR_ROWS_PER_TOKEN = 8


class Atinuke(Decoder):
    """A(X) = O( ⊕_l F_l( H( E(X), P_l ) ) ), arXiv:2401.16736 Figure 2; tokens (B, T) to logits (B, T, V).

    Beside `AtinukePaper`: P_l turns the queries and keys of each layer instead of being added to its input; queries
    and keys are normalised; norms without gain; no biases; a hashed table of token pairs added to E, a learned part of
    E to the input of every block, and one of the position before to what every feed-forward reads; output projections
    and read-out start at zero.

    Text, sound and pictures are one sequence (§1 there): a `Prefix` of the kind that the network was built for becomes
    positions ahead of the tokens, patches of a picture or log-mel frames of a sound, which see each other fully.
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
        pair_dropout: float = 0.0,
        picture: PictureConfig | None = None,
        sound: SoundConfig | None = None,
    ) -> None:
        super().__init__()
        check_sizes(key_dim, head_count)
        self.vocab_size, self.max_len = vocab_size, max_len
        self.embedding = nn.Embedding(vocab_size, model_dim)
        self.pairs = PairEmbedding(PAIR_ROWS_PER_TOKEN * vocab_size, model_dim, pair_dropout)
        self.norm = PlainLayerNorm()
        self.dropout = Dropout(dropout)
        positions = RotaryPositions(key_dim // head_count, max_len)  # its angles are the same in every layer
        self.blocks = nn.ModuleList(
            Block(
                attention=SelfAttention(model_dim, key_dim, head_count, positions, qk_norm=True),
                feed_forward=FeedForward(model_dim, hidden_dim, activation="gelu", bias=False),
                norms=(self.norm, self.norm),
                dropout=dropout,
                shift=TokenShift(model_dim),
            )
            for _ in range(layer_count)
        )
        self.skips = nn.Parameter(torch.tensor([[1.0, 0.0]]).repeat(layer_count, 1))
        self.head = nn.Linear(model_dim, vocab_size, bias=False)
        # outputs at zero: every block starts as the identity, and the first loss is exactly ln V
        nn.init.zeros_(self.head.weight)
        for name, parameter in self.blocks.named_parameters():
            if name.endswith("project_out.weight"):
                nn.init.zeros_(parameter)
        # last, so that the weights that read text are the same with and without
        self.picture = (
            PatchEmbedding(picture.height, picture.width, picture.channels, picture.patch, model_dim, picture.stem)
            if picture is not None
            else None
        )
        self.sound = (
            SoundEmbedding(
                sound.sample_rate_hz,
                model_dim,
                mel_bins=sound.mel_bins,
                frame_s=sound.frame_s,
                hop_s=sound.hop_s,
                frames_per_position=sound.frames_per_position,
            )
            if sound is not None
            else None
        )

    def embed(
        self, tokens: Int[Tensor, "B T"], before: Int[Tensor, "B 1"] | None, start: int = 0
    ) -> Float[Tensor, "B T D"]:
        """E(X): the token and the pair that it ends, normalised."""
        return self.dropout(self.norm(self.embedding(tokens) + self.pairs(tokens, before)))

    def enter(
        self, layer: int, x: Float[Tensor, "*rows D"], first: Float[Tensor, "*rows D"]
    ) -> Float[Tensor, "*rows D"]:
        """λ·x + μ·E(X), with two learned numbers for each layer, at first 1 and 0."""
        keep, again = self.skips[layer].to(x.dtype).unbind()
        return keep * x + again * first

    def prepend(
        self, prefix: Prefix, x: Float[Tensor, "B T D"], cache: Cache | None
    ) -> tuple[Float[Tensor, "B S D"], Mask]:
        """The positions of a picture or a sound, embedded and normalised as tokens are, ahead of them."""
        real_counts: Tensor | None = None
        if prefix.kind == "picture" and self.picture is not None:
            positions = self.picture(prefix.values)
        elif prefix.kind == "sound" and self.sound is not None:
            positions, real_counts = self.sound(prefix.values, prefix.lengths)
            positions = pad_in_front(positions, real_counts)
            # one mask serves all rows when there is nothing to hide
            real_counts = real_counts if prefix.lengths is not None else None
        else:
            raise ValueError(f"this network was given a {prefix.kind} and built without; build it with {prefix.kind}=.")
        if cache is not None:
            cache.begin_with(positions.shape[1], real_counts)
        front = self.dropout(self.norm(positions)).to(x.dtype)
        mask = prefix_mask(positions.shape[1], x.shape[1], real_counts, x.device)
        return torch.cat([front, x], dim=1), mask

    def finish(self, x: Float[Tensor, "*rows D"]) -> Float[Tensor, "*rows D"]:
        """Normalised, as the read-out takes it."""
        return self.norm(x)

    def read_out(self, x: Float[Tensor, "*rows D"]) -> Float[Tensor, "*rows V"]:
        """O, the linear map to the vocabulary."""
        return self.head(self.finish(x))
