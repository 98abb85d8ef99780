"""A pretrained network and a head for each task: rows of tokens in, what the head of their task says out."""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from atinuke.errors import ConfigError
from atinuke.models.bert import Bert
from atinuke.models.config import ModelConfig
from atinuke.models.decoder import Decoder
from atinuke.models.layers.attention import Mask
from atinuke.models.perceptron import Perceptron
from atinuke.models.rnn import RNN

Sight = Literal["full", "causal"]
"""Of decoders: whether a position sees what follows it. Encoders see all."""


class Said(NamedTuple):
    """What the head of a task says of a batch."""

    task: str
    output: Any


class Tuned(nn.Module):
    """A network without its read-out, and heads by the names of their tasks.

    Decoders are read with both sides visible ("full"), as an encoder is, unless `sight` says otherwise: what they were
    asked while they were pretrained does not bind them here (Charpentier & Samuel 2024, arXiv:2410.24159, read one
    network both ways). Heads are given a learned mixture of all layers (Peters et al. 2018, arXiv:1802.05365, eq. 1),

        γ Σ_l softmax(s)_l norm(x_l)       x_0: the embeddings; s = 0 and γ = 1 at first

    since the last vectors of a decoder are about the token that comes next, and not about the one that they stand at.
    Encoders give their last vectors, as BERT does.
    """

    def __init__(self, body: nn.Module, heads: Mapping[str, nn.Module], sight: Sight = "full") -> None:
        super().__init__()
        if not isinstance(body, Decoder | Bert):
            raise ConfigError(
                f"{type(body).__name__} gives no vector for each token; expected a run of atinuke, gpt, llama, bert, "
                "rnn or perceptron."
            )
        self.body = body
        self.heads = nn.ModuleDict(heads)
        is_mixed = isinstance(body, Decoder) and not isinstance(body, RNN | Perceptron)
        self.mix = nn.Parameter(torch.zeros(len(body.blocks) + 1)) if is_mixed else None
        self.scale = nn.Parameter(torch.ones(())) if is_mixed else None
        self.sight: Sight = "causal" if isinstance(body, RNN | Perceptron) else sight

    def forward(
        self,
        tokens: Int[Tensor, "B T"],
        segments: Int[Tensor, "B T"],
        is_token: Bool[Tensor, "B T"],
        task: str,
        *marks: Tensor,
    ) -> Said:
        """What the head of `task` makes of the vectors (`hidden`) and of its own `marks`."""
        return Said(task, self.heads[task](self.hidden(tokens, segments, is_token), is_token, *marks))

    def hidden(
        self, tokens: Int[Tensor, "B T"], segments: Int[Tensor, "B T"], is_token: Bool[Tensor, "B T"]
    ) -> Float[Tensor, "B T D"]:
        """The vector of each token, of all layers together; those of padding mean nothing."""
        if isinstance(self.body, Bert):
            return self.body.encode(tokens, segments, is_token)
        assert isinstance(self.body, Decoder)
        # without a mask padding stands at the end, where no token sees it
        mask: Mask = "causal" if self.sight == "causal" else is_token[:, None, None, :]
        if self.mix is None or self.scale is None:
            return self.body.finish(self.body.hidden(tokens, mask=mask))
        seen: list[Tensor] = []
        seen.append(self.body.hidden(tokens, mask=mask, seen=seen))
        layers = torch.stack([self.body.finish(x) for x in seen], dim=-1)  # (B, T, D, layers)
        return self.scale * (layers @ self.mix.softmax(dim=0).to(layers.dtype))


def width_of(network: ModelConfig) -> int:
    """Width of the vectors that a network of this description gives."""
    return network.hidden_dim if network.kind in ("rnn", "perceptron") else network.model_dim
