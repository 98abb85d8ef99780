"""Training tokens/s of our networks beside the peers' equal networks, each in its own process and in every mode it has.

    python benchmarks/training_speed.py --out benchmarks/results/<date>-training_speed/results.json

A step is forward, loss, backward, norm of the gradient and AdamW (torch's fused one for all), on fixed random tokens
and without dropout; ours is made by the trainer itself. Within a mode all racers take turns, forwards and backwards;
at the end a peer and ours with the same network, each in its best mode, take turns again. "gpt" is the network of
transformers' GPT-2; "plain gpt" is that of nanoGPT as it comes, with the exact GELU and without biases; litgpt's has
the same sizes, and rotary positions; the others are beside them.

Share of the peak: (6·N + 6·L·T·D)·tokens/s over the fastest of many products of 2048 × 2048 matrices of that dtype,
measured after each round and set beside the turns of that round, as machines are faster and slower by the minute. N:
the matrices of the blocks and the read-out; the second term: scores and what they gather, forward and backward, of the
half that a causal mask leaves.

Peers: transformers' GPT2LMHeadModel; nanoGPT's network (karpathy/nanoGPT's model.py with --nanogpt, else the same
layers written out here); litgpt's GPT in a GPT-2 shape. What is not installed is left out and said.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from training_peers import Shape, peer_network

from atinuke.data.batches.batch import Batch
from atinuke.machine import environment, keep_freed_memory, probe_machine, resolve_device
from atinuke.models import ModelConfig, build_model
from atinuke.models.layers.feedforward import FeedForward
from atinuke.train.config import TrainConfig
from atinuke.train.engine import Engine
from atinuke.train.objectives import next_token

MODES = ("float32", "bfloat16", "float32 compiled", "bfloat16 compiled")
OURS = ("gpt, AdamW", "plain gpt, AdamW", "atinuke, AdamW", "atinuke, Muon + AdamW")
PEERS = ("transformers GPT-2", "nanoGPT", "litgpt")
EQUALS = {"transformers GPT-2": "gpt, AdamW", "nanoGPT": "plain gpt, AdamW"}
"""Peer → which of ours computes the same."""

SHAPES = {
    "small": Shape(128, 4, 4, 64, 12, 1024),
    "medium": Shape(256, 6, 4, 256, 8, 1024),
    "large": Shape(384, 6, 6, 256, 16, 4096),
}
Step = Callable[[], object]


def peer_step(name: str, shape: Shape, mode: str, device: torch.device, nanogpt: str | None) -> Step:
    """One training step of a peer as its own loop makes it: autocast, clipping at 1, AdamW."""
    network = peer_network(name, shape, nanogpt).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    forward = torch.compile(network) if "compiled" in mode else network
    tokens, targets = random_windows(shape, device)

    def step() -> float:
        with torch.autocast(device.type, torch.bfloat16, enabled="bfloat16" in mode):
            logits = forward(tokens)
            loss = F.cross_entropy(logits.flatten(0, 1).float(), targets.flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return loss.item()

    return step


def our_step(name: str, shape: Shape, mode: str, device: torch.device) -> Step:
    """One training step of ours, as the trainer makes it."""
    keep_freed_memory()
    torch.set_flush_denormal(True)
    network = ModelConfig.model_validate(
        {
            "kind": name.split(",")[0].removeprefix("plain "),
            "vocab_size": shape.vocab,
            "model_dim": shape.model_dim,
            "key_dim": shape.model_dim,
            "hidden_dim": 4 * shape.model_dim,
            "head_count": shape.heads,
            "layer_count": shape.layers,
            "context": shape.context,
            "max_len": shape.context,
        }
    )
    optim = {"kind": "muon" if "Muon" in name else "adamw", "clip_norm": 1.0}
    settings = {"dtype": mode.split()[0], "compile": "compiled" in mode, "optim": optim}
    cfg = TrainConfig.model_validate(settings)
    model = build_model(network)
    if name.startswith("plain"):
        make_plain(model)
    engine = Engine.build(model, cfg, next_token, device, probe_machine(device))
    tokens, targets = random_windows(shape, device)
    batch = Batch((tokens,), targets, 0, 1, targets.numel())
    return lambda: engine.step_on(batch)


def make_plain(model: nn.Module) -> None:
    """GPT-2's network → nanoGPT's: the exact GELU, and no biases."""
    for module in model.modules():
        if isinstance(module, nn.Linear | nn.LayerNorm):
            module.register_parameter("bias", None)
        elif isinstance(module, FeedForward):
            module.activation = F.gelu


def random_windows(shape: Shape, device: torch.device) -> tuple[Tensor, Tensor]:
    """Tokens, and for each the one after it; contiguous, as the trainers have them."""
    tokens = torch.randint(shape.vocab, (shape.batch, shape.context + 1), device=device)
    return tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()


def steps_per_s(step: Step, for_s: float, device: torch.device) -> float:
    """Steps per second over a stretch of time; every step ends with its loss on the host."""
    count, started_s = 0, time.perf_counter()
    while count < 2 or time.perf_counter() - started_s < for_s:
        step()
        count += 1
    if device.type == "cuda":
        torch.cuda.synchronize()
    return count / (time.perf_counter() - started_s)


def work(job: dict[str, Any]) -> None:
    """A racer's process: makes its first step, then for each line that it is sent as many as fit into the seconds."""
    answers, sys.stdout = sys.stdout, sys.stderr  # some peers print
    torch.manual_seed(0)
    shape, device = Shape(**job["shape"]), resolve_device(job["device"])
    started_s = time.perf_counter()
    if job["name"] in OURS:
        step = our_step(job["name"], shape, job["mode"], device)
    else:
        step = peer_step(job["name"], shape, job["mode"], device, job["nanogpt"])
    step()
    first_step_s = time.perf_counter() - started_s
    step()  # before the answer, so that it falls into nobody's turn
    print(json.dumps(first_step_s), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(steps_per_s(step, float(line), device)), file=answers, flush=True)


