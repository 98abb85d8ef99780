"""Small things to test with, for this project and for whoever builds on it: a network, a tokenizer, a whole run."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atinuke.models import ModelConfig, build_model
from atinuke.models.config import ModelKind, saved_network
from atinuke.models.decoder import Decoder
from atinuke.train.progress import Quiet

if TYPE_CHECKING:
    from torch import nn

    from atinuke.machine import Machine
    from atinuke.run_folder import RunFolder
    from atinuke.train.config import TrainConfig
    from atinuke.train.lessons.lesson import Lesson

TEXT = """\
Humpty Dumpty sat on a wall,
Humpty Dumpty had a great fall.
All the king's horses and all the king's men
Couldn't put Humpty together again.
"""
PAIRS = tuple(
    (f"{number} {german} auf der Mauer", f"{number} {english} on the wall")
    for number in range(8)
    for german, english in (("Eier sitzen", "eggs sit"), ("Reiter stehen", "horsemen stand"), ("Katzen", "cats"))
)
"""German and English, for `make_translator`."""
LEAVES = "red,green,blue,volume,kind\n" + "".join(
    f"{32 + row},{107 - row},{56 + row},{11 + row},leaf\n{160 - row},{130 + row},{40 + row},{60 - row},flower\n"
    for row in range(12)
)
"""A table of colours and volumes, for `make_classifier`."""


class Listener(Quiet):
    """Shows nothing, and remembers what it was told."""

    def __init__(self) -> None:
        super().__init__()
        self.said: list[str] = []

    def say(self, text: str) -> None:
        self.said.append(text)


def tiny_network(kind: ModelKind = "atinuke", *, vocab_size: int = 61, context: int = 16) -> ModelConfig:
    """A network of a few thousand parameters, no two sizes of which are equal, so that none can stand for another."""
    return ModelConfig(
        kind=kind,
        vocab_size=vocab_size,
        model_dim=24,
        key_dim=20,
        hidden_dim=40,
        head_count=2,
        layer_count=3,
        context=context,
        max_len=4 * context,
    )


def tiny_model(
    kind: ModelKind = "atinuke", *, vocab_size: int = 61, context: int = 16, seed: int = 0, spread: float = 0.3
) -> Decoder:
    """A network with all its weights from N(0, spread), so that every part of it matters to its output.

    Fresh networks have zeros in places, to train well; a test could not see what those parts do. torch's random
    state is left as it was.
    """
    model = _randomised(tiny_network(kind, vocab_size=vocab_size, context=context), seed, spread)
    assert isinstance(model, Decoder)
    return model


def make_run(
    folder: Path,
    kind: ModelKind = "atinuke",
    *,
    tokenizer: str = "bpe",
    text: str = 40 * TEXT,
    suffix: str = ".txt",
    seed: int = 0,
) -> Path:
    """A complete run folder, written by the functions of the trainer around a network of random weights.

    It is scored, sampled from, reported and sealed like any other; only the training did not take place. `text` is
    what its source holds, the name of which ends in `suffix`. The kind "bert" fills in masks, all others go on.
    """
    from atinuke.data.corpus import write_corpus
    from atinuke.data.sources import Sources
    from atinuke.data.split import scan
    from atinuke.durable import write_atomic
    from atinuke.run_folder import RunFolder
    from atinuke.tokenizers import train_tokenizer
    from atinuke.train.config import TrainConfig
    from atinuke.train.lessons.masked import MaskedLesson
    from atinuke.train.lessons.text import TextLesson

    run = RunFolder(folder)
    run.create()
    source = run.path / f"source{suffix}"
    write_atomic(source, text)
    sources = Sources([str(source)])
    scanned = scan(sources, TrainConfig().data.split, sample_bytes=len(text.encode()))
    trained = train_tokenizer(tokenizer, scanned.sample, None if tokenizer == "char" else 300)
    cfg = _one_step(
        kind,
        seed,
        data={"sources": [str(source)]},
        tokenizer={"kind": tokenizer, "vocab_size": trained.vocab_size},
        model={"has_mask": kind == "bert"},
    )
    corpus = write_corpus(sources, scanned, trained, run.data)
    facts = {"bytes_per_token": len(text) / len(trained.encode(text))}
    lesson = MaskedLesson if kind == "bert" else TextLesson
    spread = 0.5 if kind == "bert" else 0.1  # norms after each sublayer would else leave nothing of their input
    return _finish(run, lesson(cfg, saved_network(cfg.model_dump()), trained, facts, corpus), cfg, spread)


def make_translator(folder: Path, kind: ModelKind = "seq2seq", *, seed: int = 0) -> Path:
    """As `make_run`, a run that was trained on PAIRS; a kind that continues text reads source and target in a row."""
    pairs = folder / "pairs.tsv"
    _write(pairs, "".join(f"{source}\t{target}\n" for source, target in PAIRS))
    tokenizer = {"kind": "bpe", "vocab_size": 300}
    sizes = {"context": 48, "max_len": 64}
    return _prepare(
        folder, _one_step(kind, seed, data={"pairs": [str(pairs)]}, tokenizer=tokenizer, model=sizes, batch_seqs=None)
    )


def make_classifier(folder: Path, *, table: str = LEAVES, label: str = "kind", seed: int = 0) -> Path:
    """As `make_run`, a run that was trained on the rows of `table` (CSV) to find the column `label`."""
    source = folder / "table.csv"
    _write(source, table)
    data = {"examples": [str(source)], "label": label}
    return _prepare(folder, _one_step("perceptron", seed, data=data))


def make_answerer(folder: Path, *, labels: Sequence[str] = ("left", "right"), seed: int = 0) -> Path:
    """As `make_run`, a run that was trained on `make_examples`: it answers pictures, sounds and texts."""
    examples = make_examples(folder / "examples", labels)
    picture = {"height": 8, "width": 8, "channels": 1, "patch": 4, "stem": "linear"}
    tokenizer = {"kind": "bpe", "vocab_size": 300}
    return _prepare(
        folder,
        _one_step(
            "atinuke",
            seed,
            data={"examples": [str(examples)]},
            tokenizer=tokenizer,
            model={"picture": picture, "context": 64, "max_len": 256},
        ),
    )


def make_examples(folder: Path, labels: Sequence[str] = ("left", "right"), count: int = 6) -> Path:
    """A .jsonl file of `count` labelled pictures (8 × 8 pixels), as many sounds (0.1 s) and texts, all different."""
    import json
    import random
    import wave

    drawn = random.Random(len(labels))
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, str]] = []
    for number in range(count):
        label = labels[number % len(labels)]
        picture, sound = f"{number}.pgm", f"{number}.wav"
        (folder / picture).write_bytes(b"P5 8 8 255\n" + drawn.randbytes(64))
        with wave.open(str(folder / sound), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(8000)
            file.writeframes(drawn.randbytes(1600))
        words = " ".join(drawn.choice(TEXT.split()) for _ in range(4))
        rows += [{kind: name, "label": label} for kind, name in (("picture", picture), ("sound", sound))]
        rows.append({"text": f"{words} {number}", "label": label, "question": "Which side?"})
    _write(folder / "examples.jsonl", "".join(json.dumps(row) + "\n" for row in rows))
    return folder / "examples.jsonl"


def _one_step(kind: ModelKind, seed: int, *, model: Mapping[str, Any] | None = None, **sections: Any) -> "TrainConfig":
    """A configuration of a tiny network without open choices, but for what a lesson finds in its data."""
    from atinuke.train.config import TrainConfig

    sizes = tiny_network(kind).model_dump(exclude={"vocab_size"})
    more = {"budget": {"steps": 1}, "batch_seqs": 4, "dtype": "float32", "compile": False, "seed": seed}
    return TrainConfig.model_validate({"model": {**sizes, **(model or {})}, **more, **sections})


def _prepare(folder: Path, cfg: "TrainConfig") -> Path:
    """The run of the lesson that `cfg` names, prepared as `atinuke train` does."""
    import torch

    from atinuke.run_folder import RunFolder
    from atinuke.train.lessons import lesson_for
    from atinuke.train.lessons.lesson import Workbench
    from atinuke.train.schedule import Clock

    run, display = RunFolder(folder), Quiet()
    run.create()
    kind = lesson_for(cfg)
    bench = Workbench(torch.device("cpu"), _unmeasured_machine(), Clock(0.0), display)
    run.state.mkdir(exist_ok=True)
    return _finish(run, kind.prepare(cfg, kind.read(cfg, display), run, bench), cfg, 0.2)


def _finish(run: "RunFolder", lesson: "Lesson", asked: "TrainConfig", spread: float) -> Path:
    """Everything that a run holds after training and scoring, around weights from N(0, spread); `asked`: as typed."""
    from atinuke.durable import to_json, write_atomic
    from atinuke.machine import environment, resolve_device
    from atinuke.run_folder import MetricsWriter
    from atinuke.train.loop import TrainState
    from atinuke.train.results import first_summary, score_and_report
    from atinuke.train.resuming import save_request
    from atinuke.weights import save_weights

    cfg = lesson.config
    save_request(run, asked)
    if lesson.tokenizer is not None:
        lesson.tokenizer.save(run.tokenizer)
    write_atomic(run.environment, to_json(environment()))
    write_atomic(run.config, cfg.to_json())
    model = _randomised(lesson.network, cfg.seed, spread)
    lesson.begin(model, Quiet())
    save_weights(run.model, model)
    row = {"step": 1, "tokens": 64, "elapsed_s": 0.1, "loss": 5.0, "lr": 1e-3, "tokens_per_s": 640.0, "grad_norm": 1.0}
    with MetricsWriter(run.metrics) as metrics:
        metrics.append(row)
    summary = first_summary(lesson, TrainState(model, []), run, resolve_device("cpu"), [])
    write_atomic(run.summary, to_json(summary | {"elapsed_s": 0.0}))
    score_and_report(run, lesson, model, Quiet())
    run.seal()
    return run.path


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _unmeasured_machine() -> "Machine":
    """One that promises nothing; where all sizes are given, nothing is chosen by it."""
    from atinuke.machine import Machine

    return Machine(
        device="cpu",
        cores=1,
        cpu="",
        memory_gib=1.0,
        memory_available_gib=1.0,
        disk_free_gib=1.0,
        fp32_gflops=1.0,
        bf16_gflops=0.0,
        compiler=None,
        has_python_headers=False,
        gpu_name=None,
        gpu_memory_gib=None,
        gpu_count=0,
        has_mps=False,
        os="",
        python="",
        torch="",
    )


def _randomised(network: ModelConfig, seed: int, spread: float) -> "nn.Module":
    import torch

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        model = build_model(network)
        for parameter in model.parameters():
            parameter.normal_(std=spread)
    return model.eval()
