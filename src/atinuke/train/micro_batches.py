"""Micro-batches: a step in parts that memory has room for, with the gradient and the tokens of the whole."""

import sys
from collections.abc import Callable

import torch

from atinuke.data.batches.batch import Batch
from atinuke.durable import read_json, to_json, write_atomic
from atinuke.errors import ConfigError
from atinuke.run_folder import RunFolder
from atinuke.train.parallel.ranks import ALONE, Ranks


def is_out_of_memory(error: BaseException) -> bool:
    """Whether a device, or this process, was refused the memory that it asked for."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and ("not enough memory" in str(error) or "alloc" in str(error))


class MicroBatches:
    """How many rows are computed at once; halved each time that memory is not enough for them."""

    def __init__(
        self, at_most: int | None = None, on_halved: Callable[[int, int], None] = lambda few, were: None
    ) -> None:
        """`at_most`: none: all rows of a batch. `on_halved` is told how few rows and how many before; it may raise."""
        self.at_most = at_most
        self._on_halved = on_halved

    def of(self, batch: Batch) -> list[Batch]:
        """The batch in parts; equally many in every process that holds a part of the same batch."""
        count = -(-_rows(batch) // self.at_most) if self.at_most else 1
        return [batch] if count == 1 else batch.parts(count)

    def halve(self, error: BaseException, batch: Batch) -> None:
        """Half as many rows from now on. Raises `error` when it is another one, or when there was one row alone."""
        rows = min(self.at_most or sys.maxsize, _rows(batch))
        if not is_out_of_memory(error) or rows <= 1:
            raise error
        self.at_most = -(-rows // 2)
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._on_halved(self.at_most, rows)


def _rows(batch: Batch) -> int:
    return batch.most_rows or batch.row_count


def remembered(folder: RunFolder, asked: int | None, say: Callable[[str], None], ranks: Ranks = ALONE) -> MicroBatches:
    """Micro-batches as asked for, or smaller ones if this run has found that memory has no room for those.

    Of several processes, the one whose memory is short cannot stop the others in the middle of a step: it leaves the
    smaller number in the run folder and ends with a ConfigError, and the same command goes on with that.
    """
    path = folder.state / "micro_batches.json"
    facts = {"asked": asked, "processes": ranks.size}
    known = read_json(path) if path.exists() else {}
    at_most = known["found"] if known.items() >= facts.items() else asked

    def remember(few: int, were: int) -> None:
        write_atomic(path, to_json({**facts, "found": few}))
        short = f"Memory was not enough for {were} rows at once"
        if ranks.size == 1:
            say(f"{short}: {few} at once from here on, and as many in a step as before.")
            return
        raise ConfigError(
            f"{short} in process {ranks.rank} of {ranks.size}. The same command goes on with {few} at once, and as "
            "many in a step as before; torchrun --max-restarts 3 does that by itself."
        )

    return MicroBatches(at_most, remember)