class Racer:
    """One network in one mode, in a process of its own."""

    def __init__(self, name: str, shape: Shape, mode: str, arguments: argparse.Namespace) -> None:
        self.name, self.mode = name, mode
        self.speeds: list[float] = []
        self._tokens = shape.batch * shape.context
        job = {"name": name, "shape": vars(shape), "mode": mode, "device": arguments.device}
        job["nanogpt"] = str(arguments.nanogpt) if arguments.nanogpt else None
        command = [sys.executable, __file__, "--worker", json.dumps(job)]
        self._said = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._said, text=True
        )
        self.first_step_s = self._answer()

    def race(self, for_s: float) -> None:
        """One turn."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{for_s}\n")
        self._process.stdin.flush()
        self.speeds.append(self._answer() * self._tokens)

    def leave(self) -> None:
        """Ends the process."""
        self._process.communicate()

    def _answer(self) -> float:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            self._process.communicate()
            self._said.seek(0)
            raise RuntimeError((self._said.read().strip().splitlines() or ["it ended without a word"])[-1])
        return float(json.loads(line))


@contextmanager
def racers(entries: list[tuple[str, str]], shape: Shape, arguments: argparse.Namespace) -> Iterator[list[Racer]]:
    """Those of the (name, mode) that could start."""
    there: list[Racer] = []
    try:
        for name, mode in entries:
            try:
                there.append(Racer(name, shape, mode, arguments))
            except RuntimeError as error:
                print(f"{name}, {mode}: left out ({error})", file=sys.stderr, flush=True)
        yield there
    finally:
        for racer in there:
            racer.leave()


def race(there: list[Racer], arguments: argparse.Namespace, dtype: str | None = None) -> list[float]:
    """All take turns, forwards and backwards; the peak of `dtype` after each round, in GFLOP/s."""
    device, peaks = resolve_device(arguments.device), []
    for number in range(arguments.rounds):
        for racer in there if number % 2 == 0 else reversed(there):
            racer.race(arguments.seconds)
        if dtype is not None:
            peaks.append(peak_gflops(getattr(torch, dtype), device))
    return peaks


def peak_gflops(dtype: torch.dtype, device: torch.device, size: int = 2048, for_s: float = 0.5) -> float:
    """The fastest of the products of two (size, size) matrices."""
    left, right = (torch.randn(size, size, dtype=dtype, device=device) for _ in range(2))
    best, until_s = 0.0, time.perf_counter() + for_s
    while best == 0.0 or time.perf_counter() < until_s:
        started_s = time.perf_counter()
        left @ right
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = max(best, 2 * size**3 / (time.perf_counter() - started_s) / 1e9)
    return best


def contest(shape: Shape, arguments: argparse.Namespace) -> tuple[list[str], list[dict[str, Any]]]:
    """Every mode, then the best of ours against the best of theirs: table rows and figures."""
    results: list[dict[str, Any]] = []
    for mode in arguments.modes:
        entries = [(name, mode) for name in arguments.racers]
        with racers(entries, shape, arguments) as there:
            peaks = race(there, arguments, mode.split()[0])
            results += [
                {
                    "who": racer.name,
                    "mode": mode,
                    "first_step_s": racer.first_step_s,
                    "tokens_per_s": racer.speeds,
                    "peaks_gflops": peaks,
                }
                for racer in there
            ]
    rows = []
    for result in results:
        median = statistics.median(result["tokens_per_s"])
        result["gflops"] = shape.flops_per_token * median / 1e9
        result["of_peak"] = statistics.median(
            shape.flops_per_token * speed / 1e9 / peak
            for speed, peak in zip(result["tokens_per_s"], result["peaks_gflops"], strict=True)
        )
        result["shape"] = vars(shape)
        rows.append(
            f"| {shape} | {result['who']} | {result['mode']} | {median:,.0f} "
            f"| {min(result['tokens_per_s']):,.0f}–{max(result['tokens_per_s']):,.0f} "
            f"| {result['gflops']:.0f} | {result['of_peak']:.0%} | {result['first_step_s']:.1f} |"
        )
    for peer, equal in EQUALS.items():
        final = best_of(results, equal), best_of(results, peer)
        if None in final:
            continue
        with racers([entry for entry in final if entry], shape, arguments) as there:
            race(there, arguments)
            if len(there) == 2:
                ours, theirs = there
                ratio = statistics.median(mine / other for mine, other in zip(ours.speeds, theirs.speeds, strict=True))
                rows.append(
                    f"| {shape} | **{ours.name} ({ours.mode}) / {theirs.name} ({theirs.mode})** | best of each "
                    f"| **{ratio:.2f}×** | | | | |"
                )
                speeds = {"ours": ours.speeds, "theirs": theirs.speeds}
                who = f"{equal} / {peer}, best of each"
                results.append({"shape": vars(shape), "who": who, "ratio": ratio, "tokens_per_s": speeds})
    return rows, results


def best_of(results: list[dict[str, Any]], name: str) -> tuple[str, str] | None:
    """Name and mode of what was fastest; None where it did not run."""
    medians = {result["mode"]: statistics.median(result["tokens_per_s"]) for result in results if result["who"] == name}
    return (name, max(medians, key=lambda mode: medians[mode])) if medians else None


def main() -> None:
    """Races at every shape, prints a table, saves it with machine and versions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--modes", nargs="+", choices=MODES, default=list(MODES))
    parser.add_argument("--racers", nargs="+", choices=(*OURS, *PEERS), default=[*OURS, *PEERS])
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each turn")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--nanogpt", type=Path, help="nanoGPT's model.py, to race that file itself")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.worker:
        work(json.loads(arguments.worker))
        return
    table = [
        "| shape (d/L/H) | who | mode | tokens/s (median) | min–max | GFLOP/s | of peak | first step, s |",
        "|---|---|---|---:|---:|---:|---:|---:|",
    ]
    results: list[dict[str, Any]] = []
    for name in arguments.shapes:
        rows, figures = contest(SHAPES[name], arguments)
        print(*rows, sep="\n", file=sys.stderr, flush=True)
        table, results = table + rows, results + figures
    print(f"`python benchmarks/training_speed.py {' '.join(sys.argv[1:])}`\n", *table, sep="\n")
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        facts = {"threads": torch.get_num_threads(), "environment": environment(), "results": results}
        arguments.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
