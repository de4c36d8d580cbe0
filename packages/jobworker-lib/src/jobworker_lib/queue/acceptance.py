"""Accepts new jobs: makes their directories, tells of them, and decides whether they are started now."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from jobworker_lib.errors import EngineError
from jobworker_lib.events import log
from jobworker_lib.events.event import Event, EventType
from jobworker_lib.job.directory import DIRECTORY_MODE, QUEUED, SPEC, JobDirectory
from jobworker_lib.job.status import State
from jobworker_lib.queue import admission
from jobworker_lib.store import index_rows
from jobworker_lib.store.index_rows import Indexed

if TYPE_CHECKING:
    import sqlite3

    from jobworker_lib.job.spec import JobSpec
    from jobworker_lib.store.store import Store


class Acceptance:
    """Makes the jobs of a store; safe to use from any thread."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def create(self, spec: JobSpec) -> tuple[JobDirectory, int] | str:
        """Make a job's directory: it, and a descriptor with its supervisor's lock.

        Where there is nothing to be started now, the id of a job: of the one that the same owner started with the same
        request id, or of the new one, which is queued.

        Raises:
            QuotaExceededError: as many jobs run, and wait, as may.
        """
        hidden = JobDirectory(os.path.join(self._store.new, spec.id))
        os.mkdir(hidden.path, DIRECTORY_MODE)
        lock = -1
        try:
            hidden.write(SPEC, spec)
            lock = os.open(hidden.file(SPEC), os.O_RDONLY | os.O_CLOEXEC)
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = self._publish(spec, hidden)
        except BaseException:
            self._withdraw(spec, hidden)
            if lock >= 0:
                os.close(lock)
            raise
        if known is not None:
            os.close(lock)
            shutil.rmtree(hidden.path)
            self._store.upkeep.find(known)
            return known
        directory = JobDirectory(os.path.join(self._store.jobs, spec.id))
        if directory.is_queued():
            os.close(lock)
            self._store.keeper.tend()
            return spec.id
        return directory, lock

    def _publish(self, spec: JobSpec, hidden: JobDirectory) -> str | None:
        """Tell of a new job, then show its directory; or, doing neither, the id of the job of the same request.

        Should this process die in between, whoever looks for the job that was told of finds it under ``new``.
        """
        request_id, bounds = spec.request_id, self._store.bounds.read()
        is_bounded = admission.is_bounded(spec, bounds)
        if request_id is None and not is_bounded:
            self._show(spec, hidden, State.STARTING)
            return None
        if is_bounded:
            self._store.upkeep.look()  # who has just seen a job's end need not wait for its being told

        def add(db: sqlite3.Connection) -> str | None:
            known = request_id and index_rows.id_of_request(db, spec.owner, request_id)
            if known and known != spec.id:
                return known
            if index_rows.owner_of(db, spec.id) is None:  # else the index was made anew while the job was added
                state = admission.admit(db, spec, bounds)
                index_rows.add(db, Indexed.of(spec, state))
                if state is State.QUEUED:
                    self.queue(db, hidden)
                self._show(spec, hidden, state)
            return None

        return self._store.index.transact(add)

    def queue(self, db: sqlite3.Connection, directory: JobDirectory) -> None:
        """Let a job wait for its turn; the caller holds its lock."""
        self._store.keeper.mark()
        directory.write(QUEUED, {"queued_ns": time.time_ns()})
        index_rows.set_state(db, directory.name, State.QUEUED)

    def _show(self, spec: JobSpec, hidden: JobDirectory, state: State) -> None:
        event = Event(type=EventType.CREATED, job_id=spec.id, time_ns=spec.created_ns, owner=spec.owner, state=state)
        try:
            log.append(self._store.events, event)
        except FileNotFoundError:  # it was removed by hand
            log.prepare(self._store.events)
            log.append(self._store.events, event)
        os.rename(hidden.path, os.path.join(self._store.jobs, spec.id))

    def _withdraw(self, spec: JobSpec, hidden: JobDirectory) -> None:
        """Undo what there is of a job that can't be made; the caller holds its lock."""
        with suppress(OSError, EngineError):
            with suppress(FileNotFoundError):
                os.rename(os.path.join(self._store.jobs, spec.id), hidden.path)
            os.rename(hidden.path, os.path.join(self._store.deleted, spec.id))
            self._store.upkeep.clear(os.path.join(self._store.deleted, spec.id))
