"""When one of several processes ends before its work is done: who it was, and how the others come to an end.

One that is left notices when it talks to the lost one, and leaves a note in the store. The others may still wait for
each other in the middle of a step; in each, a thread waits for that note, answers it, and sees to it that the process
ends in time.
"""

import os
import sys
import threading
import time
from contextlib import suppress
from datetime import timedelta
from typing import Any

import torch.distributed as dist

from atinuke.errors import LostProcessError

ANSWERS_S, AT_LEAST_S = 10.0, 2.0
"""How long answers to the note are waited for; less where all but one have come."""
GRACE_S = 20.0
"""After this time a process that is still in the middle of a step ends as it is."""
SIGNS = ("Connection closed by peer", "Connection reset by peer", "Timed out waiting", "Broken pipe", "[gloo", "/gloo/")
"""What gloo says then: its errors have no type of their own."""
GOES_ON = "The same command goes on from the last checkpoint."
NOTE = "atinuke/note"


class Roll:
    """The processes of a training, as they know of each other through the store that torchrun keeps."""

    def __init__(self, store: Any, rank: int, size: int, patience: timedelta) -> None:
        self._store = store
        self._rank = rank
        self._others = [other for other in range(size) if other != rank]
        self._patience = patience
        self._is_over = threading.Event()
        # waiting blocks a connection, so this one is the thread's own
        threading.Thread(target=self._listen, args=(store.clone(),), name="lost processes", daemon=True).start()

    def sign_off(self, reason: str) -> None:
        """This process ends, for a reason of its own."""
        with suppress(RuntimeError):
            self._store.set(f"atinuke/reason/{self._rank}", reason)

    def close(self) -> None:
        """This process needs no watching any more."""
        self._is_over.set()

    def lost(self) -> LostProcessError:
        """Tells the others that one is lost, and which, by the answers that come."""
        silent, reasons = list(self._others), dict[int, str]()
        begun_s = time.monotonic()
        try:
            self._store.set(NOTE, str(self._rank))
            while silent and (waited_s := time.monotonic() - begun_s) < ANSWERS_S:
                if len(silent) == 1 and waited_s > AT_LEAST_S:
                    break
                time.sleep(0.1)
                silent = [
                    other for other in silent if not self._has("answer", other) and not self._has("reason", other)
                ]
            reasons = {other: self._reason(other) for other in self._others if self._has("reason", other)}
        except RuntimeError:  # the store went with the process that kept it
            return LostProcessError(f"Another of {len(self._others) + 1} processes was lost. {GOES_ON}")
        ends = [f"process {other} ended ({reason})" for other, reason in reasons.items()]
        ends += [f"process {other} was lost (killed, or its machine is gone)" for other in silent]
        what = "; ".join(ends) or "the connection between two was lost"
        return LostProcessError(f"Of {len(self._others) + 1} processes, {what}. {GOES_ON}")

    def _has(self, kind: str, rank: int) -> bool:
        return bool(self._store.check([f"atinuke/{kind}/{rank}"]))

    def _reason(self, rank: int) -> str:
        return str(self._store.get(f"atinuke/reason/{rank}").decode())

    def _listen(self, store: Any) -> None:
        try:
            store.wait([NOTE], self._patience)
            store.set(f"atinuke/answer/{self._rank}", "here")
        except RuntimeError:  # nothing was lost in all that time, or the store is
            return
        if not self._is_over.wait(GRACE_S):
            print(f"LostProcessError: another process was lost in the middle of a step. {GOES_ON}", file=sys.stderr)
            sys.stderr.flush()
            os._exit(LostProcessError.exit_code)


def is_loss(error: BaseException) -> bool:
    """Whether `error` comes from talking to a process that is no longer there."""
    return isinstance(error, dist.DistError) or (
        isinstance(error, RuntimeError) and any(sign in str(error) for sign in SIGNS)
    )
