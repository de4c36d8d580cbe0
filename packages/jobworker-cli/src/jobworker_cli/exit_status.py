"""The exit statuses of the command line: one for each kind of error, and those that a job's end stands for."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING

from jobworker_cli import errors

if TYPE_CHECKING:
    from jobworker_cli.models import Job

FAILED = 1
"""Refused or failed."""
WRONG_USAGE = 2
NO_SUCH_JOB = 3
NOT_ALLOWED = 4
"""Not authenticated or not allowed."""
NO_ANSWER = 5
"""No answer from the server."""
JOBWORKER_FAILED = 125
"""``run``, ``wait``: jobworker itself failed once the job had started, so how it ended is not known."""
NOT_EXECUTABLE = 126
NOT_FOUND = 127
STOPPED_BEFORE_IT_BEGAN = 128 + signal.SIGTERM
"""``run``, ``wait``: the job was cancelled while it was queued: what a stop makes of one that runs."""
OUTPUT_CLOSED = 128 + signal.SIGPIPE
"""Whoever read the standard output has gone: what a program that ``SIGPIPE`` ends leaves."""

_BY_ERROR: tuple[tuple[type[errors.ClientError], int], ...] = (
    (errors.ConfigurationError, WRONG_USAGE),
    (errors.InvalidRequestError, WRONG_USAGE),
    (errors.AmbiguousIdError, WRONG_USAGE),
    (errors.JobNotFoundError, NO_SUCH_JOB),
    (errors.NotAuthenticatedError, NOT_ALLOWED),
    (errors.PermissionDeniedError, NOT_ALLOWED),
    (errors.NoAnswerError, NO_ANSWER),
)

_NOT_FOUND_TEXT = "command not found"
_NOT_STARTED_TEXTS = ("the start deadline has passed", "the job can't be started")


def of_error(error: errors.ClientError) -> int:
    """The exit status that stands for an error of any command."""
    return next((status for kind, status in _BY_ERROR if isinstance(error, kind)), FAILED)


def way_to_be_allowed(error: errors.ClientError) -> str:
    """What to add to the hint at a command that goes on, where the server does not accept the client any more."""
    refused = isinstance(error, errors.NotAuthenticatedError | errors.PermissionDeniedError)
    return ", and a client certificate that is accepted (--name or --cert)" if refused else ""


def of_failed_start(error: errors.ClientError) -> int:
    """The exit status of ``run`` where the job could not be started."""
    if isinstance(error, errors.CommandNotFoundError):
        return NOT_FOUND
    if isinstance(error, errors.StartFailedError):
        return NOT_EXECUTABLE
    if isinstance(error, errors.StartLostError):
        return JOBWORKER_FAILED
    return of_error(error)


def of_job(job: Job) -> int:
    """The exit status that stands for the end of a job, as a shell would tell it."""
    if job.exit_code is not None:
        return job.exit_code
    if job.signal is not None:
        return 128 + job.signal
    if job.state == "stopped" and job.started_at is None:
        return STOPPED_BEFORE_IT_BEGAN
    if job.state == "failed" and not job.error.startswith(_NOT_STARTED_TEXTS):
        return NOT_FOUND if job.error.startswith(_NOT_FOUND_TEXT) else NOT_EXECUTABLE
    return JOBWORKER_FAILED
