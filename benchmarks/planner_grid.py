"""The grid that the planner's law is fitted on: networks of several sizes, each trained on several amounts of text.

    python benchmarks/planner_grid.py --runs grid.jsonl --part 0/2    # as many parts as there are cores, side by side
    python benchmarks/planner_grid.py --fit grid.jsonl --out benchmarks/results/<date>-planner_grid/results.json

Each run trains a fixed number of tokens, so the load of the machine changes nothing but the time it takes; batch and
rates are the planner's own. What the second command prints goes into train/planning/law.py (DEFAULT) and forecast.py
(FIRST_OVER_LAST): tests/train/planning/test_forecast.py holds the two to the committed grid.
"""

import argparse
import itertools
import json
import math
import os
import statistics
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from atinuke.data.batches.windows import WindowBatches
from atinuke.data.corpus import Corpus, write_corpus
from atinuke.data.sources import Sources
from atinuke.data.split import SplitRules, scan
from atinuke.machine import environment, keep_freed_memory, probe_machine
from atinuke.models import build_model
from atinuke.tokenizers import Tokenizer, train_tokenizer
from atinuke.train.config import TrainConfig
from atinuke.train.engine import Engine
from atinuke.train.loop import StepMetrics, TrainState, fit
from atinuke.train.objectives import next_token
from atinuke.train.planning.choices import choose_batch_seqs, choose_pair_dropout, choose_rates
from atinuke.train.planning.fit import fit_law
from atinuke.train.planning.forecast import REPEATED_POWER, course_terms, foretell
from atinuke.train.planning.law import Point
from atinuke.train.planning.shapes import matrix_parameters, network_on
from atinuke.train.planning.text_facts import TextFacts
from atinuke.train.schedule import Clock, TokenPace
from atinuke.train.scoring import bits_per_byte

DATA = Path(os.environ.get("ATINUKE_DATA", "../shared/data"))
TEXTS = {
    "novels": DATA / "english-novels" / "100_english_novels.tar.gz",
    "shakespeare": DATA / "tinyshakespeare" / "input.txt.gz",
}
CONTEXT, VOCABULARY = 128, 2048
SCORED_BYTES = 500_000
MARKS = (0.01, 0.02, 0.03, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0)
"""Progress at which the training loss is kept: the mean of the last two fifths of what led there."""
# (text, rung of the ladder, tokens): cheap ones first
GRID = sorted(
    [
        ("novels", rung, tokens)
        for rung in range(5)
        for tokens in (250_000, 500_000, 1_000_000, 2_000_000, 4_000_000)
        if (rung, tokens) not in ((3, 4_000_000), (4, 4_000_000), (4, 2_000_000))
    ]
    + [("novels", 0, 16_000_000), ("novels", 1, 16_000_000), ("novels", 2, 8_000_000), ("novels", 3, 6_000_000)]
    + [("shakespeare", rung, tokens) for rung in (0, 1, 2) for tokens in (1_000_000, 3_000_000)],
    key=lambda run: (run[2] * (2 + run[1]) ** 2, run),
)


