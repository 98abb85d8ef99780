"""An x-transformers decoder, as the scorer wants it; `build` is shared with its training."""

from pathlib import Path
from typing import Any

import torch
from scoring import Contestant
from tokenizers import Tokenizer
from x_transformers import AutoregressiveWrapper, Decoder, TransformerWrapper


def build(settings: dict[str, Any], vocab_size: int) -> AutoregressiveWrapper:
    """The network of the settings."""
    layers = Decoder(
        dim=settings["width"], depth=settings["layers"], heads=settings["heads"], **settings.get("decoder", {})
    )
    wrapper = TransformerWrapper(
        num_tokens=vocab_size, max_seq_len=settings["context"], attn_layers=layers, **settings.get("wrapper", {})
    )
    return AutoregressiveWrapper(wrapper)


def load(run: Path) -> Contestant:
    """The model and tokenizer in `run`."""
    saved = torch.load(run / "model.pt", weights_only=True)
    tokenizer = Tokenizer.from_file(str(run / "tokenizer.json"))
    model = build(saved["settings"], tokenizer.get_vocab_size())
    model.load_state_dict(saved["weights"])
    model.eval()
    return Contestant(
        logits=lambda tokens: model.net(tokens),
        encode=lambda text: tokenizer.encode(text).ids,
        decode=lambda ids: tokenizer.decode(ids, skip_special_tokens=False),
        separator_id=tokenizer.token_to_id("<|endoftext|>"),
        context=saved["settings"]["context"],
        params=sum(weight.numel() for weight in model.parameters()),
    )
