"""Which tasks there are, by the names of the command line. A task's file is read when it is asked for."""

import importlib
from collections.abc import Sequence

from atinuke.config import nearest
from atinuke.errors import ConfigError
from atinuke.tasks.answered.task import AnsweredTask
from atinuke.tasks.probability.task import ProbabilityTask
from atinuke.tasks.task import Described, Task

WITH_HEAD: dict[str, str] = {
    **{
        name: f"sentences.described_tasks:{kind}"
        for name, kind in {
            "sst2": "Sst2",
            "cola": "Cola",
            "mrpc": "Mrpc",
            "qqp": "Qqp",
            "stsb": "Stsb",
            "mnli": "Mnli",
            "qnli": "Qnli",
            "rte": "Rte",
            "wnli": "Wnli",
            "ax": "Ax",
            "snli": "Snli",
            "sick": "Sick",
            "sick-r": "SickR",
            "scitail": "SciTail",
        }.items()
    },
    "text-class": "sentences.text_class:TextClass",
    "squad": "squad.squad_task:Squad",
    "squad2": "squad.squad_task:Squad2",
    "roles": "roles.roles_task:Roles",
    "roles-conll05": "roles.roles_task:Roles05",
    "roles-conll12": "roles.roles_task:Roles12",
    "roles-end-to-end": "roles.roles_task:RolesEndToEnd",
    "roles-conll05-end-to-end": "roles.roles_task:Roles05EndToEnd",
    "roles-conll12-end-to-end": "roles.roles_task:Roles12EndToEnd",
    "coreference": "coreference.coreference_task:Coreference",
    "coreference-litbank": "coreference.coreference_task:LitBankCoreference",
    "gap": "coreference.gap_task:Gap",
}
"""Tasks that a network is tuned for."""

ANSWERED: dict[str, str] = {
    "translation": "answered.written:Translation",
    "summarization": "answered.written:Summarization",
    "mnist": "answered.digits:Mnist",
    "spoken-digits": "answered.digits:SpokenDigits",
}
"""Tasks that a network answers itself, after learning them as pairs or as examples."""

BY_PROBABILITY: dict[str, str] = {
    "blimp": "probability.blimp:Blimp",
    "lambada": "probability.lambada:Lambada",
    "wikitext": "probability.wikitext:WikiText",
}
"""Tasks that a pretrained network is asked as it is."""


def find_task(name: str) -> type[Task]:  # type: ignore[type-arg]
    """The task with a head of this name; ConfigError, with the nearest name, for another."""
    if name in BY_PROBABILITY:
        raise ConfigError(
            f"{name} is scored by probability and has nothing to learn: atinuke evaluate RUN --task {name}."
        )
    if name in ANSWERED:
        raise ConfigError(f"{name} needs no head and is learned by itself; leave out the other tasks and --jointly.")
    return _load(name, WITH_HEAD)


def find_answered_task(name: str) -> type[AnsweredTask]:
    """The task of this name that a network answers itself."""
    return _load(name, ANSWERED)


def find_probability_task(name: str) -> type[ProbabilityTask]:
    """The task without a head of this name."""
    return _load(name, BY_PROBABILITY)


def all_names() -> Sequence[str]:
    """Every task."""
    return (*WITH_HEAD, *ANSWERED, *BY_PROBABILITY)


def described(name: str) -> type[Described]:
    """What is said of the task `name`, of whatever kind."""
    return _load(name, WITH_HEAD | ANSWERED | BY_PROBABILITY)


def _load(name: str, known: dict[str, str]) -> type:
    if name not in known:
        hint = nearest(name, known) or f" There are {', '.join(known)}."
        raise ConfigError(f"{name} is no task.{hint}")
    module, _, kind = known[name].partition(":")
    found: type = getattr(importlib.import_module(f"atinuke.tasks.{module}"), kind)
    return found
