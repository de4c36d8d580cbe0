"""What is known of a job: its state, how it ended and why."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from jobworker_lib.job.isolation import Isolation
from jobworker_lib.job.limits import Limits
from jobworker_lib.job.timestamps import utc_from_ns

if TYPE_CHECKING:
    from datetime import datetime

    from jobworker_lib.job.attempts import Attempt
    from jobworker_lib.job.restart import RestartPolicy
    from jobworker_lib.job.usage import Usage
    from jobworker_lib.output.limit import OutputLimit


class State(StrEnum):
    """Where a job is in its life; ``docs/architecture.md`` draws it."""

    QUEUED = "queued"
    """Accepted, and waiting for its turn: as many jobs run as may."""
    STARTING = "starting"
    """Accepted; its command has not been executed yet."""
    RUNNING = "running"
    """Its command was executed, and something of the job is still there."""
    EXITED = "exited"
    """Ended by itself, or by a signal that jobworker did not send."""
    STOPPED = "stopped"
    """Ended by jobworker: a user's stop, or a limit such as the timeout."""
    FAILED = "failed"
    """Its command could not be executed, or not by its start deadline."""
    LOST = "lost"
    """Its shim is gone and left no exit record: it was killed, or the host was restarted."""

    @property
    def ended(self) -> bool:
        """Whether a job in this state will never change again."""
        return self not in (State.QUEUED, State.STARTING, State.RUNNING)


class Reason(StrEnum):
    """Why a job ended."""

    EXITED = "exited"
    STOPPED = "stopped"
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    OUTPUT_LIMIT = "output_limit"
    FAILED_TO_START = "failed_to_start"
    LOST = "lost"


_PLAIN_REASONS = (None, Reason.EXITED, Reason.STOPPED)


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """A job as it was at one moment. Times are aware, in UTC."""

    id: str
    argv: tuple[str, ...]
    """The command and its arguments; bytes that are not UTF-8 stand as surrogate escapes (PEP 383)."""
    cwd: str
    owner: str
    labels: dict[str, str] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    timeout: float | None = None
    """Seconds that the job may run from its start; None: for ever."""
    state: State
    created_ns: int
    """When the job was accepted, in nanoseconds since the epoch; it orders jobs."""
    started_at: datetime | None = None
    """When the command was executed."""
    ended_at: datetime | None = None
    exit_code: int | None = None
    """0 to 255, where the main process exited."""
    signal: int | None = None
    """The signal's number, where one ended the main process."""
    reason: Reason | None = None
    """Why the job ended; None before."""
    error: str | None = None
    """Why the command could not be executed, or how the job was lost."""
    stdin: bool = False
    """Whether it was started with a standard input that can be written to."""
    tty: bool = False
    """Whether it was started with a terminal."""
    output_bytes: int = 0
    """Output captured until then, of both streams together, what was dropped since included."""
    output_limit: OutputLimit | None = None
    output_dropped_bytes: int = 0
    """Output dropped to keep the limit: the first bytes, or, where the limit stops the job, what it wrote beyond it."""
    priority: int = 0
    restart: RestartPolicy | None = None
    """When its command is executed again; None: never."""
    attempts: tuple[Attempt, ...] = ()
    """The executions of its command, the first one first; at most the last 100."""
    isolation: Isolation | None = None
    """How it is kept apart from the host; None: not at all."""
    user: str | None = None
    """The Unix user that it runs as, as it was given; None: that of the engine."""
    groups: tuple[str, ...] | None = None
    """Its supplementary groups, as they were given; None: those that its user has."""
    new_privileges: bool = True
    """Whether it may gain privileges by executing a program, as it was asked for; ``isolation`` may forbid it, too."""
    usage: Usage | None = None
    """What it has used, all its processes together: until now, or in all. None: it has not been executed, was lost, or
    nobody asked, as in a list, for jobs that run still."""
    out_of_memory_process: str | None = None
    """The process that was killed, where the job ended for the reason ``out_of_memory`` and that can be found out:
    ``NAME (PID)``, or ``probably NAME (PID)`` where the kernel's log can't be read and several were killed."""

    @property
    def created_at(self) -> datetime:
        """When the job was accepted."""
        return utc_from_ns(self.created_ns)

    def describe(self) -> str:
        """The status in a few words, such as ``exited (signal: 9, out of memory)``."""
        details = []
        if self.exit_code is not None:
            details.append(f"exit code: {self.exit_code}")
        if self.signal is not None:
            details.append(f"signal: {self.signal}")
        if self.state in (State.EXITED, State.STOPPED) and self.reason not in _PLAIN_REASONS:
            details.append(str(self.reason).replace("_", " "))
        if self.state in (State.FAILED, State.LOST) and self.error:
            details.append(self.error)
        return f"{self.state} ({', '.join(details)})" if details else str(self.state)
