"""Networks: one short file each, composed of `layers/`. A network takes tokens and gives logits, nothing else.

It knows no data, tokenizer, optimizer, loss or device; those are applied from outside.
Importing this package does not import torch until a network is asked for.
"""

import importlib
from typing import TYPE_CHECKING, Any

from atinuke.models.config import ModelConfig

if TYPE_CHECKING:
    from torch import nn

    from atinuke.models.atinuke import Atinuke
    from atinuke.models.atinuke_paper import AtinukePaper
    from atinuke.models.bert import Bert
    from atinuke.models.gpt import GPT
    from atinuke.models.llama import Llama
    from atinuke.models.perceptron import NumberPerceptron, Perceptron
    from atinuke.models.rnn import RNN
    from atinuke.models.rnn_seq2seq import RecurrentSeq2Seq
    from atinuke.models.seq2seq import TransformerSeq2Seq

__all__ = [
    "GPT",
    "RNN",
    "Atinuke",
    "AtinukePaper",
    "Bert",
    "Llama",
    "ModelConfig",
    "NumberPerceptron",
    "Perceptron",
    "RecurrentSeq2Seq",
    "TransformerSeq2Seq",
    "build_model",
]

WIDTHS = ("vocab_size", "model_dim", "hidden_dim", "layer_count", "dropout")
SIZES = (*WIDTHS, "key_dim", "head_count", "max_len")
NETWORKS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "atinuke": ("atinuke", "Atinuke", (*SIZES, "pair_dropout", "picture", "sound")),
    "atinuke-paper": ("atinuke_paper", "AtinukePaper", SIZES),
    "gpt": ("gpt", "GPT", SIZES),
    "llama": ("llama", "Llama", (*SIZES, "kv_head_count", "norm_eps", "rotary_base")),
    "bert": ("bert", "Bert", (*SIZES, "norm_eps")),
    "seq2seq": ("seq2seq", "TransformerSeq2Seq", (*SIZES, "norm_place")),
    "rnn": ("rnn", "RNN", (*WIDTHS, "max_len", "cell")),
    "rnn-seq2seq": ("rnn_seq2seq", "RecurrentSeq2Seq", (*WIDTHS, "key_dim", "max_len", "cell")),
    "perceptron": ("perceptron", "Perceptron", (*WIDTHS, "max_len", "window", "token_input")),
    "number-perceptron": (
        "perceptron",
        "NumberPerceptron",
        ("numbers", "classes", "hidden_dim", "layer_count", "dropout"),
    ),
}
"""Kind → file, class, and the settings that its constructor takes."""


def build_model(cfg: ModelConfig) -> "nn.Module":
    """The network that `cfg` describes, with fresh weights from torch's generator."""
    kind = "number-perceptron" if cfg.kind == "perceptron" and cfg.numbers else cfg.kind
    module, name, settings = NETWORKS[kind]
    network = getattr(importlib.import_module(f"atinuke.models.{module}"), name)
    chosen = {setting: getattr(cfg, setting) for setting in settings}
    built: nn.Module = network(**{setting: value for setting, value in chosen.items() if value is not None})
    return built


def __getattr__(name: str) -> Any:
    for module, class_name, _ in NETWORKS.values():
        if class_name == name:
            return getattr(importlib.import_module(f"atinuke.models.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
