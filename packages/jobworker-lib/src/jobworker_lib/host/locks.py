"""Locks of files, flock(2), that are not waited for without end: who holds one may have been stopped (SIGSTOP)."""

from __future__ import annotations

import fcntl
import time

_PAUSE_SECONDS = 0.001
_LONGEST_PAUSE_SECONDS = 0.05


class LockTimeoutError(TimeoutError):
    """Others held a lock for too long."""


def lock_within(descriptor: int, operation: int, seconds: float) -> None:
    """Take a lock, as flock(2) does. LockTimeoutError where others hold it for so many seconds."""
    give_up_at = time.monotonic() + seconds
    pause = _PAUSE_SECONDS
    while True:
        try:
            fcntl.flock(descriptor, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up_at:
                raise LockTimeoutError from None
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        else:
            return
