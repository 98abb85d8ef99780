"""What one GPU does with ~100 million parameters, within eight minutes: `make bench-gpu`.

    python benchmarks/gpu.py --out benchmarks/results/<date>-gpu/results.json

speed        tokens/s and share of the peak (MFU) in bfloat16, compiled; the batch is doubled while that is faster and
             fits. Seconds from process start to the end of the first step, with an empty compiler cache
cached       the same first step in a new process that finds the cache filled
parity       losses of the same steps in bfloat16 and in float32
decoding     tokens/s of greedy writing with the cache, for several numbers of sequences at once
quality      bits per byte of the novels under ATINUKE_DATA after five minutes of `atinuke train`, all included

MFU = (6·N + 12·L·T·D)·tokens/s / dense bfloat16 peak of the device, as Chowdhery et al. 2022 (arXiv:2204.02311,
appendix B) count it; N: parameters of the matrices of blocks and read-out. Each part runs in a process of its own with
a time limit, so one that fails leaves the others; compiled code goes to a folder that is removed at the end.
With --device cpu --tiny the whole can be tried anywhere; its numbers mean nothing.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from atinuke.data.batches.batch import Batch
from atinuke.machine import environment, keep_freed_memory, probe_machine, process_started_s, resolve_device
from atinuke.models import ModelConfig, build_model
from atinuke.models.decoder import Decoder
from atinuke.train.config import TrainConfig
from atinuke.train.engine import Engine
from atinuke.train.objectives import next_token

# Dense bfloat16 TFLOP/s, without sparsity, from the makers' data sheets; the first whose words the device has counts.
PEAKS = {
    "B200": 2250.0,  # NVIDIA HGX B200 data sheet: 4,500 with sparsity
    "GH200": 989.0,  # NVIDIA GH200 data sheet
    "H200": 989.0,  # NVIDIA H200 data sheet: 1,979 with sparsity
    "H100 PCIe": 756.0,  # NVIDIA H100 data sheet
    "H100 NVL": 835.0,  # NVIDIA H100 data sheet
    "H100": 989.0,  # NVIDIA H100 data sheet, SXM
    "A100": 312.0,  # NVIDIA A100 data sheet
    "A40": 149.7,  # NVIDIA A40 data sheet
    "A10": 125.0,  # NVIDIA A10 data sheet
    "L40S": 362.0,  # NVIDIA L40S data sheet
    "L40": 181.0,  # NVIDIA L40 data sheet
    "L4": 121.0,  # NVIDIA L4 data sheet: 242 with sparsity
    "RTX 4090": 165.2,  # NVIDIA Ada GPU architecture, appendix A, float32 accumulation
    "RTX 3090": 71.0,  # NVIDIA Ampere GA102 architecture, appendix A, float32 accumulation
    "MI300X": 1307.4,  # AMD Instinct MI300X data sheet
    "MI250X": 383.0,  # AMD Instinct MI250X data sheet, both dies
}
PARTS = ("speed", "cached", "parity", "decoding", "quality")
LIMITS_S = {"speed": 110.0, "cached": 45.0, "parity": 30.0, "decoding": 30.0}
WITHIN_S = 470.0
"""All parts together; the last, quality, has what the others leave."""
QUALITY_S, SCORING_S = 300.0, 30.0
FULL = {"model_dim": 768, "layers": 12, "heads": 12, "context": 1024, "vocab": 16_384, "largest_batch": 256}
TINY = {"model_dim": 32, "layers": 2, "heads": 2, "context": 32, "vocab": 64, "largest_batch": 4}
Sizes = dict[str, int]


def network_of(sizes: Sizes) -> ModelConfig:
    """GPT's layers in these sizes."""
    return ModelConfig.model_validate(
        {
            "kind": "gpt",
            "vocab_size": sizes["vocab"],
            "model_dim": sizes["model_dim"],
            "key_dim": sizes["model_dim"],
            "hidden_dim": 4 * sizes["model_dim"],
            "head_count": sizes["heads"],
            "layer_count": sizes["layers"],
            "context": sizes["context"],
            "max_len": sizes["context"],
        }
    )


