"""`litgpt pretrain` on text files, from text to a saved model. Its schedule needs a number of steps beforehand.

The steps come from the race, which has calibrated them; while calibrating, the command is ended after some steps.
"""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))

from racing import SEPARATOR, Race, asked, drawn, train_tokenizer, training_texts

STEP = re.compile(r"^Epoch \d+ \| iter \d+ step (\d+) ")
PARAMETERS = re.compile(r"^Total parameters: ([\d,]+)")


def main() -> None:
    """Prepares, and runs the command."""
    race = asked()
    flags = race.settings["flags"]
    texts = training_texts(race.corpus)
    vocab_size = race.settings["vocab"]["large" if sum(map(len, texts)) > 10e6 else "small"]
    _write_tokenizer(race, texts, vocab_size)
    _write_texts(race, texts)
    tokens_per_step = int(flags["train.global_batch_size"]) * int(flags["train.max_seq_length"])
    steps = race.steps if race.steps is not None else 10_000_000
    command = [str(Path(sys.executable).parent / "litgpt"), "pretrain", "pythia-14m"]
    told = {
        **flags,
        "model_config.name": "pythia-14m-tiny",
        "model_config.vocab_size": vocab_size,
        "model_config.padded_vocab_size": vocab_size,
        "model_config.block_size": flags["train.max_seq_length"],
        "train.max_tokens": steps * tokens_per_step,
        "tokenizer_dir": race.out / "tokenizer",
        "out_dir": race.out / "litgpt",
        "data": "TextFiles",
        "data.train_data_path": race.out / "texts",
        "data.val_data_path": race.out / "sanity",
        "data.num_workers": 0,
        "logger_name": "csv",
        "seed": race.seed,
    }
    if adamw := race.settings.get("adamw"):
        told["optimizer"] = json.dumps({"class_path": "torch.optim.AdamW", "init_args": adamw})
    for name, value in told.items():
        command += [f"--{name}", str(value)]
    params = _watch(race, command)
    race.report(params=params, tokens_per_step=tokens_per_step)


def _write_tokenizer(race: Race, texts: list[str], vocab_size: int) -> None:
    folder = race.out / "tokenizer"
    folder.mkdir(parents=True)
    tokenizer = train_tokenizer(drawn(texts, race.settings.get("tokenizer_mb"), 0), vocab_size)
    tokenizer.save(str(folder / "tokenizer.json"))
    told = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": SEPARATOR, "eos_token": SEPARATOR}
    (folder / "tokenizer_config.json").write_text(json.dumps(told), encoding="utf-8")


def _write_texts(race: Race, texts: list[str]) -> None:
    """The training texts as files; and, as it insists on validating, the first pages of the first of them."""
    for folder in ("texts", "sanity"):
        (race.out / folder).mkdir()
    for number, text in enumerate(drawn(texts, race.settings.get("encode_mb"), race.seed)):
        (race.out / "texts" / f"{number:05}.txt").write_bytes(text.encode())
    (race.out / "sanity" / "first.txt").write_bytes(texts[0][:60_000].encode())


def _watch(race: Race, command: list[str]) -> int:
    """Runs the command, noting when each step ends; the number of parameters that it reports."""
    environment = dict(os.environ, PYTHONUNBUFFERED="1")
    if not race.settings["compile"]:
        environment["TORCHDYNAMO_DISABLE"] = "1"
    params = step = 0
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment, cwd=race.out
    )
    assert process.stdout is not None
    race.begin()
    for line in process.stdout:
        if found := PARAMETERS.match(line):
            params = int(found[1].replace(",", ""))
        elif found := STEP.match(line):
            if int(found[1]) == step:
                continue
            step = int(found[1])
            is_over = race.step_ended()
            if step % 200 == 0:
                print(line, end="", flush=True)
            if race.calibrate_s is not None and is_over:
                process.kill()
                break
            continue
        elif line.startswith("Measured TFLOPs"):
            race.begin()
        print(line, end="", flush=True)
    if process.wait() and race.calibrate_s is None:
        raise SystemExit(process.returncode)
    return params


if __name__ == "__main__":
    main()
