"""Forward and backward of each way to compute attention, as the trainer calls it: milliseconds, fastest of many.

python benchmarks/attention_speed.py --out benchmarks/results/<date>-attention_speed/results.json
"""

import argparse
import json
import sys
import time
from pathlib import Path

import torch

from atinuke.machine import environment, resolve_device
from atinuke.models.layers.attention import BACKENDS

# batch, heads, tokens, width of a head
SHAPES = ((12, 4, 64, 32), (8, 4, 128, 32), (8, 4, 256, 64), (16, 6, 256, 64))


def milliseconds(name: str, shape: tuple[int, ...], dtype: torch.dtype, device: torch.device, repeats: int) -> float:
    """The fastest of `repeats` calls with their gradients."""
    batch, heads, tokens, width = shape
    qkv = torch.randn(batch, tokens, 3, heads, width, dtype=dtype, device=device, requires_grad=True)
    best_s = float("inf")
    for _ in range(repeats):
        started_s = time.perf_counter()
        query, key, value = qkv.permute(2, 0, 3, 1, 4)
        BACKENDS[name](query, key, value).transpose(1, 2).reshape(batch, tokens, -1).sum().backward()
        if device.type == "cuda":
            torch.cuda.synchronize()
        best_s = min(best_s, time.perf_counter() - started_s)
    return 1000 * best_s


def main() -> None:
    """Measures every backend, and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=30)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    device = resolve_device(arguments.device)
    rows = []
    print(f"`python benchmarks/attention_speed.py {' '.join(sys.argv[1:])}`\n")
    print(f"| (B, H, T, E) | dtype | {' | '.join(f'{name}, ms' for name in BACKENDS)} |")
    print(f"|---|---|{'---:|' * len(BACKENDS)}")
    for shape in SHAPES:
        for dtype in (torch.float32, torch.bfloat16):
            found = {name: milliseconds(name, shape, dtype, device, arguments.repeats) for name in BACKENDS}
            rows.append({"shape": shape, "dtype": str(dtype), "milliseconds": found})
            shown = " | ".join(f"{fastest_ms:.2f}" for fastest_ms in found.values())
            print(f"| {shape} | {str(dtype).removeprefix('torch.')} | {shown} |")
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        facts = {"environment": environment(), "rows": rows}
        arguments.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
