"""What each part of the default network and recipe is worth: one part taken out at a time, same tokens, same seeds.

    python benchmarks/ablation.py --tokens 400000 --seeds 0 1 --out benchmarks/results/<date>-ablation/results.json

tinyshakespeare, the planner's network for two minutes on two cores, trained on a fixed number of tokens (so that the
load of the machine changes nothing), scored on the whole held-out text by the protocol. Lower is better.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

from atinuke.data.batches.windows import WindowBatches
from atinuke.data.corpus import Corpus, write_corpus
from atinuke.data.sources import Sources
from atinuke.data.split import SplitRules, scan
from atinuke.machine import environment, probe_machine
from atinuke.models import ModelConfig, build_model
from atinuke.models.decoder import Decoder
from atinuke.models.layers.positions import AddedPositions
from atinuke.tokenizers import Tokenizer, train_tokenizer
from atinuke.train.config import TrainConfig
from atinuke.train.engine import Engine
from atinuke.train.lessons.text_scores import score_held_out
from atinuke.train.loop import fit
from atinuke.train.objectives import next_token
from atinuke.train.schedule import Clock, TokenPace

DATA = Path(os.environ.get("ATINUKE_DATA", "../shared/data"))


class NoPairs(nn.Module):
    """In the place of the table of token pairs."""

    def forward(self, tokens: torch.Tensor, before: torch.Tensor | None) -> float:
        return 0.0


class RootMeanSquareNorm(nn.Module):
    """In the place of the plain layer norm."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return nn.functional.rms_norm(x, (x.shape[-1],))


def added_positions(model: Decoder) -> None:
    """The paper's way: sinusoids with a learned scale, added to the attention's input."""
    for block in model.blocks:
        block.attention.positions = AddedPositions(block.attention.project_qkv.in_features, model.max_len)


def no_query_key_norm(model: Decoder) -> None:
    """Queries and keys as they are projected."""
    for block in model.blocks:
        block.attention.query_key_norm = nn.Identity()


def squared_relu(model: Decoder) -> None:
    """So et al. 2021 (Primer, arXiv:2109.08668)."""
    for block in model.blocks:
        block.feed_forward.activation = lambda x: nn.functional.relu(x).square()


def no_pairs(model: Decoder) -> None:
    """Single tokens alone are embedded."""
    model.pairs = NoPairs()


def soft_cap(model: Decoder) -> None:
    """As Gemma 2 does, arXiv:2408.00118."""
    model.read_out = lambda x: 15 * torch.tanh(model.head(model.norm(x)) / 15)  # type: ignore[method-assign]


def outputs_not_zero(model: Decoder) -> None:
    """As GPT-2 begins (Radford et al. 2019)."""
    nn.init.normal_(model.head.weight, std=0.02)
    for block in model.blocks:
        for output in (block.attention.project_out, block.feed_forward.project_out):
            nn.init.normal_(output.weight, std=0.02 / (2 * len(model.blocks)) ** 0.5)


def root_mean_square_norm(model: Decoder) -> None:
    """Without gain, as the default's layer norm."""
    model.norm = RootMeanSquareNorm()
    for block in model.blocks:
        block.attention_norm = block.feed_forward_norm = block.attention.query_key_norm = model.norm


def as_it_is(model: Decoder) -> None:
    """The default network."""


