"""One run of the ladder: a run folder as `atinuke train` would have prepared it, then `atinuke train` itself goes on.

Text and tokenizer are linked to, not copied: nothing changes them, and a folder that is moved keeps them.
"""

import os
import shutil
from pathlib import Path
from typing import Any

from atinuke.config import build_settings
from atinuke.durable import CHECKSUMS, to_json, write_atomic, write_folder_atomic
from atinuke.run_folder import RunFolder
from atinuke.series.settings import differences
from atinuke.train.config import TrainConfig
from atinuke.train.lessons.lesson import plan_path
from atinuke.train.progress import Progress
from atinuke.train.resuming import save_request
from atinuke.train.run import run


def is_laid_out(folder: RunFolder) -> bool:
    """Whether the run has all that it needs to begin, or has begun."""
    return folder.config.exists()


def is_finished(folder: RunFolder, asked: TrainConfig) -> bool:
    """Whether the run that `asked` describes has been trained, scored and sealed. It may have been moved since."""
    request = folder.state / "request.json"
    if not (folder.checksums.exists() and request.exists() and folder.read_summary().get("finished_at")):
        return False  # the seal comes last
    there = build_settings(TrainConfig, file=request)
    return not differences(there.model_copy(update={"out": asked.out}), asked)


def lay_out(folder: RunFolder, cfg: TrainConfig, facts: dict[str, Any], shared: RunFolder) -> None:
    """Makes the run folder of `cfg`, which has no open choices; config.json comes last, so with it all is there."""
    folder.create()
    write_folder_atomic(folder.data, lambda temporary: _link_tree(shared.data, temporary))
    for source, target in ((shared.tokenizer, folder.tokenizer), (shared.environment, folder.environment)):
        target.unlink(missing_ok=True)
        _link(source, target)
    save_request(folder, cfg)
    write_atomic(plan_path(folder), to_json(facts))
    write_atomic(folder.config, cfg.to_json())


def train_one(cfg: TrainConfig, log: Path) -> None:
    """Trains and scores it, from where its folder stands; what it says is added to `log`.

    Raises what `atinuke train` does.
    """
    with open(log, "a", encoding="utf-8") as stream:
        run(cfg, Progress(stream=stream), already_s=0.0)


def _link_tree(source: Path, target: Path) -> None:
    for path in sorted(source.rglob("*")):
        if path == source / CHECKSUMS:
            continue  # written anew, to the same bytes
        place = target / path.relative_to(source)
        if path.is_dir():
            place.mkdir(exist_ok=True)
        else:
            _link(path, place)


def _link(source: Path, target: Path) -> None:
    try:
        os.link(source, target)
    except OSError:  # a disk without links, or another disk
        shutil.copyfile(source, target)
