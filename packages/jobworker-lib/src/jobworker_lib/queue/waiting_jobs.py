"""What can be done to a job that waits for its turn, by whoever takes its lock: cancel, change, give up."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from jobworker_lib.job.directory import EXIT, ExitRecord, JobDirectory
from jobworker_lib.job.status import Reason, State
from jobworker_lib.store import lost

if TYPE_CHECKING:
    from collections.abc import Iterator


def cancel(directory: JobDirectory) -> bool:
    """End a queued job as stopped. False where it is none, or somebody else has just taken it."""
    with _held(directory) as held:
        if held:
            _end(directory, ExitRecord(state=State.STOPPED, reason=Reason.STOPPED, ended_ns=time.time_ns()))
    return held


def set_timeout(directory: JobDirectory, timeout: float | None) -> bool:
    """Change how long a queued job may run. False as for :func:`cancel`."""
    with _held(directory) as held:
        if held:
            directory.write_timeout(timeout)
    return held


def give_up(directory: JobDirectory, deadline: float) -> bool:
    """Fail a queued job that was not started in time. False as for :func:`cancel`."""
    with _held(directory) as held:
        if held:
            error = f"the start deadline has passed: it was still queued after {deadline:g} seconds"
            _end(directory, failure(error))
    return held


def failure(error: str) -> ExitRecord:
    """The record of a job that could not be started, which a person learns by ``error``."""
    return ExitRecord(state=State.FAILED, reason=Reason.FAILED_TO_START, ended_ns=time.time_ns(), error=error)


def take(directory: JobDirectory) -> int | None:
    """The lock of a job that is queued still: a descriptor. None where it is not, or somebody else has the lock."""
    with suppress(FileNotFoundError):
        if directory.is_queued() and (lock := directory.try_lock()) is not None:
            if directory.is_queued():  # still, now that nobody else can change that
                return lock
            os.close(lock)
    return None


@contextmanager
def _held(directory: JobDirectory) -> Iterator[bool]:
    lock = take(directory)
    try:
        yield lock is not None
    finally:
        if lock is not None:
            os.close(lock)


def _end(directory: JobDirectory, record: ExitRecord) -> None:
    directory.write(EXIT, record)
    lost.tell_end(directory, record)
