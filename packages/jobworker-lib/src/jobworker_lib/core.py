"""What both faces of the engine stand on: everything but the waiting.

The faces differ only in how they wait until a poll, such as :meth:`Core.poll_ended`, gives something.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import signal as signals
import uuid
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from jobworker_lib import messages
from jobworker_lib.cgroup.checking import require_enforceable
from jobworker_lib.errors import EngineError, InvalidArgumentError, JobNotRunningError, StartLostError
from jobworker_lib.events.feed import EventFeed
from jobworker_lib.interaction.input import JobInput
from jobworker_lib.isolation.availability import settled
from jobworker_lib.job.record import known_fields
from jobworker_lib.job.spec import Argument, JobSpec, checked_labels, checked_seconds
from jobworker_lib.job.start_errors import raise_start_error
from jobworker_lib.job.status import JobStatus, State
from jobworker_lib.job.usage import Usage
from jobworker_lib.launcher import Launcher
from jobworker_lib.output.reader import OutputReader
from jobworker_lib.queue import waiting_jobs
from jobworker_lib.queue.bounds import checked_bounds
from jobworker_lib.store.housekeeper import Housekeeper
from jobworker_lib.store.index_schema import Query
from jobworker_lib.store.retention import AS_BEFORE, KEEP_ALL
from jobworker_lib.store.store import Store
from jobworker_lib.waiting.ends import Ends
from jobworker_lib.waiting.request import Request
from jobworker_lib.waiting.watcher import Watcher

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from typing import Unpack

    from jobworker_lib.job.directory import JobDirectory
    from jobworker_lib.job.start_options import StartOptions
    from jobworker_lib.output.selection import OutputOptions
    from jobworker_lib.queue.bounds import Bounds
    from jobworker_lib.store.retention import GivenRetention

_LONGEST_GRACE_SECONDS = 86400.0
_USAGE_SECONDS = 1.0
"""How long a shim has to tell what its job has used."""
_BEYOND_TIME = 1 << 63
"""What the index takes for no number."""
_ID_PREFIX = re.compile(r"[0-9a-f-]{0,36}")


class Core:
    """An opened state directory."""

    def __init__(
        self,
        state_dir: str | os.PathLike[str] | None,
        bounds: Bounds | None = None,
        retention: GivenRetention = AS_BEFORE,
        hidden_paths: Iterable[str | os.PathLike[str]] = (),
        cgroup: str | None = None,
    ) -> None:
        self._cgroup = cgroup
        if bounds is not None:
            checked_bounds(bounds)
        self._store = Store(state_dir)
        if bounds is not None:
            self._store.set_bounds(bounds)
        self._store.keeper.take_over()
        if self._store.keeper.is_marked():
            self._store.keeper.tend()
        self._launcher = Launcher(self._store)
        if retention is not AS_BEFORE:
            self._store.set_retention(retention or KEEP_ALL)
        self.watcher = Watcher(str(self._store.path))
        self._housekeeper = Housekeeper(self._store)
        self._hidden_paths = tuple(os.path.realpath(path) for path in hidden_paths)
        self._closed = False

    def close(self) -> None:
        """Let go of everything; jobs run on. Idempotent."""
        if not self._closed:
            self._closed = True
            self._housekeeper.close()
            self._launcher.close()
            self.watcher.close()
            self._store.index.close()

    def start(self, argv: Sequence[Argument], **options: Unpack[StartOptions]) -> str:
        """Start a job: its id, once its command was executed or it is queued; or that of the same request."""
        if self._closed:
            raise EngineError("the engine is closed")
        spec = JobSpec.make(argv, **options)
        require_enforceable(spec.limits, spec.cwd, self._cgroup)
        spec = replace(settled(spec, self._hidden_paths), cgroup_parent=self._cgroup)
        try:
            created = self._store.acceptance.create(spec)
            if isinstance(created, str):
                return created
            self._launcher.launch(*created, new_privileges=spec.new_privileges)
        except OSError as error:
            raise EngineError(f"the job can't be started: {error.strerror or error} ({self._store.path})") from error
        return spec.id

    def directory(self, job_id: str) -> JobDirectory:
        """The job's directory. InvalidArgumentError for what is no UUID, JobNotFoundError."""
        _require_id(job_id)
        return self._store.directory(job_id)

    def status(self, job_id: str, *, usage: bool = True) -> JobStatus:
        """The job as it is now. JobNotFoundError where it was deleted.

        ``usage``: with what it has used, also while it runs. Its shim looks through the processes of the host for that.
        """
        status = self._store.status(job_id)
        if not usage or status.state is not State.RUNNING:
            return status
        used = self._used(self._store.directory(job_id))
        return replace(status, usage=Usage(**known_fields(Usage, used))) if used else status

    def _used(self, directory: JobDirectory) -> dict[str, Any] | None:
        """What a job's shim says it uses now; None where it doesn't say, in a second at most."""
        reply = messages.ask(directory, {"do": "usage"})
        if reply is None:
            return None
        with reply:
            reply.settimeout(_USAGE_SECONDS)
            try:
                answer = messages.receive(reply, 0)
            except TimeoutError:
                return None
            return answer[0].get("usage") if answer else None

    def delete(self, job_id: str) -> None:
        """Remove an ended job. JobNotFoundError, JobRunningError."""
        self._store.delete(job_id)

    def poll_started(self, job_id: str) -> str | None:
        """The id, once the job is past its start. StartError where that failed; StartLostError."""
        if self._store.directory(job_id).read_started():
            return job_id
        status = self._store.status(job_id)
        if status.state is State.FAILED and (record := self._store.directory(job_id).read_exit()):
            raise_start_error(job_id, record)
        if status.state is State.LOST:
            raise StartLostError(job_id, status.error or "")
        return None if status.state is State.STARTING else job_id

    def poll_ended(self, job_id: str) -> JobStatus | None:
        """The job, once it has ended. JobNotFoundError where it was deleted."""
        directory = self._store.directory(job_id)
        return self._store.status(job_id) if self._store.has_ended(directory) else None

    def stop(self, job_id: str, *, grace: float, force: bool) -> Request:
        """What asks for the job's end. JobNotRunningError."""
        if not 0 <= grace <= _LONGEST_GRACE_SECONDS:
            raise InvalidArgumentError("grace", "give 0 to 86400 seconds")
        message = {"do": "stop", "grace": 0.0 if force else grace}
        return Request(self._store, job_id, message, already=waiting_jobs.cancel)

    def signal(self, job_id: str, signal: str | int) -> Request:
        """What signals the main process. JobNotRunningError."""

        def refuse_queued(directory: JobDirectory) -> bool:
            if directory.is_queued():
                raise JobNotRunningError(job_id)
            return False

        return Request(self._store, job_id, {"do": "signal", "signal": _signal_number(signal)}, already=refuse_queued)

    def set_timeout(self, job_id: str, timeout: float | None) -> Request:
        """What changes how long the job may run, counted from its start. JobNotRunningError."""
        checked_seconds("timeout", timeout)

        def set_if_queued(directory: JobDirectory) -> bool:
            return waiting_jobs.set_timeout(directory, timeout)

        return Request(self._store, job_id, {"do": "timeout", "timeout": timeout}, already=set_if_queued)

    def attach(
        self, job_id: str, *, watch_only: bool, **options: Unpack[OutputOptions]
    ) -> tuple[JobInput | None, OutputReader]:
        """A way to write to the job, unless it is only watched, and a reader that is to begin by what is there now.

        InvalidArgumentError, NoInputError, JobNotFoundError.
        """
        reader = self.reader(job_id, **options)
        job_input = None if watch_only else JobInput(self._store, self._store.status(job_id))
        return job_input, reader

    def reader(self, job_id: str, **options: Unpack[OutputOptions]) -> OutputReader:
        """A reader of the job's output. InvalidArgumentError, JobNotFoundError."""
        directory = self._store.directory(job_id)
        return OutputReader(directory, has_ended=partial(self._store.has_ended, directory), **options)

    @property
    def events(self) -> str:
        """The directory of the event log."""
        return self._store.events

    def watched(self) -> AbstractContextManager[None]:
        """Within the block, somebody waits for events."""
        return self._housekeeper.watched()

    def ends(self, job_ids: Sequence[str], *, wait_for_any: bool) -> Ends:
        """What tells when many jobs have ended. InvalidArgumentError, JobNotFoundError."""
        for job_id in job_ids:
            self.directory(job_id)
        if not job_ids:
            raise InvalidArgumentError("jobs", "give at least one")
        return Ends(self, job_ids, wait_for_any=wait_for_any)

    def feed(self, cursor: str | None, owner: str | None, job_ids: Sequence[str] | None) -> EventFeed:
        """The events after a cursor. InvalidArgumentError, CursorExpiredError."""
        for job_id in job_ids or ():
            _require_id(job_id)
        return EventFeed(self._store.events, cursor=cursor, owner=owner, jobs=job_ids)

    def list(
        self,
        *,
        owner: str | None,
        labels: Mapping[str, str] | None,
        state: State | str | Iterable[State | str] | None,
        id_prefix: str | None,
        limit: int | None,
        page_token: str,
    ) -> tuple[tuple[JobStatus, ...], str]:
        """A page of jobs, the newest first, and the token of the next page, empty where this is the last."""
        if limit is not None and limit < 1:
            raise InvalidArgumentError("limit", "give 1 or more jobs")
        if id_prefix and not _ID_PREFIX.fullmatch(id_prefix):
            raise InvalidArgumentError("id_prefix", "give lower-case hexadecimal digits and dashes, at most 36")
        query = Query(
            owner=owner,
            labels=checked_labels(labels or {}),
            states=_states(state),
            id_prefix=id_prefix or "",
            before=_read_token(page_token) if page_token else None,
            limit=limit,
        )
        found, last = self._store.find(query)
        return tuple(found), _make_token(*last) if last else ""


