"""What all runs of a ladder share, made once: one tokenizer, one encoded text with its held-out part, measured sizes.

shared/     tokenizer.json, data/ and environment.json, as in a run folder; the runs link to them
ladder.json what was measured and planned; written last, so that where it stands, all is there
"""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from atinuke.config import validate
from atinuke.data.corpus import Corpus, write_corpus
from atinuke.data.sources import Sources
from atinuke.data.split import Scan
from atinuke.durable import printable, read_json, to_json, write_atomic
from atinuke.errors import DamagedFileError, SourceError
from atinuke.machine import environment, probe_machine, resolve_device
from atinuke.run_folder import RunFolder
from atinuke.scale.config import ScaleConfig
from atinuke.scale.ladder import Ladder, Size, Step, Terms, plan_ladder
from atinuke.tokenizers.tokenizer import Tokenizer
from atinuke.train.config import BudgetConfig, TrainConfig
from atinuke.train.lessons.lesson import Workbench
from atinuke.train.lessons.text import Survey, TextLesson
from atinuke.train.planning.choices import choose_batch_seqs
from atinuke.train.planning.plan import make_plan
from atinuke.train.planning.shapes import LADDER, matrix_parameters, network_on
from atinuke.train.planning.text_facts import TextFacts
from atinuke.train.planning.timing import StepTimer
from atinuke.train.progress import Display
from atinuke.train.schedule import Clock

LONGEST_PART = 0.4
"""Of the time, about what the largest run takes: what is shared by all is chosen for a run of that time."""
SLOWEST_PART = 0.3
"""A size is left out where the shortest run of it would take more than this part of the time."""
SHORTEST_S = 30.0
"""That this run is taken to last at least; a time that is too short is refused later, with a number."""
MEASURING_PART = 0.06
MEASURED_SIZES = 4
"""At least."""
ENCODED_BYTES_PER_S = 5e6
BEGINNING_S = 1.5
"""Of a run: building and saving the network, the report."""
SAMPLED_TOKENS = 500
"""Written one by one after training ..."""
SAMPLING_PRICE = 20.0
"""... each for about the price of training on so many."""
FORWARD_PART = 0.35
"""Of the time of a training step, what scoring the same tokens takes."""
COUNTED_BYTES_PER_S = 3e6
"""Text through the byte 5-gram that every run is compared with."""
COUNTED_BYTES = 32_000_000


@dataclass(frozen=True)
class Shared:
    """What the runs have in common, and the plan."""

    config: TrainConfig
    """With vocabulary, context, precision and amount of text chosen; sizes and lengths open."""
    text: TextFacts
    ladder: Ladder
    spent_s: float
    """On all of this."""

    def terms(self, seeds: int) -> Terms:
        """What the ladder keeps to."""
        return _terms(self.config, self.text, seeds)

    def run_config(self, step: Step, seed: int, out: Path) -> tuple[TrainConfig, dict[str, Any]]:
        """The settings of one run without open choices, and the facts of its plan.

        They are what `atinuke train --tokens N` would choose for a network of this size.
        """
        model = self.config.model.model_copy(
            update={"model_dim": step.size.model_dim, "layer_count": step.size.layer_count}
        )
        asked = self.config.model_copy(
            update={"model": model, "budget": BudgetConfig(tokens=step.tokens), "seed": seed, "out": out}
        )
        vocab_size = self.config.tokenizer.vocab_size
        assert vocab_size is not None
        plan = make_plan(asked, vocab_size, self.text, time_left_s=None, step_seconds=lambda network, seqs: 0.0)
        return plan.config, plan.facts


def shared_folder(folder: Path) -> RunFolder:
    """Where tokenizer and text lie."""
    return RunFolder(folder / "shared")


@dataclass(frozen=True)
class Surveyed:
    """What is known before anything is written."""

    shared: Shared
    sources: Sources
    scanned: Scan
    tokenizer: Tokenizer


def survey(cfg: ScaleConfig, display: Display, *, already_s: float = 0.0) -> Surveyed:
    """Reads, trains the tokenizer, measures, plans; writes nothing. ConfigError where the time is too short."""
    started_s = time.perf_counter() - already_s
    device = resolve_device(cfg.train.device)
    machine = probe_machine(device)
    longest_s = max(LONGEST_PART * cfg.chosen_time_s, SHORTEST_S)
    timed = cfg.train.model_copy(update={"budget": BudgetConfig(time_s=longest_s)})
    sources, scanned = TextLesson.read(timed, display)
    found = TextLesson.survey(timed, scanned, Workbench(device, machine, Clock(), display))
    config = _common(cfg.train, found)
    timer = TextLesson.step_timer(config, device, machine)
    sizes = _measure(config, found.text, scanned.validation_bytes, cfg.chosen_time_s, timer)
    terms = _terms(config, found.text, len(cfg.chosen_seeds))
    encoding_s = found.text.train_bytes / ENCODED_BYTES_PER_S  # still to come
    spent_s = time.perf_counter() - started_s
    ladder = plan_ladder(sizes, terms, time_s=cfg.chosen_time_s, spent_s=spent_s + encoding_s)
    return Surveyed(Shared(config, found.text, ladder, spent_s), sources, scanned, found.tokenizer)


