"""Everything that a training run can be told. What is left out (None) is chosen by the planner, `planning/`.

`TrainConfig` is complete as typed; `plan` turns it into one without open choices, and that one is saved as the
run's config.json, which `--config` takes back.
"""

import re
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, PositiveFloat, PositiveInt, field_validator, model_validator

from atinuke.config import Settings
from atinuke.data.augmenting import AugmentConfig
from atinuke.data.split import SplitRules
from atinuke.models.config import ModelKind, PictureConfig, SoundConfig, check_sizes

TokenizerKind = Literal["char", "word", "bpe", "unigram"]
UNITS_S = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


class DataConfig(Settings):
    """What is read, and what is held out of it."""

    sources: tuple[str, ...] = Field((), description="Files, folders, globs, archives, - ; none: Python's own library.")
    split: SplitRules = Field(SplitRules(), description="What is held out for validation.")
    max_bytes: PositiveInt | None = Field(
        None, description="Training text used at most; none: what the budget can use."
    )
    pairs: tuple[str, ...] = Field(
        (), description="Instead of sources: texts and their translations, as de.txt en.txt, .tsv or .jsonl."
    )
    examples: tuple[str, ...] = Field(
        (), description="Instead of sources: labelled pictures, sounds, texts, or a table of numbers (.csv)."
    )
    held_out: tuple[str, ...] = Field(
        (), description="Pairs or examples to score with; none: a part of the others, which is not trained on."
    )
    label: str = Field("label", description="Column of a table that is to be found from the others.")

    @model_validator(mode="after")
    def _one_kind(self) -> Self:
        given = [name for name in ("sources", "pairs", "examples") if getattr(self, name)]
        if len(given) > 1:
            raise ValueError(
                f"{' and '.join(given)} are both set; a run learns from SOURCE texts, --pairs, or --examples"
            )
        if self.held_out and not (self.pairs or self.examples):
            raise ValueError("held_out is for --pairs and --examples; of SOURCE texts the split holds a part out")
        return self


class TokenizerConfig(Settings):
    """How text becomes ids."""

    kind: TokenizerKind = Field("bpe", description="char, word, bpe or unigram.")
    vocab_size: PositiveInt | None = Field(None, description="Number of ids in all.")
    sample_bytes: PositiveInt = Field(64_000_000, description="Text that the tokenizer learns from, at most.")


class ModelChoice(Settings):
    """Which network, and those of its sizes that are not left to the planner."""

    kind: ModelKind = Field("atinuke", description="Which network; atinuke-paper is the paper to the letter.")
    model_dim: PositiveInt | None = Field(None, description="Width of the residual stream.")
    key_dim: PositiveInt | None = Field(None, description="Total width of the queries over all heads.")
    hidden_dim: PositiveInt | None = Field(None, description="Width inside the feed-forward.")
    head_count: PositiveInt | None = Field(None, description="Attention heads per layer.")
    layer_count: PositiveInt | None = Field(None, description="Blocks in sequence.")
    dropout: float | None = Field(None, ge=0, lt=1, description="Dropout on both branches of every block.")
    pair_dropout: float | None = Field(
        None, ge=0, le=1, description="atinuke: part of the positions whose pair is left out while training."
    )
    context: PositiveInt | None = Field(None, description="Tokens per training window.")
    max_len: PositiveInt | None = Field(
        None, description="Longest sequence that the network accepts; none: 50,000, or context for gpt and bert."
    )
    kv_head_count: PositiveInt | None = Field(None, description="llama: heads of keys and values; none: head_count.")
    norm_eps: PositiveFloat | None = Field(None, description="llama, bert: what norms add to the variance.")
    rotary_base: PositiveFloat | None = Field(None, description="llama: longest wavelength of positions; none: 10,000.")
    cell: Literal["lstm", "gru"] = Field("lstm", description="rnn: which recurrent cell.")
    window: PositiveInt = Field(16, description="perceptron: tokens that it sees at once.")
    token_input: Literal["learned", "one-hot", "integer"] = Field(
        "learned", description="perceptron: how a token becomes numbers."
    )
    norm_place: Literal["pre", "post"] = Field("pre", description="seq2seq: norms before or after each sublayer.")
    has_mask: bool = Field(
        False, description="Whether one id stands for a masked token; bert and masked_share need it."
    )
    numbers: int = Field(0, ge=0, description="perceptron on a table: columns that it reads; chosen from the table.")
    classes: int = Field(0, ge=0, description="perceptron on a table: classes; chosen from the table.")
    picture: PictureConfig | None = Field(None, description="atinuke: size of pictures; none: as the examples are.")
    sound: SoundConfig | None = Field(None, description="atinuke: how sounds are heard; none: as the examples are.")

    @model_validator(mode="after")
    def _heads_share_key_dim(self) -> Self:
        if self.head_count is not None and (width := self.key_dim or self.model_dim) is not None:
            check_sizes(width, self.head_count, self.kv_head_count)
        if self.context is not None and self.max_len is not None and self.context > self.max_len:
            raise ValueError(f"context is {self.context} and max_len is {self.max_len}; a window must fit into max_len")
        return self


