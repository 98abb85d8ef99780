"""Generation at batch 1: tokens per second of ours beside transformers' GPT-2 of the same shape.

    python benchmarks/generation_speed.py [--shapes tiny,small,medium] [--repeats 7] [--device cpu] [--out results.json]

Both are asked for the same number of new tokens after the same prompt, in one process, one after the other and back
again (A B A B …), so that a machine that slows down slows both. Weights are random: what they say is not measured.
The ratio is the median of the ratios of neighbouring runs. Every network runs in float32 with its key/value cache.
"""

import argparse
import json
import logging
import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path

import torch

from atinuke.generate.config import SamplingRules
from atinuke.generate.decode import generate_ids
from atinuke.machine import environment, resolve_device
from atinuke.models import ModelConfig, build_model

PROMPT_TOKENS = 8
TOP_K = 50


@dataclass(frozen=True)
class Shape:
    """One row of sizes; `new_tokens` stays inside the context, where both do the same work."""

    model_dim: int
    layer_count: int
    head_count: int
    context: int
    vocab_size: int
    new_tokens: int

    def __str__(self) -> str:
        return f"{self.model_dim}/{self.layer_count}/{self.head_count}/T{self.context}/V{self.vocab_size}"


SHAPES = {
    "tiny": Shape(128, 4, 4, 64, 65, new_tokens=48),
    "small": Shape(256, 6, 4, 256, 1024, new_tokens=128),
    "medium": Shape(384, 6, 6, 256, 4096, new_tokens=128),
}
Generate = Callable[[bool], None]


def ours(shape: Shape, kind: str, device: torch.device) -> Generate:
    """Writes `new_tokens`; the argument says whether they are sampled."""
    torch.manual_seed(0)
    config = ModelConfig.model_validate(
        {
            "kind": kind,
            "vocab_size": shape.vocab_size,
            "model_dim": shape.model_dim,
            "key_dim": shape.model_dim,
            "hidden_dim": 4 * shape.model_dim,
            "head_count": shape.head_count,
            "layer_count": shape.layer_count,
            "context": shape.context,
        }
    )
    model = build_model(config).to(device).eval()

    def generate(is_sampled: bool) -> None:
        rules = SamplingRules(temperature=0.8, top_k=TOP_K) if is_sampled else SamplingRules(temperature=0)
        ids = generate_ids(
            model,
            list(range(1, PROMPT_TOKENS + 1)),
            tokens=shape.new_tokens,
            rules=rules,
            generator=torch.Generator().manual_seed(0),
            context=shape.context,
        )
        assert sum(1 for _ in ids) == shape.new_tokens

    return generate


def transformers_gpt2(shape: Shape, device: torch.device) -> Generate:
    """The same through `GPT2LMHeadModel.generate`."""
    logging.getLogger("transformers").setLevel(logging.ERROR)
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=shape.vocab_size,
        n_positions=shape.context,
        n_embd=shape.model_dim,
        n_layer=shape.layer_count,
        n_head=shape.head_count,
        bos_token_id=None,
        eos_token_id=None,
        pad_token_id=0,
    )
    model = GPT2LMHeadModel(config).to(device).eval()
    prompt = torch.arange(1, PROMPT_TOKENS + 1, device=device)[None]
    mask = torch.ones_like(prompt)

    def generate(is_sampled: bool) -> None:
        sampling = {"do_sample": True, "temperature": 0.8, "top_k": TOP_K} if is_sampled else {"do_sample": False}
        written = model.generate(
            prompt, attention_mask=mask, max_new_tokens=shape.new_tokens, use_cache=True, **sampling
        )
        assert written.shape[1] == PROMPT_TOKENS + shape.new_tokens

    return generate


def tokens_per_s(generate: Generate, is_sampled: bool, tokens: int) -> float:
    """One timed call."""
    started_s = time.perf_counter()
    generate(is_sampled)
    return tokens / (time.perf_counter() - started_s)


def race(shape: Shape, is_sampled: bool, repeats: int, device: torch.device) -> dict[str, object]:
    """Medians and ratios of alternating runs on one shape."""
    runners = {kind: ours(shape, kind, device) for kind in ("atinuke", "atinuke-paper")}
    runners["transformers"] = transformers_gpt2(shape, device)
    speeds: dict[str, list[float]] = {name: [] for name in runners}
    for generate in runners.values():  # not counted: tables, allocators and threads warm up
        generate(is_sampled)
    for _ in range(repeats):
        for name, generate in runners.items():
            speeds[name].append(tokens_per_s(generate, is_sampled, shape.new_tokens))
    theirs = speeds["transformers"]
    return {
        "shape": asdict(shape),
        "sampled": is_sampled,
        "tokens_per_s": speeds,
        "median": {name: statistics.median(found) for name, found in speeds.items()},
        "ratio": {
            name: statistics.median(a / b for a, b in zip(speeds[name], theirs, strict=True))
            for name in ("atinuke", "atinuke-paper")
        },
    }


def table(rows: list[dict[str, object]]) -> str:
    """The results in Markdown."""
    lines = [
        "| shape (dim/layers/heads/context/vocabulary) | mode | atinuke tok/s | atinuke-paper tok/s "
        "| transformers GPT-2 tok/s | ratio atinuke | ratio atinuke-paper |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        shape, median, ratio = Shape(**row["shape"]), row["median"], row["ratio"]  # type: ignore[arg-type]
        assert isinstance(median, dict) and isinstance(ratio, dict)
        mode = f"sampled, top-k {TOP_K}" if row["sampled"] else "greedy"
        lines.append(
            f"| {shape} | {mode} | {median['atinuke']:.0f} | {median['atinuke-paper']:.0f} "
            f"| {median['transformers']:.0f} | {ratio['atinuke']:.2f} | {ratio['atinuke-paper']:.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Runs the shapes asked for, prints a table, and saves it with machine and versions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", default=",".join(SHAPES), help="comma-separated: " + ", ".join(SHAPES))
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, help="file for the JSON")
    parser.add_argument("--device", default="cpu")
    args = parser.parse_args()
    names = args.shapes.split(",")
    if unknown := sorted(set(names) - set(SHAPES)):
        parser.error(f"unknown shapes {', '.join(unknown)}; expected {', '.join(SHAPES)}")
    warnings.filterwarnings("ignore")  # transformers has much to say
    device = resolve_device(args.device)
    rows = [race(SHAPES[name], is_sampled, args.repeats, device) for name in names for is_sampled in (False, True)]
    facts = {"environment": environment() | {"transformers": metadata.version("transformers")}, "results": rows}
    print(f"`python benchmarks/generation_speed.py {' '.join(sys.argv[1:])}`\n", table(rows), sep="\n")
    if args.out:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
