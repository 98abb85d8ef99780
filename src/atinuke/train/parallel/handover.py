"""What the first process prepares, the others read: settings, tokenizer, token shards, plan."""

import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from atinuke.config import validate
from atinuke.durable import read_json, to_json, write_atomic
from atinuke.errors import AtinukeError, ConfigError, Interrupted, RunFolderError
from atinuke.run_folder import RunFolder
from atinuke.train.config import TrainConfig
from atinuke.train.lessons import lesson_for
from atinuke.train.lessons.lesson import Lesson
from atinuke.train.parallel.ranks import Ranks, without_a_word
from atinuke.train.progress import Quiet

SEEN_S = 15.0
"""How long a file that one machine wrote may take to appear on another."""


class Handover:
    """Once in a run: the first process gives what it has prepared, the others take it."""

    def __init__(self, ranks: Ranks) -> None:
        self._ranks = ranks
        self._is_given = ranks.size == 1

    @contextmanager
    def or_refusal(self) -> Iterator[None]:
        """Around the work of the first process: what it refuses before it gives anything ends the others too."""
        try:
            yield
        except (AtinukeError, Interrupted) as error:
            if not self._is_given:
                self._ranks.share({"exit_code": error.exit_code})
            raise

    def give(self, lesson: Lesson, folder: RunFolder) -> None:
        """ConfigError when other machines do not see the run folder."""
        if self._is_given:
            return
        self._is_given = True
        sign = secrets.token_hex(8)
        write_atomic(_sign_path(folder), to_json({"id": sign}))
        out = folder.path.resolve()
        self._ranks.share({"out": str(out), "sign": sign, "config": lesson.config.model_dump(mode="json")})
        if blind := self._blind(folder, sign):
            raise ConfigError(
                f"{out} of this machine is not there for process {', '.join(map(str, blind))} of {self._ranks.size}. "
                "Several machines train in one run folder: give --out a folder that all of them share."
            )

    def take(self) -> tuple[Lesson, RunFolder]:
        """Waits for the first process. SystemExit, without a word, for what that one refuses and says."""
        heard: dict[str, Any] = self._ranks.share({})
        if "exit_code" in heard:
            raise without_a_word(heard["exit_code"])
        folder = RunFolder(Path(heard["out"]))
        if self._blind(folder, heard["sign"]):
            raise without_a_word(ConfigError.exit_code)
        cfg = validate(TrainConfig, heard["config"])
        return lesson_for(cfg).take_up(cfg, folder, Quiet()), folder

    def _blind(self, folder: RunFolder, sign: str) -> list[int]:
        """The processes that do not find in the run folder what the first has just written."""
        return [rank for rank, sees in enumerate(self._ranks.gather(_sees(folder, sign))) if not sees]


def _sees(folder: RunFolder, sign: str) -> bool:
    deadline_s = time.monotonic() + SEEN_S
    while time.monotonic() < deadline_s:
        with suppress(RunFolderError):
            if read_json(_sign_path(folder)).get("id") == sign:
                return True
        time.sleep(0.2)
    return False


def _sign_path(folder: RunFolder) -> Path:
    return folder.state / "together.json"
