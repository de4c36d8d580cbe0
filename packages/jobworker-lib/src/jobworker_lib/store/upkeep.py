"""Puts right what crashes left: jobs without a supervisor, ends that nobody told, half-made and half-removed jobs."""

from __future__ import annotations

import os
import shutil
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from jobworker_lib.events.event import EventType
from jobworker_lib.events.telling import tell
from jobworker_lib.job.directory import JobDirectory
from jobworker_lib.job.status import State
from jobworker_lib.queue import waiting_jobs
from jobworker_lib.store import index_rows, lost

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterable
    from datetime import datetime

    from jobworker_lib.store.store import Store

_SHARE = 20
"""A look at all jobs that have not ended takes at most this fraction of the time, however many there are."""
_APPEARS_SECONDS = 60.0
_FIND_SECONDS = 10.0
_FIND_PAUSE_SECONDS = 0.001
_JUST_ENDED_SECONDS = 5.0
_MOST_JUST_ENDED = 1000


class Upkeep:
    """Looks after the jobs of a store; safe to use from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._looking = threading.Lock()
        self._next_look = 0.0
        self._just_ended: dict[str, None] = {}

    def note_end(self, job_id: str, ended_at: datetime) -> None:
        """Whoever uses this engine knows that the job has ended, so a list must know it too, be it told yet or not."""
        if time.time() - ended_at.timestamp() < _JUST_ENDED_SECONDS:
            with self._lock:
                self._just_ended[job_id] = None
                if len(self._just_ended) > _MOST_JUST_ENDED:
                    del self._just_ended[next(iter(self._just_ended))]

    def look(self) -> None:
        """Look at the jobs that have not ended, as the log tells: at all of them now and then."""
        with self._looking:  # who comes meanwhile needs what is being found out
            self._look()

    def _look(self) -> None:
        with self._lock:
            just_ended, self._just_ended = self._just_ended, {}
            began = time.monotonic()
            is_due = began >= self._next_look
        if not is_due and not just_ended:
            return
        changes: list[tuple[str, State, int | None]] = []
        for job_id, known in self._store.index.untold():
            if is_due or job_id in just_ended:
                changes += self._look_at(job_id, known)
        if changes:
            self._store.index.transact(lambda db: _note(db, changes))
        if is_due:
            now = time.monotonic()
            with self._lock:
                self._next_look = now + _SHARE * (now - began)

    def forget(self, job_ids: Iterable[str]) -> None:
        """Drop jobs that are only in the index: their directories were removed by hand."""

        def work(db: sqlite3.Connection) -> None:
            for job_id in job_ids:
                owner = index_rows.owner_of(db, job_id)
                places = (os.path.join(place, job_id) for place in self._store.places)
                if owner is not None and not any(map(os.path.exists, places)):
                    self._tell_deleted(db, job_id, owner)

        self._store.index.transact(work)

    def sweep(self) -> None:
        """Clear away what a crash left of jobs that were being made or removed."""
        for name in os.listdir(self._store.new):
            self._sweep_new(JobDirectory(os.path.join(self._store.new, name)))
        for name in os.listdir(self._store.deleted):
            self._sweep_deleted(JobDirectory(os.path.join(self._store.deleted, name)))

    def _look_at(self, job_id: str, known: State) -> list[tuple[str, State, int | None]]:
        """What the index should know of a job without waiting for the log."""
        directory = JobDirectory(os.path.join(self._store.jobs, job_id))
        with suppress(FileNotFoundError):  # removed just now
            if not os.path.exists(directory.path):
                self._look_for(job_id)
            elif directory.has_exit():
                return self._look_at_end(directory)
            elif known is State.STARTING and directory.is_queued():
                self._store.index.transact(lambda db: self.put_back(db, job_id))
            elif record := self._store.found_lost(directory):
                return [(job_id, record.state, record.ended_ns)]
            elif known is not State.RUNNING and directory.read_started():
                return [(job_id, State.RUNNING, None)]
        return []

    def find(self, job_id: str) -> None:
        """Bring a job to light that was told of, and whose maker died before it was shown.

        Others who hold its lock are just looking at it, or bring it to light themselves: that is waited for.
        """
        shown, give_up_at = os.path.join(self._store.jobs, job_id), time.monotonic() + _FIND_SECONDS
        while not os.path.exists(shown) and time.monotonic() < give_up_at:
            self._look_for(job_id)
            if not os.path.exists(os.path.join(self._store.new, job_id)):
                return
            time.sleep(_FIND_PAUSE_SECONDS)

    def put_back(self, db: sqlite3.Connection, job_id: str) -> None:
        """Note that a job waits still that was about to be started: who was about to has died, or could not.

        In the transaction, as jobs are marked as being started in one, by who takes their locks.
        """
        lock = waiting_jobs.take(JobDirectory(os.path.join(self._store.jobs, job_id)))
        if lock is not None:
            index_rows.set_state(db, job_id, State.QUEUED)
            os.close(lock)

    def _look_at_end(self, directory: JobDirectory) -> list[tuple[str, State, int | None]]:
        """An end that is not told: by who holds the lock, or else by us."""
        job_id = directory.name
        record = directory.read_exit()
        lock = directory.try_lock()
        if lock is not None:
            try:
                told = self._store.index.transact(lambda db: index_rows.is_told(db, job_id))
                if record and told is False and lost.tell_end(directory, record):
                    return []
            finally:
                os.close(lock)
        return [(job_id, record.state, record.ended_ns)] if record else []

    def _look_for(self, job_id: str) -> None:
        """A job that was told of and is not there: it is just being made, or its maker died before it was."""
        hidden = JobDirectory(os.path.join(self._store.new, job_id))
        directory = JobDirectory(os.path.join(self._store.jobs, job_id))
        try:
            lock = hidden.try_lock()
        except FileNotFoundError:
            self.forget([job_id])
            return
        if lock is not None:
            try:
                with suppress(FileNotFoundError):  # another, who had the lock just before, was faster
                    os.rename(hidden.path, directory.path)
                    if not directory.is_queued():
                        self._store.lose(directory)
            finally:
                os.close(lock)

    def _sweep_new(self, directory: JobDirectory) -> None:
        job_id = directory.name
        with suppress(FileNotFoundError):
            if _is_held(directory) or time.time() - os.stat(directory.path).st_mtime < _APPEARS_SECONDS:
                return
            if self._store.index.transact(lambda db: index_rows.owner_of(db, job_id)) is None:
                shutil.rmtree(directory.path, ignore_errors=True)

    def _sweep_deleted(self, directory: JobDirectory) -> None:
        lock = None
        with suppress(FileNotFoundError):  # its removal had begun
            lock = directory.try_lock()
            if lock is None:
                return
        try:
            self.clear(directory.path)
        finally:
            if lock is not None:
                os.close(lock)

    def clear(self, path: str) -> None:
        """Remove a job that has been moved away, and tell of it where nobody has."""

        def work(db: sqlite3.Connection) -> None:
            owner = index_rows.owner_of(db, os.path.basename(path))
            if owner is not None:
                self._tell_deleted(db, os.path.basename(path), owner)

        self._store.index.transact(work)
        shutil.rmtree(path, ignore_errors=True)  # what is left is cleared by the next sweep

    def _tell_deleted(self, db: sqlite3.Connection, job_id: str, owner: str) -> None:
        if tell(self._store.events, EventType.DELETED, job_id=job_id, owner=owner, time_ns=time.time_ns()):
            index_rows.remove(db, job_id)


def _note(db: sqlite3.Connection, changes: list[tuple[str, State, int | None]]) -> None:
    for job_id, state, ended_ns in changes:
        if ended_ns is None:
            index_rows.set_state(db, job_id, state)
        else:
            index_rows.set_ended(db, job_id, state, ended_ns, told=False)


def _is_held(directory: JobDirectory) -> bool:
    """Whether somebody is making it. One whose lock can't be there yet is nobody's."""
    try:
        lock = directory.try_lock()
    except FileNotFoundError:
        return False
    if lock is not None:
        os.close(lock)
    return lock is None
