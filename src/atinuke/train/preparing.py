"""From sources to a run that can start: read, split, tokenizer, plan, token shards. Reused when a run is resumed."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from atinuke.data.corpus import Corpus, write_corpus
from atinuke.data.sources import Sources
from atinuke.data.split import Scan, scan
from atinuke.durable import read_json, to_json, write_atomic
from atinuke.errors import ConfigError, RunFolderError, SourceError
from atinuke.machine import Machine
from atinuke.models import ModelConfig, build_model
from atinuke.models.config import saved_network
from atinuke.run_folder import RunFolder
from atinuke.tokenizers.tokenizer import Tokenizer
from atinuke.tokenizers.training import train_tokenizer
from atinuke.train.budget import TextFacts, choose_dtype, choose_vocabulary, make_plan, measure_step_s
from atinuke.train.config import TrainConfig
from atinuke.train.engine import Engine
from atinuke.train.progress import Display
from atinuke.train.schedule import Clock

TOKENIZER_BYTES_PER_S = 4e6
"""About what training a tokenizer takes on two cores; a time budget gives it three hundredths."""
READ_BYTES_PER_S, READ_PART = 25e6, 0.1
"""Reading goes over the text three times (scan, hold out, encode); a tenth of a time budget is enough for it. Of more
text than that, files are chosen by their names' hashes."""


@dataclass(frozen=True)
class Prepared:
    """What training starts from."""

    config: TrainConfig
    network: ModelConfig
    tokenizer: Tokenizer
    corpus: Corpus
    facts: dict[str, Any]
    """What was measured and chosen, for summary.json."""

    @property
    def bytes_per_token(self) -> float:
        """UTF-8 bytes of training text behind one token, on average."""
        return float(self.facts["bytes_per_token"])


def take_up(cfg: TrainConfig, folder: RunFolder, display: Display) -> Prepared:
    """What `prepare` left in the run folder; `cfg` is the resolved configuration that it saved.

    Shards that were deleted are written again from the sources.
    """
    tokenizer = Tokenizer.load(folder.tokenizer)
    network = saved_network(cfg.model_dump())
    if tokenizer.vocab_size != network.vocab_size:
        raise RunFolderError(
            f"{folder.tokenizer} has {tokenizer.vocab_size} ids and the network of this run {network.vocab_size}; "
            "the file is of another run. Start over with --fresh."
        )
    if folder.data.exists():
        corpus = Corpus.open(folder.data)
    else:
        sources, scanned = read(cfg, display)
        display.phase("encoding")
        corpus = write_corpus(sources, scanned, tokenizer, folder.data, max_bytes=cfg.data.max_bytes)
    return Prepared(cfg, network, tokenizer, corpus, read_json(_plan_path(folder)))


def read(cfg: TrainConfig, display: Display) -> tuple[Sources, Scan]:
    """Reads the sources through and holds text out; nothing is written yet."""
    display.phase("reading")
    most = None if cfg.budget.time_s is None else int(READ_BYTES_PER_S * READ_PART * cfg.budget.time_s)
    sources = Sources(cfg.data.sources, max_bytes=most)
    scanned = scan(sources, cfg.data.split, sample_bytes=_sample_bytes(cfg))
    for line in scanned.notes.describe()[1:]:  # what was read another way, or not at all
        display.say(line)
    return sources, scanned


