"""Text: read, split, tokenizer, plan, token shards; then each next token, scored in bits per byte."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from torch import nn

from atinuke.data.batches.batch import Batch, BatchSource
from atinuke.data.batches.masked import MixtureBatches
from atinuke.data.batches.masking import word_starts
from atinuke.data.batches.windows import WindowBatches
from atinuke.data.corpus import Corpus, write_corpus
from atinuke.data.sources import Sources
from atinuke.data.split import Scan, scan
from atinuke.durable import read_json, to_json, write_atomic
from atinuke.errors import RunFolderError, SourceError
from atinuke.machine import Machine
from atinuke.models import ModelConfig, build_model
from atinuke.models.config import saved_network
from atinuke.run_folder import RunFolder
from atinuke.tokenizers.tokenizer import Tokenizer
from atinuke.tokenizers.training import train_tokenizer
from atinuke.train.compiling import is_worth_compiling, made_ready
from atinuke.train.config import OptimizerConfig, TrainConfig
from atinuke.train.engine import Engine
from atinuke.train.inheriting import with_inherited_width
from atinuke.train.lessons.lesson import Autocast, Lesson, Workbench, plan_path, used_up
from atinuke.train.lessons.text_scores import estimate_loss, held_out_windows, say_scores, score_text
from atinuke.train.loop import Observer
from atinuke.train.micro_batches import MicroBatches
from atinuke.train.objectives import Objective, next_token
from atinuke.train.planning.choices import choose_dtype, choose_vocabulary
from atinuke.train.planning.plan import Plan, make_plan
from atinuke.train.planning.rate_probe import probe_rates, probe_steps, scaled
from atinuke.train.planning.shapes import matrix_parameters
from atinuke.train.planning.text_facts import TextFacts
from atinuke.train.planning.timing import StepTimer, step_timer
from atinuke.train.planning.watching import PlanWatcher
from atinuke.train.progress import Display
from atinuke.weights import load_model

TOKENIZER_BYTES_PER_S, TOKENIZER_PART = 4e6, 0.012
"""About what training a tokenizer takes on two cores, and the part of a time budget that it gets."""
READ_BYTES_PER_S, READ_PART = 25e6, 0.1
"""Reading goes over the text three times (scan, hold out, encode); a tenth of a time budget is enough for it. Of more
text than that, files are chosen by their names' hashes."""


SCORED_WINDOW_TOKENS = 4096
"""Held-out tokens behind each estimate while training."""
PROBED_POSITION = 2**40
"""Where the rate probe takes its batches from: an epoch, and so an order of the windows, that no run comes to."""


@dataclass(frozen=True)
class Survey:
    """What is known and chosen before anything is written."""

    tokenizer: Tokenizer
    text: TextFacts
    plan: Plan


