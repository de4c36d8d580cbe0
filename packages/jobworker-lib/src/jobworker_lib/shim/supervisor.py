"""Supervises one job from its execution to its exit record."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import replace
from typing import TYPE_CHECKING

from jobworker_lib.cgroup import making
from jobworker_lib.errors import LimitNotEnforceableError
from jobworker_lib.events.event import EventType
from jobworker_lib.host.procfs import boot_id
from jobworker_lib.isolation import calls
from jobworker_lib.job.directory import (
    CGROUP,
    EXIT,
    OUTPUT_INDEX,
    OUTPUT_LOG,
    STARTED,
    ExitRecord,
    JobDirectory,
    StartRecord,
)
from jobworker_lib.job.spec import DIRECTORY_VARIABLE
from jobworker_lib.job.start_errors import explain
from jobworker_lib.job.status import Reason, State
from jobworker_lib.output.writer import OutputWriter
from jobworker_lib.shim.attempts import Attempts
from jobworker_lib.shim.control import Control
from jobworker_lib.shim.loop import JobLoop
from jobworker_lib.shim.out_of_memory import OutOfMemory
from jobworker_lib.shim.spawn import Spawned
from jobworker_lib.shim.teller import Teller

if TYPE_CHECKING:
    from jobworker_lib.cgroup.group import Group
    from jobworker_lib.job.spec import JobSpec
    from jobworker_lib.shim.signals import SignalPipe

Started = Callable[[ExitRecord | None], None]
"""Called once, when the command was executed, or with the record of why it was not."""


class TakenError(Exception):
    """Another shim has the job, or had it."""


def supervise(directory: JobDirectory, spec: JobSpec, signals: SignalPipe, started: Started) -> None:
    """Run a job to its end. The caller holds the directory's lock.

    Raises:
        OSError: the directory can't be written.
        TakenError: nothing was done.
    """
    teller = Teller(directory, spec)
    record, has_started = _run(directory, spec, signals, teller, started)
    if has_started:
        is_written = _write_exit(directory, record)
    else:
        directory.write(EXIT, record)
        is_written = True
    if is_written:
        teller.tell(EventType.ENDED, record.ended_ns, record.state)
    if not has_started:
        started(record)


def _run(
    directory: JobDirectory, spec: JobSpec, signals: SignalPipe, teller: Teller, started: Started
) -> tuple[ExitRecord, bool]:
    """Run a job, and let go of its files: how it ended, and whether it ever started."""
    identity = directory.identity()
    spec = replace(
        spec,
        timeout=directory.timeout_of(spec),  # it may have been changed while the job was queued
        env={**spec.env, DIRECTORY_VARIABLE: identity},
        hidden_paths=(*spec.hidden_paths, str(directory.state_directory())) if spec.isolation else (),
    )
    with (
        closing(_begin_output(directory, spec)) as writer,
        closing(Control(directory)) as control,
        ExitStack() as undo,
    ):
        directory.reserve(STARTED)
        try:
            if not spec.new_privileges:
                calls.set_no_new_privileges()  # for good: from now on this shim is given such jobs alone
            group = _make_group(directory, spec, undo)
            memory = OutOfMemory(group)  # before there is a job that could run out of it
            undo.callback(memory.close)
            process = Spawned(spec, spec.terminal, group)
        except (OSError, LimitNotEnforceableError) as error:
            directory.give_back(STARTED)
            return replace(_failure(error, spec), output_bytes=0, timeout=spec.timeout), False
        record = StartRecord(started_ns=time.time_ns(), pid=process.pid, boot_id=boot_id(), directory=identity)
        directory.write(STARTED, record)
        teller.tell(EventType.STARTED, record.started_ns, State.RUNNING)
        started(None)
        attempts = Attempts(directory, spec.restart, record.started_ns)
        ended = JobLoop(process, spec, writer, control, signals, attempts, teller, group, memory).run()
        return replace(ended, started_ns=record.started_ns, timeout=directory.timeout_of(spec)), True


def _begin_output(directory: JobDirectory, spec: JobSpec) -> OutputWriter:
    """Make the files of the output, and so have the job. TakenError."""
    try:
        writer = OutputWriter(directory, spec.output_limit)
    except FileExistsError:
        raise TakenError from None
    if os.path.exists(directory.file(STARTED)) or directory.has_exit():  # its first segment was dropped, for a limit
        writer.close()
        for name in (OUTPUT_INDEX, OUTPUT_LOG):
            os.unlink(directory.file(name))
        raise TakenError
    return writer


def _make_group(directory: JobDirectory, spec: JobSpec, undo: ExitStack) -> Group | None:
    """Make the job's cgroup, where it is to have one, to be removed when the job is over."""
    group = making.plan(spec)
    if group is not None:
        directory.write(CGROUP, making.to_record(group))
        undo.callback(group.remove)
        group.make()
        group.limit(spec.limits, spec.cwd)
    return group


def _failure(error: OSError | LimitNotEnforceableError, spec: JobSpec) -> ExitRecord:
    kind, message = explain(error, spec)
    return ExitRecord(
        state=State.FAILED,
        reason=Reason.FAILED_TO_START,
        ended_ns=time.time_ns(),
        error_kind=kind,
        error=message,
    )


def _write_exit(directory: JobDirectory, record: ExitRecord) -> bool:
    """Write the exit record, however long the disk is full; False where there is nothing left to write it to."""
    while True:
        try:
            directory.write(EXIT, record)
        except FileNotFoundError:
            return False  # the state directory was removed: nobody can ask for the record
        except OSError:
            time.sleep(1)
        else:
            return True
