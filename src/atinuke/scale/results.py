"""What the runs of a ladder came to, and scale.json, which holds it all and is the ladder's memory.

{"format", "command", "time_s", "seeds", "settings", "environment", "text", "runs", "laws", "notes"}
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from atinuke.durable import printable, read_json
from atinuke.errors import DamagedFileError
from atinuke.run_folder import RunFolder
from atinuke.scale.ladder import Ladder, Step
from atinuke.train.planning.law import Point
from atinuke.train.planning.text_facts import TextFacts

Status = Literal["waiting", "finished", "interrupted", "failed"]
FORMAT = 1
FLOPS_PER_PARAMETER = 6.0
"""For each token: two forward, four backward (Kaplan et al. 2020, §2.1)."""
KEPT = (
    *("params", "train_tokens", "tokens_per_s", "steps", "epochs", "elapsed_s", "training_s", "dtype"),
    *("val_bpb", "val_bytes", "train_bpb", "baseline_5gram_bpb", "batch_tokens", "context"),
)
"""What of summary.json is repeated in a row."""


@dataclass(frozen=True)
class Row:
    """One run of the ladder."""

    folder: str
    """Within the folder of the ladder."""
    model_dim: int
    layer_count: int
    parameters: int
    """N: of the block matrices."""
    tokens: int
    """Asked for."""
    seed: int
    is_held_out: bool
    status: Status = "waiting"
    error: str | None = None
    wall_s: float | None = None
    """Of all calls that trained it, scoring included."""
    figures: dict[str, Any] = field(default_factory=dict)
    """From its summary.json: `KEPT`."""

    @classmethod
    def of(cls, step: Step, seed: int) -> "Row":
        """A run that waits. The held-out one has a fixed name: how long it will be is decided when its turn comes."""
        size = step.size
        length = "held-out" if step.is_held_out else f"{step.tokens}-tokens"
        folder = f"{size.model_dim}x{size.layer_count}-{length}-seed{seed}"
        return cls(folder, size.model_dim, size.layer_count, size.parameters, step.tokens, seed, step.is_held_out)

    @property
    def name(self) -> str:
        """For people."""
        what = "held out: " if self.is_held_out else ""
        return f"{what}{self.parameters:,} parameters on {self.tokens:,} tokens, seed {self.seed}"

    @property
    def bits_per_byte(self) -> float | None:
        """On held-out text; None where it is not trained."""
        value = self.figures.get("val_bpb")
        return None if value is None else float(value)

    def finished(self, run: RunFolder) -> "Row":
        """This row with what the run folder says; RunFolderError where that cannot be read."""
        summary = run.read_summary()
        try:
            figures: dict[str, Any] = {key: summary.get(key) for key in KEPT}
            figures |= {"val_bpb": float(figures["val_bpb"]), "train_tokens": int(figures["train_tokens"])}
        except (TypeError, ValueError, AttributeError) as error:
            raise DamagedFileError(f"{printable(run.summary)} is damaged: it holds no score.") from error
        return replace(self, status="finished", error=None, figures=figures)

    def point(self, text: TextFacts) -> Point:
        """Of the law."""
        assert self.bits_per_byte is not None
        seen_bytes = self.figures["train_tokens"] * text.bytes_per_token
        return Point(self.parameters, seen_bytes, self.bits_per_byte, text.train_bytes)

    def flops(self) -> float:
        """6·N for each token: what its block matrices took."""
        return FLOPS_PER_PARAMETER * self.parameters * float(self.figures["train_tokens"])


@dataclass(frozen=True)
class Scaling:
    """All runs of a ladder, in the order in which they are trained."""

    rows: tuple[Row, ...]
    text: TextFacts
    command: str
    time_s: float
    spent_s: float
    """On preparing."""
    settings: dict[str, Any]
    environment: dict[str, Any]

    @property
    def finished(self) -> list[Row]:
        """Those that have a score."""
        return [row for row in self.rows if row.bits_per_byte is not None]

    @property
    def fitted(self) -> list[Row]:
        """Those that the laws are fitted to."""
        return [row for row in self.finished if not row.is_held_out]

    @property
    def held_out(self) -> Row | None:
        """That on which the forecast is checked, once it is trained."""
        return next((row for row in self.finished if row.is_held_out), None)

    @property
    def elapsed_s(self) -> float:
        """Spent so far, over all calls."""
        return self.spent_s + sum(row.wall_s or 0.0 for row in self.rows)

    def with_row(self, changed: Row) -> "Scaling":
        """With `changed` in the place of the row of the same folder."""
        return replace(self, rows=tuple(changed if row.folder == changed.folder else row for row in self.rows))

    def notes(self) -> list[str]:
        """What a reader has to know before trusting the numbers."""
        notes = [f"{row.name} {row.status}: {row.error}" for row in self.rows if row.error is not None]
        done, count = len(self.finished), len(self.rows)
        if done < count:
            notes.append(f"{done} of {count} runs are done.")
        repeated = max((float(row.figures.get("epochs") or 0.0) for row in self.finished), default=0.0)
        if repeated > 1:
            notes.append(
                f"The text was repeated up to {repeated:.1f} times; repetitions count for less, as Muennighoff et al. "
                "2023 found it on larger networks. More text would make the laws surer."
            )
        return notes

    def to_json(self, laws: dict[str, Any] | None) -> dict[str, Any]:
        """What scale.json holds."""
        return {
            "format": FORMAT,
            "command": self.command,
            "time_s": self.time_s,
            "elapsed_s": round(self.elapsed_s, 2),
            "preparing_s": round(self.spent_s, 2),
            "settings": self.settings,
            "environment": self.environment,
            "text": asdict(self.text),
            "runs": [
                asdict(row) | ({"seen_bytes": row.point(self.text).seen_bytes, "flops": row.flops()}
                               if row.bits_per_byte is not None else {})
                for row in self.rows
            ],
            "laws": laws,
            "notes": self.notes(),
        }  # fmt: skip


def rows_of(ladder: Ladder, seeds: Iterable[int]) -> list[Row]:
    """Every run of one seed before the next; the held-out one last, with the first seed."""
    chosen = tuple(seeds)
    fitted = [Row.of(step, seed) for seed in chosen for step in ladder.steps if not step.is_held_out]
    return [*fitted, *(Row.of(step, chosen[0]) for step in ladder.steps if step.is_held_out)]


def read_walls(path: Path) -> dict[str, float]:
    """Seconds that each run took, from an earlier scale.json: no run folder holds them."""
    if not path.exists():
        return {}
    try:
        return {
            str(row["folder"]): float(row["wall_s"]) for row in read_json(path)["runs"] if row["wall_s"] is not None
        }
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedFileError(f"{printable(path)} is damaged: it holds no runs. Give another --out.") from error
