"""Masked text: BERT fills in hidden tokens and judges whether one half of a row follows the other."""

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from atinuke.data.batches.batch import Batch, BatchSource
from atinuke.data.batches.masked import MaskedBatches, Tokens
from atinuke.data.batches.masking import word_starts
from atinuke.errors import SourceError
from atinuke.generate.filling import fill
from atinuke.models.bert import Bert
from atinuke.models.config import ModelConfig
from atinuke.train.lessons.lesson import Autocast, mean_nats
from atinuke.train.lessons.text import TextLesson
from atinuke.train.lessons.text_scores import draw_prompts
from atinuke.train.masked_scoring import pseudo_bits_per_byte
from atinuke.train.objectives import Objective, masked_and_next_sentence
from atinuke.train.progress import Display

ESTIMATED_ROWS = 32
MASK_RATE = 0.15


class HeldOut:
    """Held-out texts as one stream of tokens, each text ended by the separator."""

    def __init__(self, texts: list[NDArray[np.int32]], end_id: int) -> None:
        self._ids = np.concatenate([np.append(ids, end_id) for ids in texts]).astype(np.int64)
        self.total_tokens = len(self._ids)

    def at(self, places: NDArray[np.int64], /) -> NDArray[np.int64]:
        """The tokens at `places`."""
        return self._ids[places]


class MaskedLesson(TextLesson):
    """Fill in what is masked: an encoder learns from both sides of each hidden token (Devlin et al. 2019)."""

    task: ClassVar[str] = "masked"
    asked: ClassVar[Objective] = staticmethod(masked_and_next_sentence)

    @property
    def bytes_per_token(self) -> float | None:
        """None: the loss is of hidden tokens alone, which see both of their sides."""
        return None

    @staticmethod
    def random_batch(network: ModelConfig, batch_seqs: int) -> Batch:
        """Rows of random tokens, for timing."""
        tokens = torch.randint(network.vocab_size, (batch_seqs, network.context))
        places = torch.arange(0, tokens.numel(), round(1 / MASK_RATE))
        segments = torch.zeros_like(tokens)
        targets = (tokens.flatten()[places], torch.zeros(batch_seqs, dtype=torch.int64))
        return Batch((tokens, segments, None, places), targets, 0, 1, tokens.numel(), places_input=3)

    def begin(self, model: nn.Module, display: Display) -> None:
        super().begin(model, display)
        if note := self._masked(self.corpus.shards, 1, 0, torch.device("cpu")).note:
            display.say(note)

    def batches(self, device: torch.device) -> BatchSource:
        assert self.config.batch_seqs is not None
        return self._masked(self.corpus.shards, self.config.batch_seqs, self.config.seed, device)

    def estimator(self, device: torch.device, autocast: Autocast) -> Callable[[nn.Module], float]:
        assert self.tokenizer is not None
        held_out = HeldOut(self.tokenizer.encode_batch(self.corpus.validation), self.tokenizer.end_id)
        try:
            batch = self._masked(held_out, ESTIMATED_ROWS, 0, device).batch(0)
        except SourceError:  # too little held-out text to draw second halves from: tokens alone are estimated
            batch = self._masked(held_out, ESTIMATED_ROWS, 0, device, next_sentence=False).batch(0)
        return mean_nats([batch], self.objective, autocast)

    def score(self, model: nn.Module, display: Display) -> dict[str, Any]:
        assert isinstance(model, Bert) and self.tokenizer is not None and self.network.mask_id is not None
        display.phase("scoring")
        score = pseudo_bits_per_byte(
            model,
            self.tokenizer,
            self.corpus.validation,
            self.network.context,
            self.network.mask_id,
            two_segments=self.config.objective.next_sentence,
        )
        display.phase("sampling")
        return {
            "score": {
                "name": "pseudo-bits per byte",
                "value": score.bits_per_byte,
                "is_better": "lower",
                "note": score.note,
            },
            "val_pseudo_bpb": score.bits_per_byte,
            "samples": [self._sample(model, prompt) for prompt in draw_prompts(self.corpus, words=9)],
        }

    @staticmethod
    def say(summary: dict[str, Any]) -> str:
        samples = "".join(f"\n── filled in ── {sample['text']}" for sample in summary["samples"])
        score = summary["score"]
        return f"{samples}\n\n{score['value']:.4f} pseudo-bits per byte. {score['note']}"

    def _sample(self, model: Bert, text: str) -> dict[str, str]:
        assert self.tokenizer is not None and self.network.mask_id is not None
        ids = [int(id) for id in self.tokenizer.encode(text)][: self.network.context - 2]  # what `fill` takes
        before, after = ids[: len(ids) // 2], ids[len(ids) // 2 + 1 :]
        hidden = [*before, self.network.mask_id, *after]
        guess = fill(model, hidden, self.tokenizer, self.network.mask_id, self.network.context, count=1)[0][0]
        shown = [self.tokenizer.decode(part) for part in (before, after)]
        return {"prompt": text, "text": f"{shown[0]}[{guess.text}]{shown[1]}"}

    def _masked(
        self, tokens: Tokens, batch_seqs: int, seed: int, device: torch.device, *, next_sentence: bool = True
    ) -> MaskedBatches:
        assert self.tokenizer is not None and self.network.mask_id is not None
        asked = self.config.objective
        return MaskedBatches(
            tokens,
            context=self.network.context,
            batch_seqs=batch_seqs,
            seed=seed,
            mask_id=self.network.mask_id,
            end_id=self.tokenizer.end_id,
            vocab_size=self.tokenizer.vocab_size,
            whole_words=asked.whole_words,
            word_starts=word_starts(self.tokenizer),
            next_sentence=asked.next_sentence and next_sentence,
            share=asked.mask_rate,
            device=device,
        )
