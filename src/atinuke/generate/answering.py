"""The answer after a picture, a sound or a text: which of the known labels, how sure, and what is written freely."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from atinuke.data.example_set import ExampleSet
from atinuke.generate.beam import evaluating
from atinuke.models.decoder import Decoder
from atinuke.models.layers.prefix import Prefix
from atinuke.run_folder import RunFolder

MOST_COMPARED = 256
"""So many labels of several tokens are compared with each other: each costs a reading of every example."""


@dataclass(frozen=True)
class Answers:
    """The labels that are known, as ids; a label's text is what `tokenizer.decode` makes of them."""

    ids: Sequence[Sequence[int]]
    end_id: int

    @property
    def are_single(self) -> bool:
        """Whether each label is one token: one reading of a row then tells of all labels."""
        return all(len(ids) == 1 for ids in self.ids)

    @property
    def are_compared(self) -> bool:
        """Whether the likeliest label is the answer; else the label that is written token by token, if any is."""
        return self.are_single or len(self.ids) <= MOST_COMPARED

    def choose(
        self,
        model: Decoder,
        tokens: Int[Tensor, "B T"],
        starts: Int[Tensor, " B"],
        prefix: Prefix | None,
        *,
        vocab_size: int,
    ) -> list[tuple[int, Sequence[int]]]:
        """Of each row the number of its label and the ids of its answer; −1 where what is written is no label."""
        if self.are_compared:
            numbers = self.log_chances(model, tokens, starts, prefix).argmax(dim=1).tolist()
            return [(number, self.ids[number]) for number in numbers]
        longest = max(map(len, self.ids))
        tokens, starts = _fitted(tokens, starts, longest, model.max_len)
        # one more than the longest: what goes on behind a label is not this label
        found = write_answers(
            model, tokens, starts, prefix, end_id=self.end_id, vocab_size=vocab_size, most=longest + 1
        )
        number_of = {tuple(ids): number for number, ids in reversed(list(enumerate(self.ids)))}
        return [(number_of.get(tuple(ids), -1), ids) for ids in found]

    def log_chances(
        self, model: Decoder, tokens: Int[Tensor, "B T"], starts: Int[Tensor, " B"], prefix: Prefix | None
    ) -> Float[Tensor, "B C"]:
        """ln of the chance of each label, the labels alone being possible.

        `starts`: the place of the end token after which the answer begins; what stands behind it does not matter.
        A label's chance is the product over its tokens, and over the end after them where labels have several tokens.
        """
        with evaluating(model):
            if self.are_single:
                logits = _logits(model, tokens, starts[:, None], prefix)[:, 0]
                chosen = torch.tensor([ids[0] for ids in self.ids], device=tokens.device)
                return logits[:, chosen].log_softmax(dim=-1)
            tokens, starts = _fitted(tokens, starts, max(map(len, self.ids)), model.max_len)
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
        rows = _with_room(tokens, starts, len(ids), self.end_id)
        places = starts[:, None] + torch.arange(len(ids) + 1, device=tokens.device)
        targets = torch.tensor([*ids, self.end_id], device=tokens.device).expand(len(tokens), -1)
        rows.scatter_(1, places[:, 1:], targets[:, :-1])
        log_chances = _logits(model, rows, places, prefix).log_softmax(dim=-1)
        return log_chances.gather(2, targets[..., None])[..., 0].sum(dim=1)


def write_answer(
    model: Decoder, prompt: Sequence[int], prefix: Prefix | None, *, end_id: int, vocab_size: int, most: int
) -> list[int]:
    """What the network writes after one prompt and prefix, always the likeliest token, until it ends or `most`."""
    device = next(model.parameters()).device
    row = torch.tensor([[*prompt, end_id]], device=device)
    start = torch.tensor([len(prompt)], device=device)
    return write_answers(model, row, start, prefix, end_id=end_id, vocab_size=vocab_size, most=most)[0]


def write_answers(
    model: Decoder,
    tokens: Int[Tensor, "B T"],
    starts: Int[Tensor, " B"],
    prefix: Prefix | None,
    *,
    end_id: int,
    vocab_size: int,
    most: int,
) -> list[list[int]]:
    """As `write_answer`, for many rows at once; `tokens` and `starts` are those of `Answers.log_chances`."""
    rows = _with_room(tokens, starts, most, end_id)
    length = int(starts.max()) + 1
    written = torch.full((len(rows), most), end_id, dtype=torch.int64, device=rows.device)
    has_ended = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
    with evaluating(model):
        for place in range(most):
            at = (starts + place)[:, None]
            found = _logits(model, rows[:, : length + place], at, prefix)[:, 0, :vocab_size].argmax(dim=-1)
            found[has_ended] = end_id
            has_ended |= found == end_id
            if has_ended.all():
                break
            written[:, place] = found
            rows.scatter_(1, at + 1, found[:, None])
    return [ids[: ids.index(end_id)] if end_id in ids else ids for ids in written.tolist()]


def known_labels(folder: RunFolder) -> Sequence[str]:
    """The labels that a run was trained on: all of them where its data/ is there, else those in its summary."""
    summary = folder.read_summary()
    labels: list[str] = summary.get("labels") or []
    if folder.data.is_dir() and summary.get("data", {}).get("labels", 0) > len(labels):
        return ExampleSet.open(folder.data, verify=False).labels
    return labels


def _logits(
    model: Decoder, tokens: Int[Tensor, "B T"], places: Int[Tensor, "B N"], prefix: Prefix | None
) -> Float[Tensor, "B N V"]:
    """Logits at some places of each row: the read-out of all is the largest product, and the most memory."""
    flat = torch.arange(len(tokens), device=tokens.device)[:, None] * tokens.shape[1] + places
    found: Tensor = model(tokens, None, "causal", prefix, flat.flatten())
    return found.float().view(*places.shape, -1)


def _with_room(tokens: Int[Tensor, "B T"], starts: Int[Tensor, " B"], count: int, end_id: int) -> Int[Tensor, "B L"]:
    """The rows up to where `count` tokens behind the last start end; what a row lacks is filled with ends."""
    rows = torch.full((len(tokens), int(starts.max()) + 1 + count), end_id, dtype=torch.int64, device=tokens.device)
    kept = min(rows.shape[1], tokens.shape[1])
    rows[:, :kept] = tokens[:, :kept]
    return rows


def _fitted(
    tokens: Int[Tensor, "B T"], starts: Int[Tensor, " B"], count: int, max_len: int
) -> tuple[Int[Tensor, "B T"], Int[Tensor, " B"]]:
    """Rows behind whose starts `count` tokens fit into `max_len`: of a prompt that is too long the beginning goes."""
    excess = (starts + 1 + count - max_len).clamp(min=0)
    if not excess.any():
        return tokens, starts
    places = torch.arange(tokens.shape[1], device=tokens.device) + excess[:, None]
    return tokens.gather(1, places.clamp(max=tokens.shape[1] - 1)), starts - excess
