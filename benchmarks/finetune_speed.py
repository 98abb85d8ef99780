"""Fine-tuning beside transformers' Trainer: tokens a second on one network, one data set, one machine, in turn.

    python benchmarks/finetune_speed.py --rounds 3 --steps 150 --out results.json

The network is a BERT with fresh weights, saved as a Hugging Face folder with a WordPiece vocabulary of the sentences;
both sides begin with that folder, learn SST-2 in batches of 32, in float32, without dropout, with AdamW. Each run is a
process of its own, and they take turns. Counted are real tokens (no padding) over the time of the steps alone, the
first tenth left out: reading, tokenizing and scoring are in neither figure.

Trainer runs as its users run it (rows padded to the longest of a batch of random rows), and once more with rows of like
length together (`train_sampling_strategy="group_by_length"`, or the older flag of that name), as ours are.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

DATA = Path(os.environ.get("ATINUKE_DATA", "../shared/data")) / "glue" / "SST-2"
BATCH = 32
SHAPES = {"small": (128, 4, 4), "medium": (256, 6, 8)}
"""hidden_size, layers, heads."""


def make_network(folder: Path, shape: tuple[int, int, int], sentences: list[str]) -> None:
    """A Hugging Face folder: BERT with fresh weights, and a vocabulary of these sentences."""
    import torch
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertConfig, BertForPreTraining, BertTokenizerFast

    torch.manual_seed(0)
    width, layers, heads = shape
    pieces = BertWordPieceTokenizer(lowercase=True)
    pieces.train_from_iterator(sentences, vocab_size=8192, show_progress=False)
    folder.mkdir(parents=True)
    pieces.save_model(str(folder))
    BertTokenizerFast(vocab=str(folder / "vocab.txt"), do_lower_case=True).save_pretrained(folder)
    config = BertConfig(
        vocab_size=pieces.get_vocab_size(),
        hidden_size=width,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        intermediate_size=4 * width,
        max_position_embeddings=128,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    BertForPreTraining(config).save_pretrained(folder)


def read_sentences() -> tuple[list[str], list[int]]:
    """SST-2's training sentences and labels."""
    import gzip

    with gzip.open(DATA / "train.tsv.gz", "rt", encoding="utf-8") as lines:
        next(lines)
        rows = [line.rstrip("\n").split("\t") for line in lines]
    return [text for text, _ in rows], [int(label) for _, label in rows]


def ours(folder: Path, steps: int, out: Path) -> float:
    """Tokens a second of `atinuke finetune`."""
    from atinuke.cli import main

    command = ["finetune", "--init", str(folder), "--task", "sst2", "--data", str(DATA), "--steps", str(steps)]
    command += ["--set", f"batch_seqs={BATCH}", "--set", "dtype=float32", "--set", "task.head_dropout=0"]
    assert main([*command, "--out", str(out), "--quiet"]) == 0
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()][steps // 10 :]
    return (rows[-1]["tokens"] - rows[0]["tokens"]) / (rows[-1]["elapsed_s"] - rows[0]["elapsed_s"])


def trainer(folder: Path, steps: int, out: Path, grouped: bool) -> float:
    """Tokens a second of transformers' Trainer."""
    import torch
    from transformers import (
        AutoModelForSequenceClassification,
        AutoTokenizer,
        DataCollatorWithPadding,
        Trainer,
        TrainerCallback,
        TrainingArguments,
    )

    texts, labels = read_sentences()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    encoded = tokenizer(texts, truncation=True, max_length=128)
    rows = [
        {"input_ids": ids, "attention_mask": mask, "label": label}
        for ids, mask, label in zip(encoded["input_ids"], encoded["attention_mask"], labels, strict=True)
    ]
    told: list[tuple[int, float]] = []
    count = [0]
    collate = DataCollatorWithPadding(tokenizer)

    def collating(features: list[dict[str, Any]]) -> Any:
        batch = collate(features)
        count[0] += int(batch["attention_mask"].sum())
        return batch

    class Timing(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            told.append((count[0], time.perf_counter()))

    fields = TrainingArguments.__dataclass_fields__
    settings: dict[str, Any] = {"group_by_length": True} if "group_by_length" in fields else {}
    if "train_sampling_strategy" in fields:
        settings = {"train_sampling_strategy": "group_by_length"}
    arguments = TrainingArguments(
        output_dir=str(out),
        per_device_train_batch_size=BATCH,
        max_steps=steps,
        learning_rate=3e-5,
        save_strategy="no",
        report_to=[],
        logging_steps=steps,
        disable_tqdm=True,
        use_cpu=not torch.cuda.is_available(),
        **(settings if grouped else {}),
    )
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=2)
    Trainer(model=model, args=arguments, train_dataset=rows, data_collator=collating, callbacks=[Timing()]).train()
    first, last = told[steps // 10], told[-1]
    return (last[0] - first[0]) / (last[1] - first[1])


def main() -> None:
    """Runs both sides in turn, and prints and saves the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=150)
    parser.add_argument("--shapes", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--worker", nargs=2, metavar=("WHO", "FOLDER"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        who, folder = arguments.worker
        with tempfile.TemporaryDirectory() as out:
            place = Path(out) / "run"
            speed = (
                ours(Path(folder), arguments.steps, place)
                if who == "atinuke"
                else trainer(Path(folder), arguments.steps, place, who.endswith("grouped"))
            )
        print(json.dumps(speed))
        return
    from atinuke.machine import environment

    racers = ("atinuke", "Trainer", "Trainer, grouped")
    results: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as home:
        for shape in arguments.shapes:
            folder = Path(home) / shape
            make_network(folder, SHAPES[shape], read_sentences()[0])
            speeds: dict[str, list[float]] = {racer: [] for racer in racers}
            for number in range(arguments.rounds):
                for racer in racers if number % 2 == 0 else reversed(racers):
                    command = [
                        sys.executable,
                        __file__,
                        "--worker",
                        racer,
                        str(folder),
                        "--steps",
                        str(arguments.steps),
                    ]
                    done = subprocess.run(command, capture_output=True, text=True)
                    if done.returncode:
                        raise SystemExit(f"{racer} ended with {done.returncode}: {done.stderr[-2000:]}")
                    speeds[racer].append(json.loads(done.stdout.strip().splitlines()[-1]))
                    print(shape, racer, f"{speeds[racer][-1]:,.0f}", file=sys.stderr, flush=True)
            results.append({"shape": shape, "tokens_per_s": speeds})
    print(f"`python benchmarks/finetune_speed.py {' '.join(sys.argv[1:])}`\n")
    print("| network | " + " | ".join(racers) + " | ours / Trainer | ours / grouped |")
    print("|---|" + "---:|" * (len(racers) + 2))
    for result in results:
        speeds = result["tokens_per_s"]
        cells = [f"{statistics.median(speeds[racer]):,.0f}" for racer in racers]
        ratios = [
            statistics.median(mine / other for mine, other in zip(speeds["atinuke"], speeds[racer], strict=True))
            for racer in racers[1:]
        ]
        width, layers, _ = SHAPES[result["shape"]]
        print(f"| BERT {width} × {layers} | " + " | ".join([*cells, *(f"{ratio:.2f}×" for ratio in ratios)]) + " |")
    if arguments.out:
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        arguments.out.write_text(json.dumps({"machine": environment(), "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
