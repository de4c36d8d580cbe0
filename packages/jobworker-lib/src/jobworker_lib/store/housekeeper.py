"""What an open engine does in the background: remove jobs that are not to be kept, and find lost ones for watchers.

Any number of engines may be open on a directory: one of them does it, once a minute.
"""

from __future__ import annotations

import fcntl
import logging
import os
import threading
import time
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from jobworker_lib.errors import EngineError, JobNotFoundError
from jobworker_lib.job.directory import FILE_MODE, JobDirectory
from jobworker_lib.store import index_rows, scan
from jobworker_lib.store.retention import read_retention, superfluous

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from jobworker_lib.store.retention import EndedJob
    from jobworker_lib.store.store import Store

_LOCK_FILE = "retention.lock"
_PERIOD_SECONDS = 60.0
_LOOK_SECONDS = 2.0
_BATCH = 200
_MEASURED_AT_ONCE = 20
_BREATHS = 4
"""Jobs are measured a few at a time, with a pause so many times as long, so that nobody notices when it is done to very
many for the first time."""

_log = logging.getLogger(__name__)


class Housekeeper:
    """A thread of an engine."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._watchers = 0
        self._stopping = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="jobworker-housekeeper", daemon=True)
        self._thread.start()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Within the block, jobs whose supervisors died are found by themselves."""
        self._count(1)
        try:
            yield
        finally:
            self._count(-1)

    def close(self) -> None:
        """End the thread, soon."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join()

    def _count(self, difference: int) -> None:
        with self._changed:
            self._watchers += difference
            self._changed.notify_all()

    def _work(self) -> None:
        retained_at = 0.0
        while not self._stopping:
            try:
                if time.monotonic() >= retained_at:
                    retained_at = time.monotonic() + _PERIOD_SECONDS
                    self._retain()
                if self._watchers:
                    self._store.upkeep.look()
            except (EngineError, OSError) as error:  # such as a full disk, or a directory that was removed
                _log.warning("jobs can't be looked after: %s", error)
            except Exception:  # noqa: BLE001 - a fault of one round, such as a damaged file, must not end all others
                _log.exception("jobs can't be looked after")
            self._wait(_LOOK_SECONDS if self._watchers else _PERIOD_SECONDS)

    def _wait(self, seconds: float) -> None:
        with self._changed:
            if not self._stopping:
                self._changed.wait(seconds)

    def _retain(self) -> None:
        """Remove what is not to be kept, unless another engine does just now or did in the last minute."""
        lock = os.open(self._store.path / _LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            about = os.fstat(lock)
            if about.st_size and time.time() - about.st_mtime < _PERIOD_SECONDS / 2:
                return
            os.pwrite(lock, b"\n", 0)
            self._store.upkeep.sweep()
            self._store.upkeep.look()
            self._measure()
            self._remove()
        except BlockingIOError:
            pass
        finally:
            os.close(lock)

    def _measure(self) -> None:
        """Note what ended jobs take on the disk; it never changes."""
        sizes: dict[str, int] = {}
        while not self._stopping:
            began = time.monotonic()
            job_ids = self._store.index.transact(lambda db: _note_sizes(db, sizes))  # noqa: B023 - called at once
            if not job_ids:
                return
            sizes = {job_id: self._size(job_id) for job_id in job_ids}
            self._wait(_BREATHS * (time.monotonic() - began))

    def _size(self, job_id: str) -> int:
        with suppress(FileNotFoundError):  # removed just now
            return scan.disk_usage(f"{self._store.jobs}/{job_id}")
        return 0

    def _remove(self) -> None:
        retention = read_retention(self._store.path)
        count, total = self._store.index.transact(index_rows.ended_jobs)
        most_bytes = retention.most_bytes(self._store.path)
        for job in superfluous(self._oldest(), count, total, retention, most_bytes):
            if self._stopping:
                return
            if self._remove_one(job.id):
                seconds = time.time() - job.ended_ns / 1e9
                _log.info("job %s removed by retention: ended %.0f s ago, %d bytes", job.id, seconds, job.bytes)

    def _oldest(self) -> Iterator[EndedJob]:
        last: EndedJob | None = None
        while batch := self._store.index.transact(lambda db: index_rows.next_ended(db, last, _BATCH)):  # noqa: B023 - called at once
            yield from batch
            last = batch[-1]

    def _remove_one(self, job_id: str) -> bool:
        """Remove a job, unless somebody reads it or is at it."""
        directory = JobDirectory(os.path.join(self._store.jobs, job_id))
        with suppress(FileNotFoundError, JobNotFoundError), ExitStack() as descriptors:  # or somebody has removed it
            for take in (directory.try_exclude_readers, directory.try_lock):
                descriptor = take()
                if descriptor is None:
                    return False
                descriptors.callback(os.close, descriptor)
            self._store.remove(directory)
            return True
        return False


def _note_sizes(db: sqlite3.Connection, sizes: dict[str, int]) -> list[str]:
    """Note what was measured: what is to be measured next."""
    index_rows.set_bytes(db, sizes)
    return index_rows.unmeasured(db, _MEASURED_AT_ONCE)
