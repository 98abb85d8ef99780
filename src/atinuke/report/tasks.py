"""What a run can have learned, in the words of its report and its card: one description per task.

Words and names of facts alone, so that another task is another entry here. A fact is named by its place in
summary.json, such as `data.train_pairs`; `measures` reads and writes it.
"""

from dataclasses import dataclass, field, replace
from typing import Literal

from atinuke.report.scores import Measure

Layout = Literal["text", "parts", "rows"]


@dataclass(frozen=True)
class Amount:
    """How much of something there is: a count, or counts by kind, and bytes of text."""

    label: str
    key: str
    noun: str
    bytes_key: str = ""


@dataclass(frozen=True)
class Samples:
    """How samples are shown.

    text: prompt and what follows it; parts: the named texts one below the other; rows: one line of a table each.
    """

    title: str
    layout: Layout
    labels: tuple[str, str, str] = ("", "", "")
    """What prompt, text and reference are called."""
    none: str = ""
    """Said where a scored run has none."""


@dataclass(frozen=True)
class Command:
    """What to type next; `needs`: facts of which one has to be there."""

    purpose: str
    line: str
    needs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Task:
    """A task in words. `unit` is what training counts, `material` what it goes through, `item` one piece of that.

    `skipped_item` is what could not be read or used.
    """

    noun: str
    does: str
    unit: str
    material: str
    item: str
    skipped_item: str
    scores: tuple[str, ...]
    """Names that its score can have; the first one is assumed where there is none yet."""
    loss_unit: str
    loss_about: str
    samples: Samples
    amounts: tuple[Amount, ...]
    commands: tuple[Command, ...]
    limits: tuple[str, ...]
    results: tuple[Measure, ...] = ()
    """Rows of the card's table, after the score."""
    tiles: tuple[Measure, ...] = ()
    """The first and the last tile of the page."""
    left_out: tuple[tuple[str, str, str], ...] = ()
    """What is counted, where, and what it is like."""
    facts: tuple[tuple[str, tuple[str, ...]], ...] = ()
    """More about the data: several numbers are joined by ×."""
    origin: str = "trained from nothing with Atinuke"
    """How it came about, after its name."""
    score_key: str = "score.value"
    in_bits: bool = False
    """Whether the loss can be told as bits per byte."""
    sizes: tuple[str, ...] = field(
        default=("vocab_size", "model_dim", "key_dim", "hidden_dim", "head_count", "layer_count", "dropout", "max_len")
    )
    shape: tuple[tuple[str, str], ...] = (
        ("layer_count", "{} layers"),
        ("model_dim", "width {}"),
        ("head_count", "{} heads"),
    )
    reads_tokens: bool = True
    is_planned: bool = False
    """Whether a planner foretells how the run will go."""
    python: str = 'print(run.summary["score"])\nnetwork = run.model  # a torch.nn.Module'


_LICENCE = "The licence of what it was trained on is not known to this card."
_ONLY_ITS_TEXT = (
    "It knows nothing but its training text, holds nothing for true, and was not taught to follow instructions."
)
_WINDOWS = "It learned on windows of {context} tokens and sees only the end of longer text."
_SAME_SOURCE = (
    "Its score is of held-out {items} of the same source; others may be harder, and a score of few says little."
)

TEXT = Task(
    noun="language model",
    does="It predicts the next token of text like the text that it was trained on.",
    unit="tokens",
    material="text",
    item="document",
    skipped_item="file",
    scores=("bits per byte",),
    loss_unit="nats/token",
    loss_about="How badly the next token was foreseen: lower is better.",
    samples=Samples("What it writes", "text"),
    amounts=(
        Amount("read", "data.documents", "document", "data.bytes"),
        Amount("trained on", "data.train_documents", "document", "train_bytes"),
        Amount("held out", "data.validation_documents", "document", "val_bytes"),
    ),
    left_out=(
        ("duplicates", "data.duplicates", ""),
        ("near-duplicates", "data.near_duplicates", " of held-out text"),
    ),
    commands=(
        Command("Write text", 'atinuke generate {run} "Once upon a time"'),
        Command("Score any text", "atinuke evaluate {run} TEXT"),
    ),
    limits=(
        _ONLY_ITS_TEXT,
        _WINDOWS,
        "Its samples can repeat training text word for word; the licence of that text is not known to this card.",
    ),
    results=(
        Measure("bits per byte, training text", "train_bpb"),
        Measure("gap between the two", "gap_bpb"),
        Measure("bits per byte of a byte 5-gram model, unseen text", "baseline_5gram_bpb"),
        Measure("perplexity per token, unseen text", "val_token_perplexity", "tenths"),
        Measure("word 8-grams of the samples that stand in the training text", "copied_8grams", "share"),
    ),
    tiles=(
        Measure("Train/val gap", "gap_bpb", about="bits/byte; wide: learned by heart"),
        Measure("Copied 8-grams", "copied_8grams", "share", "in the samples", gap="samples too short to tell"),
    ),
    score_key="val_bpb",
    in_bits=True,
    is_planned=True,
    python='print(run.generate("Once upon a time", tokens=200))',
)

