"""Which folder a run goes to, whether it goes on from there, and how its state is put away and taken up again."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor, nn

from atinuke.config import flat_settings, read_settings_file, validate
from atinuke.data.sources import Sources, short_name
from atinuke.durable import discard_folder, write_atomic
from atinuke.errors import DamagedFileError, RunFolderError
from atinuke.run_folder import RunFolder
from atinuke.train.checkpoint import Checkpoints, LoadedCheckpoint
from atinuke.train.config import TrainConfig
from atinuke.train.loop import TrainState
from atinuke.train.progress import Display
from atinuke.train.state_tensors import load_optimizer, load_random_tensors, optimizer_tensors, random_tensors
from atinuke.weights import load_model, model_tensors

# What may differ when a run is taken up again: how long, how often it saves, on what, and where it stands.
FREE_TO_CHANGE = ("budget", "checkpoint", "parallel", "out", "resume", "device", "sample_prompts")


@dataclass(frozen=True)
class Beginning:
    """Where a run goes, and what it finds there."""

    folder: RunFolder
    saved: TrainConfig | None = None
    """The resolved configuration of the run that is taken up; None for a new one."""
    must_clear: bool = False
    """What a run has left there goes, once the folder is ours and the new run is sure to have text."""


def find_beginning(cfg: TrainConfig, display: Display) -> Beginning:
    """The folder of `cfg`, new or holding a run of the same request.

    Without `out`: runs/NAME, or NAME-2, … after finished or different runs. RunFolderError for a folder that holds
    something else, or a run that was asked for in other words.
    """
    if cfg.out is not None:
        return _inspect(cfg.out, cfg, display)
    labelled = cfg.data.pairs[:1] or cfg.data.examples
    name = cfg.folder_name or (short_name(labelled) if labelled else Sources(cfg.data.sources).name)
    number = 1
    while True:
        path = Path("runs") / (name if number == 1 else f"{name}-{number}")
        number += 1
        is_free = not path.exists() or (path.is_dir() and not any(path.iterdir()))
        if is_free or _is_unfinished_twin(path, cfg):
            return _inspect(path, cfg, display)


def save_request(folder: RunFolder, cfg: TrainConfig) -> None:
    """Keeps what was asked for, so that the same command is known again."""
    folder.state.mkdir(parents=True, exist_ok=True)
    write_atomic(_request_path(folder), cfg.to_json())


def settings_fingerprint(cfg: TrainConfig) -> str:
    """Changes with any setting that a run must keep; config.json is plain text, where a changed digit still reads."""
    kept = {key: value for key, value in flat_settings(cfg).items() if key.split(".")[0] not in FREE_TO_CHANGE}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def clear(folder: RunFolder) -> None:
    """Removes what a run writes, and nothing else that someone may have put there."""
    for path in folder.own_paths():
        if path.is_dir():
            discard_folder(path)
        else:
            path.unlink(missing_ok=True)


class Placement(Protocol):
    """How tensors lie here, where processes share them (`parallel.shards.Layout`)."""

    def to_file(self, parameter: Tensor, tensor: Tensor) -> Tensor:
        """A parameter, or a tensor of its state, as it lies in a file."""

    def from_file(self, parameter: Tensor, whole: Tensor) -> Tensor:
        """Of such a tensor in a file, what lies here."""


class Whole:
    """Every tensor is here, as it lies in a file."""

    def to_file(self, parameter: Tensor, tensor: Tensor) -> Tensor:
        """Itself."""
        return tensor

    def from_file(self, parameter: Tensor, whole: Tensor) -> Tensor:
        """All of it."""
        return whole


def capture(
    state: TrainState, facts: Mapping[str, Any], placement: Placement | None = None
) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """The whole training state as tensors by file, and as JSON; `facts` are added to the JSON."""
    placement = placement or Whole()
    optimizer: dict[str, Tensor] = {}
    optimizer_facts: list[Any] = []
    for number, each in enumerate(state.optimizers):
        tensors, numbers = optimizer_tensors(each, placement.to_file)
        optimizer |= {f"{number}.{name}": tensor for name, tensor in tensors.items()}
        optimizer_facts.append(numbers)
    parameters = dict(state.model.named_parameters(remove_duplicate=False))
    model = {
        name: placement.to_file(parameters.get(name, tensor), tensor)
        for name, tensor in model_tensors(state.model).items()
    }
    tensors_by_file = {"model": model, "optimizer": optimizer, "random": random_tensors()}
    return tensors_by_file, {
        **facts,
        "step": state.step,
        "tokens": state.tokens,
        "position": state.position,
        "last_val": state.last_val,
        "optimizers": optimizer_facts,
    }


def newest_checkpoint(checkpoints: Checkpoints, display: Display) -> LoadedCheckpoint | None:
    """The newest checkpoint that verifies; None where there is none. Damaged ones are named."""
    loaded = checkpoints.newest_good()
    for line in checkpoints.damaged:
        display.say(line)
    return loaded


def restore(state: TrainState, loaded: LoadedCheckpoint, placement: Placement | None = None) -> None:
    """Takes up the training where the checkpoint was made."""
    placement = placement or Whole()
    load_placed(state.model, loaded, placement)
    for number, optimizer in enumerate(state.optimizers):
        prefix = f"{number}."
        tensors = {n.removeprefix(prefix): t for n, t in loaded.tensors["optimizer"].items() if n.startswith(prefix)}
        load_optimizer(optimizer, tensors, loaded.state["optimizers"][number], placement.from_file)
    load_random_tensors(loaded.tensors["random"])
    state.step, state.tokens = loaded.state["step"], loaded.state["tokens"]
    state.position = loaded.state["position"]
    last_val = loaded.state["last_val"]
    state.last_val = None if last_val is None else (last_val[0], last_val[1])
    state.last_good_checkpoint = loaded.path.name


def load_placed(model: nn.Module, loaded: LoadedCheckpoint, placement: Placement) -> None:
    """Fills the model, or the parts of it that lie here, with the weights of a checkpoint."""
    parameters = dict(model.named_parameters(remove_duplicate=False))
    weights = loaded.tensors["model"]
    own = {name: placement.from_file(parameters.get(name, whole), whole) for name, whole in weights.items()}
    load_model(model, own)


def _request_path(folder: RunFolder) -> Path:
    return folder.state / "request.json"


def _inspect(path: Path, cfg: TrainConfig, display: Display) -> Beginning:
    folder = RunFolder(path)
    if path.exists() and not path.is_dir():
        raise RunFolderError(f"--out {path} is a file; expected a folder. Choose another name.")
    if not path.exists() or not any(path.iterdir()):
        return Beginning(folder)
    if not folder.state.is_dir() and not folder.config.exists():
        raise RunFolderError(f"--out {path} exists and is not a run folder; choose another name or empty it.")
    if cfg.resume == "fresh":
        return Beginning(folder, must_clear=True)
    if not folder.config.exists() or not _request_path(folder).exists():
        display.say(f"{path} holds a run that never began to train; starting over.")
        return Beginning(folder, must_clear=True)
    differing = _differences(_read_config(_request_path(folder), type(cfg)), cfg)
    if differing:
        raise RunFolderError(
            f"{path} holds another run: {'; '.join(differing)}. "
            "Give another --out, the settings of that run, or --fresh to start over there."
        )
    saved = _read_config(folder.config, type(cfg))
    return Beginning(folder, saved.model_copy(update={key: getattr(cfg, key) for key in FREE_TO_CHANGE}))


def _is_unfinished_twin(path: Path, cfg: TrainConfig) -> bool:
    folder = RunFolder(path)
    try:
        asked = _read_config(_request_path(folder), type(cfg))
    except RunFolderError:
        return False
    is_done = folder.checksums.exists()  # the seal comes last
    return not is_done and asked.budget == cfg.budget and not _differences(asked, cfg)


def _read_config(path: Path, kind: type[TrainConfig]) -> TrainConfig:
    if not path.exists():
        raise RunFolderError(f"{path} is missing.")
    try:
        return validate(kind, read_settings_file(path))
    except Exception as error:
        raise DamagedFileError(f"{path} is damaged: {error} Start over with --fresh, or give another --out.") from error


def _differences(there: TrainConfig, here: TrainConfig) -> list[str]:
    """ "key is A there and B here" for what differs and may not."""
    before, now = flat_settings(there), flat_settings(here)
    return [
        f"{key} is {json.dumps(before.get(key))} there and {json.dumps(value)} here"
        for key, value in now.items()
        if before.get(key) != value and key.split(".")[0] not in FREE_TO_CHANGE
    ]
