"""Wakes the keeper when something has happened to a job, or the bounds have changed."""

from __future__ import annotations

import os
import select
from contextlib import suppress
from typing import TYPE_CHECKING

from jobworker_lib.events import log
from jobworker_lib.host import libc
from jobworker_lib.host.filesystem import is_network_filesystem

if TYPE_CHECKING:
    from pathlib import Path

_POLL_SECONDS = 0.2
_READ_BYTES = 64 << 10
_EVENTS_MASK = libc.IN_MODIFY | libc.IN_DELETE_SELF | libc.IN_ONLYDIR
_STATE_MASK = libc.IN_MOVED_TO | libc.IN_DELETE_SELF | libc.IN_ONLYDIR  # bounds.json is renamed into place


class Alarm:
    """Watches the event log and the bounds of a state directory; where inotify can't see, time does."""

    def __init__(self, state_dir: Path) -> None:
        self._inotify = -1
        if not is_network_filesystem(str(state_dir)):
            with suppress(OSError):  # no instance or no watch left for this user
                self._watch(state_dir)

    def clear(self) -> None:
        """Forget what has happened until now: who looks after this sees it."""
        if self._inotify >= 0:
            with suppress(BlockingIOError):
                while os.read(self._inotify, _READ_BYTES):
                    pass

    def wait(self, seconds: float) -> bool:
        """Return when something has happened, True, or after so many seconds, False."""
        if self._inotify < 0:
            select.select([], [], [], min(seconds, _POLL_SECONDS))
            return False
        poller = select.poll()
        poller.register(self._inotify, select.POLLIN)
        return bool(poller.poll(seconds * 1000))

    def _watch(self, state_dir: Path) -> None:
        inotify = libc.inotify_init()
        try:
            os.set_blocking(inotify, False)
            libc.inotify_add_watch(inotify, str(state_dir / log.DIRECTORY), _EVENTS_MASK)
            libc.inotify_add_watch(inotify, str(state_dir), _STATE_MASK)
        except OSError:
            os.close(inotify)
            raise
        self._inotify = inotify
