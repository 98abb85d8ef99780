"""The planner: what is left open in a `TrainConfig` is chosen for this machine, this text and this budget.

A ladder of shapes, a short measurement of how fast this machine trains the likely ones, and a law, fitted on our own
grid, for what size and text buy. Every choice can be set by hand instead.
"""

import time
from dataclasses import dataclass, field
from typing import Any

from atinuke.models.config import ModelConfig, saved_network
from atinuke.train.config import TrainConfig
from atinuke.train.planning.choices import (
    choose_batch_seqs,
    choose_context,
    choose_dropout,
    choose_pair_dropout,
    choose_rates,
    wanted_tokens,
)
from atinuke.train.planning.forecast import Forecast, as_of_novels, foretell
from atinuke.train.planning.memory import MEMORY_PART, least_memory_bytes, refuse_without_room
from atinuke.train.planning.shapes import FIRST_RUNG, LADDER, matrix_parameters, network_on, resolve, work_per_token
from atinuke.train.planning.text_facts import TextFacts
from atinuke.train.planning.timing import StepTimer

MEASURED_RUNGS = 3
MEASURED_PART = 0.03
"""Of the time left, for measuring steps."""
SUSTAINED = 0.85
"""What a run keeps of the speed of a few steps by themselves: there are also batches, estimates, saves, and the heat of
the machine. 0.80 to 0.88 in four runs of two minutes on two cores."""
GUESSED_TOKENS_PER_S = 10_000
"""Before anything is measured: only the first batch is chosen by it."""


@dataclass(frozen=True)
class Plan:
    """A configuration without open choices, and what led to it (numbers and short sentences for the report)."""

    config: TrainConfig
    expected_tokens: int
    forecast: Forecast | None = None
    """What the law says that it will come to; None where it says nothing of such a network."""
    facts: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Candidate:
    """A rung of the ladder, and how much text it would see in the time that is left."""

    rung: int
    network: ModelConfig
    tokens_per_s: float
    tokens: int
    batch_seqs: int

    def law_bpb(self, text: TextFacts) -> float:
        """Bits per byte by the law, as of novels: what candidates are compared by."""
        return as_of_novels(matrix_parameters(self.network), max(self.tokens, 1), text)

    def fits(self, cfg: TrainConfig, memory_bytes: float) -> bool:
        """Whether training it, one sequence at a time if need be, stays within the memory."""
        return least_memory_bytes(self.network, cfg) <= memory_bytes


def make_plan(
    cfg: TrainConfig,
    vocab_size: int,
    text: TextFacts,
    *,
    time_left_s: float | None,
    step_seconds: StepTimer,
    memory_bytes: float = float("inf"),
) -> Plan:
    """Chooses sizes, batch and rates.

    `memory_bytes`: what is available. ConfigError where not even the smallest network that `cfg` allows fits into it.
    """
    context = choose_context(cfg, text)
    refuse_without_room(network_on(cfg, 0, context, vocab_size), cfg, memory_bytes)
    if time_left_s is None:
        rung, tokens = _rung_for_tokens(wanted_tokens(cfg)), wanted_tokens(cfg)
        considered: list[Candidate] = []
    else:
        best, considered = _search(
            cfg, vocab_size, context, text, time_left_s, step_seconds, MEMORY_PART * memory_bytes
        )
        rung, tokens = best.rung, best.tokens
    batch_seqs = cfg.batch_seqs or choose_batch_seqs(tokens, context, text)
    if time_left_s is None:
        tokens = wanted_tokens(cfg, batch_seqs * context)
    epochs = tokens / text.train_tokens
    resolved = cfg.model_copy(
        update={
            "model": resolve(cfg.model, rung, context, choose_dropout(epochs), choose_pair_dropout(epochs)),
            "batch_seqs": batch_seqs,
            "optim": choose_rates(cfg.optim, cfg.model.kind, batch_seqs * context, epochs),
            "tokenizer": cfg.tokenizer.model_copy(update={"vocab_size": vocab_size}),
            "data": cfg.data.model_copy(
                update={"max_bytes": cfg.data.max_bytes or int(1.25 * tokens * text.bytes_per_token) + 1_000_000}
            ),
        }
    )
    network = saved_network(resolved.model_dump())
    refuse_without_room(network, cfg, memory_bytes)
    forecast = foretell(matrix_parameters(network), max(tokens, 1), text) if network.kind == "atinuke" else None
    facts = {
        "expected_tokens": tokens,
        "expected_epochs": round(epochs, 2),
        "bytes_per_token": round(text.bytes_per_token, 3),
        "difficulty": round(text.difficulty, 3),
        "held_out_ratio": round(text.held_out_ratio, 4),
        "considered": [_told(candidate, text) for candidate in considered],
    }
    if forecast is not None:
        facts["forecast"] = {
            "val_bpb": round(forecast.middle, 4),
            "from": round(forecast.low, 4),
            "to": round(forecast.high, 4),
        }
    if considered:
        facts["expected_tokens_per_s"] = round(next(c for c in considered if c.rung == rung).tokens_per_s, 1)
    return Plan(resolved, tokens, forecast, facts)


