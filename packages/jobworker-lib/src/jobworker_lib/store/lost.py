"""What becomes of a job whose supervisor is gone without an exit record."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from typing import TYPE_CHECKING

from jobworker_lib.cgroup import making
from jobworker_lib.events.event import EventType
from jobworker_lib.events.search import told_since
from jobworker_lib.events.telling import events_of, tell
from jobworker_lib.host import tree
from jobworker_lib.host.procfs import boot_id, boot_time_ns, descendants, processes_with_environment
from jobworker_lib.job.directory import CONTROL_SOCKET, EXIT, ExitRecord, JobDirectory, StartRecord
from jobworker_lib.job.record import DAMAGE
from jobworker_lib.job.spec import DIRECTORY_VARIABLE, JOB_ID_VARIABLE
from jobworker_lib.job.status import Reason, State

if TYPE_CHECKING:
    from collections.abc import Iterator

_PAUSE_SECONDS = 0.01
_LOCK_SECONDS = 5.0
_LOOKS_IN_VAIN = 2
_LEFTOVERS_SECONDS = 5.0
"""A process in an uninterruptible sleep dies when it wakes; nobody waits for it longer than this."""


def make_lost(directory: JobDirectory, how: str | None = None) -> ExitRecord:
    """End what is left of the job, write its exit record, where the disk takes it, and tell of it.

    The caller holds the job's lock; it may know ``how`` the job was lost.

    Raises:
        FileNotFoundError: the job was deleted.
    """
    started = directory.read_started()
    restarted = started is not None and started.boot_id not in (None, boot_id())
    if not restarted:
        # Found by what is in their environment, never by a recorded pid, which may be another's by now.
        _remove_cgroup(directory)
        _kill_processes(directory)
    error = "its host was restarted" if restarted else how or _explain(directory, started)
    return _end(directory, ExitRecord(state=State.LOST, reason=Reason.LOST, ended_ns=time.time_ns(), error=error))


def may_be_resumed(directory: JobDirectory) -> bool:
    """Whether a job without a supervisor was never begun with, and may still be started, in place of who died at that.

    That is so for a start with a request id, which promises that the job is started once however often it is asked for.
    Without one nobody would expect it: who started it may have started another since. And of the time before a boot
    nobody can tell whether it was begun with, for nothing is synced to the disk.
    """
    if directory.was_taken() or directory.has_exit():
        return False
    try:
        spec = directory.read_spec()
    except DAMAGE:
        return False
    return spec.request_id is not None and spec.created_ns > boot_time_ns()


def fail(directory: JobDirectory, record: ExitRecord) -> None:
    """The same for a job whose shim had to give up its start: ``record`` says why."""
    _remove_cgroup(directory)
    _kill_processes(directory)
    _end(directory, record)


def _end(directory: JobDirectory, record: ExitRecord) -> ExitRecord:
    _remove_half_written(directory)
    try:
        directory.write(EXIT, record)
    except FileNotFoundError:
        raise
    except OSError:  # a full disk: whoever looks next tries again
        _remove_half_written(directory)
    else:
        tell_end(directory, record)
    return record


def bury(path: str) -> None:
    """Make the job of a directory lost, if its supervisor is gone; wait a moment for who else may hold the lock."""
    directory = JobDirectory(path)
    give_up_at = time.monotonic() + _LOCK_SECONDS
    with suppress(FileNotFoundError):
        while (lock := directory.try_lock()) is None:
            if time.monotonic() > give_up_at:
                return
            time.sleep(_PAUSE_SECONDS)
        try:
            if not (directory.has_exit() or directory.is_queued() or may_be_resumed(directory)):
                make_lost(directory)
        finally:
            os.close(lock)


def tell_end(directory: JobDirectory, record: ExitRecord) -> bool:
    """Append the job's ``ended`` to the event log, and before it what else its shim did not come to tell.

    The caller holds the job's lock, and knows that its end is not there yet. False where the log can't be written now.
    """
    events, owner = events_of(directory), _owner_of(directory)
    return all(
        tell(events, event_type, job_id=directory.name, owner=owner, time_ns=time_ns, state=state)
        for event_type, time_ns, state in (
            *_untold_before_end(directory, record),
            (EventType.ENDED, record.ended_ns, record.state),
        )
    )


def _untold_before_end(directory: JobDirectory, record: ExitRecord) -> Iterator[tuple[EventType, int, State | None]]:
    started = directory.read_started()
    if started is None:
        return
    told = None
    with suppress(OSError):  # there is no log: what can be told will be in another one
        told = told_since(events_of(directory), directory.name, started.started_ns)
    if told is None:
        return
    if EventType.STARTED not in told:
        yield EventType.STARTED, started.started_ns, State.RUNNING
    with suppress(OSError, *DAMAGE):
        if EventType.OUTPUT_TRUNCATED not in told and directory.dropped_bytes(directory.read_spec(), record):
            yield EventType.OUTPUT_TRUNCATED, record.ended_ns, None


def _owner_of(directory: JobDirectory) -> str:
    try:
        return directory.read_spec().owner
    except (OSError, *DAMAGE):
        return ""


def _explain(directory: JobDirectory, started: StartRecord | None) -> str:
    if started is None:
        return "its supervisor is gone, and its start was not recorded"
    if started.boot_id is None:  # of a version that did not record it
        return "its supervisor is gone"
    if started.directory not in (None, directory.identity()):
        return "this is a copy of its directory, made before it had ended"
    return "its supervisor was killed"


def _kill_processes(directory: JobDirectory) -> None:
    """End the job's processes, but not those of the same job in the directory that this one is a copy of."""
    identity = directory.identity()

    def leftovers() -> list[int]:
        roots = [
            pid
            for pid, environment in processes_with_environment(JOB_ID_VARIABLE, directory.name)
            if environment.get(DIRECTORY_VARIABLE, identity) == identity  # it is missing in those of older versions
        ]
        return [*roots, *descendants(*roots)]

    give_up_at = time.monotonic() + _LEFTOVERS_SECONDS
    looks_in_vain = 0
    # One look is not enough: in the midst of execve(2) a process has no environment that can be read.
    while looks_in_vain < _LOOKS_IN_VAIN and time.monotonic() < give_up_at:
        if found := set(leftovers()):
            looks_in_vain = 0
            tree.uproot(lambda pid, _: pid in found, leftovers)  # it is called at once
        else:
            looks_in_vain += 1
        time.sleep(_PAUSE_SECONDS)


def _remove_cgroup(directory: JobDirectory) -> None:
    with suppress(OSError, ValueError):  # damaged
        if (record := directory.read_cgroup()) is not None:
            making.remove_recorded(record, directory.name)


def _remove_half_written(directory: JobDirectory) -> None:
    """Remove what only a supervisor has use for: its socket, and files that it was about to rename."""
    for name in os.listdir(directory.path):
        if name == CONTROL_SOCKET or name.startswith("."):
            with suppress(FileNotFoundError):
                os.unlink(directory.file(name))
