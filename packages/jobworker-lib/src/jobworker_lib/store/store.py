"""A state directory: its job directories, which are the truth, the log of what happens to them, and their index."""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from jobworker_lib.errors import EngineError, JobDamagedError, JobNotFoundError, JobRunningError, StateDirectoryError
from jobworker_lib.events import log
from jobworker_lib.job import status_json
from jobworker_lib.job.directory import DIRECTORY_MODE, JOBS, ExitRecord, JobDirectory
from jobworker_lib.job.record import DAMAGE
from jobworker_lib.job.status import JobStatus, State
from jobworker_lib.queue import waiting_jobs
from jobworker_lib.queue.acceptance import Acceptance
from jobworker_lib.queue.bounds import BoundsFile
from jobworker_lib.queue.client import KeeperClient
from jobworker_lib.store import index_rows, lost, scan
from jobworker_lib.store.index import Index
from jobworker_lib.store.index_rows import Indexed
from jobworker_lib.store.retention import write_retention
from jobworker_lib.store.upkeep import Upkeep
from jobworker_lib.store.version import check_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    from jobworker_lib.job.spec import JobSpec
    from jobworker_lib.queue.bounds import Bounds
    from jobworker_lib.store.index_schema import Query
    from jobworker_lib.store.retention import Retention

_HIDDEN_NEW = ".new-"
_HIDDEN_DELETED = ".deleted-"
_LOCK_SECONDS = 10.0
_LONGEST_PATH = 480
"""SQLite takes no longer one for its files."""
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_LOCK_PAUSE_SECONDS = 0.001


def default_state_dir() -> Path:
    """``$XDG_STATE_HOME/jobworker``, by default ``~/.local/state/jobworker``."""
    home = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return Path(home) / "jobworker"


