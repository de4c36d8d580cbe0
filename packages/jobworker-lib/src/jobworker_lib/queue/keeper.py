"""The keeper's process: starts queued jobs when their turn has come.

There is one for each state directory, and only while jobs are queued: it needs no engine to be open. It is woken by the
event log, which tells of every job that is added, cancelled or has ended, and by a change of the bounds. When it is
killed, whoever next looks at a queued job starts another: all that it knows is in the state directory.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from jobworker_lib.errors import JobNotFoundError, JobworkerError
from jobworker_lib.host import libc
from jobworker_lib.host.detached import detach
from jobworker_lib.job.record import DAMAGE
from jobworker_lib.job.status import State
from jobworker_lib.launcher import Launcher
from jobworker_lib.queue import admission, waiting_jobs
from jobworker_lib.queue.alarm import Alarm
from jobworker_lib.queue.launches import Launches
from jobworker_lib.queue.older_keepers import PROCESS_NAME
from jobworker_lib.store import index_rows
from jobworker_lib.store.store import Store
from jobworker_lib.store.version import is_newer

if TYPE_CHECKING:
    import sqlite3

    from jobworker_lib.job.directory import JobDirectory

_MOST_AT_ONCE = 16
"""Jobs that are marked as being started in one transaction; they wait for each other, as long as none hangs."""
_RECHECK_SECONDS = 2.0
_BUSY_SECONDS = 0.02
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0


class _Turn(NamedTuple):
    """What there is to do besides starting jobs."""

    overdue: list[str]
    deadline_ns: int | None
    was_busy: bool
    """Somebody else held the lock of a job whose turn it is; they will let go of it in a moment."""
    is_over: bool
    """Nothing is queued, or what is needs a newer keeper. The lock is free: another may be started at any moment."""


class Keeper:
    """Serves one state directory until its queue is empty."""

    def __init__(self, state_dir: Path, lock: int) -> None:
        """``lock`` holds the flock of the keeper's lock."""
        self._state_dir = state_dir
        self._lock = lock
        self._alarm = Alarm(state_dir)  # before anything is read, so that no change goes unseen
        self._store = Store(state_dir)
        self._launcher = Launcher(self._store)
        self._launches = Launches(self._launch)
        self._taken: list[tuple[JobDirectory, int]] = []
        """The jobs whose turn it is, with their locks."""
        self._pause = _FIRST_PAUSE_SECONDS

    def serve(self) -> None:
        """Return when nothing is queued any more, a newer version takes over, or the state directory was removed."""
        self._store.upkeep.look()  # what an earlier keeper had marked as being started waits again
        while True:
            self._alarm.clear()
            try:
                if self._take_turn():
                    return
            except (JobworkerError, OSError) as error:
                self._let_go()
                if not self._state_dir.exists():
                    return
                _complain(str(error))
                self._rest()
            else:
                self._pause = _FIRST_PAUSE_SECONDS

    def close(self) -> None:
        """Let go of everything; jobs run on."""
        self._launcher.close()
        self._store.index.close()

    def _take_turn(self) -> bool:
        """Start or fail whom it is time for, or wait; True when there is nobody left."""
        self._mind_failures()  # of launches that nobody waited for any more
        turn = self._store.index.transact(self._next_turn)
        if turn.is_over:
            return True
        for job_id in turn.overdue:
            self._give_up(job_id)
        if self._taken:
            self._start()
        elif not turn.overdue:
            self._wait(turn)
        return False

    def _next_turn(self, db: sqlite3.Connection) -> _Turn:
        """Mark the jobs whose turn it is as being started, and take their locks, or give up the keeper's."""
        self._let_go()  # of what an attempt at this transaction took that could not be committed
        if is_newer(self._state_dir):
            fcntl.flock(self._lock, fcntl.LOCK_UN)
            return _Turn([], None, was_busy=False, is_over=True)
        overdue = admission.overdue(db, time.time_ns())
        room = admission.Room(db, self._store.bounds.read())
        was_busy, most = False, min(_MOST_AT_ONCE, self._launches.room)
        for job_id, owner in admission.in_turn(db, room):
            if len(self._taken) == most:
                break
            if job_id in overdue:
                continue
            if self._take(job_id):
                room.take(owner)
            else:
                was_busy = True
        for directory, _ in self._taken:
            index_rows.set_state(db, directory.name, State.STARTING)
        is_over = not self._taken and admission.count_queued(db) == 0 and self._launches.are_over
        if is_over:  # an engine that queues a job after this transaction finds the lock free
            os.ftruncate(self._lock, 0)
            fcntl.flock(self._lock, fcntl.LOCK_UN)
        return _Turn(overdue, admission.next_deadline_ns(db), was_busy, is_over)

    def _take(self, job_id: str) -> bool:
        try:
            directory = self._store.directory(job_id)
        except JobNotFoundError:
            return False
        lock = waiting_jobs.take(directory)
        if lock is not None:
            self._taken.append((directory, lock))
        return lock is not None

    def _let_go(self) -> None:
        while self._taken:
            os.close(self._taken.pop()[1])

    def _start(self) -> None:
        """Hand the jobs to shims. Where none can be had, they keep their places, and all have a rest."""
        while self._taken:
            if not self._launches.begin(*self._taken.pop(0)):
                self._mind_failures()

    def _mind_failures(self) -> None:
        failed = self._launches.take_failed()
        for directory, error in failed:
            _complain(f"job {directory.name}: {error}")
        if failed:
            self._put_back([*(directory for directory, _ in failed), *(other for other, _ in self._taken)])
            self._rest()

    def _launch(self, directory: JobDirectory, lock: int) -> None:
        self._launcher.launch(directory, lock, new_privileges=_new_privileges(directory), queued=True)

    def _rest(self) -> None:
        time.sleep(self._pause)
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_SECONDS)

    def _put_back(self, jobs: list[JobDirectory]) -> None:
        self._let_go()

        def work(db: sqlite3.Connection) -> None:
            for directory in jobs:
                self._store.upkeep.put_back(db, directory.name)

        self._store.index.transact(work)

    def _give_up(self, job_id: str) -> None:
        try:
            directory = self._store.directory(job_id)
            deadline = directory.read_spec().start_deadline
        except (JobNotFoundError, FileNotFoundError):
            return
        waiting_jobs.give_up(directory, deadline or 0.0)

    def _wait(self, turn: _Turn) -> None:
        """Until something has happened, or the next deadline; what nobody tells of is looked for now and then."""
        seconds = _BUSY_SECONDS if turn.was_busy else _RECHECK_SECONDS
        if turn.deadline_ns is not None:
            seconds = min(seconds, max(0.0, (turn.deadline_ns - time.time_ns()) / 1e9))
        if not self._alarm.wait(seconds) and seconds == _RECHECK_SECONDS:
            self._store.upkeep.look()


def _new_privileges(directory: JobDirectory) -> bool:
    """What its spec says; where that is damaged or gone, its shim tells of it."""
    with suppress(OSError, *DAMAGE):
        return directory.read_spec().new_privileges
    return True


def _complain(message: str) -> None:
    print(f"keeper: {message}", file=sys.stderr, flush=True)


def main() -> None:
    """Serve the state directory that is the last argument; the standard input holds the keeper's lock."""
    state_dir = Path(sys.argv[-1])
    lock = detach()
    libc.set_process_name(PROCESS_NAME)
    keeper = Keeper(state_dir, lock)
    keeper.serve()
    keeper.close()
