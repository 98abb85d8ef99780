"""What each run came to, and compare.json, which holds it all and is the same comparison's memory.

{"format", "command", "networks", "seeds", "settings", "environment", "score", "notes", "runs": [Row …]}
"""

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import median
from typing import Any, Literal

from atinuke.config import build_settings
from atinuke.durable import CHECKSUMS, printable, read_json
from atinuke.errors import AtinukeError, DamagedFileError
from atinuke.run_folder import RunFolder
from atinuke.series.settings import differences
from atinuke.train.config import TrainConfig

Status = Literal["waiting", "finished", "interrupted", "failed"]
FORMAT = 1
BITS_PER_BYTE = "bits per byte"
KEPT = (
    *("params", "train_tokens", "tokens_per_s", "steps", "epochs", "elapsed_s", "training_s", "context", "dtype"),
    *("val_bpb", "val_bytes", "train_bpb", "bytes_per_token", "baseline_5gram_bpb", "batch_tokens", "sizes"),
)
"""What of summary.json is repeated in a row."""
HELD_OUT_FILES = ("validation.jsonl", "held_out.jsonl")


@dataclass(frozen=True)
class Score:
    """One number that says how good a network is, and what it is called."""

    name: str
    value: float
    is_better: Literal["lower", "higher"]
    note: str = ""


@dataclass(frozen=True)
class Row:
    """One network with one seed."""

    network: str
    seed: int
    folder: str
    """Within the folder of the comparison."""
    status: Status = "waiting"
    error: str | None = None
    wall_s: float | None = None
    """Of all its processes, scoring included."""
    peak_memory_mb: float | None = None
    score: Score | None = None
    figures: dict[str, Any] = field(default_factory=dict)
    """From its summary.json: `KEPT`, and `vocab_size`."""
    held_out_sha256: str | None = None
    """Of the held-out text: the same for all runs, or their scores cannot be compared."""

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.network}, seed {self.seed}"

    def finished(self, run: RunFolder) -> "Row":
        """This row with what the run folder says; RunFolderError where that cannot be read."""
        summary = run.read_summary()
        try:
            figures = {key: summary.get(key) for key in KEPT}
            figures["vocab_size"] = (summary.get("tokenizer") or {}).get("vocab_size")
            score = _score_of(summary)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise DamagedFileError(f"{printable(run.summary)} is damaged: it holds no score.") from error
        return replace(
            self, status="finished", error=None, score=score, figures=figures, held_out_sha256=_held_out_sum(run)
        )