class Store:
    """Finds and removes jobs; needs no process of its own, and any number may be open on one directory."""

    def __init__(self, state_dir: str | os.PathLike[str] | None) -> None:
        """Open the directory; it is made where it is missing.

        Raises:
            StateDirectoryError: it is another user's, can't be written, or is of a newer version.
        """
        self.path = Path(state_dir if state_dir is not None else default_state_dir()).absolute()
        self.jobs = str(self.path / JOBS)
        self.new = str(self.path / "new")
        self.deleted = str(self.path / "deleted")
        self.places = (self.jobs, self.new, self.deleted)
        self.events = str(self.path / log.DIRECTORY)
        self._prepare()
        self.index = Index(self.path, self._all_jobs, self._spec)
        self.bounds = BoundsFile(self.path)
        self.keeper = KeeperClient(self.path)
        self.acceptance = Acceptance(self)
        self.upkeep = Upkeep(self)
        self.upkeep.sweep()

    def directory(self, job_id: str) -> JobDirectory:
        """The job's directory. JobNotFoundError where there is none."""
        directory = JobDirectory(os.path.join(self.jobs, job_id))
        if not os.path.exists(directory.path):
            raise JobNotFoundError(job_id)
        return directory

    def has_ended(self, directory: JobDirectory) -> bool:
        """Whether nothing of the job will change any more; one whose supervisor is gone is made lost by this."""
        try:
            return directory.has_exit() or self.found_lost(directory) is not None
        except FileNotFoundError:  # deleted, so it had ended
            return True

    def status(self, job_id: str) -> JobStatus:
        """The job as it is now. JobNotFoundError where there is none, JobDamagedError."""
        try:
            directory = self.directory(job_id)
            status = directory.status(None if directory.has_exit() else self.found_lost(directory))
        except FileNotFoundError:
            raise JobNotFoundError(job_id) from None
        except DAMAGE:
            raise JobDamagedError(job_id) from None
        if status.ended_at is not None:
            self.upkeep.note_end(job_id, status.ended_at)
        return status

    def found_lost(self, directory: JobDirectory) -> ExitRecord | None:
        """The end of a job whose supervisor is gone; None while it has one, or needs none yet, as it is queued.

        FileNotFoundError where the job was deleted.
        """
        if directory.is_queued():
            self.keeper.tend()
            return None
        lock = directory.try_lock()
        if lock is None:
            return None
        try:
            return directory.read_exit() or self.lose(directory)
        finally:
            os.close(lock)

    def lose(self, directory: JobDirectory) -> ExitRecord | None:
        """Make a job without a supervisor lost; None: it is queued instead, for its start may be resumed.

        The caller holds the job's lock. FileNotFoundError where the job was deleted.
        """
        if not lost.may_be_resumed(directory):
            return lost.make_lost(directory)
        with suppress(EngineError):  # a full disk: whoever looks next tries again
            self.index.transact(lambda db: self.acceptance.queue(db, directory))
            self.keeper.tend()
        return None

    def find(self, query: Query) -> tuple[list[JobStatus], tuple[int, str] | None]:
        """The jobs that a query finds, the newest first; where there may be more, creation time and id to go on before.

        There may be fewer than the query's limit although there are more: some just changed or were deleted, or it took
        too long to find as many.
        """
        self.upkeep.look()
        rows, more = self.index.find(query)
        found, kept, gone = list[JobStatus](), dict[str, str](), list[str]()
        for _, job_id, known in rows:
            text = known or self._told_by_records(job_id)
            try:
                status = self._status_of_row(job_id, text)
            except JobNotFoundError:
                gone.append(job_id)
                continue
            except JobDamagedError:
                continue  # there is nothing to tell of it
            if known is None and status.ended_at is not None:
                self.upkeep.note_end(job_id, status.ended_at)
                if text or self._is_recorded(job_id):
                    kept[job_id] = text or status_json.encode(status)
            if not query.states or status.state in query.states:
                found.append(status)
        if gone:
            self.upkeep.forget(gone)
        if kept:
            self.index.transact(lambda db: index_rows.keep_statuses(db, kept))
        return found, more

    def delete(self, job_id: str) -> None:
        """Remove an ended job. JobNotFoundError, JobRunningError."""
        directory = self.directory(job_id)
        if not self.has_ended(directory):
            raise JobRunningError(job_id)
        lock = _wait_for_lock(directory)
        try:
            self.remove(directory)
        finally:
            os.close(lock)

    def remove(self, directory: JobDirectory) -> None:
        """Remove a job whose lock the caller holds, its end told before. JobNotFoundError where another was faster."""
        job_id = directory.name
        try:
            record = directory.read_exit()
            if record and self.index.transact(lambda db: index_rows.is_told(db, job_id)) is False:
                lost.tell_end(directory, record)
            os.rename(directory.path, os.path.join(self.deleted, job_id))
        except FileNotFoundError:
            raise JobNotFoundError(job_id) from None
        self.upkeep.clear(os.path.join(self.deleted, job_id))

    def discard(self, directory: JobDirectory) -> None:
        """Remove a job that no supervisor has begun with, and whose lock the caller holds."""
        with suppress(JobNotFoundError):
            self.remove(directory)

    def set_bounds(self, bounds: Bounds) -> None:
        """Let other bounds hold. StateDirectoryError where they can't be written down."""
        try:
            self.bounds.write(bounds)
        except OSError as error:
            raise StateDirectoryError(f"the bounds can't be written to {self.path}: {error.strerror}") from error

    def set_retention(self, retention: Retention) -> None:
        """Let another retention hold. StateDirectoryError where it can't be written down."""
        try:
            write_retention(self.path, retention)
        except OSError as error:
            raise StateDirectoryError(f"the retention can't be written to {self.path}: {error.strerror}") from error

    def _spec(self, job_id: str) -> JobSpec | None:
        """The spec of a job that the log tells of, wherever it is."""
        for place in self.places:
            with suppress(OSError, *DAMAGE):
                return JobDirectory(os.path.join(place, job_id)).read_spec()
        return None

    def _status_of_row(self, job_id: str, known: str | None) -> JobStatus:
        if known is None:
            return self.status(job_id)
        if not os.path.exists(f"{self.jobs}/{job_id}"):
            raise JobNotFoundError(job_id)
        with suppress(*DAMAGE):  # it is what damaged records tell
            return status_json.decode(known)
        return self.status(job_id)

    def _told_by_records(self, job_id: str) -> str | None:
        """What the index may keep of a job, where it has ended and its records tell all of it."""
        with suppress(OSError, *DAMAGE):
            ended = scan.ended(f"{self.jobs}/{job_id}")
            return ended and ended.status
        return None

    def _is_recorded(self, job_id: str) -> bool:
        """Whether a job's end is on the disk, and so will never change."""
        return JobDirectory(os.path.join(self.jobs, job_id)).has_exit()

    def _all_jobs(self) -> Iterator[Indexed]:
        for place in (self.jobs, self.deleted):
            for name in sorted(os.listdir(place)):  # in the order in which the index has them, which fills faster
                with suppress(OSError, *DAMAGE):  # deleted meanwhile, or damaged
                    yield scan.ended(f"{place}/{name}") or _unended(JobDirectory(f"{place}/{name}"))

    def _prepare(self) -> None:
        try:
            if len(os.fsencode(os.path.realpath(self.path))) > _LONGEST_PATH:
                raise StateDirectoryError(f"the path of the state directory has more than {_LONGEST_PATH} bytes")
            self.path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
            about = os.stat(self.path)
            if about.st_uid != os.geteuid():
                raise StateDirectoryError(f"{self.path} belongs to another user; give a directory of your own")
            if about.st_mode & _WRITABLE_BY_OTHERS and os.listdir(self.path):
                raise StateDirectoryError(
                    f"other users can write to {self.path}, so what is there may be theirs; look through it, and close "
                    f"it with chmod 700 {self.path}, or give another directory"
                )
            os.chmod(self.path, DIRECTORY_MODE)
            os.makedirs(self.jobs, DIRECTORY_MODE, exist_ok=True)
            check_version(self.path)
            if not os.path.exists(self.deleted):
                self._move_hidden()
            log.prepare(self.events)
        except OSError as error:
            raise StateDirectoryError(f"the state directory {self.path} can't be used: {error.strerror}") from error

    def _move_hidden(self) -> None:
        """Until format 2, jobs that were being made and removed stood among the others, under hidden names."""
        os.makedirs(self.new, DIRECTORY_MODE, exist_ok=True)
        for name in os.listdir(self.jobs):
            for prefix in (_HIDDEN_NEW, _HIDDEN_DELETED):
                if name.startswith(prefix):
                    with suppress(FileNotFoundError):  # moved by another engine
                        os.rename(os.path.join(self.jobs, name), os.path.join(self.new, name.removeprefix(prefix)))
        os.makedirs(self.deleted, DIRECTORY_MODE, exist_ok=True)


def _unended(directory: JobDirectory) -> Indexed:
    """What a new index knows of a job: it counts as started already where somebody holds the lock to start it."""
    spec = directory.read_spec()
    lock = waiting_jobs.take(directory)
    if lock is None:
        return Indexed.of(spec, State.STARTING)
    os.close(lock)
    return Indexed.of(spec, State.QUEUED)


def _wait_for_lock(directory: JobDirectory) -> int:
    """The lock of an ended job: whoever has it lets go of it in a moment."""
    give_up_at = time.monotonic() + _LOCK_SECONDS
    while time.monotonic() < give_up_at:
        try:
            if (lock := directory.try_lock()) is not None:
                return lock
        except FileNotFoundError:
            raise JobNotFoundError(directory.name) from None
        time.sleep(_LOCK_PAUSE_SECONDS)
    raise EngineError(f"job {directory.name} has ended, but a process still holds the lock of its directory")
