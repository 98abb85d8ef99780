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
from atinuke.generate.answering import Answers, known_labels, write_answer
from atinuke.generate.classifying import classify_table
from atinuke.generate.loading import TrainedRun
from atinuke.models.config import ModelConfig
from atinuke.models.layers.prefix import Prefix

LONGEST_ANSWER = 64
"""Tokens that are written freely, at most."""
SHOWN_LABELS = 5
SHOWN_CHARS = 60
"""Of a text in a remark about it."""


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
            yield _ask(trained, name, question, prefix)


def answer_text(trained: TrainedRun, text: str) -> Answer:
    """The answer to a text, for a run that was trained on labelled ones; one that is too long is cut, and that said."""
    prompt, name = _ids(trained, text), printable(text)
    longest = max(map(len, _label_ids(trained, known_labels(trained.folder))), default=1)
    room = max(1, trained.context - 1 - longest)  # as in training: the answer has to fit behind it
    if len(prompt) > room:
        shown = name if len(name) <= SHOWN_CHARS else name[:SHOWN_CHARS] + "…"
        _say(f"{shown} was cut from {len(prompt):,} to its first {room:,} tokens: so many are read at once.")
    return _answer(trained, name, {"input": text}, prompt[:room], None)


def _ask(trained: TrainedRun, name: str, question: str, prefix: Prefix) -> Answer:
    prompt = _ids(trained, question)
    if len(prompt) >= trained.context:
        raise ConfigError(
            f"The question has {len(prompt):,} tokens and this network was trained for fewer than {trained.context:,}; "
            "give a shorter one."
        )
    return _answer(trained, printable(name), {"input": name, "question": question}, prompt, prefix)


def _answer(trained: TrainedRun, name: str, asked: dict[str, Any], prompt: list[int], prefix: Prefix | None) -> Answer:
    tokenizer, decoder = trained.tokenizer, trained.decoder
    written = tokenizer.decode(
        write_answer(
            decoder,
            prompt,
            prefix,
            end_id=tokenizer.end_id,
            vocab_size=tokenizer.vocab_size,
            most=min(LONGEST_ANSWER, decoder.max_len - len(prompt)),
        )
    )
    chances: list[tuple[str, float]] = []
    labels = known_labels(trained.folder)
    answers = Answers(_label_ids(trained, labels), tokenizer.end_id)
    if labels and answers.are_compared:
        device = next(decoder.parameters()).device
        tokens = torch.tensor([[*prompt, tokenizer.end_id]], device=device)
        start = torch.tensor([len(prompt)], device=device)
        found = answers.log_chances(decoder, tokens, start, prefix)[0].exp().tolist()
        chances = sorted(zip(labels, found, strict=True), key=lambda pair: -pair[1])[:SHOWN_LABELS]
    sure = next((chance for label, chance in chances if label == written), None)
    return Answer(
        f"{name}: {printable(written)}{_share(sure)}", {**asked, "answer": written, "probabilities": dict(chances)}
    )


def _ids(trained: TrainedRun, text: str) -> list[int]:
    return [int(id) for id in trained.tokenizer.encode(text)]


def _label_ids(trained: TrainedRun, labels: Sequence[str]) -> list[list[int]]:
    return [[int(id) for id in ids] for ids in trained.tokenizer.encode_batch(labels)]


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
