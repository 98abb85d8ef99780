"""Networks as tasks by probability ask them: decoders in one pass, encoders with each token hidden by itself."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from atinuke.errors import ConfigError
from atinuke.generate.beam import evaluating
from atinuke.generate.loading import TrainedRun
from atinuke.run_folder import printable
from atinuke.tasks.probability.task import Likelihood, Scorer, TextLikelihood
from atinuke.tokenizers.tokenizer import Tokenizer
from atinuke.train.masked_scoring import pseudo_nats
from atinuke.train.scoring import LOGITS_PER_BATCH, TOKENS_PER_BATCH, bits_per_byte

Ids = NDArray[np.int64]


def scorer_for(trained: TrainedRun) -> Scorer:
    """The run as a scorer; ConfigError for networks that give no text a probability."""
    if trained.network.kind == "bert":
        two_segments = bool(trained.folder.read_config()["objective"]["next_sentence"])
        assert trained.network.mask_id is not None
        return EncoderScorer(
            trained.model, trained.tokenizer, trained.context, trained.network.mask_id, two_segments=two_segments
        )
    if trained.network.kind in ("seq2seq", "rnn-seq2seq") or trained.network.numbers:
        raise ConfigError(
            f"{printable(trained.folder.path)} holds a {trained.network.kind} network, which gives a text no "
            "probability; expected a run of atinuke, gpt, llama, rnn, perceptron or bert."
        )
    return DecoderScorer(trained.decoder, trained.tokenizer, trained.context)


@dataclass(frozen=True)
class DecoderScorer:
    """Each token's probability after those before it. A context that is too long loses its beginning."""

    model: nn.Module
    tokenizer: Tokenizer
    context: int
    kind: str = "log-likelihood"

    def nats(self, texts: Sequence[tuple[str, str]]) -> list[Likelihood]:
        """Context and continuation are read as one text; white space that ends a context belongs to what follows it.

        A continuation is all that the tokens of the whole have beyond as many as the context alone has, as in lm-eval.
        Without a context the document separator stands before it. One that is longer than the network's window is
        predicted in several, each token once. Bytes behind unknown words cost 8 bits each, as in bits per byte, and
        what has any is never the likeliest.
        """
        windows: list[tuple[int, Ids, int]] = []  # of which text; tokens; how many of the last ones count
        counts = []
        for number, (context, continuation) in enumerate(texts):
            row, asked = self._encode(context, continuation)
            counts.append(asked)
            windows += [(number, window, targets) for window, targets in cut(row, asked, self.context)]
        unknown = [self._unknown_bytes(*each) for each in texts]
        nats, is_greedy = [8 * math.log(2) * count for count in unknown], [count == 0 for count in unknown]
        ordered = sorted(windows, key=lambda each: -len(each[1]))
        most = min(TOKENS_PER_BATCH, LOGITS_PER_BATCH // self.tokenizer.vocab_size)
        with evaluating(self.model):
            start = 0
            while start < len(ordered):
                longest = len(ordered[start][1])
                rows = ordered[start : start + max(1, most // max(1, longest))]
                start += len(rows)
                losses, hits = self._ask([window for _, window, _ in rows])
                for place, (number, window, targets) in enumerate(rows):
                    asked_here = slice(len(window) - 1 - targets, len(window) - 1)
                    nats[number] += float(losses[place, asked_here].sum())
                    is_greedy[number] &= bool(hits[place, asked_here].all())
        return [Likelihood(*each) for each in zip(nats, is_greedy, counts, strict=True)]

    def whole(self, texts: Sequence[str]) -> list[TextLikelihood]:
        """By the code that bits per byte come from: windows of the network's context, every token once."""
        found = []
        for text in texts:
            score = bits_per_byte(self.model, self.tokenizer, [text], self.context)
            found.append(TextLikelihood(score.nats, score.tokens, score.bytes))
        return found

    def _encode(self, context: str, continuation: str) -> tuple[Ids, int]:
        """Tokens with what stands before the first predicted one, and how many of the last are asked."""
        stripped = context.rstrip()
        continuation = context[len(stripped) :] + continuation
        whole = self.tokenizer.encode(stripped + continuation).astype(np.int64)
        before = len(self.tokenizer.encode(stripped)) if stripped else 0
        row = np.concatenate([[self.tokenizer.end_id], whole]).astype(np.int64)
        return row, len(whole) - before

    def _unknown_bytes(self, context: str, continuation: str) -> int:
        stripped = context.rstrip()
        before = self.tokenizer.unknown_bytes(stripped) if stripped else 0
        return self.tokenizer.unknown_bytes(context + continuation) - before

    def _ask(self, windows: Sequence[Ids]) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
        """(N, T−1) nats of each next token, and whether it is the likeliest; padding stands at the end."""
        device = next(self.model.parameters()).device
        longest = max(len(window) for window in windows)
        tokens = torch.zeros(len(windows), longest, dtype=torch.int64)
        for row, window in enumerate(windows):
            tokens[row, : len(window)] = torch.from_numpy(window)
        tokens = tokens.to(device)
        logits: Tensor = self.model(tokens[:, :-1])[..., : self.tokenizer.vocab_size].float()
        targets = tokens[:, 1:]
        losses = F.cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="none").view(targets.shape)
        return losses.cpu().double().numpy(), (logits.argmax(dim=-1) == targets).cpu().numpy()


@dataclass(frozen=True)
class EncoderScorer:
    """Pseudo-log-likelihood: each token hidden by itself (Salazar et al. 2020, arXiv:1910.14659)."""

    model: nn.Module
    tokenizer: Tokenizer
    context: int
    mask_id: int
    two_segments: bool = False
    kind: str = "pseudo-log-likelihood"

    def nats(self, texts: Sequence[tuple[str, str]]) -> list[Likelihood]:
        """Of whole sentences; ConfigError where something stands before them, which an encoder cannot tell apart."""
        if any(context for context, _ in texts):
            raise ConfigError("An encoder says how likely a whole sentence is, not what follows another text.")
        sentences = [text for _, text in texts]
        found = pseudo_nats(
            self.model, self.tokenizer, sentences, self.context, self.mask_id, two_segments=self.two_segments
        )
        return [
            Likelihood(nats, False, len(self.tokenizer.encode(text)))
            for text, nats in zip(sentences, found, strict=True)
        ]

    def whole(self, texts: Sequence[str]) -> list[TextLikelihood]:
        """ConfigError: an encoder gives no text a probability."""
        raise ConfigError("An encoder gives no text a probability; expected a run that continues text.")


def cut(row: Ids, asked: int, context: int) -> list[tuple[Ids, int]]:
    """Windows of at most `context` + 1 tokens that together predict the last `asked` tokens of `row`, each once.

    The last window is full where the row allows it, and so is each before it; the first has what is left.
    """
    windows: list[tuple[Ids, int]] = []
    end = len(row)
    while asked > 0:
        start = max(0, end - context - 1)
        targets = min(asked, end - start - 1)
        windows.append((row[start:end], targets))
        asked -= targets
        end -= targets
    return windows[::-1]
