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
    StartError,
    WorkingDirectoryError,
)

if TYPE_CHECKING:
    from jobworker_lib.job.directory import ExitRecord
    from jobworker_lib.job.spec import JobSpec

TERMINAL_DEVICE = "/dev/ptmx"
"""Stands as ``filename`` in an error that comes of making a terminal."""

_KINDS: Final[dict[str, type[StartError]]] = {
    "command_not_found": CommandNotFoundError,
    "command_not_executable": CommandNotExecutableError,
    "bad_working_directory": WorkingDirectoryError,
    "arguments_too_long": ArgumentsTooLongError,
    "no_terminal": StartError,
}


def explain(error: OSError, spec: JobSpec) -> tuple[str, str]:
    """The kind of error and a message for people, of an error of chdir(2) or execve(2)."""
    reason = os.strerror(error.errno or 0)
    if error.filename == spec.cwd:
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
    if record.error_kind is not None:
        raise _KINDS[record.error_kind](job_id, record.error or record.error_kind)
