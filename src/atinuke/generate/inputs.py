"""What a run is asked about: pictures, sounds and texts one by one, tables row by row."""

import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from atinuke.config import printable
from atinuke.data.batches.examples import picture_values, sound_values
from atinuke.data.example_sources import kind_of
from atinuke.data.pictures import read_picture
from atinuke.data.sounds import read_sound
from atinuke.errors import ConfigError, RunFolderError
from atinuke.generate.answering import Answers, write_answer
from atinuke.generate.classifying import classify_table
from atinuke.generate.loading import TrainedRun
from atinuke.models.config import ModelConfig
from atinuke.models.layers.prefix import Prefix

LONGEST_ANSWER = 64
"""Tokens that are written freely, at most."""
SHOWN_LABELS = 5


@dataclass(frozen=True)
class Answer:
    """What is said of one input."""

    line: str
    facts: dict[str, Any]
    """The same and more, for JSON."""


def answer_inputs(trained: TrainedRun, inputs: Sequence[str], question: str) -> Iterator[Answer]:
    """The answer for each file, in their order, each row of a table by itself.

    RunFolderError where the run was not trained on such a file, SourceError where a file cannot be read.
    """
    for name in inputs:
        if trained.network.numbers:
            for place, text, chances in classify_table(trained, name):
                line = f"{place}: {text}" + "".join(f"  {label} {100 * chance:.1f} %" for label, chance in chances)
                yield Answer(line, {"input": place, "answer": text, "probabilities": dict(chances)})
        else:
            prefix = _read(trained.network, name, next(trained.model.parameters()).device)
            yield _answer(trained, printable(name), {"input": name, "question": question}, question, prefix)


def answer_text(trained: TrainedRun, text: str) -> Answer:
    """The answer to a text, for a run that was trained on labelled ones."""
    return _answer(trained, printable(text), {"input": text}, text, None)


def _answer(trained: TrainedRun, name: str, asked: dict[str, Any], question: str, prefix: Prefix | None) -> Answer:
    tokenizer, decoder = trained.tokenizer, trained.decoder
    prompt = [int(id) for id in tokenizer.encode(question)]
    if len(prompt) >= trained.context:
        raise ConfigError(
            f"The question has {len(prompt):,} tokens and this network was trained for fewer than {trained.context:,}; "
            "give a shorter one."
        )
    written = tokenizer.decode(
        write_answer(
            decoder,
            prompt,
            prefix,
            end_id=tokenizer.end_id,
            vocab_size=tokenizer.vocab_size,
            most=LONGEST_ANSWER,
        )
    )
    chances: list[tuple[str, float]] = []
    if labels := trained.folder.read_summary().get("labels"):
        ids = [[int(id) for id in each] for each in tokenizer.encode_batch(labels)]
        device = next(decoder.parameters()).device
        tokens = torch.tensor([[*prompt, tokenizer.end_id]], device=device)
        start = torch.tensor([len(prompt)], device=device)
        found = Answers(ids, tokenizer.end_id).log_chances(decoder, tokens, start, prefix)[0].exp().tolist()
        chances = sorted(zip(labels, found, strict=True), key=lambda pair: -pair[1])[:SHOWN_LABELS]
    sure = next((chance for label, chance in chances if label == written), None)
    return Answer(
        f"{name}: {printable(written)}{_share(sure)}", {**asked, "answer": written, "probabilities": dict(chances)}
    )


def _read(network: ModelConfig, name: str, device: torch.device) -> Prefix:
    kind = kind_of(name)
    if kind == "picture":
        if network.picture is None:
            raise RunFolderError(f"{printable(name)} is a picture, and this run was not trained on pictures.")
        shape = network.picture
        picture = read_picture(Path(name), height=shape.height, width=shape.width, channels=shape.channels, say=_say)
        return Prefix("picture", picture_values(picture[None]).to(device))
    if kind == "sound":
        if network.sound is None:
            raise RunFolderError(f"{printable(name)} is a sound, and this run was not trained on sounds.")
        rate_hz, max_s = network.sound.sample_rate_hz, network.sound.max_s
        sound = read_sound(Path(name), sample_rate_hz=rate_hz, say=_say)
        if len(sound) > int(rate_hz * max_s):
            _say(f"{printable(name)} was cut to its first {max_s:g} s.")
            sound = sound[: int(rate_hz * max_s)]
        values, lengths = sound_values([sound])
        return Prefix("sound", values.to(device), lengths.to(device))
    raise ConfigError(f"--input {printable(name)} is neither a picture nor a sound by its name; expected .png, .wav, …")


def _say(line: str) -> None:
    print(line, file=sys.stderr)


def _share(chance: float | None) -> str:
    return "" if chance is None else f"  ({100 * chance:.1f} %)"
