"""Why a command could not be executed: told by the shim, kept in the exit record, raised by the engine."""

from __future__ import annotations

import errno
import os
import reprlib
from typing import TYPE_CHECKING, Final

from jobworker_lib.errors import (
    ArgumentsTooLongError,
    CommandNotExecutableError,
    CommandNotFoundError,
    IsolationError,
    LimitNotEnforceableError,
    StartError,
    WorkingDirectoryError,
)
from jobworker_lib.isolation import fixes

if TYPE_CHECKING:
    from jobworker_lib.job.directory import ExitRecord
    from jobworker_lib.job.spec import JobSpec

TERMINAL_DEVICE = "/dev/ptmx"
"""Stands as ``filename`` in an error that comes of making a terminal."""

WORKING_DIRECTORY = "working_directory"
"""The name of the step that enters it."""
LIMIT_STEP = "limits."
"""With the limit's name, the name of the step that sets it. All other steps are named for a part of the isolation."""
CGROUP_STEP = f"{LIMIT_STEP}cgroup"
"""The name of the step that enters the job's cgroup."""

_ISOLATION_STEP = "isolation."

_KINDS: Final[dict[str, type[StartError]]] = {
    "command_not_found": CommandNotFoundError,
    "command_not_executable": CommandNotExecutableError,
    "bad_working_directory": WorkingDirectoryError,
    "arguments_too_long": ArgumentsTooLongError,
    "no_terminal": StartError,
    "killed": StartError,
}


class StepError(OSError):
    """A job's main process failed at something before execve(2); ``step`` is what that is called."""

    def __init__(self, step: str, number: int) -> None:
        super().__init__(number, os.strerror(number))
        self.step = step


class KilledError(OSError):
    """A job's main process was killed before execve(2)."""

    def __init__(self) -> None:
        super().__init__(errno.EINTR, os.strerror(errno.EINTR))


def explain(error: OSError | LimitNotEnforceableError, spec: JobSpec) -> tuple[str, str]:
    """The kind of error and a message for people, of what failed before execve(2), or of that itself."""
    if isinstance(error, LimitNotEnforceableError):
        return f"{LIMIT_STEP}{error.limit}", str(error)
    return _explain_killed(spec) if isinstance(error, KilledError) else _explain_failure(error, spec)


def _explain_failure(error: OSError, spec: JobSpec) -> tuple[str, str]:
    reason = os.strerror(error.errno or 0)
    step = error.step if isinstance(error, StepError) else None
    if step is not None and step != WORKING_DIRECTORY:
        return _explain_step(step, error.errno or 0)
    if step == WORKING_DIRECTORY or error.filename == spec.cwd:
        return "bad_working_directory", f"the working directory {spec.cwd} can't be entered: {reason}"
    if error.filename == TERMINAL_DEVICE:
        return "no_terminal", f"the host has no terminal for the job: {reason}"
    if error.errno == errno.E2BIG:
        return (
            "arguments_too_long",
            "arguments and environment are longer than the kernel takes; pass the data in a file or through a pipe",
        )
    command = reprlib.repr(spec.argv[0]).strip("'")
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        if "/" in spec.argv[0] and os.path.exists(os.path.join(spec.cwd, spec.argv[0])):
            return "command_not_executable", f"command not executable: {command}: its interpreter is missing"
        return "command_not_found", f"command not found: {command}"
    return "command_not_executable", f"command not executable: {command}: {reason}"


def raise_start_error(job_id: str, record: ExitRecord) -> None:
    """Raise what a failed start's record tells; nothing where the job did start."""
    kind, message = record.error_kind, record.error or record.error_kind or ""
    if kind is None:
        return
    for prefix, error in ((LIMIT_STEP, LimitNotEnforceableError), (_ISOLATION_STEP, IsolationError)):
        if kind.startswith(prefix):
            name = kind.removeprefix(prefix)
            raise error(name, message.removeprefix(str(error(name, ""))))
    raise _KINDS.get(kind, StartError)(job_id, message)  # a later version's shim may know more kinds


def _explain_killed(spec: JobSpec) -> tuple[str, str]:
    told = "the job was killed before its command was executed"
    if spec.limits.memory_bytes is not None:
        told += f": the limit memory_bytes, {spec.limits.memory_bytes}, may be too small for that"
    return "killed", told


def _explain_step(step: str, number: int) -> tuple[str, str]:
    if step == CGROUP_STEP:
        problem = (
            f"the job can't enter the cgroup that was made for it: {os.strerror(number)}; a cgroup that is named for"
            " the engine (cgroup=PATH) must be one above its own, or its user's to move processes to"
        )
        return step, str(LimitNotEnforceableError("cgroup", problem))
    if step.startswith(LIMIT_STEP):
        return step, str(LimitNotEnforceableError(step.removeprefix(LIMIT_STEP), os.strerror(number)))
    return f"{_ISOLATION_STEP}{step}", str(IsolationError(step, fixes.explain(step, number)))
