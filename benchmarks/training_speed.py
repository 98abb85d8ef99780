"""Training tokens/s and GFLOP/s of our networks beside transformers' GPT2LMHeadModel, in one process, alternating.

    python benchmarks/training_speed.py --out benchmarks/results/<date>-training_speed/results.json

A step is forward, loss, backward and update on fixed random tokens, without dropout. GFLOP/s counts 6·N per token for
N = matrix parameters with the read-out, without attention scores. The peak is the fastest of many 2048³ products
measured in the same minute.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F

from atinuke.data.batches.batch import Batch
from atinuke.machine import environment, probe_machine, resolve_device
from atinuke.models import ModelConfig, build_model
from atinuke.train.config import TrainConfig
from atinuke.train.engine import Engine
from atinuke.train.objectives import next_token

# model_dim, layers, heads, context, batch, vocabulary
SHAPES = ((128, 4, 4, 64, 12, 65), (256, 6, 4, 256, 8, 1024), (384, 6, 6, 256, 16, 4096))


def ours(shape: tuple[int, ...], dtype: str, optimizer: str, kind: str, device: torch.device) -> Callable[[], object]:
    """One training step of ours, exactly as the trainer makes it."""
    model_dim, layers, heads, context, batch, vocab = shape
    network = ModelConfig.model_validate(
        {
            "kind": kind,
            "vocab_size": vocab,
            "model_dim": model_dim,
            "key_dim": model_dim,
            "hidden_dim": 4 * model_dim,
            "head_count": heads,
            "layer_count": layers,
            "context": context,
        }
    )
    cfg = TrainConfig.model_validate({"dtype": dtype, "compile": False, "optim": {"kind": optimizer}})
    engine = Engine.build(build_model(network), cfg, next_token, device, probe_machine(device))
    tokens = torch.randint(vocab, (batch, context + 1), device=device)
    windows = Batch((tokens[:, :-1],), tokens[:, 1:], 0, 1, batch * context)
    return lambda: engine.step_on(windows)


def gpt2(shape: tuple[int, ...], dtype: str, device: torch.device) -> Callable[[], object]:
    """One training step of transformers' GPT-2 with torch's fused AdamW."""
    from transformers import GPT2Config, GPT2LMHeadModel

    model_dim, layers, heads, context, batch, vocab = shape
    config = GPT2Config(
        vocab_size=vocab,
        n_positions=context,
        n_embd=model_dim,
        n_layer=layers,
        n_head=heads,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
    )
    model = GPT2LMHeadModel(config).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    tokens = torch.randint(vocab, (batch, context + 1), device=device)

    def step() -> float:
        with torch.autocast(device.type, torch.bfloat16, enabled=dtype == "bfloat16"):
            logits = model(tokens[:, :-1]).logits
        loss = F.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step


def peak_gflops(dtype: torch.dtype, device: torch.device, size: int = 2048, for_s: float = 1.5) -> float:
    """The fastest of the products of two (size, size) matrices."""
    left, right = (torch.randn(size, size, dtype=dtype, device=device) for _ in range(2))
    best, until_s = 0.0, time.perf_counter() + for_s
    while time.perf_counter() < until_s:
        started_s = time.perf_counter()
        left @ right
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2 * size**3 / (time.perf_counter() - started_s) / 1e9)
    return best


def steps_per_s(step: Callable[[], object], for_s: float) -> float:
    """Steps per second over a stretch of time."""
    count, started_s = 0, time.perf_counter()
    while count < 2 or time.perf_counter() - started_s < for_s:
        step()
        count += 1
    return count / (time.perf_counter() - started_s)


def matrix_parameters(shape: tuple[int, ...]) -> int:
    """N: the matrices of the blocks and the read-out."""
    model_dim, layers, _, _, _, vocab = shape
    return 12 * layers * model_dim**2 + vocab * model_dim


def main() -> None:
    """Measures every shape, prints a table, saves it with machine and versions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=4.0, help="of each stretch")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    device = resolve_device(arguments.device)
    torch.manual_seed(0)
    torch.set_flush_denormal(True)
    peaks = {name: peak_gflops(getattr(torch, name), device) for name in ("float32", "bfloat16")}
    table = [
        "| shape (d/L/H, T, B, V) | who | dtype | tokens/s (median) | min–max | GFLOP/s | of peak | ratio to GPT-2 |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    results: list[dict[str, Any]] = []
    for shape in SHAPES:
        model_dim, layers, heads, context, batch, vocab = shape
        for dtype in ("float32", "bfloat16"):
            runners = {
                "GPT2LMHeadModel, AdamW": gpt2(shape, dtype, device),
                "atinuke, AdamW": ours(shape, dtype, "adamw", "atinuke", device),
                "atinuke, Muon + AdamW": ours(shape, dtype, "muon", "atinuke", device),
                "atinuke-paper, AdamW": ours(shape, dtype, "adamw", "atinuke-paper", device),
            }
            for step in runners.values():
                step()
            speeds: dict[str, list[float]] = {who: [] for who in runners}
            for _ in range(arguments.rounds):
                for who, step in runners.items():
                    speeds[who].append(steps_per_s(step, arguments.seconds) * batch * context)
            reference = statistics.median(speeds["GPT2LMHeadModel, AdamW"])
            for who, values in speeds.items():
                median = statistics.median(values)
                gflops = 6 * matrix_parameters(shape) * median / 1e9
                table.append(
                    f"| {model_dim}/{layers}/{heads}, {context}, {batch}, {vocab} | {who} | {dtype} | {median:,.0f} "
                    f"| {min(values):,.0f}–{max(values):,.0f} | {gflops:.0f} | {gflops / peaks[dtype]:.0%} "
                    f"| {median / reference:.2f} |"
                )
                print(table[-1], file=sys.stderr, flush=True)
                results.append({"shape": shape, "who": who, "dtype": dtype, "tokens_per_s": values, "gflops": gflops})
    head = f"Peak of 2048³ products: float32 {peaks['float32']:.0f}, bfloat16 {peaks['bfloat16']:.0f} GFLOP/s."
    print(f"`python benchmarks/training_speed.py {' '.join(sys.argv[1:])}`\n\n{head}\n", *table, sep="\n")
    if arguments.out:
        facts = {"peaks_gflops": peaks, "environment": environment(), "results": results}
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
