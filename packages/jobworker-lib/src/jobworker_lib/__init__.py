"""jobworker_lib runs, watches and stops Linux processes ("jobs") that outlive the program that started them.

These are all its public names; :mod:`jobworker_lib.aio` offers the same engine for asyncio,
and :mod:`jobworker_lib.doctor` tells what this host can enforce.
"""

from __future__ import annotations

from jobworker_lib import aio, doctor
from jobworker_lib.engine import Engine, Job, RunResult
from jobworker_lib.errors import (
    ArgumentsTooLongError,
    CommandFailedError,
    CommandNotExecutableError,
    CommandNotFoundError,
    CursorExpiredError,
    EngineError,
    InputClosedError,
    InvalidArgumentError,
    IsolationError,
    JobDamagedError,
    JobNotFoundError,
    JobNotRunningError,
    JobRunningError,
    JobworkerError,
    LimitNotEnforceableError,
    NoInputError,
    NoTerminalError,
    QuotaExceededError,
    StartError,
    StartLostError,
    StateDirectoryError,
    WorkingDirectoryError,
)
from jobworker_lib.events.event import Event, EventType
from jobworker_lib.events.watch import Watch
from jobworker_lib.interaction.attachment import Attachment
from jobworker_lib.job.attempts import Attempt
from jobworker_lib.job.isolation import Isolation
from jobworker_lib.job.limits import IoLimit, Limits
from jobworker_lib.job.restart import RestartPolicy
from jobworker_lib.job.start_options import StartOptions
from jobworker_lib.job.status import JobStatus, Reason, State
from jobworker_lib.job.terminal import TerminalSize
from jobworker_lib.job.usage import Usage
from jobworker_lib.output.chunk import Chunk, Gap
from jobworker_lib.output.limit import OutputLimit
from jobworker_lib.output.selection import OutputOptions
from jobworker_lib.queue.bounds import Bounds
from jobworker_lib.store.page import Page
from jobworker_lib.store.retention import Retention

__version__ = "0.1.0"

__all__ = [
    "ArgumentsTooLongError",
    "Attachment",
    "Attempt",
    "Bounds",
    "Chunk",
    "CommandFailedError",
    "CommandNotExecutableError",
    "CommandNotFoundError",
    "CursorExpiredError",
    "Engine",
    "EngineError",
    "Event",
    "EventType",
    "Gap",
    "InputClosedError",
    "InvalidArgumentError",
    "IoLimit",
    "Isolation",
    "IsolationError",
    "Job",
    "JobDamagedError",
    "JobNotFoundError",
    "JobNotRunningError",
    "JobRunningError",
    "JobStatus",
    "JobworkerError",
    "LimitNotEnforceableError",
    "Limits",
    "NoInputError",
    "NoTerminalError",
    "OutputLimit",
    "OutputOptions",
    "Page",
    "QuotaExceededError",
    "Reason",
    "RestartPolicy",
    "Retention",
    "RunResult",
    "StartError",
    "StartLostError",
    "StartOptions",
    "State",
    "StateDirectoryError",
    "TerminalSize",
    "Usage",
    "Watch",
    "WorkingDirectoryError",
    "aio",
    "doctor",
]
