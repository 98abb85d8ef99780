"""A tuned run: its network built, filled with pretrained weights, and loaded again to be used."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from atinuke.config import validate
from atinuke.errors import RunFolderError
from atinuke.generate.loading import find_run
from atinuke.machine import resolve_device
from atinuke.models import ModelConfig, build_model
from atinuke.models.bert import Bert
from atinuke.models.config import saved_network
from atinuke.run_folder import RunFolder, printable, read_json
from atinuke.tasks.base import open_reader
from atinuke.tasks.body import Tuned, width_of
from atinuke.tasks.config import FinetuneConfig
from atinuke.tasks.heads import PooledHead, Reducible
from atinuke.tasks.lora import add_lora
from atinuke.tasks.registry import find_task
from atinuke.tasks.task import Task
from atinuke.tokenizers.reading import Reader
from atinuke.weights import load_model, load_weights


@dataclass(frozen=True)
class TunedRun:
    """What a tuned run holds, ready to be used. The network is in evaluation mode."""

    folder: RunFolder
    cfg: FinetuneConfig
    network: ModelConfig
    model: Tuned
    reader: Reader
    tasks: Mapping[str, Task[Any]]


def build_tuned(network: ModelConfig, cfg: FinetuneConfig, tasks: Mapping[str, Task[Any]]) -> Tuned:
    """The network with fresh weights, a head for each task, and low-rank additions where asked for."""
    body = build_model(network)
    heads = {name: task.head(width_of(network), cfg.task.head_dropout) for name, task in tasks.items()}
    for head in heads.values():
        # a BERT from elsewhere has compared texts for weeks; one of an hour here has not
        if isinstance(head, Reducible) and isinstance(body, Bert) and cfg.task.init is not None:
            head.reduce()
    model = Tuned(body, heads, cfg.task.sight)
    rank = cfg.task.lora.rank
    if rank is not None:
        add_lora(model.body, rank, cfg.task.lora.alpha or 2.0 * rank)
    return model


def load_body(model: Tuned, weights: Mapping[str, Tensor]) -> None:
    """Copies pretrained weights into the network, and its pooler into heads; low-rank additions stay as made."""
    fresh = {name: tensor.detach() for name, tensor in model.body.state_dict().items() if ".lora_" in f".{name}"}
    load_model(model.body, {**weights, **fresh}, origin="The network that this run begins with")
    for head in model.heads.values():
        if isinstance(head, PooledHead) and head.first_alone and isinstance(model.body, Bert):
            head.pooler.load_state_dict(model.body.pooler.state_dict())


def is_tuned(folder: RunFolder) -> bool:
    """Whether a run folder holds a network with heads for tasks."""
    return folder.tasks.is_file()


def load_tuned(path: str | os.PathLike[str], device: str = "auto") -> TunedRun:
    """The tuned run in the folder `path`; an AtinukeError names what is missing, damaged, or no tuned run."""
    folder = find_run(path)
    if not is_tuned(folder):
        raise RunFolderError(
            f"{printable(folder.path)} was not tuned for a task; expected what atinuke finetune made. "
            f"Tune it first: atinuke finetune {printable(folder.path)} --task NAME --data FOLDER."
        )
    folder.verify("config.json", "tokenizer.json", "model.safetensors", "tasks.json")
    if folder.reader.is_file():
        folder.verify("reader.json")
    cfg = validate(FinetuneConfig, folder.read_config())
    network = saved_network(cfg.model_dump())
    saved = read_json(folder.tasks)
    tasks: dict[str, Task[Any]] = {name: find_task(name).from_facts(facts) for name, facts in saved.items()}
    with torch.random.fork_rng(devices=[]):
        model = build_tuned(network, cfg, tasks)
    load_weights(folder.model, model)
    reader = open_reader(folder, cfg)
    return TunedRun(folder, cfg, network, model.to(resolve_device(device)).eval(), reader, tasks)
