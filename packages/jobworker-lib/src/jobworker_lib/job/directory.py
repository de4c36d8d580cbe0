"""A job's directory, the truth about the job: which files it holds and how they are written and read.

``spec.json`` is the job as accepted. Whoever supervises the job holds an exclusive flock(2) on it from before the
directory can be seen until after ``exit.json`` is written, so a free lock without an exit record means a lost job. One
with ``queued.json`` is not lost but waits for its turn, until a shim has begun with it, and nobody holds its lock.
``timeout.json`` is there where the timeout was changed.
``cgroup.json`` tells of the job's cgroup, where it has one, before that is made.
``started.json`` appears when the command was executed, ``attempts.json`` when it is to be executed again, ``exit.json``
when all of the job is over.
``docs/state-directory.md`` describes the format.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple, Self

from jobworker_lib.job import record
from jobworker_lib.job.attempts import Attempt
from jobworker_lib.job.record import DAMAGE, NO_FILE, known_fields
from jobworker_lib.job.spec import JobSpec
from jobworker_lib.job.status import JobStatus, Reason, State
from jobworker_lib.job.timestamps import utc_from_ns
from jobworker_lib.job.usage import Usage
from jobworker_lib.output.format import segment_bases, segment_names
from jobworker_lib.output.segment import recorded_bytes

SPEC = "spec.json"
STARTED = "started.json"
QUEUED = "queued.json"
TIMEOUT = "timeout.json"
ATTEMPTS = "attempts.json"
EXIT = "exit.json"
CGROUP = "cgroup.json"
OUTPUT_LOG, OUTPUT_INDEX = segment_names(0)
CONTROL_SOCKET = "control.sock"
JOBS = "jobs"
"""The directory, in the state directory, that holds them all."""

_RESERVED_BYTES = 512

FILE_MODE = 0o600
DIRECTORY_MODE = 0o700


@dataclass(frozen=True, slots=True, kw_only=True)
class StartRecord:
    """That the command was executed: ``started.json``."""

    started_ns: int
    pid: int
    """The main process, in the pid namespace of its host."""
    boot_id: str | None = None
    """The boot of the host in which it was executed; None: of a version that did not record it."""
    directory: str | None = None
    """The identity of the job's directory; another one is a copy. None: as above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ExitRecord:
    """How the job ended: ``exit.json``."""

    state: State
    reason: Reason
    ended_ns: int
    exit_code: int | None = None
    signal: int | None = None
    error_kind: str | None = None
    """Which error the start ended with, by its name in :mod:`jobworker_lib.job.start_errors`."""
    error: str | None = None
    """Why the command could not be executed, or how the job was lost."""
    output_dropped_bytes: int = 0
    """Output that was dropped to keep the limit, whatever it does at it."""
    output_bytes: int | None = None
    """Output that was captured. None: the record is not a shim's, and this and what follows must be looked up."""
    started_ns: int | None = None
    """The one of ``started.json``."""
    timeout: float | None = None
    """The timeout that held in the end."""
    usage: Usage | None = None
    """What the job has used; None: of a version that did not record it, or of a job that was lost."""
    out_of_memory_process: str | None = None
    """Which process was killed when memory ran out, as ``NAME (PID)``."""

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Self:
        """The record that its JSON was made from."""
        known = known_fields(cls, value)
        usage = Usage(**known_fields(Usage, value["usage"])) if value.get("usage") else None
        return cls(**{**known, "state": State(value["state"]), "reason": Reason(value["reason"]), "usage": usage})


class _Known(NamedTuple):
    """What can be told of a job only from what its supervisor writes."""

    started_ns: int | None
    timeout: float | None
    output_bytes: int
    output_dropped_bytes: int


