"""A GPT-2 that transformers' Trainer trained, as the scorer wants it."""

from pathlib import Path

from scoring import Contestant
from tokenizers import Tokenizer
from transformers import GPT2LMHeadModel


def load(run: Path) -> Contestant:
    """The model and tokenizer in `run`."""
    model = GPT2LMHeadModel.from_pretrained(run).eval()
    tokenizer = Tokenizer.from_file(str(run / "tokenizer.json"))
    return Contestant(
        logits=lambda tokens: model(tokens, use_cache=False).logits,
        encode=lambda text: tokenizer.encode(text).ids,
        decode=lambda ids: tokenizer.decode(ids, skip_special_tokens=False),
        separator_id=tokenizer.token_to_id("<|endoftext|>"),
        context=model.config.n_positions,
        params=model.num_parameters(),
    )