@dataclass(frozen=True)
class Comparison:
    """All rows of a comparison, in the order in which they are trained."""

    rows: tuple[Row, ...]
    command: str
    settings: dict[str, Any]
    environment: dict[str, Any]

    @property
    def finished(self) -> list[Row]:
        """Those that have a score."""
        return [row for row in self.rows if row.score is not None]

    @property
    def networks(self) -> tuple[str, ...]:
        """In the order in which they were named."""
        return tuple(dict.fromkeys(row.network for row in self.rows))

    @property
    def seeds(self) -> tuple[int, ...]:
        """In the order in which they are used."""
        return tuple(dict.fromkeys(row.seed for row in self.rows))

    def of(self, network: str) -> list[Row]:
        """The rows of one network, by seed."""
        return [row for row in self.rows if row.network == network]

    @property
    def measure(self) -> Score | None:
        """By what the networks are compared (its value means nothing here); None before the first has a score."""
        scores = [row.score for row in self.finished if row.score is not None]
        return next((score for score in scores if score.name == BITS_PER_BYTE), scores[0] if scores else None)

    def stands_apart(self, network: str) -> bool:
        """Whether its score is of another kind than that by which the others are compared."""
        names = {row.score.name for row in self.of(network) if row.score is not None}
        return bool(names) and self.measure is not None and self.measure.name not in names

    def scores(self, network: str) -> list[float]:
        """Those that it has, by seed."""
        return [row.score.value for row in self.of(network) if row.score is not None]

    def ranking(self) -> list[str]:
        """Networks by the median of their scores, best first; then those that stand apart; then those without one."""
        measure = self.measure
        sign = -1.0 if measure is not None and measure.is_better == "higher" else 1.0

        def place(network: str) -> tuple[int, float]:
            values = self.scores(network)
            if not values:
                return 2, 0.0
            return int(self.stands_apart(network)), sign * median(values)

        return sorted(self.networks, key=place)

    @property
    def baselines(self) -> list[float]:
        """What a byte 5-gram reached beside each run that measures bits per byte."""
        return [float(n) for row in self.finished if (n := row.figures.get("baseline_5gram_bpb")) is not None]

    def notes(self) -> list[str]:
        """What a reader has to know before comparing the numbers."""
        notes = [f"{row.name} {row.status}: {row.error}" for row in self.rows if row.error is not None]
        if len({row.held_out_sha256 for row in self.finished} - {None}) > 1:
            notes.append(
                "NOT COMPARABLE: the runs were scored on different held-out text, so what they read changed between "
                "them. Begin again with another --out."
            )
        vocabularies = sorted({n for row in self.finished if (n := row.figures.get("vocab_size")) is not None})
        if len(vocabularies) > 1:
            notes.append(
                f"Vocabularies range from {vocabularies[0]:,} to {vocabularies[-1]:,} ids, chosen by each run for what "
                "the machine could do then; --set tokenizer.vocab_size=N makes them equal."
            )
        return notes

    def to_json(self) -> dict[str, Any]:
        """What compare.json holds."""
        measure = self.measure
        return {
            "format": FORMAT,
            "command": self.command,
            "networks": list(self.networks),
            "seeds": list(self.seeds),
            "settings": self.settings,
            "environment": self.environment,
            "score": None if measure is None else {"name": measure.name, "is_better": measure.is_better},
            "baseline_5gram_bpb": median(self.baselines) if self.baselines else None,
            "notes": self.notes(),
            "runs": [asdict(row) for row in self.rows],
        }


def read_measured(path: Path) -> dict[tuple[str, int], tuple[float | None, float | None]]:
    """(wall_s, peak_memory_mb) by network and seed, from an earlier compare.json: no run folder holds them."""
    found: dict[tuple[str, int], tuple[float | None, float | None]] = {}
    if path.exists():
        try:
            for row in read_json(path)["runs"]:
                if row["status"] in ("finished", "interrupted"):  # a run that failed begins again
                    found[row["network"], row["seed"]] = (row["wall_s"], row["peak_memory_mb"])
        except (KeyError, TypeError) as error:
            raise DamagedFileError(f"{printable(path)} is damaged: it holds no runs. Give another --out.") from error
    return found


def is_finished(run: RunFolder, asked: TrainConfig) -> bool:
    """Whether the run that `asked` describes has been trained, scored and sealed. It may have been moved since."""
    request = run.state / "request.json"
    if not (run.checksums.exists() and request.exists() and run.read_summary().get("finished_at")):
        return False  # the seal comes last
    there = build_settings(TrainConfig, file=request)
    return not differences(there.model_copy(update={"out": asked.out}), asked)


def environment_of(runs: Iterable[RunFolder]) -> dict[str, Any]:
    """Machine and versions, of the first of these runs that says them. Asking here would load torch."""
    for run in runs:
        if run.environment.exists():
            return run.read_environment()
    return {}


def spread(values: Sequence[float], digits: int = 0) -> str:
    """One number where all are equal as shown, their least and greatest otherwise; a dash where there is none."""
    shown = list(dict.fromkeys(f"{value:,.{digits}f}" for value in sorted(values)))
    return "–" if not shown else shown[0] if len(shown) == 1 else f"{shown[0]} to {shown[-1]}"


def _score_of(summary: dict[str, Any]) -> Score:
    if summary.get("val_bpb") is not None:
        return Score(BITS_PER_BYTE, float(summary["val_bpb"]), "lower")
    found = summary["score"]
    is_better: Literal["lower", "higher"] = "higher" if found["is_better"] == "higher" else "lower"
    return Score(str(found["name"]), float(found["value"]), is_better, str(found.get("note", "")))


def _held_out_sum(run: RunFolder) -> str | None:
    try:
        files = read_json(run.data / CHECKSUMS)["files"]
        return next((str(files[name]["sha256"]) for name in HELD_OUT_FILES if name in files), None)
    except (AtinukeError, KeyError, TypeError):
        return None  # the shards of a run may be deleted