def prepare(
    cfg: TrainConfig,
    sources: Sources,
    scanned: Scan,
    folder: RunFolder,
    device: torch.device,
    machine: Machine,
    clock: Clock,
    display: Display,
) -> Prepared:
    """Trains the tokenizer, makes the plan, writes the shards into the run folder."""
    display.phase("tokenizer")
    train_bytes = min(scanned.train_bytes, cfg.data.max_bytes or scanned.train_bytes)
    vocab_size = choose_vocabulary(cfg, train_bytes, machine)
    sampled = sum(len(text.encode()) for text in scanned.sample)
    if sampled < scanned.train_bytes:
        display.say(f"The tokenizer learns from a sample of {sampled / 1e6:.1f} of {scanned.train_bytes / 1e6:.1f} MB.")
    tokenizer = train_tokenizer(cfg.tokenizer.kind, scanned.sample, vocab_size, sample_bytes=_sample_bytes(cfg))
    if tokenizer.loss_note:
        display.say(tokenizer.loss_note)
    text = TextFacts(train_bytes, _bytes_per_token(tokenizer, scanned.sample))

    display.phase("planning")
    cfg = cfg.model_copy(
        update={"dtype": choose_dtype(cfg, device, machine), "compile": _choose_compile(cfg, device, machine)}
    )
    time_left_s = None if cfg.budget.time_s is None else 0.97 * cfg.budget.time_s - clock.elapsed_s()
    if time_left_s is not None and time_left_s <= 1.0:
        raise used_up(cfg, clock)
    plan = make_plan(
        cfg, tokenizer.vocab_size, text, time_left_s=time_left_s, step_seconds=_step_timer(cfg, device, machine)
    )
    network = saved_network(plan.config.model_dump())

    display.phase("encoding")
    corpus = write_corpus(sources, scanned, tokenizer, folder.data, max_bytes=plan.config.data.max_bytes)
    if corpus.shards.total_tokens <= network.context:
        raise SourceError(
            f"The training text has {corpus.shards.total_tokens:,} tokens; one window of context {network.context:,} "
            f"needs {network.context + 1:,}. Give more text, or a shorter --set model.context."
        )
    write_atomic(_plan_path(folder), to_json(plan.facts))
    return Prepared(plan.config, network, tokenizer, corpus, plan.facts)


def used_up(cfg: TrainConfig, clock: Clock) -> ConfigError:
    """The error for a budget that ends before training can begin."""
    return ConfigError(
        f"--time {cfg.budget.time_s:g}s is used up before the first step ({clock.elapsed_s():.1f} s for starting, "
        "reading and tokenizing). Give more time, or less text."
    )


def _plan_path(folder: RunFolder) -> Path:
    return folder.state / "plan.json"


def _step_timer(cfg: TrainConfig, device: torch.device, machine: Machine) -> Callable[[ModelConfig, int], float]:
    """Times steps on random tokens; the random state of the run is left as it was."""

    def seconds(network: ModelConfig, batch_seqs: int) -> float:
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            engine = Engine.build(build_model(network), cfg.model_copy(update={"compile": False}), device, machine)
            tokens = torch.randint(network.vocab_size, (batch_seqs, network.context + 1), device=device)
            return measure_step_s(lambda: lambda: engine.step_on(tokens), at_most_s=0.6)

    return seconds


def _choose_compile(cfg: TrainConfig, device: torch.device, machine: Machine) -> bool:
    """Compiling takes its time before the first step; only a long budget on a GPU is sure to have it back."""
    if cfg.compile is not None:
        return cfg.compile
    can_compile = machine.compiler is not None and machine.has_python_headers
    return can_compile and device.type == "cuda" and (cfg.budget.time_s or 0.0) >= 300.0


def _sample_bytes(cfg: TrainConfig) -> int:
    if cfg.budget.time_s is None:
        return cfg.tokenizer.sample_bytes
    return min(cfg.tokenizer.sample_bytes, max(1_000_000, int(0.03 * cfg.budget.time_s * TOKENIZER_BYTES_PER_S)))


def _bytes_per_token(tokenizer: Tokenizer, sample: list[str]) -> float:
    """Measured on up to about 300 KB, spread over the sample."""
    pieces = [text[:4000] for text in sample[:: max(1, len(sample) // 75)]]
    tokens = sum(len(ids) for ids in tokenizer.encode_batch(pieces))
    return sum(len(piece.encode()) for piece in pieces) / max(tokens, 1)
