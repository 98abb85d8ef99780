"""A network that `litgpt pretrain` trained, as the scorer wants it."""

from pathlib import Path

import torch
from litgpt.config import Config
from litgpt.model import GPT
from scoring import Contestant
from tokenizers import Tokenizer


def load(run: Path) -> Contestant:
    """The model and tokenizer in `run`."""
    final = run / "litgpt" / "final"
    config = Config.from_file(final / "model_config.yaml")
    model = GPT(config)
    model.load_state_dict(torch.load(final / "lit_model.pth", weights_only=False)["model"])
    model.eval()
    tokenizer = Tokenizer.from_file(str(run / "tokenizer" / "tokenizer.json"))
    return Contestant(
        logits=model,
        encode=lambda text: tokenizer.encode(text).ids,
        decode=lambda ids: tokenizer.decode(ids, skip_special_tokens=False),
        separator_id=tokenizer.token_to_id("<|endoftext|>"),
        context=config.block_size,
        params=sum(weight.numel() for weight in model.parameters()),
    )