def flops_per_token(sizes: Sizes) -> float:
    """As the text above counts them."""
    matrices = 12 * sizes["layers"] * sizes["model_dim"] ** 2 + sizes["vocab"] * sizes["model_dim"]
    return float(6 * matrices + 12 * sizes["layers"] * sizes["context"] * sizes["model_dim"])


def peak_tflops(device: torch.device) -> float | None:
    """The data sheet's; None for a device that is not in the table."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return next((peak for key, peak in PEAKS.items() if re.search(rf"\b{key}\b", name)), None)


def steps_of(sizes: Sizes, batch_seqs: int, dtype: str, device: torch.device, *, compiled: bool) -> Callable[[], float]:
    """A training step of ours on tokens that can be learned: each follows from the one before it, but for noise."""
    torch.manual_seed(0)
    settings = {"dtype": dtype, "compile": compiled, "optim": {"kind": "adamw", "lr": 1e-3, "clip_norm": 1.0}}
    model = build_model(network_of(sizes))
    engine = Engine.build(model, TrainConfig.model_validate(settings), next_token, device, probe_machine(device))
    rows = [torch.randint(sizes["vocab"], (batch_seqs,))]
    for _ in range(sizes["context"]):
        rows.append(
            torch.where(torch.rand(batch_seqs) < 0.1, torch.randint_like(rows[0], sizes["vocab"]), rows[-1] + 1)
        )
    tokens = (torch.stack(rows, dim=1) % sizes["vocab"]).to(device)
    batch = Batch((tokens[:, :-1].contiguous(),), tokens[:, 1:].contiguous(), 0, 1, batch_seqs * sizes["context"])
    return lambda: engine.step_on(batch)


def speed(sizes: Sizes, device: torch.device, *, eager: bool, until_s: float) -> dict[str, Any]:
    """The batch that is fastest, and how fast; the first of them also tells how long compiling took."""
    tried: list[dict[str, Any]] = []
    first_step_s: float | None = None
    batch_seqs = min(16, sizes["largest_batch"])
    while batch_seqs <= sizes["largest_batch"] and (not tried or process_started_s() < until_s):
        try:
            step = steps_of(sizes, batch_seqs, "bfloat16", device, compiled=not eager)
            step()
            first_step_s = first_step_s or process_started_s()
            step()
            times = []
            while len(times) < 5 or (len(times) < 30 and sum(times) < 3.0):
                started_s = time.perf_counter()
                step()  # ends with its loss on the host
                times.append(time.perf_counter() - started_s)
        except torch.OutOfMemoryError:
            break
        rate = batch_seqs * sizes["context"] / statistics.median(times)
        tried.append({"batch_seqs": batch_seqs, "tokens_per_s": round(rate), "steps": len(times)})
        if len(tried) > 1 and rate < 1.02 * tried[-2]["tokens_per_s"]:
            break
        batch_seqs *= 2
    best = max(tried, key=lambda each: each["tokens_per_s"])
    peak = peak_tflops(device)
    tflops = flops_per_token(sizes) * best["tokens_per_s"] / 1e12
    return {
        **best,
        "tflops": round(tflops, 3),
        "peak_tflops": peak,
        "mfu": round(tflops / peak, 4) if peak is not None else None,
        "cold_first_step_s": round(first_step_s or 0.0, 1),
        "memory_gib": round(torch.cuda.max_memory_allocated() / 2**30, 1) if device.type == "cuda" else None,
        "parameters": sum(each.numel() for each in build_model(network_of(sizes)).parameters()),
        "tried": tried,
    }


def cached(sizes: Sizes, device: torch.device, *, eager: bool) -> dict[str, Any]:
    """The first step of a process that finds the code compiled."""
    steps_of(sizes, min(16, sizes["largest_batch"]), "bfloat16", device, compiled=not eager)()
    return {"cached_first_step_s": round(process_started_s(), 1)}


def parity(sizes: Sizes, device: torch.device) -> dict[str, Any]:
    """Twenty steps from the same weights on the same tokens in both dtypes."""
    both = {}
    for dtype in ("float32", "bfloat16"):
        step = steps_of(sizes, 4, dtype, device, compiled=False)
        both[dtype] = [step() for _ in range(20)]
    apart = [abs(low - high) / high for high, low in zip(both["float32"], both["bfloat16"], strict=True)]
    return {"losses": both, "largest_relative_difference": max(apart), "at_the_end": apart[-1]}


@torch.inference_mode()
def decoding(sizes: Sizes, device: torch.device, seconds: float) -> dict[str, Any]:
    """Greedy tokens/s after a prompt of eight, for more and more sequences at once, weights in bfloat16."""
    model = build_model(network_of(sizes)).to(device, torch.bfloat16).eval()
    assert isinstance(model, Decoder)
    rates: dict[str, int] = {}
    new_tokens = min(128, sizes["context"] - 8)
    for batch in (1, 32, 256):
        times: list[float] = []
        while len(times) < 2 or sum(times) < seconds:
            cache = model.new_cache(batch, sizes["context"])
            ids = torch.randint(sizes["vocab"], (batch, 8), device=device)
            started_s = time.perf_counter()
            for _ in range(new_tokens):
                ids = model(ids, cache)[:, -1].argmax(dim=-1, keepdim=True)
            ids.sum().item()  # waits for the device
            times.append(time.perf_counter() - started_s)
        rates[str(batch)] = round(batch * new_tokens / min(times[1:]))
    return {"tokens_per_s": rates}


def quality(device: torch.device, seconds: float) -> dict[str, Any]:
    """Bits per byte of held-out text after `atinuke train --time`."""
    novels = Path(os.environ.get("ATINUKE_DATA", "../shared/data")) / "english-novels"
    if not novels.exists():
        return {"left_out": f"{novels} is missing; set ATINUKE_DATA to the folder of data sets"}
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "atinuke", "train", str(novels), "--time", f"{seconds:.0f}s", "--fresh"]
        command += ["--device", device.type, "--out", folder + "/run"]
        finished = subprocess.run(command, capture_output=True, text=True, timeout=seconds + SCORING_S)
        if finished.returncode:
            raise RuntimeError((finished.stderr.strip().splitlines() or ["no words"])[-1])
        summary = json.loads(Path(folder, "run", "summary.json").read_text(encoding="utf-8"))
    kept = ("val_bpb", "val_bytes", "params", "train_tokens", "epochs", "tokens_per_s", "elapsed_s", "dtype")
    return {"time_s": seconds, **{key: summary.get(key) for key in kept}}


def work(arguments: argparse.Namespace) -> dict[str, Any]:
    """One part, in a process of its own."""
    keep_freed_memory()
    device, sizes = resolve_device(arguments.device), TINY if arguments.tiny else FULL
    limit_s = arguments.limit
    parts: dict[str, Callable[[], dict[str, Any]]] = {
        "speed": lambda: speed(sizes, device, eager=arguments.eager, until_s=0.6 * limit_s),
        "cached": lambda: cached(sizes, device, eager=arguments.eager),
        "parity": lambda: parity(sizes | {"context": min(256, sizes["context"])}, device),
        "decoding": lambda: decoding(sizes, device, 0.05 if arguments.tiny else 2.0),
        "quality": lambda: quality(device, limit_s - SCORING_S),
    }
    return parts[arguments.part]()


def run_part(name: str, arguments: argparse.Namespace, limit_s: float, cache: str) -> dict[str, Any]:
    """What a part found, or why it found nothing."""
    command = [sys.executable, __file__, "--part", name, "--limit", str(limit_s), "--device", arguments.device]
    command += ["--tiny"] * arguments.tiny + ["--eager"] * arguments.eager
    # an empty cache for the first, and what it left for the second; nothing stays behind
    kept = {"TORCHINDUCTOR_CACHE_DIR": cache, "TRITON_CACHE_DIR": f"{cache}/triton"}
    started_s = time.perf_counter()
    try:
        ended = subprocess.run(
            command, env={**os.environ, **kept}, capture_output=True, text=True, timeout=limit_s + 10.0
        )
    except subprocess.TimeoutExpired:
        return {"error": f"not ready after {limit_s:.0f} s"}
    lines = ended.stdout.strip().splitlines()
    if ended.returncode or not lines:
        return {"error": (ended.stderr.strip().splitlines() or [f"ended with {ended.returncode}"])[-1][:300]}
    found: dict[str, Any] = json.loads(lines[-1])
    return {**found, "took_s": round(time.perf_counter() - started_s, 1)}


def table(results: dict[str, dict[str, Any]]) -> list[str]:
    """The figures that matter, one a row; what failed or was left out says so."""
    rows = ["| what | result |", "|---|---|"]
    for name, found in results.items():
        if "error" in found:
            rows.append(f"| {name} | failed: {found['error']} |")
        if "left_out" in found:
            rows.append(f"| {name} | left out: {found['left_out']} |")
    if "mfu" in (fast := results.get("speed", {})):
        share = f"{fast['mfu']:.1%}" if fast["mfu"] is not None else "no peak in the table for this device"
        rows.append(f"| {fast['parameters'] / 1e6:.0f} M parameters, bfloat16 | {fast['tokens_per_s']:,} tokens/s |")
        rows.append(f"| share of the peak (MFU), batch {fast['batch_seqs']} | {share}, {fast['tflops']:,.1f} TFLOP/s |")
        rows.append(f"| process start to first step, nothing cached | {fast['cold_first_step_s']} s |")
    if "cached_first_step_s" in (again := results.get("cached", {})):
        rows.append(f"| the same with a filled cache | {again['cached_first_step_s']} s |")
    if "losses" in (apart := results.get("parity", {})):
        rows.append(
            f"| bfloat16 and float32 losses, 20 steps | at most {apart['largest_relative_difference']:.2%} apart |"
        )
    for batch, rate in results.get("decoding", {}).get("tokens_per_s", {}).items():
        rows.append(f"| decoding, {batch} at once | {rate:,} tokens/s |")
    if "val_bpb" in (best := results.get("quality", {})):
        rows.append(f"| novels after {best['time_s']:.0f} s, all included | {best['val_bpb']:.4f} bits per byte |")
    return rows


def main() -> None:
    """Runs the parts one after the other, prints the table, saves everything."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--tiny", action="store_true", help="a network of a few thousand parameters")
    parser.add_argument("--eager", action="store_true", help="without torch.compile")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    parser.add_argument("--limit", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.part:
        answers, sys.stdout = sys.stdout, sys.stderr
        print(json.dumps(work(arguments)), file=answers)
        return
    started_s, results = time.perf_counter(), dict[str, dict[str, Any]]()
    with tempfile.TemporaryDirectory() as cache:
        for name in arguments.parts:
            left_s = WITHIN_S - (time.perf_counter() - started_s)
            limit_s = min(LIMITS_S.get(name, QUALITY_S + SCORING_S), left_s - 10.0)
            results[name] = run_part(name, arguments, max(limit_s, 5.0), cache)
            print(f"{name}: {json.dumps(results[name])[:200]}", file=sys.stderr, flush=True)
            if arguments.out:  # after each part: whatever ends this, what is known stays
                arguments.out.parent.mkdir(parents=True, exist_ok=True)
                facts = {"device": arguments.device, "environment": environment(), "results": results}
                arguments.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
    print(f"`python benchmarks/gpu.py {' '.join(sys.argv[1:])}`\n", *table(results), sep="\n")


if __name__ == "__main__":
    main()
