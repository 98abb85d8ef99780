"""Our own run, as the scorer wants it: the cross-check of `val_bpb` in summary.json."""

from pathlib import Path

from scoring import Contestant

import atinuke


def load(run: Path) -> Contestant:
    """The model and tokenizer in `run`."""
    trained = atinuke.load(run)
    model, tokenizer = trained.model, trained.tokenizer
    device = next(model.parameters()).device
    return Contestant(
        logits=lambda tokens: model(tokens.to(device))[..., : tokenizer.vocab_size].cpu(),
        encode=lambda text: tokenizer.encode(text).tolist(),
        decode=tokenizer.decode,
        separator_id=tokenizer.end_id,
        context=trained.network.context,
        params=sum(weight.numel() for weight in model.parameters()),
    )