# name → (change to the network, settings)
VARIANTS: dict[str, tuple[Callable[[Decoder], None], dict[str, Any]]] = {
    "atinuke as it is": (as_it_is, {}),
    "positions added instead of turned": (added_positions, {}),
    "no query-key norm": (no_query_key_norm, {}),
    "squared ReLU instead of GELU": (squared_relu, {}),
    "no table of pairs": (no_pairs, {}),
    "logits capped softly at 15": (soft_cap, {}),
    "outputs not at zero": (outputs_not_zero, {}),
    "RMS norm instead of layer norm": (root_mean_square_norm, {}),
    "AdamW 0.003 instead of Muon": (as_it_is, {"optim": {"kind": "adamw", "lr": 0.003}}),
    "float32 instead of bfloat16": (as_it_is, {"dtype": "float32"}),
    "atinuke-paper, Muon": (as_it_is, {"model": {"kind": "atinuke-paper"}}),
    "atinuke-paper, AdamW 0.003": (
        as_it_is,
        {"model": {"kind": "atinuke-paper"}, "optim": {"kind": "adamw", "lr": 0.003}},
    ),
}
SETTINGS: dict[str, Any] = {
    "batch_seqs": 8,
    "dtype": "bfloat16",
    "compile": False,
    "optim": {"kind": "muon", "lr": 0.003, "matrix_lr": 0.02, "beta2": 0.95},
    "model": {"kind": "atinuke"},
}
SIZES = {"model_dim": 128, "key_dim": 128, "hidden_dim": 512, "head_count": 4, "layer_count": 4, "context": 128}


def train_variant(name: str, seed: int, tokens: int, corpus: Corpus, tokenizer: Tokenizer) -> dict[str, Any]:
    """Bits per byte and tokens per second of one run."""
    change, more = VARIANTS[name]
    merged = {**SETTINGS, "seed": seed, "budget": {"tokens": tokens}}
    for key, value in more.items():
        merged[key] = {**SETTINGS[key], **value} if isinstance(value, dict) else value
    cfg = TrainConfig.model_validate(merged)
    network = ModelConfig.model_validate({**SIZES, "kind": cfg.model.kind, "vocab_size": tokenizer.vocab_size})
    torch.manual_seed(seed)
    model = build_model(network)
    change(model)
    engine = Engine.build(model, cfg, next_token, torch.device("cpu"), probe_machine("cpu"))
    batches = WindowBatches(corpus.shards, context=network.context, batch_seqs=cfg.batch_seqs or 1, seed=seed)
    started_s = time.perf_counter()
    fit(engine.state, batches, engine.rules, TokenPace(Clock(), tokens), [])
    speed = engine.state.tokens / (time.perf_counter() - started_s)
    score = score_held_out(model, tokenizer, corpus, network.context)
    return {"variant": name, "seed": seed, "val_bpb": score.bits_per_byte, "tokens_per_s": round(speed)}


def main() -> None:
    """Trains every variant with every seed, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, default=DATA / "tinyshakespeare" / "input.txt.gz")
    parser.add_argument("--tokens", type=int, default=400_000)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1])
    parser.add_argument("--only", nargs="+", choices=list(VARIANTS), default=list(VARIANTS))
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_flush_denormal(True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        sources = Sources([str(arguments.source)])
        scanned = scan(sources, SplitRules(), sample_bytes=64_000_000)
        tokenizer = train_tokenizer("bpe", scanned.sample, 1024)
        corpus = write_corpus(sources, scanned, tokenizer, Path(folder) / "data")
        for seed in arguments.seeds:
            for name in arguments.only:
                rows.append(train_variant(name, seed, arguments.tokens, corpus, tokenizer))
                print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    base = {row["seed"]: row["val_bpb"] for row in rows if row["variant"] == arguments.only[0]}
    seeds = " ".join(map(str, arguments.seeds))
    print(f"`python benchmarks/ablation.py {' '.join(sys.argv[1:])}`\n")
    print(f"| variant | val_bpb, mean of seeds {seeds} | of each | difference | tokens/s |\n|---|---:|---|---:|---:|")
    for name in arguments.only:
        mine = [row for row in rows if row["variant"] == name]
        difference = statistics.fmean(row["val_bpb"] - base[row["seed"]] for row in mine)
        print(
            f"| {name} | {statistics.fmean(row['val_bpb'] for row in mine):.4f} "
            f"| {' '.join(format(row['val_bpb'], '.4f') for row in mine)} | {difference:+.4f} "
            f"| {statistics.median(row['tokens_per_s'] for row in mine):,.0f} |"
        )
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        facts = {"environment": environment(), "tokens": arguments.tokens, "rows": rows}
        arguments.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
