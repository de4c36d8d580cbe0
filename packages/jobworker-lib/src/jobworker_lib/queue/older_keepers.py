"""Ends the keepers that older versions have started: they would start jobs without what their version doesn't know."""

from __future__ import annotations

import fcntl
import os
import signal
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from jobworker_lib.host.libc import pidfd_of
from jobworker_lib.host.procfs import all_pids
from jobworker_lib.store.version import FORMAT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PROCESS_NAME = "jobworker-queue"

_FIRST_FORMAT_IN_NAME = 4
_SECONDS = 5.0
_PAUSE_SECONDS = 0.01


def lock_name(version: int) -> str:
    """The lock of keepers that know this format; older ones all had the same."""
    return f"keeper.{version}.lock" if version >= _FIRST_FORMAT_IN_NAME else "keeper.lock"


def dismiss(state_dir: Path, mark: Callable[[], None]) -> None:
    """End them, and ``mark`` that jobs may be queued where their locks say so. A keeper can be killed at any moment.

    Raises:
        OSError: one can't be ended: it is on another host, or in another container.
    """
    for version in range(_FIRST_FORMAT_IN_NAME - 1, FORMAT):
        path = state_dir / lock_name(version)
        with suppress(FileNotFoundError):
            lock = os.open(path, os.O_RDWR | os.O_CLOEXEC)
            try:
                _take(lock, path)
                if os.fstat(lock).st_size:
                    mark()
                os.unlink(path)
            finally:
                os.close(lock)


def _take(lock: int, path: Path) -> None:
    give_up_at = time.monotonic() + _SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > give_up_at:
                raise OSError(
                    f"a keeper of an older version holds {path}, and can't be ended from here: end the process "
                    f"{PROCESS_NAME} on the host, or in the container, where that version ran"
                ) from None
            _kill_holders(lock)
            time.sleep(_PAUSE_SECONDS)
        else:
            return


def _kill_holders(lock: int) -> None:
    """Kill the keepers that have this file open; not an older engine that is about to hand it to one."""
    for pid in all_pids():
        with suppress(OSError):  # it is gone, or another user's
            handle = pidfd_of(pid)
            try:
                if _name(pid) == PROCESS_NAME and any(os.path.samestat(os.fstat(lock), file) for file in _files(pid)):
                    signal.pidfd_send_signal(handle, signal.SIGKILL)
            finally:
                os.close(handle)


def _name(pid: int) -> str:
    with open(f"/proc/{pid}/comm") as file:
        return file.read().strip()


def _files(pid: int) -> Iterator[os.stat_result]:
    for descriptor in os.listdir(f"/proc/{pid}/fd"):
        with suppress(OSError):  # closed just now
            yield os.stat(f"/proc/{pid}/fd/{descriptor}")