def _require_id(job_id: str) -> None:
    """Let nothing pass but a UUID: paths are made of it."""
    try:
        canonical = str(uuid.UUID(job_id))
    except (ValueError, AttributeError, TypeError):
        canonical = None
    if canonical is None or canonical != job_id:
        raise InvalidArgumentError("job_id", "give a UUID, such as 6fa459ea-ee8a-4ca4-894e-db77e160355e")


def _make_token(created_ns: int, job_id: str) -> str:
    return base64.urlsafe_b64encode(f"{created_ns} {job_id}".encode()).decode()


def _read_token(token: str) -> tuple[int, str]:
    try:
        text, job_id = base64.b64decode(token, altchars=b"-_", validate=True).decode().split(" ")
        created_ns, canonical = int(text), str(uuid.UUID(job_id))
    except (ValueError, binascii.Error):
        created_ns, canonical = -1, ""
    if not 0 <= created_ns < _BEYOND_TIME:
        raise InvalidArgumentError("page_token", "give the token that came with the page before")
    return created_ns, canonical


def _states(state: State | str | Iterable[State | str] | None) -> frozenset[State]:
    if state is None:
        return frozenset()
    try:
        return frozenset([State(state)] if isinstance(state, str) else map(State, state))
    except ValueError:
        raise InvalidArgumentError("state", f"give one or more of {', '.join(State)}") from None


def _signal_number(signal: str | int) -> int:
    try:
        if isinstance(signal, int):
            return int(signals.Signals(signal))
        name = signal.upper()
        return int(signals.Signals[name if name.startswith("SIG") else f"SIG{name}"])
    except (KeyError, ValueError):
        raise InvalidArgumentError("signal", "give a signal's name, such as SIGHUP") from None
