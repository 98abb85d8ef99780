"""One scorer for every racer: bits per byte of a held-out text, whatever the network and the tokenizer.

    ENVIRONMENT/bin/python benchmarks/peers/scoring.py --peer hf --run RUN --corpus CORPUS

Summed nats / (ln 2 × UTF-8 bytes), teacher-forced, float32, in non-overlapping windows of the network's own context;
each window's input begins with the token before its first target, and every byte is scored once. The first token of a
document is predicted from the separator, that of a single text's end from the last token of the training text.
A racer gives no more than logits and a tokenizer: `peers/<racer>/model.py` has `load(run) -> Contestant`.
"""

import argparse
import importlib.util
import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

TOKENS_PER_BATCH = 4096


@dataclass(frozen=True)
class Contestant:
    """What the scorer needs of a trained model."""

    logits: Callable[[Tensor], Tensor]
    """Tokens (B, T) → logits (B, T, V); the logits at t may depend on tokens up to t only."""
    encode: Callable[[str], Sequence[int]]
    decode: Callable[[Sequence[int]], str]
    separator_id: int
    context: int
    """Tokens that the network was trained to see at once."""
    params: int


@dataclass(frozen=True)
class Score:
    """How well some text was predicted."""

    nats: float
    bytes: int
    tokens: int

    @property
    def bits_per_byte(self) -> float:
        """nats / (ln 2 × bytes)."""
        return self.nats / math.log(2) / self.bytes


def score(contestant: Contestant, texts: Sequence[str], *, before: str = "") -> Score:
    """The score of `texts`, each a document of its own; `before` is the text that the first one goes on from.

    ValueError when a text does not come back from its tokens: a tokenizer that drops text would score too well.
    """
    nats, byte_count, token_count = 0.0, 0, 0
    previous = contestant.encode(before)[-1] if before else contestant.separator_id
    for text in texts:
        ids = list(contestant.encode(text))
        if contestant.decode(ids) != text:
            raise ValueError("the tokenizer loses text: decoding its tokens does not give the validation text again")
        nats += _nats(contestant, [previous, *ids])
        byte_count += len(text.encode())
        token_count += len(ids)
        previous = contestant.separator_id
    return Score(nats, byte_count, token_count)


@torch.no_grad()
def _nats(contestant: Contestant, ids: list[int]) -> float:
    """Summed −ln p of all ids but the first, each predicted from at most `context` tokens before it."""
    context = contestant.context
    stream = torch.tensor(ids)
    whole = (len(ids) - 1) // context
    starts = [number * context for number in range(whole)]
    rows = max(1, TOKENS_PER_BATCH // context)
    batches = [starts[at : at + rows] for at in range(0, whole, rows)]
    if whole * context < len(ids) - 1:
        batches.append([whole * context])  # the last window is shorter and goes by itself
    nats = 0.0
    for batch in batches:
        windows = torch.stack([stream[start : start + context + 1] for start in batch])
        logits = contestant.logits(windows[:, :-1]).float()
        losses = F.cross_entropy(logits.flatten(0, 1), windows[:, 1:].flatten(), reduction="none")
        nats += losses.double().sum().item()
    return nats


def score_run(racer: str, run: Path, corpus: Path) -> dict[str, float | int]:
    """The score of a racer's run on the validation texts of a corpus, as the race keeps it."""
    path = Path(__file__).parent / racer / "model.py"
    spec = importlib.util.spec_from_file_location("contestant", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    contestant = module.load(run)
    texts = [file.read_bytes().decode() for file in sorted((corpus / "validation").glob("*.txt"))]
    told = json.loads((corpus / "corpus.json").read_text(encoding="utf-8"))
    before = (
        sorted((corpus / "train").glob("*.txt"))[-1].read_bytes().decode()[-2000:] if told["is_single_text"] else ""
    )
    result = score(contestant, texts, before=before)
    return {
        "bpb": result.bits_per_byte,
        "val_bytes": result.bytes,
        "val_tokens": result.tokens,
        "context": contestant.context,
        "params": contestant.params,
    }


def main() -> None:
    """Scores one run and prints the figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer", required=True)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--corpus", type=Path, required=True)
    told = parser.parse_args()
    print(json.dumps(score_run(told.peer, told.run, told.corpus)))


if __name__ == "__main__":
    main()
