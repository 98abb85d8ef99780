"""What stands behind a mask: an encoder's guesses for the hidden tokens of a text."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from atinuke.errors import ConfigError
from atinuke.generate.loading import MASK, TrainedRun
from atinuke.models.bert import Bert
from atinuke.tokenizers.tokenizer import Tokenizer


@dataclass(frozen=True)
class Guess:
    """One token for one mask."""

    text: str
    probability: float


@torch.inference_mode()
def fill(
    model: Bert, ids: Sequence[int], tokenizer: Tokenizer, mask_id: int, context: int, count: int = 5
) -> list[list[Guess]]:
    """For each `mask_id` among `ids` the `count` likeliest tokens, likeliest first; all masks are guessed at once.

    ConfigError where the text with its frame is longer than `context`.
    """
    row = [tokenizer.end_id, *ids, tokenizer.end_id]
    if len(row) > context:
        raise ConfigError(
            f"The prompt has {len(ids):,} tokens and this network sees {context - 2:,} at once; give a shorter one."
        )
    places = torch.tensor([place for place, id in enumerate(row) if id == mask_id])
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    logits = model(torch.tensor([row], device=device), places=places.to(device)).logits[:, : tokenizer.vocab_size]
    model.train(was_training)
    likeliest = logits.float().softmax(dim=-1).topk(min(count, tokenizer.vocab_size))
    return [
        [Guess(tokenizer.decode([id]), probability) for id, probability in zip(ids_of_place, chances, strict=True)]
        for ids_of_place, chances in zip(likeliest.indices.tolist(), likeliest.values.tolist(), strict=True)
    ]


def fill_prompt(trained: TrainedRun, prompt: str, count: int = 5) -> tuple[str, list[list[Guess]]]:
    """`prompt` with the likeliest token in place of each `<mask>`, and the guesses behind it.

    ConfigError for a prompt without a mask.
    """
    parts = prompt.split(MASK)
    if len(parts) == 1:
        raise ConfigError(
            f"The prompt holds no {MASK}; expected a text with one in place of what is to be filled in, "
            f'such as "The king of {MASK}".'
        )
    model, mask_id = trained.model, trained.network.mask_id
    assert isinstance(model, Bert) and mask_id is not None
    if trained.tokenizer.kind in ("bpe", "unigram"):  # a piece brings the space before it along
        parts = [part.removesuffix(" ") for part in parts[:-1]] + parts[-1:]
    ids: list[int] = []
    for number, part in enumerate(parts):
        ids += [mask_id] if number else []
        ids += [int(id) for id in trained.tokenizer.encode(part)]
    guesses = fill(model, ids, trained.tokenizer, mask_id, trained.context, count)
    filled = parts[0] + "".join(found[0].text + part for found, part in zip(guesses, parts[1:], strict=True))
    return filled, guesses
