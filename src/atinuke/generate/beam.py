"""Greedy and beam search: the likeliest continuations instead of a drawn one, for many texts at once.

One search serves encoder-decoders and decoders through two calls (`Steps`): the logits to begin with, and those after
rows have been exchanged and each has got a token. Beam search is that of transformers' `generate(num_beams=…)`; the
tests compare them, ids and scores.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from atinuke.models.decoder import Decoder
from atinuke.models.seq2seq import Seq2Seq

EarlyStopping = bool | Literal["never"]


@dataclass(frozen=True)
class Hypothesis:
    """A text that the search has come to."""

    ids: list[int]
    """Without the token that began it and the one that ended it."""
    score: float
    """Σ ln p of its tokens, the ending one too, divided by their number to the power of the length penalty."""
    is_finished: bool
    """Whether it ended by itself; False where `max_tokens` cut it off."""


@dataclass(frozen=True)
class SearchRules:
    """How beam search goes on and when it stops."""

    end_id: int
    max_tokens: int
    """Most tokens of a text, the ending one included."""
    beam: int = 5
    """How many beginnings of each text are kept."""
    length_penalty: float = 1.0
    """Above 0: long texts are not at a disadvantage for having more factors; 0: the plain product decides."""
    early_stopping: EarlyStopping = False
    """When a text that has `beam` finished hypotheses is done. True: then. False: when its best open beginning could
    not enter them at its present length. "never": when it could not at any length up to `max_tokens`."""

    def __post_init__(self) -> None:
        if self.beam < 1 or self.max_tokens < 1:
            raise ValueError(
                f"beam is {self.beam} and max_tokens is {self.max_tokens}; each must be 1 or more, "
                "for example beam=5 and max_tokens=100."
            )


@runtime_checkable
class Steps(Protocol):
    """A network that continues texts; row by row, the rows of one text one after another, equally many for each."""

    def begin(self) -> Float[Tensor, "N V"]:
        """Logits of the first token of each of the N texts."""

    def advance(self, rows: Int[Tensor, " R"], tokens: Int[Tensor, " R"]) -> Float[Tensor, "R V"]:
        """Row r goes on from what row `rows[r]` was until now, by `tokens[r]`; logits of the token after that."""


class Seq2SeqSteps:
    """Targets of an encoder-decoder, from `start_id` on. A text that no row continues is dropped from the memory."""

    def __init__(
        self,
        model: Seq2Seq,
        source: Int[Tensor, "N S"],
        is_source: Bool[Tensor, "N S"],
        *,
        start_id: int,
        max_tokens: int,
    ) -> None:
        self._model = model
        self._all = self._memory = model.encode(source, is_source)
        self._texts = torch.arange(len(source), device=source.device)  # of each row
        self._start = source.new_full((len(source), 1), start_id)
        self._cache = model.new_cache(len(source), max_tokens)

    def begin(self) -> Float[Tensor, "N V"]:
        """Logits after `start_id`."""
        return self._model.decode(self._start, self._memory, self._cache)[:, -1]

    def advance(self, rows: Int[Tensor, " R"], tokens: Int[Tensor, " R"]) -> Float[Tensor, "R V"]:
        """Logits of the next token of each row."""
        if not _is_identity(rows, len(self._texts)):
            self._cache.select(rows)
            self._texts = self._texts[rows]
            texts: Tensor = torch.unique_consecutive(self._texts)
            if len(texts) != len(self._memory.states):
                self._memory = self._all.select(texts)
        return self._model.decode(tokens[:, None], self._memory, self._cache)[:, -1]


class DecoderSteps:
    """Continuations of prompts of equal length by a decoder, as where source, separator and target stand in a row."""

    def __init__(self, model: Decoder, prompts: Int[Tensor, "N T"], *, max_tokens: int) -> None:
        self._model, self._prompts = model, prompts
        self._rows = len(prompts)
        self._cache = model.new_cache(len(prompts), prompts.shape[1] + max_tokens)

    def begin(self) -> Float[Tensor, "N V"]:
        """Logits after the prompts."""
        return self._model(self._prompts, self._cache)[:, -1]

    def advance(self, rows: Int[Tensor, " R"], tokens: Int[Tensor, " R"]) -> Float[Tensor, "R V"]:
        """Logits of the next token of each row."""
        if not _is_identity(rows, self._rows):
            self._cache.select(rows)
            self._rows = len(rows)
        return self._model(tokens[:, None], self._cache)[:, -1]


def greedy(
    model: Seq2Seq,
    source: Int[Tensor, "B S"],
    is_source: Bool[Tensor, "B S"],
    *,
    start_id: int,
    end_id: int,
    max_tokens: int,
) -> list[Hypothesis]:
    """The likeliest token at every step, for each source; scores with a length penalty of 1."""
    with evaluating(model):
        steps = Seq2SeqSteps(model, source, is_source, start_id=start_id, max_tokens=max_tokens)
        return greedy_steps(steps, SearchRules(end_id, max_tokens, beam=1))


def beam_search(
    model: Seq2Seq,
    source: Int[Tensor, "B S"],
    is_source: Bool[Tensor, "B S"],
    *,
    start_id: int,
    end_id: int,
    max_tokens: int,
    beam: int = 5,
    length_penalty: float = 1.0,
    early_stopping: EarlyStopping = False,
) -> list[list[Hypothesis]]:
    """For each source up to `beam` targets, the best first."""
    rules = SearchRules(end_id, max_tokens, beam, length_penalty, early_stopping)
    with evaluating(model):
        steps = Seq2SeqSteps(model, source, is_source, start_id=start_id, max_tokens=max_tokens)
        return search_steps(steps, rules)


def beam_search_prompts(
    model: Decoder,
    prompts: Int[Tensor, "B T"],
    *,
    end_id: int,
    max_tokens: int,
    beam: int = 5,
    length_penalty: float = 1.0,
    early_stopping: EarlyStopping = False,
) -> list[list[Hypothesis]]:
    """For each prompt (all of one length) up to `beam` continuations, the best first."""
    rules = SearchRules(end_id, max_tokens, beam, length_penalty, early_stopping)
    with evaluating(model):
        return search_steps(DecoderSteps(model, prompts, max_tokens=max_tokens), rules)


def write_all(
    model: Seq2Seq | Decoder,
    texts: Sequence[Sequence[int]],
    rules: SearchRules,
    *,
    start_id: int | None = None,
    batch_rows: int = 320,
) -> list[Hypothesis]:
    """The best hypothesis for each of `texts`, in their order: sources, or prompts of a decoder. A beam of 1 is greedy.

    Texts of like length go together, `batch_rows` beginnings at a time; for a decoder only those of the same length.
    `start_id` begins a target (by default `rules.end_id`).
    """
    for number, text in enumerate(texts, 1):
        if not text:
            raise ValueError(f"text {number} of {len(texts)} has no tokens; there is nothing to continue or translate.")
    found: dict[int, Hypothesis] = {}
    device = next(model.parameters()).device
    with evaluating(model):
        for batch in _batches(texts, max(1, batch_rows // rules.beam), same_length=isinstance(model, Decoder)):
            rows = [torch.tensor(texts[number], device=device) for number in batch]
            ids = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=rules.end_id)
            steps: Steps
            if isinstance(model, Decoder):
                steps = DecoderSteps(model, ids, max_tokens=rules.max_tokens)
            else:
                lengths = torch.tensor([len(row) for row in rows], device=device)
                is_source = torch.arange(ids.shape[1], device=device) < lengths[:, None]
                first = start_id if start_id is not None else rules.end_id
                steps = Seq2SeqSteps(model, ids, is_source, start_id=first, max_tokens=rules.max_tokens)
            best = greedy_steps(steps, rules) if rules.beam == 1 else [all[0] for all in search_steps(steps, rules)]
            found.update(zip(batch, best, strict=True))
    return [found[number] for number in range(len(texts))]


def _batches(texts: Sequence[Sequence[int]], most: int, *, same_length: bool) -> Iterator[list[int]]:
    """Numbers of texts that go together, the longest first: if memory does not suffice, it shows at once."""
    batch: list[int] = []
    for number in sorted(range(len(texts)), key=lambda number: -len(texts[number])):
        is_other = same_length and batch and len(texts[number]) != len(texts[batch[0]])
        if len(batch) == most or is_other:
            yield batch
            batch = []
        batch.append(number)
    if batch:
        yield batch


def greedy_steps(steps: Steps, rules: SearchRules) -> list[Hypothesis]:
    """The likeliest token at every step. Of the rules, the beam and early stopping do not matter."""
    logits = steps.begin()
    texts = torch.arange(len(logits), device=logits.device)
    written = texts.new_zeros(len(logits), 0)
    totals = logits.new_zeros(len(logits), dtype=torch.float32)
    found: dict[int, Hypothesis] = {}
    for length in range(1, rules.max_tokens + 1):
        top, tokens = logits.float().max(dim=-1)
        totals = totals + top - logits.float().logsumexp(dim=-1)
        written = torch.cat([written, tokens[:, None]], dim=1)
        is_done = (tokens == rules.end_id) | (length == rules.max_tokens)
        for row in is_done.nonzero()[:, 0].tolist():
            score = totals[row].item() / length**rules.length_penalty
            found[int(texts[row])] = _hypothesis(written[row].tolist(), score, rules.end_id)
        rows = (~is_done).nonzero()[:, 0]
        if not len(rows):
            break
        texts, written, totals = texts[rows], written[rows], totals[rows]
        logits = steps.advance(rows, tokens[rows])
    return [found[text] for text in range(len(found))]


def search_steps(steps: Steps, rules: SearchRules) -> list[list[Hypothesis]]:
    """For each text up to `beam` hypotheses, the best first."""
    logits = steps.begin()
    device, kept = logits.device, rules.beam
    texts = torch.arange(len(logits), device=device)
    # (N, k, …) each; of the open beginnings there is only one at first
    totals = torch.zeros(len(logits), 1, device=device)
    written = texts.new_zeros(len(logits), 1, 0)
    finished = _Finished(len(logits), rules, device)
    found: dict[int, list[Hypothesis]] = {}
    for length in range(1, rules.max_tokens + 1):
        best, origins, tokens = _best_continuations(logits, totals, 2 * kept)
        longer = torch.cat([written.take_along_dim(origins[..., None], 1), tokens[..., None]], dim=-1)
        is_end = (tokens == rules.end_id) | (length == rules.max_tokens)
        # one that ends among the worse half does not count: there are k better beginnings
        finished.add(best[:, :kept].masked_fill(~is_end[:, :kept], -torch.inf), longer[:, :kept])
        totals, places = best.masked_fill(is_end, -torch.inf).topk(kept)
        is_done = finished.are_final(totals[:, 0], length) | (length == rules.max_tokens)
        for row in is_done.nonzero()[:, 0].tolist():
            found[int(texts[row])] = finished.hypotheses(row)
        going_on = (~is_done).nonzero()[:, 0]
        if not len(going_on):
            break
        # rows are counted through all texts: text · (beginnings of each) + beginning
        rows = origins.take_along_dim(places, 1) + written.shape[1] * torch.arange(len(texts), device=device)[:, None]
        rows = rows[going_on]
        texts, totals, places = texts[going_on], totals[going_on], places[going_on]
        written = longer[going_on].take_along_dim(places[..., None], 1)
        finished.keep(going_on)
        logits = steps.advance(rows.flatten(), written[..., -1].flatten())
    return [found[text] for text in range(len(found))]


class _Finished:
    """The `beam` best finished texts of each of N, sorted; −∞ stands for one that is not there yet."""

    def __init__(self, texts: int, rules: SearchRules, device: torch.device) -> None:
        self._rules = rules
        self._scores = torch.full((texts, rules.beam), -torch.inf, device=device)
        self._ids = torch.full((texts, rules.beam, rules.max_tokens), rules.end_id, device=device)
        self._lengths = torch.zeros(texts, rules.beam, dtype=torch.long, device=device)

    def add(self, totals: Float[Tensor, "N k"], ids: Int[Tensor, "N k T"]) -> None:
        """Candidates of one length, T; a total of −∞ is none."""
        length = ids.shape[-1]
        if not (totals > -torch.inf).any():
            return
        padded = nn.functional.pad(ids, (0, self._rules.max_tokens - length), value=self._rules.end_id)
        scores = torch.cat([self._scores, totals / length**self._rules.length_penalty], dim=1)
        self._scores, places = scores.topk(self._rules.beam)
        self._ids = torch.cat([self._ids, padded], dim=1).take_along_dim(places[..., None], 1)
        self._lengths = torch.cat([self._lengths, torch.full_like(places, length)], dim=1).take_along_dim(places, 1)

    def are_final(self, best_open: Float[Tensor, " N"], length: int) -> Bool[Tensor, " N"]:
        """Of which texts there are enough, given the total of the best open beginning, `length` tokens long."""
        rules, worst = self._rules, self._scores[:, -1]
        is_full = worst > -torch.inf
        if rules.early_stopping is True:
            return is_full
        is_patient = rules.early_stopping == "never" and rules.length_penalty > 0
        best_possible = best_open / (rules.max_tokens if is_patient else length) ** rules.length_penalty
        return is_full & (best_possible <= worst)

    def keep(self, texts: Int[Tensor, " n"]) -> None:
        """Forgets all others."""
        self._scores, self._ids, self._lengths = self._scores[texts], self._ids[texts], self._lengths[texts]

    def hypotheses(self, text: int) -> list[Hypothesis]:
        """What there is for one text, the best first."""
        rows = zip(self._ids[text].tolist(), self._scores[text].tolist(), self._lengths[text].tolist(), strict=True)
        return [
            _hypothesis(ids[:length], score, self._rules.end_id) for ids, score, length in rows if score > -torch.inf
        ]


def _best_continuations(
    logits: Float[Tensor, "R V"], totals: Float[Tensor, "N k"], most: int
) -> tuple[Float[Tensor, "N m"], Int[Tensor, "N m"], Int[Tensor, "N m"]]:
    """The `most` best of a text's k·V: Σ ln p, the beginning that each goes on from, and the token; best first.

    The best of each beginning are enough, and a softmax moves none: only what is chosen is normalised. In float32,
    as bfloat16 would make many of them equal.
    """
    texts, beginnings = totals.shape
    logits = logits.float()
    top, tokens = logits.topk(min(most, logits.shape[-1]))
    sums = totals[..., None] + (top - logits.logsumexp(dim=-1, keepdim=True)).view(texts, beginnings, -1)
    sums, tokens = sums.flatten(1), tokens.view(texts, -1)
    width = sums.shape[1] // beginnings
    if sums.shape[1] < most:  # fewer tokens than places in the beam
        sums = nn.functional.pad(sums, (0, most - sums.shape[1]), value=-torch.inf)
        tokens = nn.functional.pad(tokens, (0, most - tokens.shape[1]))
    best, places = sums.topk(most)
    return best, (places // width).clamp(max=beginnings - 1), tokens.take_along_dim(places, 1)


def _hypothesis(ids: list[int], score: float, end_id: int) -> Hypothesis:
    is_finished = ids[-1] == end_id
    return Hypothesis(ids[:-1] if is_finished else ids, score, is_finished)


def _is_identity(rows: Int[Tensor, " R"], count: int) -> bool:
    return len(rows) == count and torch.equal(rows, torch.arange(count, device=rows.device))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Without dropout and without gradients while the block runs."""
    was_training = model.training
    model.eval()
    try:
        with torch.inference_mode():
            yield
    finally:
        model.train(was_training)