def prepare(found: Surveyed, folder: Path, display: Display) -> Shared:
    """Writes tokenizer, text and plan into `folder`."""
    started_s = time.perf_counter()
    display.phase("encoding")
    shared, home = found.shared, shared_folder(folder)
    home.create()
    longest = max(step.tokens for step in shared.ladder.steps)
    # the last run may become twice as long
    most = shared.config.data.max_bytes or int(2.5 * longest * shared.text.bytes_per_token) + 1_000_000
    corpus = write_corpus(found.sources, found.scanned, found.tokenizer, home.data, max_bytes=most)
    context = shared.config.model.context or 1
    if corpus.shards.total_tokens <= context:
        raise SourceError(
            f"The training text has {corpus.shards.total_tokens:,} tokens; one window of context {context:,} needs "
            f"{context + 1:,}. Give more text, or a shorter --set model.context."
        )
    found.tokenizer.save(home.tokenizer)
    write_atomic(home.environment, to_json(environment()))
    data = shared.config.data.model_copy(update={"max_bytes": most})
    train_bytes = corpus.index.train_bytes
    shared = Shared(
        shared.config.model_copy(update={"data": data}),
        TextFacts(train_bytes, train_bytes / corpus.shards.total_tokens, shared.text.difficulty),
        shared.ladder,
        shared.spent_s + time.perf_counter() - started_s,
    )
    save_shared(folder, shared)
    return shared


def save_shared(folder: Path, shared: Shared) -> None:
    """Writes ladder.json."""
    content: dict[str, Any] = {
        "config": shared.config.model_dump(mode="json"),
        "text": asdict(shared.text),
        "steps": [asdict(step) for step in shared.ladder.steps],
        "spent_s": round(shared.spent_s, 3),
    }
    write_atomic(folder / "ladder.json", to_json(content) + "\n")


def load_shared(folder: Path) -> Shared | None:
    """What an earlier call prepared; None where it did not come so far. DamagedFileError for anything else there."""
    path = folder / "ladder.json"
    if not path.exists():
        return None
    tree = read_json(path)
    try:
        steps = tuple(Step(**{**each, "size": Size(**each["size"])}) for each in tree["steps"])
        shared = Shared(
            validate(TrainConfig, tree["config"]), TextFacts(**tree["text"]), Ladder(steps), float(tree["spent_s"])
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedFileError(f"{printable(path)} is damaged: it holds no ladder. Give another --out.") from error
    Corpus.open(shared_folder(folder).data, verify=False)  # says what is wrong with it
    return shared


def _common(asked: TrainConfig, found: Survey) -> TrainConfig:
    """What is asked, with what is chosen for the longest run and the same for all."""
    chosen = found.plan.config
    return asked.model_copy(
        update={
            "tokenizer": asked.tokenizer.model_copy(update={"vocab_size": found.tokenizer.vocab_size}),
            "model": asked.model.model_copy(
                update={"context": chosen.model.context, "has_mask": chosen.model.has_mask}
            ),
            "dtype": chosen.dtype,
            "compile": chosen.compile,
        }
    )


def _terms(config: TrainConfig, text: TextFacts, seeds: int) -> Terms:
    context = config.model.context or 1

    def batch_tokens(tokens: float) -> int:
        return (config.batch_seqs or choose_batch_seqs(tokens, context, text)) * context

    return Terms(seeds, text.bytes_per_token, batch_tokens)


def _measure(
    config: TrainConfig, text: TextFacts, validation_bytes: int, time_s: float, timer: StepTimer
) -> list[Size]:
    """The sizes that this machine can train in such a time, smallest first, each timed on a few steps."""
    context, vocab_size = config.model.context or 1, config.tokenizer.vocab_size or 1
    shortest = _terms(config, text, 1).fewest_tokens()
    batch_seqs = config.batch_seqs or choose_batch_seqs(4 * shortest, context, text)
    started_s = time.perf_counter()
    sizes: list[Size] = []
    for rung in range(len(LADDER)):
        network = network_on(config, rung, context, vocab_size)
        parameters = matrix_parameters(network)
        if len(sizes) >= MEASURED_SIZES:
            likely_per_s = sizes[-1].tokens_per_s * sizes[-1].parameters / parameters
            is_late = time.perf_counter() - started_s > MEASURING_PART * time_s
            if is_late or shortest / likely_per_s > SLOWEST_PART * time_s:
                break
        step_s = timer(network, batch_seqs)
        tokens_per_s = batch_seqs * context / step_s
        scored = 2 * validation_bytes / text.bytes_per_token  # the same of training text
        overhead_s = BEGINNING_S + FORWARD_PART * scored / tokens_per_s + SAMPLED_TOKENS * SAMPLING_PRICE / tokens_per_s
        overhead_s += min(text.train_bytes, COUNTED_BYTES) / COUNTED_BYTES_PER_S
        sizes.append(Size(rung, network.model_dim, network.layer_count, parameters, tokens_per_s, overhead_s))
    return sizes
