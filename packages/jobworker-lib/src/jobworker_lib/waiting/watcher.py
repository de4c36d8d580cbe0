"""Wakes those who wait for a job directory to change, or for events.

One inotify instance and one thread for all jobs of an engine (the kernel allows few instances a user). Output is
watched only where somebody waits for it, so that a job that prints much costs those nothing who wait for its end. Where
inotify can't see changes (network filesystems) or can't be had, waiters look again by themselves: see
:meth:`Watcher.pauses`.
"""

from __future__ import annotations

import itertools
import os
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum, auto

from jobworker_lib.host import libc
from jobworker_lib.host.filesystem import is_network_filesystem
from jobworker_lib.job.directory import EXIT, STARTED

_EVENT = struct.Struct("iIII")
_READ_BYTES = 64 << 10
_STATE_MASK = libc.IN_MOVED_TO | libc.IN_DELETE_SELF | libc.IN_ONLYDIR  # records are renamed into place
_GROWTH_MASK = _STATE_MASK | libc.IN_MODIFY
_STATE_NAMES = frozenset(name.encode() for name in (STARTED, EXIT))
_INDEX_SUFFIX = b".index"
_RECHECK_SECONDS = 1.0
_SHORTEST_POLL_SECONDS = 0.005
_LONGEST_POLL_SECONDS = 0.5

Wake = Callable[[], None]


class Change(Enum):
    """What somebody waits for."""

    STATE = auto()
    """The job was started, has ended, or is deleted."""
    OUTPUT = auto()
    """There is more output; or its state changed, for then there may be no more."""
    EVENTS = auto()
    """There are more events; the directory is the event log's."""


class Watcher:
    """Calls back when a directory changes; safe to use from any thread."""

    def __init__(self, state_dir: str) -> None:
        self._state_dir = state_dir
        self._lock = threading.Lock()
        self._wakes: dict[int, list[tuple[Change, Wake]]] = {}
        self._thread: threading.Thread | None = None
        self._inotify = -1
        if not is_network_filesystem(state_dir):
            with suppress(OSError):  # no instance left for this user: waiters poll
                self._inotify = libc.inotify_init()

    def pauses(self) -> Iterator[float]:
        """How long to wait before looking again even if nothing called back, in seconds.

        With inotify that is only to see what it can't tell: a supervisor that died.
        """
        if self._inotify >= 0:
            yield from itertools.repeat(_RECHECK_SECONDS)
        pause = _SHORTEST_POLL_SECONDS
        while True:
            yield pause
            pause = min(2 * pause, _LONGEST_POLL_SECONDS)

    @contextmanager
    def watch(self, directory: str | os.PathLike[str], change: Change, wake: Wake) -> Iterator[None]:
        """Call ``wake``, from another thread, at every such change, until the block ends."""
        waiter = (change, wake)
        watch = self._add(directory, waiter)
        try:
            yield
        finally:
            if watch is not None:
                self._remove(watch, directory, waiter)

    def close(self) -> None:
        """End the thread; it closes the instance."""
        with self._lock:
            thread, self._thread = self._thread, None
            inotify, self._inotify = self._inotify, -1
            if thread is not None:  # ending a watch makes an event, which wakes the thread
                libc.inotify_rm_watch(inotify, libc.inotify_add_watch(inotify, self._state_dir, _STATE_MASK))
        if thread is not None:
            thread.join()
        if inotify >= 0:
            os.close(inotify)

    def _add(self, directory: str | os.PathLike[str], waiter: tuple[Change, Wake]) -> int | None:
        mask = _STATE_MASK if waiter[0] is Change.STATE else _GROWTH_MASK
        with self._lock:
            if self._inotify < 0:
                return None
            try:
                watch = libc.inotify_add_watch(self._inotify, os.fspath(directory), mask | libc.IN_MASK_ADD)
            except OSError:  # deleted meanwhile, or no watch left: the waiter looks again by itself
                return None
            self._wakes.setdefault(watch, []).append(waiter)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._dispatch, args=(self._inotify,), name="jobworker-watcher", daemon=True
                )
                self._thread.start()
            return watch

    def _remove(self, watch: int, directory: str | os.PathLike[str], waiter: tuple[Change, Wake]) -> None:
        with self._lock:
            waiters = self._wakes.get(watch)
            if not waiters:  # the directory is deleted
                return
            waiters.remove(waiter)
            if not waiters:
                del self._wakes[watch]
            if self._inotify < 0:
                return
            with suppress(OSError):  # the directory is just being deleted
                if not waiters:
                    libc.inotify_rm_watch(self._inotify, watch)
                elif all(change is Change.STATE for change, _ in waiters):
                    libc.inotify_add_watch(self._inotify, os.fspath(directory), _STATE_MASK)

    def _dispatch(self, inotify: int) -> None:
        while True:
            events = os.read(inotify, _READ_BYTES)
            with self._lock:
                if self._thread is None:
                    return
                for wake in self._woken_by(events):
                    wake()

    def _woken_by(self, events: bytes) -> set[Wake]:
        woken: set[Wake] = set()
        position = 0
        while position < len(events):
            watch, mask, _, length = _EVENT.unpack_from(events, position)
            position += _EVENT.size + length
            name = events[position - length : position].rstrip(b"\0")
            if mask & libc.IN_Q_OVERFLOW:
                return {wake for waiters in self._wakes.values() for _, wake in waiters}
            if mask & libc.IN_IGNORED:  # the directory was deleted
                woken.update(wake for _, wake in self._wakes.pop(watch, ()))
            elif name in _STATE_NAMES or not name:
                woken.update(wake for _, wake in self._wakes.get(watch, ()))
            elif name.endswith(_INDEX_SUFFIX) or name.isdigit():
                woken.update(wake for change, wake in self._wakes.get(watch, ()) if change is not Change.STATE)
        return woken