class OptimizerConfig(Settings):
    """Muon on the matrices inside the blocks, AdamW on everything else; or AdamW on all."""

    kind: Literal["muon", "adamw"] | None = Field(None, description="Optimizer of the block matrices.")
    lr: PositiveFloat | None = Field(None, description="Peak learning rate of AdamW.")
    matrix_lr: PositiveFloat | None = Field(None, description="Peak learning rate of Muon.")
    head_lr: PositiveFloat | None = Field(
        None, description="Peak learning rate of the heads of tasks; none: by what a tuned run begins with."
    )
    embedding_lr: PositiveFloat | None = Field(
        None, description="Peak learning rate of the table of tokens; none: lr, or as planned for atinuke."
    )
    beta1: float = Field(0.9, ge=0, lt=1, description="AdamW: decay of the first moment.")
    beta2: float | None = Field(None, ge=0, lt=1, description="AdamW: decay of the second moment.")
    momentum: float = Field(0.95, ge=0, lt=1, description="Muon: decay of the momentum.")
    weight_decay: float = Field(0.0, ge=0, description="Decoupled decay of matrices, times the learning rate.")
    clip_norm: PositiveFloat | None = Field(None, description="Gradient norm above which gradients are scaled down.")


class ObjectiveConfig(Settings):
    """What the network is asked during training, where there is a choice."""

    masked_share: float = Field(
        0.0, ge=0, le=1, description="Decoders: part of the steps that fill in masked tokens instead (GPT-BERT)."
    )
    mask_rate: float = Field(0.15, gt=0, lt=1, description="Tokens chosen to be predicted, where tokens are masked.")
    whole_words: bool = Field(False, description="Mask all pieces of a word, or none.")
    next_sentence: bool = Field(
        True, description="bert: also judge whether the second half of a row follows the first."
    )
    label_smoothing: float | None = Field(
        None, ge=0, lt=1, description="Part of each target spread over all ids; none: 0.1 for pairs, 0 otherwise."
    )
    task: Literal["classification", "regression"] | None = Field(
        None, description="Tables: choose a class or give a number; none: by what the label column holds."
    )


class ScheduleConfig(Settings):
    """Learning rate over the progress of the budget: up, flat, and linearly to zero."""

    warmup_fraction: float = Field(0.01, ge=0, le=0.5, description="Part of the budget for linear warm-up.")
    decay_fraction: float = Field(0.6, gt=0, le=1, description="Last part of the budget, going linearly to zero.")


class BudgetConfig(Settings):
    """How long to train: exactly one of the three."""

    time_s: PositiveFloat | None = Field(
        None,
        description="Wall clock from process start to saved model, such as 90s, 10m, 1h30m; none of the three: 2m, or "
        "the passes of a task.",
    )
    steps: PositiveInt | None = Field(None, description="Optimizer steps.")
    tokens: PositiveInt | None = Field(None, description="Training tokens seen.")

    @field_validator("time_s", mode="before")
    @classmethod
    def _read_duration(cls, value: object) -> object:
        return parse_duration(value) if isinstance(value, str) else value

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        given = [name for name in ("time_s", "steps", "tokens") if getattr(self, name) is not None]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are both set; give one of --time, --steps, --tokens")
        return self


class CheckpointConfig(Settings):
    """When the state is saved, and how much of it is kept."""

    every_s: PositiveFloat | None = Field(None, description="With --time, seconds between saves; none: a tenth of it.")
    every_steps: PositiveInt | None = Field(None, description="Steps between saves; none: a tenth of them, or by time.")
    keep: int = Field(2, ge=1, description="Newest checkpoints kept, beside the best.")


