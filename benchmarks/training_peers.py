"""The peers' networks in one shape, for training_speed.py: tokens in, logits out, no dropout."""

import importlib.util
import sys
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """The sizes of one contest."""

    model_dim: int
    layers: int
    heads: int
    context: int
    batch: int
    vocab: int

    def __str__(self) -> str:
        return f"{self.model_dim}/{self.layers}/{self.heads}, T{self.context}, B{self.batch}, V{self.vocab}"

    @property
    def flops_per_token(self) -> int:
        """Multiplications and additions of a training step, as the text above counts them."""
        matrices = 12 * self.layers * self.model_dim**2 + self.vocab * self.model_dim
        return 6 * matrices + 6 * self.layers * self.context * self.model_dim


class PlainBlock(nn.Module):
    """nanoGPT's block: one fused projection, torch's attention, exact GELU, no biases."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_1, self.norm_2 = (nn.LayerNorm(width, bias=False) for _ in range(2))
        self.qkv, self.out = nn.Linear(width, 3 * width, bias=False), nn.Linear(width, width, bias=False)
        self.wide, self.narrow = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """The residual stream after this block."""
        batch, length, width = x.shape
        parts = self.qkv(self.norm_1(x)).split(width, dim=2)
        query, key, value = (part.view(batch, length, self.heads, -1).transpose(1, 2) for part in parts)
        gathered = F.scaled_dot_product_attention(query, key, value, is_causal=True)
        x = x + self.out(gathered.transpose(1, 2).contiguous().view(batch, length, width))
        return x + self.narrow(F.gelu(self.wide(self.norm_2(x))))


class PlainGPT(nn.Module):
    """nanoGPT's network: learned positions, tied read-out."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.tokens = nn.Embedding(shape.vocab, shape.model_dim)
        self.places = nn.Embedding(shape.context, shape.model_dim)
        self.blocks = nn.ModuleList(PlainBlock(shape.model_dim, shape.heads) for _ in range(shape.layers))
        self.norm = nn.LayerNorm(shape.model_dim, bias=False)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits."""
        x = self.tokens(tokens) + self.places(torch.arange(tokens.shape[1], device=tokens.device))
        for block in self.blocks:
            x = block(x)
        return F.linear(self.norm(x), self.tokens.weight)


def transformers_network(shape: Shape) -> nn.Module:
    """GPT2LMHeadModel without dropout."""
    from transformers import GPT2Config, GPT2LMHeadModel

    config = GPT2Config(
        vocab_size=shape.vocab,
        n_positions=shape.context,
        n_embd=shape.model_dim,
        n_layer=shape.layers,
        n_head=shape.heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
        use_cache=False,
    )

    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = GPT2LMHeadModel(config)

        def forward(self, tokens: Tensor) -> Tensor:
            logits: Tensor = self.network(tokens).logits
            return logits

    return Logits()


def nanogpt_network(shape: Shape, source: str | None) -> nn.Module:
    """nanoGPT's own file, or the same layers."""
    if source is None:
        return PlainGPT(shape)
    spec = importlib.util.spec_from_file_location("nanogpt_model", source)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["nanogpt_model"] = module
    spec.loader.exec_module(module)
    sizes = {"n_layer": shape.layers, "n_head": shape.heads, "n_embd": shape.model_dim, "vocab_size": shape.vocab}
    network = module.GPT(module.GPTConfig(block_size=shape.context, dropout=0.0, bias=False, **sizes))

    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, tokens: Tensor) -> Tensor:
            # with targets it computes a loss and gives the logits of every place, without them those of the last
            logits: Tensor = self.network(tokens, tokens)[0]
            return logits

    return Logits()


def litgpt_network(shape: Shape) -> nn.Module:
    """litgpt's GPT in the shape of its pythia configurations."""
    from litgpt import GPT, Config

    sizes = {"n_layer": shape.layers, "n_head": shape.heads, "n_embd": shape.model_dim}
    network: nn.Module = GPT(
        Config(block_size=shape.context, vocab_size=shape.vocab, padded_vocab_size=shape.vocab, **sizes)
    )
    return network


def peer_network(name: str, shape: Shape, nanogpt: str | None) -> nn.Module:
    """The network of the peer of this name; `nanogpt` is the path of its model.py, where that is to be raced itself."""
    builders: dict[str, Callable[[], nn.Module]] = {
        "transformers GPT-2": lambda: transformers_network(shape),
        "nanoGPT": lambda: nanogpt_network(shape, nanogpt),
        "litgpt": lambda: litgpt_network(shape),
    }
    return builders[name]()
