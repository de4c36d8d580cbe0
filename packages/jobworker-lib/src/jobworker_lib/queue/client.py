"""An engine's way to the keeper of its state directory: sees to it that there is one while jobs are queued."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from jobworker_lib.errors import EngineError
from jobworker_lib.host.detached import spawn
from jobworker_lib.job.directory import FILE_MODE
from jobworker_lib.queue import older_keepers
from jobworker_lib.store.version import FORMAT, is_newer

if TYPE_CHECKING:
    from pathlib import Path

LOCK = older_keepers.lock_name(FORMAT)
PENDING = b"1"
_PAUSE_SECONDS = 1.0


class KeeperClient:
    """Starts a keeper where none runs.

    Its lock is held by the keeper, and holds a mark while jobs may be queued, so that an engine that is opened,
    after a reboot for example, need not read the index to know that a keeper is wanted. The name of the lock tells the
    format, as a keeper that an older version started may run still.
    """

    def __init__(self, state_dir: Path) -> None:
        self._state_dir = state_dir
        self._next_try = 0.0

    def mark(self) -> None:
        """Note that jobs are queued. Only within a transaction of the index: the keeper clears it in one.

        EngineError where a keeper of an older version would start them.
        """
        try:
            older_keepers.dismiss(self._state_dir, self._mark)
        except OSError as error:
            raise EngineError(f"jobs can't be queued: {error.strerror or error}") from error
        self._mark()

    def take_over(self) -> None:
        """For who opens the state directory: go on where keepers of older versions are, or were."""
        with suppress(OSError):  # one can't be ended; it has jobs that it knows how to start, and gets no more
            older_keepers.dismiss(self._state_dir, self._mark)

    def _mark(self) -> None:
        descriptor = self._open()
        try:
            os.pwrite(descriptor, PENDING, 0)
        finally:
            os.close(descriptor)

    def is_marked(self) -> bool:
        """Whether jobs may be queued."""
        try:
            return os.stat(self._state_dir / LOCK).st_size > 0
        except FileNotFoundError:
            return False

    def tend(self) -> None:
        """For who has just seen a queued job: see to it that a keeper runs. One that can't be had is tried later."""
        if time.monotonic() < self._next_try:
            return
        try:
            self.summon()
        except OSError:
            self._next_try = time.monotonic() + _PAUSE_SECONDS

    def summon(self) -> None:
        """Start a keeper unless one runs; its lock is taken here and handed on. OSError where that can't be done."""
        lock = self._open()
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if is_newer(self._state_dir):
                return  # its own engines see to it
            spawn("jobworker_lib.queue.keeper", self._state_dir, stdin=lock)
        except BlockingIOError:
            return
        finally:
            os.close(lock)

    def _open(self) -> int:
        return os.open(self._state_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