@dataclass(frozen=True)
class TextLesson(Lesson):
    """Continue text: a decoder learns each next token of a corpus."""

    corpus: Corpus
    first_weights: dict[str, torch.Tensor] | None = None
    """What the rate probe left, to begin with; None for a run that is taken up, or had no probe."""

    task: ClassVar[str] = "text"

    @classmethod
    def read(cls, cfg: TrainConfig, display: Display) -> tuple[Sources, Scan]:
        """Reads the sources through and holds text out."""
        with_inherited_width(cfg)  # says at once what is wrong with the run that it names
        return _read(cfg, display)

    @classmethod
    def survey(cls, cfg: TrainConfig, scanned: Scan, bench: Workbench) -> Survey:
        """Trains the tokenizer and makes the plan; writes nothing."""
        display, machine, device, clock = bench.display, bench.machine, bench.device, bench.clock
        display.phase("tokenizer")
        train_bytes = min(scanned.train_bytes, cfg.data.max_bytes or scanned.train_bytes)
        vocab_size = choose_vocabulary(cfg, train_bytes, machine)
        sampled = sum(len(text.encode()) for text in scanned.sample)
        if sampled < scanned.train_bytes:
            display.say(
                f"The tokenizer learns from a sample of {sampled / 1e6:.1f} of {scanned.train_bytes / 1e6:.1f} MB."
            )
        tokenizer = train_tokenizer(cfg.tokenizer.kind, scanned.sample, vocab_size, sample_bytes=_sample_bytes(cfg))
        if tokenizer.loss_note:
            display.say(tokenizer.loss_note)
        text = TextFacts.measure(train_bytes, tokenizer, scanned.sample, scanned.validation)

        display.phase("planning")
        has_mask = cls.task == "masked" or cfg.objective.masked_share > 0
        cfg = with_inherited_width(cfg)
        cfg = cfg.model_copy(
            update={
                "model": cfg.model.model_copy(update={"has_mask": has_mask}),
                "dtype": choose_dtype(cfg, device, machine),
            }
        )
        time_left_s = None if cfg.budget.time_s is None else 0.97 * cfg.budget.time_s - clock.elapsed_s()
        if time_left_s is not None and time_left_s <= 1.0:
            raise used_up(cfg, clock)
        plan = make_plan(
            cfg,
            tokenizer.vocab_size,
            text,
            time_left_s=time_left_s,
            step_seconds=cls.step_timer(cfg, device, machine),
            memory_bytes=bench.ranks.memory_bytes(device),
        )
        if cfg.compile is None:
            plan = replace(plan, config=plan.config.model_copy(update={"compile": _compiles(plan, bench)}))
        return Survey(tokenizer, text, plan)

    @classmethod
    def prepare(cls, cfg: TrainConfig, material: tuple[Sources, Scan], folder: RunFolder, bench: Workbench) -> Self:
        """Trains the tokenizer, makes the plan, writes the shards into the run folder, tries the planned rates."""
        sources, scanned = material
        survey = cls.survey(cfg, scanned, bench)
        plan, tokenizer = survey.plan, survey.tokenizer
        network = saved_network(plan.config.model_dump())

        bench.display.phase("encoding")
        corpus = write_corpus(sources, scanned, tokenizer, folder.data, max_bytes=plan.config.data.max_bytes)
        if corpus.shards.total_tokens <= network.context:
            raise SourceError(
                f"The training text has {corpus.shards.total_tokens:,} tokens; one window of context "
                f"{network.context:,} needs {network.context + 1:,}. Give more text, or a shorter --set model.context."
            )
        lesson = cls(plan.config, network, tokenizer, dict(plan.facts), corpus)
        if cfg.optim.lr is None and cfg.optim.matrix_lr is None:
            lesson = lesson._with_probed_rates(bench)
        if cfg.compile is None and lesson.config.compile:
            lesson = lesson._compiled_where_it_works(bench)
        write_atomic(plan_path(folder), to_json(lesson.facts))
        return lesson

    def _with_probed_rates(self, bench: Workbench) -> Self:
        """Tries the planned rates beside half and twice as much, where the budget is time and has time for it."""
        cfg, speed = self.config, self.facts.get("expected_tokens_per_s")
        if cfg.budget.time_s is None or speed is None or cfg.init_embeddings is not None:
            return self
        assert cfg.batch_seqs is not None
        steps = probe_steps(
            cfg.batch_seqs * self.network.context / speed, 0.97 * cfg.budget.time_s - bench.clock.elapsed_s()
        )
        if not steps:
            return self
        bench.display.phase("planning")

        def build(rates: OptimizerConfig) -> Engine:
            torch.manual_seed(cfg.seed)
            tried = cfg.model_copy(update={"optim": rates, "compile": False})
            engine = Engine.build(build_model(self.network), tried, self.objective, bench.device, bench.machine)
            engine.rules.micro_batches = MicroBatches(self.micro_batch_seqs(bench))
            return engine

        batches = self.batches(bench.device)
        probe = probe_rates(build, cfg.optim, batches, PROBED_POSITION, steps)
        return replace(
            self,
            config=cfg.model_copy(update={"optim": scaled(cfg.optim, probe.factor)}),
            facts=self.facts | {"rate_probe": probe.facts},
            first_weights=probe.tensors,
        )

    def _compiled_where_it_works(self, bench: Workbench) -> Self:
        """Fills torch's cache, unless it is filled or that fails: then the run does without."""
        cfg = self.config
        assert cfg.budget.time_s is not None and cfg.batch_seqs is not None
        bench.display.phase("compiling")
        time_left_s = 0.97 * cfg.budget.time_s - bench.clock.elapsed_s()
        works = made_ready(bench.machine, self.network, cfg.batch_seqs, cfg.dtype, time_left_s, bench.display.say)
        return replace(self, config=cfg.model_copy(update={"compile": works}))

    def watchers(self, batches: BatchSource, display: Display) -> list[Observer]:
        """One, where the budget is time and a batch may become smaller or larger."""
        if self.config.budget.time_s is None or not isinstance(batches, WindowBatches):
            return []

        def set_batch_seqs(count: int) -> None:
            batches.batch_seqs = count

        train_bytes = self.corpus.facts["train_bytes"]
        each = train_bytes / self.corpus.shards.total_tokens  # now known exactly
        ratio = self.facts["held_out_ratio"] * each / self.facts["bytes_per_token"]
        text = TextFacts(train_bytes, each, self.facts["difficulty"], ratio)
        parameters = matrix_parameters(self.network)
        return [PlanWatcher(self.config, text, parameters, self.facts, display, set_batch_seqs)]

    def begin(self, model: nn.Module, display: Display) -> None:
        """With the weights of the rate probe, where there was one."""
        super().begin(model, display)
        if self.first_weights is not None:
            load_model(model, self.first_weights)

    @classmethod
    def take_up(cls, cfg: TrainConfig, folder: RunFolder, display: Display) -> Self:
        """Shards that were deleted are written again from the sources."""
        tokenizer = Tokenizer.load(folder.tokenizer)
        network = saved_network(cfg.model_dump())
        if tokenizer.vocab_size + network.has_mask != network.vocab_size:
            raise RunFolderError(
                f"{folder.tokenizer} has {tokenizer.vocab_size} ids and the network of this run {network.vocab_size}; "
                "the file is of another run. Start over with --fresh."
            )
        if folder.data.exists():
            corpus = Corpus.open(folder.data)
        else:
            sources, scanned = _read(cfg, display)
            display.phase("encoding")
            corpus = write_corpus(sources, scanned, tokenizer, folder.data, max_bytes=cfg.data.max_bytes)
        return cls(cfg, network, tokenizer, read_json(plan_path(folder)), corpus)

    @property
    def fingerprint(self) -> str:
        return self.corpus.fingerprint

    asked: ClassVar[Objective] = staticmethod(next_token)

    @property
    def objective(self) -> Objective:
        return type(self).asked

    @classmethod
    def step_timer(cls, cfg: TrainConfig, device: torch.device, machine: Machine) -> StepTimer:
        """Of steps on such text."""
        return step_timer(cfg, cls.asked, cls.random_batch, device, machine)

    @staticmethod
    def random_batch(network: ModelConfig, batch_seqs: int) -> Batch:
        """Windows of random tokens, for timing."""
        tokens = torch.randint(network.vocab_size, (batch_seqs, network.context + 1))
        # contiguous, as batches of text are: compiled steps are made for one layout
        inputs, targets = tokens[:, :-1].contiguous(), tokens[:, 1:].contiguous()
        return Batch((inputs,), targets, 0, 1, batch_seqs * network.context)

    @property
    def bytes_per_token(self) -> float | None:
        return float(self.facts["bytes_per_token"])

    def batches(self, device: torch.device) -> BatchSource:
        assert self.config.batch_seqs is not None
        windows = WindowBatches(
            self.corpus.shards,
            context=self.network.context,
            batch_seqs=self.config.batch_seqs,
            seed=self.config.seed,
            device=device,
        )
        asked = self.config.objective
        if not asked.masked_share:
            return windows
        assert self.tokenizer is not None and self.network.mask_id is not None
        return MixtureBatches(
            windows,
            seed=self.config.seed,
            masked_share=asked.masked_share,
            share=asked.mask_rate,
            mask_id=self.network.mask_id,
            end_id=self.tokenizer.end_id,
            vocab_size=self.tokenizer.vocab_size,
            word_starts=word_starts(self.tokenizer) if asked.whole_words else None,
        )

    def estimator(self, device: torch.device, autocast: Autocast) -> Callable[[nn.Module], float]:
        assert self.tokenizer is not None
        count = max(1, SCORED_WINDOW_TOKENS // self.network.context)
        windows = held_out_windows(self.tokenizer, self.corpus, self.network.context, count).to(device)
        return lambda model: estimate_loss(model, windows, autocast)

    def summary(self, tokens: int) -> dict[str, Any]:
        assert self.tokenizer is not None
        return {
            "sources": list(self.config.data.sources),
            "tokenizer": {
                "kind": self.tokenizer.kind,
                "vocab_size": self.tokenizer.vocab_size,
                "bytes_per_token": self.facts["bytes_per_token"],
                "loss_note": self.tokenizer.loss_note,
            },
            "bytes_per_token": self.facts["bytes_per_token"],
            "data": self.corpus.facts,
            "train_bytes": self.corpus.facts["train_bytes"],
            "epochs": round(tokens / self.corpus.shards.total_tokens, 3),
            "batch_tokens": (self.config.batch_seqs or 0) * self.network.context,
        }

    def score(self, model: nn.Module, display: Display) -> dict[str, Any]:
        assert self.tokenizer is not None
        return score_text(model, self.tokenizer, self.corpus, self.network.context, self.config, display)

    @staticmethod
    def say(summary: dict[str, Any]) -> str:
        return say_scores(summary)


def _compiles(plan: Plan, bench: Workbench) -> bool:
    """Whether torch.compile is foreseen to give back more than it takes."""
    cfg = plan.config
    # masked tokens are another number in each batch, and would be compiled anew each time
    if cfg.budget.time_s is None or cfg.objective.masked_share > 0:
        return False
    assert cfg.batch_seqs is not None
    time_left_s = 0.97 * cfg.budget.time_s - bench.clock.elapsed_s()
    return is_worth_compiling(bench.machine, saved_network(cfg.model_dump()), cfg.batch_seqs, cfg.dtype, time_left_s)


def _read(cfg: TrainConfig, display: Display) -> tuple[Sources, Scan]:
    """Reads the sources through and holds text out; nothing is written yet."""
    display.phase("reading")
    most = None if cfg.budget.time_s is None else int(READ_BYTES_PER_S * READ_PART * cfg.budget.time_s)
    sources = Sources(cfg.data.sources, max_bytes=most)
    scanned = scan(sources, cfg.data.split, sample_bytes=_sample_bytes(cfg))
    for line in scanned.notes.describe()[1:]:  # what was read another way, or not at all
        display.say(line)
    return sources, scanned


def _sample_bytes(cfg: TrainConfig) -> int:
    if cfg.budget.time_s is None:
        return cfg.tokenizer.sample_bytes
    in_time = int(TOKENIZER_PART * cfg.budget.time_s * TOKENIZER_BYTES_PER_S)
    return min(cfg.tokenizer.sample_bytes, max(1_000_000, in_time))
