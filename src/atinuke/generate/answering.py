"""The answer after a picture, a sound or a text: which of the known labels, how sure, and what is written freely."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor

from atinuke.data.batches.batch import IGNORE
from atinuke.generate.beam import evaluating
from atinuke.models.decoder import Decoder
from atinuke.models.layers.prefix import Prefix

ROWS_AT_ONCE = 256


@dataclass(frozen=True)
class Answers:
    """The labels that are known, as ids; a label's text is what `tokenizer.decode` makes of them."""

    ids: Sequence[Sequence[int]]
    end_id: int

    @property
    def are_single(self) -> bool:
        """Whether each label is one token: one reading of a row then tells of all labels."""
        return all(len(ids) == 1 for ids in self.ids)

    def log_chances(
        self, model: Decoder, tokens: Int[Tensor, "B T"], starts: Int[Tensor, " B"], prefix: Prefix | None
    ) -> Float[Tensor, "B C"]:
        """ln of the chance of each label, the labels alone being possible.

        `starts`: the place of the end token after which the answer begins; what stands behind it does not matter.
        A label's chance is the product over its tokens, and over the end after them where labels have several tokens.
        """
        with evaluating(model):
            if self.are_single:
                rows = torch.arange(len(tokens), device=tokens.device)
                logits = model(tokens, None, "causal", prefix)[rows, starts].float()
                chosen = torch.tensor([ids[0] for ids in self.ids], device=tokens.device)
                return logits[:, chosen].log_softmax(dim=-1)
            sums = [self._sum(model, tokens, starts, prefix, ids) for ids in self.ids]
            return torch.stack(sums, dim=1).log_softmax(dim=-1)

    def _sum(
        self,
        model: Decoder,
        tokens: Int[Tensor, "B T"],
        starts: Int[Tensor, " B"],
        prefix: Prefix | None,
        ids: Sequence[int],
    ) -> Float[Tensor, " B"]:
        """Σ ln p of the tokens of one label and of the end."""
        length = int(starts.max()) + 1 + len(ids)
        row = torch.full((len(tokens), length), self.end_id, dtype=torch.int64, device=tokens.device)
        kept = min(length, tokens.shape[1])
        row[:, :kept] = tokens[:, :kept]
        targets = torch.full_like(row, IGNORE)
        for place, id in enumerate([*ids, self.end_id]):
            at = (starts + place)[:, None]
            targets.scatter_(1, at, id)
            if place < len(ids):
                row.scatter_(1, at + 1, id)
        log_chances = model(row, None, "causal", prefix).float().log_softmax(dim=-1)
        counted = targets != IGNORE
        chosen = log_chances.gather(2, targets.clamp(min=0)[..., None])[..., 0]
        return (chosen * counted).sum(dim=1)


def write_answer(
    model: Decoder, prompt: Sequence[int], prefix: Prefix | None, *, end_id: int, vocab_size: int, most: int
) -> list[int]:
    """What the network writes after one prompt and prefix, always the likeliest token, until it ends or `most`."""
    device = next(model.parameters()).device
    row = torch.tensor([[*prompt, end_id]], device=device)
    written: list[int] = []
    with evaluating(model):
        while len(written) < most:
            token = int(model(row, None, "causal", prefix)[0, -1, :vocab_size].argmax())
            if token == end_id:
                break
            written.append(token)
            row = torch.cat([row, row.new_tensor([[token]])], dim=1)
    return written


def rows_of(prefix: Prefix | None, start: int, end: int) -> Prefix | None:
    """Some rows of a prefix."""
    if prefix is None:
        return None
    lengths = None if prefix.lengths is None else prefix.lengths[start:end]
    return replace(prefix, values=prefix.values[start:end], lengths=lengths)