class ParallelConfig(Settings):
    """How several processes (torchrun) share a step, and how a step fits into memory."""

    kind: Literal["auto", "ddp", "fsdp"] = Field(
        "auto",
        description="ddp: every process holds the network; fsdp: each holds a part; auto: ddp where memory allows it.",
    )
    tensor: PositiveInt = Field(1, description="Processes that share each matrix, a divisor of the heads; with fsdp.")
    recompute: bool = Field(False, description="Compute blocks again for their gradients: less memory, more time.")
    micro_batch_seqs: PositiveInt | None = Field(
        None, description="Rows that a process computes at once; none: all of its part, halved when memory is short."
    )
    lost_after_s: PositiveFloat = Field(
        45.0, description="Seconds of silence after which another process counts as lost."
    )


class TrainConfig(Settings):
    """One training run."""

    data: DataConfig = Field(DataConfig(), description="Sources and split.")
    tokenizer: TokenizerConfig = Field(TokenizerConfig(), description="Text to ids.")
    model: ModelChoice = Field(ModelChoice(), description="Network and sizes.")
    optim: OptimizerConfig = Field(OptimizerConfig(), description="Optimizer.")
    objective: ObjectiveConfig = Field(ObjectiveConfig(), description="What is asked.")
    augment: AugmentConfig = Field(AugmentConfig(), description="How pictures and sounds are changed each time.")
    schedule: ScheduleConfig = Field(ScheduleConfig(), description="Learning rate over time.")
    budget: BudgetConfig = Field(BudgetConfig(), description="How long.")
    checkpoint: CheckpointConfig = Field(CheckpointConfig(), description="Saving.")
    parallel: ParallelConfig = Field(ParallelConfig(), description="Several processes, and memory.")
    init: Path | None = Field(
        None, description="Run whose network, tokenizer and weights this one begins with, on --pairs or --examples."
    )
    init_embeddings: Path | None = Field(
        None, description="Run whose embeddings this one begins with; tokens it lacks are averaged from their pieces."
    )
    batch_seqs: PositiveInt | None = Field(None, description="Windows, or labelled examples, per step.")
    batch_tokens: PositiveInt | None = Field(None, description="Pairs: target tokens per step, about.")
    dtype: Literal["auto", "float32", "bfloat16"] = Field("auto", description="Precision of matrix products.")
    compile: bool | None = Field(None, description="torch.compile; none: where it pays within the budget.")
    device: Literal["auto", "cpu", "cuda", "mps"] = Field("auto", description="Where to train.")
    seed: int = Field(0, ge=0, lt=2**32, description="Seed of initial weights, order of data, dropout.")
    out: Path | None = Field(None, description="Run folder; none: runs/NAME.")
    resume: Literal["auto", "fresh"] = Field("auto", description="Go on from the run folder, or start over.")
    sample_prompts: tuple[str, ...] = Field((), description="Prompts of the samples; none: taken from held-out text.")

    @property
    def folder_name(self) -> str | None:
        """What the run folder is called without `out`; None: by what is read."""
        return None

    @model_validator(mode="after")
    def _objective_fits(self) -> Self:
        asked, kind = self.objective, self.model.kind
        if asked.masked_share and kind in ("rnn", "perceptron"):
            raise ValueError(
                f"masked_share is {asked.masked_share:g} and model is {kind}, which reads from left to right; give "
                "--model atinuke, gpt or llama"
            )
        if self.init is not None and not (self.data.pairs or self.data.examples):
            raise ValueError("init is for --pairs and --examples; a text is learned from its beginning")
        if self.init is not None and self.init_embeddings is not None:
            raise ValueError("init and init_embeddings are both set; give one of them")
        if asked.label_smoothing and not (self.data.pairs or self.data.examples):
            raise ValueError("label_smoothing is for --pairs and --examples; bits per byte of text are learned without")
        return self


def with_a_budget(cfg: TrainConfig) -> TrainConfig:
    """`cfg`, with two minutes if it does not say how long."""
    if cfg.budget != BudgetConfig():
        return cfg
    return cfg.model_copy(update={"budget": BudgetConfig(time_s=120.0)})


def parse_duration(text: str) -> float:
    """Seconds in "90", "90s", "2m", "1.5h", "1h30m"; ValueError otherwise."""
    stripped = text.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", stripped):
        return float(stripped)
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", stripped)
    if not parts or "".join(number + unit for number, unit in parts) != stripped:
        raise ValueError("a duration such as 90s, 2m, 1.5h or 1h30m")
    return sum(float(number) * UNITS_S[unit] for number, unit in parts)
