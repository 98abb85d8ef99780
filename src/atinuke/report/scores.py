"""What a run's score means, in the words of its report and its card: one description per score.

A fact is named by its place in summary.json, such as `data.train_pairs`; `measures` reads and writes it.
"""

from dataclasses import dataclass
from typing import Literal

Show = Literal["decimal", "tenths", "percent", "count", "share", "text"]


@dataclass(frozen=True)
class Measure:
    """One figure. A mapping of {right, total} by name becomes one figure for each name."""

    label: str
    key: str
    show: Show = "decimal"
    about: str = ""
    about_key: str = ""
    """The fact that says more, where `about` is not known beforehand."""
    gap: str = ""
    """Said below a share of nothing."""
    look: str = "model"
    """Class of its bar on the page."""


@dataclass(frozen=True)
class Score:
    """What the figure at the top means."""

    headline: str
    row: str
    """The same in the card's table; {items} are what was held out."""
    reading: str
    """Which way is better, and where the ends are."""
    meaning: str
    """How it came about, and what it must not be compared with."""
    show: Show = "decimal"
    bars: tuple[Measure, ...] = ()
    full: float | None = None
    """The value of a full bar; None: the longest bar's."""
    rival: str = ""
    """The score to beat, of the same kind."""
    also: Measure | None = None


PROTOCOL = (
    "Bits per byte is the summed negative log2 probability of the whole validation text divided by its UTF-8 bytes: "
    "text that neither the training nor the tokenizer's training has seen, each byte scored once, in non-overlapping "
    "windows of the model's own context, with no weight changed."
)

ACCURACY = Score(
    headline="of the held-out answers are right",
    row="accuracy, held-out {items}",
    reading="Higher is better; 100% is every one.",
    meaning=(
        "Accuracy is the share of held-out {items} whose own answer the model finds likeliest of all answers that it "
        "knows; how much of it guessing alone would reach depends on how many answers there are and how often each "
        "is right."
    ),
    show="percent",
    bars=(Measure("{name}", "accuracy_by_kind", "share"),),
    full=100.0,
)

SCORES: dict[str, Score] = {
    "bits per byte": Score(
        headline="bits per byte on unseen text",
        row="bits per byte, unseen text",
        reading="Lower is better; 8 is knowing nothing.",
        meaning=PROTOCOL,
        bars=(
            Measure("Training text", "train_bpb", look=""),
            Measure("Unseen text", "val_bpb"),
            Measure("Byte 5-gram, unseen text", "baseline_5gram_bpb", look="rival"),
        ),
        rival="baseline_5gram_bpb",
        also=Measure("Perplexity per token", "val_token_perplexity", "tenths"),
    ),
    "pseudo-bits per byte": Score(
        headline="pseudo-bits per byte on unseen text",
        row="pseudo-bits per byte, unseen text",
        reading="Lower is better.",
        meaning=(
            "For pseudo-bits per byte each token is hidden by itself and filled in from the text on both of its sides, "
            "which is easier than foreseeing it: the number compares networks that fill in with each other, and is "
            "not comparable with bits per byte."
        ),
    ),
    "BLEU": Score(
        headline="BLEU on held-out pairs",
        row="BLEU, held-out pairs",
        reading="Higher is better; 100 is the references word for word.",
        meaning=(
            "BLEU counts how many runs of one to four words the translations share with one reference each, and takes "
            "off for shortness; it compares only with scores on the same pairs under the same signature."
        ),
        show="tenths",
        bars=(Measure("BLEU", "bleu", "tenths"), Measure("chrF", "chrf", "tenths")),
        full=100.0,
    ),
    "nats per token": Score(
        headline="nats per token of held-out references",
        row="nats per token, held-out references",
        reading="Lower is better.",
        meaning=(
            "Nats per token say how badly each token of a reference was foreseen from the source and the reference "
            "before it; they depend on the tokenizer, and say little about translations that are written freely."
        ),
    ),
    "accuracy": ACCURACY,
    "R²": Score(
        headline="R² on held-out rows",
        row="R², held-out rows",
        reading="Higher is better; 1 is every number to the digit.",
        meaning=(
            "R² is the part of the numbers' variance on held-out rows that the model accounts for: 0 is no better than "
            "always saying their mean, and below 0 is worse."
        ),
    ),
}
"""By the name that the run gives its score."""
