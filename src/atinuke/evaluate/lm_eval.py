"""A run as a model of lm-eval, which has hundreds of tasks of others and its own rules for each.

    atinuke evaluate RUN --lm-eval TASKS
    python -m atinuke.evaluate.lm_eval --model atinuke --model_args run=RUN --tasks TASKS

Both give the same numbers: the second is lm-eval's own command with "atinuke" among its models. lm-eval 0.4 lets no
other package add a model to its command, so that the module is run in its place; importing it is all that it takes.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from atinuke.errors import ConfigError, MissingExtraError

if TYPE_CHECKING:
    from atinuke.generate.loading import TrainedRun

NAME = "atinuke"
SETTINGS = ("run", "device")
"""What --model_args may hold."""
MOST_TOKENS = 256
"""Written at most where a task does not say."""


def model_class() -> type:
    """The class that lm-eval asks, made when lm-eval is there; MissingExtraError where it is not."""
    try:
        import lm_eval.models  # noqa: F401  its own models are listed only while no other is
        from lm_eval.api.model import LM
        from lm_eval.api.registry import MODEL_REGISTRY, register_model
    except ImportError as error:
        raise MissingExtraError.for_extra("Scoring with lm-eval", "lm-eval") from error
    if NAME in MODEL_REGISTRY:
        known: type = MODEL_REGISTRY[NAME]
        return known

    from atinuke.generate.config import SamplingRules
    from atinuke.generate.decode import generate_text
    from atinuke.generate.loading import load_trained
    from atinuke.tasks.probability.scorers import scorer_for

    class AtinukeLM(LM):  # type: ignore[misc]
        """Log-likelihoods by the code that our own scores come from."""

        def __init__(self, run: str = "", device: str | None = None, trained: Any = None, **others: Any) -> None:
            super().__init__()
            # what lm-eval adds for models of its own
            unknown = [key for key, value in others.items() if key not in ("batch_size", "max_batch_size") and value]
            if unknown:
                raise ConfigError(f"--model_args has {unknown[0]}; expected {' and '.join(SETTINGS)} alone.")
            if not run and trained is None:
                raise ConfigError("--model_args names no run; expected run=FOLDER.")
            self._trained: TrainedRun = trained or load_trained(run, _device_of(device))
            self._scorer = scorer_for(self._trained)

        def loglikelihood(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[tuple[float, bool]]:
            """(log-likelihood of the continuation, whether it is the greedy one) of each (context, continuation)."""
            found = self._scorer.nats([request.args for request in requests])
            return [(-each.nats, each.is_greedy) for each in found]

        def loglikelihood_rolling(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[float]:
            """Log-likelihood of each whole text: minus the nats of our bits per byte."""
            return [-each.nats for each in self._scorer.whole([request.args[0] for request in requests])]

        def generate_until(self, requests: Sequence[Any], disable_tqdm: bool = False) -> list[str]:
            """What is written after each context, greedily unless the task samples, until one of its stop texts."""
            return [self._write(*request.args) for request in requests]

        def _write(self, context: str, asked: dict[str, Any]) -> str:
            stops = asked.get("until") or []
            temperature = float(asked.get("temperature") or 0.0) if asked.get("do_sample") else 0.0
            trained = self._trained
            pieces = generate_text(
                trained.decoder,
                trained.tokenizer,
                context,
                tokens=int(asked.get("max_gen_toks") or MOST_TOKENS),
                rules=SamplingRules(temperature=temperature, top_p=asked.get("top_p")),
                seed=0,
                context=trained.context,
                stop=[stops] if isinstance(stops, str) else list(stops),
            )
            return "".join(pieces)

    made: type = register_model(NAME)(AtinukeLM)
    return made


def run_lm_eval(
    run: Path, tasks: Sequence[str], *, include: Sequence[str] = (), device: str = "auto", as_json: bool = False
) -> str:
    """lm-eval's table of these tasks for a run, or its results as JSON; they are kept in the run's scores/lm-eval/.

    `include`: folders with files of more tasks. ConfigError for a task that lm-eval does not know.
    """
    kind = model_class()
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager
    from lm_eval.utils import make_table

    from atinuke.durable import make_folder, to_json, write_atomic
    from atinuke.generate.loading import load_trained

    manager = TaskManager(include_path=list(include) or None)
    unknown = [task for task in tasks if not manager.match_tasks([task])]
    if unknown:
        raise ConfigError(f"lm-eval has no task {unknown[0]}; see lm-eval's list, or --include a folder with its file.")
    trained = load_trained(run, device)
    found = simple_evaluate(model=kind(trained=trained), tasks=list(tasks), task_manager=manager, log_samples=False)
    place = trained.folder.scores / "lm-eval"
    make_folder(place)
    kept = json.loads(json.dumps({key: found[key] for key in ("results", "versions", "n-shot", "config")}, default=str))
    write_atomic(place / "results.json", to_json(kept))
    return json.dumps(kept["results"]) if as_json else str(make_table(found)).rstrip()


def _device_of(device: str | None) -> str:
    """lm-eval's own default is CUDA, on machines without it too; its own networks then take the CPU."""
    return "auto" if device is None or device.startswith("cuda") else device


def main() -> None:
    """lm-eval's own command, with our networks among its models."""
    model_class()
    from lm_eval.__main__ import cli_evaluate

    cli_evaluate()


if __name__ == "__main__":
    main()