class JobDirectory:
    """Reads and writes one job's directory."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)

    @property
    def name(self) -> str:
        """The job's id."""
        return os.path.basename(self.path)

    def identity(self) -> str:
        """What tells this directory from a copy of it, whatever its path is. FileNotFoundError where it is gone."""
        about = os.stat(self.path)
        return f"{about.st_dev}:{about.st_ino}"

    def state_directory(self) -> Path:
        """The state directory that it is in, or else, where it is in none, the directory itself."""
        path = Path(self.path).resolve()
        return path.parents[1] if path.parent.name == JOBS else path

    def file(self, name: str) -> str:
        """The path of one of the directory's files."""
        return f"{self.path}/{name}"

    def read_spec(self) -> JobSpec:
        """The job as accepted. FileNotFoundError where there is no such job."""
        return JobSpec.from_json(record.read(self.file(SPEC)))

    def read_started(self) -> StartRecord | None:
        """The start record, None before, and where it is damaged."""
        try:
            return StartRecord(**known_fields(StartRecord, record.read(self.file(STARTED))))
        except (FileNotFoundError, *DAMAGE):
            return None

    def timeout_of(self, spec: JobSpec) -> float | None:
        """Seconds that the job may run: as last changed, or else as accepted."""
        try:
            timeout: float | None = record.read(self.file(TIMEOUT))["timeout"]
        except (FileNotFoundError, *DAMAGE):
            return spec.timeout
        return timeout

    def write_timeout(self, timeout: float | None) -> None:
        """Change how long the job may run. Its supervisor's to do, or who holds the lock's."""
        self.write(TIMEOUT, {"timeout": timeout})

    def read_cgroup(self) -> dict[str, Any] | None:
        """The record of the job's cgroup; None where it has none."""
        try:
            found: dict[str, Any] = record.read(self.file(CGROUP))
        except FileNotFoundError:
            return None
        return found

    def read_exit(self) -> ExitRecord | None:
        """The exit record, None before. Where it is damaged, the job is lost."""
        try:
            return ExitRecord.from_json(record.read(self.file(EXIT)))
        except FileNotFoundError:
            return None
        except DAMAGE:
            written_ns = os.lstat(self.file(EXIT)).st_mtime_ns
            error = "the record of its end is damaged"
            return ExitRecord(state=State.LOST, reason=Reason.LOST, ended_ns=written_ns, error=error)

    def has_exit(self) -> bool:
        """Whether the exit record is there."""
        return os.path.exists(self.file(EXIT))

    def was_taken(self) -> bool:
        """Whether a shim ever began with this job."""
        return any(os.path.exists(self.file(name)) for name in (OUTPUT_LOG, STARTED))  # the first log may be dropped

    def claim(self) -> bool:
        """Make sure that no shim begins with this job any more; False: one has."""
        try:
            os.close(os.open(self.file(OUTPUT_LOG), os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
        except FileExistsError:
            return False
        return True

    def is_queued(self) -> bool:
        """Whether the job waits for its turn, so that nobody needs to hold its lock."""
        return os.path.exists(self.file(QUEUED)) and not self.was_taken() and not self.has_exit()

    def write(self, name: str, value: Any) -> None:
        """Write a record, all of it or nothing, as JSON."""
        self._write_new(name, record.to_bytes(value))
        os.rename(self._new(name), self.file(name))

    def reserve(self, name: str) -> None:
        """Take the room for a small record, so that a disk which fills meanwhile can't refuse it."""
        self._write_new(name, bytes(_RESERVED_BYTES))

    def give_back(self, name: str) -> None:
        """Give back the room of a record that is not written after all."""
        os.unlink(self._new(name))

    def _write_new(self, name: str, data: bytes) -> None:
        # Not truncated before, but after: what was reserved is written over.
        descriptor = os.open(self._new(name), os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            written = os.write(descriptor, data)
            if written < len(data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.ftruncate(descriptor, written)
        finally:
            os.close(descriptor)

    def _new(self, name: str) -> str:
        return self.file(f".{name}.new")

    def try_lock(self) -> int | None:
        """Take the supervisor's lock: a descriptor that holds it, or None while a supervisor lives.

        None also where a job has put something in the spec's place that can't be locked; a pipe is not waited for.
        """
        try:
            descriptor = os.open(self.file(SPEC), os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            if error.errno in NO_FILE:
                return None
            raise
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def hold(self) -> int:
        """A descriptor that keeps the directory from being removed by itself, as long as it is open: it is being read.

        FileNotFoundError where there is no such job.
        """
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        with suppress(OSError):  # it is just being removed, or the filesystem has no locks on directories
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        return descriptor

    def try_exclude_readers(self) -> int | None:
        """A descriptor that nobody can :meth:`hold` the directory beside; None while somebody does."""
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def status(self, lost: ExitRecord | None = None) -> JobStatus:
        """The job as its directory tells it. FileNotFoundError where there is no such job.

        ``lost`` is its end where that could not be recorded, for the disk is full.
        """
        ended = self.read_exit() or lost
        spec = self.read_spec()
        if ended is None or ended.output_bytes is None:
            return self._status_of(spec, ended, self._look_up(spec, ended))
        return self._status_of(spec, ended, ended)

    def dropped_bytes(self, spec: JobSpec, ended: ExitRecord | None) -> int:
        """Output that was dropped to keep the job's limit."""
        if spec.output_limit is None:
            return 0
        if spec.output_limit.action == "stop":
            return ended.output_dropped_bytes if ended else 0
        return next(iter(segment_bases(self.path)), 0)

    def _look_up(self, spec: JobSpec, ended: ExitRecord | None) -> _Known:
        started = self.read_started()
        return _Known(
            started.started_ns if started else None,
            self.timeout_of(spec),
            recorded_bytes(self, in_segments=spec.output_limit is not None),
            self.dropped_bytes(spec, ended),
        )

    def _status_of(self, spec: JobSpec, ended: ExitRecord | None, known: _Known | ExitRecord) -> JobStatus:
        if ended:
            state = ended.state
        elif known.started_ns is not None:
            state = State.RUNNING
        else:
            state = State.QUEUED if self.is_queued() else State.STARTING
        return JobStatus(
            id=spec.id,
            argv=spec.argv,
            cwd=spec.cwd,
            owner=spec.owner,
            labels=spec.labels,
            limits=spec.limits,
            timeout=known.timeout,
            state=state,
            created_ns=spec.created_ns,
            started_at=None if known.started_ns is None else utc_from_ns(known.started_ns),
            ended_at=utc_from_ns(ended.ended_ns) if ended else None,
            exit_code=ended.exit_code if ended else None,
            signal=ended.signal if ended else None,
            reason=ended.reason if ended else None,
            error=ended.error if ended else None,
            stdin=spec.stdin,
            tty=spec.terminal is not None,
            output_bytes=known.output_bytes or 0,
            output_limit=spec.output_limit,
            output_dropped_bytes=known.output_dropped_bytes,
            priority=spec.priority,
            restart=spec.restart,
            usage=ended.usage if ended else None,
            out_of_memory_process=ended.out_of_memory_process if ended else None,
            isolation=spec.isolation,
            user=spec.user,
            groups=spec.groups,
            new_privileges=spec.new_privileges,
            attempts=self._attempts(spec, known.started_ns, ended),
        )

    def _attempts(self, spec: JobSpec, started_ns: int | None, ended: ExitRecord | None) -> tuple[Attempt, ...]:
        """The executions of the command; of the last one the end is told by the exit record."""
        if started_ns is None:
            return ()
        attempts = [Attempt(number=1, started_ns=started_ns)]
        if spec.restart:
            with suppress(FileNotFoundError, *DAMAGE):  # it appears when the first attempt has ended
                known = [Attempt(**known_fields(Attempt, attempt)) for attempt in record.read(self.file(ATTEMPTS))]
                attempts = known or attempts
        if ended and attempts[-1].ended_ns is None:
            attempts[-1] = replace(
                attempts[-1],
                ended_ns=ended.ended_ns,
                exit_code=ended.exit_code,
                signal=ended.signal,
                error=ended.error,
            )
        return tuple(attempts)