class LossKeeper:
    """An observer that keeps the loss of every step."""

    def __init__(self) -> None:
        self.losses: list[float] = []

    def after_step(self, state: TrainState, metrics: StepMetrics) -> None:
        self.losses.append(metrics.loss)

    def at_end(self, state: TrainState) -> None:
        pass

    def at(self, progress: float) -> float:
        """Nats per target around this part of the run, without what came long before."""
        end = max(1, round(progress * len(self.losses)))
        return statistics.fmean(self.losses[end * 3 // 5 : end])


def prepare(text: str, folder: Path) -> tuple[Corpus, Tokenizer, TextFacts, list[str]]:
    """One corpus and tokenizer for all runs on a text, and the held-out text that is scored."""
    sources = Sources([str(TEXTS[text])])
    scanned = scan(sources, SplitRules(), sample_bytes=8_000_000)
    tokenizer = train_tokenizer("bpe", scanned.sample, VOCABULARY)
    corpus = write_corpus(sources, scanned, tokenizer, folder, max_bytes=40_000_000)
    each = SCORED_BYTES // len(corpus.validation)
    scored = [held_out[:each] for held_out in corpus.validation]
    facts = TextFacts.measure(corpus.facts["train_bytes"], tokenizer, scanned.sample, scored)
    return corpus, tokenizer, facts, scored


def train_one(
    rung: int, tokens: int, corpus: Corpus, tokenizer: Tokenizer, text: TextFacts, scored: list[str]
) -> dict[str, Any]:
    """What one run came to."""
    cfg = TrainConfig.model_validate({"budget": {"tokens": tokens}, "dtype": "bfloat16", "compile": False})
    left_out = choose_pair_dropout(tokens / text.train_tokens)
    network = network_on(cfg, rung, CONTEXT, tokenizer.vocab_size).model_copy(update={"pair_dropout": left_out})
    batch_seqs = choose_batch_seqs(tokens, CONTEXT, text)
    optim = choose_rates(cfg.optim, "atinuke", batch_seqs * CONTEXT, tokens / text.train_tokens)
    cfg = cfg.model_copy(update={"optim": optim, "batch_seqs": batch_seqs})
    torch.manual_seed(cfg.seed)
    model = build_model(network)
    engine = Engine.build(model, cfg, next_token, torch.device("cpu"), probe_machine("cpu"))
    batches = WindowBatches(corpus.shards, context=CONTEXT, batch_seqs=batch_seqs, seed=cfg.seed)
    keeper = LossKeeper()
    fit(engine.state, batches, engine.rules, TokenPace(Clock(), tokens), [keeper])
    score = bits_per_byte(model, tokenizer, scored, CONTEXT)
    return {
        "model_dim": network.model_dim,
        "layer_count": network.layer_count,
        "parameters": matrix_parameters(network),
        "batch_tokens": batch_seqs * CONTEXT,
        "tokens": engine.state.tokens,
        "seen_bytes": round(engine.state.tokens * text.bytes_per_token),
        "unique_bytes": text.train_bytes,
        "bytes_per_token": round(text.bytes_per_token, 4),
        "difficulty": round(text.difficulty, 4),
        "held_out_ratio": round(text.held_out_ratio, 4),
        "val_bpb": round(score.bits_per_byte, 5),
        "losses": {str(mark): round(keeper.at(mark), 4) for mark in MARKS},
    }


def run_part(path: Path, part: int, parts: int) -> None:
    """Every `parts`-th run of the grid that is not in `path` yet."""
    done = {(row["text"], row["rung"], row["wanted_tokens"]) for row in read(path)}
    prepared: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        for text, rung, tokens in GRID[part::parts]:
            if (text, rung, tokens) in done:
                continue
            if text not in prepared:
                prepared[text] = prepare(text, Path(folder) / text)
            row = {"text": text, "rung": rung, "wanted_tokens": tokens}
            row |= train_one(rung, tokens, *prepared[text])
            print(json.dumps(row), file=sys.stderr, flush=True)
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(row) + "\n")


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The runs that are done."""
    if path.exists():
        yield from map(json.loads, path.read_text(encoding="utf-8").splitlines())


def of_new_text(row: dict[str, Any]) -> float:
    """Bits per byte, less what the planner counts for repetition: of novels, only the longest runs repeat some."""
    return float(row["val_bpb"] / max(1.0, row["seen_bytes"] / row["unique_bytes"]) ** REPEATED_POWER)


def fit_course(rows: list[dict[str, Any]]) -> tuple[list[float], float]:
    """FIRST_OVER_LAST of forecast.py, and the standard deviation of what is left."""
    terms, course = [], []
    for row, part in itertools.product(rows, (0.03, 0.05)):
        held_out = row["held_out_ratio"] / row["bytes_per_token"] / math.log(2) / row["val_bpb"]
        terms.append(course_terms(row["parameters"], row["seen_bytes"], part))
        course.append(math.log(row["losses"][str(part)] * held_out))
    columns = np.array(terms)
    solution, *_ = np.linalg.lstsq(columns, np.array(course), rcond=None)
    left = np.array(course) - columns @ solution
    return [round(float(value), 5) for value in solution], float(left.std(ddof=columns.shape[1]))


def main() -> None:
    """Runs a part of the grid, or fits what has been run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=Path, help="where finished runs are added; they are not repeated")
    parser.add_argument("--part", default="0/1", help="which part of how many")
    parser.add_argument("--fit", type=Path, help="the finished runs")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    if arguments.runs is not None:
        torch.set_flush_denormal(True)
        keep_freed_memory()
        run_part(arguments.runs, *map(int, arguments.part.split("/")))
    if arguments.fit is None:
        return
    rows = sorted(read(arguments.fit), key=lambda row: (row["text"], row["rung"], row["tokens"]))
    points = [
        Point(row["parameters"], row["seen_bytes"], of_new_text(row) / row["difficulty"], row["unique_bytes"])
        for row in rows
        if row["text"] == "novels"
    ]
    fitted = fit_law(points, resamples=200, seed=0, finds_gamma=True)
    course, spread = fit_course([row for row in rows if row["text"] == "novels"])
    print(f"`python benchmarks/planner_grid.py {' '.join(sys.argv[1:])}`\n")
    print("| text | model_dim | layers | block matrices | tokens | val_bpb | law, times difficulty |")
    print("|---|---:|---:|---:|---:|---:|---:|")
    for row in rows:
        text = TextFacts(*(row[name] for name in ("unique_bytes", "bytes_per_token", "difficulty")))
        law = foretell(row["parameters"], row["tokens"], text, fitted.law).middle
        print(
            f"| {row['text']} | {row['model_dim']} | {row['layer_count']} | {row['parameters']:,} | {row['tokens']:,} "
            f"| {row['val_bpb']:.4f} | {law:.4f} |"
        )
    print(f"\n{fitted.law}\n\nIntervals (90 %): {fitted.intervals}\n")
    print(
        f"Largest residual: {max(map(abs, fitted.residuals)):.4f}\n\n"
        f"FIRST_OVER_LAST = {tuple(course)}; spread {spread:.4f}"
    )
    if arguments.out:
        facts = {"environment": environment(), "first_over_last": course, "course_spread": round(spread, 5)}
        facts["law"] = asdict(fitted.law)
        facts["rows"] = rows
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
