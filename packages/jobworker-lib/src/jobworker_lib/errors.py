"""Everything that jobworker_lib raises of its own.

::

    JobworkerError
    ├── InvalidArgumentError (also a ValueError)
    ├── JobNotFoundError
    ├── JobDamagedError
    ├── JobNotRunningError
    ├── NoInputError
    ├── NoTerminalError
    ├── InputClosedError
    ├── JobRunningError
    ├── LimitNotEnforceableError
    ├── IsolationError
    ├── QuotaExceededError
    ├── StartError
    │   ├── CommandNotFoundError
    │   ├── CommandNotExecutableError
    │   ├── WorkingDirectoryError
    │   ├── ArgumentsTooLongError
    │   └── StartLostError
    ├── CommandFailedError
    ├── CursorExpiredError
    ├── StateDirectoryError
    └── EngineError

Messages never hold a job's arguments or environment.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobworker_lib.engine import RunResult


class JobworkerError(Exception):
    """The root of the errors of this package."""


class InvalidArgumentError(JobworkerError, ValueError):
    """An argument has a value that can't be used; ``field`` names it, such as ``argv`` or ``labels``."""

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(f"{field}: {problem}")
        self.field = field
        self.problem = problem


class JobNotFoundError(JobworkerError):
    """There is no job of this id in the state directory."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"there is no job {job_id}")
        self.job_id = job_id


class JobDamagedError(JobworkerError):
    """Nothing is known of the job but its id: its ``spec.json`` can't be read. It can be deleted."""

    def __init__(self, job_id: str) -> None:
        super().__init__(
            f"job {job_id} is damaged: its spec.json can't be read, as after a crash of the host; delete it"
        )
        self.job_id = job_id


class JobNotRunningError(JobworkerError):
    """The job has ended, so it can't be stopped or signalled."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} is not running")
        self.job_id = job_id


class NoInputError(JobworkerError):
    """The job has neither a standard input that can be written to nor a terminal."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} takes no input: it was started without a standard input and a terminal")
        self.job_id = job_id


class NoTerminalError(JobworkerError):
    """The job has no terminal, so there is no size to set."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} has no terminal")
        self.job_id = job_id


class InputClosedError(JobworkerError):
    """The job takes no more input: it has closed it, or who is attached has, or it has ended."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} takes no more input: its input was closed, or it has ended")
        self.job_id = job_id


class JobRunningError(JobworkerError):
    """The job has not ended, so it can't be deleted."""

    def __init__(self, job_id: str) -> None:
        super().__init__(f"job {job_id} has not ended; stop it first")
        self.job_id = job_id


class LimitNotEnforceableError(JobworkerError):
    """This host can't enforce a limit that was asked for; the job was not started."""

    def __init__(self, limit: str, problem: str) -> None:
        super().__init__(f"the limit {limit} can't be enforced here: {problem}")
        self.limit = limit
        self.problem = problem


class IsolationError(JobworkerError):
    """This host, or this user, can't isolate a job as was asked for; the job was not started.

    ``part`` names what can't be had, such as ``landlock`` or ``user``.
    """

    def __init__(self, part: str, problem: str) -> None:
        super().__init__(f"the job can't be isolated here as was asked for: {part}: {problem}")
        self.part = part
        self.problem = problem


class QuotaExceededError(JobworkerError):
    """As many jobs run, or wait, as the bounds of the state directory allow; the job was not started."""


class StartError(JobworkerError):
    """The command could not be executed. The job is kept, in the state ``failed``, under ``job_id``.

    :class:`StartLostError` is the one exception: of it that can't be told, and the state is ``lost``.
    """

    def __init__(self, job_id: str, message: str) -> None:
        super().__init__(message)
        self.job_id = job_id


class CommandNotFoundError(StartError):
    """There is no such command (``ENOENT`` or ``ENOTDIR`` of execve(2)), or its interpreter is missing."""


class CommandNotExecutableError(StartError):
    """The command is there but can't be executed (any other error of execve(2))."""


class WorkingDirectoryError(StartError):
    """The working directory can't be entered (chdir(2))."""


class ArgumentsTooLongError(StartError):
    """Arguments and environment are longer than the kernel takes (``E2BIG`` of execve(2))."""


class StartLostError(StartError):
    """The job was lost before its start was recorded: its supervisor was killed, for example. It is kept as ``lost``.

    A supervisor that takes longer than a minute to execute the command is killed for that. Where that is not done at
    once, as it waits for a filesystem that does not answer, the job is ``starting`` until it is.

    Whether the command was executed is not known; nothing of it is left. A repetition with the same request id is told
    the same and starts nothing; to start the command again, use another one.
    """

    def __init__(self, job_id: str, how: str) -> None:
        super().__init__(
            job_id, f"job {job_id} was lost while it was started: {how}. Whether its command was executed is not known"
        )


class CommandFailedError(JobworkerError):
    """``run(check=True)`` ran a command that did not exit with 0; ``result`` holds what it left."""

    def __init__(self, result: RunResult) -> None:
        super().__init__(f"job {result.status.id} {result.status.describe()}")
        self.result = result


class CursorExpiredError(JobworkerError):
    """The event log does not reach back to the cursor: it was dropped since, or the log began anew."""

    def __init__(self) -> None:
        super().__init__("the events after this cursor are not kept any more; list the jobs, and watch from now on")


class StateDirectoryError(JobworkerError):
    """The state directory can't be used: not ours, not writable, or of a newer version of jobworker."""


class EngineError(JobworkerError):
    """A fault of the engine itself, such as a fork server that doesn't start."""
