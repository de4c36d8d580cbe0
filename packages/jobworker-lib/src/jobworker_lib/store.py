"""A state directory: its job directories, which are the truth, and the index derived from them."""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from jobworker_lib.directory import DIRECTORY_MODE, SPEC, ExitRecord, JobDirectory
from jobworker_lib.errors import JobNotFoundError, JobRunningError, StateDirectoryError
from jobworker_lib.index import Index, Query
from jobworker_lib.lost import make_lost
from jobworker_lib.spec import JobSpec
from jobworker_lib.status import JobStatus, State
from jobworker_lib.version import check_version

if TYPE_CHECKING:
    from collections.abc import Iterator

_HIDDEN_NEW = ".new-"
_HIDDEN_DELETED = ".deleted-"
_APPEARS_SECONDS = 60.0


def default_state_dir() -> Path:
    """``$XDG_STATE_HOME/jobworker``, by default ``~/.local/state/jobworker``."""
    home = os.environ.get("XDG_STATE_HOME") or os.path.join(os.path.expanduser("~"), ".local", "state")
    return Path(home) / "jobworker"


class Store:
    """Finds, creates and removes jobs; needs no process of its own, and any number may be open on one directory."""

    def __init__(self, state_dir: str | os.PathLike[str] | None) -> None:
        """Open the directory; it is made where it is missing.

        Raises:
            StateDirectoryError: it is another user's, can't be written, or is of a newer version.
        """
        self.path = Path(state_dir if state_dir is not None else default_state_dir()).absolute()
        self._jobs = self.path / "jobs"
        self._prepare()
        self.index = Index(self.path, self._all_jobs)
        self._sweep()

    def create(self, spec: JobSpec) -> tuple[JobDirectory, int] | str:
        """Make a job's directory: it, and a descriptor with its supervisor's lock.

        Where the same owner has used the request id before: the id of that job.
        """
        hidden = JobDirectory(self._jobs / (_HIDDEN_NEW + spec.id))
        os.mkdir(hidden.path, DIRECTORY_MODE)
        hidden.write(SPEC, spec.to_json())
        lock = os.open(hidden.file(SPEC), os.O_RDONLY | os.O_CLOEXEC)
        fcntl.flock(lock, fcntl.LOCK_EX)
        directory = JobDirectory(self._jobs / spec.id)
        known = self.index.add(spec, lambda: os.rename(hidden.path, directory.path))
        if known is not None:
            os.close(lock)
            shutil.rmtree(hidden.path)
            return known
        return directory, lock

    def directory(self, job_id: str) -> JobDirectory:
        """The job's directory. JobNotFoundError where there is none."""
        directory = JobDirectory(self._jobs / job_id)
        if not os.path.exists(directory.path):
            raise JobNotFoundError(job_id)
        return directory

    def has_ended(self, directory: JobDirectory) -> bool:
        """Whether nothing of the job will change any more; one whose supervisor is gone is made lost by this."""
        try:
            return directory.has_exit() or self._found_lost(directory) is not None
        except FileNotFoundError:  # deleted, so it had ended
            return True

    def status(self, job_id: str) -> JobStatus:
        """The job as it is now. JobNotFoundError where there is none."""
        try:
            directory = self.directory(job_id)
            return directory.status(None if directory.has_exit() else self._found_lost(directory))
        except FileNotFoundError:
            raise JobNotFoundError(job_id) from None

    def _found_lost(self, directory: JobDirectory) -> ExitRecord | None:
        """The end of a job whose supervisor is gone; None while it has one. FileNotFoundError where it was deleted."""
        lock = directory.try_lock()
        if lock is None:
            return None
        try:
            return directory.read_exit() or make_lost(directory)
        finally:
            os.close(lock)

    def find(self, query: Query) -> list[JobStatus]:
        """The jobs that a query finds, the newest first."""
        self._refresh()
        found = []
        for _, job_id in self.index.find(query):
            with suppress(JobNotFoundError):  # deleted meanwhile
                found.append(self.status(job_id))
        return found

    def delete(self, job_id: str) -> None:
        """Remove an ended job. JobNotFoundError, JobRunningError."""
        directory = self.directory(job_id)
        try:
            if not self.has_ended(directory):
                raise JobRunningError(job_id)
            hidden = self._jobs / (_HIDDEN_DELETED + job_id)
            os.rename(directory.path, hidden)
        except FileNotFoundError:
            raise JobNotFoundError(job_id) from None
        self.index.remove(job_id)
        shutil.rmtree(hidden, ignore_errors=True)  # what is left is swept when the directory is next opened

    def discard(self, directory: JobDirectory) -> None:
        """Remove a job that no supervisor has begun with."""
        self.index.remove(directory.path.name)
        shutil.rmtree(directory.path, ignore_errors=True)

    def _refresh(self) -> None:
        """Bring the index up to date: only jobs that had not ended can have changed."""
        for job_id, known in self.index.unended():
            try:
                directory = self.directory(job_id)
                if self.has_ended(directory):
                    record = directory.read_exit()
                    state = record.state if record else State.LOST
                else:
                    state = State.RUNNING if directory.read_started() else State.STARTING
            except (JobNotFoundError, FileNotFoundError):
                self._forget_vanished(job_id)
                continue
            if state is not known:
                self.index.set_state(job_id, state)

    def _forget_vanished(self, job_id: str) -> None:
        """Drop what is only in the index, unless its directory is just being made."""
        hidden = self._jobs / (_HIDDEN_NEW + job_id)
        if not hidden.exists() and not (self._jobs / job_id).exists():
            self.index.remove(job_id)

    def _all_jobs(self) -> Iterator[tuple[JobSpec, State]]:
        for name in os.listdir(self._jobs):
            if not name.startswith("."):
                with suppress(FileNotFoundError, JobNotFoundError, ValueError):  # deleted meanwhile, or damaged
                    directory = self.directory(name)
                    record = directory.read_exit()
                    yield directory.read_spec(), record.state if record else State.STARTING

    def _prepare(self) -> None:
        try:
            self.path.mkdir(mode=DIRECTORY_MODE, parents=True, exist_ok=True)
            about = os.stat(self.path)
            if about.st_uid != os.geteuid():
                raise StateDirectoryError(f"{self.path} belongs to another user; give a directory of your own")
            os.chmod(self.path, DIRECTORY_MODE)
            self._jobs.mkdir(mode=DIRECTORY_MODE, exist_ok=True)
            check_version(self.path)
        except OSError as error:
            raise StateDirectoryError(f"the state directory {self.path} can't be used: {error.strerror}") from error

    def _sweep(self) -> None:
        """Remove what a crash left of jobs that were being made or deleted."""
        for name in os.listdir(self._jobs):
            path = self._jobs / name
            if name.startswith(_HIDDEN_DELETED) or (name.startswith(_HIDDEN_NEW) and _is_abandoned(path)):
                shutil.rmtree(path, ignore_errors=True)


def _is_abandoned(path: Path) -> bool:
    with suppress(FileNotFoundError):
        lock = JobDirectory(path).try_lock()
        if lock is None:
            return False
        os.close(lock)
        return time.time() - os.stat(path).st_mtime > _APPEARS_SECONDS
    return False
