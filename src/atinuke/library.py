"""Atinuke from Python: `train` a run, `load` one, and use it."""

import os
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import nn

from atinuke.config import build_settings, validate
from atinuke.errors import RunFolderError
from atinuke.generate.config import GenerateConfig, SamplingRules
from atinuke.generate.decode import Completion, generate_text
from atinuke.generate.loading import TrainedRun, load_trained
from atinuke.models import ModelConfig
from atinuke.run_folder import RunFolder
from atinuke.tokenizers.tokenizer import Tokenizer
from atinuke.train.config import TrainConfig, with_a_budget
from atinuke.train.progress import Display, Quiet

PathLike = str | os.PathLike[str]


class Run:
    """A trained run in its folder. What it holds is read when it is first asked for."""

    def __init__(self, path: PathLike, *, device: str = "auto") -> None:
        self.path = Path(path)
        self._device = device

    def __repr__(self) -> str:
        """What it is, in a line, without loading its weights."""
        try:
            summary = self.summary
        except RunFolderError:
            return f"<Run {str(self.path)!r}: no summary>"
        facts = [str(summary.get("model")), f"{summary.get('params', 0):,} parameters"]
        if (score := summary.get("val_bpb")) is not None:
            facts.append(f"{score:.3f} bits per byte")
        return f"<Run {str(self.path)!r}: {', '.join(facts)}>"

    @property
    def model(self) -> nn.Module:
        """The network, in evaluation mode; a decoder takes tokens (B, T) to logits (B, T, V)."""
        return self._trained.model

    @property
    def tokenizer(self) -> Tokenizer:
        """Text to ids and back."""
        return self._trained.tokenizer

    @property
    def network(self) -> ModelConfig:
        """Kind and sizes of the network."""
        return self._trained.network

    @property
    def config(self) -> dict[str, Any]:
        """config.json: everything that the run was told, with what the planner chose."""
        return RunFolder(self.path).read_config()

    @property
    def summary(self) -> dict[str, Any]:
        """summary.json: what came of it."""
        return RunFolder(self.path).read_summary()

    def generate(
        self,
        prompt: str = "",
        tokens: int = 200,
        temperature: float = SamplingRules.temperature,
        top_k: int | None = SamplingRules.top_k,
        top_p: float | None = SamplingRules.top_p,
        repetition_penalty: float = SamplingRules.repetition_penalty,
        stop: str | Sequence[str] = (),
        seed: int = 0,
    ) -> str:
        """What the model writes after `prompt`; the prompt is not repeated. The same seed gives the same text."""
        rules = SamplingRules(temperature, top_k, top_p, repetition_penalty)
        return "".join(self.stream(prompt, tokens, rules, stop=stop, seed=seed))

    def stream(
        self,
        prompt: str = "",
        tokens: int = 200,
        rules: SamplingRules = SamplingRules(),  # noqa: B008  (frozen)
        *,
        stop: str | Sequence[str] = (),
        seed: int = 0,
    ) -> Completion:
        """The same, piece by piece as it is written: iterate over it."""
        stops = (stop,) if isinstance(stop, str) else tuple(stop)
        cfg = validate(GenerateConfig, {"run": self.path, "tokens": tokens, "stop": stops, "seed": seed})
        return generate_text(
            self._trained.decoder,
            self.tokenizer,
            prompt,
            tokens=cfg.tokens,
            rules=rules,
            stop=cfg.stop,
            seed=cfg.seed,
            context=self._trained.context,
        )

    @cached_property
    def _trained(self) -> TrainedRun:
        return load_trained(self.path, self._device)


def load(path: PathLike, *, device: str = "auto") -> Run:
    """The finished run in the folder `path`, read whole, so that whatever is wrong with it is said here.

    RunFolderError for a folder that is missing (with the nearest name), unfinished, or holds parts of different
    runs; DamagedFileError, naming the file, for bytes that are not those that were written.
    """
    run = Run(path, device=device)
    _ = run.model, run.config
    return run


def train(
    source: PathLike | Sequence[PathLike] | None = None,
    *,
    pairs: PathLike | Sequence[PathLike] | None = None,
    examples: PathLike | Sequence[PathLike] | None = None,
    held_out: PathLike | Sequence[PathLike] | None = None,
    time: str | float | None = None,
    steps: int | None = None,
    tokens: int | None = None,
    out: PathLike | None = None,
    model: str = "atinuke",
    tokenizer: str = "bpe",
    vocab_size: int | None = None,
    seed: int = 0,
    device: str = "auto",
    settings: Mapping[str, object] | None = None,
    display: Display | None = None,
) -> Run:
    """Trains a model on `source` (none: the running Python's own standard library) and returns its run.

    `pairs` (texts and their translations) or `examples` (labelled pictures, sounds, texts, or a table) stand instead
    of `source`; `held_out` are others of the same form, to be scored on.

    How long is `time` ("2m", or seconds; counted from this call to the saved model), `steps` or `tokens`; two minutes
    if none is given. `settings` holds every other setting by its dotted name, such as {"optim.lr": 1e-3}.
    `display` sees the progress (default: nothing is shown). A run in `out` that was interrupted is taken up again.
    Raises Interrupted, with what was saved, after Ctrl-C or SIGTERM.
    """
    given = {
        "source": ("data.sources", _paths(source)),
        "pairs": ("data.pairs", _paths(pairs)),
        "examples": ("data.examples", _paths(examples)),
        "held_out": ("data.held_out", _paths(held_out)),
        "time": ("budget.time_s", time),
        "steps": ("budget.steps", steps),
        "tokens": ("budget.tokens", tokens),
        "out": ("out", out),
        "model": ("model.kind", model),
        "tokenizer": ("tokenizer.kind", tokenizer),
        "vocab_size": ("tokenizer.vocab_size", vocab_size),
        "seed": ("seed", seed),
        "device": ("device", device),
    }
    settings = settings or {}
    cfg = build_settings(
        TrainConfig,
        flags=dict(given.values()) | dict(settings),
        flag_names={key: name for name, (key, _) in given.items()} | dict.fromkeys(settings, "settings"),
    )
    from atinuke.train import run as stage  # here, so that `load` does not wait for the trainer

    return Run(stage.run(with_a_budget(cfg), Quiet() if display is None else display, already_s=0.0), device=device)


def _paths(source: PathLike | Sequence[PathLike] | None) -> tuple[str, ...] | None:
    if source is None:
        return None
    return tuple(os.fspath(path) for path in ([source] if isinstance(source, str | os.PathLike) else source))