def _search(
    cfg: TrainConfig,
    vocab_size: int,
    context: int,
    text: TextFacts,
    time_left_s: float,
    step_seconds: StepTimer,
    memory_bytes: float,
) -> tuple[Candidate, list[Candidate]]:
    """The rung that the law puts lowest; what one was measured to do foretells the others, which is then checked.

    Where there is time to measure one alone, what it foretells decides.
    """

    def at_speed(rung: int, tokens_per_s: float) -> Candidate:
        tokens = int(tokens_per_s * time_left_s)
        batch_seqs = cfg.batch_seqs or choose_batch_seqs(tokens, context, text)
        return Candidate(rung, network_on(cfg, rung, context, vocab_size), tokens_per_s, tokens, batch_seqs)

    rung, work_per_s = FIRST_RUNG if at_speed(FIRST_RUNG, 0.0).fits(cfg, memory_bytes) else 0, 0.0
    measured: dict[int, Candidate] = {}
    foretold = {rung: at_speed(rung, GUESSED_TOKENS_PER_S)}
    until_s = time.perf_counter() + MEASURED_PART * time_left_s
    while rung not in measured and (not measured or (len(measured) < MEASURED_RUNGS and time.perf_counter() < until_s)):
        # timed with the batch that it would have: small ones are slower for each token
        network, batch_seqs = foretold[rung].network, foretold[rung].batch_seqs
        tokens_per_s = SUSTAINED * batch_seqs * context / step_seconds(network, batch_seqs)
        measured[rung] = Candidate(rung, network, tokens_per_s, int(tokens_per_s * time_left_s), batch_seqs)
        work_per_s = max(work_per_s, tokens_per_s * work_per_token(network))
        foretold = {
            other: at_speed(other, work_per_s / work_per_token(network_on(cfg, other, context, vocab_size)))
            for other in range(len(LADDER))
        }
        known = [candidate for candidate in (foretold | measured).values() if candidate.fits(cfg, memory_bytes)]
        rung = min(known, key=lambda candidate: candidate.law_bpb(text)).rung if known else 0
    considered = foretold | measured if len(measured) == 1 else measured
    fitting = [candidate for candidate in considered.values() if candidate.fits(cfg, memory_bytes)]
    best = min(fitting or measured.values(), key=lambda candidate: candidate.law_bpb(text))
    return best, [*({best.rung: best} | measured).values()]


def _told(candidate: Candidate, text: TextFacts) -> dict[str, Any]:
    return {
        "model_dim": candidate.network.model_dim,
        "layer_count": candidate.network.layer_count,
        "matrix_parameters": matrix_parameters(candidate.network),
        "batch_tokens": candidate.batch_seqs * candidate.network.context,
        "tokens_per_s": round(candidate.tokens_per_s),
        "law_bpb": round(candidate.law_bpb(text), 4),
    }


def _rung_for_tokens(tokens: int) -> int:
    """Without a clock nothing is measured, so that the same command gives the same network everywhere."""
    return FIRST_RUNG + (tokens > 3e6) + (tokens > 1e7) + (tokens > 4e7) + (tokens > 2e8)