MASKED = replace(
    TEXT,
    noun="masked language model",
    does="It fills in hidden tokens of text like the text that it was trained on, from both of their sides.",
    unit="tokens",
    scores=("pseudo-bits per byte",),
    loss_unit="nats/masked token",
    loss_about="How badly hidden tokens were filled in, next-sentence judgement included where it is trained: "
    "lower is better.",
    samples=Samples("What it fills in", "parts", ("original", "filled in", "")),
    amounts=(
        *TEXT.amounts[:2],
        Amount("held out", "data.validation_documents", "document", "data.validation_bytes"),
    ),
    commands=(
        Command("Fill in what is masked", 'atinuke generate {run} "A <mask> word"'),
        Command("Score any text", "atinuke evaluate {run} TEXT"),
    ),
    limits=(
        _ONLY_ITS_TEXT,
        "It fills gaps in text that is there and writes none of its own.",
        "It learned on windows of {context} tokens.",
        _LICENCE,
    ),
    results=(),
    tiles=(
        Measure("Vocabulary", "tokenizer.vocab_size", "count", "ids of the tokenizer"),
        Measure("Context", "context", "count", "tokens in a window"),
    ),
    score_key="score.value",
    in_bits=False,
    python=Task.python,
)

TRANSLATION = Task(
    noun="translation model",
    does="It translates text like the sources of its training pairs, in the direction of those pairs.",
    unit="target tokens",
    material="pairs",
    item="pair",
    skipped_item="pair",
    scores=("BLEU", "nats per token"),
    loss_unit="nats/target token",
    loss_about="How badly the next token of the target was foreseen, any label smoothing included in training: "
    "lower is better.",
    samples=Samples("Translations of held-out sources", "parts", ("source", "written", "reference")),
    amounts=(
        Amount("trained on", "data.train_pairs", "pair", "data.train_bytes"),
        Amount("held out", "data.held_out_pairs", "pair", "data.held_out_bytes"),
        Amount("tokens of the sources", "data.train_source_tokens", "token"),
        Amount("tokens of the targets", "data.train_target_tokens", "token"),
    ),
    commands=(
        Command("Translate", 'atinuke generate {run} --source "TEXT"'),
        Command("Score on other pairs", "atinuke evaluate {run} --pairs FILE FILE"),
    ),
    limits=(
        "It knows nothing but its training pairs: other text comes out wrong, and may read well all the same.",
        "BLEU and chrF compare with one reference each and see neither meaning nor facts.",
        "It reads and writes at most {context} tokens.",
        _LICENCE,
    ),
    results=(
        Measure("chrF, held-out pairs", "chrf", "tenths"),
        Measure("nats per token, held-out references", "val_nats_per_token"),
        Measure("signature of chrF", "chrf_signature", "text"),
    ),
    tiles=(
        Measure("chrF", "chrf", "tenths", about_key="chrf_signature"),
        Measure("Held-out loss", "val_nats_per_token", about="nats per token of the references"),
    ),
)

