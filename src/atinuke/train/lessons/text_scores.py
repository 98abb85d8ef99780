"""What is known of a text model once it has trained: its score, a baseline, samples, what it copied."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
import torch
from torch import nn

from atinuke.data.corpus import Corpus
from atinuke.generate.decode import generate_text
from atinuke.generate.sampling import SamplingRules
from atinuke.models.decoder import Decoder
from atinuke.tokenizers.tokenizer import Tokenizer
from atinuke.train.config import TrainConfig
from atinuke.train.ngram import copied_share, five_gram_bpb
from atinuke.train.progress import Display
from atinuke.train.scoring import Score, bits_per_byte

SAMPLE_TOKENS = 160
SAMPLE_COUNT = 3
COMPARED_BYTES = 32_000_000
"""Training text that the baseline is counted on and copies are looked for in, at most."""
GAP_BYTES = 200_000
ESTIMATED_TOKENS = 2048
"""Tokens per forward pass of an estimate."""


def score_text(
    model: nn.Module, tokenizer: Tokenizer, corpus: Corpus, context: int, cfg: TrainConfig, display: Display
) -> dict[str, Any]:
    """Bits per byte of held-out and training text, a baseline, samples, and what those copied."""
    assert isinstance(model, Decoder)
    display.phase("scoring")
    held_out = score_held_out(model, tokenizer, corpus, context)
    training = score_some_training_text(model, tokenizer, corpus, context)
    display.phase("sampling")
    samples = draw_samples(model, tokenizer, corpus, context, cfg)
    completions = [sample["text"] for sample in samples]
    copied, total = copied_share(completions, training_texts(corpus, tokenizer))
    return score_figures(held_out, training) | {
        "baseline_5gram_bpb": baseline_bpb(tokenizer, corpus),
        "copied_8grams": {"copied": copied, "total": total},
        "samples": samples,
    }


def score_figures(held_out: Score, training: Score) -> dict[str, Any]:
    """The two scores in the words of summary.json."""
    return {
        "val_bpb": held_out.bits_per_byte,
        "val_bytes": held_out.bytes,
        "val_token_perplexity": held_out.token_perplexity,
        "val_word_perplexity": held_out.word_perplexity,
        "train_bpb": training.bits_per_byte,
        "gap_bpb": held_out.bits_per_byte - training.bits_per_byte,
    }


def baseline_bpb(tokenizer: Tokenizer, corpus: Corpus) -> float | None:
    """What a byte 5-gram reaches on the same text; None where the shards no longer hold the text itself."""
    if not tokenizer.is_lossless:
        return None
    return five_gram_bpb(
        (text.encode() for text in training_texts(corpus, tokenizer)),
        [text.encode() for text in corpus.validation],
        max_train_bytes=COMPARED_BYTES,
    )


def say_scores(summary: dict[str, Any]) -> str:
    """The figures and samples of a finished run."""
    copied = summary["copied_8grams"]
    baseline = summary["baseline_5gram_bpb"]
    against = "no 5-gram to compare with" if baseline is None else f"a byte 5-gram reaches {baseline:.4f}"
    share = f"{100 * copied['copied'] / copied['total']:.1f} %" if copied["total"] else "not measured"
    samples = "".join(
        f"\n── sample ── {sample['prompt'].strip()!r}\n{sample['prompt']}{sample['text']}\n"
        for sample in summary["samples"]
    )
    return (
        f"{samples}\n{summary['val_bpb']:.4f} bits per byte on {summary['val_bytes']:,} held-out bytes "
        f"(training text {summary['train_bpb']:.4f}, gap {summary['gap_bpb']:+.4f}; "
        f"{against}).\nCopied 8-grams in samples: {share}."
    )


def score_held_out(model: Decoder, tokenizer: Tokenizer, corpus: Corpus, context: int) -> Score:
    """Bits per byte of the whole held-out text, by the protocol of docs/evaluate.md."""
    return bits_per_byte(model, tokenizer, corpus.validation, context, preceding_ids=preceding_ids(corpus))


def score_some_training_text(model: Decoder, tokenizer: Tokenizer, corpus: Corpus, context: int) -> Score:
    """The same on the first bytes of the training text, to compare with."""
    texts, left = [], GAP_BYTES
    for text in training_texts(corpus, tokenizer):
        texts.append(text[:left])
        left -= len(text)
        if left <= 0:
            break
    return bits_per_byte(model, tokenizer, texts, context)


def preceding_ids(corpus: Corpus) -> np.ndarray | None:
    """What comes before the held-out text: the last training token of a single text; nothing for documents."""
    if not corpus.is_single_text:
        return None
    return corpus.shards.window(corpus.shards.total_tokens - 1, 1)


def training_texts(corpus: Corpus, tokenizer: Tokenizer, piece_tokens: int = 250_000) -> Iterator[str]:
    """The training text as it was encoded, in pieces that end where a document does when one ends soon enough."""
    start, total = 0, corpus.shards.total_tokens
    while start < total:
        ids = corpus.shards.window(start, min(piece_tokens, total - start))
        ends = np.flatnonzero(ids == tokenizer.end_id)
        if start + len(ids) < total and len(ends):
            ids = ids[: ends[-1] + 1]
        start += len(ids)
        yield tokenizer.decode(ids)


def estimate_loss(
    model: nn.Module, windows: torch.Tensor, autocast: Callable[[], AbstractContextManager[object]]
) -> float:
    """Mean nats per target over a few held-out windows (N, T + 1): an estimate, the same windows every time."""
    was_training = model.training
    model.eval()
    nats = 0.0
    with torch.inference_mode(), autocast():
        for batch in torch.split(windows, max(1, ESTIMATED_TOKENS // windows.shape[1])):
            logits = model(batch[:, :-1]).float()
            nats += torch.nn.functional.cross_entropy(
                logits.flatten(0, 1), batch[:, 1:].flatten(), reduction="sum"
            ).item()
    model.train(was_training)
    return nats / windows[:, 1:].numel()


def held_out_windows(tokenizer: Tokenizer, corpus: Corpus, context: int, count: int) -> torch.Tensor:
    """Up to `count` windows (N, context + 1), spread evenly over the held-out text."""
    ids = np.concatenate([np.append(tokenizer.encode(text), tokenizer.end_id) for text in corpus.validation])
    length = min(context, len(ids) - 1)
    starts = np.unique(np.linspace(0, len(ids) - length - 1, count).astype(np.int64))
    return torch.from_numpy(ids[starts[:, None] + np.arange(length + 1)].astype(np.int64))


def draw_samples(
    model: Decoder, tokenizer: Tokenizer, corpus: Corpus, context: int, cfg: TrainConfig
) -> list[dict[str, str]]:
    """Completions of the asked-for prompts, or of beginnings found in the held-out text."""
    model.eval()
    prompts = list(cfg.sample_prompts) or draw_prompts(corpus, words=3)
    return [
        {
            "prompt": prompt,
            "text": "".join(
                generate_text(
                    model,
                    tokenizer,
                    prompt,
                    tokens=SAMPLE_TOKENS,
                    rules=SamplingRules(temperature=0.8),
                    seed=cfg.seed + number,
                    context=context,
                )
            ),
        }
        for number, prompt in enumerate(prompts)
    ]


def draw_prompts(corpus: Corpus, words: int) -> list[str]:
    """The first words of lines spread over the held-out text."""
    lines = [line for text in corpus.validation for line in text.splitlines() if len(line.split()) >= words]
    if not lines:
        return [""]
    chosen = [lines[(2 * number + 1) * len(lines) // (2 * SAMPLE_COUNT)] for number in range(SAMPLE_COUNT)]
    return [line[: _end_of_word(line, words)] for line in dict.fromkeys(chosen)]


def _end_of_word(line: str, words: int) -> int:
    """Where the first `words` words of the line end, indentation included."""
    end = len(line) - len(line.lstrip())
    for _ in range(words):
        rest = line[end:].lstrip()
        end = len(line) - len(rest) + len(rest.split(maxsplit=1)[0]) if rest else end
    return end