EXAMPLES = Task(
    noun="model that answers for examples",
    does="It gives the answer that fits a picture, a sound or a text like those that it was trained on.",
    unit="answer tokens",
    material="examples",
    item="example",
    skipped_item="example",
    scores=("accuracy",),
    loss_unit="nats/answer token",
    loss_about="How badly the answer's tokens were foreseen, any label smoothing included in training: "
    "lower is better.",
    samples=Samples(
        "Answered wrongly",
        "rows",
        ("example", "answered", "should be"),
        none="Every held-out example was answered rightly.",
    ),
    amounts=(
        Amount("trained on", "data.train_rows", "example"),
        Amount("held out", "data.held_out_rows", "example"),
    ),
    left_out=(
        ("duplicates", "data.removed", " of held-out examples"),
        ("too long ones", "data.too_long", ""),
    ),
    facts=(
        ("height × width × channels", ("data.height", "data.width", "data.channels")),
        ("samples of sound a second", ("data.sample_rate_hz",)),
        ("texts that were cut short", ("data.shortened",)),
        ("changed", ("data.changes",)),
        ("answers", ("labels",)),
    ),
    commands=(
        Command(
            "Ask about a picture or a sound",
            "atinuke generate {run} --input FILE",
            ("data.train_rows.picture", "data.train_rows.sound"),
        ),
        Command("Ask about a text", 'atinuke generate {run} "TEXT"', ("data.train_rows.text",)),
        Command("Score on other examples", "atinuke evaluate {run} --examples FILE"),
    ),
    limits=(
        "It answers whatever it is shown, also what is like none of its training examples.",
        "How sure it says it is was not checked against how often it is right.",
        _SAME_SOURCE,
        _LICENCE,
    ),
    results=(Measure("accuracy, {name}", "accuracy_by_kind", "share"),),
    tiles=(
        Measure("Answers", "data.labels", "count", "different ones in the examples"),
        Measure("Held out", "data.held_out_rows", "count", "examples that were not trained on"),
    ),
)

TABLE = Task(
    noun="model that classifies rows of numbers",
    does="It finds one column of a table from columns of numbers.",
    unit="rows",
    material="rows",
    item="row",
    skipped_item="row",
    scores=("accuracy",),
    loss_unit="nats/row",
    loss_about="How badly the right class was foreseen: lower is better.",
    samples=Samples("What it says of held-out rows", "rows", ("row", "answer", "truth")),
    amounts=(Amount("trained on", "data.train_rows", "row"), Amount("held out", "data.held_out_rows", "row")),
    facts=(
        ("columns", ("columns",)),
        ("column that is found", ("label",)),
        ("answers", ("labels",)),
    ),
    commands=(
        Command("Answers for the rows of a table", "atinuke generate {run} --input FILE.csv"),
        Command("Score on another table", "atinuke evaluate {run} --examples FILE.csv"),
    ),
    limits=(
        "It answers for any numbers, also for rows far from those that it was trained on, where the answer means "
        "little.",
        "What goes together in its table need not be cause and effect.",
        _SAME_SOURCE,
        _LICENCE,
    ),
    tiles=(
        Measure("Columns", "data.columns", "count", "of numbers"),
        Measure("Held out", "data.held_out_rows", "count", "rows that were not trained on"),
    ),
    sizes=("hidden_dim", "layer_count", "dropout"),
    shape=(("layer_count", "{} layers"), ("hidden_dim", "hidden width {}")),
    reads_tokens=False,
)

NUMBERS = replace(
    TABLE,
    noun="model that finds a number from rows of numbers",
    scores=("R²",),
    loss_unit="squared error",
    loss_about="Mean squared error of the number that is found: lower is better.",
)

TUNED = Task(
    noun="model tuned for tasks",
    does="It answers the tasks that it was tuned for, and those alone.",
    origin="tuned with Atinuke",
    unit="tokens",
    material="labelled examples",
    item="example",
    skipped_item="example",
    scores=("accuracy",),
    loss_unit="nats/example",
    loss_about="How badly the right answers were foreseen: lower is better.",
    samples=Samples("Answers", "rows", ("example", "answered", "should be"), none="Its answers are in scores/."),
    amounts=(
        Amount("trained on", "data.train_rows", "row"),
        Amount("held out to choose a checkpoint", "data.held_out_rows", "row"),
    ),
    facts=(("tasks", ("tasks",)), ("begun with", ("begun_with",))),
    commands=(Command("Score it again, or on another split", "atinuke evaluate {run} --task NAME --data FOLDER"),),
    limits=(
        "It gives an answer to whatever it is shown, also to what is like none of its training examples.",
        "How sure it is was not checked against how often it is right.",
        _LICENCE,
    ),
)

TASKS = {
    "task": TUNED,
    "text": TEXT,
    "masked": MASKED,
    "translation": TRANSLATION,
    "examples": EXAMPLES,
    "table": TABLE,
    "numbers": NUMBERS,
}
"""By `task` of summary.json; "numbers" is a table whose column to be found holds numbers."""
